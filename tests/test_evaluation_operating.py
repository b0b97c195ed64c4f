"""Average precision, thresholds from validation, Bland–Altman, kNN and few shots, against scikit-learn and loops."""

import numpy as np
import pytest
from scipy.stats import linregress
from sklearn.metrics import average_precision_score, f1_score, r2_score, roc_auc_score

from cmr_lib.evaluation import fewshot, operating, quantities, statistics


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pairs_of(rng, n, gain=1.0, digits=1):
    label = np.concatenate([[0.0, 1.0], rng.integers(0, 2, n - 2)])
    return np.stack([label, np.round(rng.normal(size=n) + gain * label, digits)], axis=1)


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_and_f1_of_resamples_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    pairs, weights = pairs_of(rng, 30), rng.integers(0, 3, size=(4, 30)).astype(float)
    called = operating.Threshold(0.5, "").call(pairs)
    for row in range(4):
        drawn = np.repeat(pairs, weights[row].astype(int), axis=0)
        one = weights[row : row + 1]
        wanted = average_precision_score(drawn[:, 0], drawn[:, 1])
        assert operating.average_precision(pairs, one)[0] == pytest.approx(wanted)
        assert operating.f1(called, one)[0] == pytest.approx(f1_score(drawn[:, 0], drawn[:, 1] > 0.5))


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_the_one_with_most_sensitivity_that_keeps_the_specificity(seed):
    rng = np.random.default_rng(seed)
    pairs = pairs_of(rng, 40)
    for wanted in (0.8, 0.9, 1.0):
        found = operating.Threshold.at_specificity(pairs, wanted).call(pairs)
        negative, positive = pairs[:, 0] == 0, pairs[:, 0] == 1
        allowed = [cut for cut in pairs[:, 1] if np.mean(pairs[negative, 1] <= cut) >= wanted]
        best = max(np.mean(pairs[positive, 1] > cut) for cut in allowed)
        assert 1 - found[negative, 1].mean() >= wanted
        assert found[positive, 1].mean() == pytest.approx(best)


def test_the_best_threshold_is_found_among_all(rng):
    pairs = pairs_of(rng, 50)
    cut = operating.Threshold.best(pairs, operating.f1, "best F1")
    between = np.convolve(np.unique(pairs[:, 1]), [0.5, 0.5], "valid")
    tried = [f1_score(pairs[:, 0], pairs[:, 1] > value) for value in between]
    assert f1_score(pairs[:, 0], pairs[:, 1] > cut.value) == pytest.approx(max(tried))


def test_thresholds_do_not_change_with_the_test_split(rng):
    validation, test = pairs_of(rng, 80, digits=6), pairs_of(rng, 300, digits=6)
    shifted = test + np.array([0.0, 2.0])
    tables = [operating.operating_table(validation, part, range(300), [0.9], 50, 0) for part in (test, shifted)]
    cuts = [table["threshold"].tolist() for table in tables]
    assert cuts[0] == pytest.approx(cuts[1], nan_ok=True)
    reached = [table.query("goal == 'specificity 0.9' and metric == 'specificity'")["value"].item() for table in tables]
    assert reached[0] == pytest.approx(0.9, abs=0.12)
    assert reached[1] < 0.5  # an honest table shows that the threshold did not travel


def test_the_table_has_sensitivity_with_its_positives_and_a_wilson_interval_at_the_end(rng):
    validation, test = pairs_of(rng, 60, gain=50.0), pairs_of(rng, 40, gain=50.0)
    table = operating.operating_table(validation, test, range(40), [0.95], 100, 0)
    row = table.query("goal == 'best F1' and metric == 'sensitivity'").iloc[0]
    assert (row["value"], row["n"]) == (1.0, int(test[:, 0].sum()))
    assert row["low"] == pytest.approx(statistics.wilson(int(row["n"]), int(row["n"]))[0])
    assert table.iloc[0]["metric"] == "auprc"
    assert table.iloc[0]["chance"] == pytest.approx(test[:, 0].mean())


def test_one_answer_only_gives_a_sentence_and_nan_is_refused(rng):
    pairs = pairs_of(rng, 20)
    table = operating.operating_table(pairs * [0, 1], pairs, range(20), [0.9], 10, 0)
    assert table["note"].item().startswith("All 20 validation studies have the same answer")
    with pytest.raises(ValueError, match="test split hold NaN"):
        operating.operating_table(pairs, np.full((3, 2), np.nan), range(3), [0.9], 10, 0)
    with pytest.raises(ValueError, match="specificity lies in"):
        operating.Threshold.at_specificity(pairs, 0.0)


# --- quantities -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(10))
def test_bland_altman_and_r_squared_of_resamples_equal_the_rows_written_out(seed):
    rng = np.random.default_rng(seed)
    pairs = rng.normal(55, 12, size=(25, 1)) + rng.normal(0, 5, size=(25, 2))
    weights = rng.integers(0, 3, size=(3, 25)).astype(float)
    for row in range(3):
        drawn, one = np.repeat(pairs, weights[row].astype(int), axis=0), weights[row : row + 1]
        gap = drawn[:, 1] - drawn[:, 0]
        assert quantities.bias(pairs, one)[0] == pytest.approx(gap.mean())
        assert quantities.lower_limit(pairs, one)[0] == pytest.approx(gap.mean() - 1.96 * gap.std(ddof=1))
        assert quantities.upper_limit(pairs, one)[0] == pytest.approx(gap.mean() + 1.96 * gap.std(ddof=1))
        assert quantities.slope(pairs, one)[0] == pytest.approx(linregress(drawn.mean(axis=1), gap).slope)
        assert quantities.r_squared(pairs, one)[0] == pytest.approx(r2_score(drawn[:, 0], drawn[:, 1]))


