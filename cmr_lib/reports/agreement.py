"""How well the findings read from reports agree with a structured truth: F1 of each finding, and their mean.

F1 = 2·right / (true + said) (van Rijsbergen 1979); intervals by bootstrap over patients (2.5 and 97.5 %); chance is
that of saying "present" of every report. A finding that no study has and no report names has no F1; the mean ("macro")
is over the findings that at least one study has.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from cmr_lib import labels, project
from cmr_lib.reports.assertion import Status

SAMPLES = 1000
POSITIVE = frozenset({Status.PRESENT.value, Status.UNCERTAIN.value})
COLUMNS = ("finding", "n", "true", "said", "right", "precision", "recall", "f1", "low", "high", "chance")


def is_said(statuses: pd.DataFrame) -> Bool[np.ndarray, "reports findings"]:
    """Whether each finding is stated to be there, or may be, from the words for its status."""
    return statuses.isin(POSITIVE).to_numpy(bool)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part over whole, NaN where the whole is nothing."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def _f1(right: np.ndarray, true: np.ndarray, said: np.ndarray) -> np.ndarray:
    return _ratio(2.0 * right, true + said)


def _with_mean(scores: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Scores (… findings) with, last, the mean over the findings that are `there`; NaN counts for nothing in it."""
    known = there & ~np.isnan(scores)
    mean = _ratio(np.where(known, scores, 0).sum(axis=-1, keepdims=True), known.sum(axis=-1, keepdims=True))
    return np.concatenate([scores, mean], axis=-1)


def _bounds(draws: np.ndarray) -> np.ndarray:
    """2.5 and 97.5 % of each column over the draws in which it is a number; NaN for a column that never is."""
    columns = [draw[~np.isnan(draw)] for draw in draws.T]
    return np.array([np.percentile(draw, [2.5, 97.5]) if draw.size else (np.nan, np.nan) for draw in columns]).T


def _intervals(
    counts: Float[np.ndarray, "three reports findings"], patients: Sequence[str], seed: int
) -> Float[np.ndarray, "two findings_and_mean"]:
    """Lower and upper bound of each finding's F1 and, last, of their mean."""
    codes, names = pd.factorize(np.asarray(patients))
    random = project.rng(seed, "agreement")
    picked = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=SAMPLES).astype(float)
    scores = _f1(*(picked[:, codes] @ part for part in counts))
    return _bounds(_with_mean(scores, counts[1].any(axis=0)))


def agreement(
    truth: Bool[np.ndarray, "reports findings"],
    said: Bool[np.ndarray, "reports findings"],
    patients: Sequence[str],
    seed: int = 0,
) -> pd.DataFrame:
    """One row a finding of `labels.FINDINGS`, then "macro": COLUMNS. An empty table where there is no report."""
    if not len(truth):
        return pd.DataFrame(columns=list(COLUMNS))
    right, true, stated = (part.sum(axis=0) for part in (truth & said, truth, said))
    low, high = _intervals(np.stack([truth & said, truth, said]).astype(float), patients, seed)
    scores = {
        "precision": _ratio(right, stated),
        "recall": _ratio(right, true),
        "f1": _f1(right, true, stated),
        "chance": _f1(true, true, np.full_like(true, len(truth))),
    }
    rows = {
        "finding": [*labels.FINDINGS, "macro"],
        "n": len(truth),
        "true": [*true, true.sum()],
        "said": [*stated, stated.sum()],
        "right": [*right, right.sum()],
        "low": low,
        "high": high,
        **{name: _with_mean(values, true > 0) for name, values in scores.items()},
    }
    return pd.DataFrame(rows)[list(COLUMNS)]


def estimates(table: pd.DataFrame) -> dict[str, dict[str, float | int]]:
    """For metrics.json: F1 by finding and "macro", each with n, interval and chance; those that have one."""
    return {
        str(row.finding): project.estimate(row.f1, n=row.n, low=row.low, high=row.high, chance=row.chance)
        for row in table.itertuples(index=False)
        if not np.isnan(row.f1)
    }
