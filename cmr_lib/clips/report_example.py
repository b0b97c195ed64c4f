"""One report, step by step, to look at: as it is after scrubbing, with the places where something was taken out.

Of the simulated hospital it is one of its own reports. Of any other cohort it is an invented one, written here: nothing
of a patient's report is shown in a notebook.
"""

import datetime
from dataclasses import dataclass

from cmr_lib import params, project
from cmr_lib.clips import cohort
from cmr_lib.clips.report_reading import Scrubber, Waiting, load_reports
from cmr_lib.clips.work import known_of
from cmr_lib.ingest.studies import find_studies, study_name
from cmr_lib.reports.identifiers import Identifiers
from cmr_lib.reports.scrub import Scrubbed
from cmr_lib.reports.sections import pieces_of, split_sections
from cmr_lib.reports.summary import Summary, summarise
from cmr_lib.types import Report

PATIENT, ACCESSION = "INV0042", "INV-2015-0042"
INVENTED = Waiting(
    f"""Patient: Invented, Nobody
MRN: {PATIENT}
Date of birth: 30.11.1961
Accession: {ACCESSION}
Study date: 09.03.2015

INDICATION: Mr Invented was referred by Dr Madeup for dyspnoea.
FINDINGS: LVEDV 266 mL (142 mL/m2), LVEF 36 %. No left ventricular thrombus. Akinesis of the inferior wall with
transmural late enhancement. The right ventricle is normal in size, RVEF 57 %. Compared with 12.01.2014 unchanged.
IMPRESSION: Ischaemic cardiomyopathy, RCA territory. Mr N. Invented should be seen again.

Electronically signed by: Dr Fictional, 09.03.2015""",
    PATIENT,
    ACCESSION,
    1,
)
KNOWN = Identifiers(
    names=("Invented^Nobody", "Madeup^Dr", "Fictional^Dr"),
    dates=(datetime.date(2015, 3, 9),),
    births=(datetime.date(1961, 11, 30),),
)


@dataclass(frozen=True)
class Steps:
    """A report on its way: scrubbed, by section, and what was read in it."""

    scrubbed: Scrubbed
    pieces: list[tuple[str, str]]  # (section, text) in order
    report: Report
    summary: Summary

    @property
    def parts(self) -> list[tuple[str, str]]:
        """The scrubbed text in pieces: (what stands there now, "" or the kind of what was taken out there)."""
        text, removed = self.scrubbed.text, self.scrubbed.removed
        parts, shift, last = [], 0, 0
        for one in removed:
            start = one.start + shift
            parts += [(text[last:start], ""), (one.written, one.kind)]
            last = start + len(one.written)
            shift = last - one.end
        return [part for part in [*parts, (text[last:], "")] if part[0]]


def _of_the_hospital(settings: params.Preprocess, key: bytes) -> tuple[Waiting, Identifiers, str]:
    """The shortest report of the simulated hospital that names its patient, what its header knows, and whose it is."""
    where = cohort.places(settings)
    waiting = load_reports(where.reports, settings.cohort, where.columns, key).waiting
    studies = {project.keyed_name(key, "study", study_name(path)): path for path in find_studies(where.studies)}
    usable = {name: one for name, one in waiting.items() if name in studies}
    chosen = min(usable, key=lambda name: (usable[name].patient not in usable[name].text, len(usable[name].text), name))
    one = usable[chosen]
    return one, known_of(studies[chosen]), project.keyed_name(key, "patient", one.patient)


def example(settings: params.Preprocess) -> Steps:
    """The steps of one report: the simulated hospital's, or an invented one for a cohort of anybody's."""
    key = project.read_key(settings.identity.key_file)
    simulated = settings.source == "simulated" and settings.cohort.studies is None and settings.cohort.reports is None
    one, known, patient = _of_the_hospital(settings, key) if simulated else (INVENTED, KNOWN, PATIENT)
    clean = Scrubber(key, settings.cohort.day_first, None)(one, known, patient)
    report = split_sections(clean.text)
    return Steps(clean, pieces_of(clean.text), report, summarise(report))
