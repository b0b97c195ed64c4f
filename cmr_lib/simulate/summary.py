"""The hospital in numbers, for metrics.json: who came, what the export held, and what the checks found."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from cmr_lib import project


def counts(truth: pd.DataFrame, contents: pd.DataFrame) -> dict[str, Any]:
    """Who came and with what, from the truth table, and how many files end how, from the table of contents."""
    n = len(truth)
    return {
        "studies": n,
        "patients": truth["patient_id"].nunique(),
        "diagnoses": truth["diagnosis"].value_counts().to_dict(),
        "vendors": truth["vendor"].value_counts().to_dict(),
        "lvef_mean": project.estimate(truth["lvef"].mean(), n=n),
        "lvef_standard_deviation": project.estimate(truth["lvef"].std(), n=n),
        "without_report": int((truth["has_report"] == 0).sum()),
        "without_images": int((truth["has_images"] == 0).sum()),
        "outcomes": contents.groupby("outcome")["files"].sum().to_dict(),
    }


def size(errors: pd.DataFrame) -> pd.DataFrame:
    """Mean and largest size of each column of `checks.check_volumes`; rows mean and max."""
    return errors.drop(columns="patient").abs().agg(["mean", "max"])


def checked(errors: pd.DataFrame, agreement: Sequence[float]) -> dict[str, Any]:
    """What `checks.check_volumes` and the correlations of `checks.crossing` say, with their n."""
    sizes, n = size(errors), {"n": len(errors)}
    return {
        "crossing_correlation": {
            "mean": sum(agreement) / len(agreement),
            "lowest": min(agreement),
            "n": len(agreement),
        },
        "disc_summation": {name: sizes[name].to_dict() | n for name in sizes if name != "muscle_percent"},
        "muscle_volume_percent": sizes["muscle_percent"].to_dict() | n,
    }
