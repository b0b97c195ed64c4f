"""Findings asked in two ways, without labels (sentences) and with them (probes), and what a threshold makes of both.

Thresholds come from validation alone (`operating`). Whether one way is better than the other is tested for every
finding, and p-values are corrected over all of them (`comparison`).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from cmr_lib import params
from cmr_lib.evaluation import classification, comparison, decisions, held_out, operating, prompts, questions
from cmr_lib.evaluation.probes import Probe, apply_probe
from cmr_lib.types import Split

ZERO_SHOT, PROBE = "zero-shot", "linear probe"

Embeddings = Float[np.ndarray, "studies embed"]
Scores = Float[np.ndarray, "studies findings"]


@dataclass(frozen=True)
class Scored:
    """Scores of all studies for each finding (columns of truth), by method; NaN where no probe could be fitted."""

    studies: pd.DataFrame  # patient_key, split
    truth: pd.DataFrame
    scores: dict[str, Scores]

    @cached_property
    def _rows(self) -> dict[str, Int[np.ndarray, " rows"]]:
        """Row numbers by a split's name; kept, so that one reading of the test split is one line of its log."""
        parts = held_out.three(self.studies["split"], "classification: findings")
        return dict(zip(held_out.NAMES, parts, strict=True))

    def rows(self, split: Split) -> Int[np.ndarray, " rows"]:
        """Row numbers of a split."""
        return self._rows[split.value]

    def pairs(self, method: str, name: str, split: Split) -> Float[np.ndarray, "rows 2"]:
        """Label and score of the studies of a split."""
        rows = self.rows(split)
        score = self.scores[method][rows, list(self.truth.columns).index(name)]
        return np.stack([self.truth[name].to_numpy(dtype=float)[rows], score], axis=1)


def score(
    image: Embeddings,
    studies: pd.DataFrame,
    truth: pd.DataFrame,
    direction: Float[np.ndarray, "findings embed"],
    probes: dict[str, Probe],
) -> Scored:
    """Both scores of every study. direction: embedding of `present` minus that of `absent`, in the order of truth."""
    fitted = np.full((len(image), len(truth.columns)), np.nan)
    for column, name in enumerate(truth.columns):
        if name in probes:
            fitted[:, column] = apply_probe(image, probes[name])[:, 1]
    zero = image.astype(float) @ direction.astype(float).T
    return Scored(studies.reset_index(drop=True), truth.reset_index(drop=True), {ZERO_SHOT: zero, PROBE: fitted})


@dataclass(frozen=True)
class Judged:
    """All findings that every study was judged for. Tables: a row a finding, `classification.COLUMNS`."""

    names: list[str]
    asked: pd.DataFrame  # by sentences that affirm and deny
    unsaid: pd.DataFrame  # by those that affirm alone
    fitted: pd.DataFrame  # by a probe
    probes: dict[str, Probe]
    scored: Scored


def judge(
    image: Embeddings, studies: pd.DataFrame, model: Any, tokenizer: Any, settings: params.Classification
) -> Judged:
    """Both ways for every finding; no row where none was judged for every study."""
    names = questions.judged_findings(studies)
    present, absent = (
        prompts.ensembles(model, tokenizer, [prompts.finding_wordings(name, side) for name in names])
        for side in (prompts.PRESENT, prompts.ABSENT)
    )
    test = held_out.rows(studies["split"], "classification: findings by sentences")
    truth, owners = studies.loc[test, names].reset_index(drop=True), studies["patient_key"].iloc[test]
    asked, unsaid = (
        classification.zero_shot_findings(image[test], present, against, truth, owners, settings)
        for against in (absent, 0 * absent)
    )
    fitted, probes = classification.finding_probes(
        image, studies[names], studies["split"], studies["patient_key"], settings
    )
    scored = score(image, studies, studies[names], present - absent, probes)
    return Judged(names, asked, unsaid, fitted, probes, scored)


def operating_points(scored: Scored, settings: params.Classification) -> pd.DataFrame:
    """Average precision, and four numbers at each threshold chosen on validation, for each finding and method.

    Columns finding, method and operating.COLUMNS. A finding without a probe has a row that says so.
    """
    patients, parts = scored.studies["patient_key"].iloc[scored.rows(Split.TEST)].tolist(), []
    for name in scored.truth.columns:
        for method in scored.scores:
            test, validation = scored.pairs(method, name, Split.TEST), scored.pairs(method, name, Split.VALIDATION)
            if np.isnan(test).any() or not len(test):
                note = "No probe: training or validation studies have one answer only."
                part = pd.DataFrame([{"metric": "auprc", "n": 0, "note": note}], columns=operating.COLUMNS)
            else:
                part = operating.operating_table(
                    validation, test, patients, settings.specificities, settings.bootstrap, settings.seed
                )
            parts.append(part.assign(finding=name, method=method))
    columns = ["finding", "method", *operating.COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def probe_against_sentences(scored: Scored, settings: params.Classification) -> pd.DataFrame:
    """AUROC of the probe minus that of the sentences on test (comparison.COLUMNS), p corrected by Holm."""
    test = scored.rows(Split.TEST)
    return comparison.compare_findings(
        scored.truth.iloc[test].astype(float),
        scored.scores[PROBE][test],
        scored.scores[ZERO_SHOT][test],
        scored.studies["patient_key"].iloc[test],
        settings.bootstrap,
        settings.seed,
    )


def summary_rows(points: pd.DataFrame, specificity: float) -> pd.DataFrame:
    """Of `operating_points`, what a table of results shows (classification.COLUMNS and finding, goal, threshold).

    AUPRC, F1 and balanced accuracy at their own thresholds, and sensitivity at a specificity asked for on validation.
    """
    best = {
        "f1": operating.BEST_F1,
        "balanced_accuracy": operating.BEST_BALANCE,
        "sensitivity": f"specificity {specificity:g}",
    }
    kept = [points[points["metric"] == "auprc"]]
    kept += [points[(points["metric"] == metric) & (points["goal"] == goal)] for metric, goal in best.items()]
    names = {"sensitivity": f"sensitivity_at_{100 * specificity:.0f}_specificity"}
    rows = pd.concat(kept).sort_index(kind="stable")
    return rows.assign(task=rows["finding"], metric=rows["metric"].replace(names))


def decide(scored: Scored, name: str, settings: params.Classification) -> pd.DataFrame:
    """What acting on the probe's probability of one finding is worth, on test (decisions.CURVE).

    Probabilities are set right on validation first: probes are fitted as if half of the studies had the finding.
    Empty where the finding was not judged or validation has one answer only.
    """
    if name not in scored.truth.columns:
        return pd.DataFrame(columns=decisions.CURVE)
    test, validation = scored.pairs(PROBE, name, Split.TEST), scored.pairs(PROBE, name, Split.VALIDATION)
    if np.isnan(test).any() or not len(test) or len(np.unique(validation[:, 0])) < 2:
        return pd.DataFrame(columns=decisions.CURVE)
    patients = scored.studies["patient_key"].iloc[scored.rows(Split.TEST)]
    return decisions.decision_curve(decisions.Platt.of(validation)(test), patients, settings.bootstrap, settings.seed)
