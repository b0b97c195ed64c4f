"""Side by side: a published number and ours, the tables of experiments, the card of the weights with its results."""

import numpy as np
import pandas as pd
import pytest

from cmr_lib.evaluation import beside, results

OURS = pd.DataFrame(
    [
        ["we", "classification", "lge.zero_shot.auroc", 0.7, 0.6, 0.8, 300, 0.5, "d", "s", "n"],
        ["we", "retrieval", "image_to_report.gallery.recall_at_10", np.nan, np.nan, np.nan, 0, np.nan, "d", "s", "n"],
    ],
    columns=results.COLUMNS,
)
PHANTOM = "ours, synthetic phantom"


def test_every_published_number_stands_with_its_n_and_source_and_ours_where_it_is_of_the_kind():
    table = beside.side_by_side(OURS, "synthetic phantom")
    assert len(table) == len(results.PUBLISHED)
    lge = table[table["published"].str.contains("lge, zero-shot AUROC: 0.705, n = 201")].iloc[0]
    assert lge[PHANTOM] == "lge.zero_shot.auroc: 0.700 (0.600 to 0.800; chance 0.500; n = 300)"
    assert "https://github.com/Makiya11/CMRCLIP" in lge["published"]
    sister = table[table["published"].str.contains("lge, zero-shot AUROC: 0.621, n = 129")].iloc[0]
    assert sister[PHANTOM] == "–"  # we have no such task
    assert table["why they cannot be compared as numbers"].str.contains("not comparable|not read by us").all()


def test_what_we_did_not_read_says_so_with_its_link_and_what_we_could_not_measure_has_n_0():
    table = beside.side_by_side(OURS, "synthetic phantom")
    unread = table[table["published"].str.contains("not read by us")]
    assert len(unread) == 2
    assert unread["published"].str.contains("https://arxiv.org/abs/2304.07675").all()
    assert unread[PHANTOM].tolist() == ["image_to_report.gallery.recall_at_10: n = 0", "–"]


def test_metrics_beside_published_numbers_are_ones_that_the_stages_write():
    named = {entry.ours for entry in results.PUBLISHED if entry.ours} | set(results.HEADLINES)
    made = {
        *("diagnosis.linear_probe.balanced_accuracy", "diagnosis.zero_shot.balanced_accuracy", "knn_purity"),
        *("lvef.ridge_probe.mean_absolute_error", "every_diagnosis.linear_probe.macro_auroc", "lge.linear_probe.auroc"),
        *(f"every_diagnosis.{shots}_shots.macro_auroc" for shots in (1, 2, 4, 8, 16, 32)),
        *(f"second_hospital{loss}.diagnosis.macro_auroc" for loss in ("", "_loss")),
        *(f"ACDC_layout_own_probe.every_diagnosis.{metric}" for metric in ("macro_auroc", "balanced_accuracy")),
    }
    others = {name for name in named - made if not name.endswith(".zero_shot.auroc")}
    assert all(name.startswith(("image_to_report.", "report_to_image.")) for name in others)


def test_experiments_are_shown_where_they_were_run(tmp_path):
    assert beside.experiments(None).empty
    assert beside.experiments(tmp_path).empty
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "results.csv").write_text("target,model,value,low,high,n\nlge,full,0.9,0.8,1.0,30\n")
    table = beside.experiments(tmp_path)
    assert table["experiment"].tolist() == ["seeds"]
    assert table["value"].tolist() == [0.9]
    assert list(table.columns) == beside.EXPERIMENT


def test_the_card_tells_what_its_weights_reached_before_their_limits():
    card = f"# A\n\n{beside.LIMITS} One seed.\n"
    names = {"lge.zero_shot.auroc": "late enhancement", "image_to_report.gallery.recall_at_10": "R@10", "x": "never"}
    filled = beside.filled_card(card, OURS, names, "synthetic phantom")
    assert "**How it did** (synthetic phantom;" in filled
    assert "- late enhancement: 0.700 (0.600 to 0.800; chance 0.500; n = 300)\n- R@10: n = 0\n" in filled
    assert filled.index("How it did") < filled.index(beside.LIMITS)
    assert "never" not in filled
    with pytest.raises(ValueError, match="no heading"):
        beside.filled_card("# A", OURS, names, "synthetic phantom")
