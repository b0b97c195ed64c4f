"""A label browser: click a finding, and read the sentences that state, deny or doubt it."""

import html
from collections.abc import Sequence
from typing import Any

import pandas as pd

from cmr_lib.reports.findings import findings
from cmr_lib.view.cards import CARD
from cmr_lib.view.live import answering, is_live, notice

COLUMNS = ("report", "finding", "status", "start", "end")
AROUND = 60  # characters shown before and after a sentence
EVERY = "all"


def sentence_table(texts: Sequence[str]) -> pd.DataFrame:
    """A row for every finding that a sentence of these reports speaks of: where it stands, and what is said of it."""
    rows = [
        (number, one.name, one.status.value, one.start, one.end)
        for number, text in enumerate(texts)
        for one in findings(text)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def sentences_html(texts: Sequence[str], chosen: pd.DataFrame, most: int) -> str:
    """The first `most` of the chosen sentences, marked where they stand."""
    cards = []
    for row in chosen.head(most).itertuples():
        text = texts[row.report]
        before, after = text[max(0, row.start - AROUND) : row.start], text[row.end : row.end + AROUND]
        marked = f"{html.escape(before)}<mark>{html.escape(text[row.start : row.end])}</mark>{html.escape(after)}"
        cards.append(
            f'<div style="{CARD};margin-top:6px"><small>report {row.report} · {row.status}</small><br>{marked}</div>'
        )
    return "".join(cards)


def label_browser(texts: Sequence[str], note: str, finding: str = "lge", most: int = 8) -> Any:
    """Findings and statuses to choose from, and their sentences; in an executed copy, those of `finding`.

    Raises ValueError, in an executed copy, when no sentence speaks of it.
    """
    if is_live():
        return LabelBrowser(texts, note, finding, most).box
    from IPython.display import HTML

    table = sentence_table(texts)
    chosen = table[table["finding"] == finding]
    if chosen.empty:
        raise ValueError(nothing_of(finding, EVERY, len(texts)))
    return HTML(f"<p>{counted(chosen, finding, note)}</p>{sentences_html(texts, chosen, most)}")


def nothing_of(finding: str, status: str, n: int) -> str:
    """The sentence for an empty selection."""
    how = "speaks of" if status == EVERY else f"calls {status}:"
    return f"No sentence of these {n} reports {how} {finding.replace('_', ' ')}."


def counted(chosen: pd.DataFrame, finding: str, note: str) -> str:
    """How often a finding is stated, denied, doubted."""
    parts = ", ".join(f"{count} {status}" for status, count in chosen["status"].value_counts(sort=False).items())
    return html.escape(f"{finding.replace('_', ' ')}: {len(chosen)} sentences ({parts}); {note}")


class LabelBrowser:
    """The widgets of `label_browser`."""

    def __init__(self, texts: Sequence[str], note: str, finding: str, most: int) -> None:
        import ipywidgets as widgets

        self.texts, self.note, self.most = list(texts), note, most
        self.table = sentence_table(self.texts)
        names = sorted({finding, *self.table["finding"]})
        self.finding = widgets.Select(options=names, value=finding, rows=10, description="finding")
        self.status = widgets.ToggleButtons(
            options=[EVERY, *sorted(self.table["status"].unique())], style={"button_width": "7em"}
        )
        self.line, self.head, self.answer = notice(), widgets.HTML(), widgets.HTML()
        right = widgets.VBox([self.status, self.line, self.head, self.answer])
        self.box = widgets.HBox([self.finding, right])
        for knob in (self.finding, self.status):
            knob.observe(self._chosen, names="value")
        self._chosen(None)

    def _chosen(self, _: Any) -> None:
        answering(self.line, self._show)

    def _show(self) -> str:
        self.head.value = self.answer.value = ""
        if self.finding.value is None:
            return "No finding is chosen: click one in the list."
        chosen = self.table[self.table["finding"] == self.finding.value]
        if self.status.value != EVERY:
            chosen = chosen[chosen["status"] == self.status.value]
        if chosen.empty:
            return nothing_of(self.finding.value, self.status.value, len(self.texts))
        self.head.value = counted(chosen, self.finding.value, self.note)
        self.answer.value = sentences_html(self.texts, chosen, self.most)
        return f"The first {self.most} are shown." if len(chosen) > self.most else ""
