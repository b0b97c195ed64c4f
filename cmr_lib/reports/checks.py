"""Whether a report can be used: a code of `ingest.rejects` where not, and never the text itself."""

import re

from cmr_lib.reports.findings import findings
from cmr_lib.reports.numbers import numbers
from cmr_lib.reports.sections import split_sections

MAX_CHARS = 100_000
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\ufffd]")
_LETTERS = re.compile(r"[^\W\d_]")


def fault(text: str) -> str:
    """The code that refuses a report ("" for a usable one): empty, too long, or not text.

    The length is looked at first, so that nothing else is done with a text of any size.
    """
    if len(text) > MAX_CHARS:
        return "E_REPORT_TOO_LONG"
    if not text.strip():
        return "E_REPORT_EMPTY"
    strange = len(_CONTROL.findall(text))
    return "E_REPORT_BINARY" if strange > 0.01 * len(text) or not _LETTERS.search(text) else ""


def remarks(text: str) -> tuple[str, ...]:
    """Codes worth a remark on a usable report: without impression, or without anything that was understood."""
    report = split_sections(text)
    found = [] if report.impression else ["W_REPORT_NO_IMPRESSION"]
    body = f"{report.findings}\n\n{report.impression}"
    if not findings(body) and not numbers(body):
        found.append("W_REPORT_NO_FINDINGS")
    return tuple(found)
