"""Numbers that judge maps, by hand or by scikit-learn: trustworthiness, the modality gap, pointing, Dice, spoiling."""

import numpy as np
import pandas as pd
import pytest
import torch
import toy
from sklearn.manifold import trustworthiness

from cmr_lib.evaluation import paired
from cmr_lib.explain import (
    against,
    faithful,
    fidelity,
    localise,
    looking,
    modality,
    newcomers,
    readout,
    rollout,
    sentences,
)
from cmr_lib.models import cmrformer, text


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def model():
    settings = toy.toy_settings(video={"dropout": 0.0})
    return cmrformer.build(cmrformer.CMRformerConfig.of(settings, text.small_config(settings.text, 140)), 3).eval()


# --- what a map of points is worth ------------------------------------------------------------------------------
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_trustworthiness_by_study_averages_to_scikit_learns(rng, metric):
    array, drawn = rng.normal(size=(40, 6)), rng.normal(size=(40, 2))
    found = fidelity.trustworthiness(array, drawn, 5, metric)
    assert found.mean() == pytest.approx(trustworthiness(array, drawn, n_neighbors=5, metric=metric))
    assert fidelity.trustworthiness(array[:, :2], array[:, :2], 5, "euclidean").tolist() == [1] * 40
    with pytest.raises(ValueError, match="fewer than half of the 40 studies, got 20"):
        fidelity.trustworthiness(array, drawn, 20, metric)


def test_maps_are_not_judged_on_too_few_studies(rng):
    found = fidelity.compare_maps(rng.normal(size=(8, 3)), ["a"] * 8, range(8), toy.UMAP, 1, [5])
    assert not len(found)
    assert {"map", "study", *fidelity.SCORES} <= set(found.columns)


def test_the_gap_is_the_distance_of_two_means_and_chance_is_far_below(rng):
    image = rng.normal(size=(30, 5)) + np.array([3, 0, 0, 0, 0])
    words = rng.normal(size=(30, 5))
    words[4] = np.nan
    pairs = modality.pairs_of(image, words)
    assert len(pairs) == 29
    wanted = np.linalg.norm(np.delete(image, 4, 0).mean(axis=0) - np.delete(words, 4, 0).mean(axis=0))
    assert modality.gap(pairs, np.ones((1, 29)))[0] == pytest.approx(wanted)
    weights = np.bincount(rng.integers(0, 29, 29), minlength=29)[None].astype(float)
    drawn = np.repeat(pairs, weights[0].astype(int), axis=0)
    assert modality.gap(pairs, weights)[0] == pytest.approx(np.linalg.norm(drawn[:, 0].mean(0) - drawn[:, 1].mean(0)))
    assert modality.gap_by_chance(pairs, 1) < wanted / 2


def test_kinds_that_a_plane_parts_are_told_apart_and_others_are_not(rng):
    apart = np.stack([rng.normal(size=(60, 4)) + 5, rng.normal(size=(60, 4)) - 5], axis=1)
    assert modality.told_apart(apart, 1).mean() == 1
    assert modality.told_apart(rng.normal(size=(200, 2, 4)), 1).mean() == pytest.approx(0.5, abs=0.1)


def test_newcomers_are_asked_by_their_nearest_old_studies():
    old = np.array([[0.0, 0], [1, 0], [2, 0], [9, 9], [9, 8], [8, 9]])
    settings = toy.UMAP.model_copy(update={"judged": 3})
    found = newcomers.agreement(
        old,
        list("abaccc"),
        np.array([[0.1, 0], [9, 9.5], [5, 5]]),
        ["a", "c", ""],
        settings,
        "euclidean",
    )
    assert found.tolist() == [pytest.approx(2 / 3), 1.0]
    assert not len(newcomers.agreement(old, ["a"] * 6, np.zeros((0, 2)), [], settings))


# --- maps over images -------------------------------------------------------------------------------------------
def test_scores_of_a_hand_made_map():
    mask = np.zeros((1, 1, 8, 8), bool)
    mask[0, 0, :4, :4] = True  # 16 of 64 pixels
    right = mask.astype(float)
    found = {name: float(values[0, 0]) for name, values in localise.scores(right, mask).items()}
    assert found == {"pointing": 1, "dice": 1, "energy": 1, "share": 0.25}
    half = np.zeros_like(right)
    half[0, 0, :2, :] = 1  # 16 pixels, 8 of them inside; ties go to the first
    found = {name: float(values[0, 0]) for name, values in localise.scores(half, mask).items()}
    assert found == {"pointing": 1, "dice": 0.5, "energy": 0.5, "share": 0.25}
    wrong = localise.scores(1 - right, mask)
    assert [float(wrong[name][0, 0]) for name in localise.MEASURES] == [0, 0, 0]
    even = localise.scores(np.ones_like(right), mask)
    assert even["energy"][0, 0] == 0.25


