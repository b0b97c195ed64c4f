"""Our encoders with others' weights give others' outputs.

tests/data/frozen_in_time.safetensors and cmr_clip.safetensors hold random weights, inputs and outputs, written by
running the code of m-bain/frozen-in-time (commit e1f13e1) and Makiya11/CMRCLIP (commit 4dd42e8) at a small size; no
code of theirs is here. The weights that CMR-CLIP released were not tried here.
"""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, ViTConfig, ViTModel

from cmr_lib import project
from cmr_lib.models import convert, text
from cmr_lib.models.pretrained import WeightsError, from_pretrained, load_weights, save_pretrained
from cmr_lib.models.study import StudyImages
from cmr_lib.models.video import VideoEncoder
from tools import convert as tool

DATA = Path(__file__).parent / "data"
TEXT = text.plain_config(
    BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
    )
)


def stored(name):
    content = load_file(DATA / f"{name}.safetensors")
    weights = {key.removeprefix("weights/"): value for key, value in content.items() if key.startswith("weights/")}
    return content, weights


def images(frames):
    studies, count = frames.shape[:2]
    nothing = torch.zeros(studies, count)
    whole = torch.ones(studies, count, dtype=torch.bool)
    return StudyImages(frames, nothing.long(), nothing.long(), nothing, nothing, whole)


def frozen_in_time():
    content, weights = stored("frozen_in_time")
    config, state = convert.space_time(weights, heads=2)
    model = VideoEncoder(config).eval()
    load_weights(model, state)
    return model, content


def test_a_block_gives_what_the_block_of_frozen_in_time_gives():
    model, content = frozen_in_time()
    mask = torch.ones(2, 3, dtype=torch.bool)
    with torch.no_grad():
        tokens = model.tokens(images(content["frames"]))
        torch.testing.assert_close(tokens, content["block0_in"], atol=1e-5, rtol=1e-5)
        out = model.blocks[0](content["block0_in"], mask)
        torch.testing.assert_close(out, content["block0_out"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.blocks[0].read(content["block0_in"], mask), out[:, :1], atol=1e-5, rtol=1e-5)


def test_the_encoder_gives_what_frozen_in_time_gives_with_fewer_frames_than_it_knows():
    model, content = frozen_in_time()
    with torch.no_grad():  # the last block is pruned to the read-out token here, not there
        found = model(images(content["frames"]))
    torch.testing.assert_close(found, content["out"], atol=1e-5, rtol=1e-5)
    model.blocks[0].residual = "time"  # the other residual is another model: the test can fail
    assert not torch.allclose(model(images(content["frames"])), content["out"], atol=1e-2)


def test_more_frames_than_the_model_knows_are_refused():
    model, _ = frozen_in_time()
    with pytest.raises(ValueError, match=r"knows 4 places of a frame, got 5"):
        model(images(torch.zeros(1, 5, 1, 16, 16)))


def test_cmr_clip_gives_its_unit_vectors_from_our_model(tmp_path):
    content, weights = stored("cmr_clip")
    model = convert.cmr_clip(weights, heads=2, text_config=TEXT)
    unit = {name: torch.nn.functional.normalize(content[name], dim=-1) for name in ("video", "text")}
    with torch.no_grad():
        video = model.encode_study(images(content["frames"]))
        report = model.encode_text(content["ids"], content["mask"].bool())
    torch.testing.assert_close(video, unit["video"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(report, unit["text"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(video @ report.T, content["similarity"], atol=1e-5, rtol=1e-5)
    assert float(model.logit_scale.detach()) == pytest.approx(20.0)
    save_pretrained(model, text.train_tokenizer(["a heart"], 200), tmp_path)
    again, _ = from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again.encode_study(images(content["frames"])), video)


def test_the_tool_turns_a_released_file_into_a_folder_and_refuses_another_hash(tmp_path, capsys):
    content, weights = stored("cmr_clip")
    torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, tmp_path / "peer.pt")
    (tmp_path / "text").mkdir()
    sizes = {name: value for name, value in TEXT.items() if name != "model_type"}
    BertConfig(**sizes).save_pretrained(tmp_path / "text")
    text.train_tokenizer(["a heart"], 200).save_pretrained(tmp_path / "text")
    asked = [str(tmp_path / name) for name in ("peer.pt", "text", "out")]
    assert tool.main([*asked, "--heads", "2", "--sha256", "0" * 64]) == 1
    assert "is wanted: fetch it again" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert tool.main([*asked, "--heads", "2", "--sha256", project.sha256_file(tmp_path / "peer.pt")]) == 0
    model, _ = from_pretrained(tmp_path / "out")
    with torch.no_grad():
        video = model.encode_study(images(content["frames"]))
    torch.testing.assert_close(video, torch.nn.functional.normalize(content["video"], dim=-1), atol=1e-5, rtol=1e-5)


def test_arrays_that_are_too_many_or_too_few_are_named():
    _, weights = stored("cmr_clip")
    with pytest.raises(WeightsError, match=r"decoder\.weight has no place"):
        convert.cmr_clip(weights | {"decoder.weight": torch.zeros(1)}, 2, TEXT)
    with pytest.raises(WeightsError, match=r"blocks\.0\.extra\.weight has no place"):
        convert.cmr_clip(weights | {"video_model.blocks.0.extra.weight": torch.zeros(1)}, 2, TEXT)
    short = {name: value for name, value in weights.items() if name != "video_model.blocks.1.attn.qkv.bias"}
    with pytest.raises(WeightsError, match=r"lacks 1 of"):
        convert.cmr_clip(short, 2, TEXT)
    with pytest.raises(WeightsError, match=r"lacks CMR-CLIP's txt_proj"):
        convert.cmr_clip({name: v for name, v in weights.items() if not name.startswith("txt_proj")}, 2, TEXT)


class Hostile:
    def __reduce__(self):
        return (Path.touch, (Path("touched"),))


def test_a_pickle_is_read_as_arrays_and_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, weights = stored("cmr_clip")
    trained = {f"module.{name}": value for name, value in weights.items()}  # as DataParallel names them
    torch.save({"arch": "CMRCLIP", "epoch": 3, "state_dict": trained}, "good.pth")
    found = convert.read_pickle("good.pth")
    assert found.keys() == weights.keys()
    with pytest.raises(WeightsError, match=r"good\.pth has SHA-256 .*, 00 is wanted"):
        convert.read_pickle("good.pth", sha256="00")
    Path("bad.pth").write_bytes(pickle.dumps({"state_dict": Hostile()}))
    with pytest.raises(WeightsError, match="code is never run"):
        convert.read_pickle("bad.pth")
    torch.save({"state_dict": {"a": 3}}, "odd.pth")
    with pytest.raises(WeightsError, match="does not hold a mapping"):
        convert.read_pickle("odd.pth")
    assert not Path("touched").exists()


def test_an_image_model_gives_its_vector_for_one_frame(tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    body = ViTModel(ViTConfig(**sizes, image_size=16, patch_size=8)).eval()
    with torch.no_grad():
        for weight in body.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    body.save_pretrained(tmp_path)
    model = convert.vit(str(tmp_path))
    frame = torch.randn(3, 1, 1, 16, 16)
    with torch.no_grad():
        wanted = body(frame[:, 0].expand(-1, 3, -1, -1)).last_hidden_state[:, 0]
        torch.testing.assert_close(model(images(frame)), wanted, atol=1e-5, rtol=1e-5)


def test_what_is_no_image_model_is_refused(tmp_path):
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="'bert', a vit is wanted"):
        convert.vit(str(tmp_path))
