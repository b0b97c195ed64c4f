"""Net benefit, probabilities that validation bears out, and answering only the surest: against definitions in loops."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from cmr_lib.evaluation import decisions, statistics


def world(n=200, seed=0):
    draw = np.random.default_rng(seed)
    label = (draw.random(n) < 0.3).astype(float)
    return np.stack([label, np.clip(0.3 + 0.35 * (label - 0.3) + 0.2 * draw.normal(size=n), 0.01, 0.99)], axis=1)


def naive_net_benefit(pairs, threshold):
    worth = 0.0
    for label, probability in pairs:
        if probability >= threshold:
            worth += 1.0 if label == 1 else -threshold / (1 - threshold)
    return worth / len(pairs)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.8])
def test_net_benefit_is_what_its_definition_counts(threshold):
    pairs = world()
    found = decisions.decision_curve(pairs, range(len(pairs)), 50, 0, [threshold]).iloc[0]
    everybody = naive_net_benefit(np.stack([pairs[:, 0], np.ones(len(pairs))], axis=1), threshold)
    assert found["value"] == pytest.approx(naive_net_benefit(pairs, threshold))
    assert found["everybody"] == pytest.approx(everybody)
    assert found["gain"] == pytest.approx(found["value"] - max(everybody, 0.0))
    assert found["low"] <= found["value"] <= found["high"]


def test_a_model_that_knows_gains_and_one_that_guesses_does_not():
    label = world(600)[:, 0]
    sure = np.stack([label, np.where(label == 1, 0.95, 0.02)], axis=1)
    blind = np.stack([label, np.full(len(label), label.mean())], axis=1)
    curves = [decisions.decision_curve(pairs, range(len(label)), 200, 0, [0.2, 0.5]) for pairs in (sure, blind)]
    assert (curves[0]["gain_low"] > 0).all()
    assert curves[0]["value"].to_list() == pytest.approx([label.mean()] * 2)  # every positive, nothing in vain
    assert (curves[1]["gain_low"] <= 0).all()


def test_probabilities_are_set_right_as_a_logistic_regression_of_statsmodels_does():
    pairs = world(400, seed=3)
    far = np.stack([pairs[:, 0], pairs[:, 1] ** 3], axis=1)
    found = decisions.Platt.of(far)
    wanted = sm.Logit(far[:, 0], sm.add_constant(np.log(far[:, 1] / (1 - far[:, 1])))).fit(disp=0).params
    assert [found.intercept, found.slope] == pytest.approx(list(wanted), rel=1e-3)
    assert found(far)[:, 1].mean() == pytest.approx(pairs[:, 0].mean(), abs=1e-4)  # far's mean is .1, not .3
    assert (np.argsort(found(far)[:, 1], kind="stable") == np.argsort(far[:, 1], kind="stable")).all()


def naive_accuracy_of_surest(judged, share):
    """The mean over many orders in which equally sure studies stand."""
    draw, found = np.random.default_rng(0), []
    for _ in range(400):
        order = sorted(range(len(judged)), key=lambda row: (-judged[row, 1], draw.random()))
        many = share * len(judged)
        whole = int(many)
        hits = sum(judged[row, 0] for row in order[:whole])
        if whole < len(order):
            hits += (many - whole) * judged[order[whole], 0]
        found.append(hits / many)
    return np.mean(found)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=4, max_size=12), st.floats(0.2, 1.0))
def test_the_surest_share_is_counted_as_a_sort_counts_it_with_equals_in_any_order(rows, share):
    judged = np.asarray([(float(right), sure / 5) for right, sure in rows])
    found = statistics.point(judged, decisions.accuracy_of_surest(share))
    assert found == pytest.approx(naive_accuracy_of_surest(judged, share), abs=0.12)
    assert statistics.point(judged, decisions.accuracy_of_surest(1.0)) == pytest.approx(judged[:, 0].mean())


def test_without_ties_the_surest_half_is_exact_and_weights_are_copies():
    judged = np.asarray([[1.0, 0.9], [1.0, 0.8], [0.0, 0.7], [0.0, 0.6]])
    half = decisions.accuracy_of_surest(0.5)
    assert statistics.point(judged, half) == 1.0
    weights = np.asarray([[1.0, 0.0, 2.0, 1.0]])
    copies = np.repeat(judged, weights[0].astype(int), axis=0)
    assert half(judged, weights)[0] == pytest.approx(statistics.point(copies, half))


def test_silence_gains_where_doubt_means_something_and_nothing_where_it_does_not():
    draw = np.random.default_rng(1)
    sure = draw.random(500)
    right = (draw.random(500) < sure).astype(float)
    curves = [
        decisions.abstention_curve(np.stack([right, doubt], axis=1), range(500), 200, 0).set_index("share")
        for doubt in (sure, draw.random(500))
    ]
    assert curves[0].loc[0.5, "gain_low"] > 0.1
    assert curves[1].loc[0.5, "gain_low"] <= 0 <= curves[1].loc[0.5, "gain_high"]
    assert curves[0].loc[1.0, "gain"] == curves[0].loc[1.0, "gain_high"] == 0


def test_what_cannot_be_judged_is_refused_in_a_sentence():
    pairs = world(20)
    with pytest.raises(ValueError, match="same answer"):
        decisions.Platt.of(np.stack([np.ones(5), np.full(5, 0.5)], axis=1))
    with pytest.raises(ValueError, match="hold NaN"):
        decisions.Platt.of(np.asarray([[1.0, np.nan], [0.0, 0.2]]))
    with pytest.raises(ValueError, match=r"probability in \[0, 1\]"):
        decisions.decision_curve(pairs * [1, 3], range(20), 10, 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        decisions.decision_curve(pairs, range(20), 10, 0, [1.0])
    with pytest.raises(ValueError, match="some are NaN"):
        decisions.abstention_curve(np.asarray([[1.0, np.nan]]), ["a"], 10, 0)
    with pytest.raises(ValueError, match=r"lies in \(0, 1\]"):
        decisions.abstention_curve(pairs, range(20), 10, 0, [0.0])
