"""What is known to identify a patient, from the headers of the study; and whether a report is another patient's."""

import datetime
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pydicom
from pydicom.datadict import tag_for_keyword

from cmr_lib.reports.spelling import squeezed

_NUMBER_TAGS = frozenset(
    """
    PatientID OtherPatientIDs IssuerOfPatientID AccessionNumber StudyID AdmissionID RequestedProcedureID
    MedicalRecordLocator PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest
    InsurancePlanIdentification PatientTelephoneNumbers StudyInstanceUID
    """.split()  # noqa: SIM905 (words, not a list of quoted ones)
)
_TAGS_OF_NUMBERS = frozenset(tag for name in _NUMBER_TAGS if (tag := tag_for_keyword(name)) is not None)
# Value representations that hold no name and no date.
_NAMELESS = frozenset(
    """
    AS AT CS DS FD FL IS OB OD OF OL OV OW SL SS SV TM UI UL US UV
    """.split()  # noqa: SIM905 (words, not a list of quoted ones)
)
_WORD_TAGS = frozenset(
    """
    InstitutionName InstitutionAddress InstitutionalDepartmentName PatientAddress StationName CountryOfResidence
    RegionOfResidence EthnicGroup Occupation RequestingService
    """.split()  # noqa: SIM905 (words, not a list of quoted ones)
)
_PATIENT_NUMBER = re.compile(
    r"\b(?:MRN|M\.?R\.? ?no|hospital (?:no|number)|patient (?:id|no|number))\b"
    r"\s*[.:#]*\s*(?P<x>[a-z]{0,5}[/-]?\d[\w/-]*)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Identifiers:
    """Identifiers of one study. Names as DICOM writes them (family^given^middle) or as "Given Family"."""

    names: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    words: tuple[str, ...] = ()  # institutions, addresses
    dates: tuple[datetime.date, ...] = ()
    births: tuple[datetime.date, ...] = ()  # removed, where other dates are moved


def identifiers_of(header: pydicom.Dataset) -> Identifiers:
    """All identifiers that a study's header holds, nested ones too: every person's name, number, place and date.

    Values that cannot be read are passed over. Nothing of it may leave the restricted zone.
    """
    names: set[str] = set()
    numbers: set[str] = set()
    words: set[str] = set()
    dates: set[datetime.date] = set()
    for element in _elements(header):
        values = _values(element)
        if element.VR == "PN":
            names.update(values)
        elif element.keyword in _NUMBER_TAGS:
            numbers.update(values)
        elif element.keyword in _WORD_TAGS:
            words.update(values)
        elif element.VR in ("DA", "DT"):
            dates.update(day for value in values if (day := _day(value)))
    births = {day for value in _values_of(header, "PatientBirthDate") if (day := _day(value))}
    return Identifiers(
        tuple(sorted(names)), tuple(sorted(numbers)), tuple(sorted(words)), tuple(sorted(dates - births)), tuple(births)
    )


def _elements(header: pydicom.Dataset) -> Iterator[pydicom.DataElement]:
    """Every element, those of nested data sets too; one that cannot be decoded hides nothing but itself."""
    for tag in header.keys():  # noqa: SIM118 (iterating a data set decodes)
        if header.get_item(tag).VR in _NAMELESS and tag not in _TAGS_OF_NUMBERS:
            continue  # decoding numbers of the image would cost ten times as much as all the rest
        try:
            element = header[tag]
        except Exception:  # noqa: BLE001, S112 (pydicom raises a dozen types for bad values; a message may hold one)
            continue
        yield element
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _elements(item)


def united(several: Iterable[Identifiers], numbers: Iterable[str] = ()) -> Identifiers:
    """All identifiers of several headers of one study, and `numbers` beside them; empty ones are dropped."""
    found = list(several)
    joined = {name: {one for known in found for one in getattr(known, name)} for name in Identifiers.__annotations__}
    joined["numbers"] |= {number for number in numbers if number}
    joined["dates"] -= joined["births"]
    return Identifiers(**{name: tuple(sorted(values)) for name, values in joined.items()})


def _values(element: pydicom.DataElement) -> list[str]:
    if element.VR == "SQ" or element.value is None or isinstance(element.value, bytes):
        return []
    values = element.value if element.VM > 1 else [element.value]
    return [text for value in values if (text := str(value).strip())]


def _values_of(header: pydicom.Dataset, keyword: str) -> list[str]:
    return _values(header[keyword]) if keyword in header else []


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.datetime.strptime(text[:8], "%Y%m%d").replace(tzinfo=datetime.UTC).date()
    except ValueError:
        return None


def names_another_patient(text: str, known: Identifiers) -> bool:
    """Whether a report gives a patient's number that is none of the study's: then it is another patient's report.

    A report without such a number contradicts nothing, nor does a study whose header has none.
    """
    wanted = {squeezed(number) for number in known.numbers}
    given = {squeezed(match["x"]) for match in _PATIENT_NUMBER.finditer(text)}
    return bool(wanted and given) and not wanted & given
