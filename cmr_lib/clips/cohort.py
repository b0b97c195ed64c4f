"""Studies, reports and truth, matched by keyed accession number; contradictions are quarantined, never resolved."""

import datetime
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cmr_lib import labels, params, project
from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.ingest.public import catalogue
from cmr_lib.ingest.rejects import reject
from cmr_lib.ingest.tables import read_reports
from cmr_lib.reports.identifiers import Identifiers
from cmr_lib.types import Reject, Split

MAX_REPORT_CHARS = 100_000
WORD_LABELS = ("diagnosis", "sex", "lge_pattern", "territory")
NUMBER_LABELS = (
    *("lvef", "lvedv_ml", "lvesv_ml", "lv_mass_g", "rvef", "rvedv_ml", "wall_mm", "lvedvi", "rvedvi", "aorta_mm"),
    *("effusion_mm", "half_filling_share", "septal_delay_ms", "silent"),
)
LABELS = ("diagnosis", "sex", *NUMBER_LABELS, *labels.FINDINGS, "lge_pattern", "territory")  # the allow-list
SIMULATED_COLUMNS = params.ReportColumns(patient="patient_id", accession="accession", text="report")


@dataclass
class StudyResult:
    """A study ready for the store, without its identifiers."""

    study_key: str
    patient_key: str = ""
    patient_named: bool = False  # by its DICOM files; otherwise the study is a patient of its own
    clips: list[PreparedClip] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    facts: dict[str, float | int | str] = field(default_factory=dict)
    labels: dict[str, float | int | str] = field(default_factory=dict)  # a public set's own
    quality: dict[str, float | int] = field(default_factory=dict)
    split: Split | None = None  # a public set's own
    day: datetime.date | None = None  # restricted: leaves shifted by the patient's own number of days
    known: Identifiers = field(default_factory=Identifiers)  # restricted: what its report must not say; never written
    used: bool = False  # its clips are in the store

    def refuse(self, code: str, tag: str = "") -> None:
        """Take the study out: one row, and its accepted files counted as rejected."""
        self.clips = []
        self.rejects.append(reject("study", code, study_key=self.study_key, tag=tag))
        self.counts["rejected"] += self.counts["accepted"]
        self.counts["accepted"] = 0


# --- where things are -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Places:
    """Inputs of the stage."""

    studies: Path
    reports: Path | None
    truth: Path | None
    columns: params.ReportColumns


def places(settings: params.Preprocess) -> Places:
    """Where studies, reports and truth lie. Raises ValueError for a source without a folder."""
    cohort = settings.cohort
    if settings.source == "simulated":
        data = Path(settings.data_dir)
        return Places(
            studies=project.require(cohort.studies or data / "studies", "the stage simulate"),
            reports=project.require(cohort.reports or data / "reports.csv", "the stage simulate"),
            truth=project.require(data / "truth.csv", "the stage simulate"),
            columns=cohort.columns if cohort.reports else SIMULATED_COLUMNS,
        )
    if settings.source == "dicom":
        if cohort.studies is None:
            raise ValueError("source is dicom, but cohort.studies is empty: set it to the folder of your studies.")
        return Places(Path(cohort.studies), Path(cohort.reports) if cohort.reports else None, None, cohort.columns)
    if cohort.studies is None:
        layout = catalogue.SETS[settings.source].layout
        raise ValueError(
            f"source is {settings.source}, but cohort.studies is empty: set it to the folder that holds {layout}."
        )
    return Places(Path(cohort.studies).expanduser(), None, None, cohort.columns)


# --- reports ----------------------------------------------------------------------------------------------------
@dataclass
class Reports:
    """Reports by study key, the patients they name, and the rows of those that cannot be used."""

    text: dict[str, str] = field(default_factory=dict)
    patient_key: dict[str, str] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    found: int = 0


def _fault(accession: str, text: str) -> str:
    if not accession:
        return "E_REPORT_NO_ACCESSION"
    if not text:
        return "E_REPORT_EMPTY"
    return "E_REPORT_TOO_LONG" if len(text) > MAX_REPORT_CHARS else ""


def load_reports(where: Places, key: bytes) -> Reports:
    """Read the table; refuse reports without accession, without text, or too long. No table: no reports."""
    if where.reports is None:
        return Reports()
    table = read_reports(where.reports, where.columns)
    reports = Reports(found=len(table))
    if table.attrs["encoding"] != "utf-8":
        reports.rejects.append(reject("table", "W_ENCODING"))
    for patient, accession, text in table.itertuples(index=False):
        study_key = project.keyed_name(key, "study", accession) if accession else ""
        if code := _fault(accession, text):
            reports.rejects.append(reject("report", code, study_key=study_key))
            continue
        reports.text[study_key] = text
        reports.patient_key[study_key] = project.keyed_name(key, "patient", patient) if patient else ""
    return reports


def admit(study: StudyResult, reports: Reports, seen: set[str]) -> None:
    """Judge one study against those before it and its report, in place; a study that is refused loses its clips.

    Of several studies of one accession number the first with clips stays. Two names for one patient: study and report
    are quarantined. A study without a report is kept. `seen` holds the keys of the studies that stay.
    """
    if not study.clips:
        return
    key = study.study_key
    named = reports.patient_key.get(key, "")
    if key in seen:
        study.refuse("E_DUP_STUDY", "AccessionNumber")
        return
    seen.add(key)
    if named and study.patient_named and named != study.patient_key:
        study.refuse("E_IDENTITY_CONFLICT", "PatientID")
        reports.rejects.append(reject("report", "E_IDENTITY_CONFLICT", study_key=key, tag="PatientID"))
        del reports.text[key]
        return
    study.used = True
    if key not in reports.text:
        study.rejects.append(reject("study", "W_NO_REPORT", study_key=key))
    elif named:
        study.patient_key = named


def drop_orphans(reports: Reports, used: set[str]) -> None:
    """Refuse the reports whose study is absent or was rejected, in place."""
    for key in sorted(set(reports.text) - used):
        reports.rejects.append(reject("report", "E_NO_STUDY", study_key=key))
        del reports.text[key]


# --- truth ------------------------------------------------------------------------------------------------------
def load_labels(path: Path, key: bytes) -> pd.DataFrame:
    """The allow-listed label columns of a truth table, by study key. Raises ValueError naming a missing column."""
    truth = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in ("accession", *LABELS) if name not in truth.columns]
    if missing:
        raise ValueError(f"Truth table {path.name} lacks {', '.join(missing)}; found: {', '.join(truth.columns)}.")
    table = truth[list(LABELS)].copy()
    for name in NUMBER_LABELS:
        table[name] = pd.to_numeric(table[name], errors="coerce")
    for name in labels.FINDINGS:
        table[name] = pd.to_numeric(table[name]).astype("int64")
    table.index = pd.Index([project.keyed_name(key, "study", value) for value in truth["accession"]], name="study_key")
    return table
