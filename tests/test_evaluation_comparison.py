"""Paired tests, Holm, calibration and subgroups: against naive loops, scikit-learn, and worlds whose truth is known."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from cmr_lib.evaluation import calibration, comparison, statistics, subgroups


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# --- Holm and the exchange test ---------------------------------------------------------------------------------
def naive_holm_rejections(p, level):
    """The procedure as Holm wrote it: go up the sorted p-values and stop at the first that is not small enough."""
    rejected = [False] * len(p)
    for step, test in enumerate(sorted(range(len(p)), key=lambda test: p[test])):
        if p[test] > level / (len(p) - step):
            break
        rejected[test] = True
    return rejected


@pytest.mark.parametrize("seed", range(30))
def test_holm_rejects_what_the_written_procedure_rejects(seed):
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(rng.integers(1, 12)) ** 3, 3)  # some tie, many are small
    adjusted = comparison.holm(p)
    for level in (0.011, 0.047, 0.213):
        assert (adjusted <= level).tolist() == naive_holm_rejections(p, level)


def test_holm_leaves_out_what_was_not_tested_and_refuses_impossible_p_values():
    assert comparison.holm([0.01, np.nan, 0.03]).tolist() == pytest.approx([0.02, np.nan, 0.03], nan_ok=True)
    assert comparison.holm([]).tolist() == []
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        comparison.holm([0.1, 1.2])


def test_exchange_test_equals_all_exchanges_written_out(rng):
    first, second = rng.normal(0.6, 1, 12), rng.normal(0, 1, 12)
    patients = np.repeat(np.arange(6), 2)
    gaps = []
    for kept in itertools.product([True, False], repeat=6):
        rows = np.asarray(kept)[patients]
        gaps.append(abs(np.where(rows, first, second).mean() - np.where(rows, second, first).mean()))
    exact = np.mean(np.asarray(gaps) >= abs(first.mean() - second.mean()) - 1e-12)
    found = comparison.exchange_test(first, second, patients, statistics.mean, 20_000, seed=1)
    assert found == pytest.approx(exact, abs=0.02)


def test_exchange_test_is_right_as_often_as_it_says_and_copies_of_rows_do_not_help(rng):
    p = []
    for trial in range(150):
        values = np.repeat(rng.normal(size=(2, 20)), 5, axis=1)  # five equal rows a patient, no true difference
        p.append(comparison.exchange_test(*values, np.repeat(np.arange(20), 5), statistics.mean, 199, seed=trial))
    assert 0.005 <= np.mean(np.asarray(p) <= 0.05) <= 0.1


def findings_of(rng, n=160):
    truth = pd.DataFrame({"lge": rng.integers(0, 2, n), "effusion": rng.integers(0, 2, n), "thrombus": np.zeros(n)})
    noise = rng.normal(size=(n, 3))
    good = truth.to_numpy() * [2.0, 0.0, 0.0] + noise
    return truth.astype(float), good, rng.normal(size=(n, 3))


def test_the_better_model_is_named_after_holm_and_the_rest_is_not(rng):
    truth, good, poor = findings_of(rng)
    table = comparison.compare_findings(truth, 100 * good, poor, [f"p{i // 2}" for i in range(160)], 400, seed=0)
    table = table.set_index("finding")
    assert table.loc["lge", "p_holm"] < 0.05
    assert table.loc["lge", "low"] > 0.2
    assert table.loc["effusion", "p_holm"] > 0.05
    assert table.loc["effusion", "low"] < 0 < table.loc["effusion", "high"]
    assert table.loc["lge", "n_patients"] == 80
    assert np.isnan(table.loc["thrombus", "p_holm"])
    assert table.loc["thrombus", "note"] == "All 160 studies have the same answer: nothing to compare."


def test_unaligned_models_are_refused(rng):
    truth, good, poor = findings_of(rng, 10)
    with pytest.raises(ValueError, match=r"Not aligned: scores \(9, 3\) and \(9, 3\), truth \(10, 3\)"):
        comparison.compare_findings(truth, good[:9], poor[:9], list(range(10)), 10, seed=0)
    with pytest.raises(ValueError, match="Not aligned: 3 and 3 rows, 2 patient keys"):
        comparison.exchange_test(np.zeros(3), np.zeros(3), [1, 2], statistics.mean, 10, seed=0)


# --- calibration ------------------------------------------------------------------------------------------------
def judged_of(rng, n=200):
    probability = np.round(rng.random(n), 2)  # some fall on the edges of bins
    return np.stack([(rng.random(n) < probability**2).astype(float), probability], axis=1)


@pytest.mark.parametrize("seed", range(10))
def test_reliability_and_brier_are_those_of_scikit_learn(seed):
    judged = judged_of(np.random.default_rng(seed))
    table = calibration.reliability(judged)
    share, probability = calibration_curve(judged[:, 0], judged[:, 1], n_bins=10)
    held = table[table["n"] > 0]
    assert held["share"].tolist() == pytest.approx(share.tolist())
    assert held["probability"].tolist() == pytest.approx(probability.tolist())
    assert (held["low"] <= held["share"]).all()
    assert (held["share"] <= held["high"]).all()
    assert statistics.point(judged, calibration.brier) == pytest.approx(brier_score_loss(judged[:, 0], judged[:, 1]))


@pytest.mark.parametrize("seed", range(10))
def test_ece_of_resamples_equals_a_naive_loop_over_bins(seed):
    rng = np.random.default_rng(seed)
    judged, weights = judged_of(rng, 60), rng.integers(0, 3, size=(4, 60)).astype(float)
    found = calibration.ece(5)(judged, weights)
    for row in range(4):
        drawn, gap = np.repeat(judged, weights[row].astype(int), axis=0), 0.0
        for low in (0.0, 0.2, 0.4, 0.6, 0.8):
            inside = drawn[(drawn[:, 1] > low + 1e-9) & (drawn[:, 1] <= low + 0.2 + 1e-9)]
            inside = drawn[drawn[:, 1] <= 0.2 + 1e-9] if low == 0 else inside
            gap += abs(inside[:, 0].sum() - inside[:, 1].sum())
        assert found[row] == pytest.approx(gap / len(drawn))


def test_an_empty_bin_keeps_its_row_and_bad_input_is_refused():
    table = calibration.reliability(np.array([[1.0, 0.95], [0.0, 0.05]]))
    assert table["n"].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert table["share"].isna().sum() == 8
    with pytest.raises(ValueError, match="hold NaN"):
        calibration.reliability(np.array([[1.0, np.nan]]))
    with pytest.raises(ValueError, match="scores outside"):
        calibration.reliability(np.array([[1.0, 3.0]]))


def overconfident(rng, n, temperature):
    """Logits that are `temperature` times too large for the classes drawn from them."""
    logits = rng.normal(size=(n, 4)) * 1.5
    fair = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    codes = np.array([rng.choice(4, p=row) for row in fair])
    loud = np.exp(logits * temperature)
    return loud / loud.sum(axis=1, keepdims=True), codes


def test_the_fitted_temperature_is_the_one_that_was_hidden_and_mends_unseen_studies(rng):
    probabilities, codes = overconfident(rng, 3000, 2.5)
    found = calibration.fit_temperature(probabilities, codes)
    assert found == pytest.approx(2.5, rel=0.1)
    unseen, true = overconfident(rng, 3000, 2.5)
    mended = calibration.tempered(unseen, found)
    before, after = (statistics.point(calibration.top_class(p, true), calibration.ece()) for p in (unseen, mended))
    assert before > 0.1
    assert after < 0.03
    assert (mended.argmax(axis=1) == unseen.argmax(axis=1)).all()
    assert calibration.negative_log_likelihood(mended, true) == pytest.approx(log_loss(true, mended, labels=range(4)))


def test_no_lattice_of_temperatures_beats_the_fitted_one(rng):
    probabilities, codes = overconfident(rng, 80, 0.7)
    best = calibration.negative_log_likelihood(probabilities, codes, calibration.fit_temperature(probabilities, codes))
    tried = [calibration.negative_log_likelihood(probabilities, codes, t) for t in np.geomspace(0.05, 20, 200)]
    assert best <= min(tried) + 1e-9
    with pytest.raises(ValueError, match="at least one validation study; got 0 rows"):
        calibration.fit_temperature(np.zeros((0, 4)), np.zeros(0, int))


# --- subgroups --------------------------------------------------------------------------------------------------
def studies_of(rng, n=120):
    return pd.DataFrame(
        {
            "patient_key": [f"p{row // 2}" for row in range(n)],
            "sex": ["F" if row % 4 < 2 else "M" for row in range(n)],
            "vendor": ["siemens"] * (n - 10) + ["ge"] * 6 + [""] * 4,
            "field_strength_t": [1.5] * n,
        }
    )


def test_each_subgroup_has_the_number_of_its_own_rows(rng):
    studies, values = studies_of(rng), rng.normal(size=120)
    table = subgroups.subgroup_table(studies, values, statistics.mean, 200, 0, ("sex", "vendor")).set_index("group")
    for sex in ("F", "M"):
        inside = (studies["sex"] == sex).to_numpy()
        assert table.loc[sex, "value"] == pytest.approx(values[inside].mean())
        assert (table.loc[sex, "n"], table.loc[sex, "n_patients"]) == (60, 30)
        assert table.loc[sex, "low"] < table.loc[sex, "value"] < table.loc[sex, "high"]
    assert table.loc["all", "n"] == 120
    assert table.loc["siemens", "n"] + table.loc["ge", "n"] + table.loc["unknown", "n"] == 120


def test_small_empty_one_sided_and_missing_groups_say_so_in_one_sentence(rng):
    studies = studies_of(rng)
    pairs = np.stack([rng.integers(0, 2, 120).astype(float), rng.normal(size=120)], axis=1)
    pairs[studies["sex"] == "F", 0] = 1.0
    pairs[(studies["vendor"] == "ge").to_numpy()] = np.nan  # never asked
    table = subgroups.subgroup_table(studies, pairs, statistics.auroc, 200, 0, ("sex", "vendor", "views"))
    notes = table.set_index("group")["note"]
    assert notes["F"] == "The number has no meaning here: all 58 studies have the same answer."
    assert notes["ge"] == "0 patients; at least 10 are wanted."
    assert notes["siemens"] == ""
    assert table[table["by"] == "views"]["note"].item() == "The table of studies has no such column."
    assert table["value"].isna().tolist() == (table["note"] != "").tolist()
    with pytest.raises(ValueError, match="Not aligned: 120 studies, 3 rows"):
        subgroups.subgroup_table(studies, pairs[:3], statistics.auroc, 10, 0)


def test_views_present_are_those_of_the_index():
    views = ["sax", "lax_4ch", "sax", "lax_2ch", "rvot"]
    sequences = ["cine", "cine", "lge", "cine", "cine"]
    index = pd.DataFrame({"study_key": list("aaabc"), "view": views, "sequence": sequences})
    views = subgroups.views_present(index)
    assert views.to_dict() == {"a": "short axis + long axis + LGE", "b": "long axis", "c": "other"}
