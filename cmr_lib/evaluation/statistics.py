"""Numbers with intervals that respect patients.

Studies of one patient resemble each other, so a bootstrap draws patients, not rows: a drawn patient brings all of
their rows. A resample is a row of weights (how often each row was drawn), and a statistic takes (values, weights) and
answers for all resamples at once. Intervals are percentile intervals (Efron & Tibshirani 1993, chapter 13); a share of
successes without a spread gets Wilson's interval (Wilson 1927, JASA 22:209).
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num
from statsmodels.stats.proportion import proportion_confint

from cmr_lib import project

Values = Num[np.ndarray, "rows *columns"]
Others = Num[np.ndarray, "others *columns"]  # of other patients
Weights = Float[np.ndarray, "samples rows"]
Statistic = Callable[[Values, Weights], Float[np.ndarray, " samples"]]
BLOCK = 250  # resamples held in memory at once
KEPT_WEIGHTS = 2_000_000  # numbers (8 bytes each) of a set of resamples that is kept


# --- statistics: (values, weights) -> one number a resample -----------------------------------------------------
def mean(values: Num[np.ndarray, " rows"], weights: Weights) -> Float[np.ndarray, " samples"]:
    """Weighted mean."""
    return _ratio(weights @ values.astype(float), weights.sum(axis=1))


def median(values: Num[np.ndarray, " rows"], weights: Weights) -> Float[np.ndarray, " samples"]:
    """Weighted median: with weights of one, `numpy.median`."""
    order = np.argsort(values, kind="stable")
    sorted_values, cumulated = values[order].astype(float), np.cumsum(weights[:, order], axis=1)
    half = cumulated[:, -1:] / 2
    lower, upper = np.argmax(cumulated >= half, axis=1), np.argmax(cumulated > half, axis=1)
    return (sorted_values[lower] + sorted_values[upper]) / 2


def mean_absolute_error(values: Float[np.ndarray, "rows 2"], weights: Weights) -> Float[np.ndarray, " samples"]:
    """Mean of |predicted − true|; columns: true, predicted."""
    return mean(np.abs(values[:, 1] - values[:, 0]), weights)


def pearson(values: Float[np.ndarray, "rows 2"], weights: Weights) -> Float[np.ndarray, " samples"]:
    """Pearson correlation of the two columns; NaN where one of them does not vary."""
    total = weights.sum(axis=1)
    centred = values - values.mean(axis=0)  # for precision only: the weighted means are taken off below
    first, second = _ratio(weights @ centred[:, 0], total), _ratio(weights @ centred[:, 1], total)
    covariance = _ratio(weights @ (centred[:, 0] * centred[:, 1]), total) - first * second
    spread = [_ratio(weights @ centred[:, i] ** 2, total) - m**2 for i, m in enumerate((first, second))]
    return _ratio(covariance, np.sqrt(np.maximum(spread[0], 0) * np.maximum(spread[1], 0)))


def balanced_accuracy(values: Num[np.ndarray, "rows 2"], weights: Weights) -> Float[np.ndarray, " samples"]:
    """Mean over the true classes present of the share recognised; columns: codes of true and predicted class."""
    hit = (values[:, 0] == values[:, 1]).astype(float)
    recalls = []
    for code in np.unique(values[:, 0]):
        belongs = (values[:, 0] == code).astype(float)
        recalls.append(_ratio(weights @ (belongs * hit), weights @ belongs))
    table = np.stack(recalls)
    present = np.isfinite(table)
    return _ratio(np.where(present, table, 0.0).sum(axis=0), present.sum(axis=0).astype(float))


def auroc(values: Float[np.ndarray, "rows 2"], weights: Weights) -> Float[np.ndarray, " samples"]:
    """Chance that a positive scores above a negative, ties counted half; columns: label (0 or 1), score.

    NaN where a resample holds one class only. Source: Hanley & McNeil 1982, Radiology 143:29.
    """
    order = np.argsort(values[:, 1], kind="stable")
    positive, weights = values[order, 0] == 1, weights[:, order]
    _, starts, group = np.unique(values[order, 1], return_index=True, return_inverse=True)
    negatives = np.add.reduceat(weights * ~positive, starts, axis=1)  # weight of the negatives at each distinct score
    below = np.cumsum(negatives, axis=1) - negatives / 2
    wins = (weights * positive * below[:, group]).sum(axis=1)
    return _ratio(wins, (weights @ positive.astype(float)) * (weights @ (~positive).astype(float)))


def macro_auroc(values: Float[np.ndarray, "rows columns"], weights: Weights) -> Float[np.ndarray, " samples"]:
    """Mean over classes of the AUROC of each against the rest; columns: code of the class, then a score a class.

    A class that a resample does not hold is left out of that resample's mean.
    """
    true = values[:, 0]
    pairs = [
        np.stack([(true == code).astype(float), values[:, 1 + code]], axis=1) for code in range(values.shape[1] - 1)
    ]
    table = np.stack([auroc(pair, weights) for pair in pairs])
    known = np.isfinite(table)
    return _ratio(np.where(known, table, 0.0).sum(axis=0), known.sum(axis=0).astype(float))


def over_pairs(statistic: Statistic) -> Statistic:
    """A statistic of two columns as its mean over pairs of columns side by side: findings, or draws, in turn."""

    def mean(values: Float[np.ndarray, "rows columns"], weights: Weights) -> Float[np.ndarray, " samples"]:
        pairs = [values[:, column : column + 2] for column in range(0, values.shape[1], 2)]
        return np.mean([statistic(pair, weights) for pair in pairs], axis=0)

    return mean


def mean_of_all(values: Float[np.ndarray, "rows draws"], weights: Weights) -> Float[np.ndarray, " samples"]:
    """Weighted mean of rows that hold a number a draw."""
    return mean(values.mean(axis=1), weights)


def _ratio(top: Float[np.ndarray, " samples"], bottom: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " samples"]:
    """`top / bottom`, NaN where the bottom is zero."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


