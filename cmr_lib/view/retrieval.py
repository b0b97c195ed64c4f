"""A retrieval browser: type a phrase and hearts come, with scores and reports; pick a heart and its reports come."""

import html
from typing import Any

import pandas as pd

from cmr_lib.view.animation import cine_webp, picture_html, webp_bytes
from cmr_lib.view.cards import CARD
from cmr_lib.view.gallery import EXAMPLES, Gallery
from cmr_lib.view.live import answering, is_live, notice

SCALE = 2


def retrieval_browser(gallery: Gallery, phrase: str, k: int = 3) -> Any:
    """A line to type a phrase into and a list of hearts to pick from; in an executed copy, the answer to `phrase`.

    Raises ValueError, in an executed copy, for a gallery without hearts or a phrase of unknown words.
    """
    if is_live():
        return RetrievalBrowser(gallery, phrase, k).box
    if gallery.hearts.empty:
        raise ValueError("There is no heart in this gallery.")
    from IPython.display import HTML

    return HTML(hearts_html(gallery, phrase, k))


def _heart(gallery: Gallery, row: Any) -> str:
    """One heart: playing, with its score and its own report."""
    moving = picture_html(webp_bytes(gallery.cine(row.study_key), SCALE, 80)).data
    words = html.escape(row.impression or row.findings)
    head = f"<b>{row.rank}.</b> similarity {row.similarity:.2f}"
    return f'<div style="{CARD};max-width:24em"><small>{head} · {row.study_key}</small><br>{moving}<p>{words}</p></div>'


def hearts_html(gallery: Gallery, phrase: str, k: int) -> str:
    """The hearts that match a phrase, side by side. Raises as `Gallery.hearts_for`."""
    found = gallery.hearts_for(phrase, k)
    cards = "".join(_heart(gallery, row) for row in found.itertuples())
    head = f"“{html.escape(phrase)}”: the {len(found)} closest of {len(gallery.hearts)} hearts ({gallery.note})"
    return f'<p>{head}</p><div style="display:flex;flex-wrap:wrap;gap:10px;align-items:flex-start">{cards}</div>'


def reports_html(gallery: Gallery, study_key: str, k: int) -> str:
    """A heart and the reports closest to it. Raises as `Gallery.reports_for`."""
    found = gallery.reports_for(study_key, k)
    own = gallery.hearts.set_index("study_key").loc[study_key]
    moving = cine_webp(gallery.cine(study_key), SCALE, 80, caption=f"{study_key}, {gallery.note}").data
    rows = "".join(_report(row, own) for row in found.itertuples())
    head = f"The {len(found)} closest of {len(gallery.reports)} reports"
    return f'<div style="display:flex;gap:14px;align-items:flex-start"><div>{moving}</div><div>{head}{rows}</div></div>'


def _report(row: Any, own: pd.Series) -> str:
    mark = " · <b>its own report</b>" if (row.findings, row.impression) == (own.findings, own.impression) else ""
    words = html.escape(row.impression or row.findings)
    head = f"<small>{row.rank}. similarity {row.similarity:.2f}{mark}</small>"
    return f'<div style="{CARD};margin-top:6px">{head}<br>{words}</div>'


class RetrievalBrowser:
    """The widgets of `retrieval_browser`."""

    def __init__(self, gallery: Gallery, phrase: str, k: int) -> None:
        import ipywidgets as widgets

        self.gallery, self.k = gallery, k
        self.phrase = widgets.Text(
            value=phrase, placeholder=EXAMPLES, description="phrase", continuous_update=False, layout={"width": "36em"}
        )
        self.search = widgets.Button(description="find hearts", button_style="primary")
        self.heart = widgets.Dropdown(
            options=[("pick a heart …", None), *((key, key) for key in gallery.hearts["study_key"])],
            description="heart", layout={"width": "36em"},
        )  # fmt: skip
        self.line, self.answer = notice(), widgets.HTML()
        self.box = widgets.VBox([widgets.HBox([self.phrase, self.search]), self.heart, self.line, self.answer])
        self.phrase.observe(self._asked, names="value")
        self.search.on_click(self._asked)
        self.heart.observe(self._picked, names="value")
        self._asked(None)

    def _asked(self, _: Any) -> None:
        answering(self.line, self._find_hearts)

    def _picked(self, _: Any) -> None:
        if self.heart.value is not None:
            answering(self.line, self._find_reports)

    def _find_hearts(self) -> str:
        self.heart.value = None  # the answer is about the phrase again
        self.answer.value = ""
        if self.gallery.hearts.empty:
            return "There is no heart in this gallery."
        self.answer.value = hearts_html(self.gallery, self.phrase.value, self.k)
        unknown = self.gallery.unknown(self.phrase.value)[1]
        return f"Never met, so only spelled: {', '.join(unknown)}." if unknown else ""

    def _find_reports(self) -> str:
        self.answer.value = reports_html(self.gallery, self.heart.value, self.k)
        return ""
