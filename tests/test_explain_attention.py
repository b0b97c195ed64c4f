"""Attention maps as numbers: exact values for maps whose answer is known."""

import numpy as np
import pytest

from cmr_lib.explain import attention


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def one_hot(row, col, size=4):
    maps = np.zeros((1, 1, size, size))
    maps[0, 0, row, col] = 0.3
    return maps


def test_upsampled_maps_keep_their_place_and_peak_at_one():
    grown = attention.upsample(one_hot(0, 3), 64)
    assert grown.shape == (1, 1, 64, 64)
    assert grown.max() == pytest.approx(1)
    row, col = np.unravel_index(grown[0, 0].argmax(), (64, 64))
    assert row < 16
    assert col >= 48
    assert grown.min() >= 0
    assert (attention.upsample(np.zeros((1, 1, 4, 4)), 8) == 0).all()


def test_a_uniform_map_stays_uniform_when_upsampled():
    assert np.allclose(attention.upsample(np.full((2, 3, 4, 4), 0.0625), 32), 1)


def test_entropy_is_zero_for_one_patch_and_one_for_all():
    assert attention.entropy(one_hot(1, 1))[0, 0] == pytest.approx(0)
    assert attention.entropy(np.ones((1, 1, 4, 4)))[0, 0] == pytest.approx(1)
    half = np.zeros((1, 1, 4, 4))
    half[..., :2, :2] = 1
    assert attention.entropy(half)[0, 0] == pytest.approx(np.log(4) / np.log(16))


def test_uniform_attention_has_the_discs_share_of_the_centre():
    assert attention.centre_share(np.ones((1, 1, 4, 4)))[0, 0] == pytest.approx(attention.disc_share(4, 4))
    assert attention.disc_share(4, 4) == pytest.approx(4 / 16)
    assert attention.disc_share(64, 64) == pytest.approx(np.pi / 16, abs=0.01)
    assert attention.centre_share(one_hot(1, 2))[0, 0] == pytest.approx(1)
    assert attention.centre_share(one_hot(0, 0))[0, 0] == 0


def test_correlation_is_pearsons(rng):
    first, second = rng.random((2, 3, 4, 4)), rng.random((2, 3, 4, 4))
    wanted = np.corrcoef(first[1, 2].ravel(), second[1, 2].ravel())[0, 1]
    assert attention.map_correlation(first, second)[1, 2] == pytest.approx(wanted)
    assert attention.map_correlation(first, 2 * first + 1) == pytest.approx(np.ones((2, 3)))
    assert np.isnan(attention.map_correlation(first, np.ones_like(first))).all()


def test_absent_frames_do_not_count(rng):
    space, time = rng.random((2, 3, 4, 4)), rng.random((2, 3))
    present = np.array([[True, True, False], [True, True, True]])
    scores = attention.study_scores(space, time, present, space)
    assert scores["entropy"][0] == pytest.approx(attention.entropy(space)[0, :2].mean())
    assert scores["correlation_with_random"].tolist() == pytest.approx([1, 1])
    spoiled_space, spoiled_time = space.copy(), time.copy()
    spoiled_space[0, 2], spoiled_time[0, 2] = 99 * rng.random((4, 4)), 99
    again = attention.study_scores(spoiled_space, spoiled_time, present, space)
    assert again.iloc[0].tolist() == pytest.approx(scores.iloc[0].tolist())


def test_time_entropy_tells_one_frame_from_all(rng):
    space, present = rng.random((2, 3, 4, 4)), np.ones((2, 3), dtype=bool)
    time = np.array([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    assert attention.study_scores(space, time, present, space)["time_entropy"].tolist() == pytest.approx([0, 1])


def test_tint_leaves_the_frame_where_there_is_no_weight():
    frame, weight = np.full((4, 4), 128, dtype=np.uint8), np.zeros((4, 4))
    weight[0, 0] = 1
    picture = attention.tint(frame, weight)
    assert picture[1, 1].tolist() == pytest.approx([128 / 255] * 3)
    assert picture[0, 0, 0] > picture[0, 0, 2]
    assert 0 <= picture.min() <= picture.max() <= 1
