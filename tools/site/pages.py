"""The shell of a page, and what stands in it: executed notebooks, tables, cards, figures. No script anywhere."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from nbconvert import HTMLExporter
from nbconvert.filters.markdown import markdown2html
from pygments.formatters import HtmlFormatter

from tools.site.maths import with_pictures

MOST_ROWS = 60  # of a table that are shown
ESTIMATE = ["value", "low", "high", "n", "chance"]
STYLE = """
body{font:16px/1.55 "DejaVu Sans",Verdana,sans-serif;color:#222;margin:0 auto;padding:0 1.2em 4em;max-width:62em}
nav{border-bottom:1px solid #ccc;padding:.7em 0;margin-bottom:1.6em;font-size:.86em}nav a{margin-right:1.1em}
a{color:#0b5394;text-decoration:none}a:hover{text-decoration:underline}h1{font-size:1.8em;line-height:1.2}
h2{margin-top:1.9em}.note{background:#fff3cd;padding:.6em 1em;border-radius:6px}img{max-width:100%}
img.math{max-width:none}.formula{display:block;text-align:center;margin:1em 0}
table,td,th{border:0}td p{margin:0}
table{border-collapse:collapse;font-size:.84em;display:block;overflow-x:auto;margin:1em 0}
td,th{padding:.3em .7em;border-bottom:1px solid #ddd;text-align:left!important;vertical-align:top}th{background:#f5f5f5}
pre,code{font:13px/1.45 "DejaVu Sans Mono",monospace}code{background:#f3f3f3;padding:.1em .3em;border-radius:3px}
pre{background:#f7f7f7;border-left:3px solid #ddd;padding:.6em .9em;overflow-x:auto;margin:.7em 0}pre code{padding:0}
.jp-InputPrompt,.jp-OutputPrompt,.prompt,.anchor-link{display:none}.jp-OutputArea-output{overflow-x:auto}
figure{margin:2em 0;border-top:1px solid #ddd;padding-top:1em}figcaption{font-size:.92em}figure img{display:block}
summary{cursor:pointer;color:#666;font-size:.82em}
"""


def shell(title: str, body: str, up: str = "") -> str:
    """A whole page; `up` leads back to the site's folder ("" or "../")."""
    links = {"index": "contents", "figures": "figures", "tables": "tables", "cards": "cards"}
    nav = "".join(f'<a href="{up}{name}.html">{words}</a>' for name, words in links.items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="{up}style.css"></head>'
        f"<body><nav><b>CMRformer-open</b> &nbsp; {nav}</nav>\n{body}\n</body></html>\n"
    )


def stylesheet() -> str:
    """The site's own style and the colours of code."""
    return STYLE + HtmlFormatter(style="default").get_style_defs(".highlight") + "\n"


def markdown(text: str) -> str:
    """Markdown as HTML, formulas as pictures."""
    return with_pictures(text, markdown2html)


def notebook(nb: Any) -> str:
    """The cells of an executed notebook as HTML, by nbconvert's plain template."""
    exporter = HTMLExporter(template_file=str(Path(__file__).parent / "notebook.html.j2"))
    exporter.register_filter("markdown2html", markdown)
    return exporter.from_notebook_node(nb)[0]


def read_notebook(file: Path) -> Any:
    """A notebook of format 4."""
    return nbformat.read(file, as_version=4)


def table(file: Path) -> str:
    """A CSV as a table: its first rows, and how many there are."""
    rows = pd.read_csv(file)
    more = "" if len(rows) <= MOST_ROWS else f"<p>The first {MOST_ROWS} of {len(rows):,} rows.</p>"
    return frame(rows.head(MOST_ROWS)) + more


def frame(rows: pd.DataFrame) -> str:
    """A data frame as a table; absent numbers are left empty."""
    return rows.to_html(index=False, border=0, na_rep="", float_format=lambda value: f"{value:.4g}")


def estimates(file: Path) -> str:
    """The estimates of a metrics.json (those with an n) as a table: value, interval, n, chance."""
    metrics = json.loads(file.read_text(encoding="utf-8"))
    found = {name: value for name, value in metrics.items() if isinstance(value, Mapping) and "value" in value}
    rows = [{"metric": name} | {key: value.get(key, float("nan")) for key in ESTIMATE} for name, value in found.items()]
    return frame(pd.DataFrame(rows, columns=["metric", *ESTIMATE])) if rows else "<p>No estimates, only counts.</p>"


def figure(image: str, title: str, says: str, command: str, where: str) -> str:
    """A figure with its caption: title, the sentence that reads it, the command that makes it, its notebook."""
    return (
        f'<figure id="{html.escape(title)}"><figcaption><b>{html.escape(title)}</b><br>{says}</figcaption>'
        f'<img src="{image}" alt="{html.escape(title)}" loading="lazy">'
        f"<figcaption>Made by <code>{html.escape(command)}</code>, {where}.</figcaption></figure>"
    )


def listing(rows: Sequence[tuple[str, str, str]], heads: tuple[str, str, str]) -> str:
    """A table of three columns whose cells are HTML already."""
    top = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"
