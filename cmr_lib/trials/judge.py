"""What trials are compared by: five numbers a study, and their means over seeds with intervals by patient.

Each number of a trial is the mean over its seeds; its interval is over patients, and how far the seeds lie apart is
said beside it. A difference is paired: the same studies, the same resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from cmr_lib import labels
from cmr_lib.evaluation import fitting, harness, retrieval, statistics
from cmr_lib.evaluation.material import Settings
from cmr_lib.evaluation.probes import Probe, apply_probe
from cmr_lib.trials.trial import Result
from cmr_lib.types import Split

COLUMNS = [*harness.COLUMNS[:-1], "lowest_seed", "highest_seed", "data"]  # of a table of trials
Columns = Float[np.ndarray, "_ _"]  # a row a study, the columns of a measure
SIGNS = {"image_to_report": 1, "report_to_image": 1, "diagnosis": 1, "lvef_percent": -1, "lge": 1}  # -1: less is better


@dataclass(frozen=True)
class Measure:
    """One number: its statistic over `width` columns of a study, and what a guess scores."""

    target: str
    metric: str
    statistic: statistics.Statistic
    width: int
    chance: float

    def over_seeds(self, values: Columns, weights: statistics.Weights) -> Float[np.ndarray, " samples"]:
        """Mean over seeds, whose columns lie side by side."""
        return np.mean([self.statistic(part, weights) for part in self.by_seed(values)], axis=0)

    def by_seed(self, values: Columns) -> list[np.ndarray]:
        """The columns of each seed."""
        parts = [values[:, start : start + self.width] for start in range(0, values.shape[1], self.width)]
        return [part[:, 0] for part in parts] if self.width == 1 else parts


def measures(studies: pd.DataFrame, k: int, gallery: int) -> list[Measure]:
    """Recall both ways, diagnosis, LVEF and late enhancement; `studies` are those judged, for the chance levels.

    Chance of LVEF is the error of their own mean, which flatters chance a little.
    """
    lvef, classes = studies["lvef"].to_numpy(dtype=float), studies["diagnosis"].nunique()
    constant = float(np.nanmean(np.abs(lvef - np.nanmean(lvef))))
    hits = {"metric": f"recall_at_{k}", "statistic": statistics.mean, "width": 1}
    chance = min(1.0, k / min(gallery, len(studies)))
    return [
        *(Measure(target, chance=chance, **hits) for target in ("image_to_report", "report_to_image")),
        Measure("diagnosis", "balanced_accuracy", statistics.balanced_accuracy, 2, 1 / max(classes, 1)),
        Measure("lvef_percent", "mean_absolute_error", statistics.mean_absolute_error, 2, constant),
        Measure("lge", "auroc", statistics.auroc, 2, 0.5),
    ]


@dataclass(frozen=True)
class Penalties:
    """Of the probes; fixed beforehand, so that the split that judges chooses nothing."""

    strength: float
    ridge: float


def answers(
    result: Result, studies: pd.DataFrame, judged: pd.Index, penalties: Penalties, k: int, gallery: int
) -> dict[str, Columns]:
    """One seed's columns by target for the `judged` studies (by key); NaN where a trial did not see one.

    Probes are fitted on the training studies of the trial. Recall is exact over all random galleries.
    """
    table = studies.set_index("study_key").loc[result.study_keys]
    train = np.flatnonzero((table["split"] == Split.TRAIN.value).to_numpy())
    rows = places_of(result, judged)
    seen = rows[rows >= 0]
    image, text = (part.astype(float) for part in (result.image, result.text))
    found = recalls(image, text, rows, k, gallery)
    for name, pair in _probed(image, table, train, seen, penalties).items():
        found[name] = np.full((len(judged), 2), np.nan)
        found[name][rows >= 0] = pair
    return found


def places_of(result: Result, judged: pd.Index) -> Int[np.ndarray, " judged"]:
    """The row of each judged study in the result; -1 where the trial did not see it."""
    return pd.Index(result.study_keys).get_indexer(judged)


def recalls(
    image: Columns, text: Columns, rows: Int[np.ndarray, " judged"], k: int, gallery: int
) -> dict[str, Columns]:
    """Chance of each study that its own is among the first k of a random gallery, both ways; NaN without a report."""
    asked = (rows >= 0) & np.isfinite(text[rows]).all(axis=1)
    found = {}
    for name, queries, items in (("image_to_report", image, text), ("report_to_image", text, image)):
        places = retrieval.embedding_places(queries[rows[asked]], items[rows[asked]])
        found[name] = np.full((len(rows), 1), np.nan)
        found[name][asked, 0] = places.hits_in_random_gallery(k, gallery)
    return found


def _probed(
    image: Columns, table: pd.DataFrame, train: np.ndarray, rows: np.ndarray, penalties: Penalties
) -> dict[str, Columns]:
    """True and answered value of the judged rows, by target."""
    classes = [code.value for code in labels.Diagnosis]
    codes = table["diagnosis"].map(classes.index).to_numpy(dtype=int)
    lge, lvef = table["lge"].to_numpy(dtype=int), table["lvef"].to_numpy(dtype=float)
    diagnosis = fitting.fit_logistic(image[train], codes[train], classes, penalties.strength)
    scar = fitting.fit_logistic(image[train], lge[train], ["absent", "present"], penalties.strength)
    amount = fitting.fit_ridge(image[train], lvef[train], penalties.ridge, "lvef_percent")
    guess = np.asarray([classes.index(name) for name in diagnosis.outputs])

    def asked(probe: Probe) -> Columns:
        return apply_probe(image[rows], probe)

    pairs = {
        "diagnosis": (codes, guess[asked(diagnosis).argmax(axis=1)]),
        "lvef_percent": (lvef, asked(amount)[:, 0]),
        "lge": (lge, asked(scar)[:, 1]),
    }
    return {name: np.stack([true[rows], answer], axis=1).astype(float) for name, (true, answer) in pairs.items()}


def side_by_side(seeds: Sequence[Mapping[str, Columns]]) -> dict[str, Columns]:
    """Columns of all seeds, by target."""
    return {target: np.concatenate([found[target] for found in seeds], axis=1) for target in seeds[0]}


# --- rows of the table -------------------------------------------------------------------------------------------
def number(
    place: dict[str, Any], measure: Measure, values: Columns, patients: pd.Series, how: Settings
) -> dict[str, Any]:
    """A number with its interval over patients, and its lowest and highest seed."""
    found = {**place, "target": measure.target, "metric": measure.metric, "chance": measure.chance}
    known = values[np.isfinite(values).all(axis=1)]
    seeds = [statistics.point(part, measure.statistic) for part in measure.by_seed(known)]
    row = harness.row(found, values, patients, measure.over_seeds, how)
    return row | {"lowest_seed": min(seeds), "highest_seed": max(seeds)}


def difference(
    place: dict[str, Any], measure: Measure, pair: tuple[Columns, Columns], patients: pd.Series, how: Settings
) -> dict[str, Any]:
    """First minus second, paired by study and by seed."""
    found = {**place, "target": measure.target, "metric": measure.metric}
    known = np.isfinite(pair[0]).all(axis=1) & np.isfinite(pair[1]).all(axis=1)
    each = [[statistics.point(part, measure.statistic) for part in measure.by_seed(one[known])] for one in pair]
    gaps = [first - second for first, second in zip(*each, strict=True)]
    row = harness.difference_row(found, *pair, patients, measure.over_seeds, how)
    return row | {"lowest_seed": min(gaps), "highest_seed": max(gaps)}
