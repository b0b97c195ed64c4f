"""Experiments: what an input holds, who gets whose images, what equal reports allow; each against another way to it."""

import itertools
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cmr_lib import params
from cmr_lib.evaluation import baselines, ceiling, harness, lge_shuffle
from cmr_lib.evaluation.material import Baselines, Settings
from cmr_lib.training.start import start
from tests.toy import ToyStore, toy_settings, toy_store
from tools import experiments

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = Settings(
    seed=1,
    bootstrap=200,
    probe=params.Probe(strengths=[0.1], ridge=[10.0]),
    baselines=Baselines(bins=8, grid_px=4, frame_px=8, components=3, words=50),
    ceiling={"recall_at": [1, 5], "gallery_size": 3},
)
PLAN = toy_settings().frames


# --- pixels ------------------------------------------------------------------------------------------------------
def test_small_images_are_means_of_blocks_around_the_centre():
    frames = np.random.default_rng(0).integers(0, 256, (2, 11, 11), dtype=np.uint8)
    found = baselines.small(frames, 3)
    for frame, row, column in itertools.product(range(2), range(3), range(3)):
        block = frames[frame, 1 + 3 * row : 4 + 3 * row, 1 + 3 * column : 4 + 3 * column]
        assert found[frame, row, column] == pytest.approx(block.astype(float).mean() / 255)
    with pytest.raises(ValueError, match=r"11 px cannot be averaged to 12 px"):
        baselines.small(frames, 12)


def test_histogram_counts_every_pixel_once():
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    wanted = np.histogram(frames, bins=8, range=(0, 256))[0] / frames.size
    np.testing.assert_allclose(baselines.histogram(frames, 8), wanted)


def test_simple_inputs_do_not_know_the_order_of_frames_and_say_what_is_absent():
    store, texts = toy_store(5, without_lge=(2,))
    shuffled = ToyStore(store.index, [clip[::-1] for clip in store._clips])
    describe = {"bag": partial(baselines.histogram, bins=8), "small": partial(baselines.mean_and_spread, grid_px=4)}
    found = baselines.clip_features(store, list(texts), PLAN, describe)
    again = baselines.clip_features(shuffled, list(texts), PLAN, describe)
    for name, columns in {"bag": 8, "small": 2 * 16}.items():
        np.testing.assert_allclose(found[name], again[name], atol=1e-12)
        assert found[name].shape == (5, 3 * columns)  # short axis, four chambers, late enhancement
        assert np.isnan(found[name]).any(axis=1).tolist() == [False, False, True, False, False]


def test_a_bag_of_pixels_does_not_know_places_and_small_images_do():
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    np.testing.assert_allclose(baselines.histogram(frames[:, ::-1], 8), baselines.histogram(frames, 8))
    moved = baselines.mean_and_spread(frames[:, ::-1], 4) - baselines.mean_and_spread(frames, 4)
    assert np.abs(moved).max() > 0.05


def test_the_single_frame_is_the_end_diastolic_middle_slice():
    store, texts = toy_store(4)
    found = baselines.single_frame(store, [*texts, "nobody"], PLAN, 8)
    for row, key in enumerate(texts):
        clips = store.index[(store.index.study_key == key) & (store.index["view"] == "sax")]
        cines = clips[clips.sequence == "cine"]
        middle = (cines.position - 0.5).abs().idxmin()
        np.testing.assert_allclose(
            found[row], baselines.small(store.frames(middle)[:1, 2:-2, 2:-2], 8).ravel(), atol=1e-6
        )
    assert np.isnan(found[-1]).all()


def test_components_are_fitted_on_training_studies_alone():
    random = np.random.default_rng(0)
    features = random.normal(size=(30, 6))
    features[29] = np.nan
    train = np.arange(15)
    found = baselines.components(features, train, 3)
    centred = features[train] - features[train].mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:3]
    np.testing.assert_allclose(np.abs(found[:29]), np.abs((features[:29] - features[train].mean(axis=0)) @ axes.T))
    assert np.isnan(found[29]).all()


def test_words_are_those_of_training_reports_and_no_report_is_nothing():
    texts = ["scar seen"] * 6 + ["no scar"] * 6 + ["", "unheard word"]
    found = baselines.report_only(texts, np.arange(12), 50)
    assert np.isnan(found[12]).all()
    assert (found[13] == 0).all()
    assert not np.allclose(found[0], found[6])


def test_an_input_that_a_study_lacks_gives_no_embedding():
    settings = toy_settings()
    store, texts = toy_store(4)
    model, _ = start(settings, list(texts.values()))
    found = baselines.embedded(model, store, [*texts, "nobody"], settings.frames, progress=False)
    assert np.isnan(found[-1]).all()
    assert np.isfinite(found[:-1]).all()
    alone = baselines.embedded(model, store, list(texts), baselines.one_frame_plan(settings.frames), progress=False)
    assert not np.allclose(alone, found[:-1])


