"""Lessons 3 and 4: small matrices with their numbers, and lines beside what they are to be compared with."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmr_lib.figures import style

LOOKS = (
    (style.BLUE, "-", "o"),
    (style.RED, "--", "s"),
    (style.GREEN, "-.", "^"),
    (style.ORANGE, ":", "D"),
)
INVENTED = "invented numbers, no patient"
DARK = 0.6  # share of the colour scale beyond which the number is white


def matrices(
    named: Mapping[str, Float[np.ndarray, "rows cols"]],
    axes_names: tuple[str, str] = ("text", "image"),
    *,
    signed: bool = False,
    digits: int = 2,
    note: str = INVENTED,
) -> Figure:
    """Matrices side by side with every number written in; signed: red above zero, blue below, white at zero."""
    shown = list(named.values())
    top = max(float(np.abs(matrix).max()) for matrix in shown) or 1.0
    side = min(2.4, style.PAGE / len(shown))
    fig, axes = style.canvas(1, len(shown), width=side * len(shown), height=side + 0.6, note=note)
    for place, (name, matrix) in zip(axes[0], named.items(), strict=True):
        low, cmap = (-top, "RdBu_r") if signed else (min(0.0, float(matrix.min())), "Blues")
        place.imshow(matrix, cmap=cmap, vmin=low, vmax=top if signed else float(matrix.max()))
        _numbers(place, matrix, low, top if signed else float(matrix.max()), digits, signed)
        place.set_title(name, fontweight="normal", loc="center")
        place.set(xlabel=axes_names[0], xticks=range(matrix.shape[1]), yticks=range(matrix.shape[0]))
    axes[0, 0].set_ylabel(axes_names[1])
    return fig


def _numbers(
    place: Axes, matrix: Float[np.ndarray, "rows cols"], low: float, top: float, digits: int, signed: bool
) -> None:
    for (row, col), value in np.ndenumerate(matrix):
        share = abs(value) / top if signed else (value - low) / max(top - low, 1e-9)
        colour = "white" if share > DARK else "black"
        place.text(col, row, f"{value:z.{digits}f}", ha="center", va="center", fontsize=7, color=colour)


def lines(
    x: Num[np.ndarray, " points"],
    named: Mapping[str, Num[np.ndarray, " points"]],
    axes_names: tuple[str, str],
    *,
    chance: tuple[str, float] | None = None,
    marks: Mapping[str, float] | None = None,
    log: str = "",
    note: str = INVENTED,
) -> Figure:
    """Lines over one quantity, `log` naming the logarithmic axes ("x", "y", "xy"), chance dotted, marks vertical."""
    fig, axes = style.canvas(width=1.5 * style.COLUMN, height=2.5, note=note)
    place = axes[0, 0]
    draw_lines(place, x, named, axes_names, log)
    if chance:
        style.chance_line(place, chance[1], label=chance[0])
    for name, value in (marks or {}).items():
        place.axvline(value, color=style.GREY, linewidth=1, linestyle="--")
        text = {"xycoords": ("data", "axes fraction"), "xytext": (2, -3), "textcoords": "offset points"}
        place.annotate(name, (value, 1.0), **text, fontsize=6, rotation=90, va="top")
    fig.legend(loc="outside right upper")
    return fig


def draw_lines(
    place: Axes,
    x: Num[np.ndarray, " points"],
    named: Mapping[str, Num[np.ndarray, " points"]],
    axes_names: tuple[str, str],
    log: str = "",
) -> None:
    """The lines of one panel, told apart by colour, dash and, where they are few, markers."""
    for (name, values), (colour, dash, marker) in zip(named.items(), LOOKS, strict=False):
        place.plot(x, values, color=colour, linestyle=dash, marker=marker if len(x) <= 12 else "", label=name)
    place.set(xlabel=axes_names[0], ylabel=axes_names[1])
    if "x" in log:
        place.set_xscale("log")
    if "y" in log:
        place.set_yscale("log")


def panels(
    x: Num[np.ndarray, " points"],
    named: Mapping[str, Mapping[str, Num[np.ndarray, " points"]]],
    axes_names: tuple[str, str],
    *,
    note: str = INVENTED,
) -> Figure:
    """One panel of lines a name, on one scale, one legend for all."""
    fig, axes = style.canvas(1, len(named), width=style.PAGE, height=2.5, note=note, sharey=True)
    for place, (name, kept) in zip(axes[0], named.items(), strict=True):
        draw_lines(place, x, kept, axes_names)
        place.set_title(name, fontweight="normal")
        place.axhline(0, color=style.GREY, linewidth=0.6)
    for place in axes[0, 1:]:
        place.set_ylabel("")
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside upper center", ncols=len(names))
    return fig
