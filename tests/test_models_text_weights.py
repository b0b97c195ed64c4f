"""Report encoders by name or folder: safetensors, a pickle's arrays, never a line of code, never the network."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel, DistilBertConfig, DistilBertModel

from cmr_lib import params
from cmr_lib.models import pretrained, text
from cmr_lib.models.cmrformer import CMRformerConfig, build
from cmr_lib.training.start import start
from cmr_lib.types import Report
from tests.toy import toy_settings

REPORTS = ["The left ventricle is dilated. LVEF 38 %.", "Normal.", "Late enhancement of the septal wall."]
BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
DISTILBERT = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
POSITIONS = {"vocab_size": 150, "max_position_embeddings": 40}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.fixture(scope="module")
def tokenizer():
    return text.train_tokenizer(REPORTS, 150)


def folder_of(body, tokenizer, folder, *, pickled=False):
    """As a hub's folder lies on disk; `pickled`: pytorch_model.bin in place of safetensors, as Bio_ClinicalBERT has."""
    body.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if pickled:
        (folder / "model.safetensors").unlink()
        torch.save(body.state_dict(), folder / "pytorch_model.bin")
    return str(folder)


def vectors(words, body, tokenizer):
    ids, mask = text.pad(text.encode(words, REPORTS, 32), words.pad_token_id)
    with torch.inference_mode():
        return text.TextEncoder(text.plain_config(body.config), body).eval()(ids, mask)


@pytest.mark.parametrize(
    ("kind", "config"),
    [(BertModel, BertConfig(**BERT, **POSITIONS)), (DistilBertModel, DistilBertConfig(**DISTILBERT, **POSITIONS))],
)
@pytest.mark.parametrize("pickled", [False, True])
def test_bert_and_distilbert_come_from_a_folder_with_the_same_vectors(kind, config, pickled, tokenizer, tmp_path):
    torch.manual_seed(0)
    body = kind(config).eval()
    words, found = text.load_pretrained(folder_of(body, tokenizer, tmp_path, pickled=pickled), 32)
    assert torch.equal(vectors(words, found, tokenizer), vectors(words, body, tokenizer))


def masked_language_model(tokenizer, folder):
    """Bio_ClinicalBERT's layout: names under "bert.", a pooler, and the heads of pretraining."""
    torch.manual_seed(0)
    body = BertForMaskedLM(BertConfig(**BERT, **POSITIONS)).eval()
    return body, folder_of(body, tokenizer, folder, pickled=True)


def test_a_pickle_of_a_language_model_gives_its_encoder_and_leaves_its_head(tokenizer, tmp_path):
    body, name = masked_language_model(tokenizer, tmp_path)
    words, found = text.load_pretrained(name, 32)
    assert torch.equal(vectors(words, found, tokenizer), vectors(words, body.bert, tokenizer))


