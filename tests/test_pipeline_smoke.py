"""The whole pipeline, smoke-sized, in a copy of the working files: it runs, does not run again, and repeats itself."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from cmr_lib import params, project
from tools import workspace

pytestmark = pytest.mark.pipeline
ROOT = Path(__file__).resolve().parents[1]
STAGES = list(params.STAGES)


def dvc(copy: Path, *words: str) -> str:
    """What `dvc` prints in the copy; fails the test when it fails."""
    done = subprocess.run([sys.executable, "-m", "dvc", *words], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def digests(copy: Path) -> dict[str, str]:
    """SHA-256 of everything the stages made, but for the untracked host facts and what a resumed run would need."""
    folder = copy / "outputs" / "smoke"
    aside = {"run.json", ".gitignore", "finished.json"}
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in aside]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


@pytest.fixture
def walked(smoke_copy) -> Path:
    """A copy of the working files in which smoke has run from nothing."""
    return smoke_copy


def test_every_stage_leaves_metrics_figures_and_an_executed_copy(walked):
    for number, stage in enumerate(STAGES, 1):
        folder = walked / "outputs" / "smoke" / stage
        assert json.loads((folder / "metrics.json").read_text()), stage
        pictures = {path.suffix for path in (folder / "figures").iterdir()}
        assert pictures == {".png", ".pdf"}, stage
        executed = nbformat.read(folder / f"{number:02d}_{stage}.ipynb", as_version=4)
        assert any(cell.get("outputs") for cell in executed.cells), stage


def test_found_is_accepted_plus_rejected_plus_ignored(walked):
    counts = json.loads((walked / "outputs/smoke/preprocess/metrics.json").read_text())
    for level in ("files", "studies", "reports"):
        assert counts[level]["found"] == sum(counts[level].get(k, 0) for k in ("accepted", "rejected", "ignored"))


def test_every_zip_and_every_report_is_accounted_for(walked):
    truth = pd.read_csv(walked / "data/smoke/truth.csv")
    studies = pd.read_parquet(walked / "outputs/smoke/preprocess/studies.parquet")
    rejects = pd.read_csv(walked / "outputs/smoke/preprocess/rejects.csv")
    assert len(studies) == truth.has_images.sum() == len(list((walked / "data/smoke/studies").glob("*.zip")))
    assert (rejects.code == "W_NO_REPORT").sum() == (~studies.has_report).sum() == (truth.has_report == 0).sum()
    assert (rejects.code == "E_NO_STUDY").sum() == (truth.has_images == 0).sum()


def test_no_identifier_reaches_the_outputs(walked):
    truth = pd.read_csv(walked / "data/smoke/truth.csv")
    names = [value.encode() for column in ("patient_id", "accession") for value in truth[column].unique()]
    for path in (walked / "outputs/smoke").rglob("*"):
        # notebook 01 stands before de-identification: it shows the invented hospital itself
        if path.is_file() and path.parts[-2] != "simulate" and path.suffix != ".png":
            content = path.read_bytes()
            assert not [name for name in names if name in content], path


def test_no_patient_is_in_two_splits(walked):
    studies = pd.read_parquet(walked / "outputs/smoke/preprocess/studies.parquet")
    splits_of = studies.groupby("patient_key").split.agg(set)
    assert splits_of.map(len).max() == 1


def test_shuffled_pairs_are_found_at_chance(walked):
    metrics = json.loads((walked / "outputs/smoke/retrieval/metrics.json").read_text())
    control = metrics["image_to_report.shuffled.recall_at_1"]
    assert control["low"] <= control["chance"] <= control["high"]


def test_a_second_run_runs_nothing(walked):
    said = dvc(walked, "repro")
    assert "Running stage" not in said
    assert said.count("didn't change, skipping") == len(STAGES)
    assert "up to date" in dvc(walked, "status")


def test_a_forced_run_retrains_and_ends_in_the_same_bytes(walked):
    assert not list((walked / "outputs/smoke/pretrain").rglob(".checkpoints/*"))  # nothing to resume: it trains anew
    before, lock = digests(walked), (walked / "dvc.lock").read_bytes()
    assert workspace.reproduce(walked, ["--force"]) == 0
    after = digests(walked)
    assert {name for name in before if before[name] != after.get(name)} == set()
    assert set(after) == set(before)
    assert (walked / "dvc.lock").read_bytes() == lock


def run(copy: Path, notebook: str, out: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    """`cmr_lib.run` with the smoke parameters of the notebook's stage."""
    words = [sys.executable, "-m", "cmr_lib.run", f"notebooks/{notebook}.ipynb", str(out)]
    words += ["-f", f"params/smoke/{notebook[3:]}.yaml"]
    words += [part for setting in settings for part in ("-s", setting)]
    return subprocess.run(words, cwd=copy, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("stage", "missing", "made_by"),
    [("03_pretrain", "preprocess", "notebook 02"), ("05_classification", "pretrain", "notebook 03")],
)
def test_missing_input_of_a_stage_is_one_sentence_that_names_its_maker(walked, tmp_path, stage, missing, made_by):
    places = [f"out_dir={tmp_path}", f"in_root={tmp_path}/nothing"]
    places += ["data_dir=data/smoke"] if "data_dir" in params.STAGES[stage[3:]].model_fields else []
    done = run(walked, stage, tmp_path / "out.ipynb", *places)
    assert done.returncode == 1
    assert f"{missing}" in done.stderr
    assert made_by in done.stderr
    assert not (tmp_path / "out.ipynb").exists()


def test_an_empty_folder_of_studies_ends_preprocess_in_one_sentence(walked, tmp_path):
    (tmp_path / "empty").mkdir()
    key = project.own_key_file(tmp_path / "key")
    places = [f"out_dir={tmp_path}/out", f"data_dir={tmp_path}", "source=dicom", f"identity.key_file={key}"]
    done = run(walked, "02_preprocess", tmp_path / "out.ipynb", *places, f"cohort.studies={tmp_path}/empty")
    assert done.returncode == 1
    assert "No study in" in done.stderr
    assert "cohort.studies" in done.stderr
    assert not (tmp_path / "out.ipynb").exists()


def test_frozen_weights_are_embedded_without_training(walked, tmp_path):
    released = ["mode=frozen", f"init={walked / 'outputs/smoke/pretrain/model'}"]
    done = run(walked, "03_pretrain", tmp_path / "out.ipynb", f"out_dir={tmp_path}", "in_root=outputs/smoke", *released)
    assert done.returncode == 0, done.stderr[-2000:]
    made = (tmp_path / "model" / "model.safetensors").read_bytes()
    assert made == (walked / "outputs/smoke/pretrain/model/model.safetensors").read_bytes()
    assert "train_loss" not in json.loads((tmp_path / "metrics.json").read_text())
