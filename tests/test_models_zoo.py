"""Baselines in the place of the image tower: what they see, how they train and are kept."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from torchvision.models import video as films
from torchvision.transforms.v2 import functional as pictures
from transformers import ViTConfig, ViTModel

from cmr_lib import params
from cmr_lib.models import convert, pretrained, text
from cmr_lib.models.cmrformer import CMRformerConfig, build
from cmr_lib.models.towers import image_tower
from cmr_lib.models.video import VideoConfig
from cmr_lib.models.zoo import evenly, film_of
from cmr_lib.training import step
from cmr_lib.training.card import model_card
from cmr_lib.training.machine import memory_savers
from cmr_lib.training.pairs import Pairs
from cmr_lib.training.start import start
from tests.test_models_video import chosen
from tests.toy import model_inputs, toy_settings, toy_store

FRAMES = VideoConfig(16, 8, "patch", 16, 2, 2, name="frames")
SMALL = {"r3d_18": (4, 16), "swin3d_t": (4, 32)}  # films that are quick; mvit_v2_s reads one size only


def tower(name, seed=0, **changes):
    torch.manual_seed(seed)
    config = FRAMES if name == "frames" else VideoConfig(16, 8, "patch", 16, 2, 2, name=name, film=SMALL.get(name))
    return image_tower(replace(config, **changes)).eval()


QUICK = ["frames", "r3d_18", "swin3d_t"]


@pytest.mark.parametrize("name", QUICK)
def test_absent_images_and_what_stands_in_their_place_change_nothing(name):
    model, images = tower(name), model_inputs()
    with torch.no_grad():
        wanted = model(images)
        assert wanted.shape == (2, model.width)
        alone = model(chosen(images.part(slice(0, 1)), [0, 2, 3, 4]))
        torch.testing.assert_close(alone, wanted[:1], atol=1e-5, rtol=1e-4)
        images.frames[0, 1] = 1e3
        torch.testing.assert_close(model(images), wanted, atol=1e-6, rtol=1e-5)
        images.frames[0, 2] = 1.0
        assert not torch.allclose(model(images)[0], wanted[0], atol=1e-3)
        torch.testing.assert_close(model(images)[1], wanted[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", QUICK)
def test_a_study_without_any_image_is_refused(name):
    images = model_inputs()
    images.mask[1] = False
    with pytest.raises(ValueError, match="Study 1 of the batch has no image"):
        tower(name)(images)


def test_frames_are_encoded_each_alone_and_averaged():
    model, images = tower("frames"), model_inputs()
    with torch.no_grad():
        for study, places in ((0, [0, 2, 3, 4]), (1, [0, 1, 2, 3, 4])):
            each = torch.cat([model(chosen(images.part(slice(study, study + 1)), [place])) for place in places])
            torch.testing.assert_close(model(images)[study], each.mean(0), atol=1e-5, rtol=1e-4)


def test_a_baseline_of_frames_has_no_attention_over_time_and_maps_of_equal_weight():
    model, images = tower("frames"), model_inputs()
    assert model.time_layers == []
    space, time = model.attention_maps(images)
    assert space.shape == (2, 5, 2, 2)
    torch.testing.assert_close(time[0], torch.tensor([0.25, 0.0, 0.25, 0.25, 0.25]))
    torch.testing.assert_close(space.sum((2, 3)), time)


def test_a_film_holds_the_images_of_a_study_evenly_and_in_their_order():
    mask = torch.tensor([[True, False, True, True, False], [True] * 5])
    assert evenly(mask, 6).tolist() == [[0, 0, 2, 2, 3, 3], [0, 0, 1, 2, 3, 4]]
    assert evenly(mask, 2).tolist() == [[0, 2], [0, 2]]


def test_a_film_is_resized_and_normalised_as_torchvision_does_for_its_weights():
    model, images = tower("r3d_18", film=(5, 24)), model_inputs(studies=2)
    pixels = (images.frames[1:].expand(-1, -1, 3, -1, -1) + 1) / 2
    looks = films.R3D_18_Weights.KINETICS400_V1.transforms()
    wanted = pictures.normalize(pictures.resize(pixels, [24, 24]), looks.mean, looks.std).transpose(1, 2)
    torch.testing.assert_close(model.film(images)[1:], wanted, atol=1e-5, rtol=1e-5)


def test_bodies_have_their_own_sizes_and_one_reads_no_other():
    own = {name: film_of(VideoConfig(name=name)) for name in ("r3d_18", "mvit_v2_s", "swin3d_t")}
    assert own == {"r3d_18": (16, 112), "mvit_v2_s": (16, 224), "swin3d_t": (32, 224)}
    with pytest.raises(ValueError, match=r"video\.film is \[8, 64\], but mvit_v2_s reads \[16, 224\] only"):
        film_of(VideoConfig(name="mvit_v2_s", film=(8, 64)))
    with pytest.raises(ValueError, match=r"video\.name is 'vgg'; known are divided_space_time, frames, r3d_18"):
        image_tower(VideoConfig(name="vgg"))


@pytest.mark.slow  # it reads one size, 16 frames of 224 px
def test_mvit_reads_small_crops_of_any_number_of_images():
    images = model_inputs(studies=1, frames=3)
    assert tower("mvit_v2_s").film(images).shape == (1, 3, 16, 224, 224)
    with torch.no_grad():
        assert tower("mvit_v2_s")(images).shape == (1, 768)


def test_bodies_refuse_maps_in_a_sentence():
    model = tower("r3d_18")
    with pytest.raises(ValueError, match=r"r3d_18 has no read-out token.*video\.name divided_space_time or frames"):
        model.attention_maps(model_inputs())
    assert tower("frames").no_maps == ""


# --- in the whole model -----------------------------------------------------------------------------------------
def model_of(name, **optim):
    settings = toy_settings(video={"name": name, "film": list(SMALL[name]) if name in SMALL else None}, optim=optim)
    tokenizer = text.train_tokenizer(toy_store()[1].values(), 140, 32)
    config = CMRformerConfig.of(settings, text.small_config(settings.text, len(tokenizer)))
    return build(config, seed=1), tokenizer, settings


def pairs_of(model, tokenizer, studies=4):
    reports = list(toy_store()[1].values())[:studies]
    ids, mask = text.pad(text.encode(tokenizer, reports, 32), tokenizer.pad_token_id)
    return Pairs.of(model, model_inputs(studies=studies), ids, mask)


@pytest.mark.parametrize("name", QUICK)
def test_a_baseline_learns_by_the_same_step_and_comes_back_from_its_folder(name, tmp_path):
    model, tokenizer, settings = model_of(name)
    model.train()
    optimiser = step.make_optimiser(model, settings.optim)
    pairs = pairs_of(model, tokenizer)
    results = [step.train_step(model, optimiser, [pairs], settings.optim) for _ in range(6)]
    assert all(result.done and result.temporal_qk_grad_norm == 0 for result in results)
    assert results[-1].loss < results[0].loss
    model.eval()
    pretrained.save_pretrained(model, tokenizer, tmp_path)
    again, _ = pretrained.from_pretrained(tmp_path)
    with torch.inference_mode():
        assert torch.equal(again.encode_study(model_inputs()), model.encode_study(model_inputs()))


def test_recomputed_activations_give_the_same_gradients():
    model, _, settings = model_of("swin3d_t", recompute=True)
    images, found = model_inputs(), []
    for how in (settings.optim, settings.optim.model_copy(update={"recompute": False})):
        model.zero_grad()
        with memory_savers(model, how):
            model.eval().video(images).square().sum().backward()
        found.append({name: weight.grad.clone() for name, weight in model.video.named_parameters()})
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[1])


def test_what_a_baseline_cannot_do_is_refused_by_the_parameters():
    for changes, said in (
        ({"video": {"name": "r3d_18"}, "optim": {"micro_batch": 2}}, "batch norm"),
        ({"video": {"name": "mvit_v2_s"}, "optim": {"compile": True}}, r"optim\.compile"),
        ({"video": {"name": "frames", "study": "set"}}, r"video\.study: set"),
        ({"video": {"name": "frames"}, "frames": {"vendors": ["ge"]}}, r"frames\.vendors"),
    ):
        with pytest.raises(params.ParameterError, match=said):
            toy_settings(**changes)


def test_the_card_names_the_baseline():
    history = pd.DataFrame({"loss": [1.0], "validation_loss": [1.1]})
    card = model_card(toy_settings(video={"name": "r3d_18"}), history, 3, synthetic=True)
    assert "a baseline, r3d_18 of torchvision" in card
    assert "divided space-time attention" not in card


# --- weights to start from --------------------------------------------------------------------------------------
def test_weights_of_torchvision_come_from_a_local_file_without_their_classifier(tmp_path):
    torch.manual_seed(5)
    theirs = films.r3d_18(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "r3d.pth")
    model, _, _ = model_of("r3d_18")
    convert.into_tower(model, str(tmp_path / "r3d.pth"))
    film = model.video.eval().film(model_inputs())
    theirs.fc = torch.nn.Identity()
    with torch.no_grad():
        assert torch.equal(model.video(model_inputs()), theirs(film))
    with pytest.raises(FileNotFoundError, match=r"video\.weights: none\.pth is not there"):
        convert.into_tower(model, str(tmp_path / "none.pth"))
    other, _, _ = model_of("swin3d_t")
    with pytest.raises(pretrained.WeightsError, match="lacks"):
        convert.into_tower(other, str(tmp_path / "r3d.pth"))


def vit_folder(folder, side=16):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    body = ViTModel(ViTConfig(**sizes, image_size=side, patch_size=8)).eval()
    with torch.no_grad():
        for weight in body.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    body.save_pretrained(folder)
    return body


@pytest.mark.parametrize("name", ["divided_space_time", "frames"])
def test_an_image_model_starts_the_tower_and_its_norms_are_remembered(name, tmp_path):
    body = vit_folder(tmp_path / "vit")
    model, tokenizer, _ = model_of(name)
    convert.into_tower(model.eval(), str(tmp_path / "vit"))
    with torch.no_grad():
        for row in model.video.frame.parameters():
            row.zero_()
    frame = model_inputs(studies=2, frames=2).part(slice(1, 2))
    one = chosen(frame, [0])
    with torch.no_grad():
        wanted = body(one.frames[:, 0].expand(-1, 3, -1, -1)).last_hidden_state[:, 0]
        torch.testing.assert_close(model.video(one), wanted, atol=1e-5, rtol=1e-5)
    pretrained.save_pretrained(model, tokenizer, tmp_path / "kept")
    again, _ = pretrained.from_pretrained(tmp_path / "kept")
    with torch.no_grad():
        assert torch.equal(again.video(one), model.video(one))


def test_an_image_model_of_another_size_is_refused_with_both_shapes(tmp_path):
    vit_folder(tmp_path, side=32)
    model, _, _ = model_of("frames")
    with pytest.raises(
        pretrained.WeightsError, match=r"place: the file holds \(1, 1, 16, 16\), the model wants \(1, 1, 4, 16\)"
    ):
        convert.into_tower(model, str(tmp_path))


def test_training_starts_from_the_weights_that_the_parameters_name(tmp_path):
    body = vit_folder(tmp_path)
    settings = toy_settings(video={"name": "frames", "weights": str(tmp_path)})
    model, _ = start(settings, list(toy_store()[1].values()))
    assert torch.equal(model.video.place[0, 0], body.embeddings.position_embeddings[0, 1:])
    assert "weights" not in model.config.to_dict()["video"]
    with pytest.raises(pretrained.WeightsError, match=r"set video\.stem to patch"):
        start(toy_settings(video={"stem": "conv", "weights": str(tmp_path)}), list(toy_store()[1].values()))
