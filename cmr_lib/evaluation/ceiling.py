"""The best recall that any model can reach where reports are equal: their embeddings are equal too.

Of g studies with the same words, which one a report belongs to is a guess: the right one is among the first k with
chance min(1, k / g) at best, in both directions. Recall below 1 is then no fault of a model.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import hypergeom

from cmr_lib.evaluation import harness, statistics
from cmr_lib.evaluation.material import Material, Settings
from cmr_lib.evaluation.retrieval import chance_at_k, equal_report_groups
from cmr_lib.types import Split

NAME = "ceiling"


def group_sizes(reports: Sequence[str]) -> Int[np.ndarray, " studies"]:
    """How many reports have the words of each one, itself included; capitals and blanks do not count."""
    groups = equal_report_groups(reports)
    return np.bincount(groups)[groups] if len(groups) else np.zeros(0, dtype=int)


def best_hits(sizes: Int[np.ndarray, " studies"], k: int) -> Float[np.ndarray, " studies"]:
    """Chance that the right one of g equal reports is among the first k, all other reports told apart: min(1, k / g).

    Three reports, two of them equal, k = 1: 1/2, 1/2 and 1, so the ceiling of R@1 is 2/3.
    """
    return np.minimum(1.0, k / sizes)


def best_hits_in_gallery(sizes: Int[np.ndarray, " studies"], k: int, gallery: int) -> Float[np.ndarray, " studies"]:
    """The same in random galleries of `gallery` of the n reports, which seldom hold all equal ones.

    Of the n − 1 others, the g − 1 equal ones are drawn hypergeometrically; the mean over all galleries is exact.
    """
    n = len(sizes)
    drawn = min(gallery, n) - 1
    by_size = {}
    for size in np.unique(sizes).tolist():
        others = np.arange(size)
        by_size[size] = float(np.sum(hypergeom.pmf(others, n - 1, size - 1, drawn) * best_hits(others + 1, k)))
    return np.asarray([by_size[size] for size in sizes.tolist()])


def compare(reports: dict[str, Sequence[str]], patients: pd.Series, settings: Settings) -> pd.DataFrame:
    """Ceilings, and the share of reports that have an equal, for each text (by name): rows are test studies."""
    rows: list[dict[str, Any]] = []

    def add(text: str, gallery: str, metric: str, values: Float[np.ndarray, " studies"], chance: float) -> None:
        place = {"target": text, "stratum": gallery, "model": "ceiling", "metric": metric, "chance": chance}
        rows.append(harness.row(place, values[:, None], patients, _mean, settings))

    for text, words in reports.items():
        sizes, n = group_sizes(words), len(words)
        size = min(settings.ceiling.gallery_size, n)
        add(text, f"gallery of {n}", "share_with_an_equal", (sizes > 1).astype(float), float("nan"))
        for k in settings.ceiling.recall_at:
            chance = chance_at_k(np.ones(1, dtype=int), n, k)
            add(text, f"gallery of {n}", f"recall_at_{k}", best_hits(sizes, k), chance)
            if size < n:
                best = best_hits_in_gallery(sizes, k, size)
                add(text, f"gallery of {size}", f"recall_at_{k}", best, min(1.0, k / size))
    return harness.table(NAME, rows)


def _mean(values: Float[np.ndarray, "rows 1"], weights: statistics.Weights) -> Float[np.ndarray, " samples"]:
    return statistics.mean(values[:, 0], weights)


def run(material: Material, settings: Settings) -> pd.DataFrame:
    """The experiment: a tidy table (harness.COLUMNS) over the test studies with a report, as in stage retrieval."""
    test = [row for row in material.rows(Split.TEST).tolist() if material.texts[row]]
    reports = {
        "findings_and_impression": [material.texts[row] for row in test],
        "impression": [material.impressions[row] for row in test],
    }
    return compare(reports, material.studies["patient_key"].iloc[test].reset_index(drop=True), settings)
