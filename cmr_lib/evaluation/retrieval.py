"""Does a scan find its report, and a report its scan? Ranks, recall@k and median rank, beside chance.

A query's items are sorted by similarity (dot product of L2-normalised embeddings). `recall_at_k` is the share of
queries with a right item among the first k, in [0, 1]. Items level with the right one are in random order, so a tie
counts by its expected place: a constant similarity scores chance, k / N, and nothing more.

What counts as right (column `kind` of the table):
- `own`: the study's own report and no other, in the gallery of all test studies;
- `gallery`: the same in random sub-galleries of a fixed size, so that cohorts of different size can be compared;
- `equal`: any report with the same impression (templates make these common), `own`'s unfair misses credited;
- `shuffled`: a control, `own` with reports dealt to the wrong studies: it must come out at chance.
Other studies of the same patient stay in the gallery and count as wrong: a model that finds the patient but not the
visit is not right.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import hypergeom

from cmr_lib import params, project
from cmr_lib.evaluation import statistics
from cmr_lib.evaluation.places import DECIMALS, Places, joined, places, places_of_one

DIRECTIONS = ("image → report", "report → image")
KINDS = ("own", "gallery", "equal", "shuffled")
COLUMNS = ["direction", "kind", "metric", "k", "gallery", "value", "low", "high", "n", "n_patients", "chance"]
SPREAD = ["one_gallery_low", "one_gallery_high"]
SHUFFLES = 50

Embeddings = Float[np.ndarray, "studies embed"]


def median_rank(ranks: Float[np.ndarray, " queries"]) -> float:
    """Median over the queries of the right item's rank; chance is (N + 1) / 2."""
    return float(np.median(ranks))


def chance_at_k(positives: Int[np.ndarray, " queries"], gallery: int, k: int) -> float:
    """Recall@k of a random order: k / N for one right item a query, more where several are right."""
    return float(np.mean(1 - hypergeom.pmf(0, gallery, positives, min(k, gallery))))


def embedding_places(
    queries: Embeddings,
    gallery: Embeddings,
    *,
    own: Int[np.ndarray, " studies"] | None = None,
    groups: Int[np.ndarray, " studies"] | None = None,
    block: int = 512,
) -> Places:
    """`places` from two aligned sets of embeddings, `block` queries at a time: never an N × N matrix.

    Row i's right item is row own[i] of the gallery (None: row i) or, with `groups`, every row of the same group.
    Similarities are rounded to 6 decimals, so that equal texts tie whatever batch they were embedded in.
    """
    n = len(queries)
    own = np.arange(n) if own is None else own
    parts = []
    for start in range(0, n, block):
        rows = slice(start, min(start + block, n))
        similarity = np.round(queries[rows].astype(float) @ gallery.astype(float).T, DECIMALS)
        right = None if groups is None else groups[rows, None] == groups
        parts.append(places_of_one(similarity, own[rows]) if right is None else places(similarity, right))
    return joined(parts)


def equal_report_groups(reports: Iterable[str]) -> Int[np.ndarray, " studies"]:
    """The same number for reports with the same words; capitals and blanks do not count."""
    words = [" ".join(report.casefold().split()) for report in reports]
    return np.unique(np.asarray(words, dtype=str), return_inverse=True)[1]


def top_k(queries: Float[np.ndarray, "queries embed"], gallery: Embeddings, k: int) -> Int[np.ndarray, "queries k"]:
    """Row numbers of the k most similar items, best first; among equals the earlier row. For looking at examples."""
    similarity = np.round(queries.astype(float) @ gallery.astype(float).T, DECIMALS)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :k]


