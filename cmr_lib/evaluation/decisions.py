"""What a probability is worth to whom it is given: acting on it (decision curve), and answering only when sure.

Net benefit counts in true positives: one that is found is worth 1, one called in vain costs t / (1 − t), which is how
whoever acts at a probability of t weighs the two (Vickers & Elkin 2006, Med Decis Making 26:565). A model is of use
where that is more than acting on everybody and on nobody gives. It wants probabilities that mean what they say:
`Platt` makes them from scores, on validation studies alone.

With abstention, only the share of studies is answered of which the model is surest (El-Yaniv & Wiener 2010, JMLR
11:1605). How many those are is decided without labels.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from cmr_lib.evaluation import statistics

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 17))  # probabilities at which somebody acts
SHARES = tuple(round(0.1 * step, 1) for step in range(1, 11))  # of the studies that are answered
CURVE = ["threshold", "value", "low", "high", "everybody", "gain", "gain_low", "gain_high", "n", "n_patients"]
ABSTENTION = ["share", "value", "low", "high", "gain", "gain_low", "gain_high", "n", "n_patients"]
LEAST = 1e-6  # a probability of 0 or 1 has no logit

Pairs = Float[np.ndarray, "studies 2"]  # label (0 or 1), probability
Judged = Float[np.ndarray, "studies 2"]  # right or not (1, 0), how sure
Samples = Float[np.ndarray, " samples"]


@dataclass(frozen=True)
class Platt:
    """Probabilities from probabilities: a slope and an intercept on the logit (Platt 1999), fitted on validation."""

    slope: float
    intercept: float

    @classmethod
    def of(cls, validation: Pairs) -> "Platt":
        """The most likely pair. Raises ValueError for NaN and where validation has one answer only."""
        if not np.isfinite(validation).all():
            raise ValueError("Validation scores or labels hold NaN: leave studies without an answer out.")
        if len(np.unique(validation[:, 0])) < 2:
            raise ValueError(f"All {len(validation)} validation studies have the same answer: nothing to calibrate on.")
        found = LogisticRegression(C=np.inf).fit(_logit(validation), validation[:, 0])
        return cls(float(found.coef_[0, 0]), float(found.intercept_[0]))

    def __call__(self, pairs: Pairs) -> Pairs:
        """The same labels with probabilities that validation bears out."""
        return np.stack([pairs[:, 0], expit(self.slope * _logit(pairs)[:, 0] + self.intercept)], axis=1)


def _logit(pairs: Pairs) -> Float[np.ndarray, "studies 1"]:
    return logit(np.clip(pairs[:, 1:], LEAST, 1 - LEAST))


# --- acting -----------------------------------------------------------------------------------------------------
def net_benefit(threshold: float, everybody: bool = False) -> statistics.Statistic:
    """Net benefit a study of acting where the probability is at least `threshold`, or on everybody."""

    def statistic(values: Pairs, weights: statistics.Weights) -> Samples:
        positive = values[:, 0] == 1
        acted = np.ones(len(values), dtype=bool) if everybody else values[:, 1] >= threshold
        worth = np.where(positive, 1.0, -threshold / (1 - threshold)) * acted
        return statistics.mean(worth, weights)

    return statistic


def gain(threshold: float) -> statistics.Statistic:
    """Net benefit beyond the better of acting on everybody and on nobody, decided anew in each resample."""
    own, all_of_them = net_benefit(threshold), net_benefit(threshold, everybody=True)
    return lambda values, weights: own(values, weights) - np.maximum(all_of_them(values, weights), 0.0)


def decision_curve(
    pairs: Pairs, patients: Iterable[Any], samples: int, seed: int, thresholds: Iterable[float] = THRESHOLDS
) -> pd.DataFrame:
    """Net benefit by threshold, and what it is beyond acting on everybody or nobody (CURVE); intervals by patient.

    Raises ValueError for NaN, for scores that are no probabilities, or a threshold outside (0, 1).
    """
    if not np.isfinite(pairs).all() or ((pairs[:, 1] < 0) | (pairs[:, 1] > 1)).any():
        raise ValueError("A decision curve wants a label and a probability in [0, 1] for every study.")
    owners, rows = list(patients), []
    for threshold in thresholds:
        if not 0 < threshold < 1:
            raise ValueError(f"A threshold of a decision curve lies between 0 and 1, got {threshold}.")
        numbers = statistics.summarise(pairs, owners, net_benefit(threshold), samples, seed)
        everybody = statistics.point(pairs, net_benefit(threshold, everybody=True))
        found = _gained(pairs, owners, gain(threshold), samples, seed)
        rows.append({"threshold": threshold, "everybody": everybody, **numbers, **found})
    return pd.DataFrame(rows, columns=CURVE)


# --- abstaining -------------------------------------------------------------------------------------------------
def accuracy_of_surest(share: float) -> statistics.Statistic:
    """Accuracy among the share of studies with the highest confidence; of equally sure ones, any of them: the mean."""

    def statistic(values: Judged, weights: statistics.Weights) -> Samples:
        order = np.argsort(-values[:, 1], kind="stable")
        right, weights = values[order, 0], weights[:, order]
        starts = np.flatnonzero(np.concatenate([[True], np.diff(values[order, 1]) != 0]))
        many = np.add.reduceat(weights, starts, axis=1)
        hits = np.add.reduceat(weights * right, starts, axis=1)
        room = share * weights.sum(axis=1, keepdims=True) - (np.cumsum(many, axis=1) - many)
        taken = np.divide(np.clip(room, 0, many), many, out=np.zeros_like(many), where=many > 0)
        answered = (taken * many).sum(axis=1)
        return np.divide((taken * hits).sum(axis=1), answered, out=np.full_like(answered, np.nan), where=answered > 0)

    return statistic


def abstention_curve(
    judged: Judged, patients: Iterable[Any], samples: int, seed: int, shares: Iterable[float] = SHARES
) -> pd.DataFrame:
    """Accuracy by the share of studies that is answered, and what it gains on answering all (ABSTENTION).

    Chance is the accuracy of all: abstaining at random changes nothing. Raises ValueError for NaN or a share outside
    (0, 1].
    """
    if not np.isfinite(judged).all():
        raise ValueError("Abstention wants to know of every study whether it was right and how sure: some are NaN.")
    owners, rows = list(patients), []
    for share in shares:
        if not 0 < share <= 1:
            raise ValueError(f"A share of the studies lies in (0, 1], got {share}.")
        numbers = statistics.summarise(judged, owners, accuracy_of_surest(share), samples, seed)
        rows.append({"share": share, **numbers, **_gained(judged, owners, _beyond_all(share), samples, seed)})
    return pd.DataFrame(rows, columns=ABSTENTION)


def _beyond_all(share: float) -> statistics.Statistic:
    own, whole = accuracy_of_surest(share), accuracy_of_surest(1.0)
    return lambda values, weights: own(values, weights) - whole(values, weights)


def _gained(
    values: Pairs, owners: list[Any], statistic: statistics.Statistic, samples: int, seed: int
) -> dict[str, float]:
    low, high = statistics.bootstrap_by_patient(values, owners, statistic, samples, seed)
    return {"gain": statistics.point(values, statistic), "gain_low": low, "gain_high": high}
