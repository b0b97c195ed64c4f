"""Folders, archives, series and whole studies that are not as they should be: classes 23–25, 31–33, 35, 36."""

import io
import os
import stat
import zipfile
from dataclasses import asdict

import dicom_maker as maker
import numpy as np
import pandas as pd
import pytest
from broken_files import CASES

from cmr_lib import params
from cmr_lib.clips import cohort
from cmr_lib.clips.report_reading import load_reports
from cmr_lib.ingest import files as ingest_files
from cmr_lib.ingest.gaps import missing
from cmr_lib.ingest.header import quiet_pydicom
from cmr_lib.ingest.rejects import CODES, tally
from cmr_lib.ingest.studies import find_studies, read_study

KEY = b"a key for tests, 32 bytes or more"


def codes(study, level="file"):
    return dict(tally(study.rejects, level))


def check_conserved(study):
    counts = study.counts
    assert counts["found"] == counts["accepted"] + counts["rejected"] + counts["ignored"]


def folder_of(path, files):
    path.mkdir()
    for number, ds in enumerate(files):
        (path / f"{number:03d}.dcm").write_bytes(maker.encode(ds))
    return path


# --- 23 to 25: series -------------------------------------------------------------------------------------------
def test_one_uid_twice_is_a_duplicate_or_a_conflict(tmp_path):
    files = maker.study(3, 5)
    same = read_study(maker.write_zip(tmp_path / "a.zip", [*files, files[2]]), KEY)
    assert codes(same) == {"N_DUPLICATE": 1}
    other = maker.cine(maker.plane(-36), 5, rr=900.0, series="1.2.3.4.10")[2]
    other.PixelData = bytes(len(other.PixelData))
    conflict = read_study(maker.write_zip(tmp_path / "b.zip", [*files, other]), KEY)
    assert codes(conflict)["E_DUP_CONFLICT"] == 2
    for study in (same, conflict):
        check_conserved(study)


def test_a_series_of_several_sizes_orientations_or_spacings_is_split_and_never_resized(tmp_path):
    series = "1.2.3.4.10"
    parts = [maker.plane(size=48), maker.plane(size=64), maker.plane(size=48, spacing=2.0), maker.plane(turn_deg=5)]
    files = [ds for n, part in enumerate(parts) for ds in maker.cine(part, 6, series=series, first=10 * n + 1)]
    study = read_study(maker.write_zip(tmp_path / "a.zip", files), KEY)
    found = sorted((stack.pixels.shape[2:], stack.spacing_mm) for stack in study.stacks)
    assert found == [((48, 48), (2.0, 2.0)), ((48, 48), (3.0, 3.0)), ((64, 64), (3.0, 3.0)), ((64, 64), (3.0, 3.0))]
    assert study.counts["accepted"] == 24


def sax(offsets=(-36, -24, -12, 0, 12, 24), phases=8, lost=(), **changes):
    files = []
    for number, offset in enumerate(offsets):
        cine = maker.cine(maker.plane(offset), phases, series=f"1.2.3.4.{number}", **changes)
        files += [ds for phase, ds in enumerate(cine) if (number, phase) not in lost]
    return files


def test_a_missing_slice_is_named_from_the_apex_and_the_others_are_used(tmp_path):
    study = read_study(maker.write_zip(tmp_path / "a.zip", sax(offsets=(-36, -24, -12, 12, 24))), KEY)
    (row,) = [row for row in study.rejects if row.code == "W_SERIES_INCOMPLETE"]
    assert (row.level, row.action, row.tag) == (
        "series",
        "repaired",
        "slice 3",
    )
    assert study.counts["accepted"] == 40


def test_a_missing_phase_is_named_and_the_beat_is_resampled(tmp_path):
    study = read_study(maker.write_zip(tmp_path / "a.zip", sax(lost={(2, 3)})), KEY)
    rows = {row.code: row for row in study.rejects}
    assert rows["W_SERIES_INCOMPLETE"].tag == "phase 4"
    assert "W_PHASES_RESAMPLED" in rows
    assert study.stacks[0].pixels.shape[:2] == (6, 8)


def test_two_images_at_one_time_are_one_phase_and_a_gap(tmp_path):
    files = sax(offsets=(0,))
    files[3].TriggerTime = files[2].TriggerTime
    study = read_study(maker.write_zip(tmp_path / "a.zip", files), KEY)
    assert codes(study) == {"N_REPEAT": 1}
    assert [row.tag for row in study.rejects if row.code == "W_SERIES_INCOMPLETE"] == ["phase 4"]
    check_conserved(study)


