"""A map that answers the mouse, in one HTML file that asks no server for anything.

Drawn by Bokeh with its script inside the page. Bokeh gives every document new random identifiers; here they are
counted, so that the same map is the same bytes. What a point says when the mouse lies on it is decided by who draws:
text of patients' reports must not be given to this module.
"""

import base64
import html
import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from cmr_lib.figures.atlas import UNKNOWN, looks_of

MARKERS = {"o": "circle", "s": "square", "^": "triangle", "v": "inverted_triangle", "D": "diamond", "P": "plus",
           "X": "x", "*": "star"}  # fmt: skip
QUALITY = 70
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
NUMBER = re.compile(r'"p\d{4,}"')
SHOWN = ("x", "y", "name", "facts", "text", "picture")
CARD = """<div style="max-width:24em"><img src="@picture" width="96" style="float:left;margin-right:8px">
<b>@name</b><br>@facts<br><span style="white-space:pre-wrap">@text</span></div>"""


def thumbnail(image: UInt8[np.ndarray, "height width"], size_px: int = 48) -> str:
    """The picture as a small WebP inside a data address."""
    buffer = io.BytesIO()
    small = Image.fromarray(np.ascontiguousarray(image)).resize((size_px, size_px), Image.Resampling.BILINEAR)
    small.save(buffer, format="WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def counted(page: str) -> str:
    """The page with random identifiers, and those that count on from call to call, numbered as they first occur."""
    random: dict[str, str] = {}
    counted_on: dict[str, str] = {}
    page = UUID.sub(lambda found: random.setdefault(found[0], f"00000000-0000-4000-8000-{len(random):012x}"), page)
    return NUMBER.sub(lambda found: counted_on.setdefault(found[0], f'"p{len(counted_on) + 1000}"'), page)


def page(table: pd.DataFrame, titles: Mapping[str, str], title: str, note: str) -> str:
    """The map as one HTML page: a tab a colouring (column → title), every group hidden and shown by its legend.

    Columns: x, y, kind ("image" or "report"), name, facts, text (what the card says, in this order), picture (from
    `thumbnail`, or ""), and those of the colourings (names only). All text is escaped. Raises ValueError for no points.
    """
    if not len(table):
        raise ValueError("An interactive map of no study was asked for.")
    from bokeh.embed import file_html
    from bokeh.layouts import column as below
    from bokeh.models import ColumnDataSource, Div, HoverTool, TabPanel, Tabs
    from bokeh.plotting import figure
    from bokeh.resources import Resources

    shown = table.assign(**{name: table[name].astype(str).map(html.escape) for name in ("name", "facts", "text")})
    source, panels = ColumnDataSource({name: shown[name].tolist() for name in SHOWN}), []
    for column, words in titles.items():
        plot = figure(width=900, height=640, tools="pan,wheel_zoom,box_zoom,reset", toolbar_location="above")
        plot.toolbar.logo = None
        _draw(plot, source, shown, column)
        plot.add_tools(HoverTool(tooltips=CARD))
        plot.axis.visible = False
        plot.legend.click_policy = "hide"
        plot.add_layout(plot.legend[0], "right")
        panels.append(TabPanel(child=plot, title=words))
    head = Div(text=f"<b>{html.escape(title)}</b> · {html.escape(note)} · distances and islands' sizes mean nothing")
    return counted(file_html(below(head, Tabs(tabs=panels)), Resources(mode="inline"), title=title))


def _draw(plot: Any, source: Any, table: pd.DataFrame, column: str) -> None:
    """The points of one colouring: a group a name and kind; reports are hollow. All groups share one source."""
    from bokeh.models import CDSView, IndexFilter

    values = table[column].astype(str)
    for name, (colour, marker) in {UNKNOWN: ("lightgrey", "o"), **looks_of(values)}.items():
        chosen = values.isin(["", UNKNOWN]) if name == UNKNOWN else values == name
        for kind, filled in (("image", 0.8), ("report", 0.0)):
            rows = np.flatnonzero(chosen & (table["kind"] == kind)).tolist()
            if rows:
                looks = {"marker": MARKERS[marker], "size": 6, "fill_alpha": filled, "line_alpha": 0.8, "color": colour}
                view = CDSView(filter=IndexFilter(rows))
                plot.scatter(
                    "x", "y", source=source, view=view, **looks, legend_label=f"{name}, {kind}s ({len(rows):,})"
                )


def bands(lvef: pd.Series) -> pd.Series:
    """LVEF (%) as words: below 40, 40 to 55, above 55; UNKNOWN where it is not known."""
    named = pd.cut(lvef.astype(float), [-np.inf, 40, 55, np.inf], labels=["LVEF < 40", "LVEF 40 to 55", "LVEF > 55"])
    return named.astype(object).where(lvef.notna(), UNKNOWN).astype(str)


def nothing(note: str) -> str:
    """The page where there is no map."""
    head = "<!doctype html><meta charset='utf-8'><title>A map of hearts</title>"
    return f"{head}<p>n = 0: too few studies for a map ({html.escape(note)}).\n"
