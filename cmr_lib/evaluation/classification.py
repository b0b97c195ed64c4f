"""What do the embeddings know? Zero-shot prompts, linear probes for diagnosis and findings, and a probe for LVEF.

Nothing is ever chosen on the test split: prompts are fixed in `labels`, a finding's zero-shot score is a difference of
two similarities and is judged by AUROC (no threshold), a probe is fitted on train and its penalty chosen on validation.
Features are standardised with the training mean and spread. Intervals: 95 %, bootstrap over patients of the test split
(fitted models held fixed).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Num

from cmr_lib import params, project
from cmr_lib.evaluation import fitting, held_out, statistics
from cmr_lib.evaluation.probes import Probe, apply_probe, in_order

COLUMNS = ["task", "method", "metric", "value", "low", "high", "n", "n_patients", "chance"]

Embeddings = Float[np.ndarray, "studies embed"]
Strings = Sequence[Any] | np.ndarray | pd.Series


@dataclass(frozen=True)
class Outcome:
    """What one classifier did on the test split.

    table: one row a number (COLUMNS). predictions: one row a test study (row of the embedding, true, predicted and the
    score of each class). confusion: counts, true classes down, predicted across. choices: validation score of each
    penalty tried. probe: None for zero-shot.
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    confusion: pd.DataFrame = field(default_factory=pd.DataFrame)
    choices: pd.DataFrame = field(default_factory=pd.DataFrame)
    probe: Probe | None = None


# --- zero-shot --------------------------------------------------------------------------------------------------
def zero_shot(
    image: Embeddings,
    prompts: Float[np.ndarray, "classes embed"],
    diagnosis: Strings,
    patients: Strings,
    settings: params.Classification,
) -> Outcome:
    """Name the class whose prompt is most similar to the image; rows of the test split only.

    prompts: embeddings of `labels.DIAGNOSES[code].prompt` in the order of settings.classes. Studies with another
    diagnosis are left out of the count n.
    """
    classes = list(settings.classes)
    true, usable = _class_codes(diagnosis, classes)
    rows = np.flatnonzero(usable)
    similarity = image[rows].astype(float) @ prompts.astype(float).T
    others = [np.delete(similarity, code, axis=1).max(axis=1) for code in range(len(classes))]
    scores = similarity - np.stack(others, axis=1)  # lead over the best other class: above 0 for one class
    owners = np.asarray(patients, dtype=str)[rows]
    return _class_outcome("diagnosis", "zero-shot", rows, true[rows], scores, owners, settings)


