"""A clinic's own DICOM through the whole pipeline, in its restricted copy, with reports and without."""

import json
import shutil
import stat
import subprocess
from pathlib import Path

import dicom_maker as maker
import nbformat
import pandas as pd
import pytest

from tools import hygiene, workspace

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
        yield ran(tmp_path_factory.mktemp("clinic"), patch, reports=True)
