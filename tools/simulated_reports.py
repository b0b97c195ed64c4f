"""Simulated reports with what their readers wrote down as truth, for `tools.measure_reports`. Synthetic phantom.

No images are needed: a reader reads the latents of an invented patient. Readers leave nothing out here (an omission is
not written, so it cannot be read), but they hedge, mistype, add lines and use their ready-made normal texts.
"""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cmr_lib import labels, params, project
from cmr_lib.reports.findings import findings
from cmr_lib.reports.sections import split_sections
from cmr_lib.reports.summary import Summary, by_name, summarise
from cmr_lib.simulate.identity import SECOND_HOSPITAL, accession, identity_of
from cmr_lib.simulate.latents import Latents, draw_latents
from cmr_lib.simulate.letterhead import Letterhead
from cmr_lib.simulate.reading import Reading, read_study
from cmr_lib.simulate.report import write_report

# The demo's patients and readers, but for omissions.
_DEMO = params.read_yaml(Path(__file__).resolve().parents[1] / "params" / "demo" / "simulate.yaml")
SHARES, READER = _DEMO["diagnoses"], params.Reader(**_DEMO["reader"] | {"omission_share": 0.0})
COUNT, SEED, NO_CONTRAST, BOOTSTRAPS = 1000, 4101, 0.06, 1000


def _truth(latents: Latents) -> dict[str, Any]:
    """What a study would measure, from the latents alone."""
    targets, disease, timing = latents.targets, latents.disease, latents.timing
    beat_ms = 60000 / latents.heart_rate
    return {
        **{
            name: getattr(targets, name)
            for name in ("lvef", "lvedv_ml", "rvef", "rvedv_ml", "wall_mm", "aorta_mm", "effusion_mm")
        },
        "lv_mass_g": 70 * latents.person.bsa_m2,
        "half_filling_ms": (0.19 + 0.034 * timing.relaxation) * beat_ms,
        "septal_delay_ms": 0.115 * timing.dyssynchrony * beat_ms,
        "lge": int(disease.lge_pattern != "none"),
        "thrombus": int(disease.thrombus),
    }


def written(reading: Reading) -> dict[str, bool]:
    """What a reader who leaves nothing out has written: there, or doubted to be there."""
    return {
        "lv_dysfunction": reading.lv_function != "normal",
        "rv_dysfunction": reading.rv_function != "normal",
        "lv_dilation": reading.lv_size != "normal",
        "rv_dilation": reading.rv_size != "normal",
        "lv_hypertrophy": reading.hypertrophy != "normal",
        "lge": reading.scar_seen or (reading.late_imaged and reading.scar_imagined),
        "wall_motion_abnormality": reading.motion_seen,
        "aortic_dilation": reading.aortic_size != "normal",
        "effusion": reading.effusion not in ("none", "trivial"),
        "thrombus": reading.thrombus_seen or reading.thrombus_doubted,
    }


def simulated(hospital: str, number: int) -> tuple[str, Reading, bool]:
    """One report: text, what its reader read, and whether the text is the reader's ready-made one."""
    patient = number + (SECOND_HOSPITAL if hospital == "second" else 0)
    latents = draw_latents(SEED, patient, 1, SHARES)
    random = project.rng(SEED, "report", hospital, number)
    reading = read_study(latents, _truth(latents), READER, random, late_imaged=bool(random.random() >= NO_CONTRAST))
    head = Letterhead(identity_of(SEED, patient, 50), accession(patient, 1), datetime.date(2015, 3, 9))
    text, found = write_report(reading, random, READER, None, head)
    return text, reading, not found


def _scores(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    """F1 of each finding (columns) over reports (rows)."""
    right = (truth & said).sum(axis=0)
    return 2 * right / np.maximum(truth.sum(axis=0) + said.sum(axis=0), 1)


def _table(truth: np.ndarray, said: np.ndarray, group: str) -> pd.DataFrame:
    random = project.rng(SEED, "bootstrap", group)
    draws = [random.integers(len(truth), size=len(truth)) for _ in range(BOOTSTRAPS)]
    values = np.array([_scores(truth[draw], said[draw]) for draw in draws])
    values = np.concatenate([values.mean(axis=1, keepdims=True), values], axis=1)
    low, high = np.percentile(values, [2.5, 97.5], axis=0)
    scores = _scores(truth, said)
    right = (truth & said).sum(axis=0)
    counts = np.concatenate([[truth.sum()], truth.sum(axis=0)])
    return pd.DataFrame(
        {
            "group": [f"{group}: {name}" for name in ("macro over findings", *labels.FINDINGS)],
            "n": len(truth),
            "items": counts,
            "precision": [np.nan, *(right / np.maximum(said.sum(axis=0), 1))],
            "recall": [np.nan, *(right / np.maximum(truth.sum(axis=0), 1))],
            "f1": [scores.mean(), *scores],
            "f1_low": low,
            "f1_high": high,
        }
    )


def _read(summary: Summary, name: str) -> str:
    found = summary.findings.get(name)
    return "nothing" if found is None else f"{found.status.value} {found.severity}".strip()


def measure_hospital(hospital: str, count: int = COUNT) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Findings read from one hospital's reports against what was written, with numbers to help and by words alone."""
    truth, said, worded, ready, misses = [], [], [], [], []
    for number in range(count):
        text, reading, is_ready = simulated(hospital, number)
        report = split_sections(text)
        summary = summarise(report, reading.sex)
        words = Summary(by_name(findings(f"{report.findings}\n\n{report.impression}")), {})
        wanted = written(reading)
        truth.append([wanted[name] for name in labels.FINDINGS])
        said.append([summary.positive(name) for name in labels.FINDINGS])
        worded.append([words.positive(name) for name in labels.FINDINGS])
        ready.append(is_ready)
        for name, there, read in zip(labels.FINDINGS, truth[-1], said[-1], strict=True):
            if there != read:
                misses.append({"report": number, "finding": name, "written": there, "difference": _read(summary, name)})
    all_truth, dictated = np.array(truth), ~np.array(ready)
    tables = [
        _table(all_truth[chosen], np.array(read)[chosen], group)
        for group, read, chosen in (
            ("words and numbers", said, slice(None)),
            ("words and numbers, not ready-made", said, dictated),
            ("words alone", worded, slice(None)),
        )
    ]
    columns = ["report", "finding", "written", "difference"]
    return pd.concat(tables, ignore_index=True).assign(method="rules"), pd.DataFrame(misses, columns=columns)
