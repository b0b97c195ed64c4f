"""The test split has one door, and whoever goes through it is written down."""

import io
import json
import re
import tokenize
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from cmr_lib import params
from cmr_lib.evaluation import classification, external, findings, harness, held_out, makers, material, probes
from cmr_lib.types import Split
from tools import verify

ROOT = Path(__file__).resolve().parents[1]
NAMES = ["train", "test", "validation", "test", "train", "test"]
SETTINGS = params.Classification(
    out_dir="o", in_root="i", data_dir="d", seed=1, classes=["NOR"], probe=params.Probe(strengths=[0.1], ridge=[1.0]),
    neighbours=[5], shots=[1, 4], episodes=4, specificities=[0.9], second_hospital=False, acdc=None, workers=1,
    bootstrap=20,
)  # fmt: skip


@pytest.fixture
def log(tmp_path, monkeypatch):
    path = tmp_path / "log" / "readings.jsonl"
    monkeypatch.setenv(held_out.LOG_VARIABLE, str(path))
    return path


def test_rows_are_those_of_the_test_split_and_the_reading_is_a_line(log):
    assert held_out.rows(NAMES, "one").tolist() == [1, 3, 5]
    assert held_out.rows(pd.Series(NAMES), "two", among=pd.Series(NAMES).index != 3).tolist() == [1, 5]
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(entry["reader"], entry["studies"]) for entry in entries] == [("one", 3), ("two", 2)]
    assert all(set(entry) == {"when", "reader", "studies"} for entry in entries)


def test_reading_what_one_may_look_at_is_not_written_down(log):
    assert held_out.rows_of(Split.TRAIN, NAMES, "a").tolist() == [0, 4]
    assert held_out.rows_of(Split.VALIDATION, NAMES, "a", np.array([True] * 6)).tolist() == [2]
    assert not log.exists()
    parts = held_out.three(NAMES, "probe")
    assert sorted(np.concatenate(parts)) == list(range(6))
    assert len(log.read_text().splitlines()) == 1


def test_a_reader_without_a_name_and_a_log_that_cannot_be_written_are_refused(log, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="reader is empty"):
        held_out.rows(NAMES, " ")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(held_out.LOG_VARIABLE, str(tmp_path / "file" / "log.jsonl"))
    with pytest.raises(OSError, match="file"):
        held_out.rows(NAMES, "one")


def test_readings_are_counted_by_reader(log):
    assert held_out.readings(log).empty
    for reader in ("retrieval", "probe", "probe"):
        held_out.rows(NAMES, reader)
    found = held_out.readings(log)
    assert found[["reader", "readings", "studies"]].to_numpy().tolist() == [["probe", 2, 3], ["retrieval", 1, 3]]


def test_probes_of_the_notebook_and_of_the_experiments_go_through_the_door(log):
    random = np.random.default_rng(0)
    truth = pd.DataFrame({"lge": random.integers(0, 2, 90)})
    splits, features = pd.Series(["train", "validation", "test"] * 30), random.normal(size=(90, 3))
    patients = pd.Series([f"p{row}" for row in range(90)])
    classification.finding_probes(features, truth, splits, patients, SETTINGS)
    harness.answers(harness.finding_target(truth, "lge"), features, splits, SETTINGS.probe)
    assert held_out.readings(log)["reader"].tolist() == ["classification: probes", "experiments: lge, all"]


def labelled_studies(random):
    """90 studies of as many patients, with two diagnoses, three makers, two findings and an LVEF."""
    words = {"split": ["train", "validation", "test"] * 30, "diagnosis": random.choice(["NOR", "DCM"], 90)}
    facts = {"vendor": random.choice(["a", "b", "c"], 90), "lvef": random.normal(55, 9, 90)}
    truth = {name: random.integers(0, 2, 90) for name in ("lge", "effusion")}
    return pd.DataFrame({"patient_key": [f"p{row}" for row in range(90)], **words, **facts, **truth})


def test_findings_are_one_reading_however_many_they_are(log):
    random = np.random.default_rng(0)
    studies, image = labelled_studies(random), random.normal(size=(90, 3))
    scored = findings.score(image, studies, studies[["lge", "effusion"]], random.normal(size=(2, 3)), {})
    for name in ("lge", "effusion"):
        assert len(scored.pairs(findings.ZERO_SHOT, name, Split.TEST)) == 30
    assert scored.rows(Split.TEST).tolist() == list(range(2, 90, 3))
    assert held_out.readings(log)[["reader", "readings"]].to_numpy().tolist() == [["classification: findings", 1]]


def test_a_target_is_no_reading_but_for_the_chance_of_lvef(log):
    studies = labelled_studies(np.random.default_rng(0))
    harness.every_diagnosis_target(studies)
    harness.finding_target(studies, "lge")
    assert not log.exists()
    harness.targets(studies)
    assert len(log.read_text().splitlines()) == 1