@pytest.mark.parametrize(
    ("places", "wanted"),
    [
        ([0, 10, 20, 30], []),
        ([0, 10, 30, 40, 50], [3]),
        ([0, 10, 40, 50, 60], [3, 4]),
        ([0, 10.9, 20, 39.5, 50], [4]),
        ([0, 10, 30], []),
        ([0, 5, 20, 23, 50], []),
        ([0.0], []),
    ],
)
def test_gaps_are_told_by_regularity(places, wanted):
    assert missing(np.array(places, dtype=np.float64)) == wanted


# --- 31 and 32: the file system -----------------------------------------------------------------------------------
def test_nothing_outside_the_root_is_ever_opened(tmp_path, monkeypatch):
    outside = folder_of(tmp_path / "outside", maker.study(3, 4))
    (outside / "secret.zip").write_bytes(b"PK")
    root = tmp_path / "root"
    root.mkdir()
    study = folder_of(root / "study", maker.study(3, 5))
    (study / "link.dcm").symlink_to(outside / "000.dcm")
    (study / "up.dcm").symlink_to("../../outside/001.dcm")
    (study / "folder").symlink_to(outside)
    (root / "linked study").symlink_to(outside)
    (root / "linked.zip").symlink_to(outside / "secret.zip")
    os.mkfifo(study / "pipe.dcm")
    (study / "directory.dcm").mkdir()
    sentinels = {path: path.stat().st_atime_ns for path in outside.iterdir()}
    for path in sentinels:  # older than its last change: any read would renew it, even where atime is lazy
        os.utime(path, ns=(0, path.stat().st_mtime_ns))
    opened, real = [], os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: opened.append(str(path)) or real(path, *rest, **more))
    found = find_studies(root)
    results = {path.name: read_study(path, KEY) for path in found}
    assert set(results) == {"study", "linked study", "linked.zip"}
    assert codes(results["study"]) == {"N_NOT_REGULAR": 4}
    assert codes(results["linked study"], "study") == codes(results["linked.zip"], "study") == {"N_NOT_REGULAR": 1}
    assert opened
    assert all(os.path.realpath(path).startswith(str(root)) for path in opened)
    assert {path.stat().st_atime_ns for path in sentinels} == {0}


