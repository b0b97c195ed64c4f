"""Sentences of a report, with the label ("Right ventricle:") that they stand behind."""

import re
from dataclasses import dataclass

from cmr_lib.reports.tagging import read

# A full stop, question or exclamation mark before a blank and a new start, a line break before a new start, or a
# bullet.
# Not: behind an abbreviation ("max. 12 mm", "Dr. X"), or between digits.
_SHORTENED = ("max", "min", "approx", "ca", "Dr", "no", "vs", "cf", r"i\.e", r"e\.g", "mod", "sev", "dil", "inf", "ant")
_SHORT = "".join(rf"(?<!\b{word})" for word in _SHORTENED)
_END = re.compile(rf"(?:{_SHORT}\.|[?!])(?=\s|$)(?!\s*\d+\s*(?:mm|cm|ml|%))|\n\s*\n|\n(?=\s*(?:[-*•]|"
     rf"\(?\d{{1,2}}[.)]\s|[A-Z]))", re.IGNORECASE)  # fmt: skip
_LEAD = re.compile(r"\s*(?:[-*•]+\s*|\(?\d{1,2}[.)]\s+)*")
_LABEL = re.compile(r"([A-Za-z][A-Za-z /()-]{1,40}?)\s*:\s*(?=\S)")


@dataclass(frozen=True)
class Sentence:
    """A sentence, where it stands in the text, and the chambers that its label names ("" for none)."""

    text: str
    start: int
    end: int
    label: str = ""


def _cuts(text: str) -> list[tuple[int, int]]:
    ends = [match.end() for match in _END.finditer(text)]
    return list(zip([0, *ends], [*ends, len(text)], strict=True))


def _label(words: str) -> str:
    """Chambers named by a label; "-" for a label that names none, which ends the reach of the one before."""
    _, tags = read(words)
    return next((tag.value for tag in tags if tag.kind == "place"), "-")


def sentences(text: str) -> list[Sentence]:
    """Sentences in order; bullets and numbers of lists are left out of them. Empty pieces are dropped."""
    found: list[Sentence] = []
    label = ""
    for start, end in _cuts(text):
        piece = text[start:end]
        lead = _LEAD.match(piece)
        begin = start + (lead.end() if lead else 0)
        body = text[begin:end].rstrip()
        if not body:
            if "\n\n" in piece:
                label = ""
            continue
        if match := _LABEL.match(body):
            label = _label(match[1])
        found.append(Sentence(" ".join(body.split()), begin, begin + len(body), "" if label == "-" else label))
    return found
