"""Every diagnosis, thresholds, quantities, other cohorts, against scikit-learn; n = 0 where nothing is known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from cmr_lib import params
from cmr_lib.evaluation import (
    abroad,
    classification,
    cohorts,
    comparison,
    diagnoses,
    external,
    findings,
    makers,
    measures,
    prompts,
    statistics,
)
from cmr_lib.types import Split

SETTINGS = params.Classification(
    out_dir="o", in_root="i", data_dir="d", seed=1, classes=["NOR", "DCM"],
    probe=params.Probe(strengths=[0.1], ridge=[1.0]), neighbours=[5], shots=[1, 4], episodes=4, specificities=[0.9],
    second_hospital=False, acdc=None, workers=1, bootstrap=60,
)  # fmt: skip
N = 240
CLASSES = ("NOR", "DCM", "HCM")


def cohort(seed=0, noise=1.0, name="own test split"):
    """Studies of two per patient, three diagnoses, three makers, a finding and an LVEF that the embedding holds."""
    rng = np.random.default_rng(seed)
    codes, lge = rng.integers(0, 3, N), rng.integers(0, 2, N)
    lvef = rng.normal(55, 10, N)
    signal = np.concatenate([3 * np.eye(3)[codes], 2 * lge[:, None], (lvef[:, None] - 55) / 5], axis=1)
    signal = np.concatenate([signal, np.zeros((N, 3))], axis=1)
    image = (signal + noise * rng.normal(size=signal.shape)).astype(np.float32)
    studies = pd.DataFrame(
        {
            "patient_key": [f"{name}{row // 2}" for row in range(N)],
            "split": np.repeat(rng.permutation(np.repeat(["train", "validation", "test"], [60, 30, 30])), 2),
            "diagnosis": np.asarray(CLASSES)[codes],
            "vendor": rng.choice(["a", "b", ""], N, p=[0.45, 0.45, 0.1]),
            "lge": lge,
            "lvef": lvef,
            "rvef": np.where(rng.random(N) < 0.3, np.nan, lvef),
        }
    )
    return external.Cohort(name, studies, image, np.full_like(image, np.nan))


@pytest.fixture(scope="module")
def own():
    return cohort()


@pytest.fixture(scope="module")
def every(own):
    return diagnoses.probe_every(own.image, own.studies, SETTINGS)


def judges_of(own, every):
    _, fitted = classification.finding_probes(
        own.image, own.studies[["lge"]], own.studies["split"], own.studies["patient_key"], SETTINGS
    )
    parts = (own.image, own.studies["lvef"], own.studies["split"], own.studies["patient_key"])
    return cohorts.Judges(every[0].probe, fitted, classification.lvef_probe(*parts, SETTINGS).probe)


def value(table, **wanted):
    for name, one in wanted.items():
        table = table[table[name] == one]
    assert len(table) == 1
    return table.iloc[0]


def test_macro_auroc_is_scikit_learns_one_versus_rest_mean(own, every):
    outcome, known = every
    assert known.classes == CLASSES
    scores = outcome.predictions[[f"score_{name}" for name in CLASSES]].to_numpy()
    wanted = roc_auc_score(outcome.predictions["true"], scores, multi_class="ovr", labels=sorted(CLASSES), average=None)
    rows = outcome.predictions["true"].to_numpy()
    wanted = np.mean([roc_auc_score(rows == name, scores[:, code]) for code, name in enumerate(CLASSES)])
    found = value(outcome.table, task="every diagnosis", metric="macro_auroc")
    assert found["value"] == pytest.approx(wanted)
    assert found["n"] == (own.studies["split"] == "test").sum()
    assert set(outcome.table["task"]) == {"every diagnosis", *(f"every {name}" for name in CLASSES)}


def test_a_diagnosis_with_one_training_study_takes_no_part_and_no_diagnosis_gives_n_0(own):
    studies = own.studies.copy()
    first = studies.index[studies["split"] == "train"][0]
    studies.loc[first, "diagnosis"] = "AMY"
    assert "AMY" not in diagnoses.labelled(studies).classes
    bare, known = diagnoses.probe_every(own.image, studies.assign(diagnosis=""), SETTINGS)
    assert bare.probe is None
    assert bare.table["n"].tolist() == [0, 0]
    assert diagnoses.few_shots(own.image, studies, known, SETTINGS).empty
    assert diagnoses.neighbours(own.image, studies, known, SETTINGS)[0].empty
    assert diagnoses.calibrate(own.image, studies, None, known, SETTINGS).table.empty
    assert diagnoses.abstain(own.image, studies, None, known, SETTINGS).empty
    assert diagnoses.by_subgroup(bare, pd.DataFrame(columns=["row", "true", "predicted"]), studies, SETTINGS).empty


def test_temperature_and_penalty_do_not_read_the_test_split(own, every):
    studies, image = own.studies.copy(), own.image.copy()
    test = (studies["split"] == "test").to_numpy()
    studies.loc[test, "diagnosis"], image[test] = "NOR", 0.0
    outcome, known = diagnoses.probe_every(image, studies, SETTINGS)
    one, two = (
        diagnoses.calibrate(picture, table, found[0].probe, found[1], SETTINGS).temperature
        for picture, table, found in ((own.image, own.studies, every), (image, studies, (outcome, known)))
    )
    assert one == pytest.approx(two)
    assert outcome.probe.weight == pytest.approx(every[0].probe.weight)


def test_the_probe_is_right_more_often_where_it_is_surer_and_answers_all_in_the_end(own, every):
    outcome, known = every
    curve = diagnoses.abstain(own.image, own.studies, outcome.probe, known, SETTINGS).set_index("share")
    right = (outcome.predictions["true"] == outcome.predictions["predicted"]).mean()
    assert curve.loc[1.0, "value"] == pytest.approx(right)
    assert curve.loc[0.5, "value"] >= curve.loc[1.0, "value"]
    assert curve.loc[1.0, "n"] == (own.studies["split"] == "test").sum()


def test_a_decision_curve_reads_probabilities_that_validation_bore_out(own, every):
    direction = np.zeros((1, own.image.shape[1]))
    scored = findings.score(own.image, own.studies, own.studies[["lge"]], direction, judges_of(own, every).findings)
    curve = findings.decide(scored, "lge", SETTINGS)
    bold = scored.scores["linear probe"] * 0.98 + 0.01
    squeezed = findings.Scored(scored.studies, scored.truth, {**scored.scores, "linear probe": bold / 4 + 0.7})
    again = findings.decide(squeezed, "lge", SETTINGS)  # far too sure of everybody: validation takes that back
    assert len(curve)
    assert (curve["gain"] > 0).any()
    assert np.abs(again["value"] - curve["value"]).max() < 0.1
    assert findings.decide(scored, "unheard_of", SETTINGS).empty
    assert findings.decide(
        findings.score(own.image, own.studies, own.studies[["lge"]], direction, {}), "lge", SETTINGS
    ).empty


def test_thresholds_come_from_validation_and_the_better_way_is_named_after_holm(own, every):
    judges = judges_of(own, every)
    direction = np.zeros((1, own.image.shape[1]))
    direction[0, 6] = 1.0  # a sentence that says nothing
    scored = findings.score(own.image, own.studies, own.studies[["lge"]], direction, judges.findings)
    points = findings.operating_points(scored, SETTINGS)
    cut = value(points, method="linear probe", goal="specificity 0.9", metric="sensitivity")
    validation = scored.pairs("linear probe", "lge", Split.VALIDATION)
    negatives = validation[validation[:, 0] == 0, 1]
    assert (negatives <= cut["threshold"]).mean() >= 0.9
    compared = findings.probe_against_sentences(scored, SETTINGS).iloc[0]
    assert compared["value"] > 0.2
    assert compared["p_holm"] == compared["p"]
    short = findings.summary_rows(points, 0.9)
    assert set(short["metric"]) == {"auprc", "f1", "balanced_accuracy", "sensitivity_at_90_specificity"}
    unfit = findings.score(own.image, own.studies, own.studies[["lge"]], direction, {})
    note = value(findings.operating_points(unfit, SETTINGS), method="linear probe")["note"]
    assert note == "No probe: training or validation studies have one answer only."


def test_holm_is_that_of_statsmodels_and_leaves_out_what_was_not_tested():
    p = np.array([0.04, np.nan, 0.001, 0.03, 1.0])
    known = np.isfinite(p)
    assert comparison.holm(p)[known] == pytest.approx(multipletests(p[known], method="holm")[1])
    assert np.isnan(comparison.holm(p)[1])
    assert np.isnan(comparison.holm([np.nan, np.nan])).all()


def test_quantities_that_a_cohort_has_are_measured_and_others_left_out(own):
    parts = (own.image, own.studies["lvef"], own.studies["split"], own.studies["patient_key"])
    lvef = classification.lvef_probe(*parts, SETTINGS)
    measured = measures.measure(own.image, own.studies, lvef.predictions, SETTINGS)
    assert list(measured.predictions) == ["lvef", "rvef"]
    row = value(measured.table, quantity="rvef", metric="mean_absolute_error")
    found = measured.predictions["rvef"]
    assert row["value"] == pytest.approx(np.abs(found["true"] - found["predicted"]).mean())
    assert row["n"] == (own.studies["rvef"].notna() & (own.studies["split"] == "test")).sum()
    numbers = ["value", "low", "high", "n", "chance"]
    error = value(lvef.table, method="ridge probe", metric="mean_absolute_error")[numbers]
    again = value(measured.table, quantity="lvef", metric="mean_absolute_error")[numbers]
    assert again.tolist() == pytest.approx(error.tolist())
    assert measures.measure(own.image, own.studies[["patient_key", "split"]], pd.DataFrame(), SETTINGS).table.empty


# --- other cohorts -----------------------------------------------------------------------------------------------
def test_a_noisy_hospital_loses_and_its_interval_says_so(own, every):
    judges = judges_of(own, every)
    test = np.flatnonzero(own.studies["split"] == "test")
    there = cohort(1, noise=4.0, name="second hospital")
    table = cohorts.transfer_table(own.part(test), there, judges, SETTINGS)
    here, away, loss = (
        value(table, cohort=name, task="diagnosis", metric="macro_auroc")
        for name in ("own test split", "second hospital", "second hospital loss")
    )
    assert loss["value"] == pytest.approx(here["value"] - away["value"])
    assert loss["low"] > 0
    assert (away["n"], loss["chance"]) == (N, 0.0)
    said = cohorts.in_words(table)
    assert said.startswith(
        f"*Second hospital*: macro AUROC of diagnosis **{away['value']:.3f}**, loss {loss['value']:+.3f}"
    )
    assert "no sure loss" not in said.partition(";")[0]
    assert f"n = {N}" in said
    keys = cohorts.cohort_metrics(table)
    assert keys["second_hospital_loss.diagnosis.macro_auroc"]["n"] == N
    assert keys["second_hospital.lge.auroc"]["chance"] == 0.5


def said_of(cohort, **losses):
    """`in_words` of a cohort whose single findings lose so much AUROC."""
    losses = {"findings": 0.01} | losses
    rows = [
        {"cohort": name, "task": task, "metric": "macro_auroc" if task == "findings" else "auroc", "value": value}
        for task, loss in losses.items()
        for name, value in ((cohort, 0.8), (f"{cohort} loss", loss))
    ]
    table = pd.DataFrame(rows).assign(low=-0.1, high=0.2, n=9, n_patients=9, chance=0.0, note="")
    return cohorts.in_words(table[cohorts.COLUMNS])


def test_a_gain_is_not_told_among_the_largest_losses_and_makers_keep_their_spelling():
    assert said_of("ge left out", lge=-0.05, effusion=0.001).endswith("no sure loss, n = 9.")
    assert said_of("ge left out").startswith("*GE left out*: ")
    assert said_of("second hospital", lge=0.05, effusion=-0.2).endswith(
        ". Among single findings the largest loss is lge +0.05."
    )
    three = said_of("second hospital", lge=0.05, effusion=0.3, rv_dilation=0.1)
    assert three.endswith("the largest losses are effusion +0.30, rv_dilation +0.10.")


def test_a_cohort_without_reports_or_labels_is_asked_what_it_can_answer(own, every):
    bare = cohort(2, name="ACDC")
    bare.studies["diagnosis"] = ""
    table = cohorts.transfer_table(own, bare, judges_of(own, every), SETTINGS)
    assert set(table["task"]) == {"lge", "lvef"}
    few = bare.part(np.arange(4))
    official = cohorts.official_table(few, SETTINGS)
    assert official["note"].tolist() == ["4 studies are too few to fit a probe on."] * 2
    assert cohorts.in_words(pd.DataFrame(columns=cohorts.COLUMNS)) == ""


def test_the_probe_without_a_maker_never_saw_it(own, every):
    table = makers.leave_one_vendor_out(own, every[0].probe, SETTINGS)
    loss = value(table, cohort="a left out loss")
    both = [value(table, cohort=name)["value"] for name in ("a, probe of all makers", "a left out")]
    assert loss["value"] == pytest.approx(both[0] - both[1])
    spoilt = own.image.copy()
    made = ((own.studies["vendor"] == "a") & (own.studies["split"] != "test")).to_numpy()
    spoilt[made] = np.random.default_rng(5).normal(size=(made.sum(), spoilt.shape[1])) * 50
    other = external.Cohort(own.name, own.studies, spoilt, own.text)
    again = makers.leave_one_vendor_out(other, every[0].probe, SETTINGS)
    assert value(again, cohort="a left out")["value"] == value(table, cohort="a left out")["value"]
    only = external.Cohort(own.name, own.studies.assign(vendor="a"), own.image, own.text)
    alone = makers.leave_one_vendor_out(only, every[0].probe, SETTINGS)
    assert alone["note"].tolist() == [
        "Without this maker a diagnosis has no training studies, or nothing is left to choose a probe on."
    ]


def test_everything_abroad_stands_in_one_table_and_whole_cohorts_once_side_by_side(own, every):
    test = np.flatnonzero(own.studies["split"] == "test")
    visited = [cohort(seed=9, name="second hospital"), cohort(seed=10, name="ACDC layout")]
    found = abroad.judge(own, test, visited, judges_of(own, every), SETTINGS)
    assert {"ACDC layout, own probe", "second hospital loss", "a left out"} <= set(found.table["cohort"])
    assert set(found.side_by_side["cohort"]) == {own.name, "second hospital", "ACDC layout"}
    assert not found.side_by_side.duplicated(["cohort", "task", "metric"]).any()
    assert "lge" in set(found.table["task"])
    assert "lge" not in set(found.brief["task"])
    assert not [name for name in found.metrics if name.startswith(own.name.replace(" ", "_"))]
    assert "*Second hospital*" in found.in_words


def test_without_another_cohort_only_the_makers_are_left_out(own, every):
    found = abroad.judge(own, np.flatnonzero(own.studies["split"] == "test"), [], judges_of(own, every), SETTINGS)
    assert set(found.table["cohort"].str.split(" |,").str[0]) == {"a", "b"}
    assert found.side_by_side.empty
    assert found.in_words.startswith("*A left out*")


def test_findings_are_judged_by_both_sides_by_one_and_by_a_probe(own, monkeypatch):
    """Oracles: scikit-learn's AUROC of the products written out; the sentences' vectors are given."""
    side = {prompts.PRESENT: np.eye(8)[[3]], prompts.ABSENT: np.eye(8)[[5]]}
    monkeypatch.setattr(prompts, "finding_wordings", lambda _, which: which)
    monkeypatch.setattr(prompts, "ensembles", lambda *asked: side[asked[2][0]].astype(np.float32))
    found = findings.judge(own.image, own.studies, None, None, SETTINGS)
    test = (own.studies["split"] == "test").to_numpy()
    truth, image = own.studies["lge"][test], own.image[test].astype(float)
    assert found.names == ["lge"]
    assert found.asked["value"].tolist() == pytest.approx([roc_auc_score(truth, image[:, 3] - image[:, 5])])
    assert found.unsaid["value"].tolist() == pytest.approx([roc_auc_score(truth, image[:, 3])])
    assert found.asked["value"][0] < found.fitted["value"][0]
    assert found.scored.pairs(findings.ZERO_SHOT, "lge", Split.TEST)[:, 1] == pytest.approx(image[:, 3] - image[:, 5])


def test_an_independent_difference_is_wider_than_a_paired_one_and_holds_the_truth():
    rng = np.random.default_rng(3)
    first, second = rng.normal(1.0, 1, 300), rng.normal(0.5, 1, 200)
    gap, low, high = statistics.independent_difference(first, range(300), second, range(200), statistics.mean, 2000, 0)
    assert gap == pytest.approx(first.mean() - second.mean())
    error = np.sqrt(first.var() / 300 + second.var() / 200)
    assert (low, high) == pytest.approx((gap - 1.96 * error, gap + 1.96 * error), abs=0.03)
    assert np.isnan(statistics.independent_difference(first, range(300), first[:0], [], statistics.mean, 50, 0)[0])
