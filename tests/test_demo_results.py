"""The committed demo keeps what is promised of it, and the README quotes it truly (synthetic phantom)."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "outputs" / "demo"


def metrics(stage: str) -> dict:
    return json.loads((DEMO / stage / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("direction", ["image_to_report", "report_to_image"])
def test_recall_is_surely_four_times_chance_and_the_task_not_too_easy(direction):
    found = metrics("retrieval")
    recall = found[f"{direction}.gallery.recall_at_10"]
    assert recall["gallery"] == 200
    assert recall["n"] >= 240
    assert recall["low"] >= 4 * recall["chance"]
    assert found[f"{direction}.own.recall_at_1"]["value"] <= 0.5
    control = found[f"{direction}.shuffled.recall_at_10"]
    assert control["low"] <= control["chance"] <= control["high"]


def test_diagnosis_and_ejection_fraction_are_read_off_the_embeddings():
    found = metrics("classification")
    diagnosis, error = found["diagnosis.linear_probe.balanced_accuracy"], found["lvef.ridge_probe.mean_absolute_error"]
    assert diagnosis["chance"] == 0.2
    assert diagnosis["low"] >= 3 * diagnosis["chance"]
    assert diagnosis["value"] >= 0.80
    assert error["n"] >= 240
    assert error["value"] <= 6
    assert found["lvef.ridge_probe_minus_training_mean.mean_absolute_error"]["high"] < 0


def test_every_diagnosis_is_told_from_the_others_and_little_is_lost_with_few_labels():
    found = metrics("classification")
    every = found["every_diagnosis.linear_probe.macro_auroc"]
    assert every["value"] >= 0.90
    assert every["n"] >= 240
    shots = [found[f"every_diagnosis.{number}_shots.macro_auroc"]["value"] for number in (1, 2, 4, 8, 16, 32)]
    assert shots == sorted(shots)


def test_late_enhancement_is_told_and_whether_it_reached_its_mark_is_written_in_the_notebook():
    """The mark is 0.90; where the demo stays below, notebook and LOG.md say so with the number."""
    found = metrics("classification")["lge.linear_probe.auroc"]
    assert found["low"] > 0.75
    copy = (DEMO / "classification" / "05_classification.ipynb").read_text(encoding="utf-8")
    assert "which was to reach 0.90: it " + ("does." if found["value"] >= 0.9 else "does not.") in copy


def test_the_second_hospital_has_its_numbers_and_their_loss_with_an_interval():
    found = metrics("classification")
    there, loss = (found[f"second_hospital{name}.diagnosis.macro_auroc"] for name in ("", "_loss"))
    assert there["n"] >= 150
    assert there["low"] > 0.5
    assert loss["low"] <= loss["value"] <= loss["high"]
    assert loss["chance"] == 0.0
    assert found["ACDC_layout_own_probe.every_diagnosis.macro_auroc"]["n"] == 50


def test_search_by_kind_is_better_than_chance_and_says_its_gallery():
    found = metrics("retrieval")
    near = found["image_to_image.diagnosis.precision_at_10"]
    assert near["low"] > 2 * near["chance"]
    assert near["gallery"] >= 240
    for way in ("image_to_report", "report_to_image"):
        same = found[f"{way}.same_clinical.recall_at_10"]
        assert same["value"] >= found[f"{way}.own.recall_at_10"]["value"]
        assert same["low"] > same["chance"]


def experiment(name: str) -> dict:
    return json.loads((ROOT / "experiments" / name / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("baseline", ["bag_of_pixels", "single_frame", "full_one_frame"])
@pytest.mark.parametrize(
    "task",
    [
        "diagnosis.five classes.{}.balanced_accuracy",
        "diagnosis.all classes.{}.balanced_accuracy",
        "findings_mean.all.{}.auroc",
    ],
)
def test_the_model_surely_beats_what_needs_no_model(task, baseline):
    found = experiment("baselines")[task.format(f"full_minus_{baseline}")]
    assert found["low"] > 0
    assert found["n"] >= 240


def test_late_enhancement_is_seen_in_its_own_images_alone():
    found = experiment("lge_shuffle")
    assert found["lge.all.true_lge_minus_shuffled_lge.auroc"]["low"] >= 0.10
    for stratum in ("silent: DCM", "silent: NOR, MYO, NIF"):
        seen, left = (found[f"lge.{stratum}.{which}_lge.auroc"] for which in ("true", "shuffled"))
        assert seen["low"] > 0.5, stratum
        assert left["low"] <= 0.5 <= left["high"], stratum


def test_the_ceiling_of_equal_reports_is_stated_and_kept():
    best, found = experiment("ceiling"), metrics("retrieval")
    ceiling = next(value for name, value in best.items() if "gallery of 200.ceiling.recall_at_1" in name)
    assert 0.9 < ceiling["value"] < 1
    for direction in ("image_to_report", "report_to_image"):
        assert found[f"{direction}.gallery.recall_at_1"]["value"] < ceiling["low"]


def test_readme_quotes_the_committed_numbers():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    retrieval, classification = metrics("retrieval"), metrics("classification")
    quoted = [
        *(retrieval[f"{way}.gallery.recall_at_10"] for way in ("image_to_report", "report_to_image")),
        *(classification[f"diagnosis.{how}.balanced_accuracy"] for how in ("linear_probe", "zero_shot")),
    ]
    quoted += [entry for name, entry in experiment("lge_shuffle").items() if not ("silent" in name and "minus" in name)]
    quoted += [
        experiment("baselines")[f"diagnosis.all classes.{model}.balanced_accuracy"]
        for model in ("full", "bag_of_pixels", "small_images", "single_frame", "report_only")
    ]
    for entry in quoted:
        assert f"{entry['value']:.2f} ({entry['low']:.2f} to {entry['high']:.2f})" in text, entry
    error = classification["lvef.ridge_probe.mean_absolute_error"]
    assert f"{error['value']:.1f} ({error['low']:.1f} to {error['high']:.1f}) points" in text
    assert f"validation loss {metrics('pretrain')['validation_loss']['value']:.2f}" in text
    assert len(re.findall(r"n = \d+", text)) >= 4
