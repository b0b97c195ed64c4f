"""A vocabulary that is shipped names nobody: no word of few patients, spelled instead; numbers digit by digit."""

import re

import pytest

from cmr_lib.models.vocabulary import learn

COMMON = "The left ventricle is dilated with impaired systolic function and late enhancement of the anterior wall."


def reports():
    """Thirty reports of ten patients; Zormek writes in those of one, 'art' begins a common word, 李 is in two."""
    texts = [f"{COMMON} LVEF {20 + number} %. Arterial flow is normal." for number in range(30)]
    texts[0] += " Seen by Zormek, Zormek and Zormek. Art. 李"
    texts[3] += " Zormek again."
    texts[1] += " Quistgaard."
    texts[11] += " Quistgaard."
    return texts, [str(number // 3) for number in range(30)]


def owners(texts, patients):
    """Patients of each word of two letters and more, counted by hand."""
    found = {}
    for text, patient in zip(texts, patients, strict=True):
        for word in re.findall(r"[^\W\d_]{2,}", text.lower()):
            found.setdefault(word, set()).add(patient)
    return found


@pytest.mark.parametrize("least", [1, 2, 3])
def test_no_token_is_a_word_of_fewer_patients(least):
    texts, patients = reports()
    known = learn(texts, 400, patients, least).get_vocab()
    few = {word for word, whose in owners(texts, patients).items() if len(whose) < least}
    assert not few & set(known)
    assert ("zormek" in known) == (least <= 2)
    assert ("quistgaard" in known) == (least <= 2)
    assert ("art" in few) == (least > 1)
    assert "ventricle" in known
    assert ("李" in known) == (least == 1)


def test_a_rare_word_is_spelled_and_no_number_is_lost():
    texts, patients = reports()
    tokenizer = learn(texts, 400, patients, 3)
    tokens = tokenizer.encode("Zormek: LVEF 38.5 %, 1120 ms, not dilated").tokens
    assert "[UNK]" not in tokens
    assert "".join(token.removeprefix("##") for token in tokens[1:-1]) == "zormek:lvef38.5%,1120ms,notdilated"
    assert [token for token in tokens if token.isdigit()] == list("3851120")


def test_leaving_words_out_never_makes_the_vocabulary_larger_or_unstable():
    texts, patients = reports()
    first = learn(texts, 120, patients, 3)
    assert first.get_vocab_size() <= 120
    assert all(learn(texts, 120, patients, 3).get_vocab() == first.get_vocab() for _ in range(3))
    assert learn([], 200, [], 5).get_vocab_size() > 0
