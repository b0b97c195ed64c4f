"""A predicted quantity (LVEF in %, volumes in mL, mass in g) against the true one: error, R², and Bland–Altman.

Bland–Altman (1986, Lancet 327:307): the mean of predicted − true (bias), and the limits between which 95 % of the
differences lie if they are normal (bias ± 1.96 standard deviations). `slope` is how the difference grows with the mean
of the two: a probe that shrinks towards the average has a negative one. Statistics read (values, weights); columns:
true, predicted.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmr_lib.evaluation import statistics

COLUMNS = ["quantity", "metric", "value", "low", "high", "n", "n_patients", "chance"]
NORMAL_95 = 1.96

Pairs = Float[np.ndarray, "studies 2"]
Samples = Float[np.ndarray, " samples"]


def _moments(values: Float[np.ndarray, " studies"], weights: statistics.Weights) -> tuple[Samples, Samples]:
    """Weighted mean and variance, divided by n − 1: a weight is how often a study was drawn."""
    total = weights.sum(axis=1)
    middle = statistics.mean(values, weights)
    squares = (weights * (values - middle[:, None]) ** 2).sum(axis=1)
    return middle, np.divide(squares, total - 1, out=np.full_like(squares, np.nan), where=total > 1)


def bias(values: Pairs, weights: statistics.Weights) -> Samples:
    """Mean of predicted − true."""
    return statistics.mean(values[:, 1] - values[:, 0], weights)


def lower_limit(values: Pairs, weights: statistics.Weights) -> Samples:
    """Lower limit of agreement: bias − 1.96 standard deviations of the differences."""
    middle, variance = _moments(values[:, 1] - values[:, 0], weights)
    return middle - NORMAL_95 * np.sqrt(variance)


def upper_limit(values: Pairs, weights: statistics.Weights) -> Samples:
    """Upper limit of agreement: bias + 1.96 standard deviations of the differences."""
    middle, variance = _moments(values[:, 1] - values[:, 0], weights)
    return middle + NORMAL_95 * np.sqrt(variance)


def slope(values: Pairs, weights: statistics.Weights) -> Samples:
    """How much predicted − true grows for each unit of the mean of the two; NaN where that mean does not vary."""
    difference, average = values[:, 1] - values[:, 0], values.mean(axis=1)
    total = weights.sum(axis=1)
    middle, variance = _moments(average, weights)
    products = (weights * (average - middle[:, None]) * difference).sum(axis=1)
    spread = variance * (total - 1)
    return np.divide(products, spread, out=np.full_like(products, np.nan), where=spread > 0)


def r_squared(values: Pairs, weights: statistics.Weights) -> Samples:
    """1 − squared errors / squared distances from the mean of the true values: 0 for that mean, below 0 for worse."""
    errors = weights @ (values[:, 1] - values[:, 0]) ** 2
    _, variance = _moments(values[:, 0], weights)
    spread = variance * (weights.sum(axis=1) - 1)
    return 1 - np.divide(errors, spread, out=np.full_like(errors, np.nan), where=spread > 0)


METRICS = {
    "mean_absolute_error": statistics.mean_absolute_error,
    "r_squared": r_squared,
    "bias": bias,
    "lower_limit": lower_limit,
    "upper_limit": upper_limit,
    "slope": slope,
}


def quantity_table(
    quantity: str,
    true: Float[np.ndarray, " studies"],
    predicted: Float[np.ndarray, " studies"],
    training_mean: float,
    patients: Sequence[Any],
    samples: int,
    seed: int,
) -> pd.DataFrame:
    """All METRICS of one quantity with 95 % intervals by patient (COLUMNS); `quantity` names it with its unit.

    chance: what always answering the training mean gives (for a slope: −2, all difference and no prediction).
    Raises ValueError for NaN or unequal lengths.
    """
    if not len(true) == len(predicted) == len(patients):
        raise ValueError(f"Not aligned: {len(true)} true, {len(predicted)} predicted, {len(patients)} patient keys.")
    if not (np.isfinite(true).all() and np.isfinite(predicted).all()):
        raise ValueError(f"{quantity}: true or predicted values hold NaN; leave studies without a value out.")
    pairs, constant = np.stack([true, predicted], axis=1), np.stack([true, np.full(len(true), training_mean)], axis=1)
    rows = []
    for metric, statistic in METRICS.items():
        numbers = statistics.summarise(pairs, patients, statistic, samples, seed)
        rows.append(
            {"quantity": quantity, "metric": metric, **numbers, "chance": statistics.point(constant, statistic)}
        )
    return pd.DataFrame(rows, columns=COLUMNS)
