"""Invented identifiers that stand nowhere else: whoever finds one has found a leak.

Names are rare syllables, codes two letters and ten digits, days lie where no other date of a run does. Every draw is a
function of (seed, study), so that a campaign can be repeated.
"""

import datetime
from dataclasses import dataclass

import numpy as np

from cmr_lib import project

HARD, SOFT = "qxzvjwk", "aeiou"
STUDY_YEARS, OTHER_YEARS = (2061, 2063), (1905, 1929)  # even moved by ten years, they meet no other date of a run


@dataclass(frozen=True)
class Canary:
    """One planted identifier.

    `exact` ones are searched as they are written, small letters or capitals; the others in any spelling.
    """

    value: str
    study: int
    carrier: str  # where it was planted: a value representation, a written form, a kind of file
    exact: bool = False


class Mint:
    """Draws identifiers for one study."""

    def __init__(self, seed: int, study: int) -> None:
        self._rng: np.random.Generator = project.rng(seed, "canaries", study)

    def _letters(self, alphabet: str, count: int) -> str:
        return "".join(self._rng.choice(list(alphabet), count))

    def name(self) -> str:
        """A name of ten letters, consonant and vowel by turns."""
        pairs = zip(self._letters(HARD, 5), self._letters(SOFT, 5), strict=True)
        return "".join(hard + soft for hard, soft in pairs).capitalize()

    def accented(self) -> str:
        """A name of ten letters with an umlaut as its fourth and an accent as its sixth."""
        name = self.name()
        return f"{name[:3]}ö{name[4]}é{name[6:]}"

    def digits(self, count: int) -> str:
        """A number that does not begin with 0."""
        return str(self._rng.integers(1, 10)) + "".join(map(str, self._rng.integers(0, 10, count - 1)))

    def code(self) -> str:
        """Two letters and ten digits."""
        return self._letters(HARD, 2).upper() + self.digits(10)

    def day(self, years: tuple[int, int] = OTHER_YEARS) -> datetime.date:
        """A day in a range of years, the second included; never one below 13, so that no form of it is ambiguous."""
        year, month = self._rng.integers(years[0], years[1] + 1), self._rng.integers(1, 13)
        return datetime.date(int(year), int(month), int(self._rng.integers(13, 29)))

    def time(self) -> str:
        """A time of day as DICOM writes it, with microseconds."""
        hour, minute, second = self._rng.integers(0, 24), self._rng.integers(0, 60), self._rng.integers(0, 60)
        return f"{hour:02d}{minute:02d}{second:02d}.{self.digits(6)}"


@dataclass(frozen=True)
class Person:
    """Everything that names the patient of a study, and those who dealt with them."""

    study: int
    family: str
    given: str
    middle: str
    patient_id: str
    accession: str
    birth: datetime.date
    day: datetime.date
    referring: str
    reader: str
    operator: str
    institution: str
    street: str
    telephone: str

    @property
    def dicom_name(self) -> str:
        """The name in DICOM's form, family first."""
        return f"{self.family}^{self.given}^{self.middle}"


def person_of(seed: int, study: int) -> Person:
    """The invented patient of a study."""
    mint = Mint(seed, study)
    return Person(
        study=study,
        family=mint.accented(),
        given=mint.accented(),
        middle=mint.name(),
        patient_id=mint.code(),
        accession=mint.code(),
        birth=mint.day(),
        day=mint.day(STUDY_YEARS),
        referring=mint.name(),
        reader=mint.name(),
        operator=mint.name(),
        institution=f"{mint.name()} Heart Institute",
        street=mint.name(),
        telephone=f"+00 {mint.digits(3)} {mint.digits(7)}",
    )
