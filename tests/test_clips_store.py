"""The clip store gives back what went in."""

import hashlib
import pickle

import numpy as np
import pytest

from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.clips.store import INDEX_TYPES, ClipStore, write_store
from cmr_lib.types import Sequence, View


def clip(seed, frames=3, view=View.SAX, sequence=Sequence.CINE):
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, 8, 8), dtype=np.uint8)
    return PreparedClip(pixels, view, sequence, seed % 4, seed / 10, float("nan"), 2.0)


STUDIES = [
    ("bbb", [clip(1), clip(2, 1, sequence=Sequence.LGE)]),
    ("aaa", [clip(3, 5), clip(4), clip(5, view=View.LAX_4CH)]),
    ("ccc", [clip(6)]),
]


@pytest.mark.parametrize("shard_bytes", [10**9, 600, 1])
def test_frames_come_back_exactly_from_any_number_of_shards(tmp_path, shard_bytes):
    index = write_store(tmp_path, STUDIES, shard_bytes)
    store = ClipStore(tmp_path)
    assert store.index.equals(index)
    for key, clips in STUDIES:
        rows = store.of_study(key)
        assert list(rows["clip"]) == list(range(len(clips)))
        for number, wanted in zip(rows.index, clips, strict=True):
            assert (store.frames(number) == wanted.frames).all()
            assert not store.frames(number).flags.writeable
    assert len(list(tmp_path.glob("frames-*.npy"))) == {10**9: 1, 600: 2, 1: 6}[shard_bytes]


def test_the_index_is_sorted_and_holds_the_agreed_columns(tmp_path):
    index = write_store(tmp_path, STUDIES)
    assert list(index.columns) == list(INDEX_TYPES)
    assert list(index["study_key"]) == ["aaa"] * 3 + ["bbb"] * 2 + ["ccc"]
    row = index.iloc[4]
    assert (row["view"], row["sequence"], row["n_frames"], row["slice"], row["spacing_mm"]) == ("sax", "lge", 1, 2, 2.0)
    assert np.isnan(row["phase_of_es"])


def test_new_studies_are_cut_like_the_first_cine(tmp_path):
    still, beating = (
        PreparedClip(np.zeros((n, 32, 32), np.uint8), View.SAX, kind, 0, 0.5, float("nan"), 2.0)
        for n, kind in ((1, Sequence.LGE), (5, Sequence.CINE))
    )
    write_store(tmp_path / "both", [("aaa", [still, beating])])
    shape = ClipStore(tmp_path / "both").clip_shape()
    assert (shape.size_px, shape.spacing_mm, shape.phases) == (32, 2.0, 5)
    write_store(tmp_path / "still", [("aaa", [still])])
    with pytest.raises(ValueError, match="phases"):
        ClipStore(tmp_path / "still").clip_shape()


def test_the_same_clips_give_the_same_bytes_and_old_shards_go(tmp_path):
    def digests():
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}

    write_store(tmp_path, STUDIES, 1)
    write_store(tmp_path, STUDIES, 600)
    first = digests()
    write_store(tmp_path, STUDIES, 600)
    assert digests() == first
    assert len(first) == 3


def test_the_middle_cine_is_the_middle_short_axis_one_whatever_else_there_is(tmp_path):
    axis = [PreparedClip(clip(n).frames, View.SAX, Sequence.CINE, n, n / 4, float("nan"), 2.0) for n in range(5)]
    long = [clip(7, view=view) for view in (View.LAX_2CH, View.LAX_3CH, View.LAX_4CH)]
    late = [clip(8, 1, sequence=Sequence.LGE)]
    write_store(tmp_path, [("all", [*long, *axis[::-1], *late]), ("no sax", [*late, *long]), ("late", late)])
    store = ClipStore(tmp_path)
    middle = store.index.loc[store.middle_cine("all")]
    assert (middle["view"], middle["slice"]) == ("sax", 2)
    assert store.index.loc[store.middle_cine("no sax"), "sequence"] == "cine"
    assert store.index.loc[store.middle_cine("late"), "sequence"] == "lge"


def test_a_store_travels_to_a_worker_process(tmp_path):
    write_store(tmp_path, STUDIES)
    store = ClipStore(tmp_path)
    store.frames(0)
    again = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 20_000
    assert (again.frames(0) == store.frames(0)).all()


def test_absent_stores_and_studies_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="preprocess"):
        ClipStore(tmp_path)
    write_store(tmp_path, STUDIES)
    with pytest.raises(KeyError, match="zzz"):
        ClipStore(tmp_path).of_study("zzz")


def test_an_empty_store_is_a_store(tmp_path):
    write_store(tmp_path, [])
    assert len(ClipStore(tmp_path)) == 0
    assert ClipStore(tmp_path).study_keys == []