def zero_shot_findings(
    image: Embeddings,
    present: Float[np.ndarray, "findings embed"],
    absent: Float[np.ndarray, "findings embed"],
    truth: pd.DataFrame,
    patients: Strings,
    settings: params.Classification,
) -> pd.DataFrame:
    """AUROC of similarity to the `present` prompt minus similarity to the `absent` one, a row a finding (COLUMNS).

    truth: one 0/1 column a finding, in the order of the prompts; rows as `image` (test split). A finding that all or
    none of the studies have gets NaN.
    """
    scores = image.astype(float) @ (present.astype(float) - absent.astype(float)).T
    rows = [
        _auroc_row(name, "zero-shot", truth[name].to_numpy(dtype=float), scores[:, column], patients, settings)
        for column, name in enumerate(truth.columns)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


# --- probes -----------------------------------------------------------------------------------------------------
def linear_probe(
    embedding: Embeddings,
    diagnosis: Strings,
    splits: Strings,
    patients: Strings,
    settings: params.Classification,
) -> Outcome:
    """Multinomial logistic regression on frozen embeddings, classes weighted equally; C chosen on validation.

    All arguments have one row a study of any split. Studies whose diagnosis is not in settings.classes are left out.
    A class without training studies is never predicted, its test studies count as wrong. Without any diagnosis n is 0
    and there is no probe. Raises ValueError when a split is empty or the training split holds fewer than two classes.
    """
    classes = list(settings.classes)
    true, usable = _class_codes(diagnosis, classes)
    if not usable.any():
        none, scores = np.zeros(0, dtype=int), np.zeros((0, len(classes)))
        return _class_outcome("diagnosis", "linear probe", none, none, scores, np.zeros(0, dtype=str), settings)
    train, validation, test = _split_rows(splits, usable)
    if len(np.unique(true[train])) < 2:
        raise ValueError("The training split holds fewer than two of the classes: nothing to tell apart.")
    strengths = settings.probe.strengths
    probe, choices = fitting.choose_logistic(embedding, true, train, validation, classes, strengths)
    scores = in_order(embedding[test], probe, classes)
    owners = np.asarray(patients, dtype=str)[test]
    outcome = _class_outcome("diagnosis", "linear probe", test, true[test], scores, owners, settings)
    return Outcome(outcome.table, outcome.predictions, outcome.confusion, choices, probe)


def finding_probes(
    embedding: Embeddings, truth: pd.DataFrame, splits: Strings, patients: Strings, settings: params.Classification
) -> tuple[pd.DataFrame, dict[str, Probe]]:
    """One logistic probe a finding: a table of AUROC on the test split, and the probes by name.

    truth: one 0/1 column a finding, one row a study of any split. A finding that all or none of the training (or
    validation) studies have cannot be learned (or judged): its row is NaN and it has no probe.
    """
    if not len(truth.columns):
        return pd.DataFrame(columns=COLUMNS), {}
    train, validation, test = _split_rows(splits, np.ones(len(embedding), dtype=bool))
    owners, rows, probes = np.asarray(patients, dtype=str)[test], [], {}
    for name in truth.columns:
        true = truth[name].to_numpy(dtype=int)
        scores = np.full(len(test), np.nan)
        if len(np.unique(true[train])) == len(np.unique(true[validation])) == 2:
            strengths, names = settings.probe.strengths, ["absent", "present"]
            probes[name], _ = fitting.choose_logistic(embedding, true, train, validation, names, strengths)
            scores = apply_probe(embedding[test], probes[name])[:, 1]
        rows.append(_auroc_row(name, "linear probe", true[test].astype(float), scores, owners, settings))
    return pd.DataFrame(rows, columns=COLUMNS), probes


def lvef_probe(
    embedding: Embeddings,
    lvef: Float[np.ndarray, " studies"] | pd.Series,
    splits: Strings,
    patients: Strings,
    settings: params.Classification,
) -> Outcome:
    """Ridge regression of LVEF (%) on frozen embeddings; the penalty with the least validation error is taken.

    The table holds the mean absolute error in points of LVEF, the same of always answering the training mean (its
    chance level), the difference of the two (paired) and Pearson's r. Studies with a NaN LVEF are left out; where none
    has one, n is 0 and there is no probe.
    """
    target = np.asarray(lvef, dtype=float)
    if not np.isfinite(target).any():
        empty = np.zeros(0)
        table = _lvef_table(empty, empty, float("nan"), np.zeros(0, dtype=str), settings)
        return Outcome(table, pd.DataFrame({"row": np.zeros(0, dtype=int), "true": empty, "predicted": empty}))
    train, validation, test = _split_rows(splits, np.isfinite(target))
    penalties = settings.probe.ridge
    probe, choices = fitting.choose_ridge(embedding, target, train, validation, penalties, "lvef_percent")
    predicted = apply_probe(embedding[test], probe)[:, 0]
    owners = np.asarray(patients, dtype=str)[test]
    table = _lvef_table(target[test], predicted, float(target[train].mean()), owners, settings)
    predictions = pd.DataFrame({"row": test, "true": target[test], "predicted": predicted})
    return Outcome(table, predictions, choices=choices, probe=probe)


def metric_entries(table: pd.DataFrame, named_by: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """Rows as entries of metrics.json; an entry's name is made of the columns `named_by`."""
    signs = str.maketrans({"→": "to", "−": "minus", "-": "_", " ": "_", ",": ""})
    return {
        ".".join(str(row[name]).translate(signs) for name in named_by): project.estimate(
            row["value"], n=row["n"], low=row["low"], high=row["high"], chance=row["chance"]
        )
        for row in table.to_dict("records")
    }


def classification_metrics(table: pd.DataFrame) -> dict[str, dict[str, float | int]]:
    """The rows of one or several tables as entries of metrics.json, e.g. `diagnosis.linear_probe.balanced_accuracy`."""
    return metric_entries(table, ("task", "method", "metric"))


# --- parts ------------------------------------------------------------------------------------------------------
def _class_codes(
    names: Strings, classes: list[str]
) -> tuple[Int[np.ndarray, " studies"], Bool[np.ndarray, " studies"]]:
    """Number of each study's class (−1: not one of them), and which studies have one of them."""
    place = {name: code for code, name in enumerate(classes)}
    codes = np.asarray([place.get(str(name), -1) for name in names], dtype=int)
    return codes, codes >= 0


def _split_rows(splits: Strings, usable: Bool[np.ndarray, " studies"]) -> tuple[Int[np.ndarray, " rows"], ...]:
    """Row numbers of train, validation and test. Raises ValueError for an empty one."""
    rows = held_out.three(splits, "classification: probes", usable)
    for name, found in zip(held_out.NAMES, rows, strict=True):
        if not len(found):
            raise ValueError(f"The {name} split holds no study with the label: a probe needs all three splits.")
    return rows


def _class_outcome(
    task: str,
    method: str,
    rows: Int[np.ndarray, " test"],
    true: Int[np.ndarray, " test"],
    scores: Float[np.ndarray, "test classes"],
    patients: np.ndarray,
    settings: params.Classification,
) -> Outcome:
    classes = list(settings.classes)
    guess = scores.argmax(axis=1)
    pairs = np.stack([true, guess], axis=1)
    numbers = statistics.summarise(pairs, patients, statistics.balanced_accuracy, settings.bootstrap, settings.seed)
    table = [{"task": task, "method": method, "metric": "balanced_accuracy", **numbers, "chance": 1 / len(classes)}]
    for code, name in enumerate(classes):
        is_class = (true == code).astype(float)
        table.append(_auroc_row(name, method, is_class, scores[:, code], patients, settings))
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion, (true, guess), 1)
    predictions = pd.DataFrame({"row": rows})
    predictions["true"] = [classes[code] for code in true]
    predictions["predicted"] = [classes[code] for code in guess]
    scored = pd.DataFrame(scores, columns=[f"score_{name}" for name in classes])
    return Outcome(
        pd.DataFrame(table, columns=COLUMNS),
        pd.concat([predictions, scored], axis=1),
        pd.DataFrame(confusion, index=pd.Index(classes, name="true"), columns=pd.Index(classes, name="predicted")),
    )


def _auroc_row(
    task: str,
    method: str,
    label: Float[np.ndarray, " test"],
    score: Float[np.ndarray, " test"],
    patients: Strings,
    settings: params.Classification,
) -> dict[str, Any]:
    pairs = np.stack([label, score], axis=1)
    if not np.isfinite(score).all():  # no probe was fitted
        numbers = {"value": np.nan, "low": np.nan, "high": np.nan, "n": len(pairs), "n_patients": len(set(patients))}
    else:
        numbers = statistics.summarise(pairs, patients, statistics.auroc, settings.bootstrap, settings.seed)
    return {"task": task, "method": method, "metric": "auroc", **numbers, "chance": 0.5}


def _lvef_table(
    true: Float[np.ndarray, " test"],
    predicted: Float[np.ndarray, " test"],
    training_mean: float,
    patients: np.ndarray,
    settings: params.Classification,
) -> pd.DataFrame:
    model, constant = np.stack([true, predicted], axis=1), np.stack([true, np.full_like(true, training_mean)], axis=1)

    def row(method: str, metric: str, pairs: Num[np.ndarray, "test 2"], statistic: Callable, chance: float) -> dict:
        numbers = statistics.summarise(pairs, patients, statistic, settings.bootstrap, settings.seed)
        return {"task": "lvef", "method": method, "metric": metric, **numbers, "chance": chance}

    error = "mean_absolute_error"
    baseline = statistics.point(constant, statistics.mean_absolute_error)
    rows = [
        row("ridge probe", error, model, statistics.mean_absolute_error, baseline),
        row("training mean", error, constant, statistics.mean_absolute_error, baseline),
        row("ridge probe", "pearson_r", model, statistics.pearson, 0.0),
    ]
    value, low, high = statistics.paired_difference(
        model, constant, patients, statistics.mean_absolute_error, settings.bootstrap, settings.seed
    )
    gain = {"method": "ridge probe − training mean", "metric": error, "value": value, "low": low, "high": high}
    rows.append({**rows[0], **gain, "chance": 0.0})
    return pd.DataFrame(rows, columns=COLUMNS)
