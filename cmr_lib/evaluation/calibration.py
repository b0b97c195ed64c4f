"""Does "80 % sure" come true in 80 of 100 studies? Reliability, expected calibration error, and a temperature.

Probabilities are put into `bins` equal parts of [0, 1]. The expected calibration error (ECE) is the mean over studies
of |share that was right − mean probability| of their bin: 0 is perfect; it is never quite 0 in a small test set, and
depends on the bins. A temperature T divides all logits (Guo 2017, arXiv 1706.04599): it is fitted on validation,
changes no order within a study, and is judged on test.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from cmr_lib.evaluation import statistics

BINS = 10
COLUMNS = ["low_edge", "high_edge", "probability", "share", "low", "high", "n"]
LEAST = 1e-12  # a probability of 0 has no logarithm
HOTTEST = 100.0

Judged = Float[np.ndarray, "studies 2"]  # right or not (1, 0), and the probability that was given for it
Probabilities = Float[np.ndarray, "studies classes"]


def _checked(judged: Judged) -> Judged:
    if not np.isfinite(judged).all():
        raise ValueError("Calibration: labels or probabilities hold NaN; leave studies without an answer out.")
    if ((judged[:, 1] < 0) | (judged[:, 1] > 1)).any():
        raise ValueError("Calibration wants probabilities in [0, 1], got scores outside.")
    return judged


def _bins(probability: Float[np.ndarray, " studies"], bins: int) -> Int[np.ndarray, " studies"]:
    """Number of each probability's bin; an inner edge belongs to the bin below it, as in scikit-learn."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probability)


def top_class(probabilities: Probabilities, codes: Int[np.ndarray, " studies"]) -> Judged:
    """For several classes: whether the most probable one is right, and how sure it was said to be."""
    if len(probabilities) != len(codes):
        raise ValueError(f"Not aligned: {len(probabilities)} rows of probabilities, {len(codes)} classes.")
    right = (probabilities.argmax(axis=1) == codes).astype(float)
    return np.stack([right, probabilities.max(axis=1).astype(float)], axis=1)


def reliability(judged: Judged, bins: int = BINS) -> pd.DataFrame:
    """A row a bin (COLUMNS): mean probability, share that was right with Wilson's 95 % interval, and n.

    Empty bins keep their row, with n = 0 and NaN. Wilson's interval takes studies for independent: draw it, and judge
    by `ece` with its bootstrap by patient.
    """
    numbers, edges = _bins(_checked(judged)[:, 1], bins), np.linspace(0, 1, bins + 1)
    rows = []
    for number in range(bins):
        inside = judged[numbers == number]
        means = inside.mean(axis=0) if len(inside) else np.full(2, np.nan)
        low, high = statistics.wilson(float(inside[:, 0].sum()), len(inside))
        rows.append((edges[number], edges[number + 1], means[1], means[0], low, high, len(inside)))
    return pd.DataFrame(rows, columns=COLUMNS)


def ece(bins: int = BINS) -> Callable[[Judged, statistics.Weights], Float[np.ndarray, " samples"]]:
    """Expected calibration error as a statistic for `statistics.summarise`; columns: right or not, probability."""

    def statistic(values: Judged, weights: statistics.Weights) -> Float[np.ndarray, " samples"]:
        belongs = np.eye(bins)[_bins(_checked(values)[:, 1], bins)]
        # Weight of a bin × |its mean gap| is |its summed gap|.
        gaps = np.abs(weights @ (belongs * (values[:, :1] - values[:, 1:]))).sum(axis=1)
        total = weights.sum(axis=1)
        return np.divide(gaps, total, out=np.full_like(gaps, np.nan), where=total > 0)

    return statistic


def brier(values: Judged, weights: statistics.Weights) -> Float[np.ndarray, " samples"]:
    """Mean squared difference of probability and label (Brier 1950); columns as in `ece`."""
    return statistics.mean((values[:, 1] - values[:, 0]) ** 2, weights)


# --- temperature ------------------------------------------------------------------------------------------------
def tempered(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Probabilities with all logits divided by the temperature; rows sum to 1, their order stays."""
    return softmax(np.log(np.maximum(probabilities, LEAST)) / temperature, axis=1)


def negative_log_likelihood(
    probabilities: Probabilities, codes: Int[np.ndarray, " studies"], temperature: float = 1.0
) -> float:
    """Mean of −log(probability of the true class) at a temperature."""
    logs = log_softmax(np.log(np.maximum(probabilities, LEAST)) / temperature, axis=1)
    return float(-logs[np.arange(len(codes)), codes].mean())


def fit_temperature(probabilities: Probabilities, codes: Int[np.ndarray, " studies"]) -> float:
    """The temperature, in [1/100, 100], with the least negative log-likelihood. Give it validation studies only.

    Raises ValueError without studies, for NaN, or where the numbers of rows differ.
    """
    if not len(codes) or len(codes) != len(probabilities) or not np.isfinite(probabilities).all():
        raise ValueError(
            f"A temperature wants finite probabilities of at least one validation study; got {len(probabilities)} rows "
            f"and {len(codes)} classes."
        )
    edge = np.log(HOTTEST)
    found = minimize_scalar(
        lambda logarithm: negative_log_likelihood(probabilities, codes, float(np.exp(logarithm))),
        bounds=(-edge, edge),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))
