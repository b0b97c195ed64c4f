"""What is kept of the person: codes and bands, by hand-written examples; the day is read and never kept."""

import datetime
import math

import dicom_maker as maker
import pytest

from cmr_lib import project
from cmr_lib.ingest.person import age_band, age_years, day_of, sex_of
from cmr_lib.ingest.studies import read_study

KEY = b"a key for tests, 32 bytes or more"


@pytest.mark.parametrize(
    ("text", "years"), [("045Y", 45), ("006M", 0.5), ("052W", 0.9966), ("000D", 0), (" 101y ", 101)]
)
def test_age_strings_of_every_unit(text, years):
    assert age_years(text) == pytest.approx(years, abs=1e-3)


@pytest.mark.parametrize("text", ["", "45", "45Y", "0045Y", "045X", "Smith^John"])
def test_what_is_no_age_is_none(text):
    assert math.isnan(age_years(text))
    assert age_band(age_years(text)) == ""


@pytest.mark.parametrize(
    ("years", "band"),
    [
        *((0.5, "under 18"), (17.9, "under 18"), (18.0, "18-29"), (21.0, "18-29"), (29.9, "18-29"), (30.0, "30-39")),
        *((79.9, "70-79"), (80.0, "80 and over"), (101.0, "80 and over"), (130.0, ""), (-1.0, "")),
    ],
)
def test_bands_have_these_borders(years, band):
    assert age_band(years) == band


def test_sex_is_one_of_the_standards_codes_or_nothing():
    assert [sex_of(text) for text in (" f ", "M", "O", "female", "Smith", "")] == ["F", "M", "O", "", "", ""]


def test_days_are_read_in_both_writings_and_nothing_else_is():
    assert day_of("20240229") == day_of("2024.02.29") == datetime.date(2024, 2, 29)
    assert [day_of(text) for text in ("20240230", "", "Smith", "2024")] == [None] * 4


def test_shift_is_one_number_a_patient_between_a_day_and_ten_years():
    shifts = [project.shift_days(KEY, f"patient {number}") for number in range(2000)]
    assert shifts == [project.shift_days(KEY, f"patient {number}") for number in range(2000)]
    assert min(shifts) >= 1
    assert max(shifts) <= 3652
    assert len(set(shifts)) > 1400  # 2,000 draws of 3,652 days fall on about 1,540 different ones
    assert project.shift_days(KEY + b"!", "patient 1") != shifts[1]


def test_a_study_tells_sex_age_band_and_day_and_its_patient_id_stays_in_memory(tmp_path):
    people = {"PatientSex": "F", "PatientAge": "067Y", "StudyDate": "20210907"}
    study = read_study(maker.write_zip(tmp_path / "a.zip", maker.study(4, 5, **people)), KEY)
    assert (study.facts["sex"], study.facts["age_band"]) == ("F", "60-69")
    assert study.day == datetime.date(2021, 9, 7)
