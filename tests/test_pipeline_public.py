"""A person with ACDC on disk edits two lines and gets the five-class table: notebooks 02 to 05 on a phantom of it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import public_maker as public
import pytest

from cmr_lib import params

pytestmark = pytest.mark.pipeline
ROOT = Path(__file__).resolve().parents[1]
GROUPS = {"NOR": 1.0, "DCM": 0.3, "HCM": 1.4, "MINF": 0.5, "RV": 0.8}  # and how strongly the heart of each contracts
NOTEBOOKS = ("02_preprocess", "03_pretrain", "04_retrieval", "05_classification")


def write_acdc(root, training=15, testing=10):
    """ACDC's layout: patients of five groups who contract more or less."""
    data, affine = public.volume()
    for number in range(1, training + testing + 1):
        group = list(GROUPS)[number % 5]
        part = "training" if number <= training else "testing"
        name = f"patient{number:03d}"
        folder = root / "database" / part / name
        noise = np.random.default_rng(number).normal(0, 4, data.shape)
        moving = data[..., [0, 1, 2, 3, 4, 5]].astype(float)
        moving[..., 2] = moving[..., 0] + GROUPS[group] * (moving[..., 2] - moving[..., 0])
        public.write_nifti(folder / f"{name}_4d.nii.gz", np.rint(moving + noise).astype(np.int16), affine)
        codes = np.array([0, 3, 2, 1], dtype=np.uint8)  # the maker's labels are M&Ms'
        for frame in (0, 2):
            mask = codes[public.mask_of(data[..., frame])]
            public.write_nifti(folder / f"{name}_frame{frame + 1:02d}_gt.nii.gz", mask, affine)
        lines = {"ED": 1, "ES": 3, "Group": group, "Height": 170.0, "NbFrame": 6, "Weight": 70.0 + number}
        (folder / "Info.cfg").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    return root


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The four notebooks with the demo's parameters, two lines of preprocess.yaml edited; their folder."""
    root = tmp_path_factory.mktemp("public")
    database = write_acdc(root / "acdc")
    profile = shutil.copytree(ROOT / "params" / "demo", root / "params")
    text = (profile / "preprocess.yaml").read_text().splitlines()
    edited = [f"  studies: {database}" if line.startswith("  studies: null") else line for line in text]
    edited = ["source: acdc" if line.startswith("source: simulated") else line for line in edited]
    assert sum(one != two for one, two in zip(text, edited, strict=True)) == 2
    (profile / "preprocess.yaml").write_text("\n".join(edited) + "\n")
    for notebook in NOTEBOOKS:
        run(root, notebook)
    return root / "out"


def run(root, notebook):
    """One notebook, with the parameters that lie in `root`, into root/out."""
    stage = notebook[3:]
    out = root / "out" / stage
    words = [sys.executable, "-m", "cmr_lib.run", f"notebooks/{notebook}.ipynb", str(out / f"{notebook}.ipynb")]
    words += ["-f", str(root / "params" / f"{stage}.yaml"), "-s", f"out_dir={out}"]
    places = [place for place in ("data_dir", "in_root") if place in params.STAGES[stage].model_fields]
    words += [word for place in places for word in ("-s", f"{place}={root / 'out'}")]
    words += ["-s", "bootstrap=50"] if "bootstrap" in params.STAGES[stage].model_fields else []
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def metrics(walked, stage):
    return json.loads((walked / stage / "metrics.json").read_text())


def words_of(walked, stage, number):
    notebook = nbformat.read(walked / stage / f"{number}_{stage}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(str(output.get("data", {}).get("text/markdown", "")) for output in outputs)


def test_preprocess_writes_the_same_tables_with_labels_and_the_official_split(walked):
    studies = pd.read_parquet(walked / "preprocess" / "studies.parquet")
    assert studies.diagnosis.value_counts().to_dict() == dict.fromkeys(("NOR", "DCM", "HCM", "ICM", "ARV"), 5)
    assert studies.split.value_counts().to_dict() == {"train": 12, "test": 10, "validation": 3}
    assert studies.lvef.notna().all()
    assert not studies.has_report.any()
    assert pd.read_parquet(walked / "preprocess" / "reports.parquet").empty
    assert len(pd.read_csv(walked / "preprocess" / "qc.csv")) == 25


def test_the_card_says_whose_data_it_is(walked):
    card = (walked / "preprocess" / "data_card.md").read_text()
    assert "10.1109/TMI.2018.2837502" in card
    assert "CC BY-NC-SA 4.0" in card
    assert json.loads((walked / "preprocess" / "cohort.json").read_text())["source"] == "acdc"


def test_without_reports_nothing_is_trained_and_the_shipped_weights_are_used(walked):
    made = (walked / "pretrain" / "model" / "model.safetensors").read_bytes()
    assert made == (ROOT / "weights/demo/model/model.safetensors").read_bytes()
    said = words_of(walked, "pretrain", "03")
    assert "n = 0 studies have a report" in said
    assert "mode frozen, init released" in said
    used = json.loads((ROOT / "weights/demo/settings.json").read_text())["frames"]
    assert json.loads((walked / "pretrain" / "frames.json").read_text()) == used
    assert "Nothing here (mode: frozen)" in (walked / "pretrain" / "model_card.md").read_text()


def test_a_stage_that_needs_reports_writes_n_0_and_a_sentence(walked):
    found = metrics(walked, "retrieval")
    assert found.pop("unique_impressions") == {"n": 0, "value": 0.0}
    assert {name.partition(".")[0] for name in found} <= {"image_to_image", "text_query"}  # these need no report
    assert found["image_to_image.diagnosis.mrr"]["n"] == 10  # a gallery of nine has no first ten
    assert "n = 0: no test study has a report" in words_of(walked, "retrieval", "04")
    assert {path.suffix for path in (walked / "retrieval" / "figures").iterdir()} == {".png", ".pdf"}


def test_the_five_class_table_is_there_with_n_interval_and_chance(walked):
    found = metrics(walked, "classification")
    for method in ("linear_probe", "zero_shot"):
        number = found[f"diagnosis.{method}.balanced_accuracy"]
        assert (number["n"], number["chance"]) == (10, 0.2)
        assert 0 <= number["low"] <= number["value"] <= number["high"] <= 1
    confusion = pd.read_csv(walked / "classification" / "tables" / "confusion.csv", index_col="true")
    assert list(confusion.index) == list(confusion.columns) == ["NOR", "DCM", "HCM", "ICM", "ARV"]
    assert confusion.to_numpy().sum() == 10
    assert (confusion.sum(axis=1) == 2).all()
    tasks = set(pd.read_csv(walked / "classification" / "tables" / "classification.csv").task)
    assert "lv_dysfunction" in tasks
    assert "lge" not in tasks  # nobody drew it: not asked


@pytest.mark.slow
def test_the_map_the_attention_and_the_summary_of_a_public_set_carry_its_name(walked):
    for notebook in ("06_umap", "07_attention", "08_results"):
        run(walked.parent, notebook)
    assert metrics(walked, "umap")["knn_purity"]["n"] == 10
    assert len(pd.read_csv(walked / "attention" / "tables" / "scores.csv")) == 6
    said = words_of(walked, "results", "08")
    assert "Automated Cardiac Diagnosis Challenge" in said
    assert "R@10 in sub-galleries: n = 0" in said
    ours = pd.read_csv(walked / "results" / "tables" / "ours.csv")
    assert "simulate" not in set(ours.stage)
    assert ours.note.str.contains("Automated Cardiac Diagnosis Challenge").all()
