"""The hospital: studies as zips, a report table and a truth table, made by any number of processes, the same bytes."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from cmr_lib import project
from cmr_lib.labels import FINDINGS
from cmr_lib.params import Simulate
from cmr_lib.simulate import dicom
from cmr_lib.simulate.latents import check_diagnoses, draw_latents, number_of_studies
from cmr_lib.simulate.phantom import Phantom
from cmr_lib.simulate.protocol import Exam, check_settings, draw_exam, plan_study
from cmr_lib.simulate.reading import Reading, read_study
from cmr_lib.simulate.report import write_report
from cmr_lib.simulate.scanner import image_shot, stored_values

TRUTH_COLUMNS = (
    *("patient_id", "accession", "study_number", "diagnosis", "sex", "age", "bsa_m2", "lvef", "lvedv_ml", "lvesv_ml"),
    *("lv_mass_g", "rvef", "rvedv_ml", "wall_mm", "lvedvi", "rvedvi", *FINDINGS, "lge_pattern", "territory"),
    *("vendor", "field_strength_t", "heart_rate", "has_report", "has_images"),
)
CHUNK = 4  # studies handed to a process at a time


@dataclass(frozen=True)
class Visit:
    """A place in the hospital's calendar: whose study, the how-manieth, and what came of it."""

    patient: int
    study: int
    has_images: bool
    has_report: bool


@dataclass(frozen=True)
class Study:
    """One finished study; `archive` is the zip's bytes, None where the images never came."""

    truth: dict[str, Any]
    report: str | None
    archive: bytes | None


def check_hospital(settings: Simulate) -> None:
    """Raise ValueError, naming the parameter, for settings that this hospital cannot follow."""
    if settings.source != "simulated":
        raise ValueError(f"source is {settings.source!r}: only `simulated` has anything to simulate.")
    check_diagnoses(settings.diagnoses)
    check_settings(settings)


def phantom_of(settings: Simulate, patient: int, study: int = 1) -> Phantom:
    """The phantom of one study (patients count from 0, studies from 1): `.render`, `.labels`, `.truth`.

    Raises ValueError for settings that cannot be simulated or a patient or study below its first.
    """
    check_hospital(settings)
    return Phantom(draw_latents(settings.seed, patient, study, settings.diagnoses))


def visits(settings: Simulate) -> list[Visit]:
    """Every study of the hospital in order, orphan reports (of patients nobody scanned here) last."""
    hospital, planned = settings.hospital, []
    for patient in range(hospital.n_patients):
        for study in range(1, 1 + number_of_studies(settings.seed, patient, hospital.repeat_share)):
            lost = project.rng(settings.seed, "no report", patient, study).random() < hospital.no_report_share
            planned.append(Visit(patient, study, True, not lost))
    orphans = round(hospital.orphan_report_share * len(planned))
    return planned + [Visit(hospital.n_patients + index, 1, False, True) for index in range(orphans)]


def _read(settings: Simulate, phantom: Phantom) -> tuple[Reading, np.random.Generator]:
    """The reading of a study and the generator that writes on from there."""
    latents = phantom.latents
    random = project.rng(settings.seed, "reader", latents.patient, latents.study)
    return read_study(latents, phantom.truth, settings.reader, random), random


def report_of(settings: Simulate, phantom: Phantom) -> tuple[str, tuple[Reading, dict[str, str]]]:
    """The report on a phantom; a later study's report knows (and copies from) the one before."""
    before = None
    if phantom.latents.study > 1:
        before = report_of(settings, phantom_of(settings, phantom.latents.patient, phantom.latents.study - 1))[1]
    reading, random = _read(settings, phantom)
    text, found = write_report(reading, random, settings.reader.omission_share, before)
    return text, (reading, found)


def archive_of(settings: Simulate, phantom: Phantom, exam: Exam) -> bytes:
    """Scan the phantom and pack its DICOM files."""
    latents = phantom.latents
    shots = plan_study(settings, latents, phantom.shape)
    pixels = {}
    for index, shot in enumerate(shots):
        random = project.rng(settings.seed, "noise", latents.patient, latents.study, index)
        pixels[index] = stored_values(image_shot(phantom, shot, exam, random), exam, shot.sequence)
    return dicom.study_zip(settings.seed, latents, exam, shots, pixels)


def make_study(settings: Simulate, visit: Visit) -> Study:
    """Everything of one study: a function of the settings and of (patient, study) alone."""
    phantom = phantom_of(settings, visit.patient, visit.study)
    latents, person = phantom.latents, phantom.latents.person
    exam = draw_exam(settings, latents)
    row = {
        "patient_id": dicom.patient_id(visit.patient),
        "accession": dicom.accession(visit.patient, visit.study),
        "study_number": visit.study,
        "diagnosis": latents.disease.diagnosis.value,
        "sex": person.sex,
        "age": person.age,
        "bsa_m2": person.bsa_m2,
        **phantom.truth,
        "vendor": exam.vendor.code,
        "field_strength_t": exam.field_t,
        "heart_rate": latents.heart_rate,
        "has_report": int(visit.has_report),
        "has_images": int(visit.has_images),
    }
    return Study(
        truth={name: row[name] for name in TRUTH_COLUMNS},
        report=report_of(settings, phantom)[0] if visit.has_report else None,
        archive=archive_of(settings, phantom, exam) if visit.has_images else None,
    )


def _write_study(visit: Visit, settings: Simulate, folder: Path) -> tuple[dict[str, Any], str | None]:
    """Make a study in a worker, write its zip there, and send back only what the tables need."""
    study = make_study(settings, visit)
    if study.archive is not None:
        project.write_bytes(folder / f"{study.truth['accession']}.zip", study.archive)
    return study.truth, study.report


def _all_studies(settings: Simulate, planned: list[Visit], folder: Path) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Every study in order, from this process or from a pool of `settings.workers`."""
    work = partial(_write_study, settings=settings, folder=folder)
    if settings.workers == 1:
        yield from map(work, planned)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cmr_lib.simulate.cohort"])  # heavy imports once, not once a process
    with ProcessPoolExecutor(settings.workers, mp_context=context) as pool:
        yield from pool.map(work, planned, chunksize=CHUNK)


def write_hospital(settings: Simulate, progress: bool = True) -> pd.DataFrame:
    """Write studies/*.zip, reports.csv and truth.csv below `settings.data_dir`; returns the truth table.

    The bytes depend on the settings only, not on `workers`. Raises ValueError, naming the parameter, for a hospital
    that cannot be built; an exception in a worker ends the run.
    """
    check_hospital(settings)
    folder = Path(settings.data_dir)
    planned = visits(settings)
    truth, reports = [], []
    studies = _all_studies(settings, planned, folder / "studies")
    for row, report in tqdm(studies, total=len(planned), desc="studies", disable=not progress):
        truth.append(row)
        if report is not None:
            reports.append({"patient_id": row["patient_id"], "accession": row["accession"], "report": report})
    table = pd.DataFrame(truth, columns=list(TRUTH_COLUMNS))
    project.write_table(folder / "reports.csv", pd.DataFrame(reports, columns=["patient_id", "accession", "report"]))
    project.write_table(folder / "truth.csv", table)
    return table
