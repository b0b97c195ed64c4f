"""The measuring of the extractor: scores as counted by hand, and a reported figure that cannot be overwritten."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from cmr_lib import labels
from tools import measure_reports as measure
from tools.simulated_reports import _scores, measure_hospital, simulated


def sentence(*findings):
    return measure.Marked("x", "affirmed", "", tuple((name, status, {}) for name, status in findings), frozenset())


def test_items_are_counted_by_finding_and_status():
    gold = [sentence(("lge", "present"), ("effusion", "absent")), sentence(("lge", "absent")), sentence()]
    said = [{("lge", "present")}, {("lge", "present")}, {("thrombus", "present")}]
    table = measure.table_of(gold, said, "rules").set_index("group")
    row = table.loc["all"]
    assert (row["items"], row["precision"], row["recall"]) == (3, 1 / 3, 1 / 3)
    assert table.loc["macro over findings", "f1"] == pytest.approx((1 / 2 + 0) / 2)  # lge 2·1/(2+2), effusion 0
    assert row["f1_low"] <= row["f1"] <= row["f1_high"]


def test_report_scores_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    truth, said = random.random((50, 4)) < 0.4, random.random((50, 4)) < 0.5
    assert _scores(truth, said) == pytest.approx([f1_score(truth[:, i], said[:, i]) for i in range(4)])


def test_a_reported_figure_is_never_overwritten(monkeypatch, tmp_path):
    empty = pd.DataFrame({"method": [], "group": [], "n": [], "items": []}), pd.DataFrame({"id": []})
    monkeypatch.setattr(measure, "measure_half", lambda half: empty)
    monkeypatch.setattr(measure, "FOLDER", tmp_path)
    measure.main(["held_out", "--write"])
    with pytest.raises(SystemExit, match="reported figure"):
        measure.main(["held_out", "--write"])
    measure.main(["held_out", "--write", "--label", "later"])
    assert (tmp_path / "measured_held_out_later.csv").is_file()


def test_simulated_reports_are_the_same_each_time_and_read_as_measured():
    assert simulated("first", 3)[0] == simulated("first", 3)[0]
    assert simulated("first", 3)[0] != simulated("second", 3)[0]
    table, misses = measure_hospital("first", 60)
    row = table[table["group"] == "words alone: macro over findings"].iloc[0]
    assert row["n"] == 60
    common = table[table["group"].isin([f"words alone: {name}" for name in labels.FINDINGS]) & (table["items"] > 5)]
    assert len(common) >= 5
    assert (common["f1"] > 0.97).all()
    assert list(misses.columns) == ["report", "finding", "written", "difference"]
