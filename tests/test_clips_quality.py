"""Quality of clips: what a heart, noise and a flat image score, and that the worst comes first."""

import dicom_maker as maker
import numpy as np
import pandas as pd
import pytest

from cmr_lib.clips import prepare, quality
from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.clips.store import ClipStore, write_store
from cmr_lib.ingest.studies import read_study
from cmr_lib.params import ClipShape
from cmr_lib.types import Sequence, View

SHAPE = ClipShape(size_px=48, spacing_mm=3.0, phases=12)
NOISE = np.random.default_rng(0).integers(0, 256, (12, 48, 48), dtype=np.uint8)
KEY = b"a key for tests, 32 bytes or more"


@pytest.fixture(scope="module")
def heart(tmp_path_factory):
    path = maker.write_zip(tmp_path_factory.mktemp("one") / "a.zip", maker.study(slices=5, phases=10))
    return prepare.clips_of(read_study(path, KEY).stacks, SHAPE)


def clip_of(frames, view=View.SAX, **changes):
    return PreparedClip(frames, view, Sequence.CINE, 0, 0.5, float("nan"), 3.0, **changes)


def test_a_heart_moves_in_the_middle_and_noise_everywhere(heart):
    assert quality.motion(quality.main_clip(heart).frames) > 2
    assert quality.motion(NOISE) == pytest.approx(1, abs=0.05)
    assert np.isnan(quality.motion(NOISE[:1]))
    assert quality.motion(np.zeros_like(NOISE)) == 0


def test_contrast_is_the_interquartile_range_of_the_middle(heart):
    halves = np.zeros((2, 48, 48), np.uint8)
    halves[:, :, 24:] = 255
    assert quality.contrast(halves) == pytest.approx(1)
    assert quality.contrast(np.full((2, 48, 48), 99, np.uint8)) == 0
    assert quality.contrast(NOISE) < 0.2 < quality.contrast(quality.main_clip(heart).frames)


def test_row_of_a_study_counts_what_is_there(heart):
    row = quality.quality_of(heart)
    assert set(row) == set(quality.COLUMNS) - {"study_key"}
    assert (row["n_clips"], row["n_sax"], row["n_lax_4ch"], row["n_lax_2ch"], row["n_lge"]) == (9, 5, 1, 1, 2)
    assert (row["centre_found"], row["es_found"]) == (1, 1)
    assert row["phase_of_es"] == pytest.approx(0.35, abs=0.04)
    assert 0.5 < row["confidence"] <= 1
    assert 0.7 < row["score"] <= 1


def test_score_falls_with_every_fault(heart):
    best = quality.quality_of(heart)["score"]
    blind = [clip for clip in heart if clip.view != View.SAX]
    assert quality.quality_of(blind)["score"] < best
    noisy = quality.quality_of([clip_of(NOISE)])
    lost = quality.quality_of([clip_of(NOISE, centred=False)])
    unsure = quality.quality_of([clip_of(NOISE, confidence=0.1)])
    assert best > noisy["score"] > lost["score"]
    assert unsure["confidence"] == pytest.approx(0.1)
    assert unsure["score"] < noisy["score"]


def test_the_centre_counts_as_lost_where_nothing_moves_or_its_foot_is_off_the_image(tmp_path):
    still = maker.dataset  # one frame repeated: nothing moves
    where = maker.plane()
    files = [
        still(where, maker.image(where, 0.0), SeriesInstanceUID="1.9", SOPInstanceUID=f"1.9.{n}", InstanceNumber=n,
              TriggerTime=str(100 * n))
        for n in range(1, 6)
    ]  # fmt: skip
    stacks = read_study(maker.write_zip(tmp_path / "a.zip", files), KEY).stacks
    clips = prepare.clips_of(stacks, SHAPE)
    assert clips
    assert not any(clip.centred for clip in clips)
    assert quality.quality_of(clips)["centre_found"] == 0


def test_a_study_without_clips_has_no_quality():
    with pytest.raises(ValueError, match="without clips"):
        quality.quality_of([])


def test_the_sheet_shows_the_worst_first_at_full_and_at_empty(tmp_path):
    frames = {key: np.full((4, 48, 48), value, np.uint8) for key, value in (("aaaaaaaa", 10), ("bbbbbbbb", 20))}
    for stored in frames.values():
        stored[2] += 100
    write_store(tmp_path, [(key, [clip_of(stored)]) for key, stored in frames.items()])
    table = pd.DataFrame({"study_key": ["bbbbbbbb", "aaaaaaaa"], "score": [0.2, 0.9], "phase_of_es": [0.5, np.nan]})
    shown = quality.worst(ClipStore(tmp_path), table, 5)
    assert list(shown) == ["bbbbbb  0.20", "aaaaaa  0.90"]
    assert [int(picture.mean()) for picture in shown["bbbbbb  0.20"]] == [20, 120]
    assert [int(picture.mean()) for picture in shown["aaaaaa  0.90"]] == [10, 10]  # a third of the beat: frame 1
