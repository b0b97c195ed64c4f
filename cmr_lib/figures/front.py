"""The picture of the README: a heart finding its report."""

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from cmr_lib.figures import style

LINE, MOST_LINES = 62, 4  # characters a line and lines of a report


def heart_finds_report(
    frames: Mapping[str, UInt8[np.ndarray, "_ _"]], found: pd.DataFrame, own: str, candidates: int, note: str
) -> Figure:
    """Left the heart's images (up to six, key = what stands above), right the reports that lie closest to it.

    Args:
        frames: images of the study.
        found: columns rank, similarity, impression; one row a report, best first.
        own: the impression of the heart's own report, which is marked.
        candidates: how many reports there were to choose from.
        note: whose heart it is, and how it was chosen.
    """
    fig, axes = style.canvas(1, 2, width=style.PAGE, height=3.4, note=note, width_ratios=[1, 1.55])
    for place in axes[0]:
        style.image_axes(place, None)
    _images(axes[0, 0], frames)
    _reports(axes[0, 1], found, own, candidates)
    arrow = {"arrowstyle": "-|>", "mutation_scale": 16, "color": style.BLACK, "linewidth": 1.6}
    fig.add_artist(FancyArrowPatch((0.378, 0.5), (0.418, 0.5), transform=fig.transFigure, **arrow))
    return fig


def _images(axes, frames: Mapping[str, UInt8[np.ndarray, "_ _"]]) -> None:  # noqa: ANN001 (matplotlib's Axes)
    """Two columns of images with their names, in one pair of axes."""
    axes.set(xlim=(0, 2.08), ylim=(3.45, -0.34))
    axes.set_aspect("equal")
    axes.text(1.04, -0.27, "a cardiac MRI study", ha="center", va="center", fontweight="bold")
    for number, (name, frame) in enumerate(list(frames.items())[:6]):
        row, column = divmod(number, 2)
        left, top = 1.06 * column, 1.17 * row
        axes.imshow(frame, extent=(left, left + 1, top + 1, top), vmin=0, vmax=255, interpolation="bicubic")
        axes.text(left, top - 0.02, name, fontsize=6, color=style.GREY, va="bottom")


def _reports(axes, found: pd.DataFrame, own: str, candidates: int) -> None:  # noqa: ANN001 (matplotlib's Axes)
    """One box a report: rank, similarity, its impression."""
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.text(0.52, 0.985, f"the closest of {candidates} reports", ha="center", va="center", fontweight="bold")
    height = 0.94 / len(found)
    for number, row in enumerate(found.itertuples()):
        top = 0.95 - number * height
        right = row.impression == own
        colour = style.GREEN if right else style.GREY
        box = FancyBboxPatch(
            (0.05, top - height + 0.03), 0.94, height - 0.05, boxstyle="round,pad=0,rounding_size=0.02",
            facecolor="white", edgecolor=colour, linewidth=2.2 if right else 0.8,
        )  # fmt: skip
        axes.add_patch(box)
        mark = "  ✓ its own report" if right else ""
        head = f"{row.rank}.  similarity {row.similarity:.2f}{mark}"
        axes.text(0.075, top - 0.05, head, fontsize=7, va="top", color=colour, fontweight="bold" if right else "normal")
        lines = textwrap.wrap(" ".join(row.impression.split()), LINE, max_lines=MOST_LINES, placeholder=" …")
        axes.text(0.075, top - 0.105, "\n".join(lines), fontsize=6.5, va="top", linespacing=1.3)
