"""Blocked retrieval equals a naive sort over all orders of ties; big galleries in seconds and in little memory."""

import itertools
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from cmr_lib import params
from cmr_lib.evaluation import pairs, ranks, retrieval

SETTINGS = params.Retrieval(
    out_dir="o", in_root="i", seed=1, recall_at=[1, 10], gallery_size=10, gallery_draws=5, bootstrap=100
)


def levels(rng, n, gallery, width=3):
    """Embeddings with whole-number similarities, so that many items are level."""
    return rng.integers(-1, 2, (n, width)).astype(float), rng.integers(-1, 2, (gallery, width)).astype(float)


def own_item(n):
    """Row i of the gallery is right for query i, and nothing else."""
    return ranks.Right(np.arange(n), np.arange(n))


def naive(row, right, k):
    """Mean over all orders of the items, sorted by similarity: rank, 1 / rank, hit, precision, nDCG."""
    seen, numbers = set(), []
    for order in itertools.permutations(range(len(row))):
        arranged = tuple(sorted(order, key=lambda item: -row[item]))  # stable: level items keep this order
        if arranged in seen:
            continue
        seen.add(arranged)
        flags = right[list(arranged)]
        first = int(np.argmax(flags)) + 1
        gain = sum(1 / np.log2(place + 2) for place in range(k) if flags[place])
        ideal = sum(1 / np.log2(place + 2) for place in range(min(k, right.sum())))
        numbers.append([first, 1 / first, first <= k, flags[:k].mean(), gain / ideal])
    return np.mean(numbers, axis=0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("apart", [False, True])
def test_every_number_equals_a_naive_sort_over_all_orders_of_ties(seed, apart, monkeypatch):
    rng = np.random.default_rng(seed)
    queries, gallery = levels(rng, 5, 5)
    gallery = queries if apart else gallery
    groups = rng.integers(0, 2, 5)
    monkeypatch.setattr(ranks, "BLOCK_BYTES", 8 * 5 * 2)  # two queries a block
    found = ranks.search(queries, gallery, ranks.Right(groups, groups, apart), depth=3)
    similarity, place = queries @ gallery.T, 0
    for row in range(5):
        others = [item for item in range(5) if not (apart and item == row)]
        right = (groups == groups[row])[others]
        if not right.any():
            continue
        assert found.answered[place] == row
        rank, reciprocal, hit, precision, ndcg = naive(similarity[row, others], right, 3)
        assert found.first.ranks()[place] == pytest.approx(rank)
        assert found.reciprocal()[place] == pytest.approx(reciprocal)
        assert found.first.hits(3)[place] == pytest.approx(hit)
        assert found.precision(3)[place] == pytest.approx(precision)
        assert found.ndcg(3)[place] == pytest.approx(ndcg)
        place += 1
    assert place == len(found.answered)
    assert found.unanswered == 5 - place


def test_strict_ranks_are_those_of_the_smaller_module_and_ndcg_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    image, text = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in rng.normal(size=(2, 300, 8)))
    found = ranks.search(image, text, own_item(300))
    assert found.first.ranks().tolist() == retrieval.embedding_places(image, text).ranks().tolist()
    labels = rng.integers(0, 5, 300)
    by_label = ranks.search(image, text, ranks.Right.multi(labels))
    wanted = ndcg_score(labels[:, None] == labels, image @ text.T, k=10)
    assert by_label.ndcg(10).mean() == pytest.approx(wanted)


