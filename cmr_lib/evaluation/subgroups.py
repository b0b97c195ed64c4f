"""Is the model as good for everybody? One number by sex, age band, vendor, field strength and the views at hand.

Each subgroup has its n, its patients and its interval by patient. A subgroup that is too small, or in which the number
has no meaning, keeps its row and says why in `note`. Subgroups are looked at, not tested: many are, and small ones
differ by luck.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cmr_lib.evaluation import statistics

GROUPED_BY = ("sex", "age_band", "vendor", "field_strength_t", "views")
COLUMNS = ["by", "group", "value", "low", "high", "n", "n_patients", "note"]
FEWEST_PATIENTS = 10
UNKNOWN = "unknown"
_KINDS = {"sax": "short axis", "lax": "long axis", "lge": "LGE"}


def _kind(view: str, sequence: str) -> str:
    if sequence == "lge":
        return "lge"
    return "sax" if view == "sax" else "lax" if view.startswith("lax") else ""


def views_present(index: pd.DataFrame) -> pd.Series:
    """What each study of a clip store's index has: `short axis + long axis + LGE`, by study_key."""
    kinds = [_kind(view, sequence) for view, sequence in zip(index["view"], index["sequence"], strict=True)]
    found = pd.DataFrame({"study_key": index["study_key"].to_numpy(), "kind": kinds})
    named = found.groupby("study_key")["kind"].agg(
        lambda held: " + ".join(name for kind, name in _KINDS.items() if kind in set(held)) or "other"
    )
    return named.rename("views")


def _groups(column: pd.Series) -> list[str]:
    """Each study's group as text; what is not known is a group of its own."""
    return [UNKNOWN if pd.isna(value) or str(value).strip() == "" else str(value) for value in column]


def _row(
    values: statistics.Values, patients: list[str], statistic: statistics.Statistic, samples: int, seed: int
) -> dict[str, Any]:
    counts = {"n": len(values), "n_patients": len(set(patients))}
    missing = {"value": np.nan, "low": np.nan, "high": np.nan, **counts}
    if counts["n_patients"] < FEWEST_PATIENTS:
        return missing | {"note": f"{counts['n_patients']} patients; at least {FEWEST_PATIENTS} are wanted."}
    numbers = statistics.summarise(values, patients, statistic, samples, seed)
    if not np.isfinite(numbers["value"]):
        return missing | {"note": f"The number has no meaning here: all {len(values)} studies have the same answer."}
    unsure = "" if np.isfinite(numbers["low"]) else "No interval: most resamples of these patients leave it undefined."
    return numbers | {"note": unsure}


def subgroup_table(
    studies: pd.DataFrame,
    values: statistics.Values,
    statistic: statistics.Statistic,
    samples: int,
    seed: int,
    by: Sequence[str] = GROUPED_BY,
) -> pd.DataFrame:
    """The statistic over all studies and in every subgroup: one row a subgroup (COLUMNS), groups in sorted order.

    studies: patient_key and the columns of `by`; a column that is not there gives one row that says so. values: what
    the statistic reads, a row a study; rows with NaN (the study was not asked) are left out.
    Raises ValueError when the numbers of rows differ.
    """
    if len(studies) != len(values):
        raise ValueError(f"Not aligned: {len(studies)} studies, {len(values)} rows of values.")
    asked = np.isfinite(values.reshape(len(values), int(np.prod(values.shape[1:])))).all(axis=1)
    table, values = studies[asked], values[asked]
    patients = np.asarray(table["patient_key"].astype(str).tolist(), dtype=object)
    rows = [{"by": "all", "group": "all", **_row(values, list(patients), statistic, samples, seed)}]
    for name in by:
        if name not in table.columns:
            note = "The table of studies has no such column."
            rows.append({"by": name, "group": UNKNOWN, "n": 0, "n_patients": 0, "note": note})
            continue
        groups = np.asarray(_groups(table[name]), dtype=object)
        for group in sorted(set(_groups(studies[name]))):  # also those in which no study was asked
            inside = groups == group
            found = _row(values[inside], list(patients[inside]), statistic, samples, seed)
            rows.append({"by": name, "group": group, **found})
    return pd.DataFrame(rows, columns=COLUMNS)
