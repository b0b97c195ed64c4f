"""Zero-shot and probes: planted signal is found, noise stays at chance, nothing is learned from the test split."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, mean_absolute_error, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cmr_lib import params
from cmr_lib.evaluation import classification, fitting, probes

CLASSES = ["NOR", "DCM", "HCM"]
SETTINGS = params.Classification(
    out_dir="o",
    in_root="i",
    seed=1,
    classes=CLASSES,
    probe=params.Probe(strengths=[0.01, 0.1, 1.0], ridge=[1.0, 10.0, 100.0]),
    neighbours=[1, 5, 15],
    shots=[1, 4],
    episodes=5,
    specificities=[0.9],
    data_dir="d",
    second_hospital=False,
    acdc=None,
    workers=1,
    bootstrap=200,
)
N = 180


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def unit(array):
    return (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def cohort(rng):
    """A table of studies and embeddings whose first axes carry the diagnosis and whose fifth carries the LVEF."""
    studies = pd.DataFrame(
        {
            "diagnosis": rng.choice(CLASSES, N),
            "split": rng.permutation(np.repeat(["train", "validation", "test"], [108, 27, 45])),
            "patient_key": [f"p{i // 2}" for i in range(N)],
            "lvef": rng.normal(55, 12, N),
        }
    )
    signal = np.zeros((N, 12))
    for code, name in enumerate(CLASSES):
        signal[studies["diagnosis"] == name, code] = 3
    signal[:, 4] = (studies["lvef"] - 55) / 6
    return studies, unit(signal + 0.7 * rng.normal(size=(N, 12)) + [0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0])


def probe_of(studies, embedding):
    return classification.linear_probe(
        embedding, studies["diagnosis"], studies["split"], studies["patient_key"], SETTINGS
    )


def first(table, metric="balanced_accuracy"):
    return table[table["metric"] == metric].iloc[0]


def test_a_planted_diagnosis_is_recovered_and_scored_as_sklearn_does(cohort):
    studies, embedding = cohort
    outcome = probe_of(studies, embedding)
    row = first(outcome.table)
    predicted = outcome.predictions
    assert row["value"] == pytest.approx(balanced_accuracy_score(predicted["true"], predicted["predicted"]))
    assert row["low"] > 0.7
    assert (row["n"], row["chance"]) == (45, pytest.approx(1 / 3))
    assert row["n_patients"] == studies["patient_key"][studies["split"] == "test"].nunique()
    assert predicted["row"].tolist() == np.flatnonzero(studies["split"] == "test").tolist()
    wanted = confusion_matrix(predicted["true"], predicted["predicted"], labels=CLASSES)
    assert outcome.confusion.to_numpy().tolist() == wanted.tolist()
    auroc = outcome.table.set_index("task")["value"]["HCM"]
    assert auroc == pytest.approx(roc_auc_score(predicted["true"] == "HCM", predicted["score_HCM"]))


def test_random_labels_are_at_chance(cohort, rng):
    studies, embedding = cohort
    shuffled = studies.assign(diagnosis=rng.permutation(studies["diagnosis"]), lvef=rng.permutation(studies["lvef"]))
    row = first(probe_of(shuffled, embedding).table)
    assert row["low"] < 1 / 3 < row["high"]
    outcome = classification.lvef_probe(embedding, shuffled["lvef"], studies["split"], studies["patient_key"], SETTINGS)
    gain = outcome.table.set_index("method").loc["ridge probe − training mean"]
    assert gain["high"] > 0  # not better than the training mean
    assert abs(outcome.table.set_index("metric")["value"]["pearson_r"]) < 0.3


def test_the_penalty_is_chosen_on_validation_alone(cohort, rng):
    studies, embedding = cohort
    outcome = probe_of(studies, embedding)
    test = (studies["split"] == "test").to_numpy()
    spoiled = embedding.copy()
    spoiled[test] = unit(rng.normal(size=(test.sum(), 12)))
    again = probe_of(studies, spoiled)
    pd.testing.assert_frame_equal(outcome.choices, again.choices)
    assert np.array_equal(outcome.probe.weight, again.probe.weight)
    train, validation = studies["split"] == "train", studies["split"] == "validation"
    for penalty, score in outcome.choices.itertuples(index=False):
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=penalty, class_weight="balanced", max_iter=5000, tol=1e-8)
        ).fit(embedding[train], studies["diagnosis"][train])
        wanted = balanced_accuracy_score(studies["diagnosis"][validation], model.predict(embedding[validation]))
        assert score == pytest.approx(wanted)


@pytest.mark.parametrize("classes", [["a", "b", "c"], ["a", "b"]])
def test_a_probe_in_raw_units_equals_sklearns(rng, classes):
    embedding = rng.normal(3, 0.1, size=(60, 5)).astype(np.float32)
    codes = rng.integers(0, len(classes), 60)
    probe = fitting.fit_logistic(embedding, codes, classes, 0.5)
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.5, class_weight="balanced", max_iter=10_000, tol=1e-6)
    ).fit(embedding.astype(float), codes)
    mine = probes.apply_probe(embedding, probe)
    assert mine == pytest.approx(model.predict_proba(embedding.astype(float)), abs=1e-9)
    assert (mine.argmax(axis=1) == model.predict(embedding.astype(float))).all()


def test_a_probe_survives_its_json_file(rng, tmp_path):
    embedding, target = rng.normal(size=(40, 5)).astype(np.float32), rng.normal(50, 10, 40)
    probe = fitting.fit_ridge(embedding, target, 2.0, "lvef_percent")
    model = make_pipeline(StandardScaler(), Ridge(alpha=2.0)).fit(embedding.astype(float), target)
    digest = probes.write_probes(tmp_path / "probes.json", {"lvef": probe})
    assert digest == probes.write_probes(tmp_path / "again.json", {"lvef": probe})
    loaded = probes.read_probes(tmp_path / "probes.json")["lvef"]
    assert loaded.outputs == ("lvef_percent",)
    predicted = probes.apply_probe(embedding, loaded)[:, 0]
    assert predicted == pytest.approx(model.predict(embedding.astype(float)), abs=1e-5)
    json.loads((tmp_path / "probes.json").read_text())


def test_a_probe_refuses_another_width(rng):
    probe = fitting.fit_ridge(rng.normal(size=(10, 3)), rng.normal(size=10), 1.0, "x")
    with pytest.raises(ValueError, match="reads 3 numbers a study, got 4"):
        probes.apply_probe(np.zeros((2, 4)), probe)


def test_lvef_is_recovered_beside_the_error_of_the_training_mean(cohort):
    studies, embedding = cohort
    lvef = studies["lvef"].to_numpy().copy()
    lvef[:3] = np.nan
    outcome = classification.lvef_probe(embedding, lvef, studies["split"], studies["patient_key"], SETTINGS)
    table = outcome.table.set_index(["method", "metric"])["value"]
    test = (studies["split"] == "test").to_numpy() & np.isfinite(lvef)
    train = (studies["split"] == "train").to_numpy() & np.isfinite(lvef)
    constant = mean_absolute_error(lvef[test], np.full(test.sum(), lvef[train].mean()))
    error = mean_absolute_error(outcome.predictions["true"], outcome.predictions["predicted"])
    correlation = np.corrcoef(outcome.predictions["true"], outcome.predictions["predicted"])[0, 1]
    assert table["training mean", "mean_absolute_error"] == pytest.approx(constant)
    assert table["ridge probe", "mean_absolute_error"] == pytest.approx(error)
    assert table["ridge probe − training mean", "mean_absolute_error"] == pytest.approx(error - constant)
    assert table["ridge probe", "pearson_r"] == pytest.approx(correlation)
    assert error < 0.6 * constant


def test_zero_shot_takes_the_nearest_prompt(cohort):
    studies, embedding = cohort
    studies.loc[0, "diagnosis"] = "AMY"
    outcome = classification.zero_shot(
        embedding, np.eye(12, dtype=np.float32)[:3], studies["diagnosis"], studies["patient_key"], SETTINGS
    )
    nearest = np.asarray(CLASSES)[embedding[1:, :3].argmax(axis=1)]
    assert outcome.predictions["predicted"].tolist() == nearest.tolist()
    assert first(outcome.table)["n"] == N - 1
    assert first(outcome.table)["low"] > 0.8
    assert outcome.probe is None


def test_findings_are_scored_without_a_threshold(cohort, rng):
    studies, embedding = cohort
    truth = pd.DataFrame({"lge": (studies["diagnosis"] == "DCM").astype(int), "nothing": 0})
    present, absent = np.eye(12)[[1, 1]], np.eye(12)[[0, 0]]
    table = classification.zero_shot_findings(
        embedding, present, absent, truth, studies["patient_key"], SETTINGS
    ).set_index("task")
    wanted = roc_auc_score(truth["lge"], embedding[:, 1] - embedding[:, 0])
    assert table["value"]["lge"] == pytest.approx(wanted)
    assert np.isnan(table["value"]["nothing"])
    fitted, kept = classification.finding_probes(embedding, truth, studies["split"], studies["patient_key"], SETTINGS)
    assert fitted.set_index("task")["value"]["lge"] > 0.9
    assert list(kept) == ["lge"]
    assert fitted.set_index("task")["n"]["nothing"] == 45


def test_a_class_without_training_studies_counts_as_wrong(cohort):
    studies, embedding = cohort
    rare = (studies["diagnosis"] == "HCM") & (studies["split"] != "test")
    studies.loc[rare, "diagnosis"] = "AMY"
    outcome = probe_of(studies, embedding)
    assert outcome.probe.outputs == ("NOR", "DCM")
    assert outcome.confusion["HCM"].sum() == 0
    assert first(outcome.table)["value"] <= 2 / 3


def test_empty_splits_and_single_classes_are_refused(cohort):
    studies, embedding = cohort
    with pytest.raises(ValueError, match="validation split holds no study"):
        probe_of(studies.assign(split=studies["split"].replace("validation", "train")), embedding)
    one = studies.assign(diagnosis=studies["diagnosis"].where(studies["split"] == "test", "NOR"))
    with pytest.raises(ValueError, match="fewer than two"):
        probe_of(one, embedding)


def test_metrics_have_names_n_and_chance(cohort):
    studies, embedding = cohort
    metrics = classification.classification_metrics(probe_of(studies, embedding).table)
    assert metrics["diagnosis.linear_probe.balanced_accuracy"]["chance"] == pytest.approx(1 / 3)
    assert all({"value", "n", "low", "high"} <= set(entry) for entry in metrics.values())


def test_two_runs_give_the_same_numbers(cohort):
    studies, embedding = cohort
    pd.testing.assert_frame_equal(probe_of(studies, embedding).table, probe_of(studies, embedding).table)
