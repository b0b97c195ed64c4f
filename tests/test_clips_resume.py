"""An interrupted run goes on, a second one writes nothing, and nothing old is taken for new."""

import datetime
import os

import numpy as np
import pandas as pd
import pytest
from test_clips_build import clinic, hospital, tree  # noqa: F401 (a fixture)

from cmr_lib import project
from cmr_lib.clips import build, resume, work
from cmr_lib.clips.cohort import StudyResult
from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.ingest.rejects import reject
from cmr_lib.types import Sequence, Split, View

KEY = b"a key for tests, 32 bytes or more"


class Stopped(BaseException):
    """As a user's Ctrl-C: nothing in the library catches it."""


class Here:
    """A pool that works where it is, so that what is read can be counted."""

    def __init__(self, do):
        self._do = do

    def submit(self, item):
        found = self._do(item)
        return type("Answer", (), {"result": lambda _: found})()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@pytest.fixture
def reads(monkeypatch):
    """Names of the studies that were really read; `stop_after` ends the run before the next."""
    seen, plain = [], work.read_item
    monkeypatch.setattr(build, "open_pool", lambda do, *_, **__: (Here(do), 1))

    def counted(item, *rest):
        if counted.stop_after is not None and len(seen) == counted.stop_after:
            raise Stopped
        seen.append(work.name_of(item))
        return plain(item, *rest)

    counted.stop_after = None
    monkeypatch.setattr(work, "read_item", counted)
    counted.seen = seen
    return counted


def outputs(folder):
    return {name: digest for name, digest in tree(folder).items() if not name.startswith(resume.FOLDER)}


def test_an_interrupted_run_goes_on_without_reading_finished_studies_again(tmp_path, hospital, reads):  # noqa: F811
    studies = str(hospital / "studies")
    whole = clinic(tmp_path, studies=studies).model_copy(update={"out_dir": str(tmp_path / "whole")})
    build.preprocess(whole, progress=False)
    reads.seen.clear()
    reads.stop_after = 3
    settings = clinic(tmp_path, studies=studies)
    with pytest.raises(Stopped):
        build.preprocess(settings, progress=False)
    assert len(reads.seen) == 3
    assert len(list((tmp_path / "out" / resume.FOLDER).glob("*.npz"))) == 3
    reads.stop_after = None
    build.preprocess(settings, progress=False)
    assert sorted(reads.seen) == ["A1", "A2", "A3", "A4"]  # each once
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")
    assert not list((tmp_path / "out" / resume.FOLDER).glob("*.npz"))


def test_a_second_run_reads_and_writes_nothing(tmp_path, hospital, reads):  # noqa: F811
    settings = clinic(tmp_path, studies=str(hospital / "studies"))
    first = build.preprocess(settings, progress=False)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    reads.seen.clear()
    assert build.preprocess(settings, progress=False) == first
    assert reads.seen == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == files


@pytest.mark.parametrize("change", ["study touched", "study added", "output damaged", "output lost", "parameter"])
def test_whatever_changes_makes_the_run_new(tmp_path, hospital, reads, change):  # noqa: F811
    studies = tmp_path / "studies"
    studies.mkdir()
    for name in ("A1", "A2", "A3"):
        (studies / f"{name}.zip").write_bytes((hospital / "studies" / f"{name}.zip").read_bytes())
    settings = clinic(tmp_path, studies=str(studies))
    build.preprocess(settings, progress=False)
    before = outputs(tmp_path / "out")
    reads.seen.clear()
    if change == "study touched":
        os.utime(studies / "A1.zip", ns=(1, 1))
    elif change == "study added":
        (studies / "A4.zip").write_bytes((hospital / "studies" / "A4.zip").read_bytes())
    elif change == "output damaged":
        path = tmp_path / "out" / "store" / "frames-000.npy"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data))
    elif change == "output lost":
        (tmp_path / "out" / "qc.csv").unlink()
    else:
        settings = settings.model_copy(update={"clip": settings.clip.model_copy(update={"phases": 5})})
    build.preprocess(settings, progress=False)
    assert reads.seen
    after = outputs(tmp_path / "out")
    assert (after == before) == (change in ("study touched", "output damaged", "output lost"))