def test_an_image_without_the_region_does_not_count(rng):
    maps, masks = rng.random((2, 3, 8, 8)), np.zeros((2, 3, 8, 8), bool)
    masks[0, 1, 2:6, 2:6] = True
    table = localise.table({"a": maps}, {"scar": masks})
    assert np.isfinite(table.loc[0, list(localise.MEASURES)].astype(float)).all()
    assert table.loc[1, list(localise.MEASURES)].isna().all()
    assert table.loc[0, "share"] == pytest.approx(16 / 64)


def test_the_central_map_points_at_the_middle():
    found = localise.centred(1, 1, 9)
    assert np.unravel_index(found[0, 0].argmax(), (9, 9)) == (4, 4)
    assert found.min() >= 0


def test_ranks_give_every_present_patch_its_turn(rng):
    maps, present = rng.random((2, 3, 2, 2)), np.array([[True, False, True], [True, True, True]])
    found = faithful.ranks(maps, present)
    assert np.isnan(found[0, 1]).all()
    assert sorted(found[0][present[0]].ravel()) == pytest.approx([k / 8 for k in range(1, 9)])
    assert found[1].ravel()[maps[1].argmax()] == pytest.approx(1 / 12)


def test_curves_start_and_end_at_the_whole_and_the_blurred_study(rng):
    images, found = toy.model_inputs(2, 3, 16), model()
    goal = torch.nn.functional.normalize(torch.randn(2, 8), dim=-1)
    curves = faithful.spoil_curves(found, images, rng.random((2, 3, 2, 2)), goal, (0.0, 0.5, 1.0))
    whole = faithful.similarity(found, images, goal)
    smooth = type(images)(**{**vars(images), "frames": faithful.blurred(images.frames)})
    bare = faithful.similarity(found, smooth, goal)
    for kind, (first, last) in {"deletion": (whole, bare), "insertion": (bare, whole)}.items():
        assert curves[kind][:, 0] == pytest.approx(first, abs=1e-6)
        assert curves[kind][:, -1] == pytest.approx(last, abs=1e-6)


def test_area_is_the_trapezoids():
    curves = {"deletion": np.array([[1.0, 0.0, 0.0]]), "insertion": np.array([[0.0, 1.0, 1.0]])}
    assert faithful.area(curves["deletion"], (0, 0.5, 1)).tolist() == [0.25]
    assert faithful.gain(curves, (0, 0.5, 1)).tolist() == [0.5]


def test_leaving_out_equals_a_study_that_never_had_the_images():
    images, found = toy.model_inputs(2, 4, 16), model()
    goal = torch.nn.functional.normalize(torch.randn(2, 8), dim=-1)
    falls = faithful.leave_out(found, images, ["a", "b", "a", "c"], goal)
    kept = torch.tensor([0, 2, 3])
    less = type(images)(**{name: value[:, kept] for name, value in vars(images).items()})
    wanted = faithful.similarity(found, images, goal) - faithful.similarity(found, less, goal)
    assert np.isnan(falls["b"][0])  # the first study has no such image
    assert falls["b"][1] == pytest.approx(wanted[1], abs=1e-6)


# --- looking ----------------------------------------------------------------------------------------------------
def test_fine_maps_have_cells_of_half_a_patch_and_keep_the_weight():
    store, _ = toy.toy_store(3)
    plan = toy.toy_settings().frames
    keys = sorted(store.index["study_key"].unique())[:2]
    found = readout.fine(model(), store, keys, plan, ("readout",))["readout"]
    assert found.shape == (2, 6, 16, 16)
    middle = found[0, 0, 2:-2, 2:-2]
    blocks = middle.reshape(3, 4, 3, 4)
    assert np.allclose(blocks, blocks.mean(axis=(1, 3), keepdims=True))
    assert len(np.unique(blocks.mean(axis=(1, 3)).round(9))) > 4


def test_a_moved_crop_is_laid_back_where_it_was():
    store, _ = toy.toy_store(1)
    plan = toy.toy_settings().frames
    key = store.index["study_key"].tolist()[:1]
    still, moved = (readout.show(store, key, plan, shift).frames[0, 0] for shift in ((0, 0), (2, -1)))
    assert np.array_equal(moved[:-2, 1:], still[2:, :-1])
    laid = readout._moved(moved[None].astype(float), 2, -1)[0]
    assert np.array_equal(laid[2:, :-1], still[2:, :-1])


def test_nothing_chosen_and_too_far_a_shift_are_said_in_a_sentence():
    store, _ = toy.toy_store(1)
    plan = toy.toy_settings().frames
    with pytest.raises(ValueError, match="No study was chosen"):
        readout.show(store, [], plan)
    with pytest.raises(ValueError, match="2 px at most"):
        readout.show(store, store.index["study_key"].tolist()[:1], plan, (3, 0))


