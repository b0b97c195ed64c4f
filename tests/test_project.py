"""Files whole or not at all, names by key, numbers rounded, randomness without state."""

import hashlib
import hmac
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from cmr_lib import project


# --- where things are -------------------------------------------------------------------------------------------
def test_root_is_the_nearest_folder_with_a_pipeline(tmp_path, monkeypatch):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "dvc.yaml").touch()
    assert project.find_root(inner) == tmp_path
    (inner / "dvc.yaml").touch()
    assert project.find_root(inner) == inner
    monkeypatch.chdir(tmp_path / "a")
    assert project.chdir_root() == tmp_path == project.find_root()


def test_missing_input_names_the_stage_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="made by preprocess"):
        project.require(tmp_path / "studies.parquet", "preprocess")
    assert project.require(tmp_path, "nobody") == tmp_path


# --- writing ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("broken", ["fsync", "replace", "chmod"])
def test_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch, broken):
    file = tmp_path / "weights.bin"
    project.write_bytes(file, b"old")

    def crash(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(os, broken, crash)
    with pytest.raises(OSError, match="disk full"):
        project.write_bytes(file, b"new and longer")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file], "no temporary file stays behind"


def test_killed_writer_leaves_the_old_file_or_the_new_one(tmp_path):
    file = tmp_path / "table.csv"
    project.write_bytes(file, b"old")
    code = (
        "import os, signal, sys\nfrom cmr_lib import project\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "project.write_bytes(sys.argv[1], b'new')"
    )
    assert subprocess.run([sys.executable, "-c", code, str(file)]).returncode == -9
    assert file.read_bytes() == b"old"


def test_checksum_file_is_what_sha256sum_reads(tmp_path):
    digest = project.write_bytes(tmp_path / "a.bin", b"abc", checksum=True)
    assert digest == hashlib.sha256(b"abc").hexdigest()
    assert (tmp_path / "a.bin.sha256").read_text() == f"{digest}  a.bin\n"


def test_rounding_reaches_every_number():
    value = {"a": [1.234567, np.float32(0.1)], "b": (np.int64(3), True), "c": np.array([[1.00004, -0.00001]])}
    assert project.rounded(value) == {"a": [1.2346, 0.1], "b": [3, True], "c": [[1.0, 0.0]]}
    assert project.rounded({"nan": float("nan"), "far": float("inf"), "word": "x", "none": None}) == {
        "nan": None, "far": None, "word": "x", "none": None,
    }  # fmt: skip
    assert str(project.rounded(-0.00001)) == "0.0", "no minus zero"


def test_json_is_sorted_rounded_and_repeatable(tmp_path):
    first = project.write_json(tmp_path / "a.json", {"b": 2 / 3, "a": "é"})
    second = project.write_json(tmp_path / "b.json", {"a": "é", "b": 0.66667})
    assert first == second
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "a": "é",\n "b": 0.6667\n}\n'


def test_tables_are_written_rounded_and_without_index(tmp_path):
    table = pd.DataFrame({"key": ["x", "y"], "value": [1 / 3, 2.0]})
    project.write_table(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_bytes() == b"key,value\nx,0.3333\ny,2.0\n"
    project.write_table(tmp_path / "t.parquet", table)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table)
    with pytest.raises(ValueError, match=r"t\.xlsx"):
        project.write_table(tmp_path / "t.xlsx", table)