def test_a_study_that_changed_while_the_run_was_stopped_is_read_again(tmp_path, hospital, reads):  # noqa: F811
    studies = tmp_path / "studies"
    studies.mkdir()
    for name in ("A1", "A2"):
        (studies / f"{name}.zip").write_bytes((hospital / "studies" / f"{name}.zip").read_bytes())
    settings = clinic(tmp_path, studies=str(studies))
    reads.stop_after = 1
    with pytest.raises(Stopped):
        build.preprocess(settings, progress=False)
    (done,) = reads.seen
    os.utime(studies / f"{done}.zip", ns=(5, 5))
    reads.stop_after = None
    build.preprocess(settings, progress=False)
    assert reads.seen.count(done) == 2


def result():
    clips = [
        PreparedClip(np.arange(32, dtype=np.uint8).reshape(2, 4, 4), View.SAX, Sequence.CINE, 3, 0.25, 0.4, 2.0),
        PreparedClip(
            np.full((1, 4, 4), 7, np.uint8), View.UNKNOWN, Sequence.LGE, 0, 0.5, float("nan"), 2.0, False, 0.3
        ),
    ]
    return StudyResult(
        study_key="0123456789abcdef", patient_key="fedcba9876543210", patient_named=True, clips=clips,
        rejects=[reject("file", "N_LOCALISER", study_key="0123456789abcdef", tag="x")],
        counts={"found": 3, "accepted": 2, "rejected": 0, "ignored": 1}, facts={"vendor": "ge", "rr": float("nan")},
        labels={"lvef": 51.5}, quality={"score": 0.5}, split=Split.TEST, day=datetime.date(2020, 2, 29),
    )  # fmt: skip


def test_what_is_packed_is_unpacked():
    first = result()
    again = resume.unpack(resume.pack(first, KEY), KEY)
    for name in ("study_key", "patient_key", "patient_named", "rejects", "counts", "labels", "quality", "split", "day"):
        assert getattr(again, name) == getattr(first, name)
    for one, two in zip(first.clips, again.clips, strict=True):
        np.testing.assert_array_equal(one.frames, two.frames)
        assert {k: v for k, v in vars(one).items() if k != "frames" and v == v} == {
            k: v for k, v in vars(two).items() if k != "frames" and v == v
        }
    assert np.isnan(again.facts["rr"])
    assert resume.unpack(resume.pack(StudyResult("aa"), KEY), KEY).clips == []


def test_a_kept_file_that_is_damaged_is_as_if_it_were_not_there(tmp_path):
    kept = resume.Kept(tmp_path, KEY, "stamp")
    (tmp_path / "study").write_text("x")
    path = kept.path([tmp_path / "study"])
    kept.put(path, result())
    assert kept.get(path).study_key == result().study_key
    data = path.read_bytes()
    for broken in (data[:50], b"", data[:-300] + bytes(300), data.replace(b"vendor", b"v\x00ndor")):
        path.write_bytes(broken)
        assert kept.get(path) is None


def test_names_of_kept_files_depend_on_stamp_key_and_files_and_tell_nothing(tmp_path):
    study = tmp_path / "Smith John"
    study.mkdir()
    (study / "a").write_text("x")
    name = resume.Kept(tmp_path, KEY, "stamp").path([study]).name
    assert "Smith" not in name
    others = {
        resume.Kept(tmp_path, KEY, "other").path([study]).name,
        resume.Kept(tmp_path, b"k", "stamp").path([study]).name,
    }
    (study / "b").write_text("y")
    others.add(resume.Kept(tmp_path, KEY, "stamp").path([study]).name)
    assert len({name, *others}) == 4


def test_no_day_is_in_a_kept_file():
    packed = resume.pack(result(), KEY)
    assert b"2020" not in packed
    assert str(datetime.date(2020, 2, 29).toordinal()).encode() not in packed


def test_results_do_not_depend_on_whether_they_were_kept(tmp_path, hospital):  # noqa: F811
    one = clinic(tmp_path, studies=str(hospital / "studies"))
    build.preprocess(one, progress=False)
    kept = resume.Kept(tmp_path / "kept", project.read_key(one.identity.key_file), "s")
    step = work.Work(kept.key, one.clip, kept)
    path = hospital / "studies" / "A1.zip"
    first, second = step(path), step(path)
    assert str(first.quality) == str(second.quality)  # NaN is NaN
    assert str(first.facts) == str(second.facts)
    assert pd.Series(first.counts).equals(pd.Series(second.counts))
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(first.clips, second.clips, strict=True))
