"""Shuffled pairs: nobody keeps a report of the same patient, and no report is lost or moved between splits."""

import numpy as np
import pandas as pd
import pytest

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
