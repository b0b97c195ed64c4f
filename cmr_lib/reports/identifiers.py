"""What is known to identify a patient, from the header of the study, and every way in which a report may write it."""

import datetime
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pydicom

from cmr_lib.reports.words import is_known

_NUMBER_TAGS = frozenset(
    "PatientID OtherPatientIDs IssuerOfPatientID AccessionNumber StudyID AdmissionID RequestedProcedureID MedicalRecordLocator "
    "PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest InsurancePlanIdentification "
    "PatientTelephoneNumbers StudyInstanceUID".split()
)
_WORD_TAGS = frozenset(
    "InstitutionName InstitutionAddress InstitutionalDepartmentName PatientAddress StationName CountryOfResidence "
    "RegionOfResidence EthnicGroup Occupation RequestingService".split()
)
_SPECIAL = {"ß": "ss", "ø": "o", "ł": "l", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
_DIGRAPHS = {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"}
# Initials that mean something else in a cardiac MRI report, unless written with full stops.
_NOT_INITIALS = frozenset(
    "lv rv la ra ef mr ar as ms tr ps pr ct mi pe sv co ci hr bp ao pa ed es de iv ai mv av tv pv gd te ti ca cm mm ml no or of "
    "an at be by do go he if in is it me my on so to up us we nl wn sa ch cx ll".split()
)
# Words of ordinary reports that are also surnames: by themselves they are not taken for one.
_ALSO_WORDS = frozenset(
    "long short young old brown white black green grey field rest may bright strong cross stone chest pain hand day week "
    "price may march august june april east west north south sharp power hope love law rice bird fox wolf king bishop cook "
    "baker page day best noble moody blood bone back head neck arm foot body tissue muscle fat air ray flow post house rose "
    "lake hill wood woods park church street stress axis plane image images case test patient and the for with from".split()
)
_GAP = r"(?:-?[ \t]*\r?\n[ \t]*|[ \t._/-])?"  # between two letters: nothing, one mark or blank, or a hyphen at a line's end


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
    for element in header.iterall():
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
def folded(text: str) -> tuple[str, list[int]]:
    """Text without accents and capitals, and for each of its characters the place in the original."""
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        plain = _SPECIAL.get(character.lower())
        if plain is None:
            parts = unicodedata.normalize("NFKD", character)
            plain = "".join(part for part in parts if not unicodedata.combining(part)).lower()
        characters.append(plain)
        places.extend([place] * len(plain))
    return "".join(characters), places


def _spellings(text: str) -> set[str]:
    """The folded spellings of a name: without accents, and with the digraphs that stand for umlauts (Müller, Mueller)."""
    digraphs = "".join(_DIGRAPHS.get(character, character) for character in unicodedata.normalize("NFC", text.lower()))
    return {folded(text)[0], folded(digraphs)[0]}


def _loose(text: str) -> str:
    """A pattern for a word, however its letters are kept apart."""
    return _GAP.join(re.escape(character) for character in text if character.isalnum())


def _is_word(part: str) -> bool:
    return is_known(part) or part in _ALSO_WORDS


def _whole(pattern: str) -> str:
    return rf"(?<![^\W_])(?:{pattern})(?![^\W_])"


def name_parts(name: str) -> list[str]:
    """Parts of a person's name of two letters and more: "Zörm-Ek^Ana Lu" has zörm, ek, zörm-ek, ana, lu."""
    parts = [part for part in re.split(r"[\^=,\s]+", name) if part]
    halves = [half for part in parts if "-" in part for half in part.split("-")]
    titles = {"dr", "prof", "md", "phd", "mr", "mrs", "ms", "jr", "sr", "med", "von", "van", "de", "der", "den", "la", "el"}
    return [part for part in dict.fromkeys([*parts, *halves]) if len(part.strip(".")) > 1 and part.lower().strip(".") not in titles]


def _name_patterns(name: str) -> Iterator[str]:
    """Patterns for the folded text: each part, both ways round; parts that are also ordinary words only beside another."""
    parts = [spelling for part in name_parts(name) for spelling in _spellings(part)]
    sure = [part for part in parts if len(part) > 2 and not _is_word(part)]
    for part in sure:
        yield _whole(_loose(part))
        if len(part) > 4:
            yield _whole(_loose(part[::-1]))
    any_part = "|".join(sorted(map(_loose, set(parts)), key=len, reverse=True))
    if any_part:
        yield _whole(rf"(?:{any_part})(?:[\s,^.-]{{1,3}}(?:{any_part}|[a-z]\.?)(?![^\W_]))+")
        yield rf"(?<=\bmr )(?:{any_part})\b|(?<=\bms )(?:{any_part})\b|(?<=\bmrs )(?:{any_part})\b|(?<=\bdr )(?:{any_part})\b"


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


def _number_patterns(number: str) -> Iterator[str]:
    plain = "".join(character for character in folded(number)[0] if character.isalnum())
    if len(plain) < 4:
        return
    unit = r"(?!\s*(?:%|ms|ml|mm|g\b|bpm|cm))" if len(plain) < 6 else ""
    yield _whole(_loose(plain)) + unit
    if len(plain) > 4:
        yield _whole(_loose(plain[::-1])) + unit


def _word_patterns(words: str) -> Iterator[str]:
    for spelling in _spellings(words):
        tokens = re.findall(r"[^\W_]+", spelling)
        if sum(map(len, tokens)) > 3 and not all(_is_word(token) for token in tokens):
            yield _whole(r"[\W_]{1,4}".join(map(re.escape, tokens)))


def known_spans(text: str, known: Identifiers) -> Iterable[tuple[int, int, str]]:
    """(start, end, kind) of each known name, number and place in a text, in all written forms; they may overlap."""
    plain, places = folded(text)
    for kind, values, patterns in (
        ("NAME", known.names, _name_patterns),
        ("ID", known.numbers, _number_patterns),
        ("PLACE", known.words, _word_patterns),
    ):
        for value in values:
            for pattern in patterns(value):
                for match in re.finditer(pattern, plain):
                    start, end = places[match.start()], places[match.end() - 1] + 1
                    if kind != "NAME" or not _is_prose(text[start:end]):
                        yield start, end, kind
    bare = "".join(_bare(character) for character in text)
    for name in known.names:
        for pattern in _initials(name):
            for match in re.finditer(pattern, bare):
                yield match.start(), match.end(), "NAME"


def _bare(character: str) -> str:
    """A letter without its accent, capital or not; anything else as it is, always one character."""
    base = unicodedata.normalize("NFKD", character)[0]
    return base if len(base) == 1 and base.isalpha() else character


def _is_prose(words: str) -> bool:
    """Whether words in a row that are also parts of a name are only words: all of the trade, none with a capital."""
    tokens = re.findall(r"[^\W\d_]+", words)
    return all(_is_word(token) for token in tokens) and not any(token[0].isupper() for token in tokens)
