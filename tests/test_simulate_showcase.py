"""Pictures for people: every plane at both moments, the heart beats, and a study on disk is the cohort's own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmr_lib import params
from cmr_lib.simulate import cohort, showcase

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def settings():
    values = params.read_yaml(ROOT / "params/smoke/simulate.yaml") | {"out_dir": "x", "data_dir": "x"}
    return params.check("simulate", values)


def test_one_patient_is_shown_on_every_plane_at_both_moments(settings):
    assert list(showcase.pictures_of(settings, 0)) == [
        "SAX ED",
        "SAX ES",
        "2CH ED",
        "2CH ES",
        "4CH ED",
        "4CH ES",
        "LGE",
    ]


def test_blood_pool_is_smaller_in_systole(settings):
    pictures = showcase.pictures_of(settings, 0)
    assert (pictures["SAX ES"] > 0.8).sum() < (pictures["SAX ED"] > 0.8).sum()


def test_beating_heart_moves_and_returns(settings):
    frames = showcase.beating(settings, 0, frames=10).astype(int)
    moved = np.abs(frames - frames[0]).mean(axis=(1, 2))
    assert moved[3] > 2 * moved[9] > 0


def test_first_patient_of_each_diagnosis_is_named_by_number():
    truth = pd.DataFrame(
        {
            "patient_id": ["SYN000004", "SYN000005", "SYN000006"],
            "diagnosis": ["NOR", "DCM", "NOR"],
            "has_images": [0, 1, 1],
        }
    )
    assert showcase.one_of_each(truth, ["NOR", "DCM", "HCM"]) == {"NOR": 6, "DCM": 5}


def test_study_written_alone_is_the_one_of_the_cohort(settings, tmp_path):
    path = showcase.write_one(settings, 2, tmp_path)
    study = cohort.make_study(settings, cohort.Visit(2, 1, has_images=True, has_report=True))
    assert Path(path).read_bytes() == study.archive
