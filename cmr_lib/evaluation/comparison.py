"""Is one model better than another on the same studies? Differences by finding, p-values, and Holm's correction.

The interval of a difference is the paired bootstrap of `statistics`. The p-value is of a permutation test: under the
null hypothesis the two models' answers may be exchanged, patient by patient; p is the share of exchanges with a
difference at least as large, either way. Where several findings are tested, p is corrected by Holm's step-down method
(Holm 1979, Scand J Stat 6:65), which needs no independence between the findings.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import rankdata
from statsmodels.stats.multitest import multipletests

from cmr_lib import project
from cmr_lib.evaluation import statistics

COLUMNS = ["finding", "value", "low", "high", "p", "p_holm", "n", "n_patients", "note"]
BLOCK = 250  # exchanges held in memory at once
ROUNDING = 1e-12  # differences closer than this are equal

Scores = Float[np.ndarray, "studies findings"]


def holm(p_values: Sequence[float] | np.ndarray) -> Float[np.ndarray, " tests"]:
    """Adjusted p-values in the order given: below 0.05 where a family-wise error of 5 % allows to reject.

    NaN (no test was possible) stays NaN and does not count as a test. Raises ValueError for a p outside [0, 1].
    """
    p = np.asarray(p_values, dtype=float)
    tested = ~np.isnan(p)
    if ((p[tested] < 0) | (p[tested] > 1)).any():
        raise ValueError("A p-value is outside [0, 1].")
    adjusted = np.full(len(p), np.nan)
    if tested.any():
        adjusted[tested] = multipletests(p[tested], method="holm")[1]
    return adjusted


def exchange_test(
    first: statistics.Values,
    second: statistics.Values,
    patients: Iterable[Any],
    statistic: statistics.Statistic,
    samples: int,
    seed: int,
) -> float:
    """Two-sided p-value of the difference of a statistic, by exchanging the two answers of random patients.

    first, second: rows of the same studies. The smallest p is 1 / (samples + 1); NaN where the difference is undefined.
    Raises ValueError when the numbers of rows differ.
    """
    _, codes = np.unique(np.asarray([str(patient) for patient in patients], dtype=str), return_inverse=True)
    if not len(first) == len(second) == len(codes):
        raise ValueError(f"Not aligned: {len(first)} and {len(second)} rows, {len(codes)} patient keys.")
    if not len(codes):
        return float("nan")
    both = np.concatenate([first, second])
    stay = np.concatenate([np.ones((1, len(codes))), np.zeros((1, len(codes)))], axis=1)
    observed = abs(statistic(both, stay)[0] - statistic(both, 1 - stay)[0])
    generator, as_large = project.rng(seed, "exchange"), 0
    for start in range(0, samples, BLOCK):
        kept = generator.integers(0, 2, size=(min(BLOCK, samples - start), codes.max() + 1))[:, codes].astype(float)
        weights = np.concatenate([kept, 1 - kept], axis=1)  # a row's answer is taken from one model or the other
        gap = np.abs(statistic(both, weights) - statistic(both, 1 - weights))
        as_large += int((gap >= observed - ROUNDING).sum())
    return float("nan") if np.isnan(observed) else (1 + as_large) / (1 + samples)


def _row(
    name: str, label: np.ndarray, one: np.ndarray, other: np.ndarray, patients: list[str], samples: int, seed: int
) -> dict[str, Any]:
    """One finding: AUROC of `one` minus that of `other`, on the studies that both models answered."""
    known = np.isfinite(label) & np.isfinite(one) & np.isfinite(other)
    owners, truth = [patients[row] for row in np.flatnonzero(known)], label[known]
    counts = {"finding": name, "n": int(known.sum()), "n_patients": len(set(owners))}
    if len(np.unique(truth)) < 2:
        note = f"All {len(truth)} studies have the same answer: nothing to compare."
        return counts | dict.fromkeys(("value", "low", "high", "p"), np.nan) | {"note": note}
    # AUROC asks for order only; ranks put two models on one scale, so that their answers may be exchanged.
    pairs = [np.stack([truth, rankdata(score[known])], axis=1) for score in (one, other)]
    value, low, high = statistics.paired_difference(*pairs, owners, statistics.auroc, samples, seed)
    p = exchange_test(*pairs, owners, statistics.auroc, samples, seed)
    return counts | {"value": value, "low": low, "high": high, "p": p, "note": ""}


def compare_findings(
    truth: pd.DataFrame, first: Scores, second: Scores, patients: Sequence[Any] | pd.Series, samples: int, seed: int
) -> pd.DataFrame:
    """AUROC of the first model minus that of the second, a row a finding (COLUMNS), p corrected over all rows.

    truth: a 0/1 column a finding, NaN where unknown; rows as the scores. Raises ValueError when shapes differ.
    """
    if not first.shape == second.shape == truth.shape or len(patients) != len(truth):
        raise ValueError(
            f"Not aligned: scores {first.shape} and {second.shape}, truth {truth.shape}, {len(patients)} patient keys."
        )
    owners, labels = [str(patient) for patient in patients], truth.to_numpy(dtype=float)
    rows = [
        _row(str(name), labels[:, column], first[:, column], second[:, column], owners, samples, seed)
        for column, name in enumerate(truth.columns)
    ]
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "p_holm"])
    return table.assign(p_holm=holm(table["p"].to_numpy(dtype=float)))[COLUMNS]
