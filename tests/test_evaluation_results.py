"""The summary table: every number has a source and an n; ours are read, never written by hand."""

import re

import numpy as np
import pytest

from cmr_lib import project
from cmr_lib.evaluation import results


def write_stages(root, stages=results.STAGES):
    for stage in stages:
        project.write_json(
            root / stage / "metrics.json",
            {
                "counts": {"studies": 3},
                "group": {f"{stage}_score": project.estimate(0.5, n=40, low=0.4, high=0.6, chance=0.2)},
            },
        )


def test_every_published_number_has_a_source_and_an_n():
    for entry in results.PUBLISHED:
        assert re.match(r"https://\S+", entry.source)
        if entry.value is None:
            assert entry.n is None
            assert "not read by us" in entry.note
        else:
            assert entry.n > 0
            assert entry.note.startswith("not comparable")


def test_no_number_is_offered_for_cmrformers_own_tables():
    own = results.published_table().query("who == 'CMRformer (2023)'")
    assert own["value"].isna().all()
    assert (own["source"] == "https://arxiv.org/abs/2304.07675").all()


def test_a_number_without_n_is_refused():
    naked = results.Published("x", "retrieval", "r", 0.5, None, "d", "https://example.org", "note")
    with pytest.raises(ValueError, match="needs its n"):
        results.published_table([naked])


def test_estimates_are_found_at_any_depth_and_counts_are_not():
    found = results.find_estimates({"a": {"b": {"value": 1, "n": 2}}, "c": 3, "d": {"value": 1}})
    assert found == {"a.b": {"value": 1, "n": 2}}


def test_our_numbers_come_from_the_stages_files(tmp_path):
    write_stages(tmp_path)
    table = results.summary(tmp_path)
    ours = table[table["who"] == "this repository"]
    assert len(ours) == len(results.STAGES)
    row = ours[ours["stage"] == "retrieval"].iloc[0]
    assert (row["metric"], row["value"], row["n"], row["note"]) == (
        "group.retrieval_score",
        0.5,
        40,
        "synthetic phantom",
    )
    assert len(table) == len(ours) + len(results.PUBLISHED)
    order = [results.STAGES.index(stage) for stage in table["stage"]]
    assert order == sorted(order)
    assert table["value"].dtype == np.float64
    project.write_table(tmp_path / "summary.csv", table)


def test_a_missing_stage_is_named(tmp_path):
    write_stages(tmp_path, ["simulate", "preprocess"])
    with pytest.raises(FileNotFoundError, match="stage pretrain"):
        results.summary(tmp_path)
