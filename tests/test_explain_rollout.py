"""Captured attention is what the model used; rollout agrees with full matrices, gradients with autograd."""

import contextlib

import pytest
import torch
import toy

from cmr_lib.explain import capture, rollout
from cmr_lib.models import attention, cmrformer, text

FRAMES, SIDE = 5, 16


def model(**video):
    settings = toy.toy_settings(video={"dropout": 0.0, "heads": 2, **video})
    found = cmrformer.build(cmrformer.CMRformerConfig.of(settings, text.small_config(settings.text, 140)), 3)
    with torch.no_grad():
        draw = torch.Generator().manual_seed(1)
        for name, weight in found.named_parameters():  # temporal attention starts at zero: give it something to do
            if "qkv" in name or "proj" in name:
                weight.add_(0.3 * torch.randn(weight.shape, generator=draw))
    return found.eval()


@pytest.fixture
def images():
    return toy.model_inputs(2, FRAMES, SIDE)


@contextlib.contextmanager
def recorded(monkeypatch):
    """Every attention weight that the written-out kernel forms, with its gradient kept: the oracle."""
    kept, real = [], attention.weights_of

    def record(q, k, present):
        found = real(q, k, present)
        if found.requires_grad:
            found.retain_grad()
        kept.append(found)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(attention, "weights_of", record)
        yield kept


def full(cls, groups, axis, frames):
    """One head's weights as a matrix of tokens × tokens, entry by entry."""
    g, s = groups.shape[0], groups.shape[1]
    n = g if axis == "time" else s
    matrix = torch.zeros(1 + frames * n, 1 + frames * n)
    matrix[0] = cls

    def token(group, place):
        frame, patch = (place, group) if axis == "time" else (group, place)
        return 1 + frame * n + patch

    for group in range(g):
        for place in range(s):
            matrix[token(group, place), 0] = groups[group, place, 0]
            for other in range(s):
                matrix[token(group, place), token(group, other)] = groups[group, place, 1 + other]
    return matrix


@pytest.mark.parametrize("readout", ["cls", "mean"])
def test_captured_weights_are_those_that_the_model_used(monkeypatch, images, readout):
    found = model()
    found.video.config.__dict__["readout"] = readout
    with recorded(monkeypatch) as kept, torch.no_grad(), capture.captured(found.video) as seen:
        found.video(images)
    used = iter(kept)
    for number, layer in enumerate(seen.layers):
        mine = capture.weights(layer, images.mask)
        assert torch.allclose(mine.cls, next(used).squeeze(2), atol=1e-6)
        if readout == "mean" or number < len(seen.layers) - 1:  # the last space layer reads one token only
            assert torch.allclose(mine.groups, next(used), atol=1e-6)
    assert next(used, None) is None


@pytest.mark.parametrize("residual", ["input", "time"])
def test_gradients_of_weights_are_those_of_autograd(monkeypatch, images, residual):
    found = model(residual=residual)
    goal = torch.nn.functional.normalize(torch.randn(2, found.config.embed_dim), dim=-1)
    with recorded(monkeypatch) as kept, capture.captured(found.video) as seen:
        (found.encode_study(images) * goal).sum().backward()
    used = iter(kept)
    for number, layer in enumerate(seen.layers):
        mine = capture.gradients(layer, images.mask)
        there = images.mask.repeat_interleave(4, 1)
        wanted = next(used).grad.squeeze(2)
        assert torch.allclose(mine.cls[:, :, 1:] * there[:, None], wanted[:, :, 1:] * there[:, None], atol=1e-6)
        if number < len(seen.layers) - 1:
            assert torch.allclose(mine.groups, next(used).grad, atol=1e-6)
        else:
            assert (mine.groups == 0).all()
    assert max(layer.given.grad.abs().max() for layer in seen.layers) > 1e-4