def test_makers_left_out_are_one_reading_however_many_they_are(log):
    random = np.random.default_rng(0)
    studies, image = labelled_studies(random), random.normal(size=(90, 3))
    probe = probes.Probe("logistic", ("NOR", "DCM"), np.zeros((2, 3)), np.zeros(2))
    table = makers.leave_one_vendor_out(external.Cohort("own", studies, image, image), probe, SETTINGS)
    assert {"a left out", "b left out", "c left out"} <= set(table["cohort"])
    assert len(log.read_text().splitlines()) == 1


def test_an_experiment_is_named_as_the_reader_of_its_material(log):
    studies = pd.DataFrame({"split": NAMES})
    one = material.Material(Path(), studies, [""] * 6, [""] * 6, np.zeros((6, 2)), reader="guards")
    assert one.rows(Split.TEST).tolist() == [1, 3, 5]
    assert held_out.readings(log)["reader"].tolist() == ["experiments: guards"]


def test_verify_tells_how_often_the_test_split_was_read(tmp_path, monkeypatch):
    assert "not read here yet" in verify.readings_sentence(tmp_path)
    monkeypatch.setenv(held_out.LOG_VARIABLE, str(tmp_path / held_out.LOG))
    for _ in range(3):
        held_out.rows(NAMES, "04 retrieval")
    assert "read 3 times here, by 1 readers (most: 04 retrieval 3)" in verify.readings_sentence(tmp_path)


# --- nobody else ---------------------------------------------------------------------------------------------------
# Ways to pick the test split without asking: by its name, by its member, by going through all splits.
PICKS = re.compile(
    r"""[=!]=\s*["']test["']|["']test["']\s*[=!]=|\bin\s+Split\b|[(*]\s*Split\s*[\],)]|isin\([^)]*["']test["']"""
)
MEMBER = re.compile(r"\bSplit\.TEST\b")
ANY = re.compile(r"[=!]= *split\.value")  # of a split in a variable, which may be the test split
NEVER_TEST = {"cmr_lib/evaluation/guards.py"}  # its variable is train or validation
# These ask at the door.
ASKED = re.compile(
    r"(?:material|scored)\.(?:rows|pairs)\([^()]*Split\.TEST\)|cohort\.seen\([^()]*Split\.TEST\b[^()]*\)"
)


def code_of(text: str) -> str:
    """Python source without comments and docstrings."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    kept, before = [], tokenize.NEWLINE
    for token in tokens:
        lone = token.type == tokenize.STRING and before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.NL)
        if token.type != tokenize.COMMENT and not lone:
            kept.append(token[:2])
        before = token.type
    return re.sub(r" ?([.()]) ?", r"\1", " ".join(text for _, text in kept))


def sources() -> dict[str, str]:
    """Everything that evaluates: packages, tools of experiments, notebooks after the training."""
    files = [path for name in ("evaluation", "explain", "trials") for path in (ROOT / "cmr_lib" / name).glob("*.py")]
    files = [path for path in files if path.name != "held_out.py"]
    files.append(ROOT / "tools" / "experiments.py")
    found = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in files}
    for path in sorted((ROOT / "notebooks").glob("0[4-8]_*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        found[path.name] = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return {name: code_of(text) for name, text in found.items()}


def picks(code: str, name: str = "") -> list[str]:
    code = ASKED.sub("", code)
    return PICKS.findall(code) + MEMBER.findall(code) + (ANY.findall(code) if name not in NEVER_TEST else [])


def test_the_search_sees_every_way_around_the_door():
    ways = [
        "splits == 'test'",
        'a[b.split != "test"]',
        "for split in Split:\n    pass",
        "zip(Split, rows)",
        "list(Split)",
    ]
    ways += ["zip([*Split], rows)", "studies.query('split == \"test\"')"]
    ways += ["splits == Split.TEST.value", "s.isin(['test'])", "studies['split'] == split.value"]
    assert all(picks(code_of(way)) for way in ways)
    assert not picks(code_of('"""The split == "test"."""\nx = 1  # split == "test"\nmaterial.rows(Split.TEST)\n'))


def test_nobody_picks_test_studies_but_through_the_door():
    code = sources()
    assert {
        "cmr_lib/evaluation/harness.py",
        "cmr_lib/trials/cohort.py",
        "05_classification.ipynb",
        "tools/experiments.py",
    } <= set(code)
    found = {name: picks(text, name) for name, text in code.items() if picks(text, name)}
    assert not found


def test_every_notebook_that_judges_asks_at_the_door():
    code = sources()
    for name in ("04_retrieval.ipynb", "05_classification.ipynb", "06_umap.ipynb", "07_attention.ipynb"):
        assert "held_out.rows(" in code[name], name
