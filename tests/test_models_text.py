"""The text tower: a deterministic tokenizer that keeps numbers, and an encoder that ignores padding."""

import pytest
import torch
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

from cmr_lib.models import text
from tests.toy import toy_settings

REPORTS = [
    "The left ventricle is dilated. LVEF 38 %.",
    "Normal biventricular size. LVEF 61 %, LVEDV 150 mL (78 mL/m²).",
    "Late gadolinium enhancement of the septal wall. LVEF 45.5 %.",
    "Naïve T1 raised ±3 ms; wall 12 mm. No late gadolinium enhancement.",
]


@pytest.fixture(scope="module")
def tokenizer():
    return text.train_tokenizer(REPORTS, 150)


def test_numbers_are_kept_digit_by_digit(tokenizer):
    tokens = tokenizer.tokenize("LVEF 38 %")
    assert tokens[-3:] == ["3", "8", "%"]
    assert tokenizer.tokenize("970 mL")[:3] == ["9", "7", "0"]  # a number that was in no report
    assert tokenizer.tokenize("45.5")[:4] == ["4", "5", ".", "5"]


def test_different_numbers_give_different_tokens(tokenizer):
    rows = text.encode(tokenizer, [f"LVEF {value} %" for value in range(100)], 32)
    assert len({tuple(row) for row in rows}) == 100


def test_a_word_never_seen_is_spelled(tokenizer):
    assert tokenizer.unk_token_id not in tokenizer("Takotsubo, xyz!")["input_ids"]


def test_nothing_of_the_training_reports_is_unknown(tokenizer):
    for report in REPORTS:
        assert tokenizer.unk_token_id not in tokenizer(report)["input_ids"]
    assert tokenizer.tokenize("LVEF") == tokenizer.tokenize("lvef")


def test_vocabulary_is_no_larger_than_asked(tokenizer):
    assert len(tokenizer) <= 150
    with pytest.raises(ValueError, match="vocabulary is 50"):
        text.train_tokenizer(REPORTS, 50)


def test_a_text_starts_with_cls_ends_with_sep_and_is_cut(tokenizer):
    rows = text.encode(tokenizer, ["dilated " * 50, "dilated"], 10)
    assert len(rows[0]) == 10
    for row in rows:
        assert row[0] == tokenizer.cls_token_id
        assert row[-1] == tokenizer.sep_token_id


def test_the_same_texts_give_the_same_vocabulary(tokenizer):
    # Hash maps of the library are seeded map by map, so without care two trainings in one process differ as well.
    vocabulary = [text.train_tokenizer(REPORTS, 150).get_vocab() for _ in range(5)]
    assert all(words == tokenizer.get_vocab() for words in vocabulary)


def test_padding_marks_what_is_a_token():
    ids, mask = text.pad([[2, 5, 3], [2, 3]], pad_id=0)
    assert ids.tolist() == [[2, 5, 3], [2, 3, 0]]
    assert mask.tolist() == [[True, True, True], [True, True, False]]


def small():
    torch.manual_seed(0)
    return text.TextEncoder(text.small_config(toy_settings().text, 150)).eval()


def test_padding_changes_nothing(tokenizer):
    model = small()
    alone, padded = text.encode(tokenizer, REPORTS[:1], 32), text.encode(tokenizer, [REPORTS[0], REPORTS[1]], 32)
    torch.testing.assert_close(model(*text.pad(alone, 0))[0], model(*text.pad(padded, 0))[0], atol=1e-6, rtol=1e-5)
    ids, mask = text.pad(padded, 0)
    other = torch.where(mask, ids, 7)  # what stands in the padding changes nothing either
    torch.testing.assert_close(model(ids, mask), model(other, mask), atol=1e-6, rtol=1e-5)


def test_reports_of_any_length_come_back_in_their_order(tokenizer):
    model = small()
    rows = [[2, *[5 + (7 * i) % 90] * ((i * 11) % 25 + 1), 3] for i in range(2 * text.CPU_GROUP + 5)]
    together = model(*text.pad(rows, 0))
    alone = torch.cat([model(*text.pad([row], 0)) for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_the_vector_is_the_mean_of_the_outputs_over_tokens(tokenizer):
    model = small()
    ids, mask = text.pad(text.encode(tokenizer, REPORTS, 32), 0)
    hidden = model.body(input_ids=ids, attention_mask=mask).last_hidden_state
    wanted = torch.stack([row[: int(n)].mean(0) for row, n in zip(hidden, mask.sum(1), strict=True)])
    torch.testing.assert_close(model(ids, mask), wanted, atol=1e-6, rtol=1e-5)


def test_a_local_folder_is_accepted_and_its_config_rebuilds_it(tmp_path, tokenizer):
    config = BertConfig(
        vocab_size=150,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        layer_norm_eps=1e-9,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    words, body = text.load_pretrained(str(tmp_path), 32)
    assert words.tokenize("LVEF 38 %") == tokenizer.tokenize("LVEF 38 %")
    plain = text.plain_config(body.config)
    assert (plain["model_type"], plain["layer_norm_eps"]) == ("bert", 1e-9)
    ids, mask = text.pad(text.encode(words, REPORTS, 32), 0)
    first, second = text.TextEncoder(plain, body).eval(), text.TextEncoder(plain).eval()
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(ids, mask), second(ids, mask))
    with pytest.raises(ValueError, match="max_tokens is 64"):
        text.load_pretrained(str(tmp_path), 64)


def test_an_absent_model_is_refused_without_a_download(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OSError, match="no-such"):
        text.load_pretrained("no-such/model", 32)


@pytest.mark.parametrize("kind", text.TAKE_PAIRS)
def test_a_mask_of_pairs_means_to_an_encoder_what_the_mask_of_tokens_means(kind):
    torch.manual_seed(0)
    short = {"distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}}
    long = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    body = AutoModel.from_config(AutoConfig.for_model(kind, vocab_size=50, **short.get(kind, long))).eval()
    assert body.config._attn_implementation == "sdpa"
    ids, mask = torch.randint(1, 50, (3, 7)), torch.arange(7) < torch.tensor([[7], [4], [1]])
    plain = body(input_ids=ids, attention_mask=mask).last_hidden_state
    pairs = body(input_ids=ids, attention_mask=text.of_pairs(mask)).last_hidden_state
    torch.testing.assert_close(pairs[mask], plain[mask], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(body(input_ids=ids).last_hidden_state[mask], plain[mask])


def test_an_encoder_told_of_no_padding_reads_as_with_a_mask_of_all_tokens():
    ids, tower = torch.randint(5, 50, (3, 7)), small()
    with torch.no_grad():
        torch.testing.assert_close(tower(ids, None), tower(ids, torch.ones(3, 7, dtype=torch.bool)))


def test_off_the_cpu_the_mask_is_handed_on_without_a_look_where_the_encoder_takes_it_so():
    body, far = small().body, torch.ones(3, 7, dtype=torch.bool, device="meta")  # a look at it would be an error
    assert text.mask_for(body, far).shape == (3, 1, 7, 7)
    assert text.mask_for(body, torch.ones(3, 7, dtype=torch.bool)).shape == (3, 7)
    assert text.mask_for(body, None) is None
    body.config._attn_implementation = "eager"
    assert text.mask_for(body, far) is far
