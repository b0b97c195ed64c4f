"""One study from number to files: phantom, exam, archive, report and the row of truth that they must agree with."""

from dataclasses import dataclass
from typing import Any

from cmr_lib import project
from cmr_lib.labels import FINDINGS
from cmr_lib.params import Simulate
from cmr_lib.simulate.archive import study_archive
from cmr_lib.simulate.headers import study_start
from cmr_lib.simulate.identity import accession, identity_of, patient_id
from cmr_lib.simulate.latents import Latents, draw_latents
from cmr_lib.simulate.phantom import Phantom
from cmr_lib.simulate.plan import draw_mess
from cmr_lib.simulate.protocol import Exam, draw_exam, grid_of, is_full_size
from cmr_lib.simulate.reading import read_study
from cmr_lib.simulate.report import Letterhead, write_report
from cmr_lib.types import Sequence

TRUTH_COLUMNS = (
    *("patient_id", "accession", "study_number", "site", "year", "diagnosis", "sex", "age", "bsa_m2"),
    *("lvef", "lvedv_ml", "lvesv_ml", "lv_mass_g", "rvef", "rvedv_ml", "wall_mm", "lvedvi", "rvedvi", "aorta_mm"),
    *("effusion_mm", "half_filling_ms", "half_filling_share", "septal_delay_ms", *FINDINGS, "lge_pattern", "territory"),
    *("silent", "vendor", "model", "field_strength_t", "snr", "spacing_mm", "artefact", "full_size", "heart_rate"),
    *("has_report", "has_images", "n_files"),
)


@dataclass(frozen=True)
class Visit:
    """A place in the hospital's calendar: whose study, the how-manieth, and what came of it."""

    patient: int
    study: int
    has_images: bool
    has_report: bool


@dataclass(frozen=True)
class Study:
    """One finished study: `archive` is the zip's bytes (None where the images never came), `contents` what it holds."""

    truth: dict[str, Any]
    report: str | None
    archive: bytes | None
    contents: list[dict[str, Any]]


def phantom_of(settings: Simulate, patient: int, study: int = 1) -> Phantom:
    """The phantom of one study (patients count from 0, studies from 1): `.render`, `.labels`, `.truth`.

    Raises ValueError for settings that cannot be simulated or a patient or study below its first.
    """
    return Phantom(draw_latents(settings.seed, patient, study, settings.diagnoses))


def scan_facts(settings: Simulate, latents: Latents, exam: Exam) -> dict[str, Any]:
    """Where, when and how a study was scanned: columns of the truth that must not know the diagnosis."""
    return {
        "site": latents.site,
        "year": study_start(settings.seed, latents).year,
        "vendor": exam.vendor.code,
        "model": exam.model,
        "field_strength_t": exam.field_t,
        "snr": exam.snr,
        "spacing_mm": grid_of(settings, latents, exam.vendor).spacing_mm,
        "artefact": exam.artefact,
        "full_size": int(is_full_size(settings, latents)),
    }


def _letterhead(settings: Simulate, latents: Latents, before: Phantom | None) -> Letterhead:
    """What would name the patient at the head of a report."""
    return Letterhead(
        identity=identity_of(settings.seed, latents.patient, latents.person.age),
        accession=accession(latents.patient, latents.study),
        study_date=study_start(settings.seed, latents).date(),
        previous_date=None if before is None else study_start(settings.seed, before.latents).date(),
    )


def report_of(settings: Simulate, phantom: Phantom) -> tuple[str, Any]:
    """The report on a phantom, and what the next report copies from it; a later study's knows the one before."""
    latents, earlier, before = phantom.latents, None, None
    if latents.study > 1:
        earlier = phantom_of(settings, latents.patient, latents.study - 1)
        before = report_of(settings, earlier)[1]
    random = project.rng(settings.seed, "reader", latents.patient, latents.study)
    late_imaged = draw_mess(settings, latents).missing is not Sequence.LGE  # nobody describes what was never acquired
    reading = read_study(latents, phantom.truth, settings.reader, random, late_imaged)
    text, found = write_report(reading, random, settings.reader, before, _letterhead(settings, latents, earlier))
    return text, (reading, found)


def make_study(settings: Simulate, visit: Visit) -> Study:
    """Everything of one study: a function of the settings and of (patient, study) alone."""
    phantom = phantom_of(settings, visit.patient, visit.study)
    latents, person = phantom.latents, phantom.latents.person
    exam = draw_exam(settings, latents)
    archive, contents = study_archive(settings, phantom, exam) if visit.has_images else (None, [])
    row = phantom.truth | scan_facts(settings, latents, exam)
    row |= {
        "patient_id": patient_id(visit.patient),
        "accession": accession(visit.patient, visit.study),
        "study_number": visit.study,
        "diagnosis": latents.disease.diagnosis.value,
        "sex": person.sex,
        "age": person.age,
        "bsa_m2": person.bsa_m2,
        "silent": int(latents.disease.silent),
        "heart_rate": latents.heart_rate,
        "has_report": int(visit.has_report),
        "has_images": int(visit.has_images),
        "n_files": sum(entry["files"] for entry in contents),
    }
    return Study(
        truth={name: row[name] for name in TRUTH_COLUMNS},
        report=report_of(settings, phantom)[0] if visit.has_report else None,
        archive=archive,
        contents=contents,
    )
