"""Taking names out of a report: first everything known of this study's patient, then what looks like an identifier.

The best text de-identifiers leave 0.5 to 3 % of unknown names (i2b2 2014, PMC4989908, and later), so a scrubbed text
still belongs into the restricted zone; what leaves it are findings, numbers and scrubbed impressions.
"""

import datetime
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cmr_lib.reports import recogniser
from cmr_lib.reports.dates import written_dates
from cmr_lib.reports.identifiers import Identifiers
from cmr_lib.reports.words import is_known
from cmr_lib.reports.written import known_spans


@dataclass(frozen=True)
class Removed:
    """A piece of the original text that was replaced; `kind` is NAME, ID, DATE, AGE, PHONE, MAIL, PLACE or ADDRESS."""

    start: int
    end: int
    kind: str
    written: str  # what stands there now


@dataclass(frozen=True)
class Scrubbed:
    """A text without identifiers, and what was replaced (places of the original, for boxes on screen)."""

    text: str
    removed: tuple[Removed, ...]


_CAP = r"[A-ZÀ-ÖØ-ÞŁŠŽ][\w'’À-ÿ-]+"
_PERSON = rf"(?:{_CAP}|[A-Z]\.?)(?:(?: +|-|(?<=\.))(?:{_CAP}|[A-Z]\.?)){{0,3}}"
_LABELS = (
    r"(?:Patient(?:'s)? name|Patient|Name|RE|Surname|Family name|Given name|First name|Referring "
    r"(?:physician|doctor|clinician)|Consultant|GP)"
)
_SIGNS = (
    r"(?:[Rr]eported|[Ss]igned|[Dd]ictated|[Aa]uthori[sz]ed|[Vv]erified|[Rr]eviewed|[Rr]eferred|[Tt]yped|"
    r"[Pp]erformed|[Ss]canned|[Rr]ead|REPORTED|SIGNED|"
    r"DICTATED) "
    r"(?:by|"
    r"BY)\s*:?"
)
_RULES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, flags))
    for kind, pattern, flags in (
        ("MAIL", r"(?P<x>(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,8}|https?://\S+|"
             r"www\.\S+)", re.IGNORECASE),
        ("ID", r"(?<![\w.])(?P<x>\d+(?:\.\d+){5,})(?![\w])", 0),
        ("ID", r"\b(?:MRN|M\.?R\.? ?(?:no|number)|Hospital (?:no|number|ID)|Patient ID|ID(?: no)?|NHS(?: no| "
             r"number)?|Acc(?:ession)?(?: no| number)?|"
               r"Case(?: no| number)|Order(?: no| number)?|SSN|Study "
                    r"ID)\b\s*[.:#]*\s*(?P<x>[A-Za-z]{0,5}[/-]?\d[\w/-]*)", re.IGNORECASE),
        ("ID", r"(?<![\w.-])(?P<x>\d{3}[- ]\d{2}[- ]\d{4}|\d{3} \d{3} \d{4}|[A-Z]{1,4}-?\d{5,}|\d{6,})(?![\w-]|"
             r"\.\d)(?!\s*(?:%|m[lms]\b))", 0),
        ("PHONE", r"\b(?:tel(?:ephone)?|phone|fax|mobile|ext|bleep|"
             r"pager)\b\.?\s*(?:no\.?)?\s*:?\s*(?P<x>\+?[\d][\d ()/-]{2,})", re.IGNORECASE),
        ("PHONE", r"(?<![\w.])(?P<x>\+\d{1,3}[ (\d][\d ()/-]{6,}\d|\(0\d{2,4}\) ?\d[\d ]{4,}\d|0\d{2,4}[ "
             r"/-]\d{3}[\d -]{2,}\d)(?![\w])", 0),
        ("ADDRESS", rf"(?P<x>\b\d{{1,4}}[a-z]?,? (?:{_CAP} ){{1,3}}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|"
             rf"Drive|Close|Square|Way|Court|Boulevard|Blvd)\b\.?)", 0),
        ("ADDRESS", r"\b(?P<x>[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})\b", 0),
        ("PLACE", rf"(?P<x>(?:\b{_CAP}(?:'s)? (?:of |and |& )?){{1,4}}(?:Hospital|Infirmary|Clinic|Medical "
             rf"Cent(?:er|re)|University|Klinikum|Health (?:Centre|Center|System))\b)", 0),
        ("NAME", rf"\b(?:Dr|Prof|Professor|Doctor|Mr|Mrs|Ms|Miss|Sir|Herr|Frau|Nurse|Sister)\b\.?,? "
             rf"*(?P<x>{_PERSON})", 0),
        ("NAME", rf"(?m)(?:^|[|;] *){_LABELS} *: *(?P<x>[^\n|;,]+(?:, *{_CAP})?)", 0),
        ("NAME", rf"{_SIGNS} *(?:Dr\.?|Prof\.?)? *(?P<x>{_PERSON})", 0),
        ("NAME", rf"(?P<x>\b{_CAP}\^{_CAP}(?:\^[\w.]*)*)", 0),
        ("NAME", rf"(?P<x>\b{_CAP}(?: {_CAP})?),? (?=M\.?D\.?\b|FRCR\b|FACC\b|FRCP\b|MBBS\b)", 0),
        ("AGE", r"(?<![\w.])(?P<x>9\d|1[01]\d)(?=[- ]?(?:year|yr|y/?o\b|years? old))", re.IGNORECASE),
    )
)  # fmt: skip


