"""Pairs of sentences that differ in one thing, told apart by models of known sight."""

import numpy as np
import pandas as pd
import pytest

from cmr_lib import labels
from cmr_lib.evaluation import negation


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def studies_of(rng, n=120):
    truth = pd.DataFrame({name: rng.integers(0, 2, n) for name in labels.FINDINGS})
    places = np.where(truth["lge"] == 1, rng.choice(negation.TERRITORIES, n), "none")
    return truth.assign(territory=places, patient_key=[f"p{row // 2}" for row in range(n)])


def seeing(studies, sentences):
    """Embeddings of a model that knows every word: one axis a finding, and one a territory."""
    axes = [*labels.FINDINGS, *negation.TERRITORIES]
    image = 2.0 * studies[list(labels.FINDINGS)].to_numpy() - 1
    image = np.concatenate([image, studies["territory"].to_numpy()[:, None] == np.array(negation.TERRITORIES)], axis=1)
    text = np.zeros((len(sentences), len(axes)))
    for row, sentence in enumerate(sentences):
        for name, (present, absent) in negation.GRAMMAR.items():
            text[row, axes.index(name)] = (sentence == present) - (sentence == absent)
        for name in negation.TERRITORIES:
            text[row, axes.index(name)] = f"the {name} territory" in sentence
    return image.astype(float), text


def table_of(rng, blind=False, deaf=False):
    studies = studies_of(rng)
    pairs = negation.pairs_of(studies)
    sentences = negation.sentences(pairs)
    image, text = seeing(studies, sentences)
    image = np.ones_like(image) if blind else image
    if deaf:  # reads a denial as what it denies
        of = {absent: present for present, absent in negation.GRAMMAR.values()}
        text = np.stack([text[sentences.index(of.get(sentence, sentence))] for sentence in sentences])
    scores = negation.score(pairs, image, text)
    return negation.accuracy_table(pairs, scores, studies["patient_key"], 200, 0).set_index(["phenomenon", "finding"])


def test_a_model_that_sees_and_reads_is_always_right(rng):
    table = table_of(rng)
    assert (table["value"] == 1).all()
    assert set(table.index.get_level_values(0)) == set(negation.PHENOMENA)


def test_a_model_that_does_not_look_scores_a_half_whatever_it_prefers(rng):
    table = table_of(rng, blind=True)
    assert table["value"].tolist() == pytest.approx([0.5] * len(table))


def test_a_model_that_does_not_read_no_fails_on_negation_alone(rng):
    table = table_of(rng, deaf=True)
    assert table.loc[("negation", "all"), "value"] == pytest.approx(0.5)
    assert table.loc[("laterality", "all"), "value"] == 1
    assert table.loc[("territory", "all"), "value"] == 1


def test_every_pair_is_true_of_its_study_and_differs_in_one_word_or_two(rng):
    studies = studies_of(rng)
    for pair in negation.pairs_of(studies):
        said = negation.stated(pair.true)
        assert len(said) == 1
        name, status, territory = next(iter(said))
        assert studies.loc[pair.study, name] == (status == "present")
        assert all(place.casefold() == studies.loc[pair.study, "territory"].casefold() for place in territory)
        changed = set(pair.true.casefold().split()) ^ set(pair.turned.casefold().split())
        assert 1 <= len(changed) <= 2
        name, status, territory = next(iter(negation.stated(pair.turned)))
        own = studies.loc[pair.study, "territory"].casefold()
        assert (studies.loc[pair.study, name] == 1) != (status == "present") or territory[0].casefold() != own


def test_the_interval_is_by_patient_and_holds_the_value(rng):
    studies = studies_of(rng)
    pairs = negation.pairs_of(studies)
    scores = (rng.random(len(pairs)) < 0.7).astype(float)
    table = negation.accuracy_table(pairs, scores, studies["patient_key"], 300, 0)
    row = table[(table["phenomenon"] == "negation") & (table["finding"] == "all")].iloc[0]
    assert row["low"] < row["value"] < row["high"]
    assert row["low"] < 0.7 < row["high"]
    assert (row["n"], row["n_patients"]) == (1200, 60)


def test_a_phenomenon_with_one_side_or_none_says_so(rng):
    studies = pd.DataFrame({"lge": [1, 1, 1], "patient_key": list("abc")})
    pairs = negation.pairs_of(studies)
    table = negation.accuracy_table(pairs, np.ones(3), studies["patient_key"], 20, 0).set_index("phenomenon")
    assert set(table.loc["negation", "note"]) == {"3 pairs with 1 of the two sides: no accuracy."}
    assert table.loc["territory", "note"] == "0 pairs with 0 of the two sides: no accuracy."
    assert table["value"].isna().all()


def test_sentences_that_say_the_same_unknown_findings_and_nan_are_refused(rng, monkeypatch):
    studies = studies_of(rng, 4)
    pairs = negation.pairs_of(studies, ["lge"])
    n = len(negation.sentences(pairs))
    with pytest.raises(ValueError, match="no sentence for dissection"):
        negation.pairs_of(studies, ["dissection"])
    with pytest.raises(ValueError, match=f"{n} sentences but {n - 1} embeddings"):
        negation.score(pairs, np.ones((4, 2)), np.ones((n - 1, 2)))
    with pytest.raises(ValueError, match="hold NaN"):
        negation.score(pairs, np.full((4, 2), np.nan), np.ones((n, 2)))
    monkeypatch.setitem(negation.GRAMMAR, "lge", ("Late gadolinium enhancement.", "Late enhancement is seen."))
    with pytest.raises(ValueError, match="takes two sentences for the same"):
        negation.pairs_of(studies, ["lge"])