@pytest.mark.parametrize("n", [1, 7, 400])
def test_both_ways_from_one_product_are_the_exact_ranks_ties_included(n, monkeypatch):
    rng = np.random.default_rng(n)
    monkeypatch.setattr(pairs, "BLOCK_BYTES", 4 * n * 3)  # three rows a block
    image = rng.normal(size=(n, 6))
    text = image + rng.normal(size=(n, 6))
    text[: n // 4], image[n // 2 : n // 2 + 3] = text[0], image[n // 2]  # equal texts, equal images
    image, text = ((part / np.linalg.norm(part, axis=1, keepdims=True)).astype(np.float32) for part in (image, text))
    for found, (queries, gallery) in zip(
        ranks.search_pairs(image, text, 5), ((image, text), (text, image)), strict=True
    ):
        wanted = ranks.search(queries, gallery, ranks.Right.multi(np.arange(n)), 5)
        similarity = np.round(queries.astype(float) @ gallery.T.astype(float), 6)
        own = np.diag(similarity)[:, None]
        assert found.first.better.tolist() == (similarity > own).sum(axis=1).tolist()
        assert found.first.ties.tolist() == ((similarity == own).sum(axis=1) - 1).tolist()
        assert found.gains == pytest.approx(wanted.gains)


def test_pairs_that_are_not_pairs_are_refused():
    with pytest.raises(ValueError, match="Not aligned, or nothing to find: 3 images, 2 texts"):
        ranks.search_pairs(np.eye(3), np.eye(3)[:2])
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        ranks.search_pairs(np.eye(3) * np.nan, np.eye(3))


def test_a_constant_similarity_scores_chance_in_every_number_of_the_table():
    same = np.ones((40, 4)) / 2
    groups = np.arange(40) // 4
    found = ranks.search(same, same, ranks.Right(groups, groups, apart=True), depth=10)
    table = ranks.rank_table(found, range(40), 50, 0, at=(1, 10))
    assert table["value"].tolist() == pytest.approx(table["chance"].tolist())
    assert set(table["gallery"]) == {39}


def test_reports_that_say_the_same_are_credited_only_where_it_is_asked():
    text = np.eye(3)[[0, 0, 1, 2]]
    strict = ranks.search(text, text, own_item(4))
    multi = ranks.search(text, text, ranks.Right.multi(np.array([0, 0, 1, 2])))
    assert strict.first.hits(1).tolist() == pytest.approx([0.5, 0.5, 1, 1])
    assert multi.first.hits(1).tolist() == pytest.approx([1, 1, 1, 1])


def test_a_query_without_a_right_item_is_counted_and_left_out():
    labels = np.array([7, 7, 8])
    found = ranks.search(np.eye(3), np.eye(3), ranks.Right(labels, labels, apart=True))
    table = ranks.rank_table(found, ["a", "b", "c"], 20, 0, at=(1,))
    assert set(table["unanswered"]) == {1}
    assert set(table["n"]) == {2}


def test_recall_falls_with_the_gallery_as_drawn_galleries_do():
    rng = np.random.default_rng(1)
    image = rng.normal(size=(60, 6))
    text = image + 1.5 * rng.normal(size=(60, 6))
    image, text = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (image, text))
    found = ranks.search(image, text, own_item(60))
    curve = ranks.recall_by_gallery(found, range(60), [1], [10, 60, 100], SETTINGS)
    assert curve["gallery"].tolist() == [10, 60]
    assert curve["value"].is_monotonic_decreasing
    assert (curve["low"] < curve["value"]).all()
    assert (curve["value"] < curve["high"]).all()
    assert curve["chance"].tolist() == pytest.approx([1 / 10, 1 / 60])
    drawn = []
    for _ in range(300):
        chosen = rng.permutation(60)[:10]
        drawn.append(np.mean(np.argmax(image[chosen] @ text[chosen].T, axis=1) == np.arange(10)))
    assert curve.loc[0, "value"] == pytest.approx(np.mean(drawn), abs=0.03)


def test_memory_does_not_grow_with_the_queries_and_a_gallery_of_100_000_is_exact():
    rng = np.random.default_rng(2)
    gallery = rng.normal(size=(100_000, 4)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    peaks = []
    for n in (50, 100):
        tracemalloc.start()
        found = ranks.search(gallery[:n], gallery, ranks.Right(np.arange(n), np.arange(100_000)), depth=10)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 12 * ranks.BLOCK_BYTES
    row = np.round(gallery[7].astype(float) @ gallery.T.astype(float), 6)
    assert found.first.better[7] == (row > row[7]).sum()
    assert found.first.ties[7] == (row == row[7]).sum() - 1


def test_bad_input_gives_one_clear_sentence():
    strict = own_item(3)
    with pytest.raises(ValueError, match="Not aligned: 2 queries with 3 numbers"):
        ranks.search(np.eye(3)[:2], np.eye(3), strict)
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        ranks.search(np.eye(3) * np.nan, np.eye(3), strict)
    with pytest.raises(ValueError, match="None of 3 queries has a right item in the gallery of 3"):
        ranks.search(np.eye(3), np.eye(3), ranks.Right(np.arange(3), np.arange(3) + 9))
    with pytest.raises(ValueError, match="Nothing to retrieve: 0 queries"):
        ranks.search(np.zeros((0, 3)), np.zeros((0, 3)), own_item(0))
    with pytest.raises(ValueError, match="3 queries but 2 patient keys"):
        ranks.rank_table(ranks.search(np.eye(3), np.eye(3), strict), ["a", "b"], 5, 0)
