"""The hospital on disk: studies as zips with their reports, truth and contents; a second hospital; ACDC's layout.

Any number of processes writes the same bytes, and an interrupted run goes on where it stopped (`pool`).
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd
from tqdm import tqdm

from cmr_lib import project
from cmr_lib.params import Simulate
from cmr_lib.simulate import acdc
from cmr_lib.simulate.archive import CONTENTS_COLUMNS
from cmr_lib.simulate.diseases import check_diagnoses
from cmr_lib.simulate.identity import ACDC_COHORT, SECOND_HOSPITAL
from cmr_lib.simulate.latents import number_of_studies
from cmr_lib.simulate.pool import Made, Run, crew, records, run_digest
from cmr_lib.simulate.protocol import check_settings
from cmr_lib.simulate.study import TRUTH_COLUMNS, Study, Visit, make_study, phantom_of, report_of

__all__ = [
    "TRUTH_COLUMNS",
    "Study",
    "Visit",
    "check_hospital",
    "make_study",
    "phantom_of",
    "report_of",
    "second_visits",
    "visits",
    "write_hospital",
]
REPORT_COLUMNS = ("patient_id", "accession", "report")
Team = Callable[..., Iterator[Any]]  # see `pool.crew`


def check_hospital(settings: Simulate) -> None:
    """Raise ValueError, naming the parameter, for settings that this hospital cannot follow."""
    if settings.source != "simulated":
        raise ValueError(f"source is {settings.source!r}: only `simulated` has anything to simulate.")
    check_diagnoses(settings.diagnoses)
    check_settings(settings)
    external, patients = settings.external, settings.hospital.n_patients
    if patients > SECOND_HOSPITAL // 2:  # orphan reports are numbered behind the patients
        raise ValueError(f"hospital.n_patients must be at most {SECOND_HOSPITAL // 2}, got {patients}.")
    if external.second_studies > ACDC_COHORT - SECOND_HOSPITAL:
        most = ACDC_COHORT - SECOND_HOSPITAL
        raise ValueError(f"external.second_studies must be at most {most}, got {external.second_studies}.")
    members = external.acdc_training + external.acdc_testing
    if members > acdc.MOST:
        raise ValueError(f"external.acdc_training + external.acdc_testing must be at most {acdc.MOST}, got {members}.")


def _visits_of(settings: Simulate, patient: int) -> list[Visit]:
    """All studies of one patient; some never get a report."""
    hospital, planned = settings.hospital, []
    for study in range(1, 1 + number_of_studies(settings.seed, patient, hospital.repeat_share)):
        lost = project.rng(settings.seed, "no report", patient, study).random() < hospital.no_report_share
        planned.append(Visit(patient, study, True, not lost))
    return planned


def visits(settings: Simulate) -> list[Visit]:
    """Every study of the hospital in order, orphan reports (of patients nobody scanned here) last."""
    hospital = settings.hospital
    planned = [visit for patient in range(hospital.n_patients) for visit in _visits_of(settings, patient)]
    orphans = round(hospital.orphan_report_share * len(planned))
    return planned + [Visit(hospital.n_patients + index, 1, False, True) for index in range(orphans)]


def second_visits(settings: Simulate) -> list[Visit]:
    """The studies of the second hospital in order, as many as were asked for."""
    wanted, planned, patient = settings.external.second_studies, [], SECOND_HOSPITAL
    while len(planned) < wanted:
        planned += _visits_of(settings, patient)
        patient += 1
    return planned[:wanted]


def _study(visit: Visit, settings: Simulate, place: str) -> Made:
    """A study as the pool keeps it."""
    study = make_study(settings, visit)
    files = {} if study.archive is None else {f"{place}studies/{study.truth['accession']}.zip": study.archive}
    return Made(files, {"truth": study.truth, "report": study.report, "contents": study.contents})


def _member(member: acdc.Member, settings: Simulate) -> Made:
    """A patient of the ACDC layout as the pool keeps it."""
    files, row = acdc.make_member(settings, member)
    return Made({f"acdc/{path}": data for path, data in files.items()}, {"truth": row})


def _write_studies(
    team: Team, run: Run, settings: Simulate, planned: Sequence[Visit], place: str, **bar: Any
) -> pd.DataFrame:
    """Write one hospital's zips and tables below `place` ("" or a folder with a slash); returns its truth table."""
    tasks = [(f"study-{visit.patient:06d}-{visit.study:02d}", visit) for visit in planned]
    truth, reports, contents = [], [], []
    made = records(team, run, partial(_study, settings=settings, place=place), tasks)
    for record in tqdm(made, total=len(tasks), **bar):
        row = record["truth"]
        truth.append(row)
        contents += record["contents"]
        if record["report"] is not None:
            reports.append({name: (row | record)[name] for name in REPORT_COLUMNS})
    table = pd.DataFrame(truth, columns=list(TRUTH_COLUMNS))
    project.write_table(run.files / f"{place}reports.csv", pd.DataFrame(reports, columns=list(REPORT_COLUMNS)))
    project.write_table(run.files / f"{place}contents.csv", pd.DataFrame(contents, columns=list(CONTENTS_COLUMNS)))
    project.write_table(run.files / f"{place}truth.csv", table)
    return table


def _write_acdc(team: Team, run: Run, settings: Simulate, **bar: Any) -> None:
    """Write the cohort in the layout of ACDC, its truth and what it is."""
    members = acdc.members(settings.external.acdc_training, settings.external.acdc_testing)
    tasks = [(f"acdc-{member.name}", member) for member in members]
    made = records(team, run, partial(_member, settings=settings), tasks)
    rows = [record["truth"] for record in tqdm(made, total=len(tasks), **bar)]
    project.write_table(run.files / "acdc/truth.csv", pd.DataFrame(rows, columns=list(acdc.TRUTH_COLUMNS)))
    project.write_text(run.files / "acdc/README.md", acdc.README)


def write_hospital(settings: Simulate, progress: bool = True) -> pd.DataFrame:
    """Write everything below `settings.data_dir`; returns the truth table of the (first) hospital.

    studies/*.zip, reports.csv, truth.csv, contents.csv; the same below second/; acdc/database, acdc/truth.csv. What is
    finished is kept in .partial until all is, and moved to its place then. The bytes depend on the settings only, not
    on `workers`. Raises ValueError, naming the parameter, for a hospital that cannot be built, and OSError for a full
    disk; an exception in a worker ends the run.
    """
    check_hospital(settings)
    run = Run(settings.data_dir, run_digest(settings))
    quiet = not progress
    try:
        with crew(settings.workers) as team:
            table = _write_studies(team, run, settings, visits(settings), "", desc="studies", disable=quiet)
            second = second_visits(settings)
            _write_studies(team, run, settings, second, "second/", desc="second hospital", disable=quiet)
            _write_acdc(team, run, settings, desc="ACDC layout", disable=quiet)
        run.publish()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        kept = "what is finished is kept: make room and start again, it goes on from there"
        raise OSError(errno.ENOSPC, f"The disk is full; {kept}", str(run.partial)) from error
    return table
