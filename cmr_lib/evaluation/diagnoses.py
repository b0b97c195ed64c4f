"""Every diagnosis at once: linear probe, neighbours and few shots, how sure the probe is, for whom it works.

Rows of studies are those of the embeddings; labels and split come from the table of studies. Everything is fitted on
train, chosen on validation and judged on test, as in `classification`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from cmr_lib import labels, params
from cmr_lib.evaluation import calibration, classification, decisions, fewshot, held_out, statistics, subgroups
from cmr_lib.evaluation.probes import Probe, in_order
from cmr_lib.types import Split

EVERY = "every"  # before the name of a task that all diagnoses take part in
LEAST_STUDIES = 2  # of a diagnosis in train, for it to take part

Embeddings = Float[np.ndarray, "studies embed"]


@dataclass(frozen=True)
class Labelled:
    """Studies with one of the classes: their rows by split, and the class number of every study (−1: none)."""

    classes: tuple[str, ...]
    codes: Int[np.ndarray, " studies"]
    rows: dict[str, Int[np.ndarray, " _"]]

    @property
    def complete(self) -> bool:
        """Whether anything can be learned, chosen and judged."""
        return len(self.classes) > 1 and all(len(rows) for rows in self.rows.values())


def labelled(studies: pd.DataFrame) -> Labelled:
    """All diagnoses that at least LEAST_STUDIES training studies have, in the order of `labels.Diagnosis`."""
    counts = studies.loc[studies["split"] == Split.TRAIN.value, "diagnosis"].value_counts()
    classes = tuple(code.value for code in labels.Diagnosis if counts.get(code.value, 0) >= LEAST_STUDIES)
    codes = np.asarray([classes.index(name) if name in classes else -1 for name in studies["diagnosis"]], dtype=int)
    rows = held_out.three(studies["split"], "classification: every diagnosis", codes >= 0)
    return Labelled(classes, codes, dict(zip(held_out.NAMES, rows, strict=True)))


def coded(codes: Int[np.ndarray, " rows"], scores: Float[np.ndarray, "rows classes"]) -> np.ndarray:
    """What `statistics.macro_auroc` reads."""
    return np.concatenate([codes[:, None].astype(float), scores], axis=1)


def rows_of(
    method: str, known: Labelled, scores: np.ndarray, studies: pd.DataFrame, settings: params.Classification
) -> pd.DataFrame:
    """Macro-AUROC and balanced accuracy on test (classification.COLUMNS); scores: of the test rows."""
    test, rows = known.rows["test"], []
    patients, codes = studies["patient_key"].iloc[test].tolist(), known.codes[test]
    pairs = np.stack([codes, scores.argmax(axis=1)], axis=1) if len(test) else np.zeros((0, 2))
    for metric, values, statistic, chance in (
        ("macro_auroc", coded(codes, scores), statistics.macro_auroc, 0.5),
        ("balanced_accuracy", pairs, statistics.balanced_accuracy, 1 / max(1, len(known.classes))),
    ):
        numbers = statistics.summarise(values, patients, statistic, settings.bootstrap, settings.seed)
        rows.append({"task": f"{EVERY} diagnosis", "method": method, "metric": metric, **numbers, "chance": chance})
    return pd.DataFrame(rows, columns=classification.COLUMNS)


def probe_every(
    image: Embeddings, studies: pd.DataFrame, settings: params.Classification
) -> tuple[classification.Outcome, Labelled]:
    """The linear probe over every diagnosis; where nothing can be learned n is 0 and there is no probe."""
    known = labelled(studies)
    asked = settings.model_copy(update={"classes": list(known.classes) or list(settings.classes)})
    named = studies["diagnosis"] if known.complete else pd.Series("", index=studies.index)
    found = classification.linear_probe(image, named, studies["split"], studies["patient_key"], asked)
    if found.probe is None:
        empty = Labelled(known.classes, known.codes, dict.fromkeys(held_out.NAMES, np.zeros(0, dtype=int)))
        none = np.zeros((0, len(known.classes)))
        table = rows_of("linear probe", empty, none, studies, settings)
        return classification.Outcome(table, found.predictions, found.confusion), empty
    scores = in_order(image[known.rows["test"]], found.probe, known.classes)
    single = found.table[found.table["metric"] == "auroc"]
    single = single.assign(task=[f"{EVERY} {name}" for name in single["task"]])
    table = pd.concat([rows_of("linear probe", known, scores, studies, settings), single], ignore_index=True)
    return classification.Outcome(table, found.predictions, found.confusion, found.choices, found.probe), known


def neighbours(
    image: Embeddings, studies: pd.DataFrame, known: Labelled, settings: params.Classification
) -> tuple[pd.DataFrame, int]:
    """KNN over every diagnosis (classification.COLUMNS), and the number of neighbours that validation chose."""
    if not known.complete:
        return pd.DataFrame(columns=classification.COLUMNS), 0
    train, validation, test = (known.rows[split] for split in held_out.NAMES)
    n = len(known.classes)
    k, _ = fewshot.choose_neighbours(image, known.codes, train, validation, settings.neighbours, n)
    scores = fewshot.neighbour_scores(image, known.codes, train, test, k, n)
    return rows_of("nearest neighbours", known, scores, studies, settings), k


def few_shots(
    image: Embeddings, studies: pd.DataFrame, known: Labelled, settings: params.Classification
) -> pd.DataFrame:
    """Prototypes of a few studies a diagnosis: macro-AUROC on test by the number of shots (fewshot.COLUMNS)."""
    if not known.complete:
        return pd.DataFrame(columns=fewshot.COLUMNS)
    return fewshot.few_shot_table(
        image, known.codes, studies["patient_key"].tolist(), known.rows["train"], known.rows["test"],
        len(known.classes), settings.bootstrap, settings.seed, settings.shots, settings.episodes,
    )  # fmt: skip


# --- how sure, and for whom --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Calibrated:
    """The probe's probabilities of the class that it names, on test, as they come and with a temperature."""

    temperature: float
    table: pd.DataFrame  # classification.COLUMNS
    curves: dict[str, pd.DataFrame]  # calibration.COLUMNS


