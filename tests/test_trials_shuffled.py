"""Shuffled pairs: nobody keeps a report of the same patient, and no report is lost or moved between splits."""

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmr_lib import project
from cmr_lib.evaluation.material import Material
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.trials import shuffled


@pytest.fixture
def cohort():
    patients = [f"p{n // 2 if n < 10 else n}" for n in range(40)]
    split = ["train"] * 24 + ["validation"] * 8 + ["test"] * 8
    studies = pd.DataFrame({"study_key": [f"s{n:02d}" for n in range(40)], "patient_key": patients, "split": split})
    reports = studies[["study_key"]].assign(impression=[f"text {n}" for n in range(40)], same=np.arange(40))
    return studies, reports.drop(index=[3, 30])  # two studies have no report


def test_reports_are_dealt_to_other_patients_of_the_same_split(cohort):
    studies, reports = cohort
    found = shuffled.dealt(reports, studies, 1)
    assert found["study_key"].tolist() == reports["study_key"].tolist()
    owner = studies.set_index("study_key")
    source = {text: key for key, text in zip(reports["study_key"], reports["impression"], strict=True)}
    for row in found.itertuples():
        was = source[row.impression]
        assert row.same == int(was[1:]), "all columns of a report travel together"
        assert owner.loc[was, "split"] == owner.loc[row.study_key, "split"]
        same = owner.loc[was, "patient_key"] == owner.loc[row.study_key, "patient_key"]
        assert same == (owner.loc[row.study_key, "split"] == "test")
    assert sorted(found["impression"]) == sorted(reports["impression"])


def test_another_seed_deals_otherwise_and_the_same_seed_alike(cohort):
    studies, reports = cohort
    first, again, other = (shuffled.dealt(reports, studies, seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_a_split_of_one_patient_cannot_be_dealt(cohort):
    studies, reports = cohort
    with pytest.raises(ValueError, match="One patient has 23 of 23 studies"):
        shuffled.dealt(reports, studies.assign(patient_key="p"), 1)


# --- kept and gone on with --------------------------------------------------------------------------------------
class World:
    """What `train` asks of a cohort."""

    digest = "of the toy"

    def __init__(self, studies):
        self.studies = studies


@pytest.fixture
def calls(cohort, tmp_path, monkeypatch):
    """The stage preprocess of the toy, and notebook runs that end only where they are let."""
    studies, reports = cohort
    project.write_table(tmp_path / "preprocess" / "reports.parquet", reports)
    (tmp_path / "preprocess" / "store").mkdir()
    made = []

    def runs(words, check):
        out = Path(words[4])
        given = pd.read_parquet(out.parent / "preprocess" / "reports.parquet")
        pd.testing.assert_frame_equal(
            given, shuffled.dealt(reports, studies, 1).reset_index(drop=True), check_dtype=False
        )
        assert (out.parent / "preprocess" / "store").is_dir()
        made.append(out)
        if len(made) == 1:
            raise subprocess.CalledProcessError(1, words)
        out.write_text("{}")

    monkeypatch.setattr(shuffled, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(shuffled.Cohort, "read", lambda root: World(studies))
    monkeypatch.setattr(shuffled.pretrained, "from_pretrained", lambda folder: (object.__new__(CMRformer), None))
    monkeypatch.setattr(shuffled.subprocess, "run", runs)
    return made


def test_an_interrupted_training_goes_on_where_it_was_and_a_finished_one_is_read(calls, cohort, tmp_path, monkeypatch):
    texts = [""] * 40
    material = Material(tmp_path, cohort[0], texts, texts, np.zeros((40, 2)), reader="shuffled")
    with pytest.raises(subprocess.CalledProcessError):
        shuffled.train(material, 1)
    shuffled.train(material, 1)
    assert calls[0] == calls[1]  # the same folder, where its checkpoints lie
    shuffled.train(material, 1)
    assert len(calls) == 2
    monkeypatch.setattr(World, "digest", "other images")
    shuffled.train(material, 1)
    monkeypatch.setattr(shuffled, "EPOCHS", 1)
    shuffled.train(material, 1)
    assert len(set(calls)) == 3
