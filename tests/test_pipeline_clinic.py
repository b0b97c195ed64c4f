"""A clinic's own DICOM through the whole pipeline, in its restricted copy, with reports and without."""

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import dicom_maker as maker
import nbformat
import pandas as pd
import pytest

from tools import hygiene, own_data, workspace

pytestmark = pytest.mark.pipeline
ROOT = Path(__file__).resolve().parents[1]
STUDIES = 12
SECRETS = ("Secret", "Mustermann", "MRN-", "ACC-")
LOCAL = """
preprocess:
  cohort: {{studies: {studies}, reports: {reports}}}
  identity: {{key_file: {key}}}
pretrain:
  optim: {{epochs: 1, batch_studies: 2}}
  video: {{depth: 1}}
  text: {{vocabulary: 200, depth: 1}}
retrieval: {{bootstrap: 20, gallery_draws: 5}}
"""
TEXT = "FINDINGS: Left ventricle of normal size, study number {n}. IMPRESSION: Normal heart, case {n}."


def write_clinic(folder, reports):
    """Folders of DICOM as a hospital exports them, named after patients, and a report table."""
    for number in range(STUDIES):
        told = {"PatientID": f"MRN-{number}", "AccessionNumber": f"ACC-{number}", "StudyDate": "20240131"}
        files = maker.study(3, 4, StudyInstanceUID=f"1.2.9.{number}", **told)
        place = folder / "studies" / f"Mustermann_{number}"
        place.mkdir(parents=True)
        for index, ds in enumerate(files):
            (place / f"IM{index:04d}").write_bytes(maker.encode(ds))
    rows = [{"patient_id": f"MRN-{n}", "accession": f"ACC-{n}", "report": TEXT.format(n=n)} for n in range(STUDIES)]
    pd.DataFrame(rows).to_csv(folder / "reports.csv", index=False)
    return LOCAL.format(
        studies=folder / "studies", reports=folder / "reports.csv" if reports else "null", key=folder / "keys" / "key"
    )


def clone_of(target):
    """The working files as a repository of their own."""
    for file in hygiene.working_files(ROOT):
        if (ROOT / file).is_file() and file.parts[0] not in ("outputs", "tests", "experiments"):
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, target / file)
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)
    return target


def ran(folder, patch, *, reports, targets=()):
    """The clinic's copy after `make repro PROFILE=clinic`."""
    root = clone_of(folder / "clone")
    (root / "params/clinic/local.yaml").write_text(write_clinic(folder, reports))
    patch.setattr(workspace.project, "find_root", lambda *_: root)
    assert workspace.main(["clinic", *targets]) == 0
    return root / ".ws" / "clinic"


@pytest.fixture(scope="module")
def with_reports(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield ran(tmp_path_factory.mktemp("clinic"), patch, reports=True, targets=("retrieval", "classification"))


def files_below(folder):
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def metrics(copy, stage):
    return json.loads((copy / "outputs/clinic" / stage / "metrics.json").read_text())


def words_of(copy, number, stage):
    """What a stage's executed copy says in sentences."""
    notebook = nbformat.read(copy / "outputs/clinic" / stage / f"{number}_{stage}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(str(output.get("data", {}).get("text/markdown", "")) for output in outputs)


def test_the_whole_pipeline_runs_on_a_clinics_studies_without_a_hospital(with_reports):
    assert metrics(with_reports, "preprocess")["studies"] == {"found": STUDIES, "accepted": STUDIES, "rejected": 0}
    assert metrics(with_reports, "preprocess")["reports"]["accepted"] == STUDIES
    assert metrics(with_reports, "pretrain")["train_loss"]["n"] == 7  # 0.6 of 12 patients
    assert metrics(with_reports, "retrieval")["image_to_report.own.recall_at_1"]["n"] == 3
    assert not (with_reports / "outputs/clinic/simulate").exists()
    assert not (with_reports / "data/clinic").exists()


def test_what_needs_labels_that_a_clinic_has_not_says_so_and_writes_n_0(with_reports):
    found = metrics(with_reports, "classification")
    assert found["diagnosis.linear_probe.balanced_accuracy"]["n"] == 0
    assert found["lvef.ridge_probe.mean_absolute_error"]["n"] == 0
    assert "n = 0" in words_of(with_reports, "05", "classification")


def test_nothing_outside_the_copy_learns_of_a_patient_and_the_copy_is_its_owners(with_reports):
    root = with_reports.parents[1]
    assert with_reports.stat().st_mode & 0o077 == 0
    key = root.parent / "keys" / "key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    outside = [path for path in files_below(root) if not path.is_relative_to(with_reports)]
    names = [path for path in outside if path.name != "local.yaml"]
    assert not [path for path in names if any(secret.encode() in path.read_bytes() for secret in SECRETS)]
    assert (with_reports / ".dvc/cache/files/md5").is_dir()
    assert not (root / ".dvc/cache").exists()
    assert files_below(with_reports / ".dvc/site")
    ours = [path for path in files_below(with_reports / "outputs") if path.suffix != ".parquet"]  # texts are its own
    assert ours
    assert not [path for path in ours if any(secret.encode() in path.read_bytes() for secret in SECRETS)]
    assert "Mustermann" not in (with_reports / "dvc.lock").read_text()


def test_a_second_run_has_nothing_to_do_and_a_new_file_is_noticed(with_reports):
    root = with_reports.parents[1]
    said = subprocess.run(
        [sys.executable, "-m", "dvc", "status"], cwd=with_reports, capture_output=True, text=True, check=True
    ).stdout
    assert not any(f"{stage}:" in said for stage in ("preprocess", "pretrain", "retrieval", "classification"))
    before = own_data.fingerprint(root, "clinic")
    (root.parent / "studies" / "Mustermann_0" / "IM9999").write_bytes(b"x")
    assert own_data.fingerprint(root, "clinic") != before


@pytest.mark.slow
def test_map_attention_and_summary_of_a_clinic_call_no_heart_a_phantom(with_reports):
    assert workspace.reproduce(with_reports) == 0
    assert metrics(with_reports, "umap")["knn_purity"]["n"] == 0
    assert len(pd.read_csv(with_reports / "outputs/clinic/attention/tables/scores.csv")) == 6
    for number, stage in (("06", "umap"), ("08", "results")):
        assert "n = 0" in words_of(with_reports, number, stage)
    assert "On own studies" in words_of(with_reports, "08", "results")
    assert "synthetic" not in words_of(with_reports, "08", "results")


@pytest.mark.slow
def test_without_reports_studies_are_embedded_with_the_shipped_weights(tmp_path, monkeypatch):
    copy = ran(tmp_path, monkeypatch, reports=False)
    made = copy / "outputs/clinic/pretrain/model/model.safetensors"
    assert made.read_bytes() == (ROOT / "weights/demo/model/model.safetensors").read_bytes()
    assert "n = 0 studies have a report" in words_of(copy, "03", "pretrain")
    assert metrics(copy, "retrieval") == {"unique_impressions": {"n": 0, "value": 0.0}}
    assert "n = 0" in words_of(copy, "04", "retrieval")
    assert metrics(copy, "results") is not None