def _rule_spans(text: str) -> Iterator[tuple[int, int, str, str]]:
    for kind, pattern in _RULES:
        for match in pattern.finditer(text):
            start, end = match.span("x")
            if kind == "NAME":
                end = start + _length_of_name(text[start:end])
            if end > start:
                yield start, end, kind, "over 89" if kind == "AGE" else f"[{kind}]"


def _length_of_name(words: str) -> int:
    """How much of what stands behind a title is a name: up to a line's end, a word or abbreviation of the trade."""
    last = 0
    for match in re.finditer(r"[^\s,]+", words.split("\n")[0]):
        token = match[0].strip(".,:")
        shouted = last > 0 and len(token) > 1 and token.isupper() and not words[:last].isupper()
        if shouted or token.isdigit() or is_known(token.lower()):
            break
        last = match.end()
    return last


def _date_spans(text: str, known: Identifiers, days: int, day_first: bool) -> Iterator[tuple[int, int, str, str]]:
    for one in written_dates(text, {*known.dates, *known.births}, day_first):
        if one.day in known.births or _born(text[max(one.start - 30, 0) : one.start]):
            yield one.start, one.end, "DATE", "[DATE]"
        else:
            yield one.start, one.end, "DATE", one.write(one.day + datetime.timedelta(days=days))


def _born(before: str) -> bool:
    return bool(re.search(r"(?:\bDOB|\bD\.O\.B\.?|\bdate of birth|\bborn(?: on)?|\bbirth "
         r"?date)\s*:?\s*$", before, re.IGNORECASE))  # fmt: skip


def _applied(text: str, spans: Iterable[tuple[int, int, str, str]]) -> Scrubbed:
    """The text with its spans replaced; spans that overlap become one, of the kind of the first."""
    removed: list[Removed] = []
    for start, end, kind, written in sorted(spans, key=lambda span: (span[0], -span[1])):
        if removed and start < removed[-1].end:
            if end > removed[-1].end:
                removed[-1] = Removed(removed[-1].start, end, removed[-1].kind, f"[{removed[-1].kind}]")
            continue
        removed.append(Removed(start, end, kind, written))
    pieces, last = [], 0
    for one in removed:
        pieces += [text[last : one.start], one.written]
        last = one.end
    return Scrubbed("".join([*pieces, text[last:]]), tuple(removed))


def scrub(
    text: str, known: Identifiers, days: int, *, day_first: bool = True, model: Path | str | None = None
) -> Scrubbed:
    """A report's text without identifiers, every date moved by `days` as those of the images, birth dates removed.

    `known` holds what the study's header says (`identifiers.identifiers_of`); `model` is the folder of a spaCy model
    for
    Presidio, None: not used. Numbers with units, negations and sides are left as they are.
    """
    spans = [(start, end, kind, f"[{kind}]") for start, end, kind in known_spans(text, known)]
    dates = list(_date_spans(text, known, days, day_first))
    inside = [(one[0], one[1]) for one in dates]
    rest = [*spans, *_rule_spans(text), *(recogniser.spans(text, model) if model else ())]
    free = [span for span in rest if not any(start < span[1] and span[0] < end for start, end in inside)]
    return _applied(text, [*dates, *free])