@pytest.mark.parametrize("residual", ["input", "time"])
@pytest.mark.parametrize("method", ["rollout", "gradient"])
def test_a_row_at_a_time_equals_the_product_of_full_matrices(images, residual, method):
    found = model(residual=residual)
    goal = torch.nn.functional.normalize(torch.randn(2, found.config.embed_dim), dim=-1)
    mine = rollout.explain(found, images, (method,), goal)[method]
    with capture.captured(found.video) as seen:
        (found.encode_study(images) * goal).sum().backward()
    one = torch.eye(1 + FRAMES * 4)
    for study in range(2):
        product = one.clone()
        for pair in seen.blocks():
            matrices = []
            for layer in pair:
                a = capture.weights(layer, images.mask)
                cls, groups = a.cls[study], a.groups[study]
                if method == "gradient":
                    slope = capture.gradients(layer, images.mask)
                    cls, groups = (cls * slope.cls[study]).relu(), (groups * slope.groups[study]).relu()
                matrices.append(full(cls.mean(0), groups.mean(1), layer.attention.axis, FRAMES))
            t, s = matrices
            keep = 0.5 if method == "rollout" else 1.0
            step = keep * one + keep * t
            block = (keep * one + keep * s) @ step if residual == "time" else keep * one + keep * s @ step
            product = block @ product
        row = product[0, 1:] * images.mask[study].repeat_interleave(4)
        assert torch.allclose(mine[study].flatten(), row / row.sum(), atol=1e-5)


@pytest.mark.parametrize("method", rollout.METHODS)
def test_maps_sum_to_one_and_absent_frames_get_nothing(images, method):
    found = rollout.explain(model(), images, (method,))[method]
    assert torch.allclose(found.sum((1, 2, 3)), torch.ones(2), atol=1e-5)
    assert (found >= 0).all()
    assert (found[0, 1] == 0).all()


def test_capturing_changes_no_number_and_leaves_no_hook(images):
    found = model()
    with torch.no_grad():
        plain = found.video(images)
        with capture.captured(found.video):
            followed = found.video(images)
    assert torch.equal(plain, followed)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in found.modules())


def test_a_fused_kernel_gives_the_same_maps(monkeypatch, images):
    found = model()
    goal = torch.nn.functional.normalize(torch.randn(2, found.config.embed_dim), dim=-1)
    written = rollout.explain(found, images, target=goal)
    monkeypatch.setattr(attention, "attend", attention.fused)
    fused = rollout.explain(found, images, target=goal)
    for method, wanted in written.items():
        assert torch.allclose(fused[method], wanted, atol=1e-5)


def test_two_questions_about_one_study_give_two_gradient_maps_and_one_rollout(images):
    found = model()
    goals = torch.nn.functional.normalize(torch.randn(2, 2, found.config.embed_dim), dim=-1)
    first, second = (rollout.explain(found, images, target=goal) for goal in goals)
    assert torch.equal(first["rollout"], second["rollout"])
    assert not torch.allclose(first["gradient"], second["gradient"], atol=1e-3)


def test_a_study_without_report_still_has_a_gradient_map(images):
    found = model()
    goal = torch.full((2, found.config.embed_dim), float("nan"))
    known = rollout.explain(found, images, ("gradient",), goal)["gradient"]
    assert torch.allclose(known, rollout.explain(found, images, ("gradient",))["gradient"], atol=1e-6)
    assert known.sum() > 1


def test_what_cannot_be_mapped_is_said_in_a_sentence(images):
    with pytest.raises(ValueError, match="study: concat"):
        rollout.explain(model(study="set"), images)
    other = model()
    other.video.blocks[0].time.__class__ = type("Other", (attention.DividedAttention,), {})
    with pytest.raises(ValueError, match="of another make"):
        rollout.explain(other, images)
    with pytest.raises(ValueError, match="target of 2 × 8 is wanted"):
        rollout.explain(model(), images, target=torch.zeros(2, 3))


@pytest.mark.parametrize("frames", [1, 40])
def test_one_frame_and_forty_views_are_mapped_alike(frames):
    images = toy.model_inputs(1, frames + 1, SIDE)
    found = rollout.explain(model(), images)
    for maps in found.values():
        assert maps.shape == (1, frames + 1, 2, 2)
        assert maps.sum().item() == pytest.approx(1, abs=1e-5)
