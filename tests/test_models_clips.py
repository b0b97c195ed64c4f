"""A study as a set of clips: any views, any order, any padding."""

from dataclasses import fields, replace

import pytest
import torch

from cmr_lib.models.clips import AttentionPool, as_clips
from cmr_lib.models.cmrformer import CMRformerConfig
from cmr_lib.models.study import StudyImages
from cmr_lib.models.video import VideoConfig, VideoEncoder
from tests.test_models_video import chosen, shaken
from tests.toy import toy_settings

SET = VideoConfig(image_px=16, patch_px=8, width=16, depth=2, heads=2, study="set")


def study(seed=0):
    """Two studies of three short-axis phases at two positions, a long axis, and one late-enhancement image.

    The first lacks the long axis and one phase.
    """
    draw = torch.Generator().manual_seed(seed)
    mask = torch.ones(2, 8, dtype=torch.bool)
    mask[0, [1, 6]] = False
    return StudyImages(
        frames=torch.randn(2, 8, 1, 16, 16, generator=draw),
        view=torch.tensor([[0, 0, 0, 0, 0, 0, 2, 0]] * 2),
        sequence=torch.tensor([[0, 0, 0, 0, 0, 0, 0, 1]] * 2),
        position=torch.tensor([[0.2] * 3 + [0.8] * 3 + [0.5, 0.2]] * 2),
        phase=torch.tensor([[0.0, 0.3, 0.6] * 2 + [0.0, 0.0]] * 2),
        mask=mask,
    )


def test_frames_of_one_place_make_one_clip():
    images = study()
    clips, there = as_clips(images)
    assert there.tolist() == [[True, True, True, False], [True] * 4]
    assert clips.mask.unflatten(0, (2, 4)).sum(2).tolist() == [[2, 3, 1, 0], [3, 3, 1, 1]]
    second = StudyImages(**{f.name: getattr(clips, f.name).unflatten(0, (2, 4))[1] for f in fields(clips)})
    assert torch.equal(second.frames[1], images.frames[1, 3:6])
    assert torch.equal(second.phase[1], images.phase[1, 3:6])
    assert second.view[2, 0] == 2
    assert second.sequence[3, 0] == 1


def test_a_study_is_the_weighted_mean_of_its_clips_each_encoded_alone():
    model, images = shaken(VideoEncoder(SET)), study()
    with torch.no_grad():
        found = model(images)
        for row, places in ((0, [[0, 2], [3, 4, 5], [7]]), (1, [[0, 1, 2], [3, 4, 5], [6], [7]])):
            alone = torch.cat([model._encode(chosen(images.part(slice(row, row + 1)), place)) for place in places])
            weights = (model.pool.key(alone) @ model.pool.query / 4).softmax(0)
            torch.testing.assert_close(found[row], weights @ alone, atol=1e-5, rtol=1e-4)


def test_order_of_clips_padding_and_what_stands_in_it_change_nothing():
    model, images = shaken(VideoEncoder(SET)), study()
    with torch.no_grad():
        wanted = model(images)
        turned = chosen(images, [7, 3, 6, 0, 5, 2, 4, 1])
        torch.testing.assert_close(model(turned), wanted, atol=1e-5, rtol=1e-4)
        more = StudyImages(**{f.name: torch.cat([getattr(images, f.name)] * 2, 1) for f in fields(images)})
        more.mask[:, 8:] = False
        more.frames[:, 8:] = 1e3
        torch.testing.assert_close(model(more), wanted, atol=1e-5, rtol=1e-4)
        alone = torch.cat([model(images.part(slice(0, 1))), model(images.part(slice(1, 2)))])
        torch.testing.assert_close(alone, wanted, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(model(replace(images, frames=images.frames + 0.1)), wanted, atol=1e-3)


def test_any_subset_of_views_is_encoded_and_a_study_of_none_is_refused():
    model, images = shaken(VideoEncoder(SET)), study()
    one = images.part(slice(1, 2))
    for kept in ([6], [7], [0], [6, 7]):
        assert torch.isfinite(model(chosen(one, kept))).all()
    images.mask[1] = False
    with pytest.raises(ValueError, match="Study 1 of the batch has no image"):
        model(images)


def test_pooling_starts_as_the_plain_mean_of_the_clips_that_exist_and_learns():
    pool, x = AttentionPool(4), torch.randn(2, 3, 4)
    there = torch.tensor([[True, True, False], [True, True, True]])
    torch.testing.assert_close(pool(x, there), torch.stack([x[0, :2].mean(0), x[1].mean(0)]))
    pool(x, there).square().sum().backward()
    assert pool.query.grad.abs().max() > 0


def test_a_set_says_that_it_has_no_map_of_a_whole_study():
    with pytest.raises(ValueError, match=r"want a model of video\.study: concat"):
        VideoEncoder(SET).attention_maps(study())


def test_options_that_came_later_leave_the_config_of_older_models_as_it_was():
    plain, later = CMRformerConfig.of(toy_settings(), {}), CMRformerConfig.of(toy_settings(video={"study": "set"}), {})
    assert later.video.study == "set"
    assert CMRformerConfig.from_dict(later.to_dict()) == later
    assert CMRformerConfig.from_dict(plain.to_dict()) == plain
    assert set(plain.to_dict()) == {
        "video", "text", "embed_dim", "projection_norm", "temperature", "max_tokens"
    }  # fmt: skip
    assert not {"study", "residual", "norm_eps", "frame_places"} & set(plain.to_dict()["video"])
