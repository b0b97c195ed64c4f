"""A finding's score at work: average precision, and what a threshold gives that was chosen on validation.

A study is called positive when its score is above the threshold. The threshold is a number that validation studies gave
(`Threshold.of`), never a test study: on test its specificity is what it is, and stands beside the sensitivity.
All statistics read (values, weights), as those of `statistics`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmr_lib.evaluation import statistics

COLUMNS = ["goal", "threshold", "metric", "value", "low", "high", "n", "n_patients", "chance", "note"]
BEST_F1, BEST_BALANCE = "best F1", "best balanced accuracy"

Pairs = Float[np.ndarray, "studies 2"]  # label (0 or 1), score
Called = Float[np.ndarray, "studies 2"]  # label, called positive (0 or 1)
Samples = Float[np.ndarray, " samples"]


def _ratio(top: Samples, bottom: Samples) -> Samples:
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


# --- statistics -------------------------------------------------------------------------------------------------
def average_precision(values: Pairs, weights: statistics.Weights) -> Samples:
    """Area under precision and recall as a step function (AUPRC): Σ (recall gained) × precision; ties are one step.

    Chance is the share of positives. NaN where a resample has none.
    """
    order = np.argsort(-values[:, 1], kind="stable")
    positive, weights = (values[order, 0] == 1).astype(float), weights[:, order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values[order, 1]) != 0]))
    gained = np.add.reduceat(weights * positive, starts, axis=1)
    called = np.cumsum(np.add.reduceat(weights, starts, axis=1), axis=1)
    precision = np.divide(np.cumsum(gained, axis=1), called, out=np.zeros_like(called), where=called > 0)
    return _ratio((gained * precision).sum(axis=1), gained.sum(axis=1))


def f1(values: Called, weights: statistics.Weights) -> Samples:
    """Harmonic mean of sensitivity and precision: 2 TP / (2 TP + FP + FN); NaN without any positive, called or true."""
    hits = weights @ (values[:, 0] * values[:, 1])
    return _ratio(2 * hits, weights @ values[:, 0] + weights @ values[:, 1])


# --- thresholds -------------------------------------------------------------------------------------------------
def _checked(pairs: Pairs, split: str) -> Pairs:
    if not np.isfinite(pairs).all():
        raise ValueError(f"Scores or labels of the {split} split hold NaN: leave studies without an answer out.")
    if len(np.unique(pairs[:, 0])) < 2:
        raise ValueError(
            f"All {len(pairs)} {split} studies have the same answer: no threshold can be chosen or judged."
        )
    return pairs


@dataclass(frozen=True)
class Threshold:
    """A threshold, and what it was chosen for on validation."""

    value: float
    goal: str

    @classmethod
    def at_specificity(cls, validation: Pairs, wanted: float) -> "Threshold":
        """The lowest threshold with at least this specificity on validation: a score of a negative, or just below all.

        Raises ValueError for NaN, for studies of one answer only, or a specificity outside (0, 1].
        """
        if not 0 < wanted <= 1:
            raise ValueError(f"A specificity lies in (0, 1], got {wanted}.")
        negatives = np.sort(_checked(validation, "validation")[validation[:, 0] == 0, 1])
        needed = int(np.ceil(wanted * len(negatives) - 1e-9))
        return cls(float(negatives[needed - 1]), f"specificity {wanted:g}")

    @classmethod
    def best(cls, validation: Pairs, statistic: statistics.Statistic, goal: str) -> "Threshold":
        """The threshold between two neighbouring validation scores with the best statistic (the highest of equals)."""
        scores = np.unique(_checked(validation, "validation")[:, 1])
        between = (scores[:-1] + scores[1:]) / 2
        found = [statistics.point(cls(float(cut), goal).call(validation), statistic) for cut in between]
        place = len(found) - 1 - int(np.argmax(np.nan_to_num(found[::-1], nan=-1.0))) if found else -1
        return cls(float(between[place]) if found else float(scores[0]), goal)

    def call(self, pairs: Pairs) -> Called:
        """Label and whether it is called positive, of each study."""
        return np.stack([pairs[:, 0], (pairs[:, 1] > self.value).astype(float)], axis=1)


def _rows(threshold: Threshold, test: Pairs, patients: Sequence[Any], samples: int, seed: int) -> list[dict[str, Any]]:
    called, share, owners = threshold.call(test), float(test[:, 0].mean()), np.asarray([str(p) for p in patients])
    rate = float(called[:, 1].mean())  # a coin that calls as many positive
    coin_f1 = 2 * share * rate / (share + rate)
    rows = []

    def add(metric: str, numbers: dict[str, Any], chance: float) -> None:
        place = {"goal": threshold.goal, "threshold": threshold.value, "metric": metric, "note": ""}
        rows.append({**place, **numbers, "chance": chance})

    shares = (("sensitivity", 1, called[:, 1], rate), ("specificity", 0, 1 - called[:, 1], 1 - rate))
    for metric, label, hit, chance in shares:
        asked = called[:, 0] == label  # of these alone it is a share, with Wilson's interval where it is 0 or 1
        of = list(owners[asked])
        add(metric, statistics.summarise(hit[asked], of, statistics.mean, samples, seed, is_share=True), chance)
    of = list(owners)
    add("f1", statistics.summarise(called, of, f1, samples, seed), coin_f1)
    add("balanced_accuracy", statistics.summarise(called, of, statistics.balanced_accuracy, samples, seed), 0.5)
    return rows


def operating_table(
    validation: Float[np.ndarray, "validation 2"],
    test: Float[np.ndarray, "test 2"],
    patients: Sequence[Any],
    specificities: Sequence[float],
    samples: int,
    seed: int,
) -> pd.DataFrame:
    """One finding: average precision, and four numbers at each threshold, on test (COLUMNS).

    validation, test: label and score; patients: of the test studies. Thresholds, all of validation: one for each of the
    specificities, for the best F1 and for the best balanced accuracy. Where no threshold can be chosen or judged, one
    row says why. Raises ValueError for NaN.
    """
    try:
        _checked(test, "test")
        cuts = [Threshold.at_specificity(validation, wanted) for wanted in specificities]
        cuts.append(Threshold.best(validation, f1, BEST_F1))
        cuts.append(Threshold.best(validation, statistics.balanced_accuracy, BEST_BALANCE))
    except ValueError as error:
        if "same answer" not in str(error):
            raise
        empty = {"metric": "auprc", "n": len(test), "n_patients": len(set(patients)), "note": str(error)}
        return pd.DataFrame([empty], columns=COLUMNS)
    numbers = statistics.summarise(test, patients, average_precision, samples, seed)
    rows = [{"goal": "", "metric": "auprc", **numbers, "chance": float(test[:, 0].mean()), "note": ""}]
    for cut in cuts:
        rows += _rows(cut, test, patients, samples, seed)
    return pd.DataFrame(rows, columns=COLUMNS)
