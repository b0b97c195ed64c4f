"""Studies, reports and truth, matched by keyed accession number; contradictions are quarantined, never resolved."""

import datetime
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cmr_lib import labels, params, project
from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.clips.report_reading import Reports, Scrubber, accept, is_of_another_patient
from cmr_lib.ingest.public import catalogue
from cmr_lib.ingest.rejects import reject
from cmr_lib.reports.identifiers import Identifiers
from cmr_lib.types import Reject, Split

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
    """Where studies, reports and truth lie.

    Raises ValueError for a source without a folder, FileNotFoundError for a report table that is not there.
    """
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
        reports = Path(cohort.reports).expanduser() if cohort.reports else None
        if reports is not None and not reports.exists():
            raise FileNotFoundError("The report table (cohort.reports) is not there: correct its path.")
        return Places(Path(cohort.studies).expanduser(), reports, None, cohort.columns)
    if cohort.studies is None:
        layout = catalogue.SETS[settings.source].layout
        raise ValueError(
            f"source is {settings.source}, but cohort.studies is empty: set it to the folder that holds {layout}."
        )
    return Places(Path(cohort.studies).expanduser(), None, None, cohort.columns)


# --- reports ----------------------------------------------------------------------------------------------------
def admit(study: StudyResult, reports: Reports, seen: set[str], scrubber: Scrubber) -> None:
    """Judge one study against those before it and its report, in place; a study that is refused loses its clips.

    Of several studies of one accession number the first with clips stays. Two names for one patient, in the tables or
    in the report's words: study and report are quarantined. A study without a report is kept. `seen` holds the keys of
    the studies that stay. An accepted report is scrubbed of what the study's headers know.
    """
    if not study.clips:
        return
    key = study.study_key
    if key in seen:
        study.refuse("E_DUP_STUDY", "AccessionNumber")
        return
    seen.add(key)
    if key in reports.waiting and _contradict(study, reports):
        study.refuse("E_IDENTITY_CONFLICT", "PatientID")
        reports.refuse(key, "E_IDENTITY_CONFLICT", "PatientID")
        return
    study.used = True
    if key not in reports.waiting:
        study.rejects.append(reject("study", "W_NO_REPORT", study_key=key))
        return
    study.patient_key = reports.patient_key.get(key, study.patient_key)
    accept(reports, key, scrubber, study.known, study.patient_key, str(study.facts.get("sex", "")))


def _contradict(study: StudyResult, reports: Reports) -> bool:
    """Whether a study and its waiting report name two patients."""
    named = reports.patient_key.get(study.study_key, "")
    by_table = named and study.patient_named and named != study.patient_key
    return bool(by_table) or is_of_another_patient(reports, study.study_key, study.known)


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
