"""Sentences of reports that are hidden in training."""

import pytest

from cmr_lib.models import text
from cmr_lib.training import sentences

REPORT = "LV is dilated, EDV 212.5 mL.  LVEF is 31 %.\n1. Dilated LV!\nNo scar"
PARTS = ["LV is dilated, EDV 212.5 mL.", "LVEF is 31 %.", "1.", "Dilated LV!", "No scar"]


@pytest.fixture(scope="module")
def tokenizer():
    return text.train_tokenizer([REPORT], 120, 64)


@pytest.fixture(scope="module")
def tokens(tokenizer):
    return sentences.encode(tokenizer, [REPORT], 64)[0]


def words(tokenizer, ids):
    return tokenizer.decode(ids, skip_special_tokens=True)


def test_token_numbers_are_those_of_the_plain_encoder(tokenizer, tokens):
    assert tokens.ids == text.encode(tokenizer, [REPORT], 64)[0]
    assert sentences.encode(tokenizer, [REPORT], 9)[0].ids == text.encode(tokenizer, [REPORT], 9)[0]


def test_a_sentence_ends_at_a_stop_or_a_line_and_not_at_a_decimal_point(tokenizer, tokens):
    found = [
        words(tokenizer, [i for i, n in zip(tokens.ids, tokens.sentence, strict=True) if n == number])
        for number in range(5)
    ]
    assert found == [words(tokenizer, text.encode(tokenizer, [part], 64)[0]) for part in PARTS]
    assert [tokens.sentence[0], tokens.sentence[-1]] == [-1, -1]


def test_nothing_is_hidden_at_a_share_of_zero(tokens):
    assert sentences.hide(tokens, 0.0, 1, 2, "S1") == tokens.ids


def test_about_the_share_of_sentences_is_hidden_and_never_all(tokens):
    kept = [set(sentences.hide(tokens, 0.4, 1, epoch, "S1")) for epoch in range(400)]
    assert all(len(found) > 2 for found in kept)
    scar = tokens.ids[-2]
    assert 0.5 < sum(scar in found for found in kept) / 400 < 0.7
    assert min(len(sentences.hide(tokens, 1.0, 1, epoch, "S1")) for epoch in range(20)) > 2


def test_what_is_hidden_depends_on_seed_epoch_and_study_alone(tokens):
    hidden = {
        (seed, epoch, study): tuple(sentences.hide(tokens, 0.5, seed, epoch, study))
        for seed in range(3)
        for epoch in range(3)
        for study in ("S1", "S2")
    }
    assert hidden == {key: tuple(sentences.hide(tokens, 0.5, *key)) for key in reversed(hidden)}
    assert len(set(hidden.values())) > 5
