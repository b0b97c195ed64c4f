"""CMRformer as a whole, and its weights in and out."""

import json
import math

import pytest
import torch

from cmr_lib import project
from cmr_lib.models import pretrained, text
from cmr_lib.models.cmrformer import CMRformer, CMRformerConfig, build
from tests.toy import model_inputs as batch
from tests.toy import toy_settings, toy_store


@pytest.fixture(scope="module")
def tokenizer():
    return text.train_tokenizer(toy_store()[1].values(), 140, 32)


def config_of(tokenizer, **changes):
    settings = toy_settings(**changes)
    return CMRformerConfig.of(settings, text.small_config(settings.text, len(tokenizer)))


@pytest.fixture
def model(tokenizer):
    return build(config_of(tokenizer), seed=1).eval()


def embeddings(model, tokenizer):
    ids, mask = text.pad(text.encode(tokenizer, ["LVEF 31 %.", "normal"], 32), tokenizer.pad_token_id)
    with torch.inference_mode():
        return model.encode_study(batch()), model.encode_text(ids, mask)


def test_both_towers_give_vectors_of_length_one(model, tokenizer):
    image, report = embeddings(model, tokenizer)
    assert image.shape == report.shape == (2, 8)
    torch.testing.assert_close(image.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(report.norm(dim=1), torch.ones(2))


def test_features_of_either_sign_reach_the_shared_space(model):
    # The successor's ReLU before the projection would make these two equal.
    features = -torch.ones(1, 16)
    assert model.video_projection(features).abs().sum() > 0
    assert not any(isinstance(layer, torch.nn.ReLU) for layer in model.modules())


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_batch_norm_leaves_only_what_differs_between_the_studies_of_a_batch(tokenizer, norm):
    model = build(config_of(tokenizer, projection_norm=norm), seed=1).train()
    features = 5 + torch.randn(6, 16, generator=torch.Generator().manual_seed(0))
    seen = model.video_norm(features)
    if norm == "none":
        assert torch.equal(seen, features)
        return
    wanted = (features - features.mean(0)) / features.std(0, correction=0)
    torch.testing.assert_close(seen, wanted, atol=1e-4, rtol=1e-4)


def test_in_evaluation_a_study_does_not_depend_on_its_batch(tokenizer):
    model = build(config_of(tokenizer), seed=1).train()
    features = 5 + torch.randn(6, 16, generator=torch.Generator().manual_seed(0))
    for _ in range(40):
        model.video_norm(features)
    model.eval()
    together = model.video_norm(features)
    torch.testing.assert_close(model.video_norm(features[2:3]), together[2:3])
    assert together.mean(0).abs().max() < 0.2  # centred by the running averages


def test_logit_scale_starts_at_one_over_the_temperature_and_ends_at_100(model):
    assert float(model.logit_scale.detach()) == pytest.approx(1 / 0.07, rel=1e-5)
    with torch.no_grad():
        model.log_scale.fill_(math.log(250.0))
    assert float(model.logit_scale.detach()) == pytest.approx(100.0, rel=1e-5)


def test_initial_weights_are_a_function_of_the_seed_alone(tokenizer):
    config = config_of(tokenizer)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = build(config, 1).state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(6)
    second, other = build(config, 1).state_dict(), build(config, 2).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["video_projection.weight"], other["video_projection.weight"])


def test_config_survives_json(tokenizer):
    config = config_of(tokenizer)
    assert CMRformerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_saved_and_loaded_models_give_equal_embeddings(model, tokenizer, tmp_path):
    wanted = embeddings(model, tokenizer)
    pretrained.save_pretrained(model, tokenizer, tmp_path)
    loaded, words = pretrained.from_pretrained(tmp_path)
    assert not loaded.training
    found = embeddings(loaded, words)
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "SHA256SUMS",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_saving_twice_gives_the_same_bytes_whatever_the_tokenizer_did_last(model, tokenizer, tmp_path):
    pretrained.save_pretrained(model, tokenizer, tmp_path / "a")
    tokenizer(["a text", "another longer text"], padding=True, truncation=True, max_length=3)
    loaded, words = pretrained.from_pretrained(tmp_path / "a")
    pretrained.save_pretrained(model, tokenizer, tmp_path / "b")
    pretrained.save_pretrained(loaded, words, tmp_path / "c")
    sums = [(tmp_path / name / "SHA256SUMS").read_text() for name in "abc"]
    assert sums[0] == sums[1] == sums[2]


@pytest.mark.parametrize("name", pretrained.FILES)
def test_one_flipped_bit_is_found_on_load(model, tokenizer, tmp_path, name):
    pretrained.save_pretrained(model, tokenizer, tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[-9] ^= 1
    (tmp_path / name).write_bytes(bytes(data))
    with pytest.raises(pretrained.WeightsError, match=rf"{name} differ from SHA256SUMS"):
        pretrained.from_pretrained(tmp_path)


def test_weights_of_another_architecture_are_refused_with_both_shapes(model, tokenizer):
    wider = CMRformer(config_of(tokenizer, video={"width": 32}))
    with pytest.raises(
        pretrained.WeightsError, match=r"mlp\.0\.bias: the file holds \(64,\), the model wants \(128,\)"
    ):
        pretrained.load_weights(wider, model.state_dict())


def test_weights_with_arrays_missing_or_added_are_refused(model, tokenizer):
    deeper = CMRformer(config_of(tokenizer, video={"depth": 3}))
    with pytest.raises(pretrained.WeightsError, match="lacks"):
        pretrained.load_weights(deeper, model.state_dict())
    with pytest.raises(pretrained.WeightsError, match="also holds"):
        pretrained.load_weights(model, deeper.state_dict())


def test_weights_that_are_not_finite_are_never_saved(model, tokenizer, tmp_path):
    with torch.no_grad():
        model.video.cls[0, 0, 0] = math.nan
    with pytest.raises(pretrained.WeightsError, match=r"video\.cls"):
        pretrained.save_pretrained(model, tokenizer, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_absent_folder_and_an_unknown_format_are_named(model, tokenizer, tmp_path):
    with pytest.raises(FileNotFoundError, match="stage pretrain"):
        pretrained.from_pretrained(tmp_path / "nothing")
    pretrained.save_pretrained(model, tokenizer, tmp_path)
    (tmp_path / "config.json").write_text('{"format": "other"}')
    project.write_manifest(tmp_path)
    with pytest.raises(pretrained.WeightsError, match="'other'"):
        pretrained.from_pretrained(tmp_path)


def test_paper_sized_model_can_be_made(tokenizer):
    config = config_of(
        tokenizer, frames={"crop_px": 224}, video={"patch_px": 16, "width": 768, "depth": 12, "heads": 12}
    )
    with torch.device("meta"):
        model = CMRformer(config)
    assert sum(weight.numel() for weight in model.video.parameters()) > 110e6