def test_arrays_are_written_without_pickles(tmp_path):
    project.write_array(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(ValueError, match="allow_pickle"):
        project.write_array(tmp_path / "b.npy", np.array([{}], dtype=object))


def test_code_digest_changes_with_the_sources_and_the_versions_and_with_nothing_else():
    digest = project.code_digest(["simulate/*.py", "labels.py"], "numpy 2")
    assert digest == project.code_digest(["labels.py", "simulate/*.py", "labels.py"], "numpy 2")
    assert len({digest, project.code_digest(["labels.py"], "numpy 2"), project.code_digest(["labels.py"])}) == 3


def test_manifest_finds_a_flipped_byte_and_a_missing_file(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.bin", "sub/b.bin", "c.bin"):
        (tmp_path / name).write_bytes(name.encode() * 10)
    project.write_manifest(tmp_path)
    assert project.check_manifest(tmp_path) == []
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path).returncode == 0
    data = bytearray((tmp_path / "sub/b.bin").read_bytes())
    data[7] ^= 1
    (tmp_path / "sub/b.bin").write_bytes(data)
    (tmp_path / "c.bin").unlink()
    assert project.check_manifest(tmp_path) == ["c.bin", "sub/b.bin"]


# --- names ------------------------------------------------------------------------------------------------------
def test_names_on_disk_that_are_no_utf_8_have_a_keyed_name():
    odd, plain = os.fsdecode(b"Z\xf6rm"), "Zörm"
    assert project.keyed_name(b"k" * 32, "file", odd) != project.keyed_name(b"k" * 32, "file", plain)


def test_keyed_names_depend_on_key_kind_and_value():
    name = project.keyed_name(b"k" * 32, "patient", "MRN-17")
    assert name == hmac.new(b"k" * 32, b"patient\0MRN-17", hashlib.sha256).hexdigest()[:16]
    others = {
        project.keyed_name(b"K" * 32, "patient", "MRN-17"),
        project.keyed_name(b"k" * 32, "study", "MRN-17"),
        project.keyed_name(b"k" * 32, "patient", "MRN-18"),
    }
    assert name not in others
    assert len(others) == 3
    with pytest.raises(ValueError, match="empty patient"):
        project.keyed_name(b"k" * 32, "patient", "")


def test_a_key_inside_a_repository_is_refused(tmp_path):
    (tmp_path / "dvc.yaml").touch()
    key = project.own_key_file(tmp_path / "params" / "key")
    with pytest.raises(PermissionError, match="lies in the repository"):
        project.read_key(key)


def test_an_own_key_is_made_once_private_and_random(tmp_path):
    first = project.own_key_file(tmp_path / "a" / "key")
    held = project.read_key(first)
    assert first.stat().st_mode & 0o777 == 0o600
    assert project.read_key(project.own_key_file(first)) == held
    assert project.read_key(project.own_key_file(tmp_path / "b")) != held
    assert held != project.PUBLIC_DEMO_KEY


def test_key_file_must_be_private_and_long(tmp_path):
    file = tmp_path / "key"
    with pytest.raises(FileNotFoundError, match="Key file key not found"):
        project.read_key(file)
    file.write_text("0" * 64 + "\n")
    file.chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 600"):
        project.read_key(file)
    file.chmod(0o600)
    assert project.read_key(file) == b"0" * 64
    file.write_text("short")
    with pytest.raises(ValueError, match="5 bytes"):
        project.read_key(file)
    assert project.read_key(None) == project.PUBLIC_DEMO_KEY


# --- randomness -------------------------------------------------------------------------------------------------
def test_randomness_is_a_function_of_seed_and_place():
    here = project.rng(7, "motion", 12).normal(size=4)
    project.rng(7, "motion", 11).normal(size=100)  # draws elsewhere change nothing
    np.testing.assert_array_equal(here, project.rng(7, "motion", 12).normal(size=4))
    places = [(7, "motion", 12), (8, "motion", 12), (7, "motion", 13), (7, "noise", 12), (7, "motion", 1, 2)]
    assert len({project.seed_for(*place) for place in places}) == len(places)
    assert all(0 <= project.seed_for(*place) < 2**63 for place in places)


def test_seeds_do_not_change_with_the_release():
    # Written down once: another value would silently change every result of the demo.
    assert (
        project.seed_for(2304, "split", "a")
        == int.from_bytes(hashlib.blake2b(b"2304\0split\0a", digest_size=8).digest(), "little") // 2
    )


# --- records ----------------------------------------------------------------------------------------------------
def test_estimates_hold_only_what_applies():
    assert project.estimate(np.float64(0.5), n=10) == {"value": 0.5, "n": 10}
    assert project.estimate(1.0, n=3, low=0.5, high=1.5, chance=0.1) == {
        "value": 1.0, "n": 3, "low": 0.5, "high": 1.5, "chance": 0.1,
    }  # fmt: skip


def test_run_record_names_versions_and_no_place(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    record = project.run_record(seconds=1.5)
    assert record["versions"]["numpy"] == np.__version__
    assert record["environment"]["OMP_NUM_THREADS"] == "2"
    assert record["seconds"] == 1.5
    assert str(tmp_path.home()) + "/" not in json.dumps(record)


def test_the_processor_is_named_as_far_as_the_system_names_it(tmp_path):
    told = tmp_path / "cpuinfo"
    one = "processor : 0\nmodel name\t: A (R) Chip: two\ncpu family : 6\nmodel\t\t: 207\n"
    told.write_text(one + "\n" + one.replace("207", "9"))
    assert project.processor(told) == "A (R) Chip: two, 6, 207"
    told.write_text("processor : 0\nmodel name : B\n")
    assert project.processor(told) == "B"
    assert isinstance(project.processor(tmp_path / "absent"), str)


def test_small_helpers(tmp_path):
    assert project.unique(["b", "a", "b"]) == ["b", "a"]
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "f").write_bytes(b"12345")
    assert project.folder_bytes(tmp_path) == 5
