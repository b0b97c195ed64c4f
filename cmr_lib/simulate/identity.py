"""Who is invented: numbers, names, dates and addresses of people who do not exist, and where they were scanned.

All of it is a function of (seed, patient): the DICOM writer plants it in headers, the report writer in letterheads, and
a de-identifier must find it again in neither.
"""

import datetime
from dataclasses import dataclass

from cmr_lib import project

SECOND_HOSPITAL = 500_000  # patients from this number on belong to the second hospital
ACDC_COHORT = 800_000  # and from this number on to the labelled cohort in the ACDC layout
SITES = ("Riverside", "Hillcrest", "Harbour")  # of the first hospital
SECOND_SITE = "Northfield"
_SYLLABLES = ("zor", "mek", "til", "vash", "quon", "dree", "pliv", "xan", "olt", "bru", "nyx", "fep")
_STREETS = ("Quonfep Lane", "Zorbru Street", "Oltmek Road", "Plivnyx Square")


@dataclass(frozen=True)
class Identity:
    """What would name the patient, if there were one."""

    patient_id: str
    family_name: str
    given_name: str
    birth_date: datetime.date
    address: str
    telephone: str
    referring: str  # family name of the doctor who sent the patient
    reader: str  # family name of the doctor who wrote the report

    @property
    def dicom_name(self) -> str:
        """The name in DICOM's form, family first."""
        return f"{self.family_name}^{self.given_name}"


def accession(patient: int, study: int) -> str:
    """The accession number of a study: unique, and the name of its file."""
    return f"A{patient:06d}{study:02d}"


def patient_id(patient: int) -> str:
    """The hospital number of an invented patient."""
    return f"SYN{patient:06d}"


def site_of(seed: int, patient: int) -> str:
    """Where a patient is scanned; drawn without looking at the diagnosis."""
    if patient >= SECOND_HOSPITAL:
        return SECOND_SITE
    return str(project.rng(seed, "site", patient).choice(SITES, p=[0.45, 0.3, 0.25]))


def first_date(seed: int, patient: int) -> datetime.date:
    """The invented day of a patient's first study."""
    return datetime.date(2010, 1, 4) + datetime.timedelta(
        days=int(project.rng(seed, "date", patient).integers(0, 3000))
    )


def identity_of(seed: int, patient: int, age: int) -> Identity:
    """Names that nobody bears; `age` is that at the first study."""
    random = project.rng(seed, "name", patient)
    names = ["".join(random.choice(_SYLLABLES, 2)).capitalize() for _ in range(4)]
    born = first_date(seed, patient) - datetime.timedelta(days=round(365.25 * age) + int(random.integers(0, 365)))
    street = f"{int(random.integers(1, 200))} {random.choice(_STREETS)}"
    telephone = f"+00 555 {int(random.integers(0, 10**7)):07d}"
    return Identity(patient_id(patient), names[0], names[1], born, street, telephone, names[2], names[3])
