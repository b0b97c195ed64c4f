"""Statistics and their intervals, against naive loops and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from cmr_lib.evaluation import statistics


def ones(n):
    return np.ones((1, n))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def weighted_rows(values, weights):
    """The resample written out: every row repeated as often as it was drawn."""
    return np.repeat(values, weights.astype(int), axis=0)


@pytest.mark.parametrize("n", [1, 4, 5])
def test_median_with_weights_of_one_is_numpys(rng, n):
    values = rng.normal(size=n)
    assert statistics.median(values, ones(n))[0] == pytest.approx(np.median(values))


def test_weighted_statistics_equal_the_resample_written_out(rng):
    pairs = np.stack([rng.integers(0, 2, 30).astype(float), np.round(rng.normal(size=30), 1)], axis=1)
    weights = rng.integers(0, 3, size=(5, 30)).astype(float)
    for row in range(5):
        drawn = weighted_rows(pairs, weights[row])
        one = weights[row : row + 1]
        assert statistics.mean(pairs[:, 1], one)[0] == pytest.approx(drawn[:, 1].mean())
        assert statistics.median(pairs[:, 1], one)[0] == pytest.approx(np.median(drawn[:, 1]))
        assert statistics.pearson(pairs, one)[0] == pytest.approx(np.corrcoef(drawn.T)[0, 1])
        assert statistics.mean_absolute_error(pairs, one)[0] == pytest.approx(np.abs(drawn[:, 1] - drawn[:, 0]).mean())
        assert statistics.auroc(pairs, one)[0] == pytest.approx(roc_auc_score(drawn[:, 0], drawn[:, 1]))


def test_balanced_accuracy_agrees_with_sklearn_on_resamples(rng):
    pairs = rng.integers(0, 4, size=(40, 2))
    weights = rng.integers(0, 3, size=(6, 40)).astype(float)
    for row in range(6):
        drawn = weighted_rows(pairs, weights[row])
        wanted = balanced_accuracy_score(drawn[:, 0], drawn[:, 1])
        assert statistics.balanced_accuracy(pairs, weights[row : row + 1])[0] == pytest.approx(wanted)


def test_auroc_counts_ties_half_and_is_undefined_for_one_class():
    tied = np.array([[0, 1.0], [1, 1.0], [1, 2.0]])
    assert statistics.auroc(tied, ones(3))[0] == pytest.approx(0.75)  # pairs: a tie (½) and a win (1)
    assert np.isnan(statistics.auroc(tied[1:], ones(2))[0])


def test_interval_holds_the_truth_about_95_times_in_100(rng):
    inside = 0
    for trial in range(200):
        low, high = statistics.bootstrap_by_patient(rng.normal(3, 1, 60), range(60), statistics.mean, 400, seed=trial)
        inside += low <= 3 <= high
    assert 0.88 <= inside / 200 <= 0.99


def test_copies_of_a_patients_rows_do_not_shrink_the_interval(rng):
    values, patients = rng.normal(size=40), np.arange(40)
    once = statistics.bootstrap_by_patient(values, patients, statistics.mean, 500, seed=1)
    copied = statistics.bootstrap_by_patient(np.repeat(values, 5), np.repeat(patients, 5), statistics.mean, 500, seed=1)
    by_row = statistics.bootstrap_by_patient(np.repeat(values, 5), range(200), statistics.mean, 500, seed=1)
    assert copied == pytest.approx(once)
    assert (by_row[1] - by_row[0]) < 0.6 * (once[1] - once[0])


def test_interval_depends_on_seed_and_patients_and_not_on_row_order(rng):
    values, patients = rng.normal(size=30), np.repeat([f"p{i}" for i in range(15)], 2)
    order = rng.permutation(30)
    first = statistics.bootstrap_by_patient(values, patients, statistics.mean, 300, seed=5)
    assert first == pytest.approx(
        statistics.bootstrap_by_patient(values[order], patients[order], statistics.mean, 300, seed=5)
    )
    assert first != statistics.bootstrap_by_patient(values, patients, statistics.mean, 300, seed=6)


def test_interval_equals_a_naive_bootstrap_up_to_noise(rng):
    values, patients = rng.exponential(size=90), np.repeat(np.arange(30), 3)
    draws = []
    for _ in range(2000):
        chosen = rng.integers(0, 30, 30)
        draws.append(np.concatenate([values[patients == patient] for patient in chosen]).mean())
    low, high = statistics.bootstrap_by_patient(values, patients, statistics.mean, 2000, seed=2)
    assert (low, high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.03)


def test_no_interval_from_one_patient_or_from_undefined_resamples():
    nothing = statistics.bootstrap_by_patient(np.array([1.0, 2.0]), ["a", "a"], statistics.mean, 100, seed=0)
    assert np.isnan(nothing).all()
    assert np.isnan(statistics.point(np.zeros(0), statistics.mean))
    one_class = np.array([[1.0, 0.2], [1.0, 0.4], [1.0, 0.1]])
    assert np.isnan(statistics.bootstrap_by_patient(one_class, range(3), statistics.auroc, 50, seed=0)).all()


def test_misaligned_patients_are_refused():
    with pytest.raises(ValueError, match="3 rows but 2 patient keys"):
        statistics.bootstrap_by_patient(np.zeros(3), ["a", "b"], statistics.mean, 10, seed=0)


def test_paired_difference_is_tighter_than_the_unpaired_one(rng):
    true = rng.normal(size=80)
    shared = rng.normal(size=80)
    first = np.stack([true, true + shared], axis=1)
    second = np.stack([true, true + 1.2 * shared], axis=1)
    value, low, high = statistics.paired_difference(
        first, second, range(80), statistics.mean_absolute_error, 800, seed=0
    )
    assert value == pytest.approx(-0.2 * np.abs(shared).mean())
    assert low < value < high < 0
    alone = statistics.bootstrap_by_patient(first, range(80), statistics.mean_absolute_error, 800, seed=0)
    assert high - low < 0.5 * (alone[1] - alone[0])


def test_wilson_interval_is_the_published_one():
    assert statistics.wilson(38, 40) == pytest.approx((0.835, 0.986), abs=5e-4)
    assert statistics.wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Newcombe 1998, method 3
    assert statistics.wilson(20, 20)[0] == pytest.approx(0.8389, abs=1e-4)
    assert statistics.wilson(0, 10)[0] == 0
    assert np.isnan(statistics.wilson(0, 0)).all()


def test_a_share_without_spread_gets_wilsons_interval():
    row = statistics.summarise(np.zeros(20), range(20), statistics.mean, 100, 0, is_share=True)
    assert row["low"] == 0
    assert row["high"] == pytest.approx(statistics.wilson(0, 20)[1])
    assert row["high"] > 0.1
    assert (row["n"], row["n_patients"]) == (20, 20)
