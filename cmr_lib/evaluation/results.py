"""Published numbers, and ours: one table with the source, n and interval of every number, and what forbids comparing.

Ours come from the stages' metrics.json and are measured on a synthetic phantom; the published ones on patients whose
data are private. They stand side by side to show what is usually reported and how wide its error is, never as a race.
Published entries are restricted to numbers whose n is known and that we read at the source or recomputed from released
files; the interval is Wilson's or the authors' where a share or an interval was given, and empty otherwise.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cmr_lib import project

STAGES = ("simulate", "preprocess", "pretrain", "retrieval", "classification", "umap", "attention")
COLUMNS = ["who", "stage", "metric", "value", "low", "high", "n", "chance", "data", "source", "note"]
PHANTOM = "synthetic phantom"
PRIVATE = "not comparable: private data of patients, another task definition"
CMRFORMER = "https://arxiv.org/abs/2304.07675"

# What the last notebook shows first: metric → words. The three that lead are quoted in a sentence.
LEADING = (
    "image_to_report.gallery.recall_at_10",
    "diagnosis.linear_probe.balanced_accuracy",
    "lvef.ridge_probe.mean_absolute_error",
)
HEADLINES = {
    LEADING[0]: "report found by scan, R@10 in sub-galleries",
    "report_to_image.gallery.recall_at_10": "scan found by report, R@10 in sub-galleries",
    "image_to_report.own.recall_at_1": "report found by scan, R@1 in the whole gallery",
    "image_to_report.own.recall_at_10": "report found by scan, R@10 in the whole gallery",
    LEADING[1]: "diagnosis, linear probe, balanced accuracy",
    "diagnosis.zero_shot.balanced_accuracy": "diagnosis, zero-shot, balanced accuracy",
    "every_diagnosis.linear_probe.macro_auroc": "every diagnosis, linear probe, macro-AUROC",
    "lge.linear_probe.auroc": "late enhancement, linear probe, AUROC",
    "second_hospital.diagnosis.macro_auroc": "every diagnosis in the second hospital, macro-AUROC",
    "second_hospital_loss.diagnosis.macro_auroc": "what the second hospital loses of it",
    LEADING[2]: "LVEF, ridge probe, mean absolute error (points)",
    "knn_purity": "neighbours with the same diagnosis",
}


@dataclass(frozen=True)
class Published:
    """One number of somebody else; n is None only where value is None (a number that we have not read)."""

    who: str
    stage: str
    metric: str
    value: float | None
    n: int | None
    data: str
    source: str
    note: str
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    ours: str = ""  # our metric that stands beside it; "": none


_CMRCLIP = "https://github.com/Makiya11/CMRCLIP at 4dd42e8, comparison/results"


def _unread(stage: str, metric: str, ours: str) -> Published:
    note = "not read by us: only the abstract was available"
    return Published(
        "CMRformer (2023)", stage, metric, None, None, "private, 13,787 studies", CMRFORMER, note, ours=ours
    )


def _cmrclip_finding(finding: str, internal: float, external: float) -> tuple[Published, Published]:
    """Zero-shot AUC of CMR-CLIP, from the result files of its repository; n recovered from the printed fractions."""
    note = PRIVATE + "; threshold and prototypes from the same site; n recovered from the printed fractions"
    metric = f"{finding}, zero-shot AUROC"
    return tuple(
        Published("CMR-CLIP (2026)", "classification", metric, value, n, data, _CMRCLIP, note, chance=0.5, ours=ours)
        for value, n, data, ours in (
            (internal, 201, "private, same centre", f"{finding}.zero_shot.auroc"),
            (external, 129, "private, sister centre", ""),
        )
    )


_SHAD = "https://github.com/rohanshad/cmr_transformer, mean recomputed by us from the released predictions"
_ICM = "https://github.com/sxtforreal/FairICP, computed by us from the published prediction file"

PUBLISHED: tuple[Published, ...] = (
    _unread("retrieval", "image → report and report → image recall@k, median rank", LEADING[0]),
    _unread("classification", "ACDC and cardiomyopathy accuracy",
            "ACDC_layout_own_probe.every_diagnosis.balanced_accuracy"),
    Published("CMRformer-derived", "classification", "ischaemic or not, AUROC", 0.958, 461, "private", _ICM, PRIVATE,
              chance=0.5),
    Published("CMR-CLIP (2026)", "classification", "ACDC, mean one-vs-rest AUROC (supervised)", 0.978, 40, "ACDC",
              _CMRCLIP, "not comparable: patients, one split, one run", chance=0.5,
              ours="ACDC_layout_own_probe.every_diagnosis.macro_auroc"),
    Published("CMR-CLIP (2026)", "classification", "4 cardiomyopathies, mean AUROC (supervised)", 0.953, 291, "private",
              _CMRCLIP, PRIVATE, chance=0.5, ours="every_diagnosis.linear_probe.macro_auroc"),
    Published("CMR-CLIP (2026)", "classification", "7 findings, 32 shots, mean AUROC", 0.783, 201,
              "private, same centre", _CMRCLIP, PRIVATE + "; shots drawn with replacement", chance=0.5,
              ours="every_diagnosis.32_shots.macro_auroc"),
    *_cmrclip_finding("lv_dysfunction", 0.735, 0.768),
    *_cmrclip_finding("rv_dysfunction", 0.783, 0.792),
    *_cmrclip_finding("lv_dilation", 0.831, 0.835),
    *_cmrclip_finding("rv_dilation", 0.838, 0.728),
    *_cmrclip_finding("lv_hypertrophy", 0.881, 0.879),
    *_cmrclip_finding("lge", 0.705, 0.621),
    *_cmrclip_finding("aortic_dilation", 0.625, 0.486),
    Published("Shad et al.", "classification", "LVEF mean absolute error, points", 3.344, 4259, "UK Biobank",
              _SHAD, "not comparable: patients, whole network fitted; their baseline without pretraining: 4.603",
              ours=LEADING[2]),
    Published("Shad et al.", "classification", "LVEF mean absolute error, points", 6.88, 697, "Kaggle DSB",
              _SHAD, "not comparable: patients, whole network fitted; their baseline without pretraining: 8.267"),
)  # fmt: skip


def published_table(entries: Iterable[Published] = PUBLISHED) -> pd.DataFrame:
    """The published numbers (COLUMNS). Raises ValueError for a number without n or source."""
    for entry in entries:
        if entry.value is not None and (not entry.n or not entry.source):
            raise ValueError(f"{entry.who}, {entry.metric}: a number needs its n and its source.")
    return _numeric(pd.DataFrame([asdict(entry) for entry in entries], columns=COLUMNS))


def find_estimates(metrics: Any, name: str = "") -> dict[str, dict[str, Any]]:
    """Every estimate (a mapping with `value` and `n`) inside a metrics.json, by its dotted name."""
    if not isinstance(metrics, dict):
        return {}
    if "value" in metrics and "n" in metrics:
        return {name: metrics}
    found = {}
    for key, item in metrics.items():
        found |= find_estimates(item, f"{name}.{key}" if name else key)
    return found


def our_table(root: Path | str, stages: Sequence[str] = STAGES, data: str = PHANTOM) -> pd.DataFrame:
    """Every estimate of `root/<stage>/metrics.json` (COLUMNS).

    Raises FileNotFoundError naming the stage whose file is missing.
    """
    rows = []
    for stage in stages:
        path = project.require(Path(root) / stage / "metrics.json", f"stage {stage}")
        for name, entry in find_estimates(json.loads(path.read_text(encoding="utf-8"))).items():
            numbers = {column: entry.get(column) for column in ("value", "low", "high", "n", "chance")}
            place = {"who": "this repository", "stage": stage, "metric": name, "data": data}
            rows.append({**place, **numbers, "source": f"{stage}/metrics.json", "note": data})
    return _numeric(pd.DataFrame(rows, columns=COLUMNS))


def stages_of(source: str) -> tuple[str, ...]:
    """The stages that a cohort of this source went through: one that is not simulated has no stage simulate."""
    return STAGES if source == "simulated" else STAGES[1:]


def leading_sentence(found: pd.DataFrame, data: str) -> str:
    """The three leading numbers in words; found: rows of `our_table` by metric. What could not be measured is n = 0."""
    words = ("R@10 in sub-galleries", "balanced accuracy of the linear probe", "LVEF error in points")
    parts = []
    for metric, name in zip(LEADING, words, strict=True):
        row = found.loc[metric] if metric in found.index else None
        if row is None or pd.isna(row.value):
            parts.append(f"{name}: n = 0, nothing to measure it by")
            continue
        digits = 1 if name.startswith("LVEF") else 2
        value, low, high, chance = (f"{row[part]:.{digits}f}" for part in ("value", "low", "high", "chance"))
        parts.append(f"{name} **{value}** ({low} to {high}; chance {chance}; n = {row.n})")
    return f"On {data}: {'; '.join(parts)}."


def summary(root: Path | str, stages: Sequence[str] = STAGES, data: str = PHANTOM) -> pd.DataFrame:
    """Ours above, published below, stage by stage in the order of the pipeline (COLUMNS)."""
    both = pd.concat([our_table(root, stages, data), published_table()], ignore_index=True)
    order = both["stage"].map({stage: number for number, stage in enumerate(STAGES)})
    return both.iloc[np.argsort(order.to_numpy(), kind="stable")].reset_index(drop=True)


def as_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for summary.json; empty cells are left out."""
    return [
        {name: value for name, value in row.items() if not pd.isna(value)} for row in table.to_dict(orient="records")
    ]


def _numeric(table: pd.DataFrame) -> pd.DataFrame:
    numbers = {column: pd.to_numeric(table[column]).astype(float) for column in ("value", "low", "high", "chance")}
    return table.assign(**numbers, n=pd.to_numeric(table["n"]).astype("Int64"))
