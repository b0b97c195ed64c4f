"""Hearts on the bench lie where the loader would put them, and a model forgets what it is told to forget."""

import numpy as np
import pytest
import torch
import toy
from scipy import ndimage

from cmr_lib import params
from cmr_lib.explain import lesson_bench
from cmr_lib.models import cmrformer, text
from cmr_lib.simulate import showcase

PLAN = params.FramePlan(
    sax_positions=[0.5],
    sax_phases=[0.0, 0.34],
    lax_views=["lax_4ch"],
    lax_phases=[0.0],
    lge_positions=[0.5],
    crop_px=64,
)


@pytest.fixture(scope="module")
def bench():
    return lesson_bench.on_the_bench([showcase.heart_with(lvef=35.0, scar=0.8)], PLAN)


def test_masks_lie_on_blood_and_on_scar(bench):
    shown, masks = bench
    for place in (0, 1, 2):
        cavity = ndimage.binary_erosion(masks["cavity"][0, place])
        around = ndimage.binary_dilation(masks["cavity"][0, place], iterations=2) & masks["septum"][0, place]
        assert shown.frames[0, place][cavity].mean() > 1.5 * shown.frames[0, place][around].mean()
    scar, septum = masks["scar"][0, 3], masks["septum"][0, 3]
    assert scar.sum() > 20
    assert shown.frames[0, 3][scar].mean() > 2 * shown.frames[0, 3][septum & ~scar].mean()
    assert not masks["scar"][0, :3].any()


def test_orientation_is_the_loaders(bench):
    """The septum on the image's left; in four chambers the apex on top, the septum left."""
    _, masks = bench
    for place in (0, 2):
        assert np.argwhere(masks["septum"][0, place])[:, 1].mean() < np.argwhere(masks["cavity"][0, place])[:, 1].mean()
    assert abs(np.argwhere(masks["heart"][0, 0]).mean(axis=0) - 31.5).max() < 12
    lateral = masks["scar"][0, 3]  # the infarct of this heart is lateral
    assert np.argwhere(lateral)[:, 1].mean() > np.argwhere(masks["cavity"][0, 3])[:, 1].mean()


def test_no_heart_is_said_in_a_sentence():
    with pytest.raises(ValueError, match="No heart"):
        lesson_bench.on_the_bench([], PLAN)


def test_a_model_forgets_from_the_output_on():
    settings = toy.toy_settings()
    model = cmrformer.build(cmrformer.CMRformerConfig.of(settings, text.small_config(settings.text, 140)), 1)
    fresh = cmrformer.build(model.config, 2)
    names = ["video_projection", "video.blocks.1", "video.blocks.0", "video.stem"]
    for layers in range(5):
        found = lesson_bench.forgetting(model, layers, 2)
        for number, name in enumerate(names):
            wanted = (fresh if number < layers else model).get_submodule(name).state_dict()
            for key, value in found.get_submodule(name).state_dict().items():
                assert torch.equal(value, wanted[key]), (layers, name)
    with pytest.raises(ValueError, match="4 layers to forget, got 5"):
        lesson_bench.forgetting(model, 5, 2)


def test_edges_are_high_at_an_edge_and_nowhere_else():
    frame = np.zeros((1, 1, 32, 32), np.uint8)
    frame[..., 16:] = 200
    found = lesson_bench.edges(frame, 1.0)[0, 0]
    assert found[:, 15:17].min() > 10 * found[:, :8].max()
