"""What was finished before an interruption is kept and not made again; what is half written never counts."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from cmr_lib import params
from cmr_lib.simulate.pool import Made, Run, crew, records, run_digest

ROOT = Path(__file__).resolve().parents[1]
NAMES = [f"t{number}" for number in range(6)]


class Maker:
    """Makes two files a task and remembers what it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, name):
        self.asked.append(name)
        return Made({f"a/{name}.zip": name.encode() * 50, f"b/{name}.txt": b"x"}, {"name": name, "n": np.int64(3)})


def work(folder, maker, names=NAMES):
    """One run over all tasks; returns the run and what the tables would get."""
    run = Run(folder, "digest")
    with crew(1) as team:
        return run, list(records(team, run, maker, [(name, name) for name in names]))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def interrupted(tmp_path):
    """A run that was killed after three of its six things."""
    work(tmp_path, Maker(), NAMES[:3])
    return tmp_path


def test_finished_things_are_not_made_again(interrupted):
    before = {path: path.stat().st_mtime_ns for path in interrupted.rglob("*.zip")}
    maker = Maker()
    run, found = work(interrupted, maker)
    assert maker.asked == NAMES[3:]
    assert found == [{"name": name, "n": 3} for name in NAMES], "records are the same, kept or made"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    run.publish()
    whole, _ = work(interrupted / "other", Maker())
    whole.publish()
    assert contents(interrupted / "other") == {
        name: data for name, data in contents(interrupted).items() if not name.startswith("other")
    }


@pytest.mark.parametrize("harm", ["shorter", "other byte", "no file", "no record"])
def test_damaged_things_are_made_again(interrupted, harm):
    partial = interrupted / ".partial/digest"
    path = partial / "files/a/t1.zip"
    data = path.read_bytes()
    if harm == "shorter":
        path.write_bytes(data[:-1])
    elif harm == "other byte":
        path.write_bytes(b"?" + data[1:])
    elif harm == "no file":
        path.unlink()
    else:
        (partial / "done/t1.json").unlink()
    maker = Maker()
    work(interrupted, maker)
    assert maker.asked == ["t1", *NAMES[3:]]
    assert path.read_bytes() == data


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("calls", [0, 1, 2, 4])  # in the first file, the second, the record; in the next thing
def test_full_disk_leaves_nothing_half_that_looks_whole(tmp_path, monkeypatch, step, calls):
    real, seen = getattr(os, step), []

    def full(*arguments):
        seen.append(arguments)
        if len(seen) > calls:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(OSError, match="No space left"):
            work(tmp_path, Maker())
    finished = calls // 3
    run = Run(tmp_path, "digest")
    assert [name for name in NAMES if run.kept(name)] == NAMES[:finished]
    assert not list(tmp_path.rglob("*.tmp"))
    assert {path.name for path in tmp_path.iterdir()} == {".partial"}, "nothing stands where results are looked for"
    maker = Maker()
    work(tmp_path, maker)
    assert maker.asked == NAMES[finished:]


def test_leftovers_of_a_killed_writer_and_of_other_runs_go(interrupted):
    torn = interrupted / ".partial/digest/files/a/.t9.zip.abc.tmp"
    torn.write_bytes(b"half")
    other = interrupted / ".partial/another/files/a/t1.zip"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"of other settings")
    run, _ = work(interrupted, Maker())
    assert not torn.exists()
    assert [path.name for path in (interrupted / ".partial").iterdir()] == ["digest"]
    run.publish()
    assert {path.name for path in interrupted.iterdir()} == {"a", "b"}


def test_results_replace_those_of_an_earlier_run(interrupted):
    old = interrupted / "a/old.zip"
    old.parent.mkdir()
    old.write_bytes(b"old")
    run, _ = work(interrupted, Maker())
    assert old.exists(), "until everything is there"
    run.publish()
    assert {path.name for path in (interrupted / "a").iterdir()} == {f"{name}.zip" for name in NAMES}


def test_record_is_plain_json_written_last(interrupted):
    entry = json.loads((interrupted / ".partial/digest/done/t0.json").read_text())
    assert set(entry) == {"files", "record"}
    assert {place: facts[0] for place, facts in entry["files"].items()} == {"a/t0.zip": 100, "b/t0.txt": 1}


def test_digest_is_of_what_the_bytes_depend_on():
    values = params.read_yaml(ROOT / "params/smoke/simulate.yaml") | {"out_dir": "x", "data_dir": "x"}

    def digest(**changes):
        return run_digest(params.check("simulate", params.merge(values, changes)))

    assert digest() == digest(out_dir="y", data_dir="z", workers=7)
    assert len({digest(), digest(seed=1), digest(image={"phases": 9}), digest(external={"second_studies": 5})}) == 4
