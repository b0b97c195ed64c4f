"""Bytes of a study, without trust in the folder or the archive."""

import os
import stat
import zipfile

import pytest

from cmr_lib.ingest.files import Limits, raw_files
from cmr_lib.ingest.rejects import Refused


def codes(files):
    return {file.name: file.code for file in files}


def test_a_folder_is_read_in_order_of_names(tmp_path):
    for name in ("b/2", "a/10", "a/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    files = list(raw_files(tmp_path))
    assert [file.name for file in files] == ["a/1", "a/10", "b/2"]
    assert [file.data for file in files] == [b"a/1", b"a/10", b"b/2"]


def test_links_pipes_and_folders_called_dcm_are_never_opened(tmp_path):
    secret = tmp_path / "outside"
    secret.mkdir()
    (secret / "x.dcm").write_bytes(b"secret")
    root = tmp_path / "study"
    root.mkdir()
    (root / "link.dcm").symlink_to(secret / "x.dcm")
    (root / "folder").symlink_to(secret)
    os.mkfifo(root / "pipe.dcm")
    (root / "folder.dcm").mkdir()
    (root / "real.dcm").write_bytes(b"real")
    files = list(raw_files(root))
    assert codes(files) == {
        "link.dcm": "N_NOT_REGULAR", "folder": "N_NOT_REGULAR", "pipe.dcm": "N_NOT_REGULAR", "real.dcm": "",
    }  # fmt: skip
    assert b"secret" not in b"".join(file.data for file in files)


def test_a_file_above_the_cap_is_refused_unread(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 100)
    (tmp_path / "small").write_bytes(b"x")
    assert codes(raw_files(tmp_path, Limits(file_bytes=50))) == {"big": "E_TOO_BIG", "small": ""}


def test_archive_entries_that_point_outside_or_are_links_or_bombs_are_refused(tmp_path):
    path = tmp_path / "study.zip"
    link = zipfile.ZipInfo("link.dcm")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../evil.dcm", b"1")
        archive.writestr("/etc/evil.dcm", b"2")
        archive.writestr("a\\..\\..\\evil.dcm", b"3")
        archive.writestr(link, b"/etc/passwd")
        archive.writestr("bomb.dcm", bytes(8 * 2**20))
        archive.writestr("good.dcm", b"good")
    found = list(raw_files(path))
    assert {file.name for file in found if not file.code} == {"good.dcm"}
    assert {file.code for file in found if file.name != "good.dcm"} == {"E_ARCHIVE"}
    assert len(found) == 6


@pytest.mark.parametrize("damage", ["text", "cut", "empty"])
def test_a_broken_archive_is_refused_as_a_whole(tmp_path, damage):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.dcm", bytes(1000))
    data = path.read_bytes()
    path.write_bytes({"text": b"no archive", "cut": data[:500], "empty": b""}[damage])
    with pytest.raises(Refused, match="E_ARCHIVE"):
        list(raw_files(path))


def test_an_entry_with_wrong_checksum_is_refused_alone(tmp_path):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("bad.dcm", b"A" * 64)
        archive.writestr("good.dcm", b"B" * 64)
    path.write_bytes(path.read_bytes().replace(b"A" * 64, b"C" * 64))
    assert codes(raw_files(path)) == {"bad.dcm": "E_ARCHIVE", "good.dcm": ""}


def test_an_archive_with_too_many_entries_is_refused(tmp_path):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(5):
            archive.writestr(str(number), b"")
    with pytest.raises(Refused, match="E_ARCHIVE"):
        list(raw_files(path, Limits(files=4)))


def test_a_link_to_a_study_is_refused(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "study")
    with pytest.raises(Refused, match="N_NOT_REGULAR"):
        raw_files(tmp_path / "link")
