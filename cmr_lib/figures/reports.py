"""A report with boxes where something was taken out of it."""

import itertools
from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from cmr_lib.figures import style

COLUMNS, SIZE = 112, 6.2  # letters in a line, and points of a letter
LETTER = 0.602 * SIZE / 72  # inches: the advance of DejaVu Sans Mono
LINE = 0.115  # inches
COLOURS = {"NAME": style.ORANGE, "ID": style.SKY, "DATE": style.GREEN, "AGE": style.GREEN}


def _lines(parts: Sequence[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Letters with their kind, line by line, broken at blanks behind at most COLUMNS letters."""
    line: list[tuple[str, str]] = []
    for letter, kind in ((letter, kind) for text, kind in parts for letter in text.replace("\t", " ")):
        if letter == "\n":
            yield line
            line = []
            continue
        line.append((letter, kind))
        if len(line) > COLUMNS:
            blanks = [place for place, (other, _) in enumerate(line) if other == " "]
            cut = blanks[-1] + 1 if blanks else COLUMNS
            yield line[:cut]
            line = line[cut:]
    yield line


def boxes(parts: Sequence[tuple[str, str]], note: str = style.PHANTOM) -> Figure:
    """A text with a box around each piece that replaces what was taken out.

    `parts`: (what stands there now, kind of what was taken out or ""), in order.
    """
    lines = list(_lines(parts))
    fig, axes = style.canvas(width=(COLUMNS + 2) * LETTER, height=LINE * len(lines) + 0.25, note=note)
    fig.get_layout_engine().set(w_pad=0, h_pad=0, wspace=0, hspace=0)  # a letter of the text is a unit of the axes
    fig.set_dpi(100)  # as a notebook shows it; an executed copy has its limit
    cell = axes[0, 0]
    style.image_axes(cell, None)
    cell.set(xlim=(-1, COLUMNS + 1), ylim=(len(lines), 0))
    for row, line in enumerate(lines):
        column = 0
        for kind, letters in itertools.groupby(line, key=lambda pair: pair[1]):
            text = "".join(letter for letter, _ in letters)
            box = {"facecolor": COLOURS.get(kind, style.PINK), "alpha": 0.45, "pad": 0.6, "linewidth": 0.4}
            cell.text(column, row + 0.5, text, family="DejaVu Sans Mono", fontsize=SIZE, va="center",
                      parse_math=False, in_layout=False, bbox=box if kind else None)  # fmt: skip
            column += len(text)
    return fig