def test_a_shrinking_probe_has_a_negative_slope_and_chance_is_the_training_mean(rng):
    true = rng.normal(55, 12, 200)
    table = quantities.quantity_table("lvef_percent", true, 55 + 0.5 * (true - 55), 55.0, range(200), 200, 0)
    table = table.set_index("metric")
    assert table.loc["slope", "value"] == pytest.approx(-2 / 3)
    assert table.loc["slope", "chance"] == pytest.approx(-2)
    assert table.loc["r_squared", "value"] == pytest.approx(0.75, abs=0.01)
    assert table.loc["r_squared", "chance"] == pytest.approx(0, abs=0.05)
    assert (table["low"] <= table["value"] + 1e-9).all()
    assert (table["value"] <= table["high"] + 1e-9).all()
    with pytest.raises(ValueError, match="lvef_percent: true or predicted values hold NaN"):
        quantities.quantity_table("lvef_percent", true, true * np.nan, 55.0, range(200), 10, 0)


# --- neighbours and few shots -----------------------------------------------------------------------------------
def clusters(rng, n=240, classes=3, noise=1.0):
    codes = rng.integers(0, classes, n)
    centres = rng.normal(size=(classes, 8)) * 2
    return centres[codes] + noise * rng.normal(size=(n, 8)), codes, [f"p{row // 2}" for row in range(n)]


def test_neighbour_scores_are_the_shares_among_the_nearest(rng):
    embedding, codes, _ = clusters(rng, 60)
    scores = fewshot.neighbour_scores(embedding, codes, np.arange(40), np.arange(40, 60), 5, 4)
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    for row in range(20):
        nearest = np.argsort(-(unit[:40] @ unit[40 + row]))[:5]
        assert scores[row].tolist() == [np.mean(codes[nearest] == code) for code in range(4)]


def test_the_number_of_neighbours_is_chosen_on_validation_alone(rng):
    embedding, codes, _ = clusters(rng, 120, noise=3.0)
    train, validation = np.arange(60), np.arange(60, 90)
    chosen, tried = fewshot.choose_neighbours(embedding, codes, train, validation, [1, 5, 15], 3)
    codes[90:], embedding[90:] = 0, 0.0  # the test rows do not matter
    again, _ = fewshot.choose_neighbours(embedding, codes, train, validation, [15, 5, 1], 3)
    assert chosen == again
    assert tried.loc[tried["k"] == chosen, "validation"].item() == tried["validation"].max()
    embedding[3, 0] = np.nan
    with pytest.raises(ValueError, match="1 embeddings hold NaN"):
        fewshot.choose_neighbours(embedding, codes, train, validation, [1], 3)


def test_shots_are_drawn_without_replacement_from_different_patients_and_are_nested(rng):
    _, codes, patients = clusters(rng)
    train = np.arange(0, 200)
    for episode in range(5):
        few = fewshot.draw_shots(codes, patients, train, 4, 3, 0, episode)
        more = fewshot.draw_shots(codes, patients, train, 8, 3, 0, episode)
        assert (more[:, :4] == few).all()
        for code in range(3):
            assert (codes[more[code]] == code).all()
            assert len({patients[row] for row in more[code]}) == 8
        assert set(more.ravel()) <= set(train)


def test_few_shot_numbers_equal_a_loop_over_episodes_and_rise_with_shots(rng):
    embedding, codes, patients = clusters(rng, 300, classes=2, noise=6.0)
    train, test = np.arange(200), np.arange(200, 300)
    table = fewshot.few_shot_table(embedding, codes, patients, train, test, 2, 40, 0, shots=(1, 16), episodes=10)
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    wanted = []
    for episode in range(10):
        shots = fewshot.draw_shots(codes, patients, train, 16, 2, 0, episode)
        means = [unit[rows].mean(axis=0) / np.linalg.norm(unit[rows].mean(axis=0)) for rows in shots]
        wanted.append(roc_auc_score(codes[test], unit[test] @ (means[1] - means[0])))
    assert table.loc[1, "value"] == pytest.approx(np.mean(wanted))
    assert (table.loc[1, "episode_low"], table.loc[1, "episode_high"]) == pytest.approx(
        tuple(np.quantile(wanted, [0.025, 0.975]))
    )
    assert table.loc[1, "value"] > table.loc[0, "value"]
    assert (table["high"] - table["low"] >= 0.8 * (table["episode_high"] - table["episode_low"])).all()


def test_macro_auroc_is_the_mean_over_classes_and_leaves_absent_ones_out(rng):
    scores, codes = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    values = np.concatenate([codes[:, None].astype(float), scores], axis=1)
    lead = [scores[:, code] - np.delete(scores, code, axis=1).max(axis=1) for code in range(2)]
    wanted = np.mean([roc_auc_score(codes == code, lead[code]) for code in range(2)])
    assert statistics.point(values, fewshot.macro_auroc) == pytest.approx(wanted)


def test_a_class_with_one_member_gives_a_sentence(rng):
    embedding, codes, patients = clusters(rng, 40, classes=2)
    codes[:30] = 0
    codes[0] = 1
    table = fewshot.few_shot_table(
        embedding, codes, patients, np.arange(30), np.arange(30, 40), 2, 20, 0, shots=(1, 2), episodes=5
    )
    assert table.loc[0, "note"] == ""
    assert table.loc[1, "note"] == "Class 1 has 1 training patients: 2 shots cannot be drawn."
    assert np.isnan(table.loc[1, "value"])
