"""TeX in Markdown as pictures, so that a page shows its formulas without MathJax and without a network.

Drawn by matplotlib's mathtext as SVG inside the page; the TeX stays as alternative text.
"""

import base64
import html
import io
import re
from collections.abc import Callable
from functools import cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser

SIZE_PT = 11.5
PARSER = MathTextParser("path")
# Code is left alone: fenced blocks and `spans` first, then $$ … $$, then $ … $ that opens and closes on a letter.
_PARTS = re.compile(
    r"(?P<code>```.*?```|`[^`\n]+`)|\$\$(?P<block>.+?)\$\$|(?<![\\$\w])\$(?P<line>[^\s$](?:[^$]*?[^\s$\\])?)\$(?![\d\w])",
    re.DOTALL,
)


@cache
def picture(tex: str, block: bool = False) -> str:
    """An <img> of a formula on the text's baseline. Raises ValueError, naming it, for what mathtext cannot draw."""
    flat = " ".join(tex.split())
    line = "$" + (flat.replace("\\frac", "\\dfrac") if block else flat) + "$"  # a block has room for tall fractions
    font = FontProperties(size=SIZE_PT * (1.15 if block else 1), math_fontfamily="cm")
    try:
        width, height, depth, _, _ = PARSER.parse(line, dpi=72, prop=font)
    except ValueError as error:
        raise ValueError(f"The formula {line} cannot be drawn: {str(error).strip().splitlines()[-1]}") from error
    figure = Figure(figsize=(width / 72, height / 72))
    figure.text(0, depth / height, line, fontproperties=font)
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    style = f"height:{height:.2f}pt;vertical-align:{-depth:.2f}pt"
    image = f'<img class="math" alt="{html.escape(tex)}" style="{style}" src="data:image/svg+xml;base64,{data}">'
    return f'<span class="formula">{image}</span>' if block else image


def with_pictures(markdown: str, render: Callable[[str], str]) -> str:
    """Markdown to HTML by `render`, with every formula outside code as a picture."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        if match["code"]:
            return match[0]
        kept.append(picture(match["block"] or match["line"], block=bool(match["block"])))
        return f"FORMULA{len(kept) - 1}ALUMROF"

    rendered = render(_PARTS.sub(keep, markdown))
    return re.sub(r"FORMULA(\d+)ALUMROF", lambda match: kept[int(match[1])], rendered)
