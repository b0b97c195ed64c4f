"""What is known to identify a patient, from the header of the study, and every way in which a report may write it."""

import datetime
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import pydicom
from pydicom.datadict import tag_for_keyword

from cmr_lib.reports.words import is_known

_NUMBER_TAGS_TEXT = """
PatientID OtherPatientIDs IssuerOfPatientID AccessionNumber StudyID AdmissionID RequestedProcedureID
MedicalRecordLocator PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest
InsurancePlanIdentification PatientTelephoneNumbers StudyInstanceUID
"""
_NUMBER_TAGS = frozenset(_NUMBER_TAGS_TEXT.split())
_TAGS_OF_NUMBERS = frozenset(tag for name in _NUMBER_TAGS if (tag := tag_for_keyword(name)) is not None)
_NAMELESS_TEXT = """
AS AT CS DS FD FL IS OB OD OF OL OV OW SL SS SV TM UI UL US UV
"""
_NAMELESS = frozenset(_NAMELESS_TEXT.split())  # value representations that hold no name and no date
_WORD_TAGS_TEXT = """
InstitutionName InstitutionAddress InstitutionalDepartmentName PatientAddress StationName CountryOfResidence
RegionOfResidence EthnicGroup Occupation RequestingService
"""
_WORD_TAGS = frozenset(_WORD_TAGS_TEXT.split())
_SPECIAL = {"ß": "ss", "ø": "o", "ł": "l", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
_DIGRAPHS = {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"}
# Initials that mean something else in a cardiac MRI report, unless written with full stops.
_NOT_INITIALS_TEXT = """
lv rv la ra ef mr ar as ms tr ps pr ct mi pe sv co ci hr bp ao pa ed es de iv ai mv av tv pv gd te ti ca cm mm ml no
or of an at be by do go he if in is it me my on so to up us we nl wn sa ch cx ll
"""
_NOT_INITIALS = frozenset(_NOT_INITIALS_TEXT.split())
# Words of ordinary reports that are also surnames: by themselves they are not taken for one.
_ALSO_WORDS_TEXT = """
long short young old brown white black green grey field rest may bright strong cross stone chest pain hand day week
price may march august june april east west north south sharp power hope love law rice bird fox wolf king bishop
cook baker page day best noble moody blood bone back head neck arm foot body tissue muscle fat air ray flow post
house rose lake hill wood woods park church street stress axis plane image images case test patient and the for with
from
"""
_ALSO_WORDS = frozenset(_ALSO_WORDS_TEXT.split())
# What may stand between two letters: nothing, one mark or blank, or a hyphen at a line's end.
_GAP = re.compile(r"(?:-?[ \t]*\r?\n[ \t]*|[ \t._/-])?")
_WIDE_GAP = re.compile(r"[\W_]{0,4}")  # between the words of an address
_UNIT = re.compile(r"\s*(?:%|ms|ml|mm|g\b|bpm|cm)", re.IGNORECASE)
_TOKEN, _BETWEEN = re.compile(r"[^\W_]+"), re.compile(r"[\s,^=_-]{1,3}")
_BEHIND_INITIAL = re.compile(r"\.?[\s,^=_-]{0,3}")
_TITLES_TEXT = """
mr ms mrs miss dr prof herr frau sir
"""
_TITLES = frozenset(_TITLES_TEXT.split())


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


# --- one spelling for text and identifiers ----------------------------------------------------------------------
@lru_cache(maxsize=4096)
def folded(text: str) -> str:
    """Text without accents and capitals; special letters by their usual substitutes."""
    spelled = "".join(_SPECIAL.get(character, character) for character in text.lower())
    return "".join(part for part in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(part))


def _spellings(text: str) -> set[str]:
    """The folded spellings of a name: without accents, and with digraphs for umlauts (Müller, Mueller)."""
    digraphs = "".join(_DIGRAPHS.get(character, character) for character in unicodedata.normalize("NFC", text.lower()))
    return {folded(text), folded(digraphs)}


@lru_cache(maxsize=4096)
def _squeezed(text: str) -> str:
    return "".join(character for character in folded(text) if character.isalnum())


def _is_word(part: str) -> bool:
    return is_known(part) or part in _ALSO_WORDS


def name_parts(name: str) -> list[str]:
    """Parts of a person's name of two letters and more: "Zörm-Ek^Ana Lu" has zörm, ek, zörm-ek, ana, lu."""
    parts = [part for part in re.split(r"[\^=,\s]+", name) if part]
    halves = [half for part in parts if "-" in part for half in part.split("-")]
    titles = {
        "dr",
        "prof",
        "md",
        "phd",
        "mr",
        "mrs",
        "ms",
        "jr",
        "sr",
        "med",
        "von",
        "van",
        "de",
        "der",
        "den",
        "la",
        "el",
    }
    return [
        part
        for part in dict.fromkeys([*parts, *halves])
        if len(part.strip(".")) > 1 and part.lower().strip(".") not in titles
    ]


@dataclass(frozen=True)
class _Text:
    """A report's text with its letters and digits alone, folded, and for each of them its place in the text."""

    text: str
    squeezed: str
    places: list[int]

    def occurrences(self, needle: str, gap: re.Pattern[str] = _GAP) -> Iterator[tuple[int, int]]:
        """Where a squeezed needle stands as a whole word, however its letters are kept apart."""
        start = self.squeezed.find(needle) if needle else -1
        while start >= 0:
            places = self.places[start : start + len(needle)]
            if self._is_whole(places) and all(self._may_part(a, b, gap) for a, b in pairwise(places)):
                yield places[0], places[-1] + 1
            start = self.squeezed.find(needle, start + 1)

    def _is_whole(self, places: list[int]) -> bool:
        before, after = self.text[max(places[0] - 1, 0) : places[0]], self.text[places[-1] + 1 : places[-1] + 2]
        return not before.isalnum() and not after.isalnum()

    def _may_part(self, first: int, second: int, gap: re.Pattern[str]) -> bool:
        if second - first < 2:
            return True
        between = "".join(mark for mark in self.text[first + 1 : second] if not unicodedata.combining(mark))
        return gap.fullmatch(between) is not None


def _prepared(text: str) -> _Text:
    letters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for plain in _squeezed(character):
            letters.append(plain)
            places.append(place)
    return _Text(text, "".join(letters), places)


# --- names ------------------------------------------------------------------------------------------------------
def _name_spans(text: _Text, name: str) -> Iterator[tuple[int, int]]:
    """Each part, both ways round; parts that are also ordinary words only beside another part or behind a title."""
    parts = {spelling for part in name_parts(name) for spelling in _spellings(part)}
    for part in sorted(parts):
        needle = _squeezed(part)
        if len(needle) > 2 and not _is_word(part):
            yield from text.occurrences(needle)
        if len(needle) > 4 and not _is_word(part):
            yield from text.occurrences(needle[::-1])
    yield from _rows_of_parts(text.text, parts, {part[0] for part in parts})


def _rows_of_parts(text: str, parts: set[str], initials: set[str]) -> Iterator[tuple[int, int]]:
    """Two or more parts of one name in a row ("Wall, Violet", "V. Wall"), or one behind a title ("Mr Wall")."""
    row: list[re.Match[str]] = []
    title = False
    for token in [*_tokens(text), None]:
        word = folded(token[0]) if token else ""
        joins = not row or (token is not None and _are_joined(text, row[-1], token))
        if token and joins and (word in parts or word in initials):
            row.append(token)
            continue
        if row and _is_name(row, parts, title):
            yield row[0].start(), row[-1].end()
        if row:
            title = folded(row[-1][0]) in _TITLES
        row = [token] if token and (word in parts or word in initials) else []
        title = title if row and not joins else word in _TITLES


@lru_cache(maxsize=4)
def _tokens(text: str) -> tuple[re.Match[str], ...]:
    """The words of a text; each of a study's names asks for them."""
    return tuple(_TOKEN.finditer(text))


def _are_joined(text: str, one: re.Match[str], other: re.Match[str]) -> bool:
    """Whether two words may be of one name: a full stop between them only behind an initial."""
    between = _BEHIND_INITIAL if len(one[0]) == 1 else _BETWEEN
    return between.fullmatch(text[one.end() : other.start()]) is not None


def _is_name(row: list[re.Match[str]], parts: set[str], title: bool) -> bool:
    words = [folded(token[0]) for token in row]
    if not any(word in parts for word in words) or (len(row) == 1 and not title):
        return False
    return not all(token[0].islower() and _is_word(word) for token, word in zip(row, words, strict=True))


def _initials(name: str) -> Iterator[str]:
    """Patterns for the text itself: "A.Z.", "Z. A.", and "AZ" unless that is an abbreviation of the trade."""
    letters = [part[0] for part in re.split(r"[\^=,\s-]+", name) if part and part[0].isalpha()]
    for chosen in (letters[:2], letters[:2][::-1], letters[:3], [*letters[1:3], *letters[:1]]):
        if len(chosen) > 1:
            plain = [re.escape(_bare(letter).upper()) for letter in chosen]
            dotted = "".join(letter + r"\.\s?" for letter in plain)
            yield rf"(?<![\w.]){dotted}(?!\w)"
            if "".join(chosen).lower() not in _NOT_INITIALS:
                yield rf"(?<![\w.]){''.join(plain)}(?![\w.]\w)(?!\w)"


def _initial_spans(text: str, name: str) -> Iterator[tuple[int, int]]:
    for pattern in _initials(name):
        for match in re.finditer(pattern, _bare_text(text)):
            yield match.span()


# --- numbers and places -----------------------------------------------------------------------------------------
def _number_spans(text: _Text, number: str) -> Iterator[tuple[int, int]]:
    needle = _squeezed(number)
    for form in (needle, needle[::-1]) if len(needle) > 4 else (needle,):
        for start, end in text.occurrences(form) if len(form) > 3 else ():
            if len(needle) > 5 or not _UNIT.match(text.text, end):  # "1120 ms" is no number of a patient
                yield start, end


def _word_spans(text: _Text, words: str) -> Iterator[tuple[int, int]]:
    for spelling in _spellings(words):
        tokens = re.findall(r"[^\W_]+", spelling)
        if sum(map(len, tokens)) > 3 and not all(_is_word(token) for token in tokens):
            yield from text.occurrences(_squeezed(spelling), _WIDE_GAP)


def known_spans(text: str, known: Identifiers) -> Iterator[tuple[int, int, str]]:
    """(start, end, kind) of each known name, number and place in a text, in all written forms; they may overlap."""
    prepared = _prepared(text)
    for name in known.names:
        for start, end in (*_name_spans(prepared, name), *_initial_spans(text, name)):
            yield start, end, "NAME"
    for number in known.numbers:
        for start, end in _number_spans(prepared, number):
            yield start, end, "ID"
    for words in known.words:
        for start, end in _word_spans(prepared, words):
            yield start, end, "PLACE"


@lru_cache(maxsize=4)
def _bare_text(text: str) -> str:
    return "".join(map(_bare, text))


@lru_cache(maxsize=4096)
def _bare(character: str) -> str:
    """A letter without its accent, capital or not; anything else as it is, always one character."""
    base = unicodedata.normalize("NFKD", character)[0]
    return base if len(base) == 1 and base.isalpha() else character


_PATIENT_NUMBER = re.compile(
    r"\b(?:MRN|M\.?R\.? ?no|hospital (?:no|number)|patient (?:id|no|number))\b"
    r"\s*[.:#]*\s*(?P<x>[a-z]{0,5}[/-]?\d[\w/-]*)",
    re.IGNORECASE,
)


def names_another_patient(text: str, known: Identifiers) -> bool:
    """Whether a report gives a patient's number that is none of the study's: then it is another patient's report.

    A report without such a number contradicts nothing, nor does a study whose header has none.
    """
    wanted = {_squeezed(number) for number in known.numbers}
    given = {_squeezed(match["x"]) for match in _PATIENT_NUMBER.finditer(text)}
    return bool(wanted and given) and not wanted & given
