"""A report's text by section. Text moves between sections, it never disappears: every number stays.

Sections after the SCMR reporting guideline (JCMR 2022, doi 10.1186/s12968-021-00827-z): indication, technique,
findings, measurements, impression. Readers without headers are understood by their paragraphs, as far as that goes.
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
    "findings": ("cardiac findings", "(?:cardiac )?mri? findings", "findings?", "results?", "report", "observations?"),
    "measurements": ("measurements?", "quantitative (?:data|results|analysis)", "(?:ventricular )?volumes", "values"),
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


# Without headers: what a paragraph is, by its words, and where a conclusion begins.
_ASKS = re.compile(
    r"\b(?:referred (?:for|with|by)|to (?:assess|evaluate|exclude|look for)|assessment of|query|\?\s*\w+)",
    re.IGNORECASE,
)
_ACQUIRES = re.compile(
    r"\b(?:ssfp|bssfp|cines?|sequences?|acquired|performed|mmol|gadobutrol|gadoter\w+|contrast|scanner|tesla|"
    r"1\.5 ?T|3(?:\.0)? ?T"
    r"|breath[- ]holds?|psir|inversion recovery)\b",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"(?:^|(?<=[.!?])\s+|\n\s*)(?:in (?:summary|conclusion|short)|to (?:conclude|summari[sz]e)|overall,)", re.IGNORECASE
)


def _kind_of(paragraph: str, number: int) -> str:
    """Section of a paragraph without header; what is not plainly something else is findings."""
    if number == 0 and _ASKS.search(paragraph) and not re.search(r"\d+ ?(?:%|ml|mm|g\b)", paragraph, re.IGNORECASE):
        return "indication"
    return "technique" if number <= 1 and len(_ACQUIRES.findall(paragraph)) >= 2 else "findings"


def _by_paragraphs(text: str) -> list[tuple[str, str]]:
    """(section, piece) of a text without headers. One paragraph is findings, up to "in conclusion"."""
    last = next(iter(_CONCLUDES.finditer(text)), None)
    body, end = (text[: last.start()], text[last.start() :]) if last else (text, "")
    paragraphs = [piece for piece in re.split(r"\n[ \t]*\n", body) if piece.strip()]
    many = len(paragraphs) > 1
    pieces = [(_kind_of(piece, number) if many else "findings", piece) for number, piece in enumerate(paragraphs)]
    return [*pieces, ("impression", end)]


def pieces_of(text: str) -> list[tuple[str, str]]:
    """(section, text) of every piece of a report in the order they stand, empty ones left out; headers are dropped.

    What stands before the first header is findings if no header names them, else part of the indication. Headers that
    are not sections (LEFT VENTRICLE: …) stay in the text of theirs.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    headers = _headers(text)
    if not headers:
        found = _by_paragraphs(text)
    else:
        lead = "indication" if any(section == "findings" for _, _, section in headers) else "findings"
        starts = [0, *(end for _, end, _ in headers)]
        ends = [*(start for start, _, _ in headers), len(text)]
        names = [lead, *(name for _, _, name in headers)]
        found = [(name, text[start:end]) for name, start, end in zip(names, starts, ends, strict=True)]
    return [(name, piece.strip()) for name, piece in found if piece.strip()]


def split_sections(text: str) -> Report:
    """The sections of a report, measurements as part of the findings (where most readers write them).

    Without headers: findings, up to "in conclusion", and leading paragraphs that plainly ask or tell how it was done.
    """
    parts: dict[str, list[str]] = {"indication": [], "technique": [], "findings": [], "impression": []}
    for name, piece in pieces_of(text):
        parts["findings" if name == "measurements" else name].append(piece)
    return Report(**{section: "\n".join(pieces) for section, pieces in parts.items()})
