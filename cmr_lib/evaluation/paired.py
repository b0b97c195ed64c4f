"""Tables of scores by study into rows with intervals: every group's mean, and differences on the same studies.

A table of scores has a row a study and group: the columns that name the group, `study` (row number of the patient), and
the score. Studies whose score is NaN are left out; a difference takes those that both have.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cmr_lib.evaluation import statistics


def estimates(
    table: pd.DataFrame, by: Sequence[str], score: str, patients: Sequence[str], samples: int, seed: int
) -> pd.DataFrame:
    """A score's mean in each group, with its 95 % interval over patients: `by`, value, low, high, n, n_patients."""
    owners, rows = np.asarray(patients), []
    for names, part in table.dropna(subset=[score]).groupby(list(by), sort=False, dropna=False):
        values, whose = part[score].to_numpy(dtype=float), owners[part["study"].to_numpy(dtype=int)]
        found = statistics.summarise(values, whose.tolist(), statistics.mean, samples, seed)
        rows.append(dict(zip(by, names, strict=True)) | found)
    return pd.DataFrame(rows, columns=[*by, "value", "low", "high", "n", "n_patients"])


def differences(
    table: pd.DataFrame, of: str, pairs: Mapping[str, str], score: str, patients: Sequence[str], samples: int, seed: int
) -> pd.DataFrame:
    """Mean of (one − its control) over studies that both have: `of`, control, value, low, high, n, n_patients.

    pairs: value of column `of` → that of its control. A pair with no study in common has n = 0 and NaN.
    """
    owners, rows = np.asarray(patients), []
    wide = table.pivot_table(index="study", columns=of, values=score)
    for name, control in pairs.items():
        both = wide.reindex(columns=[name, control]).dropna()
        whose = owners[both.index.to_numpy(dtype=int)].tolist()
        first, second = (both[column].to_numpy(dtype=float) for column in (name, control))
        value, low, high = statistics.paired_difference(first, second, whose, statistics.mean, samples, seed)
        found = {"value": value, "low": low, "high": high, "n": len(both), "n_patients": len(set(whose))}
        rows.append({of: name, "control": control, **found})
    return pd.DataFrame(rows, columns=[of, "control", "value", "low", "high", "n", "n_patients"])


def every_estimate(table: pd.DataFrame, by: Sequence[str], scores: Sequence[str], **draws: Any) -> pd.DataFrame:
    """`estimates` of several scores below each other, with a column `measure` that names the score."""
    return pd.concat(
        [estimates(table, by, score, **draws).assign(measure=score) for score in scores], ignore_index=True
    )


def every_difference(
    table: pd.DataFrame,
    by: str,
    of: str,
    rivals: Mapping[str, Mapping[str, str]],
    scores: Sequence[str],
    **draws: Any,
) -> pd.DataFrame:
    """`differences` in every group of column `by`, from every rival and in every score, as long as n is not 0.

    rivals: name of a rival → pairs. Columns: those of `differences`, and `by`, measure, rival.
    """
    parts = [
        differences(part, of, pairs, score, **draws).assign(**{by: group, "measure": score, "rival": rival})
        for rival, pairs in rivals.items()
        for group, part in table.groupby(by, sort=False)
        for score in scores
    ]
    found = pd.concat(parts, ignore_index=True) if parts else _no_differences(of, by)
    return found[found["n"] > 0].reset_index(drop=True)


def _no_differences(of: str, by: str) -> pd.DataFrame:
    return pd.DataFrame(columns=[of, "control", "value", "low", "high", "n", "n_patients", by, "measure", "rival"])
