"""A cohort that nobody trained on, judged by the first one's probes, and what is lost on the way.

A loss is a difference between two sets of patients: both are resampled. A public cohort with a split of its own is also
judged by a probe that is fitted on its own training patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cmr_lib import params
from cmr_lib.evaluation import classification, diagnoses, ranks, retrieval, statistics
from cmr_lib.evaluation.external import Cohort
from cmr_lib.evaluation.probes import Probe, apply_probe

COLUMNS = ["cohort", "task", "metric", "value", "low", "high", "n", "n_patients", "chance", "note"]
OWN = "own test split"
LOSS = "loss"  # after a cohort's name: own test split minus it
MAKERS = {"ge": "GE", "siemens": "Siemens", "philips": "Philips", "canon": "Canon"}  # codes of ingest.stacks, spelt
FEWEST = 5  # studies with, and without, a finding, for it to count
TOP = 10


@dataclass(frozen=True)
class Judges:
    """The first cohort's probes."""

    diagnosis: Probe
    findings: dict[str, Probe]
    lvef: Probe


@dataclass(frozen=True)
class Question:
    """One number of a cohort: what its statistic reads, and whose studies the rows are."""

    values: np.ndarray
    patients: list[str]
    statistic: statistics.Statistic
    chance: float


def asked_of(cohorts: Sequence[Cohort], names: Sequence[str]) -> list[str]:
    """Findings with enough cases on both sides in every cohort: a mean over them compares like with like."""
    counts = [
        [min((one.studies[name] == 1).sum(), (one.studies[name] == 0).sum()) for one in cohorts if name in one.studies]
        for name in names
    ]
    return [
        name
        for name, found in zip(names, counts, strict=True)
        if len(found) == len(cohorts) and min(found, default=0) >= FEWEST
    ]


def _diagnosis(cohort: Cohort, probe: Probe) -> dict[tuple[str, str], Question]:
    known = np.flatnonzero(cohort.studies["diagnosis"].isin(probe.outputs))
    codes = np.asarray([probe.outputs.index(name) for name in cohort.studies["diagnosis"].iloc[known]], dtype=int)
    scores, patients = apply_probe(cohort.image[known], probe), cohort.studies["patient_key"].iloc[known].tolist()
    pairs = np.stack([codes, scores.argmax(axis=1)], axis=1)
    return {
        ("diagnosis", "macro_auroc"): Question(diagnoses.coded(codes, scores), patients, statistics.macro_auroc, 0.5),
        ("diagnosis", "balanced_accuracy"): Question(
            pairs, patients, statistics.balanced_accuracy, 1 / len(probe.outputs)
        ),
    }


def _findings(cohort: Cohort, probes: dict[str, Probe], names: Sequence[str]) -> dict[tuple[str, str], Question]:
    patients = cohort.studies["patient_key"].tolist()
    pairs = {
        name: np.stack(
            [cohort.studies[name].to_numpy(dtype=float), apply_probe(cohort.image, probes[name])[:, 1]], axis=1
        )
        for name in names
        if name in probes
    }
    asked = {(name, "auroc"): Question(pair, patients, statistics.auroc, 0.5) for name, pair in pairs.items()}
    if len(pairs) > 1:
        joined, mean = np.concatenate(list(pairs.values()), axis=1), statistics.over_pairs(statistics.auroc)
        asked = {("findings", "macro_auroc"): Question(joined, patients, mean, 0.5)} | asked
    return asked


def _lvef(cohort: Cohort, probe: Probe) -> dict[tuple[str, str], Question]:
    true = cohort.studies["lvef"].to_numpy(dtype=float)
    known = np.flatnonzero(np.isfinite(true))
    pairs = np.stack([true[known], apply_probe(cohort.image[known], probe)[:, 0]], axis=1)
    patients = cohort.studies["patient_key"].iloc[known].tolist()
    chance = float(np.abs(true[known] - true[known].mean()).mean()) if len(known) else float("nan")
    return {("lvef", "mean_absolute_error"): Question(pairs, patients, statistics.mean_absolute_error, chance)}


def _reports(cohort: Cohort, size: int) -> dict[tuple[str, str], Question]:
    told = np.flatnonzero(np.isfinite(cohort.text).all(axis=1))
    if len(told) < 2:
        return {}
    patients = cohort.studies["patient_key"].iloc[told].tolist()
    ways = zip(retrieval.DIRECTIONS, ranks.search_pairs(cohort.image[told], cohort.text[told]), strict=True)
    return {
        (way, f"recall_at_{TOP}_of_{size}"): Question(
            found.first.hits_in_random_gallery(TOP, size), patients, statistics.mean, min(1.0, TOP / size)
        )
        for way, found in ways
    }


def questions(cohort: Cohort, judges: Judges, findings: Sequence[str], size: int) -> dict[tuple[str, str], Question]:
    """Every number that the cohort can be asked for, by task and metric. size: of the galleries of reports."""
    asked = _diagnosis(cohort, judges.diagnosis) if (cohort.studies["diagnosis"] != "").any() else {}
    asked |= _findings(cohort, judges.findings, findings) | _lvef(cohort, judges.lvef)
    return asked | _reports(cohort, size)


