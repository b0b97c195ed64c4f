"""How a report may write who the patient is: names in twelve forms, numbers, dates in six, staff and places.

Everything written here stands in the header of the study too, so a de-identifier can know it. Names that no header
holds and that nothing marks as names ("asked Smith") cannot be taken out with certainty by anyone: they are not
planted.
"""

import datetime
import unicodedata
from collections.abc import Iterator

from tools.canaries.mint import Canary, Person

DIGRAPHS = {"ö": "oe", "ä": "ae", "ü": "ue", "Ö": "Oe", "Ä": "Ae", "Ü": "Ue"}
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip


def plain(text: str) -> str:
    """Letters without their accents."""
    return "".join(part for part in unicodedata.normalize("NFKD", text) if not unicodedata.combining(part))


def digraphs(text: str) -> str:
    """Umlauts written out, other accents dropped."""
    return plain("".join(DIGRAPHS.get(letter, letter) for letter in text))


def names(person: Person) -> dict[str, str]:
    """The patient's name in twelve forms."""
    family, given, middle = person.family, person.given, person.middle
    return {
        "as DICOM writes it": person.dicom_name,
        "given name first": f"{given} {middle} {family}",
        "family name first": f"{family}, {given}",
        "capitals": f"{family} {given}".upper(),
        "without accents": f"{plain(given)} {plain(family)}",
        "umlauts written out": f"{digraphs(family)}, {digraphs(given)}",
        "letters apart": f"{' '.join(family)}, {'.'.join(given)}",
        "hyphen at the end of a line": f"{family[:4]}-\n{family[4:]}, {given[:5]}-\n  {given[5:]}",
        "letters reversed": f"{family[::-1]} {given[::-1]}",
        "initials": f"{plain(given[0])}.{plain(middle[0])}.{plain(family[0])}.",
        "initial and family name": f"{given[0]}. {family}",
        "small letters, joined": f"{family}_{given}".lower(),
    }


def numbers(person: Person) -> dict[str, str]:
    """The patient's and the study's numbers."""
    number, accession = person.patient_id, person.accession
    return {
        "number": f"MRN {number}",
        "number in groups": f"No. {number[:2]} {number[2:6]} {number[6:]}",
        "number with hyphens": f"No. {number[:4]}-{number[4:8]}-{number[8:]}",
        "number reversed": f"No. {number[::-1]}",
        "accession": f"Accession: {accession}",
        "accession, small": f"file {accession.lower()}",
    }


def dates(day: datetime.date) -> dict[str, str]:
    """A day in six forms, and the two that DICOM and programs use."""
    month = MONTHS[day.month - 1]
    return {
        "ISO date": f"{day:%Y-%m-%d}",
        "date with full stops": f"{day:%d.%m.%Y}",
        "date with slashes": f"{day:%d/%m/%Y}",
        "date in words": f"{day.day} {month} {day.year}",
        "date with month first": f"{month} {day.day}, {day.year}",
        "date with short month": f"{day.day}-{month[:3].upper()}-{day.year}",
    }


def all_dates(day: datetime.date) -> list[str]:
    """Every form of a day that is searched."""
    return [*dates(day).values(), f"{day:%Y%m%d}"]


def others(person: Person) -> dict[str, str]:
    """Staff, places, telephone and mail."""
    return {
        "doctor": f"Dr {person.referring}",
        "reader": f"reported by {person.reader}, MD",
        "operator": f"scanned by {person.operator}",
        "institution": person.institution,
        "address": f"{person.patient_id[-2:]} {person.street} Street",
        "telephone": f"tel. {person.telephone}",
        "mail": f"{plain(person.family)}@{person.operator}.org".lower(),
    }


def sentences(person: Person) -> dict[str, str]:
    """One sentence a written form, by the form's name."""
    found = {f"text: {form}": f"Seen today: {name} for LVEF." for form, name in names(person).items()}
    found |= {f"text: {form}": f"Compare {number} of the archive." for form, number in numbers(person).items()}
    found |= {f"text: {form}": f"Scan of {day} reviewed." for form, day in dates(person.day).items()}
    found |= {f"text: birth, {form}": f"DOB: {day}." for form, day in dates(person.birth).items()}
    return found | {f"text: {form}": f"Discussed with {other}." for form, other in others(person).items()}


def canaries(person: Person) -> Iterator[Canary]:
    """What is searched: every form as it is written, and the values behind them in any spelling."""
    written = {**names(person), **numbers(person), **dates(person.day), **others(person)}
    written |= {f"birth, {form}": day for form, day in dates(person.birth).items()}
    for form, value in written.items():
        yield Canary(value, person.study, f"text: {form}", exact=True)
    for field in ("family", "given", "middle", "patient_id", "accession", "referring", "reader", "operator", "street"):
        yield Canary(getattr(person, field), person.study, f"identity: {field}")
    yield Canary(person.institution.split()[0], person.study, "identity: institution")
    yield Canary(person.telephone.removeprefix("+00"), person.study, "identity: telephone")
    for day in (person.day, person.birth):
        for value in all_dates(day):
            yield Canary(value, person.study, "identity: date", exact=True)
