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
    assert diagnosis["value"] >= 0.80
    assert error["n"] >= 240
    assert error["value"] <= 6
    assert found["lvef.ridge_probe_minus_training_mean.mean_absolute_error"]["high"] < 0


def test_readme_quotes_the_committed_numbers():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    retrieval, classification = metrics("retrieval"), metrics("classification")
    quoted = [
        *(retrieval[f"{way}.gallery.recall_at_10"] for way in ("image_to_report", "report_to_image")),
        *(classification[f"diagnosis.{how}.balanced_accuracy"] for how in ("linear_probe", "zero_shot")),
    ]
    for entry in quoted:
        assert f"{entry['value']:.2f} ({entry['low']:.2f} to {entry['high']:.2f})" in text, entry
    error = classification["lvef.ridge_probe.mean_absolute_error"]
    assert f"{error['value']:.1f} ({error['low']:.1f} to {error['high']:.1f}) points" in text
    assert f"validation loss {metrics('pretrain')['validation_loss']['value']:.2f}" in text
    assert len(re.findall(r"n = \d+", text)) >= 4
