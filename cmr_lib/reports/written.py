"""Every way in which a report may write what is known of its patient: names, initials, numbers and places."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from cmr_lib.reports.identifiers import Identifiers
from cmr_lib.reports.spelling import bare, bare_text, folded, spellings, squeezed
from cmr_lib.reports.words import is_known

# Initials that mean something else in a cardiac MRI report, unless written with full stops.
_NOT_INITIALS = frozenset(
    """
    lv rv la ra ef mr ar as ms tr ps pr ct mi pe sv co ci hr bp ao pa ed es de iv ai mv av tv pv gd te ti ca cm mm
    ml no or of an at be by do go he if in is it me my on so to up us we nl wn sa ch cx ll
    """.split()  # noqa: SIM905 (words, not a list of quoted ones)
)
# Words of ordinary reports that are also surnames: by themselves they are not taken for one.
_ALSO_WORDS = frozenset(
    """
    long short young old brown white black green grey field rest may bright strong cross stone chest pain hand day
    week price may march august june april east west north south sharp power hope love law rice bird fox wolf king
    bishop cook baker page day best noble moody blood bone back head neck arm foot body tissue muscle fat air ray
    flow post house rose lake hill wood woods park church street stress axis plane image images case test patient
    and the for with from
    """.split()  # noqa: SIM905 (words, not a list of quoted ones)
)
_TITLES = frozenset(["mr", "ms", "mrs", "miss", "dr", "prof", "herr", "frau", "sir"])
# Parts of a written name that name nobody.
_TITLES_AND_PARTICLES = frozenset(
    ["dr", "prof", "md", "phd", "mr", "mrs", "ms", "jr", "sr", "med", "von", "van", "de", "der", "den", "la", "el"]
)
# What may stand between two letters: nothing, one mark or blank, or a hyphen at a line's end.
_GAP = re.compile(r"(?:-?[ \t]*\r?\n[ \t]*|[ \t._/-])?")
_WIDE_GAP = re.compile(r"[\W_]{0,4}")  # between the words of an address
_UNIT = re.compile(r"\s*(?:%|ms|ml|mm|g\b|bpm|cm)", re.IGNORECASE)
_TOKEN, _BETWEEN = re.compile(r"[^\W_]+"), re.compile(r"[\s,^=_-]{1,3}")
_BEHIND_INITIAL = re.compile(r"\.?[\s,^=_-]{0,3}")


def _is_word(part: str) -> bool:
    return is_known(part) or part in _ALSO_WORDS


def name_parts(name: str) -> list[str]:
    """Parts of a person's name of two letters and more: "Zörm-Ek^Ana Lu" has zörm, ek, zörm-ek, ana, lu."""
    parts = [part for part in re.split(r"[\^=,\s]+", name) if part]
    halves = [half for part in parts if "-" in part for half in part.split("-")]
    return [
        part
        for part in dict.fromkeys([*parts, *halves])
        if len(part.strip(".")) > 1 and part.lower().strip(".") not in _TITLES_AND_PARTICLES
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
        for plain in squeezed(character):
            letters.append(plain)
            places.append(place)
    return _Text(text, "".join(letters), places)


# --- names ------------------------------------------------------------------------------------------------------
def _name_spans(text: _Text, name: str) -> Iterator[tuple[int, int]]:
    """Each part, both ways round; parts that are also ordinary words only beside another part or behind a title."""
    parts = {spelling for part in name_parts(name) for spelling in spellings(part)}
    for part in sorted(parts):
        needle = squeezed(part)
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
            plain = [re.escape(bare(letter).upper()) for letter in chosen]
            dotted = "".join(letter + r"\.\s?" for letter in plain)
            yield rf"(?<![\w.]){dotted}(?!\w)"
            if "".join(chosen).lower() not in _NOT_INITIALS:
                yield rf"(?<![\w.]){''.join(plain)}(?![\w.]\w)(?!\w)"


def _initial_spans(text: str, name: str) -> Iterator[tuple[int, int]]:
    for pattern in _initials(name):
        for match in re.finditer(pattern, bare_text(text)):
            yield match.span()


# --- numbers and places -----------------------------------------------------------------------------------------
def _number_spans(text: _Text, number: str) -> Iterator[tuple[int, int]]:
    needle = squeezed(number)
    for form in (needle, needle[::-1]) if len(needle) > 4 else (needle,):
        for start, end in text.occurrences(form) if len(form) > 3 else ():
            if len(needle) > 5 or not _UNIT.match(text.text, end):  # "1120 ms" is no number of a patient
                yield start, end


def _word_spans(text: _Text, words: str) -> Iterator[tuple[int, int]]:
    for spelling in spellings(words):
        tokens = re.findall(r"[^\W_]+", spelling)
        if sum(map(len, tokens)) > 3 and not all(_is_word(token) for token in tokens):
            yield from text.occurrences(squeezed(spelling), _WIDE_GAP)


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