# --- the table --------------------------------------------------------------------------------------------------
def retrieval_table(
    image: Embeddings,
    text: Embeddings,
    patients: Sequence[Any] | np.ndarray | pd.Series,
    settings: params.Retrieval,
    reports: Sequence[str] | pd.Series | None = None,
) -> pd.DataFrame:
    """Recall@k and median rank, both directions, every `kind` of the module's docstring; one row a number.

    image, text: aligned, L2-normalised embeddings of the studies with a report, of one split. reports: their texts,
    for the `equal` rows (left out without). Intervals: 95 %, bootstrap over patients, queries resampled and the
    gallery held fixed; for kind `shuffled` the middle 95 % of single shuffles. `one_gallery_low/high` (kind `gallery`):
    the middle 95 % of `gallery_draws` single galleries, which is how far luck alone moves a number. No studies give an
    empty table.
    Raises ValueError when the inputs differ in length or hold NaN.
    """
    patients = [str(patient) for patient in patients]
    if not len(image) == len(text) == len(patients) or (reports is not None and len(reports) != len(image)):
        raise ValueError(f"Not aligned: {len(image)} images, {len(text)} texts, {len(patients)} patient keys.")
    if not len(image):
        return pd.DataFrame(columns=COLUMNS + SPREAD)
    groups = None if reports is None else equal_report_groups(reports)
    rows = []
    for direction, queries, gallery in ((DIRECTIONS[0], image, text), (DIRECTIONS[1], text, image)):
        for row in _direction_rows(queries, gallery, patients, groups, settings):
            rows.append({"direction": direction, **row})
    return pd.DataFrame(rows).reindex(columns=COLUMNS + SPREAD)


def _direction_rows(
    queries: Embeddings,
    gallery: Embeddings,
    patients: list[str],
    groups: Int[np.ndarray, " studies"] | None,
    settings: params.Retrieval,
) -> list[dict[str, Any]]:
    own = embedding_places(queries, gallery)
    rows = [*_recall_rows("own", own, patients, settings), _median_row("own", own, patients, settings)]
    rows += _gallery_rows(own, queries, gallery, patients, settings)
    if groups is not None:
        equal = embedding_places(queries, gallery, groups=groups)
        rows += [*_recall_rows("equal", equal, patients, settings), _median_row("equal", equal, patients, settings)]
    return rows + _shuffled_rows(queries, gallery, patients, settings)


def _recall_row(
    kind: str, k: int, gallery: int, hits: np.ndarray, chance: float, patients: list[str], settings: params.Retrieval
) -> dict[str, Any]:
    numbers = statistics.summarise(hits, patients, statistics.mean, settings.bootstrap, settings.seed, is_share=True)
    return {"kind": kind, "metric": "recall_at_k", "k": k, "gallery": gallery, **numbers, "chance": chance}


def _recall_rows(kind: str, found: Places, patients: list[str], settings: params.Retrieval) -> list[dict[str, Any]]:
    n = found.gallery
    chances = {k: chance_at_k(found.positives, n, k) for k in settings.recall_at}
    return [_recall_row(kind, k, n, found.hits(k), chances[k], patients, settings) for k in settings.recall_at]


def _median_row(kind: str, found: Places, patients: list[str], settings: params.Retrieval) -> dict[str, Any]:
    numbers = statistics.summarise(found.ranks(), patients, statistics.median, settings.bootstrap, settings.seed)
    # A random order puts the first of p right items among N at (N + 1) / (p + 1) on average.
    chance = float(np.median((found.gallery + 1) / (found.positives + 1)))
    return {"kind": kind, "metric": "median_rank", "k": np.nan, "gallery": found.gallery, **numbers, "chance": chance}