# --- resampling -------------------------------------------------------------------------------------------------
def _codes(patients: Iterable[Any]) -> tuple[int, Int[np.ndarray, " rows"]]:
    names, codes = np.unique(np.asarray([str(patient) for patient in patients], dtype=str), return_inverse=True)
    return len(names), codes


def _resamples(patients: Iterable[Any], samples: int, seed: int) -> Iterable[Weights]:
    """Blocks of weights: how often each row is in each resample of patients. The last few sets are kept."""
    n, codes = _codes(patients)
    small = samples * len(codes) <= KEPT_WEIGHTS
    return _kept(n, codes.tobytes(), samples, seed) if small else _drawn(n, codes, samples, seed)


@lru_cache(maxsize=4)
def _kept(n: int, codes: bytes, samples: int, seed: int) -> tuple[Weights, ...]:
    """`_drawn`, made once for the many numbers of one table."""
    blocks = tuple(_drawn(n, np.frombuffer(codes, dtype=np.intp), samples, seed))
    for block in blocks:
        block.flags.writeable = False
    return blocks


def _drawn(n: int, codes: Int[np.ndarray, " rows"], samples: int, seed: int) -> Iterator[Weights]:
    generator = project.rng(seed, "bootstrap")
    for start in range(0, samples, BLOCK):
        size = min(BLOCK, samples - start)
        drawn = generator.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        yield counts[:, codes].astype(float)


def interval(draws: Float[np.ndarray, " samples"], level: float = 0.95) -> tuple[float, float]:
    """Percentile interval; (NaN, NaN) where most draws are undefined: an interval would mislead."""
    defined = draws[np.isfinite(draws)]
    if 2 * len(defined) < len(draws) or not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def weights_of(patients: Iterable[Any], samples: int, seed: int) -> Weights:
    """All resamples at once, for a statistic that `bootstrap_by_patient` cannot ask block by block."""
    return np.concatenate(list(_resamples(patients, samples, seed)))


def independent_difference(
    first: Values,
    first_patients: Iterable[Any],
    second: Others,
    second_patients: Iterable[Any],
    statistic: Statistic,
    samples: int,
    seed: int,
) -> tuple[float, float, float]:
    """Statistic of `first` minus that of `second`, of other patients, and its 95 % interval: each is resampled."""
    drawn = [
        statistic(values, weights_of(patients, samples, seed + place)) if len(values) else np.full(samples, np.nan)
        for place, (values, patients) in enumerate(((first, first_patients), (second, second_patients)))
    ]
    return point(first, statistic) - point(second, statistic), *interval(drawn[0] - drawn[1])


def point(values: Values, statistic: Statistic) -> float:
    """The statistic of the rows as they are; NaN without rows."""
    return float(statistic(values, np.ones((1, len(values))))[0]) if len(values) else float("nan")


def bootstrap_by_patient(
    values: Values, patients: Iterable[Any], statistic: Statistic, samples: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval (low, high) of `statistic` over resamples of patients.

    Resamples in which the statistic is undefined (one class only) are left out; (NaN, NaN) when that is more than half
    of them, or when there are fewer than two patients. The same seed and patients give the same resamples, whatever
    the statistic. Raises ValueError when rows and patients differ in number.
    """
    patients = list(patients)
    if len(patients) != len(values):
        raise ValueError(f"{len(values)} rows but {len(patients)} patient keys.")
    if len(set(patients)) < 2:
        return float("nan"), float("nan")
    draws = [statistic(values, weights) for weights in _resamples(patients, samples, seed)]
    return interval(np.concatenate(draws), level)


def paired_difference(
    first: Values, second: Values, patients: Iterable[Any], statistic: Statistic, samples: int, seed: int
) -> tuple[float, float, float]:
    """Statistic of `first` minus statistic of `second` on the same rows, and its 95 % interval by patient.

    Both are computed on the same resamples, so what the two share cancels out.
    """
    width = int(np.prod(first.shape[1:]))
    joined = np.concatenate([part.reshape(len(part), width) for part in (first, second)], axis=1).astype(float)

    def difference(values: Values, weights: Weights) -> Float[np.ndarray, " samples"]:
        left, right = values[:, :width], values[:, width:]
        if first.ndim == 1:
            left, right = left[:, 0], right[:, 0]
        return statistic(left, weights) - statistic(right, weights)

    low, high = bootstrap_by_patient(joined, patients, difference, samples, seed)
    return point(joined, difference), low, high


def wilson(successes: int | float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a share `successes / n`; (NaN, NaN) for n = 0."""
    if n == 0:
        return float("nan"), float("nan")
    low, high = proportion_confint(successes, n, alpha=1 - level, method="wilson")
    return (float(low) if successes > 0 else 0.0), (float(high) if successes < n else 1.0)  # exact at the ends


def summarise(
    values: Values, patients: Iterable[Any], statistic: Statistic, samples: int, seed: int, *, is_share: bool = False
) -> dict[str, float | int]:
    """One row of a results table: value, low, high (95 % by patient), n rows, n patients.

    `is_share`: the values are successes in [0, 1]. Where all are misses (or all hits) resampling shows no spread, and
    Wilson's interval over patients is given instead.
    """
    patients = list(patients)
    n_patients = len(set(patients))
    value = point(values, statistic)
    if is_share and value in (0.0, 1.0):
        low, high = wilson(value * n_patients, n_patients)
    else:
        low, high = bootstrap_by_patient(values, patients, statistic, samples, seed)
    return {"value": value, "low": low, "high": high, "n": len(values), "n_patients": n_patients}
