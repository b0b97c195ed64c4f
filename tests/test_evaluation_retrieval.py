"""Retrieval: ranks, recall, random galleries and controls, against brute force and hand-written matrices."""

import itertools

import numpy as np
import pandas as pd
import pytest

from cmr_lib import params
from cmr_lib.evaluation import retrieval

SETTINGS = params.Retrieval(
    out_dir="o", in_root="i", seed=3, recall_at=[1, 5, 10], gallery_size=20, gallery_draws=30, bootstrap=200
)


def unit(array):
    return (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def noisy_pairs(rng, n, noise):
    image = rng.normal(size=(n, 16))
    return unit(image), unit(image + noise * rng.normal(size=(n, 16)))


def expected_over_orders(row, right, k):
    """Mean rank of the first right item, and share of orders with one in the first k, over all orders of ties."""
    ranks, hits = [], []
    for order in itertools.permutations(range(len(row))):
        arranged = sorted(order, key=lambda item: -row[item])  # stable: ties keep the permutation's order
        first = min(arranged.index(item) for item in np.flatnonzero(right)) + 1
        ranks.append(first)
        hits.append(first <= k)
    return np.mean(ranks), np.mean(hits)


def test_ranks_of_a_handwritten_matrix():
    similarity = np.array([[0.9, 0.1, 0.2], [0.8, 0.5, 0.1], [0.3, 0.3, 0.3]])
    found = retrieval.places(similarity)
    assert found.ranks().tolist() == [1, 2, 2]
    assert found.hits(1).tolist() == pytest.approx([1, 0, 1 / 3])  # the last row's three are level
    assert retrieval.median_rank(found.ranks()) == 2


def test_the_best_of_several_right_items_counts():
    similarity = np.array([[0.1, 0.9, 0.5, 0.7]])
    right = np.array([[True, False, True, False]])
    assert retrieval.places(similarity, right).ranks().tolist() == [3]


@pytest.mark.parametrize("seed", range(6))
def test_ranks_and_hits_equal_the_mean_over_all_orders_of_ties(seed):
    rng = np.random.default_rng(seed)
    similarity = rng.integers(0, 3, size=(3, 6)).astype(float)
    right = rng.random((3, 6)) < 0.4
    right[:, seed % 6] = True
    found = retrieval.places(similarity, right)
    for row in range(3):
        for k in (1, 2, 4):
            rank, hit = expected_over_orders(similarity[row], right[row], k)
            assert found.ranks()[row] == pytest.approx(rank)
            assert found.hits(k)[row] == pytest.approx(hit)


def test_a_constant_similarity_scores_chance_and_nothing_more():
    found = retrieval.places(np.zeros((8, 8)))
    assert found.hits(3).tolist() == pytest.approx([3 / 8] * 8)
    assert found.hits_in_random_gallery(2, 4).tolist() == pytest.approx([2 / 4] * 8)
    assert retrieval.median_rank(found.ranks()) == 4.5


def test_chance_with_several_right_items_is_that_of_a_random_order(rng):
    hits = []
    for _ in range(4000):
        hits.append(np.isin(rng.permutation(12)[:3], [0, 1]).any())
    assert retrieval.chance_at_k(np.array([2]), 12, 3) == pytest.approx(np.mean(hits), abs=0.02)
    assert retrieval.chance_at_k(np.array([1]), 12, 3) == pytest.approx(3 / 12)


@pytest.mark.parametrize("ties", [False, True])
def test_random_gallery_formula_equals_all_galleries_by_brute_force(rng, ties):
    similarity = rng.normal(size=(7, 7))
    if ties:
        similarity = np.round(similarity)
    found = retrieval.places(similarity)
    for query, size, k in itertools.product(range(3), (2, 4, 7), (1, 2)):
        others = [item for item in range(7) if item != query]
        hits = []
        for chosen in itertools.combinations(others, size - 1):
            small = similarity[query, [query, *chosen]]
            right = np.arange(size) == 0
            hits.append(expected_over_orders(small, right, k)[1] if size < 7 else np.nan)
        if size == 7:
            hits = [expected_over_orders(similarity[query], np.arange(7) == query, k)[1]]
        assert found.hits_in_random_gallery(k, size)[query] == pytest.approx(np.mean(hits))


def test_random_galleries_refuse_several_right_items():
    with pytest.raises(ValueError, match="one right item"):
        retrieval.places(np.zeros((1, 3)), np.array([[True, True, False]])).hits_in_random_gallery(1, 2)


def test_blocks_give_the_same_places_as_the_whole_matrix(rng):
    image, text = noisy_pairs(rng, 50, 1.0)
    groups = rng.integers(0, 10, 50)
    similarity = np.round(image.astype(float) @ text.astype(float).T, 6)
    for kwargs, right in (({}, None), ({"groups": groups}, groups[:, None] == groups)):
        whole = retrieval.places(similarity, right)
        blocked = retrieval.embedding_places(image, text, block=7, **kwargs)
        assert blocked.ranks().tolist() == whole.ranks().tolist()
        assert blocked.positives.tolist() == whole.positives.tolist()


def test_equal_texts_embedded_with_rounding_noise_are_ties(rng):
    image = unit(rng.normal(size=(6, 16)))
    text = unit(np.tile(rng.normal(size=16), (6, 1)) + 1e-9 * rng.normal(size=(6, 16)))
    text = text + np.float32(3e-8) * rng.normal(size=(6, 16)).astype(np.float32)
    assert retrieval.embedding_places(image, text).ranks().tolist() == [3.5] * 6


def test_nan_and_missing_right_items_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        retrieval.places(np.array([[np.nan, 1.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="1 queries have no right item"):
        retrieval.places(np.zeros((2, 2)), np.array([[True, False], [False, False]]))


def test_equal_reports_ignore_capitals_and_blanks():
    groups = retrieval.equal_report_groups(["Normal  study.", "normal study.\n", "LGE."])
    assert groups[0] == groups[1] != groups[2]


def test_top_k_lists_the_most_similar_first(rng):
    gallery = unit(rng.normal(size=(9, 16)))
    best = retrieval.top_k(gallery[:4], gallery, 3)
    assert best[:, 0].tolist() == [0, 1, 2, 3]
    similarity = gallery[0] @ gallery.T
    assert best[0].tolist() == np.argsort(-similarity)[:3].tolist()


@pytest.fixture
def table(rng):
    image, text = noisy_pairs(rng, 60, 2.0)
    text[1] = text[0]  # two studies with the same report
    reports = [f"report {i}" for i in range(60)]
    reports[1] = "REPORT 0"
    patients = [f"p{i // 2}" for i in range(60)]
    return retrieval.retrieval_table(image, text, patients, SETTINGS, reports)


def test_the_table_is_tidy_and_complete(table):
    assert table.columns.tolist() == retrieval.COLUMNS + retrieval.SPREAD
    counts = table.groupby(["direction", "kind"]).size()
    assert counts.loc["image → report"].to_dict() == {"own": 4, "gallery": 4, "equal": 4, "shuffled": 3}
    assert (table["n"] == 60).all()
    assert (table["n_patients"] == 30).all()
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    assert table[["value", "low", "high", "chance"]].notna().all(axis=None)


def test_true_pairs_beat_chance_and_shuffled_pairs_do_not(table):
    recall = table[table["metric"] == "recall_at_k"]
    assert (recall[recall["kind"] == "own"]["low"] > recall[recall["kind"] == "own"]["chance"]).all()
    shuffled = recall[recall["kind"] == "shuffled"]
    assert np.abs(shuffled["value"] - shuffled["chance"]).max() < 0.03


def test_the_random_gallery_row_is_what_single_galleries_scatter_around(table):
    gallery = table[table["kind"] == "gallery"]
    assert (gallery["gallery"] == 20).all()
    assert (gallery["one_gallery_low"] <= gallery["value"]).all()
    assert (gallery["value"] <= gallery["one_gallery_high"]).all()
    recall = table[table["metric"] == "recall_at_k"].set_index("kind")["value"]
    assert (recall["gallery"].to_numpy() >= recall["own"].to_numpy()).all()  # a smaller gallery is easier


def test_equal_reports_are_credited(table):
    first = table[(table["direction"] == "image → report") & (table["k"] == 1)].set_index("kind")["value"]
    assert first["equal"] > first["own"]


def test_no_reports_give_an_empty_table():
    nothing = np.zeros((0, 8), dtype=np.float32)
    table = retrieval.retrieval_table(nothing, nothing, [], SETTINGS)
    assert table.empty
    assert retrieval.retrieval_metrics(table) == {}


def test_misaligned_inputs_are_refused(rng):
    with pytest.raises(ValueError, match="Not aligned: 4 images, 4 texts, 3 patient keys"):
        retrieval.retrieval_table(*noisy_pairs(rng, 4, 1), ["a", "b", "c"], SETTINGS)


def test_metrics_carry_n_interval_chance_and_gallery(table):
    entry = retrieval.retrieval_metrics(table)["image_to_report.gallery.recall_at_5"]
    assert set(entry) == {"value", "low", "high", "n", "chance", "gallery"}
    assert entry["gallery"] == 20
    assert "report_to_image.own.median_rank" in retrieval.retrieval_metrics(table)


def test_the_table_is_the_same_when_made_again(rng):
    image, text = noisy_pairs(rng, 30, 1.0)
    first = retrieval.retrieval_table(image, text, range(30), SETTINGS)
    pd.testing.assert_frame_equal(first, retrieval.retrieval_table(image, text, range(30), SETTINGS))
