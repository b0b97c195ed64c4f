"""A report's text by section. Text moves between sections, it never disappears: every number stays.

Sections after the SCMR reporting guideline (JCMR 2022, doi 10.1186/s12968-021-00827-z): indication, technique,
findings, impression.
"""

import re

from cmr_lib.types import Report

HEADERS: dict[str, tuple[str, ...]] = {
    "indication": (
        "clinical indication", "indications?", "clinical history", "history", "clinical information",
        "clinical details", "clinical question", "reason for (?:exam|examination|study)", "referral",
    ),
    "technique": (
        "technique", "mr technique", "procedure", "protocol", "sequences", "technical details", "comparison",
        "contrast", "examination", "reported by", "(?:electronically )?signed by", "dictated by",
    ),
    "findings": ("cardiac findings", "findings?", "results?", "report", "measurements?", "observations?"),
    "impression": (
        "impressions?", "conclusions?", "summary", "summary and conclusions?", "interpretation", "opinion",
        "assessment", "final diagnosis", "diagnosis", "recommendations?", "addendum",
    ),
}  # fmt: skip
_SECTION = {pattern: section for section, patterns in HEADERS.items() for pattern in patterns}
_NAME = "|".join(sorted(_SECTION, key=len, reverse=True))
# At the start of a line: "Findings:", "2) FINDINGS -", "**Impression**:", "## Summary", or alone on the line.
_LINE = re.compile(
    r"^[ \t]*[#*>\[(_]*[ \t]*(?:\(?(?:\d{1,2}|[IVX]{1,4})[.)][ \t]*)?[*_\[]*"
    rf"(?P<name>{_NAME})"
    r"[ \t]*[*_\])]*[ \t]*(?:[:：][*_]*|[-–—](?=[ \t])|(?P<alone>$))",
    re.IGNORECASE | re.MULTILINE,
)
# Inside a line, where the line breaks were lost: a colon behind capitals, or behind a title that follows a sentence.
_INSIDE = re.compile(rf"(?P<before>\S)[ \t]+(?P<name>{_NAME})[ \t]*[:：]", re.IGNORECASE)


def _section_of(name: str) -> str:
    return next(section for pattern, section in _SECTION.items() if re.fullmatch(pattern, name, re.IGNORECASE))


def _headers(text: str) -> list[tuple[int, int, str]]:
    """(start, end, section) of every header, in order, without overlaps."""
    found = []
    for match in _LINE.finditer(text):
        if match["alone"] is None or match["name"][0].isupper():  # a wrapped line may end in "… no other\nfindings"
            found.append((match.start(), match.end(), _section_of(match["name"])))
    for match in _INSIDE.finditer(text):
        name = match["name"]
        if name.isupper() or (name[0].isupper() and match["before"] in ".!?;)"):
            found.append((match.start("name"), match.end(), _section_of(name)))
    kept: list[tuple[int, int, str]] = []
    for header in sorted(found):
        if not kept or header[0] >= kept[-1][1]:
            kept.append(header)
    return kept


def split_sections(text: str) -> Report:
    """The sections of a report. Without headers everything is findings; repeated sections are joined by a line break.

    What stands before the first header is findings if no header names them, else part of the indication. Headers that
    are not sections (LEFT VENTRICLE: …) stay in the text of theirs.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    headers = _headers(text)
    lead = "indication" if any(section == "findings" for _, _, section in headers) else "findings"
    starts = [0, *(end for _, end, _ in headers)]
    ends = [*(start for start, _, _ in headers), len(text)]
    parts: dict[str, list[str]] = {section: [] for section in HEADERS}
    for section, start, end in zip([lead, *(name for _, _, name in headers)], starts, ends, strict=True):
        if piece := text[start:end].strip():
            parts[section].append(piece)
    return Report(**{section: "\n".join(pieces) for section, pieces in parts.items()})
