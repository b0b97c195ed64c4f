"""Pictures for people: every plane at both moments, the heart beats, and a study on disk is the cohort's own."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmr_lib import params
from cmr_lib.labels import FINDINGS
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
        "3CH ED",
        "3CH ES",
        "4CH ED",
        "4CH ES",
        "LGE",
    ]


def test_a_weaker_thicker_scarred_heart_looks_it():
    """The sliders' heart: less LVEF leaves more blood in systole, a scar is bright late."""
    usual, weak = showcase.heart_of(), showcase.heart_of(lvef=25.0)
    systole = [(shown["SAX"] > 190).sum(axis=(1, 2)).min() for shown in (usual, weak)]
    assert systole[1] > 1.2 * systole[0]
    scarred = showcase.heart_of(scar=1.0)["LGE"]
    assert (scarred > 180).sum() > (usual["LGE"] > 180).sum() + 20
    with pytest.raises(ValueError, match="lvef"):
        showcase.heart_of(lvef=120.0)


def test_the_cohort_table_counts_what_is_there():
    truth = pd.DataFrame({"diagnosis": ["DCM", "NOR", "DCM"], "sex": ["F", "M", "M"], "age": [50, 60, 70]})
    for name in ("lvef", "lvedvi", "lv_mass_g", "wall_mm", "rvef", "rvedvi", *FINDINGS):
        truth[name] = [0.0, 1.0, 1.0]
    table = showcase.cohort_table(truth)
    assert list(table.index) == ["NOR", "DCM"]
    assert table.loc["DCM", ["studies", "women", "age", "lge"]].tolist() == [2, 0.5, 60, 0.5]


def test_a_real_image_must_be_one_grey_frame(settings, tmp_path):
    with zipfile.ZipFile(showcase.write_one(settings, 0, tmp_path)) as archive:
        name = archive.namelist()[0]
        (tmp_path / "one.dcm").write_bytes(archive.read(name))
    assert showcase.real_frame(tmp_path / "one.dcm").ndim == 2
    (tmp_path / "text.dcm").write_text("not an image")
    with pytest.raises((ValueError, OSError)):
        showcase.real_frame(tmp_path / "text.dcm")


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
