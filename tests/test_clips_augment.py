"""Augmentation: small, the same for all frames of a study, never a mirror image, a function of its generator."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from cmr_lib import params
from cmr_lib.clips import augment as aug
from cmr_lib.clips.transforms import DRAWS, FURTHEST, OneChange, affine

STILL = params.Augment(
    rotate_deg=0.0, scale=0.0, shift_px=0.0, intensity=0.0, drop_view=0.0, hide_cines=0.0, drop_sentence=0.0
)
LIVELY = params.Augment(
    rotate_deg=15.0, scale=0.1, shift_px=3.0, intensity=0.2, drop_view=0.3, hide_cines=0.0, drop_sentence=0.0
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def frames(studies=3, count=4, side=24):
    draw = np.random.default_rng(0).integers(1, 256, (studies, count, 1, side, side), dtype=np.uint8)
    return torch.from_numpy(draw)


def test_centre_crop_is_the_exact_middle_in_model_units():
    x = frames()
    crop = aug.centre_crop(x, 16)
    assert crop.shape == (3, 4, 1, 16, 16)
    wanted = x[:, :, :, 4:20, 4:20].numpy().astype(np.float64) / 255 * 2 - 1
    np.testing.assert_allclose(crop.numpy(), wanted, atol=1e-6)


def test_without_amounts_augmentation_is_the_centre_crop():
    torch.testing.assert_close(
        aug.augment(frames(), STILL, 16, generator()), aug.centre_crop(frames(), 16), atol=1e-4, rtol=0
    )


def test_empty_frames_stay_exactly_zero():
    x = frames()
    x[1, 2] = 0
    for out in (aug.augment(x, LIVELY, 16, generator()), aug.centre_crop(x, 16)):
        assert torch.equal(out[1, 2], torch.zeros(1, 16, 16))
        assert (out[1, 1] != 0).any()


def test_values_stay_between_minus_one_and_one():
    out = aug.augment(frames(), LIVELY, 16, generator())
    assert float(out.min()) >= -1
    assert float(out.max()) <= 1


def test_all_frames_of_a_study_are_changed_alike_and_studies_differ():
    x = frames()[:1, :1].expand(3, 4, 1, 24, 24).clone()
    out = aug.augment(x, LIVELY, 16, generator())
    for study in out:
        for frame in study[1:]:
            assert torch.equal(frame, study[0])
    assert not torch.allclose(out[0], out[1], atol=0.05)


def test_left_stays_left_and_up_stays_up():
    x = torch.full((200, 2, 1, 24, 24), 20, dtype=torch.uint8)
    x[:, 0, :, :, :12] = 220  # bright on the left
    x[:, 1, :, :12, :] = 220  # bright above
    out = aug.augment(x, LIVELY.model_copy(update={"shift_px": 1.0}), 16, generator())
    assert (out[:, 0, 0, :, :8].mean((1, 2)) > out[:, 0, 0, :, 8:].mean((1, 2))).all()
    assert (out[:, 1, 0, :8].mean((1, 2)) > out[:, 1, 0, 8:].mean((1, 2))).all()


def test_the_affine_map_never_mirrors():
    draws = torch.randn(500, 4, generator=generator()) * 3
    linear = affine(draws, LIVELY, 16, 24)[:, :, :2]
    assert (torch.linalg.det(linear) > 0).all()


def test_shift_is_in_pixels():
    x = torch.zeros(1, 1, 1, 25, 25, dtype=torch.uint8)
    x[..., 12, 12] = 255
    settings = STILL.model_copy(update={"shift_px": 2.0})
    found = affine(torch.tensor([[0.0, 0.0, 1.0, -1.5]]), settings, 25, 25)
    grid = torch.nn.functional.affine_grid(found, [1, 1, 25, 25], align_corners=False)
    moved = torch.nn.functional.grid_sample(x[:, 0].float(), grid, align_corners=False)
    # looking 2 px further right and 3 px further up moves the dot 2 px left and 3 px down
    assert np.unravel_index(int(moved.argmax()), (25, 25)) == (15, 10)


def test_the_same_generator_gives_the_same_bits_and_another_does_not():
    first, again, other = (aug.augment(frames(), LIVELY, 16, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_crop_larger_than_the_frame_is_refused():
    with pytest.raises(ValueError, match=r"32 px.*24×24 px"):
        aug.augment(frames(), STILL, 32, generator())
    with pytest.raises(ValueError, match=r"32 px.*24×24 px"):
        aug.centre_crop(frames(), 32)


def views(studies):
    """Two cine SAX frames, one 4CH, one LGE SAX; the last study has only SAX cine."""
    view = torch.tensor([0, 0, 3, 0]).expand(studies, 4)
    sequence = torch.tensor([0, 0, 0, 1]).expand(studies, 4)
    mask = torch.ones(studies, 4, dtype=torch.bool)
    mask[-1, 2:] = False
    return view, sequence, mask


def test_whole_views_are_hidden_together_at_the_rate_asked():
    view, sequence, mask = views(4000)
    kept = aug.hide_views(view, sequence, mask, 0.3, generator())
    assert torch.equal(kept[:, 0], kept[:, 1])
    assert not (kept & ~mask).any()
    # hidden alone: 0.3, except when all three are (0.3³), which is taken back
    assert float(kept[:-1, 2].float().mean()) == pytest.approx(0.7 + 0.027, abs=0.02)
    assert float((kept[:-1, 2] != kept[:-1, 3]).float().mean()) > 0.2  # views are drawn apart


def test_a_study_never_loses_its_last_view():
    view, sequence, mask = views(300)
    assert aug.hide_views(view, sequence, mask, 1.0, generator()).equal(mask)
    assert aug.hide_views(view, sequence, mask, 0.9, generator()).any(1).all()
    assert aug.hide_views(view, sequence, mask, 0.0, generator()).equal(mask)


def test_all_cines_are_hidden_together_at_the_rate_asked_and_late_enhancement_stays():
    _, sequence, mask = views(4000)
    kept = aug.hide_cines(sequence, mask, 0.3, generator())
    assert torch.equal(kept[:, 0], kept[:, 1])
    assert torch.equal(kept[:-1, 0], kept[:-1, 2])  # short and long axis alike
    assert kept[:-1, 3].all()
    assert float(kept[:-1, 0].float().mean()) == pytest.approx(0.7, abs=0.02)


def test_cines_are_not_hidden_where_nothing_else_is_left():
    _, sequence, mask = views(300)
    assert aug.hide_cines(sequence, mask, 1.0, generator())[-1].equal(mask[-1])
    assert aug.hide_cines(sequence, mask, 0.0, generator()).equal(mask)


def by_torchvision(study, draws, crop):
    """The same by torchvision's own functions: moved whole, then cropped, then gamma and gain, then the offset."""
    draws = draws.double().numpy()
    turn, zoom, shift = draws[0] * LIVELY.rotate_deg, draws[1] * LIVELY.scale, draws[2:4] * LIVELY.shift_px
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    back = -np.exp(-zoom) * np.array([[c, s], [-s, c]]) @ shift
    still = {"shear": [0.0, 0.0], "interpolation": v2.InterpolationMode.BILINEAR}
    moved = v2.functional.affine(study.float() / 255, -float(turn), back.tolist(), float(np.exp(-zoom)), **still)
    gamma, gain = np.exp(draws[4:6] * LIVELY.intensity).tolist()
    lit = v2.functional.center_crop(moved, [crop, crop]) ** gamma * gain + float(draws[6]) * LIVELY.intensity / 2
    return 2 * lit.clamp(0, 1) - 1


def test_a_study_is_changed_as_torchvision_changes_it():
    x, crop = frames(studies=5, side=24), 16
    draws = torch.randn(5, DRAWS, generator=generator(4)).clamp(-FURTHEST, FURTHEST)
    found = aug.augment(x, LIVELY, crop, generator(4))
    for study, row, out in zip(x, draws, found, strict=True):
        torch.testing.assert_close(out, by_torchvision(study, row, crop), atol=2e-4, rtol=0)


def test_the_change_goes_into_a_chain_of_torchvision_transforms():
    x = frames()
    turned = v2.Compose([OneChange(LIVELY, 16, generator()), v2.Lambda(lambda films: films.neg())])(x)
    assert torch.equal(turned, -aug.augment(x, LIVELY, 16, generator()))


def test_a_crop_that_is_too_large_and_films_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="crop of 32 px was asked of frames of 24×24"):
        OneChange(LIVELY, 32, generator())(frames())
    with pytest.raises(ValueError, match=r"uint8 are wanted, got torch\.float32"):
        OneChange(LIVELY, 16, generator())(frames().float())