def test_a_device_is_never_opened(tmp_path):
    folder = folder_of(tmp_path / "study", maker.study(3, 5))
    try:
        os.mknod(folder / "zero.dcm", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root may make a device")
    assert codes(read_study(folder, KEY)) == {"N_NOT_REGULAR": 1}


def test_a_sparse_file_of_eight_gigabytes_costs_nothing(tmp_path):
    folder = folder_of(tmp_path / "study", maker.study(3, 5))
    with (folder / "sparse.dcm").open("wb") as file:
        file.write(maker.encode(maker.late(maker.plane(), 9)))
        file.truncate(8 * 2**30)
    study = read_study(folder, KEY)
    assert codes(study) == {"E_TOO_BIG": 1}
    check_conserved(study)


def test_a_file_that_may_not_be_read_is_a_row(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "study", maker.study(3, 5))
    real = os.open

    def refuse(path, *rest, **more):
        if str(path).endswith("004.dcm"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(ingest_files.os, "open", refuse)
    study = read_study(folder, KEY)
    assert codes(study) == {"E_IO": 1}
    check_conserved(study)


def test_names_with_line_breaks_and_bytes_that_are_no_text_are_read_and_named(tmp_path):
    study = folder_of(tmp_path / "study", maker.study(3, 5))
    odd = tmp_path / os.fsdecode(b"M\xfcller\xff")
    study.rename(odd)
    for number, name in enumerate((b"line\nbreak", b"Gr\xf6\xdfe\xff", b'quote",;')):
        (odd / os.fsdecode(name)).write_bytes(b"not DICOM" * number)
    found = read_study(odd, KEY)
    assert codes(found) == {"N_NOT_DICOM": 3}
    rows = [row for row in found.rejects if row.code == "N_NOT_DICOM"]
    assert len({row.file_key for row in rows}) == 3
    for number, ds in enumerate(maker.study(3, 5, AccessionNumber="")):  # now it is named by its folder
        (odd / f"{number:03d}.dcm").write_bytes(maker.encode(ds))
    assert len(read_study(odd, KEY).stacks) == len(found.stacks)


# --- 33: archives -------------------------------------------------------------------------------------------------
def test_nested_archives_and_doubled_names_are_refused_entry_by_entry(tmp_path):
    path = tmp_path / "study.zip"
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.dcm", maker.encode(maker.late(maker.plane(), 9)))
    files = {f"{n}.dcm": maker.encode(ds) for n, ds in enumerate(maker.study(3, 5))}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("inner.zip", inner.getvalue())
        archive.writestr("twice.dcm", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("twice.dcm", b"2")
    study = read_study(path, KEY)
    assert codes(study) == {"E_ARCHIVE": 3}
    assert study.counts["accepted"] == len(files)
    check_conserved(study)


def test_a_bomb_of_an_archive_is_refused_unopened(tmp_path):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.dcm", bytes(64 * 2**20))
    assert path.stat().st_size < 2**17
    study = read_study(path, KEY)
    assert codes(study) == {"E_ARCHIVE": 1}
    assert codes(study, "study") == {"E_NO_IMAGES": 1}


# --- 35: identity -------------------------------------------------------------------------------------------------
def test_a_second_patient_in_a_study_takes_all_of_it_out(tmp_path):
    files = maker.study(3, 5)
    files[7].PatientID = "somebody else"
    study = read_study(maker.write_zip(tmp_path / "a.zip", files), KEY)
    assert codes(study, "study") == {"E_IDENTITY_CONFLICT": 1}
    assert not study.stacks
    assert study.counts == {"found": len(files), "accepted": 0, "rejected": len(files), "ignored": 0}


# --- rows ---------------------------------------------------------------------------------------------------------
CANARIES = ("Canary", "canary", "CANARY", "77-Can")
VOCABULARY = set(CODES) | {"rejected", "ignored", "repaired", "file", "series", "study", "preprocess", ""}


@pytest.mark.parametrize("seed", range(6))
def test_no_row_ever_holds_a_raw_value_or_a_path(tmp_path, seed):
    random = np.random.default_rng(seed)
    folder = tmp_path / "Canary^Folder"
    folder.mkdir()
    text = {"PatientName": "Canary^Name", "PatientID": "77-Canary", "AccessionNumber": "CANARY7", "StudyID": "Canary"}
    text |= {"ProtocolName": "Canary cine", "ImageComments": "canary text", "InstitutionName": "Canary Hospital"}
    for number, ds in enumerate(maker.study(3, 5, **text)):
        data = bytearray(maker.encode(ds))
        if random.random() < 0.5:
            for place in random.integers(132, len(data) - 512, 3):
                data[place] = random.integers(256)
        (folder / f"Canary {number}.dcm").write_bytes(bytes(data))
    for case in random.choice(np.array(CASES, dtype=object), 20):
        with quiet_pydicom():
            data = case.make(random)
        (folder / f"canary {case.name}.dcm").write_bytes(data)
    (folder / "Canary.txt").write_text("Canary")
    study = read_study(folder, KEY)
    check_conserved(study)
    assert len(study.rejects) > 12
    for row in study.rejects:
        values = asdict(row)
        assert not any(canary in str(value) for value in values.values() for canary in CANARIES)
        for name in ("study_key", "series_key", "file_key"):
            assert values[name] == "" or (len(values[name]) == 16 and set(values[name]) <= set("0123456789abcdef"))
        assert {values["level"], values["code"], values["action"], values["stage"]} <= VOCABULARY
        tag = values["tag"]
        assert tag == "" or tag.isidentifier() or tag.split(" ")[0] in ("slice", "phase")


# --- 36: reports --------------------------------------------------------------------------------------------------
def reports_of(tmp_path, rows, encoding="utf-8"):
    path = tmp_path / "reports.csv"
    table = pd.DataFrame(rows, columns=["patient_id", "accession", "report"])
    path.write_bytes(table.to_csv(index=False).encode(encoding))
    columns = cohort.SIMULATED_COLUMNS
    chosen = params.Cohort(studies=None, reports=str(path), columns=columns, max_studies=None, max_reject_share=1.0)
    return load_reports(path, chosen, columns, KEY)


def test_reports_that_are_empty_huge_or_in_another_encoding_have_their_code(tmp_path):
    rows = [("P", "A1", ""), ("P", "A2", "Canary " * (10 * 2**20 // 7)), ("P", "A3", "Müller: normal.")]
    reports = reports_of(tmp_path, rows, "latin-1")
    assert [row.code for row in reports.rejects] == ["W_ENCODING", "E_REPORT_EMPTY", "E_REPORT_TOO_LONG"]
    assert [one.text for one in reports.waiting.values()] == ["Müller: normal."]
    assert reports.found == 3
    assert "Canary" not in str(reports.rejects)


def test_two_reports_of_one_accession_are_both_refused_without_the_number(tmp_path):
    reports = reports_of(tmp_path, [("P", "Canary7", "one"), ("P", "Canary7", "two"), ("P", "A2", "three")])
    assert [row.code for row in reports.rejects] == ["E_REPORT_DUPLICATE"] * 2
    assert "Canary" not in str(reports.rejects)
    assert [one.text for one in reports.waiting.values()] == ["three"]
