"""What names the patient in a report, and where: letterhead, indication, comparison and signature, nowhere else.

A de-identifier has to find it in all of its written forms.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cmr_lib.simulate.identity import Identity

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DATES: tuple[Callable[[datetime.date], str], ...] = (
    lambda day: day.isoformat(),
    lambda day: f"{day.day:02d}.{day.month:02d}.{day.year}",
    lambda day: f"{day.day:02d}/{day.month:02d}/{day.year}",
    lambda day: f"{day.day} {MONTHS[day.month - 1]} {day.year}",
    lambda day: f"{day.day:02d}-{MONTHS[day.month - 1].upper()}-{day.year}",
)
NAMES: tuple[Callable[[Identity], str], ...] = (
    lambda person: f"{person.family_name}, {person.given_name}",
    lambda person: f"{person.given_name} {person.family_name}",
    lambda person: f"{person.family_name.upper()} {person.given_name}",
    lambda person: person.dicom_name,
)


@dataclass(frozen=True)
class Letterhead:
    """Who was scanned and when; `previous_date` is that of the study before, where there is one."""

    identity: Identity
    accession: str
    study_date: datetime.date
    previous_date: datetime.date | None = None


@dataclass(frozen=True)
class Marks:
    """What stands above the first header, behind the indication, in the comparison and at the end."""

    top: str
    referral: str
    comparison: str
    signature: str


def _one(random: np.random.Generator, *options: str) -> str:
    return options[int(random.integers(len(options)))]


def _top(head: Letterhead, site: str, date: Callable[[datetime.date], str], random: np.random.Generator) -> str:
    """Lines with name, number, birth and study date, and now and then an address."""
    person = head.identity
    name = NAMES[int(random.integers(len(NAMES)))](person)
    lines = [
        _one(random, f"Patient: {name}", f"Name: {name}", f"RE: {name}"),
        _one(random, f"MRN: {person.patient_id}", f"Hospital no. {person.patient_id}", f"ID {person.patient_id}"),
        _one(random, "DOB: ", "Date of birth: ", "born ") + date(person.birth_date),
        _one(random, "Accession: ", "Acc. no. ") + head.accession,
        _one(random, "Study date: ", "Scanned on ", "Date of scan: ") + date(head.study_date),
    ]
    if random.random() < 0.25:
        lines.insert(1, f"{person.address}, tel. {person.telephone}")
    if random.random() < 0.5:
        lines.insert(0, f"{site} Hospital, Cardiac MRI")
    return _one(random, "\n", "\n", " | ").join(lines)


def _referral(head: Letterhead, sex: str, random: np.random.Generator) -> str:
    """A sentence on who sent whom."""
    person = head.identity
    patient = f"{'Mr' if sex == 'M' else 'Ms'} {person.family_name}"
    return _one(
        random,
        f"{patient} was referred by Dr {person.referring}.",
        f"Referred by Dr {person.referring}.",
        f"Dr {person.referring} kindly sent {patient}.",
        "",
    )


def _signature(head: Letterhead, date: Callable[[datetime.date], str], random: np.random.Generator) -> str:
    """The line of who signed; its first words are headers that `reports.sections` knows."""
    reader, day = head.identity.reader, date(head.study_date)
    return _one(
        random,
        f"Reported by: Dr {reader}",
        f"Electronically signed by: Dr {reader}, {day}",
        f"Signed by: {reader}, MD, on {day}",
        f"Dictated by: Dr {reader}",
    )


def draw_marks(head: Letterhead, site: str, sex: str, random: np.random.Generator) -> Marks:
    """How one report names its patient; all of its dates are written in one way."""
    date = DATES[int(random.integers(len(DATES)))]
    comparison = ""
    if head.previous_date is not None:
        comparison = f"{_one(random, 'Cardiac MRI of', 'CMR of', 'Study of')} {date(head.previous_date)}."
    return Marks(
        top=_top(head, site, date, random),
        referral=_referral(head, sex, random),
        comparison=comparison,
        signature=_signature(head, date, random),
    )