def test_weight_over_the_beat_is_relative_to_an_even_share():
    places = pd.DataFrame(
        {"view": ["sax", "sax", "sax", "lax_4ch"], "sequence": ["cine", "cine", "cine", "cine"],
         "position": [0.2, 0.8, 0.2, 0.5], "phase": [0.0, 0.0, 0.5, 0.0]}
    )  # fmt: skip
    time = np.array([[0.1, 0.2, 0.1, 0.6], [0.0, 0.0, 0.0, 1.0]])
    present = np.array([[True] * 4, [False, False, False, True]])
    space = np.repeat(time[:, :, None, None], 2, axis=2)
    found = looking.beat_table(readout.Looked(np.zeros((2, 4, 4, 4), np.uint8), space, time, present, places))
    assert found["study"].tolist() == [0, 0]
    assert found["weight"].tolist() == pytest.approx([0.3 / 0.2, 0.1 / 0.2])
    one = readout.Looked(np.zeros((2, 4, 4, 4), np.uint8), space, time, present, places.assign(phase=0.0))
    assert not len(looking.beat_table(one))


def test_reports_are_found_by_key_and_the_unknown_are_nan():
    words = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = looking.Targets(["a", "b", "c"], words).of(["c", "z", "a"])
    assert found[[0, 2]].tolist() == [[4, 5], [0, 1]]
    assert np.isnan(found[1]).all()


# --- intervals --------------------------------------------------------------------------------------------------
def test_differences_take_the_studies_that_both_have():
    table = pd.DataFrame(
        {"map": ["a"] * 4 + ["b"] * 3, "study": [0, 1, 2, 3, 0, 1, 2], "score": [1, 2, 3, 9, 0, 0, np.nan]}
    )
    row = paired.differences(table, "map", {"a": "b"}, "score", list("wxyz"), 200, 1).iloc[0]
    assert (row.value, row.n) == (1.5, 2)
    assert row.low <= 1.5 <= row.high
    empty = paired.differences(table.iloc[:0], "map", {"a": "b"}, "score", [], 200, 1).iloc[0]
    assert empty.n == 0
    rows = paired.estimates(table, ["map"], "score", list("wxyz"), 200, 1).set_index("map")
    assert rows.n.tolist() == [4, 2]
    assert rows.loc["a", "value"] == 3.75


def test_a_map_that_does_not_beat_its_control_is_said_so():
    rows = pd.DataFrame(
        {"map": ["rollout", "rollout"], "region": ["scar", "cavity"], "measure": "pointing", "value": [0.1, 0.5],
         "low": [-0.1, 0.4], "high": [0.3, 0.6], "n": [9, 20], "rival": "untrained"}
    )  # fmt: skip
    said = against.verdict(rows, "pointing")
    scar, cavity = (line for line in said.splitlines() if line.startswith("- "))
    assert "**no map does**" in scar
    assert "rollout surely" in cavity
    assert "n = 0" in against.verdict(rows.iloc[:0], "pointing")
    both = against.verdict(pd.concat([rows, rows.assign(rival="centre", low=-0.2)]), "pointing")
    assert both.count("minus that of") == 2
    assert both.count("**no map does**") == 3


def test_trained_maps_are_held_against_an_untrained_model_and_against_the_middle():
    """Oracle: means written out; the middle wins where it scores more."""
    names = [*rollout.METHODS, *against.CONTROL.values(), "centre"]
    scores = dict(zip(names, (0.5, 0.6, 0.7, 0.1, 0.2, 0.3, 0.65), strict=True))
    points = pd.DataFrame(
        [
            {"region": "cavity", "map": name, "study": study, "share": 0.1}
            | dict.fromkeys(localise.MEASURES, value + 0.01 * study)
            for name, value in scores.items()
            for study in range(12)
        ]
    )
    some = {"patients": [f"p{study}" for study in range(12)], "samples": 100, "seed": 1}
    better = paired.every_difference(points, "region", "map", against.CONTROLS, localise.MEASURES, **some)
    centre = better[better["rival"] == "centre"].set_index(["measure", "map"])["value"]
    assert centre["pointing"].round(6).tolist() == [-0.15, -0.05, 0.05]
    assert better.loc[better["rival"] == "untrained", "value"].round(6).eq(0.4).all()
    assert set(better["region"]) == {"cavity"}
    assert set(better["measure"]) == set(localise.MEASURES)
    assert not len(paired.every_difference(points[:0], "region", "map", against.CONTROLS, localise.MEASURES, **some))
    found = paired.every_estimate(points, ["region", "map"], localise.MEASURES, **some)
    assert len(found) == len(names) * len(localise.MEASURES)
    assert against.chance_of(points, found).round(6).tolist() == [0.1] * len(found)


def test_the_sentence_on_what_was_used_says_so_only_where_the_interval_leaves_out_nothing():
    beats = pd.DataFrame(
        {"map": ["readout", "rollout"], "value": [0.1, 0.2], "low": [0.05, -0.01], "high": [0.2, 0.4], "n": 7}
    )
    unsure = sentences.used(beats)
    assert "*rollout*" in unsure
    assert "**+0.20** (-0.01 to +0.40), n = 7" in unsure
    assert "**not surely**" in unsure
    assert "not surely" not in sentences.used(beats.assign(low=0.01))


def test_the_notebook_says_when_no_test_study_can_be_looked_at():
    assert sentences.whom(3).startswith("3 test studies")
    assert "training may have seen" in sentences.whom(0)
    assert sentences.whom(3, "it is a set.").endswith("n = 0: it is a set.")
