"""One harness for every input of a prediction: the same studies, splits, probes, intervals and table.

An experiment (experiments/dvc.yaml) compares inputs: features of the studies, one row each, NaN where a study lacks
them. Every input is read by the same linear probes (evaluation.fitting: fitted on train, strength chosen on
validation), so that a difference between two numbers is a difference between inputs. Results are tidy: one row a
number (COLUMNS), a difference paired on the same test studies and with a 95 % interval by patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from cmr_lib import labels, params
from cmr_lib.evaluation import fitting, held_out, statistics
from cmr_lib.evaluation.material import Settings
from cmr_lib.evaluation.probes import Probe, apply_probe
from cmr_lib.types import Split

PHANTOM = "synthetic phantom"
COLUMNS = [
    *("experiment", "target", "stratum", "model", "metric", "value", "low", "high", "n", "n_patients", "chance"),
    "data",
]
MINUS = "_minus_"  # of a model's name: its number is a difference
FEWEST_CASES = 10  # test studies with, and without, a finding, for it to count in the mean over findings

Features = Float[np.ndarray, "studies features"]
Answers = Float[np.ndarray, "studies 2"]  # true and answered; NaN where a study was not asked
Statistic = statistics.Statistic
mean_auroc = statistics.over_pairs(statistics.auroc)  # over findings; columns: label and score of each in turn


# --- what is predicted -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Target:
    """One thing to predict: class numbers, 0/1, or a quantity; NaN where a study has no place in the task.

    chance: what needs no input (a random class, a coin, the training mean's error).
    """

    name: str
    stratum: str
    kind: Literal["classes", "finding", "quantity"]
    true: Float[np.ndarray, " studies"]
    outputs: tuple[str, ...]
    chance: float

    @property
    def metric(self) -> str:
        """Name of the number that judges it."""
        return {"classes": "balanced_accuracy", "finding": "auroc", "quantity": "mean_absolute_error"}[self.kind]

    @property
    def statistic(self) -> Statistic:
        """The number that judges it."""
        return getattr(statistics, self.metric)


def diagnosis_target(studies: pd.DataFrame, stratum: str, classes: Sequence[str]) -> Target:
    """Which of the classes; studies of others have no place."""
    place = {str(name): code for code, name in enumerate(classes)}
    true = studies["diagnosis"].map(place).to_numpy(dtype=float)
    return Target("diagnosis", stratum, "classes", true, tuple(place), 1 / len(place))


def targets(studies: pd.DataFrame) -> list[Target]:
    """Diagnosis (the five classes of ACDC, and all that the training split has), LVEF, and every finding of the table.

    A finding of `labels` that the table of studies does not have is left out.
    """
    return [
        diagnosis_target(studies, "five classes", [code.value for code in labels.FIVE_CLASSES]),
        every_diagnosis_target(studies),
        lvef_target(studies),
        *(finding_target(studies, name) for name in labels.FINDINGS if name in studies.columns),
    ]


def every_diagnosis_target(studies: pd.DataFrame) -> Target:
    """Which of all classes that the training split has."""
    seen = set(studies.loc[studies["split"] == Split.TRAIN.value, "diagnosis"])
    return diagnosis_target(studies, "all classes", [code.value for code in labels.Diagnosis if code.value in seen])


def lvef_target(studies: pd.DataFrame) -> Target:
    """LVEF in %. Its chance, the training mean's error on test, reads the test split: ask once an experiment."""
    lvef = studies["lvef"].to_numpy(dtype=float)
    constant = float(np.nanmean(lvef[(studies["split"] == Split.TRAIN.value).to_numpy()]))
    test = held_out.rows(studies["split"], "experiments: error of the training mean")
    error = float(np.nanmean(np.abs(lvef[test] - constant)))
    return Target("lvef_percent", "all", "quantity", lvef, ("lvef_percent",), error)


def finding_target(studies: pd.DataFrame, name: str) -> Target:
    """Whether a study has the finding."""
    return Target(name, "all", "finding", studies[name].to_numpy(dtype=float), ("absent", "present"), 0.5)


# --- answers -----------------------------------------------------------------------------------------------------
def complete(features: Features, train: Int[np.ndarray, " rows"]) -> Features:
    """Features with the mean of the training studies in place of NaN (0 where no training study has the feature)."""
    known = np.isfinite(features[train])
    total = np.where(known, features[train], 0.0).sum(axis=0)
    return np.where(np.isfinite(features), features, total / np.maximum(known.sum(axis=0), 1))


def answers(target: Target, features: Features, splits: pd.Series, probe: params.Probe) -> Answers:
    """True and answered value of every test study that has a place in the task and any feature; all other rows NaN.

    The answer is a class number, the probability of a finding, or the quantity. All rows are NaN when the training or
    the validation studies are all alike: nothing can be learned or chosen.
    """
    asked = np.isfinite(target.true) & np.isfinite(features).any(axis=1)
    train, validation, test = held_out.three(splits, f"experiments: {target.name}, {target.stratum}", asked)
    found = np.full((len(features), 2), np.nan)
    if min(len(np.unique(target.true[rows])) for rows in (train, validation)) < 2:
        return found
    inputs = complete(features, train)
    found[test, 0] = target.true[test]
    found[test, 1] = answer(target, fit(target, inputs, train, validation, probe), inputs[test])
    return found


def fit(
    target: Target,
    inputs: Features,
    train: Int[np.ndarray, " train"],
    validation: Int[np.ndarray, " validation"],
    probe: params.Probe,
) -> Probe:
    """The probe of a target, its strength chosen on the validation rows; inputs without NaN, rows with a true value."""
    if target.kind == "quantity":
        return fitting.choose_ridge(inputs, target.true, train, validation, probe.ridge, target.outputs[0])[0]
    codes = np.nan_to_num(target.true).astype(int)
    return fitting.choose_logistic(inputs, codes, train, validation, list(target.outputs), probe.strengths)[0]


def answer(target: Target, fitted: Probe, inputs: Features) -> Float[np.ndarray, " studies"]:
    """What a fitted probe says: a class number, the probability of a finding, or the quantity."""
    said = apply_probe(inputs, fitted)
    if target.kind == "classes":
        return np.asarray([target.outputs.index(name) for name in fitted.outputs])[said.argmax(axis=1)].astype(float)
    return said[:, 1] if target.kind == "finding" else said[:, 0]


def common(found: Answers) -> bool:
    """Whether a finding has enough cases on both sides to count in the mean over findings."""
    present = found[np.isfinite(found).all(axis=1), 0]
    return bool(min((present == 1).sum(), (present == 0).sum()) >= FEWEST_CASES)


# --- rows of the table -------------------------------------------------------------------------------------------
def row(
    place: dict[str, Any],
    values: Float[np.ndarray, "studies columns"],
    patients: pd.Series,
    statistic: Statistic,
    settings: Settings,
    rows: Bool[np.ndarray, " studies"] | None = None,
) -> dict[str, Any]:
    """A number over the rows without NaN (and among `rows`), with its interval; `place` says what it is."""
    known = np.isfinite(values).all(axis=1) & (True if rows is None else rows)
    owners = patients[known].tolist()
    numbers = statistics.summarise(values[known], owners, statistic, settings.bootstrap, settings.seed)
    return {**place, **numbers}


def difference_row(
    place: dict[str, Any],
    first: Float[np.ndarray, "studies columns"],
    second: Float[np.ndarray, "studies columns"],
    patients: pd.Series,
    statistic: Statistic,
    settings: Settings,
    rows: Bool[np.ndarray, " studies"] | None = None,
) -> dict[str, Any]:
    """First minus second on the studies that both answered, paired by patient; chance is 0."""
    known = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1) & (True if rows is None else rows)
    owners = patients[known].tolist()
    value, low, high = statistics.paired_difference(
        first[known], second[known], owners, statistic, settings.bootstrap, settings.seed
    )
    counts = {"n": int(known.sum()), "n_patients": len(set(owners)), "chance": 0.0}
    return {**place, "value": value, "low": low, "high": high, **counts}


def table(experiment: str, rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows as a tidy table (COLUMNS) that says what it was made of."""
    found = pd.DataFrame(rows).assign(experiment=experiment, data=PHANTOM)
    return found[COLUMNS]
