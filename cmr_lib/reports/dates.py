"""Dates in a report's text, found in every usual form and moved by a number of days, in the form they were written in.

Moved by as many days as the dates of the images, so that "12 days after the scan" stays true.
"""

import datetime
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|"
    r"dec(?:ember)?)\.?"
)
_DAY, _YEAR = r"(?P<day>\d{1,2})", r"(?P<year>(?:19|20)\d\d|\d\d)"
_LONG = r"(?P<year>(?:19|20)\d\d)"
_NO_UNIT = r"(?!\s*(?:%|mm|ml|cm|ms|g\b|bpm|/m2))(?![\w/-]|\.\d)"
_FORMS: tuple[re.Pattern[str], ...] = tuple(
    re.compile(rf"(?<![\w./-]){form}{_NO_UNIT}", re.IGNORECASE)
    for form in (
        rf"{_LONG}(?P<mark>[-./])(?P<number>\d{{1,2}})(?P=mark){_DAY}",  # 2015-03-09
        r"(?P<year>(?:19|20)\d\d)(?P<number>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])",  # 20150309
        rf"(?P<first>\d{{1,2}})(?P<mark>[-./] ?)(?P<second>\d{{1,2}})(?P=mark){_YEAR}",  # 09.03.2015, 3/9/15
        rf"{_DAY}(?P<suffix>st|nd|rd|th)?(?P<mark>[- ]?)(?:of )?{_MONTH},?(?P<mark2>[- ]?){_YEAR}",  # 09-MAR-15
        rf"{_MONTH} {_DAY}(?P<suffix>st|nd|rd|th)?,? {_LONG}",  # March 9, 2015
    )
)
_MONTH_YEAR = re.compile(rf"(?<![\w./-]){_MONTH},? {_LONG}(?![\w/-])", re.IGNORECASE)


@dataclass(frozen=True)
class WrittenDate:
    """A date in a text: where it stands, which day it is (the 15th where none is written), and how to write another."""

    start: int
    end: int
    day: datetime.date
    write: Callable[[datetime.date], str]


def _whole_year(text: str) -> int:
    year = int(text)
    return year if year > 99 else 2000 + year if year < 50 else 1900 + year


def _month_number(name: str) -> int:
    return next(number for number, month in enumerate(_MONTHS, 1) if month.startswith(name.lower().rstrip(".")[:3]))


def _month_like(written: str, month: int) -> str:
    """The name of a month as long, and in as large letters, as the written one."""
    name = _MONTHS[month - 1]
    name = name if len(written.rstrip(".")) > 4 or written.lower() in _MONTHS else name[:3]
    return name.upper() if written.isupper() else name.capitalize() if written[0].isupper() else name


def _filled(match: re.Match[str], parts: dict[str, Callable[[datetime.date], str]]) -> Callable[[datetime.date], str]:
    """A writer that puts a date's parts where those of the match stood."""
    text, begin = match[0], match.start()
    pieces = sorted((match.start(name) - begin, match.end(name) - begin, parts[name]) for name in parts)

    def write(day: datetime.date) -> str:
        written, last = "", 0
        for start, end, part in pieces:
            written, last = written + text[last:start] + part(day), end
        return written + text[last:]

    return write


def _padded(text: str, value: Callable[[datetime.date], int]) -> Callable[[datetime.date], str]:
    return lambda day: f"{value(day):0{2 if text.startswith('0') or len(text) == 2 else 1}d}"


def _year_like(text: str) -> Callable[[datetime.date], str]:
    return lambda day: f"{day.year:04d}"[-len(text) :]


def _suffix(day: datetime.date) -> str:
    return "th" if 10 < day.day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")


def _parsed(match: re.Match[str], day_first: bool) -> WrittenDate | None:
    groups = match.groupdict()
    parts: dict[str, Callable[[datetime.date], str]] = {"year": _year_like(groups["year"])}
    if "first" in groups:
        day_name, month_name = ("first", "second") if day_first else ("second", "first")
    else:
        day_name, month_name = "day", "number" if "number" in groups else "month"
    month = _month_number(groups["month"]) if month_name == "month" else int(groups[month_name])
    try:
        day = datetime.date(_whole_year(groups["year"]), month, int(groups[day_name]))
    except ValueError:
        return None
    parts[day_name] = _padded(groups[day_name], lambda d: d.day)
    if month_name == "month":
        parts["month"] = lambda d: _month_like(groups["month"], d.month)
    else:
        parts[month_name] = _padded(groups[month_name], lambda d: d.month)
    if groups.get("suffix"):
        parts["suffix"] = _suffix
    return WrittenDate(match.start(), match.end(), day, _filled(match, parts))


def _day_first(text: str, known: Collection[datetime.date], usual: bool) -> bool:
    """Whether 03/09/2015 is the third of September here: as an unambiguous or known date of the same text tells."""
    for match in _FORMS[2].finditer(text):
        first, second = int(match["first"]), int(match["second"])
        if first > 12 >= second:
            return True
        if second > 12 >= first:
            return False
    for match in _FORMS[2].finditer(text):
        readings = {order: found.day for order in (True, False) if (found := _parsed(match, order))}
        fitting = [order for order, day in readings.items() if day in known]
        if len(fitting) == 1:
            return fitting[0]
    return usual


def written_dates(text: str, known: Collection[datetime.date] = (), day_first: bool = True) -> Iterator[WrittenDate]:
    """Every date of a text with a year, and months with a year, in order and without overlaps.

    `day_first` is what 03/09/2015 means where neither another date of the text nor a known date (of the study's header)
    settles it. A year alone is no date.
    """
    order = _day_first(text, known, day_first)
    taken: list[tuple[int, int]] = []
    found: list[WrittenDate] = []
    for form in _FORMS:
        for match in form.finditer(text):
            if (one := _parsed(match, order)) and not any(start < one.end and one.start < end for start, end in taken):
                found.append(one)
                taken.append((one.start, one.end))
    for match in _MONTH_YEAR.finditer(text):
        if not any(start < match.end() and match.start() < end for start, end in taken):
            found.append(_month_of_year(match))
    yield from sorted(found, key=lambda one: one.start)


def _month_of_year(match: re.Match[str]) -> WrittenDate:
    parts = {"year": _year_like(match["year"]), "month": lambda day: _month_like(match["month"], day.month)}
    day = datetime.date(int(match["year"]), _month_number(match["month"]), 15)
    return WrittenDate(match.start(), match.end(), day, _filled(match, parts))
