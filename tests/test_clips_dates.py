"""No date leaves the stage: canary days in phantoms and every day of a real study, in every byte that is written."""

import datetime
import io
import re
import tarfile
import zipfile

import dicom_maker as maker
import numpy as np
import pandas as pd
import pydicom
import pytest
from test_clips_build import clinic, settings

from cmr_lib import project
from cmr_lib.clips.build import preprocess
from cmr_lib.ingest.header import quiet_pydicom
from cmr_lib.ingest.studies import find_studies

DAYS = {"A1": "20310417", "A2": "20320229", "A3": "20311105"}
DAY_ELEMENTS = ("SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate", "PatientBirthDate")


def written(day):
    """A day in the ways that programs write one, as text."""
    date = datetime.datetime.strptime(day, "%Y%m%d").date()
    forms = ("%Y%m%d", "%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%b-%Y")
    return {date.strftime(form) for form in forms}


def needles(days):
    """Every writing of every day, in the encodings that a file may hold."""
    texts = set().union(*(written(day) for day in days))
    return {text.encode(code) for text in texts for code in ("utf-8", "utf-16-le", "utf-32-le")}


def contents(path):
    """The bytes of a file, and what is packed inside: archives unpacked, tables as text and as numbers of days."""
    data = path.read_bytes()
    yield data
    if path.suffix == ".npz":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    if path.suffix == ".parquet":
        yield pd.read_parquet(path).to_csv().encode()


def leaks(folder, days):
    wanted = needles(days)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    found = {path.name for path in files for data in contents(path) if any(word in data for word in wanted)}
    return found | {str(path) for path in folder.rglob("*") if any(word in str(path).encode() for word in wanted)}


def studies_with_days(folder):
    """Three studies of two patients with their days in many elements, one of them private."""
    folder.mkdir()
    for name, patient in (("A1", "P1"), ("A2", "P1"), ("A3", "P2")):
        files = []
        for ds in maker.study(4, 5, AccessionNumber=name, PatientID=patient, StudyDate=DAYS[name]):
            for keyword in DAY_ELEMENTS:
                setattr(ds, keyword, DAYS[name])
            ds.AcquisitionDateTime = f"{DAYS[name]}120000.000000"
            block = ds.private_block(0x0021, "SIEMENS MR SDI 02", create=True)
            block.add_new(0x60, "DT", f"{DAYS[name]}115900")
            files.append(ds)
        maker.write_zip(folder / f"{name}.zip", files)
    return folder


def test_the_scanner_of_this_test_finds_a_day_in_every_carrier(tmp_path):
    """A scan that finds nothing is no evidence unless it can find something."""
    (tmp_path / "a.txt").write_text("on 17.04.2031 at noon")
    np.save(tmp_path / "b.npy", np.array(["20310417"]))
    np.savez_compressed(tmp_path / "c.npz", x=np.frombuffer(b"2031-04-17" * 9, np.uint8))
    pd.DataFrame({"day": ["2031/04/17"] * 99}).to_parquet(tmp_path / "d.parquet", compression="zstd")
    (tmp_path / "e20310417.txt").write_text("")
    assert {name.rpartition("/")[2] for name in leaks(tmp_path, ["20310417"])} == {
        *("a.txt", "b.npy", "c.npz", "d.parquet", "e20310417.txt"),
    }


def test_no_planted_day_leaves_and_intervals_of_a_patient_stay(tmp_path):
    preprocess(clinic(tmp_path, studies=str(studies_with_days(tmp_path / "in"))), progress=False)
    assert leaks(tmp_path / "out", DAYS.values()) == set()
    table = pd.read_parquet(tmp_path / "out" / "studies.parquet").set_index("study_key")
    keys = {name: project.keyed_name(b"k" * 64, "study", name) for name in DAYS}
    assert table.days_since_first[keys["A1"]] == 0
    assert table.days_since_first[keys["A2"]] == 318  # 17 April 2031 to 29 February 2032, counted on a calendar
    assert table.days_since_first[keys["A3"]] == 0
    shifted = pd.to_datetime(table.shifted_date)
    assert (shifted[keys["A2"]] - shifted[keys["A1"]]).days == 318
    true = {keys[name]: pd.Timestamp(day) for name, day in DAYS.items()}
    moved = {key: (true[key] - shifted[key]).days for key in true}
    assert all(1 <= days <= 3652 for days in moved.values())
    assert moved[keys["A1"]] == moved[keys["A2"]] != moved[keys["A3"]]


def test_a_study_without_a_day_has_none(tmp_path):
    (tmp_path / "in").mkdir()
    maker.write_zip(tmp_path / "in" / "a.zip", maker.study(4, 5))
    preprocess(clinic(tmp_path, studies=str(tmp_path / "in")), progress=False)
    (row,) = pd.read_parquet(tmp_path / "out" / "studies.parquet").to_dict("records")
    assert row["shifted_date"] == ""
    assert np.isnan(row["days_since_first"])


def test_what_an_interrupted_run_leaves_holds_no_day(tmp_path, monkeypatch):
    from cmr_lib.clips import build

    monkeypatch.setattr(build, "judge", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        preprocess(clinic(tmp_path, studies=str(studies_with_days(tmp_path / "in"))), progress=False)
    assert list((tmp_path / "out" / ".resume").glob("*.npz"))
    assert leaks(tmp_path / "out", DAYS.values()) == set()


@pytest.mark.real_data
@pytest.mark.parametrize("archive", ["siemens_3t_study.tar.xz", "ge_15t_sax.tar.xz"])
def test_no_day_of_a_real_study_is_in_any_byte_that_is_written(real_data, tmp_path, archive):
    """Trap 8: the Siemens study's header holds its true days in elements that a tag list forgets."""
    if not (real_data / archive).is_file():
        pytest.skip(f"{archive} is not at hand")
    with tarfile.open(real_data / archive) as tar:
        tar.extractall(tmp_path / "in", filter="data")
    days = set()
    for study in find_studies(tmp_path / "in"):
        for path in study.rglob("*.dcm"):
            days |= {match[:8] for match in re.findall(r"(?:19|20)\d{6}", str(_all_values(path)))}
    days = {day for day in days if _is_day(day)}
    if archive.startswith("siemens"):
        assert {"20250514", "20240704"} <= days  # the declared one and another
    key = project.own_key_file(tmp_path / "key")
    chosen = settings(
        tmp_path, source="dicom", identity={"key_file": str(key)}, cohort={"studies": str(tmp_path / "in")}
    )
    preprocess(chosen, progress=False)
    assert leaks(tmp_path / "out", days) == set()


def _all_values(path):
    """Every value of date or text in a file, private ones and those inside sequences too."""
    kinds = ("DA", "DT", "LO", "SH", "LT", "UN", "ST", "UT")
    with quiet_pydicom():
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        return [element.value for element in ds.iterall() if element.VR in kinds]


def _is_day(text):
    try:
        return 1990 < datetime.datetime.strptime(text, "%Y%m%d").year < 2027
    except ValueError:
        return False
