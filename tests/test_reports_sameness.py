"""Reports that say the same: word for word, nearly, clinically."""

import numpy as np
import pytest
import scipy.sparse.csgraph

from cmr_lib import project
from cmr_lib.reports import sameness as same
from cmr_lib.reports.sections import split_sections
from cmr_lib.reports.summary import summarise

WORDS_TEXT = """
the left right ventricle is mildly dilated with normal function no late enhancement EF mL of and size
"""
WORDS = WORDS_TEXT.split()


def text_of(seed, length=80):
    random = np.random.default_rng(seed)
    return " ".join(
        WORDS[place] + "abcdefghi"[random.integers(9)] for place in random.integers(len(WORDS), size=length)
    )


def changed(text, many, seed=0):
    words, random = text.split(), np.random.default_rng(seed)
    for place in random.choice(len(words), size=many, replace=False):
        words[place] = "other"
    return " ".join(words)


def naive_jaccard(a, b):
    def triples(text):
        words = text.lower().split()
        return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}

    return len(triples(a) & triples(b)) / len(triples(a) | triples(b))


def test_exact_sameness_ignores_case_blanks_and_stops_and_never_numbers():
    keys = {same.exact_key(text) for text in ("No LGE. LVEF 38 %.", "no lge; LVEF\n 38 %", "No  LGE, LVEF 38 %!")}
    assert len(keys) == 1
    assert same.exact_key("LVEF 38.5 %") != same.exact_key("LVEF 385 %")
    assert same.exact_key("LVEF 38 %") != same.exact_key("LVEF 39 %")
    assert same.exact_key("left") != same.exact_key("right")


@pytest.mark.parametrize("many", [0, 1, 4, 10, 40])
def test_minhash_estimates_the_jaccard_similarity(many):
    errors = []
    for seed in range(30):
        a = text_of(seed)
        b = changed(a, many, seed)
        errors.append((same.minhash(a) == same.minhash(b)).mean() - naive_jaccard(a, b))
    assert abs(np.mean(errors)) < 0.03
    assert np.std(errors) < 0.08  # sqrt(J(1-J)/128) is at most 0.044


def test_near_groups_are_those_of_a_comparison_of_all_pairs():
    texts = [changed(text_of(seed // 3), [0, 1, 6][seed % 3], seed) for seed in range(60)]
    groups = same.near_groups(texts)
    linked = np.array([[naive_jaccard(a, b) >= same.NEAR for b in texts] for a in texts])
    _, components = scipy.sparse.csgraph.connected_components(linked)
    assert ((groups[:, None] == groups) == (components[:, None] == components)).all()
    assert 20 < len(set(components)) < 60


def test_clinical_sameness_is_of_findings_and_severity_whatever_the_words():
    def key(text):
        return same.clinical_key(summarise(split_sections(text)))

    assert key("The LV is severely dilated. No LGE.") == key("IMPRESSION: Severe left ventricular enlargement.")
    assert key("The LV is severely dilated.") != key("The LV is mildly dilated.")
    assert key("No pericardial effusion.") == key("Normal study.") == ()
    assert key("Possible thrombus.") != key("Apical thrombus.")


def test_groups_rates_and_positives():
    groups = same.groups_by(["a", "b", "a", "c"])
    assert groups.tolist() == [0, 1, 0, 2]
    assert same.shared(groups) == 0.5
    assert same.positives(groups).sum() == 6
    texts = ["No LGE.", "no lge", "Apical thrombus.", "Scar."]
    found = same.sameness(texts, [summarise(split_sections(text)) for text in texts])
    assert found.rates() == {
        "exact": project.estimate(0.5, n=4), "near": project.estimate(0.5, n=4), "clinical": project.estimate(0.5, n=4)
    }  # fmt: skip
    with pytest.raises(ValueError, match="as many are wanted"):
        same.sameness(texts, [])


def test_no_reports_have_no_groups():
    assert same.near_groups([]).tolist() == []
    assert same.shared(same.groups_by([])) == 0.0