def _gallery_rows(
    found: Places, queries: Embeddings, gallery: Embeddings, patients: list[str], settings: params.Retrieval
) -> list[dict[str, Any]]:
    """Recall@k and median rank in random galleries, exact over all galleries, and the spread between single ones."""
    size = min(settings.gallery_size, found.gallery)
    drawn = _single_galleries(queries, gallery, size, settings)
    rows = []
    for column, k in enumerate(settings.recall_at):
        hits = found.hits_in_random_gallery(k, size)
        low, high = np.quantile(drawn[:, column], [0.025, 0.975])
        row = _recall_row("gallery", k, size, hits, min(1.0, k / size), patients, settings)
        rows.append({**row, "one_gallery_low": float(low), "one_gallery_high": float(high)})
    by_rank = np.stack([found.hits_in_random_gallery(rank, size) for rank in range(1, size + 1)], axis=1)
    numbers = statistics.summarise(by_rank, patients, _pooled_median, settings.bootstrap, settings.seed)
    low, high = np.quantile(drawn[:, -1], [0.025, 0.975])
    median = {"kind": "gallery", "metric": "median_rank", "k": np.nan, "gallery": size, "chance": (size + 1) / 2}
    return [*rows, {**median, **numbers, "one_gallery_low": float(low), "one_gallery_high": float(high)}]


def _pooled_median(
    by_rank: Float[np.ndarray, "queries ranks"], weights: Float[np.ndarray, "samples queries"]
) -> Float[np.ndarray, " samples"]:
    """Median rank over queries and galleries; by_rank[i, r]: chance that query i finds its item in the first r + 1."""
    share = (weights @ by_rank) / weights.sum(axis=1, keepdims=True)
    return 1.0 + np.argmax(share >= 0.5 - 1e-9, axis=1)


def _single_galleries(
    queries: Embeddings, gallery: Embeddings, size: int, settings: params.Retrieval
) -> Float[np.ndarray, "draws numbers"]:
    """Each recall@k, and last the median rank, of `gallery_draws` random galleries with their studies as queries."""
    generator = project.rng(settings.seed, "galleries")
    numbers = []
    for _ in range(settings.gallery_draws):
        chosen = generator.permutation(len(queries))[:size]
        found = embedding_places(queries[chosen], gallery[chosen])
        numbers.append([*(found.hits(k).mean() for k in settings.recall_at), np.median(found.ranks())])
    return np.asarray(numbers)


def _shuffled_rows(
    queries: Embeddings, gallery: Embeddings, patients: list[str], settings: params.Retrieval
) -> list[dict[str, Any]]:
    """The control: reports dealt at random. Value: mean over deals; interval: the middle 95 % of single deals."""
    generator = project.rng(settings.seed, "shuffled pairs")
    n = len(queries)
    deals = [embedding_places(queries, gallery, own=generator.permutation(n)) for _ in range(SHUFFLES)]
    rows = []
    for k in settings.recall_at:
        recalls = np.asarray([deal.hits(k).mean() for deal in deals])
        low, high = (float(edge) for edge in np.quantile(recalls, [0.025, 0.975]))
        row = {"kind": "shuffled", "metric": "recall_at_k", "k": k, "gallery": n, "value": float(recalls.mean())}
        counted = {"n": n, "n_patients": len(set(patients)), "chance": min(1.0, k / n)}
        rows.append({**row, "low": low, "high": high, **counted})
    return rows


def row_of(table: pd.DataFrame, **wanted: Any) -> pd.Series:
    """The first row with these values; a row of NaN where there is none (no study has a report)."""
    rows = table
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows.iloc[0] if len(rows) else pd.Series(np.nan, index=table.columns)


def retrieval_metrics(table: pd.DataFrame) -> dict[str, dict[str, float | int]]:
    """The table as entries of metrics.json, e.g. `image_to_report.own.recall_at_5`."""
    metrics = {}
    for row in table.to_dict("records"):
        name = row["metric"] if row["metric"] == "median_rank" else f"recall_at_{int(row['k'])}"
        entry = project.estimate(row["value"], n=row["n"], low=row["low"], high=row["high"], chance=row["chance"])
        key = f"{row['direction'].replace(' → ', '_to_')}.{row['kind']}.{name}"
        metrics[key] = entry | {"gallery": int(row["gallery"])}
    return metrics