def test_arrays_of_a_pickle_that_are_missing_or_strange_are_named(tokenizer, tmp_path):
    body, name = masked_language_model(tokenizer, tmp_path)
    weights = dict(body.state_dict())
    torch.save(weights | {"bert.decoder.extra": torch.zeros(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(pretrained.WeightsError, match=r"also holds 1 arrays of a BertModel .*extra"):
        text.load_pretrained(name, 32)
    lost = "bert.encoder.layer.0.output.dense.bias"
    torch.save({key: value for key, value in weights.items() if key != lost}, tmp_path / "pytorch_model.bin")
    with pytest.raises(pretrained.WeightsError, match=r"lacks 1 arrays of a BertModel .*output\.dense\.bias"):
        text.load_pretrained(name, 32)


class Hostile:
    def __reduce__(self):
        return (Path.touch, (Path("touched"),))


def test_code_in_a_pickle_or_beside_the_weights_is_never_run(tokenizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, name = masked_language_model(tokenizer, tmp_path / "bert")
    (tmp_path / "bert" / "pytorch_model.bin").write_bytes(pickle.dumps({"state_dict": Hostile()}))
    with pytest.raises(pretrained.WeightsError, match="code is never run"):
        text.load_pretrained(name, 32)
    shutil.rmtree(tmp_path / "bert")
    name = folder_of(BertModel(BertConfig(**BERT, **POSITIONS)), tokenizer, tmp_path / "bert")
    config = json.loads((tmp_path / "bert" / "config.json").read_text())
    config |= {"auto_map": {"AutoModel": "remote.Model", "AutoConfig": "remote.Config"}}
    (tmp_path / "bert" / "remote.py").write_text("from pathlib import Path\nPath('touched').touch()\n")
    (tmp_path / "bert" / "config.json").write_text(json.dumps(config))
    assert type(text.load_pretrained(name, 32)[1]) is BertModel
    (tmp_path / "bert" / "config.json").write_text(json.dumps(config | {"model_type": "of_their_own"}))
    with pytest.raises(Exception, match=r"trust_remote_code|of_their_own"):
        text.load_pretrained(name, 32)
    assert not Path("touched").exists()


def test_training_starts_from_the_folder_and_the_result_needs_it_no_more(tokenizer, tmp_path):
    body, name = masked_language_model(tokenizer, tmp_path / "bert")
    settings = toy_settings(text={"pretrained": name})
    model, words = start(settings, REPORTS)
    assert torch.equal(model.text.body.embeddings.word_embeddings.weight, body.bert.embeddings.word_embeddings.weight)
    pretrained.save_pretrained(model, words, tmp_path / "kept")
    ids, mask = text.pad(text.encode(words, REPORTS, 32), words.pad_token_id)
    with torch.inference_mode():
        wanted = model.eval().encode_text(ids, mask)
        shutil.rmtree(tmp_path / "bert")
        again, theirs = pretrained.from_pretrained(tmp_path / "kept")
        assert text.encode(theirs, REPORTS, 32) == text.encode(words, REPORTS, 32)
        assert torch.equal(again.encode_text(ids, mask), wanted)


def test_the_first_token_is_read_where_asked():
    settings = toy_settings(text={"pool": "cls"})
    model = build(CMRformerConfig.of(settings, text.small_config(settings.text, 150)), 1).eval()
    ids = torch.tensor([[2, 9, 3], [2, 8, 3]])
    mask = torch.ones(2, 3, dtype=torch.bool)
    with torch.inference_mode():
        hidden = model.text.body(input_ids=ids, attention_mask=mask).last_hidden_state
        assert torch.allclose(model.text(ids, mask), hidden[:, 0], atol=1e-6)
        assert not torch.allclose(model.text(ids, mask), hidden.mean(1), atol=1e-3)


@pytest.mark.parametrize("sections", [["findings"], ["impression"], ["impression", "findings"]])
def test_any_sections_are_read_in_the_order_asked(sections):
    report = Report(findings="LVEF 31 %.", impression="Dilated.")
    wanted = " ".join({"findings": "LVEF 31 %.", "impression": "Dilated."}[name] for name in sections)
    assert report.text(tuple(toy_settings(text={"sections": sections}).text.sections)) == wanted
    with pytest.raises(params.ParameterError, match="sections"):
        toy_settings(text={"sections": ["history"]})


def test_an_empty_report_is_a_vector_like_any_other(tokenizer):
    rows = text.encode(tokenizer, ["", "  ", REPORTS[0]], 32)
    assert rows[0] == rows[1] == [tokenizer.cls_token_id, tokenizer.sep_token_id]
    settings = toy_settings()
    model = build(CMRformerConfig.of(settings, text.small_config(settings.text, 150)), 1).eval()
    with torch.inference_mode():
        both = model.encode_text(*text.pad(rows, 0))
        alone = model.encode_text(*text.pad(rows[:1], 0))
    torch.testing.assert_close(both[:1], alone, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(both.norm(dim=1), torch.ones(3))
