"""Reports of a cohort: read, judged, and scrubbed of everything that the study's own header knows of the patient.

The text as it was written stays in the memory of the stage. What is kept of it, and may be written, is a scrubbed
report by section, with its dates moved by as many days as those of the images.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cmr_lib import params, project
from cmr_lib.ingest.rejects import reject
from cmr_lib.ingest.tables import read_report_table
from cmr_lib.reports.checks import fault, remarks
from cmr_lib.reports.identifiers import Identifiers, names_another_patient, united
from cmr_lib.reports.recogniser import analyzer
from cmr_lib.reports.scrub import Scrubbed, scrub
from cmr_lib.reports.sections import split_sections
from cmr_lib.reports.summary import Summary, summarise
from cmr_lib.types import Reject, Report

LEVEL = "report"


@dataclass(frozen=True)
class Waiting:
    """A usable report that waits for its study. Restricted, all of it."""

    text: str
    patient: str
    accession: str
    rows: int  # of the table that were joined to it


@dataclass(frozen=True)
class Accepted:
    """What is kept of a report: its scrubbed sections, what it says, how many pieces were removed, of which kind."""

    report: Report
    summary: Summary
    removed: Mapping[str, int]
    rows: int


@dataclass
class Reports:
    """Reports by study key: those that wait, those that are accepted, and the rows of those that cannot be used."""

    waiting: dict[str, Waiting] = field(default_factory=dict)
    accepted: dict[str, Accepted] = field(default_factory=dict)
    patient_key: dict[str, str] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    found: int = 0

    def refuse(self, key: str, code: str, tag: str = "") -> None:
        """Take a waiting report out: a line for each row of the table that it was made of."""
        one = self.waiting.pop(key)
        self.rejects += [reject(LEVEL, code, study_key=key, tag=tag)] * one.rows

    def counts(self) -> dict[str, int]:
        """Rows of the report table: found, accepted, rejected, ignored. Nothing is computed as a difference."""
        judged = Counter(row.action for row in self.rejects if row.level == LEVEL)
        accepted = sum(one.rows for one in self.accepted.values())
        known = {"found": self.found, "accepted": accepted, "rejected": judged["rejected"]}
        return known | ({"ignored": judged["ignored"]} if judged["ignored"] else {})

    def removed(self) -> dict[str, int]:
        """Pieces that were taken out of the accepted reports, by kind."""
        total: Counter[str] = Counter()
        for one in self.accepted.values():
            total.update(one.removed)
        return dict(sorted(total.items()))


def load_reports(path: Path | None, cohort: params.Cohort, columns: params.ReportColumns, key: bytes) -> Reports:
    """The reports of a table or folder; those without accession, without text, too long or no text get their code.

    No table: no reports. Raises as `ingest.tables.read_report_table`.
    """
    if path is None:
        return Reports()
    table = read_report_table(path, columns, key, cohort.several_reports)
    reports = Reports(found=table.found, rejects=list(table.rejects))
    for patient, accession, text, rows in table.reports.itertuples(index=False):
        study_key = project.keyed_name(key, "study", accession) if accession else ""
        reports.waiting[study_key] = Waiting(text, patient, accession, int(rows))
        if code := fault(text) if accession else "E_REPORT_NO_ACCESSION":
            reports.refuse(study_key, code)
        elif patient:
            reports.patient_key[study_key] = project.keyed_name(key, "patient", patient)
    return reports


def _known(known: Identifiers, one: Waiting) -> Identifiers:
    """What the study's header says, and the numbers under which the report table names patient and study."""
    return united([known], [one.patient, one.accession])


def is_of_another_patient(reports: Reports, key: str, known: Identifiers) -> bool:
    """Whether the waiting report of a study gives a patient's number that is none of the study's."""
    one = reports.waiting[key]
    return names_another_patient(one.text, _known(known, one))


@dataclass(frozen=True)
class Scrubber:
    """How the reports of a run are scrubbed. Raises as `reports.recogniser.analyzer`, at once."""

    key: bytes
    day_first: bool
    model: str | None  # folder of a spaCy model for Presidio

    def __post_init__(self) -> None:
        if self.model:
            analyzer(self.model)  # a missing model stops the stage now, not behind an hour of reading

    def __call__(self, one: Waiting, known: Identifiers, patient_key: str) -> Scrubbed:
        """The text without identifiers; dates go back by the patient's own number of days, as those of the images."""
        days = -project.shift_days(self.key, patient_key)
        return scrub(one.text, _known(known, one), days, day_first=self.day_first, model=self.model)


def accept(reports: Reports, key: str, scrubber: Scrubber, known: Identifiers, patient_key: str, sex: str) -> None:
    """Scrub a waiting report, split it, read what it says, and note what is odd about it, in place."""
    one = reports.waiting.pop(key)
    clean = scrubber(one, known, patient_key)
    report = split_sections(clean.text)
    kinds = Counter(piece.kind for piece in clean.removed)
    reports.accepted[key] = Accepted(report, summarise(report, sex), kinds, one.rows)
    reports.rejects += [reject(LEVEL, code, study_key=key) for code in remarks(clean.text)]


def drop_orphans(reports: Reports) -> None:
    """Refuse the reports that still wait when all studies are done: their study is absent or was rejected."""
    for key in sorted(reports.waiting):
        reports.refuse(key, "E_NO_STUDY")