def calibrate(
    image: Embeddings, studies: pd.DataFrame, probe: Probe | None, known: Labelled, settings: params.Classification
) -> Calibrated:
    """Expected calibration error, Brier score and reliability before and after a temperature fitted on validation."""
    if probe is None:
        return Calibrated(float("nan"), pd.DataFrame(columns=classification.COLUMNS), {})
    validation, test = (known.rows[split] for split in ("validation", "test"))
    given = in_order(image[test], probe, known.classes)
    heat = calibration.fit_temperature(in_order(image[validation], probe, known.classes), known.codes[validation])
    patients, rows, curves = studies["patient_key"].iloc[test].tolist(), [], {}
    for method, scores in (("linear probe", given), ("with temperature", calibration.tempered(given, heat))):
        judged = calibration.top_class(scores, known.codes[test])
        curves[method] = calibration.reliability(judged)
        for metric, statistic in (("ece", calibration.ece()), ("brier", calibration.brier)):
            numbers = statistics.summarise(judged, patients, statistic, settings.bootstrap, settings.seed)
            rows.append({"task": f"{EVERY} diagnosis", "method": method, "metric": metric, **numbers})
    return Calibrated(heat, pd.DataFrame(rows, columns=classification.COLUMNS), curves)


def abstain(
    image: Embeddings, studies: pd.DataFrame, probe: Probe | None, known: Labelled, settings: params.Classification
) -> pd.DataFrame:
    """Accuracy over every diagnosis by the share of test studies that the probe answers (decisions.ABSTENTION)."""
    if probe is None:
        return pd.DataFrame(columns=decisions.ABSTENTION)
    test = known.rows["test"]
    judged = calibration.top_class(in_order(image[test], probe, known.classes), known.codes[test])
    return decisions.abstention_curve(judged, studies["patient_key"].iloc[test], settings.bootstrap, settings.seed)


def with_views(studies: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """The studies with the column `views` (`subgroups.views_present`) from the index of their clip store."""
    return studies.assign(views=subgroups.views_present(index).reindex(studies["study_key"]).to_numpy())


def by_subgroup(
    outcome: classification.Outcome, lvef: pd.DataFrame, studies: pd.DataFrame, settings: params.Classification
) -> pd.DataFrame:
    """Balanced accuracy over every diagnosis, and LVEF error, in every subgroup of the test studies: column `number`.

    lvef: row, true, predicted. studies: all studies, with subgroups.GROUPED_BY. Empty where nothing was predicted.
    """
    parts = []
    named = outcome.predictions
    if outcome.probe is not None:
        place = {name: code for code, name in enumerate(outcome.confusion.index)}
        pairs = np.stack([named[which].map(place) for which in ("true", "predicted")], axis=1).astype(float)
        parts.append(("balanced accuracy", named["row"], pairs, statistics.balanced_accuracy))
    if len(lvef):
        pairs = lvef[["true", "predicted"]].to_numpy(dtype=float)
        parts.append(("LVEF error (points)", lvef["row"], pairs, statistics.mean_absolute_error))
    tables = [
        subgroups.subgroup_table(
            studies.iloc[rows].reset_index(drop=True), pairs, statistic, settings.bootstrap, settings.seed
        ).assign(number=name)
        for name, rows, pairs, statistic in parts
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["number", *subgroups.COLUMNS])
