"""Retrieval in large galleries: exact numbers from blocks of queries, never an N × N matrix.

What is right for a query: `strict`, its own item and no other; `multi`, every item of its group (reports that say the
same); `labels`, every item that shares its label (a finding, a diagnosis), itself left out of the gallery when queries
and gallery are the same studies. Items that are level are in random order, and every number is the mean over these
orders. A query without a right item counts nowhere, and how many there are is said.

Numbers: recall@k, median rank and mean reciprocal rank (MRR) of the first right item (`places.Places`, whose counts
these are); precision@k; nDCG@k with gain 1 for a right item and discount 1 / log2(1 + rank) (Järvelin & Kekäläinen
2002, doi 10.1145/582415.582418). Chance and gallery size stand beside each.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import hypergeom

from cmr_lib import params
from cmr_lib.evaluation import pairs, places, retrieval, statistics

CURVE = ["k", "gallery", "value", "low", "high", "n", "n_patients", "chance"]
RECALL_AT = (1, 5, 10, 50)
COLUMNS = ["metric", "k", "gallery", "value", "low", "high", "n", "n_patients", "unanswered", "chance"]
BLOCK_BYTES = 8 * 2**20  # of one block of similarities: near the size of a processor cache
STEPS = 10.0**places.DECIMALS  # similarities are compared as whole numbers of this many parts of 1
BELOW_ALL = -1e30  # finite, and below every similarity

Queries = Float[np.ndarray, "queries embed"]
Gallery = Float[np.ndarray, "gallery embed"]
Labels = Int[np.ndarray, " _"]


@dataclass(frozen=True)
class Right:
    """Which gallery items are right for which query: those with the same number; `apart`, all but the own row."""

    queries: Labels
    gallery: Labels
    apart: bool = False  # query i is gallery row i, and is taken out of its gallery (image → image)

    @classmethod
    def multi(cls, groups: Labels) -> "Right":
        """Every row of the same group, e.g. `retrieval.equal_report_groups`."""
        return cls(groups, groups)


@dataclass(frozen=True)
class Found:
    """What `search` found; one entry a query that has a right item."""

    answered: Int[np.ndarray, " answered"]  # rows of these queries
    first: places.Places  # where the best right item stands
    gains: Float[np.ndarray, "answered places"]  # chance that the item in each of the first places is right
    unanswered: int  # queries without a right item

    def precision(self, k: int) -> Float[np.ndarray, " answered"]:
        """Share of right items among the first k (or all, in a smaller gallery)."""
        return self.gains[:, :k].mean(axis=1)

    def ndcg(self, k: int) -> Float[np.ndarray, " answered"]:
        """Discounted gain of the first k over the best that the query's right items allow."""
        discounts = _discounts(min(k, self.gains.shape[1]))
        return self.gains[:, : len(discounts)] @ discounts / _ideal(self.first.positives, discounts)

    def reciprocal(self) -> Float[np.ndarray, " answered"]:
        """Expected 1 / rank of the first right item."""
        return reciprocal_rank(self.first.better, self.first.ties, self.first.level)


def _checked(queries: Queries, gallery: Gallery, right: Right) -> None:
    if len(right.queries) != len(queries) or len(right.gallery) != len(gallery):
        raise ValueError(
            f"Not aligned: {len(queries)} queries with {len(right.queries)} numbers, {len(gallery)} gallery items with "
            f"{len(right.gallery)}."
        )
    if right.apart and len(queries) != len(gallery):
        raise ValueError("A query can be taken out of the gallery only where both are the same studies.")
    if not (np.isfinite(queries).all() and np.isfinite(gallery).all()):
        raise ValueError("The embeddings hold NaN or infinity: leave studies without a report out.")
    if not len(queries) or len(gallery) <= right.apart:
        raise ValueError(f"Nothing to retrieve: {len(queries)} queries, {len(gallery)} gallery items.")


def _discounts(k: int) -> Float[np.ndarray, " places"]:
    return 1 / np.log2(np.arange(2, k + 2))


def _ideal(positives: Labels, discounts: Float[np.ndarray, " places"]) -> Float[np.ndarray, " answered"]:
    return np.cumsum(discounts)[np.minimum(positives, len(discounts)) - 1]