def row(name: str, place: tuple[str, str], asked: Question, settings: params.Classification) -> dict[str, Any]:
    """One number of one cohort, with its interval by patient (COLUMNS)."""
    share = asked.statistic is statistics.mean
    numbers = statistics.summarise(
        asked.values, asked.patients, asked.statistic, settings.bootstrap, settings.seed, is_share=share
    )
    return {"cohort": name, "task": place[0], "metric": place[1], **numbers, "chance": asked.chance, "note": ""}


def transfer_table(own: Cohort, other: Cohort, judges: Judges, settings: params.Classification) -> pd.DataFrame:
    """The other cohort's numbers, the own test split's, and what is lost between them (COLUMNS), interval included.

    A loss is own minus other, so above 0 is worse but for an error, where below 0 is.
    """
    findings = asked_of([own, other], list(judges.findings))
    reports = [int(np.isfinite(one.text).all(axis=1).sum()) for one in (own, other)]
    here, there = (questions(one, judges, findings, max(1, min(reports))) for one in (own, other))
    rows = []
    for place in (place for place in there if place in here):
        one, two = here[place], there[place]
        rows += [row(name, place, asked, settings) for name, asked in ((own.name, one), (other.name, two))]
        value, low, high = statistics.independent_difference(
            one.values, one.patients, two.values, two.patients, one.statistic, settings.bootstrap, settings.seed
        )
        loss = {"value": value, "low": low, "high": high, "n": len(two.values), "n_patients": len(set(two.patients))}
        rows.append({**rows[-1], "cohort": f"{other.name} {LOSS}", **loss, "chance": 0.0})
    return pd.DataFrame(rows, columns=COLUMNS)


def official_table(cohort: Cohort, settings: params.Classification) -> pd.DataFrame:
    """A public cohort by itself: a probe fitted on its own training patients, judged on its official test (COLUMNS)."""
    outcome, _ = diagnoses.probe_every(cohort.image, cohort.studies, settings)
    table = outcome.table.assign(cohort=f"{cohort.name}, own probe", note="")
    if outcome.probe is None:
        table["note"] = f"{len(cohort.studies)} studies are too few to fit a probe on."
    return table[COLUMNS]


def cohort_metrics(table: pd.DataFrame) -> dict[str, dict[str, float | int]]:
    """Rows as entries of metrics.json: `second_hospital.diagnosis.macro_auroc`, `second_hospital_loss.…`.

    The own test split's stand there by other names.
    """
    return classification.metric_entries(table[table["cohort"] != OWN], ("cohort", "task", "metric"))


def in_words(table: pd.DataFrame) -> str:
    """What every cohort reaches and loses, a paragraph each, with the findings that lose most; "" without a cohort."""
    paragraphs = []
    for name in (one for one in dict.fromkeys(table["cohort"]) if one.endswith(f" {LOSS}")):
        there = table[table["cohort"] == name.removesuffix(f" {LOSS}")].set_index(["task", "metric"])
        rows = table[(table["cohort"] == name) & table["value"].notna()]
        shown = rows["metric"].isin(["macro_auroc", "mean_absolute_error"]) | rows["metric"].str.startswith("recall")
        told = [_told(row, there["value"][row.task, row.metric]) for row in rows[shown].itertuples()]
        if told:
            paragraphs.append(f"*{_title(name.removesuffix(f' {LOSS}'))}*: {'; '.join(told)}.{_most(rows)}")
    return "\n\n".join(paragraphs)


def _title(cohort: str) -> str:
    first, _, rest = cohort.partition(" ")
    return f"{MAKERS.get(first, first[0].upper() + first[1:])} {rest}".rstrip()


def _most(rows: pd.DataFrame) -> str:
    """The single findings that lose most, if any loses: a gain is no loss."""
    lost = rows[(rows["metric"] == "auroc") & (rows["value"].round(2) > 0)]
    worst = lost.sort_values("value", ascending=False, kind="stable").head(2)
    listed = ", ".join(f"{row.task} {row.value:+.2f}" for row in worst.itertuples())
    return f" Among single findings the largest loss{'es are' if len(worst) > 1 else ' is'} {listed}." if listed else ""


def _told(row: Any, there: float) -> str:
    """One number of a cohort and its loss, above 0 where it is worse there."""
    error = row.metric == "mean_absolute_error"
    sign, digits = (-1, 1) if error else (1, 3)  # an error that grows is a loss
    low, high = sorted((sign * row.low, sign * row.high))
    name = "LVEF error" if error else f"{row.metric.replace('_', ' ').replace('auroc', 'AUROC')} of {row.task}"
    between = f"{low:+.{digits}f} to {high:+.{digits}f}" if np.isfinite(low) else "too few patients for an interval"
    loss = f"{sign * row.value:+.{digits}f} ({between})"
    unsure = "" if low > 0 or high < 0 else ", no sure loss"
    return f"{name} **{there:.{digits}f}**, loss {loss}{unsure}, n = {row.n}"
