"""Statistics on data that Hypothesis makes up (ties, copies, one class, rows never drawn), against scikit-learn, NumPy
and definitions in loops."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, recall_score, roc_auc_score

from cmr_lib.evaluation import calibration, operating, pairs, ranks, statistics

LEVELS = st.integers(-3, 3).map(lambda level: level / 4)  # few values: many ties
NUMBERS = st.floats(-50, 50, allow_subnormal=False)


@st.composite
def resampled(draw, *columns, least=2):
    """Rows of so many columns, how often each was drawn, and the resample written out."""
    n = draw(st.integers(least, 12))
    rows = [draw(st.lists(column, min_size=n, max_size=n)) for column in columns]
    values = np.asarray(rows, dtype=float).T
    weights = np.asarray(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), dtype=float)
    assume(weights.sum() > 0)
    return values, weights, np.repeat(values, weights.astype(int), axis=0)


def of(statistic, values, weights):
    return statistic(values, weights[None])[0]


LABELS = st.integers(0, 1)


@given(resampled(LABELS, LEVELS))
def test_auroc_and_average_precision_are_those_of_scikit_learn(sample):
    values, weights, drawn = sample
    both = len(np.unique(drawn[:, 0])) == 2
    assert np.isfinite(of(statistics.auroc, values, weights)) == both
    if both:
        assert of(statistics.auroc, values, weights) == pytest.approx(roc_auc_score(drawn[:, 0], drawn[:, 1]))
    if drawn[:, 0].any():
        wanted = average_precision_score(drawn[:, 0], drawn[:, 1])
        assert of(operating.average_precision, values, weights) == pytest.approx(wanted)


@given(resampled(st.integers(0, 3), st.integers(0, 3)))
def test_balanced_accuracy_is_the_mean_recall_of_scikit_learn(sample):
    values, weights, drawn = sample
    found = of(statistics.balanced_accuracy, values, weights)
    wanted = recall_score(*drawn.T, labels=np.unique(drawn[:, 0]), average="macro", zero_division=0.0)
    assert found == pytest.approx(wanted)


@given(resampled(LABELS, LABELS))
def test_f1_is_that_of_scikit_learn(sample):
    values, weights, drawn = sample
    found = of(operating.f1, values, weights)
    if drawn.any():
        assert found == pytest.approx(f1_score(drawn[:, 0], drawn[:, 1], zero_division=0.0))
    else:
        assert np.isnan(found)


@given(resampled(NUMBERS, NUMBERS))
def test_mean_median_and_error_are_those_of_the_resample_written_out(sample):
    values, weights, drawn = sample
    close = {"rel": 1e-9, "abs": 1e-9}
    assert of(statistics.mean, values[:, 0], weights) == pytest.approx(drawn[:, 0].mean(), **close)
    assert of(statistics.median, values[:, 0], weights) == pytest.approx(np.median(drawn[:, 0]), **close)
    error = sum(abs(predicted - true) for true, predicted in drawn) / len(drawn)
    assert of(statistics.mean_absolute_error, values, weights) == pytest.approx(error, **close)


@given(resampled(st.integers(-5, 5), st.integers(-5, 5), least=3))
def test_pearson_is_numpys(sample):
    values, weights, drawn = sample
    assume(all(len(np.unique(column)) > 1 for column in drawn.T))
    assert of(statistics.pearson, values, weights) == pytest.approx(np.corrcoef(drawn.T)[0, 1], abs=1e-9)


@given(resampled(LABELS, st.integers(0, 20).map(lambda part: part / 20)), st.integers(1, 6))
def test_expected_calibration_error_is_a_loop_over_bins(sample, bins):
    values, weights, drawn = sample
    gap = 0.0
    for number in range(bins):
        inside = [row for row in drawn if max(0, np.ceil(row[1] * bins - 1e-9) - 1) == number]
        gap += abs(sum(right - said for right, said in inside))
    assert of(calibration.ece(bins), values, weights) == pytest.approx(gap / len(drawn), abs=1e-9)


@given(st.data(), st.integers(2, 7), st.integers(1, 7))
def test_expected_ranks_and_hits_are_those_of_a_naive_sort(data, n, k):
    rows = st.lists(st.integers(-1, 1), min_size=2, max_size=2)
    queries, gallery = (np.asarray(data.draw(st.lists(rows, min_size=n, max_size=n)), dtype=float) for _ in range(2))
    found = ranks.search(queries, gallery, ranks.Right(np.arange(n), np.arange(n)), depth=n)
    similarity = queries @ gallery.T
    for row in range(n):
        better = int((similarity[row] > similarity[row, row]).sum())
        level = int((similarity[row] == similarity[row, row]).sum())  # its own among them, in any place
        places = [better + 1 + place for place in range(level)]
        assert found.first.ranks()[row] == pytest.approx(np.mean(places))
        assert found.first.hits(k)[row] == pytest.approx(np.mean([place <= k for place in places]))
        assert found.reciprocal()[row] == pytest.approx(np.mean([1 / place for place in places]))


@given(st.data(), st.integers(2, 6))
def test_both_ways_from_one_product_are_a_naive_sort_each(data, n):
    rows = st.lists(st.integers(-1, 1), min_size=3, max_size=3)
    image, text = (np.asarray(data.draw(st.lists(rows, min_size=n, max_size=n)), dtype=np.float32) for _ in range(2))
    found = pairs.places_both_ways(image, text)
    for way, similarity in zip(found, (image @ text.T, text @ image.T), strict=True):
        own = np.diag(similarity)[:, None]
        better, level = (similarity > own).sum(axis=1), (similarity == own).sum(axis=1)
        assert way.ranks().tolist() == pytest.approx((better + (level + 1) / 2).tolist())