# --- probes ------------------------------------------------------------------------------------------------------
def cohort(n=240, seed=0):
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, 5))
    lge = (features[:, 0] + random.normal(0, 0.7, n) > 0).astype(float)
    lvef = 55 + 8 * features[:, 1] + random.normal(0, 3, n)
    splits = np.array(["train"] * (n // 2) + ["validation"] * (n // 4) + ["test"] * (n - n // 2 - n // 4))
    studies = pd.DataFrame(
        {
            "study_key": [f"{i:016x}" for i in range(n)],
            "patient_key": [f"p{i // 2}" for i in range(n)],
            "split": splits,
            "lge": lge,
            "lvef": lvef,
            "diagnosis": np.where(lvef < 50, "DCM", "NOR"),
        }
    )
    return studies, features


def test_answers_are_those_of_a_plain_scikit_learn_pipeline():
    studies, features = cohort()
    train, test = (np.flatnonzero(studies.split == name) for name in ("train", "test"))
    by_name = {target.name: target for target in harness.targets(studies)}
    found = harness.answers(by_name["lge"], features, studies["split"], SETTINGS.probe)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", tol=1e-8))
    plain.fit(features[train], studies.lge[train])
    np.testing.assert_allclose(found[test, 1], plain.predict_proba(features[test])[:, 1], atol=1e-4)
    assert np.isnan(found[train]).all()
    found = harness.answers(by_name["lvef_percent"], features, studies["split"], SETTINGS.probe)
    plain = make_pipeline(StandardScaler(), Ridge(alpha=10.0)).fit(features[train], studies.lvef[train])
    np.testing.assert_allclose(found[test, 1], plain.predict(features[test]), atol=1e-6)


def test_a_study_without_the_input_is_not_asked_and_a_gap_is_filled_with_the_training_mean():
    studies, features = cohort()
    features[200] = np.nan
    features[:, 4] = np.where(np.arange(len(features)) % 3 == 0, np.nan, features[:, 4])
    target = harness.finding_target(studies, "lge")
    found = harness.answers(target, features, studies["split"], SETTINGS.probe)
    assert np.isnan(found[200]).all()
    assert np.isfinite(found[201:]).all()
    train = np.flatnonzero(studies.split == "train")
    filled = harness.complete(features, train)
    assert filled[0, 4] == pytest.approx(np.nanmean(features[train, 4]))


def test_nothing_is_learned_where_training_studies_are_all_alike():
    studies, features = cohort()
    studies["lge"] = np.where(studies.split == "test", studies["lge"], 0.0)
    found = harness.answers(harness.finding_target(studies, "lge"), features, studies["split"], SETTINGS.probe)
    assert np.isnan(found).all()


def test_comparison_has_every_input_and_paired_differences():
    studies, features = cohort()
    noise = np.random.default_rng(9).normal(size=features.shape)
    inputs = {"full": features, "bag_of_pixels": noise, "report_only": features}
    table = baselines.compare(studies, inputs, harness.targets(studies), SETTINGS).set_index(
        ["target", "stratum", "model"]
    )
    assert list(table.columns) == [name for name in harness.COLUMNS if name not in table.index.names]
    assert (table["data"] == "synthetic phantom").all()
    one = table.loc[("lge", "all", "full")]
    assert one.low < one.value < one.high
    both = table.loc[("lge", "all", "full_minus_bag_of_pixels")]
    assert both.value == pytest.approx(one.value - table.loc[("lge", "all", "bag_of_pixels")].value)
    assert both.low > 0
    assert table.loc[("findings_mean", "all", "full")].value == pytest.approx(one.value)  # one finding, its own mean


# --- the exchange of late enhancement ----------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(5))
def test_everybody_gets_somebody_elses_images_and_nobody_gives_twice(seed):
    patients = [f"p{number}" for number in np.random.default_rng(seed).integers(0, 15, 40)]
    donors = lge_shuffle.derangement(patients, seed)
    assert sorted(donors) == list(range(40))
    assert all(patients[row] != patients[donor] for row, donor in enumerate(donors))
    with pytest.raises(ValueError, match="3 of 4 studies"):
        lge_shuffle.derangement(["a", "a", "a", "b"], seed)


def test_exchange_moves_late_enhancement_and_leaves_cines():
    store, texts = toy_store(3)
    a, b, c = texts
    moved = lge_shuffle.exchange(store, {a: b, b: a, c: c})

    def pictures(where, key, sequence):
        rows = where.index.index[(where.index.study_key == key) & (where.index.sequence == sequence)]
        return [where.frames(row) for row in rows]

    np.testing.assert_array_equal(pictures(moved, a, "lge")[0], pictures(store, b, "lge")[0])
    np.testing.assert_array_equal(pictures(moved, b, "lge")[0], pictures(store, a, "lge")[0])
    np.testing.assert_array_equal(pictures(moved, c, "lge")[0], pictures(store, c, "lge")[0])
    for mine, own in zip(pictures(moved, a, "cine"), pictures(store, a, "cine"), strict=True):
        np.testing.assert_array_equal(mine, own)
    with pytest.raises(ValueError, match="every donor must receive"):
        lge_shuffle.exchange(store, {a: b})


def test_strata_hold_those_whom_only_late_enhancement_tells_apart():
    rows = [
        ("DCM", 1, "midwall_septal", 0),
        ("DCM", 0, "none", 0),
        ("DCM", 1, "patchy", 0),
        ("NOR", 0, "none", 0),
        ("MYO", 1, "subepicardial", 1),
        ("MYO", 1, "subepicardial", 0),
        ("NIF", 1, "patchy", 1),
        ("ICM", 1, "transmural", 0),
    ]
    found = lge_shuffle.strata(pd.DataFrame(rows, columns=["diagnosis", "lge", "lge_pattern", "silent"]))
    assert np.flatnonzero(found["silent: DCM"]).tolist() == [0, 1]
    assert np.flatnonzero(found["silent: NOR, MYO, NIF"]).tolist() == [3, 4, 6]
    assert found["all"].all()


def test_shuffled_scores_lose_what_came_from_the_images():
    studies, features = cohort(400)
    studies = studies.assign(lge_pattern="patchy", silent=0)
    random = np.random.default_rng(3)
    drawn = [random.permutation(features[:, 0]) for _ in range(3)]
    scores = {lge_shuffle.TRUE: [features[:, 0]] * 3, lge_shuffle.SHUFFLED: drawn}
    table = lge_shuffle.compare(studies, scores, SETTINGS).set_index(["stratum", "model"])
    for name, columns in scores.items():
        wanted = np.mean([roc_auc_score(studies.lge, values) for values in columns])
        assert table.loc[("all", name)].value == pytest.approx(wanted)
    lost = table.loc[("all", "true_lge_minus_shuffled_lge")]
    assert lost.low > 0.1
    assert table.loc[("all", lge_shuffle.SHUFFLED)].low < 0.5 < table.loc[("all", lge_shuffle.SHUFFLED)].high


# --- the ceiling -------------------------------------------------------------------------------------------------
def test_best_recall_is_what_guessing_among_equal_reports_gives():
    reports = ["normal study", "Normal  study", "scar", "normal study", "wide", "wide"]
    sizes = ceiling.group_sizes(reports)
    assert sizes.tolist() == [3, 3, 1, 3, 2, 2]
    random = np.random.default_rng(0)
    hits = np.zeros(6)
    for _ in range(6000):  # somebody who can tell all but equal reports apart, and guesses among those
        for row, size in enumerate(sizes):
            hits[row] += random.permutation(size)[0] < 2
    np.testing.assert_allclose(ceiling.best_hits(sizes, 2), hits / 6000, atol=0.02)


def test_best_recall_in_a_gallery_is_the_mean_over_all_galleries():
    reports = ["a", "a", "a", "b", "c", "c"]
    found = ceiling.best_hits_in_gallery(ceiling.group_sizes(reports), 1, 3)
    for row, own in enumerate(reports):
        others = [report for number, report in enumerate(reports) if number != row]
        galleries = list(itertools.combinations(others, 2))
        assert found[row] == pytest.approx(np.mean([1 / (1 + gallery.count(own)) for gallery in galleries]))
    np.testing.assert_allclose(
        ceiling.best_hits_in_gallery(ceiling.group_sizes(reports), 1, 6), [1 / 3] * 3 + [1, 0.5, 0.5]
    )


def test_ceiling_table_says_how_many_reports_have_an_equal():
    reports = {"impression": ["a", "a", "b", "c"]}
    table = ceiling.compare(reports, pd.Series(["p", "q", "r", "s"]), SETTINGS).set_index(["stratum", "metric"])
    assert table.loc[("gallery of 4", "share_with_an_equal")].value == 0.5
    assert table.loc[("gallery of 4", "recall_at_1")].value == 0.75
    assert table.loc[("gallery of 4", "recall_at_1")].chance == 0.25
    assert table.loc[("gallery of 3", "recall_at_1")].value > 0.75


# --- the tool ----------------------------------------------------------------------------------------------------
def test_metrics_name_every_row_and_hold_what_is_known():
    table = ceiling.compare({"impression": ["a", "a", "b"]}, pd.Series(["p", "q", "r"]), SETTINGS)
    found = experiments.metrics(table)
    assert len(found) == len(table)
    entry = found["impression.gallery of 3.ceiling.share_with_an_equal"]
    assert entry["value"] == pytest.approx(2 / 3, abs=1e-5)
    assert "chance" not in entry
    json.dumps(found, allow_nan=False)


def test_committed_settings_are_valid_and_complete():
    assert experiments.settings(ROOT / "experiments").bootstrap >= 1000
