"""The other rules for residual and read-out token: with both, our encoder is TimeSformer.

The oracle is TimeSformer as `transformers` has it, with random weights: the same code that reads the published weights.
"""

import pytest
import torch
from transformers import TimesformerConfig, TimesformerModel

from cmr_lib.models.pretrained import load_weights
from cmr_lib.models.study import StudyImages
from cmr_lib.models.video import VideoConfig, VideoEncoder
from tests.test_models_clips import study
from tests.test_models_video import chosen, shaken
from tests.toy import model_inputs

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
RULES = {"residual": "time", "cls": "frames"}
PARTS = {
    "temporal_layernorm": "norm_time",
    "layernorm_before": "norm_space",
    "layernorm_after": "norm_mlp",
    "temporal_attention.attention.qkv": "time.qkv",
    "attention.attention.qkv": "space.qkv",
    "attention.output.dense": "space.proj",
    "intermediate.dense": "mlp.0",
    "output.dense": "mlp.2",
}


def peer(frames):
    torch.manual_seed(0)
    config = TimesformerConfig(**SIZES, image_size=16, patch_size=8, num_frames=frames)
    body = TimesformerModel(config).eval()
    with torch.no_grad():
        for weight in body.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return body


def ours(body, **rules):
    """Our encoder with its weights; its two linear maps after temporal attention are one of ours."""
    weights = body.state_dict()
    places = weights["embeddings.position_embeddings"]
    state = {
        "stem.weight": weights["embeddings.patch_embeddings.projection.weight"].sum(1, keepdim=True),
        "stem.bias": weights["embeddings.patch_embeddings.projection.bias"],
        "cls": weights["embeddings.cls_token"] + places[:, :1],
        "place": places[:, 1:].unsqueeze(1),
        "frame.order": weights["embeddings.time_embeddings"][0],
        "norm.weight": weights["layernorm.weight"],
        "norm.bias": weights["layernorm.bias"],
    }
    for layer in range(SIZES["num_hidden_layers"]):
        theirs, mine = f"encoder.layer.{layer}.", f"blocks.{layer}."
        for part, name in PARTS.items():
            for kind in ("weight", "bias"):
                state[f"{mine}{name}.{kind}"] = weights[f"{theirs}{part}.{kind}"]
        last, first = weights[f"{theirs}temporal_dense.weight"], f"{theirs}temporal_attention.output.dense"
        state[f"{mine}time.proj.weight"] = last @ weights[f"{first}.weight"]
        state[f"{mine}time.proj.bias"] = last @ weights[f"{first}.bias"] + weights[f"{theirs}temporal_dense.bias"]
    config = VideoConfig(16, 8, "patch", 16, 2, 2, frame_places=len(state["frame.order"]), norm_eps=1e-12, **rules)
    model = VideoEncoder(config).eval()
    silent = {name: torch.zeros_like(value) for name, value in model.state_dict().items() if name.startswith("frame.")}
    load_weights(model, silent | state)
    return model


def images(studies=2, frames=3):
    nothing = torch.zeros(studies, frames)
    whole = torch.ones(studies, frames, dtype=torch.bool)
    return StudyImages(torch.randn(studies, frames, 1, 16, 16), nothing.long(), nothing.long(), nothing, nothing, whole)


def test_with_both_other_rules_our_encoder_gives_what_timesformer_gives():
    body, inputs = peer(3), images()
    with torch.no_grad():
        wanted = body(inputs.frames.expand(-1, -1, 3, -1, -1)).last_hidden_state[:, 0]
        torch.testing.assert_close(ours(body, **RULES)(inputs), wanted, atol=1e-5, rtol=1e-5)
        for rule in RULES:  # each of the two rules matters: the test can fail
            other = ours(body, **{name: value for name, value in RULES.items() if name != rule})
            assert not torch.allclose(other(inputs), wanted, atol=1e-2)


def other_rule(**changes):
    return shaken(VideoEncoder(VideoConfig(16, 8, "patch", 16, 2, 2, cls="frames", **changes)))


@pytest.mark.parametrize("residual", ["input", "time"])
@pytest.mark.parametrize("readout", ["cls", "mean"])
def test_frame_by_frame_an_absent_frame_is_as_if_it_had_never_been_planned(residual, readout):
    model, inputs = other_rule(residual=residual, readout=readout), model_inputs(studies=1)
    with torch.no_grad():
        wanted = model(chosen(inputs, [0, 2, 3, 4]))
        torch.testing.assert_close(model(inputs), wanted, atol=1e-5, rtol=1e-5)
        inputs.frames[0, 1] = 1e3
        torch.testing.assert_close(model(inputs), wanted, atol=1e-5, rtol=1e-5)
        inputs.frames[0, 2] = 1.0
        assert not torch.allclose(model(inputs), wanted, atol=1e-3)


def test_frame_by_frame_the_pruned_block_is_the_first_row_of_the_whole_block():
    model, mask = other_rule(), torch.tensor([[True, False, True], [True, True, True]])
    x = torch.randn(2, 1 + 3 * 4, 16)
    with torch.no_grad():
        torch.testing.assert_close(model.blocks[0].read(x, mask), model.blocks[0](x, mask)[:, :1], atol=1e-5, rtol=1e-5)
        time = model.blocks[0].time
        assert torch.equal(time.read(x, mask), time(x, mask)[:, :1])


def test_frame_by_frame_every_image_that_is_there_weighs_the_same_and_maps_sum_to_one():
    model, inputs = other_rule(), model_inputs()
    space, time = model.attention_maps(inputs)
    torch.testing.assert_close(space.sum((1, 2, 3)), torch.ones(2))
    assert torch.equal(time[0, 1], torch.zeros(()))
    assert time[0, [0, 2, 3, 4]].std() < 0.2  # equal but for what the copy of the token gives to itself


def test_frame_by_frame_goes_with_a_set_whose_studies_differ_in_clips_and_learns():
    model, inputs = other_rule(study="set"), study()
    model(inputs).square().sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)
    assert model.blocks[0].time.qkv.weight.grad[:32].abs().max() > 0
