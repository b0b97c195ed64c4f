"""Search by a sentence: of the first k studies that "There is late gadolinium enhancement." brings up, which have it?

One sentence is one query, so resampling queries would say nothing: the interval comes from resampling the patients of
the gallery. Level studies are in random order and count by their share. Statistics read (values, weights), columns
label and score; a weight is how often a study stands in the gallery. precision@k: share of right studies among the
first k; nDCG@k as in `ranks`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmr_lib import project
from cmr_lib.evaluation import statistics
from cmr_lib.evaluation.places import DECIMALS

COLUMNS = ["finding", "metric", "k", "gallery", "value", "low", "high", "n", "n_patients", "chance", "note"]

Values = Float[np.ndarray, "studies 2"]
Samples = Float[np.ndarray, " samples"]


def _ties(values: Values, weights: statistics.Weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each tie, best first: studies above it, those and its own, the share of right ones in it; (samples, ties)."""
    order = np.argsort(-values[:, 1], kind="stable")
    label, score, weights = values[order, 0], values[order, 1], weights[:, order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(score) != 0]))
    held = np.add.reduceat(weights, starts, axis=1)
    right = np.add.reduceat(weights * label, starts, axis=1)
    below = np.cumsum(held, axis=1)
    return below - held, below, np.divide(right, held, out=np.zeros_like(right), where=held > 0)


def precision_at(k: int) -> statistics.Statistic:
    """Precision among the first k (or all, in a smaller gallery)."""

    def statistic(values: Values, weights: statistics.Weights) -> Samples:
        above, below, share = _ties(values, weights)
        taken = np.minimum(below, k) - np.minimum(above, k)
        return (taken * share).sum(axis=1) / np.minimum(weights.sum(axis=1), k)

    return statistic


def ndcg_at(k: int) -> statistics.Statistic:
    """Normalised discounted cumulative gain of the first k; NaN where no study is right."""
    gain = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])  # of the first 0, 1, … k places

    def statistic(values: Values, weights: statistics.Weights) -> Samples:
        above, below, share = _ties(values, weights)
        first, last = (np.minimum(edge, k).astype(int) for edge in (above, below))
        found = ((gain[last] - gain[first]) * share).sum(axis=1)
        best = gain[np.minimum(weights @ values[:, 0], k).astype(int)]
        return np.divide(found, best, out=np.full_like(found, np.nan), where=best > 0)

    return statistic


def _chances(label: Float[np.ndarray, " studies"], k: int) -> dict[str, float]:
    """What a random order gives: all studies level."""
    level = np.stack([label, np.zeros_like(label)], axis=1)
    made = {"precision_at_k": precision_at(k), "ndcg_at_k": ndcg_at(k)}
    return {name: statistics.point(level, statistic) for name, statistic in made.items()}


def text_query_table(
    scores: Mapping[str, Float[np.ndarray, " studies"]],
    truth: pd.DataFrame,
    patients: Sequence[Any],
    k: int,
    samples: int,
    seed: int,
) -> pd.DataFrame:
    """precision@k and nDCG@k of each finding's sentence among these studies (COLUMNS).

    scores: similarity of every study to the sentence, by finding. truth: its 0/1 columns. A finding that no study has
    keeps its row and says so. Raises ValueError for NaN or unequal lengths.
    """
    rows: list[dict[str, Any]] = []
    for name, score in scores.items():
        if not len(score) == len(truth) == len(patients) or not np.isfinite(score).all():
            raise ValueError(f"{name}: {len(score)} finite scores wanted of {len(truth)} studies; leave NaN out.")
        label = truth[name].to_numpy(dtype=float)
        place = {"finding": name, "k": k, "gallery": len(label)}
        if not label.any():
            note = f"None of {len(label)} studies has it: nothing to find."
            rows.append(place | {"metric": "precision_at_k", "n": len(label), "n_patients": 0, "note": note})
            continue
        values, chances = np.stack([label, np.round(score, DECIMALS)], axis=1), _chances(label, k)
        for metric, statistic in (("precision_at_k", precision_at(k)), ("ndcg_at_k", ndcg_at(k))):
            numbers = statistics.summarise(values, patients, statistic, samples, seed)
            if metric == "precision_at_k" and numbers["value"] in (0.0, 1.0):  # resampling shows no spread
                first = min(k, len(label))
                numbers["low"], numbers["high"] = statistics.wilson(numbers["value"] * first, first)
            rows.append(place | {"metric": metric, **numbers, "chance": chances[metric], "note": ""})
    return pd.DataFrame(rows, columns=COLUMNS)


def text_query_metrics(table: pd.DataFrame) -> dict[str, dict[str, float | int]]:
    """Rows as entries of metrics.json: `text_query.lge.precision_at_10`."""
    metrics = {}
    for row in table.to_dict("records"):
        entry = project.estimate(row["value"], n=row["n"], low=row["low"], high=row["high"], chance=row["chance"])
        name = row["metric"].replace("_k", f"_{row['k']}")
        metrics[f"text_query.{row['finding']}.{name}"] = entry | {"gallery": int(row["gallery"])}
    return metrics
