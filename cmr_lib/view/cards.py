"""Text for cells: a sentence, and a report on a card, escaped."""

import html
from collections.abc import Mapping
from typing import Any

from IPython.display import HTML, Markdown

from cmr_lib.types import Report

CARD = "border:1px solid #bbb;border-radius:6px;padding:8px 12px;max-width:42em;line-height:1.35"


def say(text: str) -> Markdown:
    """A sentence with its numbers, as Markdown, for the last line of a cell."""
    return Markdown(text)


def report_card(report: Report | str, title: str = "", facts: Mapping[str, Any] | None = None) -> HTML:
    """A report (all its sections, or plain text) on a card, with a line of facts. All text is escaped."""
    sections = {"": report} if isinstance(report, str) else vars(report)
    body = "".join(
        f"<p style='white-space:pre-line'><b>{html.escape(name.capitalize())}</b> {html.escape(text.strip())}</p>"
        for name, text in sections.items()
        if text.strip()
    )
    line = " · ".join(f"{html.escape(str(name))}: {html.escape(str(value))}" for name, value in (facts or {}).items())
    head = f"<h4 style='margin:0'>{html.escape(title)}</h4>" if title else ""
    return HTML(f'<div style="{CARD}">{head}<small>{line}</small>{body}</div>')
