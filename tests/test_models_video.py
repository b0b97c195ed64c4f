"""The image tower: divided attention against loops, masks, read-out, the two starts of temporal attention."""

import math
from dataclasses import fields, replace

import pytest
import torch
from torch import nn

from cmr_lib.models import attention, grouped
from cmr_lib.models.attention import DividedAttention
from cmr_lib.models.study import StudyImages
from cmr_lib.models.video import Block, VideoConfig, VideoEncoder, patch_stem
from tests.toy import model_inputs as batch

SMALL = VideoConfig(image_px=16, patch_px=8, width=16, depth=2, heads=2)


def encoder(config=SMALL, seed=0):
    torch.manual_seed(seed)
    return VideoEncoder(config).eval()


def shaken(model, seed=1):
    """Random weights everywhere, so that no term is hidden by a zero."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.3)
    return model.eval()


def naive_attention(layer, x, mask):
    """Divided attention, token by token and head by head, from its definition."""
    studies, frames = mask.shape
    patches, width = (x.shape[1] - 1) // frames, x.shape[2]
    size = width // layer.heads
    q, k, v = nn.functional.linear(x, layer.qkv.weight, layer.qkv.bias).split(width, dim=-1)
    out = torch.zeros_like(x)
    for b in range(studies):
        for token in range(x.shape[1]):
            frame, patch = divmod(token - 1, patches)
            seen = [0]
            for other in range(1, x.shape[1]):
                its_frame, its_patch = divmod(other - 1, patches)
                near = its_patch == patch if layer.axis == "time" else its_frame == frame
                own = token != 0 and layer.axis == "space" and its_frame == frame  # a masked frame may see itself
                if (token == 0 or near) and (mask[b, its_frame] or own):
                    seen.append(other)
            for head in range(layer.heads):
                part = slice(head * size, (head + 1) * size)
                scores = torch.stack([q[b, token, part] @ k[b, other, part] for other in seen]) / math.sqrt(size)
                weights = scores.exp() / scores.exp().sum()
                out[b, token, part] = sum(w * v[b, other, part] for w, other in zip(weights, seen, strict=True))
    return nn.functional.linear(out, layer.proj.weight, layer.proj.bias)


@pytest.mark.parametrize("axis", ["time", "space"])
def test_divided_attention_equals_its_definition_in_loops(axis):
    layer = shaken(DividedAttention(8, 2, axis))
    x, mask = torch.randn(2, 1 + 3 * 4, 8), torch.tensor([[True, False, True], [True, True, True]])
    torch.testing.assert_close(layer(x, mask), naive_attention(layer, x, mask), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("axis", ["time", "space"])
def test_the_fused_kernel_gives_what_the_written_out_product_gives(axis, monkeypatch):
    layer = shaken(DividedAttention(8, 2, axis))
    x, mask = torch.randn(2, 13, 8), torch.tensor([[True, False, True], [True, True, True]])
    wanted = layer(x, mask)
    monkeypatch.setattr(attention, "attend", attention.fused)
    torch.testing.assert_close(layer(x, mask), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("axis", ["time", "space"])
def test_tokens_grouped_before_the_projection_give_the_same_numbers_and_gradients(axis, complete):
    layer = shaken(DividedAttention(8, 2, axis))
    mask = torch.ones(2, 3, dtype=torch.bool) if complete else torch.tensor([[True, False, True], [True, True, True]])
    read = nn.functional.pad(mask.repeat_interleave(4, 1), (1, 0), value=True)  # of an absent frame nobody reads
    found = []
    for way in (layer, lambda *given: grouped.divided(layer, *given, complete)):
        x = torch.randn(2, 13, 8, generator=torch.Generator().manual_seed(5)).requires_grad_()
        layer.zero_grad()
        out = way(x, mask)[read]
        out.square().sum().backward()
        found.append([out.detach(), x.grad, *(weight.grad.clone() for weight in layer.parameters())])
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("axis", ["time", "space"])
def test_nothing_is_hidden_where_every_frame_is_there(axis):
    layer = shaken(DividedAttention(8, 2, axis))
    x, mask = torch.randn(2, 13, 8), torch.ones(2, 3, dtype=torch.bool)
    torch.testing.assert_close(layer(x, mask, complete=True), layer(x, mask))
    torch.testing.assert_close(layer.read(x, mask, complete=True), layer.read(x, mask))


@pytest.mark.parametrize("axis", ["time", "space"])
def test_the_pruned_read_is_the_first_row_of_the_full_layer(axis):
    layer = shaken(DividedAttention(8, 2, axis))
    x, mask = torch.randn(2, 13, 8), torch.tensor([[True, False, True], [True, True, True]])
    torch.testing.assert_close(layer.read(x, mask), layer(x, mask)[:, :1], atol=1e-6, rtol=1e-5)


def test_block_adds_space_to_its_input_and_not_to_the_time_residual():
    block = shaken(Block(SMALL))
    x, mask = torch.randn(2, 1 + 3 * 4, 16), torch.ones(2, 3, dtype=torch.bool)
    time = naive_attention(block.time, block.norm_time(x), mask)
    space = naive_attention(block.space, block.norm_space(x + time), mask)
    wanted = x + space
    wanted = wanted + block.mlp(block.norm_mlp(wanted))
    torch.testing.assert_close(block(x, mask), wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(block.read(x, mask), wanted[:, :1], atol=1e-4, rtol=1e-4)


def chosen(images, places):
    """The images of these places alone, in this order."""
    return StudyImages(**{field.name: getattr(images, field.name)[:, places] for field in fields(images)})


@pytest.mark.parametrize("readout", ["cls", "mean"])
@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_what_stands_in_a_masked_frame_changes_nothing(readout, stem):
    model = shaken(VideoEncoder(VideoConfig(16, 8, stem, 16, 2, 2, readout=readout)))
    images, garbage = batch(), batch()
    garbage.frames[0, 1] = 1e3
    garbage.view[0, 1], garbage.position[0, 1], garbage.phase[0, 1] = 6, 0.9, 0.9
    assert torch.equal(model(images), model(garbage))
    garbage.frames[0, 2] = 1.0  # a frame that is there does change it: the test can fail
    assert not torch.allclose(model(images), model(garbage))


def test_an_absent_frame_is_as_if_it_had_never_been_planned():
    model, images = shaken(VideoEncoder(SMALL)), batch(studies=1)
    without = chosen(images, [0, 2, 3, 4])
    torch.testing.assert_close(model(images), model(without), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 7, 33])
@pytest.mark.parametrize("cls", ["study", "frames"])
def test_any_number_of_frames_and_a_batch_of_one_study_are_read(frames, cls):
    model, images = shaken(VideoEncoder(replace(SMALL, cls=cls))), batch(studies=1, frames=max(2, frames))
    images.mask[:] = True
    one = chosen(images, list(range(frames)))
    again = chosen(images, list(range(frames)) * 2)
    again.mask[:, frames:] = False
    with torch.no_grad():
        assert torch.isfinite(model(one)).all()
        torch.testing.assert_close(model(again), model(one), atol=1e-5, rtol=1e-4)


def test_one_channel_is_exactly_three_equal_ones():
    torch.manual_seed(0)
    three = nn.Conv2d(3, 16, 8, 8).double()
    one = patch_stem(16, 8).double()
    with torch.no_grad():
        one.weight.copy_(three.weight.sum(1, keepdim=True))
        one.bias.copy_(three.bias)
        x = torch.randn(4, 1, 16, 16, dtype=torch.float64)
        torch.testing.assert_close(one(x), three(x.expand(-1, 3, -1, -1)), atol=1e-13, rtol=1e-13)


def test_order_of_frames_does_not_matter_but_their_phase_does():
    model, images = shaken(VideoEncoder(SMALL)), batch()
    turned = chosen(images, [3, 0, 4, 1, 2])
    torch.testing.assert_close(model(images), model(turned), atol=1e-5, rtol=1e-5)
    later = replace(images, phase=images.phase + 0.25)
    assert not torch.allclose(model(images), model(later), atol=1e-3)


def test_phase_is_a_circle():
    model, images = shaken(VideoEncoder(SMALL)), batch()
    around = replace(images, phase=images.phase + 1.0)
    torch.testing.assert_close(model(images), model(around), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("start", ["zero_output", "frozen_in_time"])
def test_the_model_starts_without_any_effect_of_time_attention(start):
    torch.manual_seed(0)
    block = Block(VideoConfig(16, 8, "patch", 16, 2, 2, temporal_init=start))
    model = encoder(VideoConfig(16, 8, "patch", 16, 2, 2, temporal_init=start))
    x, mask = torch.randn(2, 13, 16), torch.ones(2, 3, dtype=torch.bool)
    assert torch.equal(model.blocks[0].time(x, mask), torch.zeros_like(x))
    assert block.time.proj.weight.abs().sum() > 0  # an ordinary start, before the encoder sets it


def train(start, steps):
    torch.manual_seed(0)
    model = VideoEncoder(VideoConfig(16, 8, "patch", 16, 2, 2, temporal_init=start))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    images, target = batch(studies=4), torch.randn(4, 16)
    grads = []
    for _ in range(steps):
        optimiser.zero_grad()
        (model(images) - target).square().mean().backward()
        grads.append(max(float(block.time.qkv.weight.grad[:32].abs().max()) for block in model.blocks))
        optimiser.step()
    return model, grads


def test_published_start_freezes_temporal_queries_and_keys_at_exactly_zero():
    model, grads = train("frozen_in_time", 20)
    for block in model.blocks:
        assert torch.equal(block.time.qkv.weight[:32], torch.zeros(32, 16))
        assert torch.equal(block.time.qkv.bias[:32], torch.zeros(32))
        assert block.time.qkv.weight[32:].abs().max() > 0  # values do learn
    assert max(grads) == 0.0


def test_zero_output_start_learns_temporal_queries_and_keys_from_the_second_step():
    model, grads = train("zero_output", 3)
    assert grads[0] == 0.0  # the output projection is zero and must move first
    assert grads[1] > 0.0
    assert model.blocks[0].time.proj.weight.abs().max() > 0


def test_attention_maps_sum_to_one_and_are_zero_where_a_frame_is_masked():
    model, images = shaken(VideoEncoder(SMALL)), batch()
    space, time = model.attention_maps(images)
    assert space.shape == (2, 5, 2, 2)
    assert time.shape == (2, 5)
    torch.testing.assert_close(time.sum(1), torch.ones(2))
    torch.testing.assert_close(space.sum((2, 3)), time)
    assert torch.equal(space[0, 1], torch.zeros(2, 2))


def test_attention_maps_are_the_weights_of_the_read_out_token():
    model, images = shaken(VideoEncoder(VideoConfig(16, 8, "patch", 16, 1, 1))), batch(studies=1)
    space, _ = model.attention_maps(images)
    block = model.blocks[0]
    x = block.between(model.tokens(images), images.mask)
    q, k, _ = nn.functional.linear(x, block.space.qkv.weight, block.space.qkv.bias).split(16, -1)
    scores = (k[0] @ q[0, 0] / 4).masked_fill(torch.tensor([False] * 5 + [True] * 4 + [False] * 12), -torch.inf)
    weights = scores.softmax(0)[1:]
    torch.testing.assert_close(space.flatten(), weights / weights.sum(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_stem_gives_one_token_a_patch(stem):
    model = encoder(VideoConfig(32, 8, stem, 16, 1, 2))
    assert model.tokens(batch(side=32)).shape == (2, 1 + 5 * 16, 16)


def test_impossible_sizes_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match=r"30 px.*16 px"):
        VideoConfig(image_px=30)
    with pytest.raises(ValueError, match=r"width \(30\).*heads \(4\)"):
        VideoConfig(width=30, heads=4)
    with pytest.raises(ValueError, match="conv stem"):
        VideoConfig(image_px=30, patch_px=6, stem="conv")
    with pytest.raises(ValueError, match=r"16×16 px, got 24×24"):
        encoder()(batch(side=24))


def test_paper_sized_tower_has_the_size_of_vit_b_with_time():
    with torch.device("meta"):
        model = VideoEncoder(VideoConfig())
    count = sum(weight.numel() for weight in model.parameters())
    # ViT-B/16 has 85.8 M; a second attention and norm in each of 12 blocks adds 12 (4·768² + 6·768) = 28.4 M.
    assert 113e6 < count < 115e6


@pytest.mark.slow
def test_paper_sized_tower_runs():
    model = encoder(VideoConfig())
    with torch.inference_mode():
        assert model(batch(studies=1, frames=4, side=224)).shape == (1, 768)


def test_a_study_without_an_image_is_refused_by_its_place():
    images = batch(3)
    images.mask[1] = False
    with pytest.raises(ValueError, match="Study 1 of the batch has no image"):
        VideoEncoder(VideoConfig(16, 8, width=16, depth=1, heads=2))(images)