def reciprocal_rank(better: Labels, ties: Labels, level: Labels) -> Float[np.ndarray, " _"]:
    """Mean of 1 / rank of the first of `level` right items in random order among `ties` wrong ones, below `better`."""
    cases, back = np.unique(np.stack([better, ties, level], axis=1), axis=0, return_inverse=True)
    found = np.empty(len(cases))
    for number, (above, wrong, right) in enumerate(cases):
        place = np.arange(wrong + 2)
        later = hypergeom.pmf(0, wrong + right, right, place) if wrong else np.array([1.0, 0.0])
        found[number] = ((later[:-1] - later[1:]) / (above + place[1:])).sum()
    return found[back.ravel()]


# --- search -----------------------------------------------------------------------------------------------------
def _blocks(queries: Queries, gallery: Gallery) -> Iterator[tuple[slice, np.ndarray]]:
    """(rows, similarity in whole steps) of a few queries at a time; the next block overwrites it."""
    turned = np.ascontiguousarray(gallery.T, dtype=float) * STEPS
    size = min(len(queries), max(1, BLOCK_BYTES // (8 * len(gallery))))
    held = np.empty((size, len(gallery)))
    for start in range(0, len(queries), size):
        rows = slice(start, min(start + size, len(queries)))
        similarity = np.matmul(queries[rows].astype(float), turned, out=held[: rows.stop - start])
        yield rows, np.rint(similarity, out=similarity)


def _only_item(right: Right) -> Labels | None:
    """The gallery row of each query's one right item; None where a query has none or several, or is taken out."""
    order = np.argsort(right.gallery, kind="stable")
    numbers = right.gallery[order]
    first, last = (np.searchsorted(numbers, right.queries, side) for side in ("left", "right"))
    return order[first] if not right.apart and len(first) and (last - first == 1).all() else None


def _gains_of_one(found: places.Places, depth: int) -> np.ndarray:
    """Gains where each query has one right item: no sorting is needed, it lies anywhere in its tie."""
    place = np.arange(depth)
    inside = (place >= found.better[:, None]) & (place <= (found.better + found.ties)[:, None])
    return inside / (found.ties[:, None] + 1.0)


def _several_right(
    rows: slice, similarity: np.ndarray, right: Right, depth: int
) -> tuple[Labels, places.Places, np.ndarray] | None:
    """Rows of the block that have a right item, their places and gains; the own row last of all, where apart."""
    positives = right.queries[rows, None] == right.gallery
    if right.apart:
        own = np.arange(rows.stop - rows.start), np.arange(rows.start, rows.stop)
        similarity[own], positives[own] = BELOW_ALL, False
    has = positives.any(axis=1)
    if not has.any():
        return None
    if not has.all():
        similarity, positives = similarity[has], positives[has]
    found = places.places(similarity, positives)
    return np.flatnonzero(has) + rows.start, found, _gains(similarity, positives, depth)


def _gains(similarity: np.ndarray, positives: np.ndarray, depth: int) -> Float[np.ndarray, "rows places"]:
    """Share of right items in the tie that holds each of the first `depth` places."""
    top = np.argpartition(-similarity, depth - 1, axis=1)[:, :depth]
    values, flags = np.take_along_axis(similarity, top, axis=1), np.take_along_axis(positives, top, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    values, flags = np.take_along_axis(values, order, axis=1), np.take_along_axis(flags, order, axis=1)
    tied = (values[:, :, None] == values[:, None, :]).astype(np.float32)
    gains = (tied @ flags[:, :, None].astype(np.float32))[:, :, 0].astype(float) / tied.sum(axis=2)
    last = values[:, -1:]
    level = similarity == last
    for row in np.flatnonzero(level.sum(axis=1) > (values == last).sum(axis=1)):  # the last tie goes on below
        gains[row, values[row] == last[row]] = positives[row, level[row]].mean()
    return gains


def search(queries: Queries, gallery: Gallery, right: Right, depth: int = max(RECALL_AT)) -> Found:
    """Where each query's right items stand; exact, ties averaged, in memory that does not grow with the queries.

    queries, gallery: L2-normalised. depth: how many of the first places are kept for precision and nDCG. Similarities
    are rounded to 6 decimals, as in `retrieval`.
    Raises ValueError for unequal lengths, NaN, an empty gallery, or when no query has a right item.
    """
    _checked(queries, gallery, right)
    size, own = len(gallery) - right.apart, _only_item(right)
    depth, answered, parts, gains = min(depth, size), [], [], []
    for rows, similarity in _blocks(queries, gallery):
        if own is not None:
            placed = places.places_of_one(similarity, own[rows])
            done = np.arange(rows.start, rows.stop), placed, _gains_of_one(placed, depth)
        else:
            done = _several_right(rows, similarity, right, depth)
        if done is not None:
            answered.append(done[0])
            parts.append(done[1])
            gains.append(done[2])
    if not parts:
        raise ValueError(f"None of {len(queries)} queries has a right item in the gallery of {size}.")
    rows, found = np.concatenate(answered), places.joined(parts)
    first = dataclasses.replace(found, gallery=size)
    return Found(rows, first, np.concatenate(gains), len(queries) - len(rows))


def search_pairs(image: Queries, text: Gallery, depth: int = max(RECALL_AT)) -> tuple[Found, Found]:
    """`search` where row i is right for query i, image → report and report → image, several times as fast.

    Raises ValueError for unequal lengths, none, or NaN.
    """
    rows = np.arange(len(image))
    forth, back = (
        Found(rows, placed, _gains_of_one(placed, min(depth, len(rows))), 0)
        for placed in pairs.places_both_ways(image, text)
    )
    return forth, back


# --- tables -----------------------------------------------------------------------------------------------------
def _chances(found: Found, k: int) -> dict[str, float]:
    """What a random order gives."""
    first, discounts = found.first, _discounts(min(k, found.gains.shape[1]))
    density = first.positives / first.gallery
    return {
        "recall_at_k": retrieval.chance_at_k(first.positives, first.gallery, k),
        "precision_at_k": float(density.mean()),
        "ndcg_at_k": float((density * discounts.sum() / _ideal(first.positives, discounts)).mean()),
    }


def rank_table(
    found: Found, patients: Sequence[Any], samples: int, seed: int, at: Sequence[int] = RECALL_AT
) -> pd.DataFrame:
    """Median rank, MRR, and recall, precision and nDCG at each k (COLUMNS), with 95 % intervals by patient.

    patients: of all queries. unanswered: queries without a right item, which count nowhere. precision and nDCG are left
    out for a k above the depth of the search. Raises ValueError for unequal lengths.
    """
    if len(patients) != len(found.answered) + found.unanswered:
        raise ValueError(f"{len(found.answered) + found.unanswered} queries but {len(patients)} patient keys.")
    owners, first = [str(patients[row]) for row in found.answered], found.first
    chance_rank = float(np.median((first.gallery + 1) / (first.positives + 1)))
    wrong, none = first.gallery - first.positives, np.zeros_like(first.positives)
    chance_mrr = float(reciprocal_rank(none, wrong, first.positives).mean())
    rows: list[dict[str, Any]] = []

    def add(metric: str, k: float | int, values: np.ndarray, chance: float, statistic: statistics.Statistic) -> None:
        share = metric == "recall_at_k"
        numbers = statistics.summarise(values, owners, statistic, samples, seed, is_share=share)
        place = {"metric": metric, "k": k, "gallery": first.gallery, "unanswered": found.unanswered, "chance": chance}
        rows.append(place | numbers)

    add("median_rank", np.nan, first.ranks(), chance_rank, statistics.median)
    add("mrr", np.nan, found.reciprocal(), chance_mrr, statistics.mean)
    for k in at:
        chances = _chances(found, k)
        add("recall_at_k", k, first.hits(k), chances["recall_at_k"], statistics.mean)
        if k <= found.gains.shape[1]:
            add("precision_at_k", k, found.precision(k), chances["precision_at_k"], statistics.mean)
            add("ndcg_at_k", k, found.ndcg(k), chances["ndcg_at_k"], statistics.mean)
    return pd.DataFrame(rows, columns=COLUMNS)


def recall_by_gallery(
    found: Found, patients: Sequence[Any], at: Sequence[int], sizes: Sequence[int], settings: params.Retrieval
) -> pd.DataFrame:
    """Recall@k in random galleries of each size (CURVE), exact over all galleries, with 95 % intervals by patient.

    For one right item a query; a size above the whole gallery is left out.
    """
    rows = []
    for k in at:
        for size in (size for size in sorted(sizes) if size <= found.first.gallery):
            hits = found.first.hits_in_random_gallery(k, size)
            numbers = statistics.summarise(
                hits, patients, statistics.mean, settings.bootstrap, settings.seed, is_share=True
            )
            rows.append({"k": k, "gallery": size, **numbers, "chance": min(1.0, k / size)})
    return pd.DataFrame(rows, columns=CURVE)
