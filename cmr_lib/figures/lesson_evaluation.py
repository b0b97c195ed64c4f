"""Lessons 5 and 6: the wrong way beside the right one, with intervals and chance; and how far luck alone goes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Num
from matplotlib.figure import Figure

from cmr_lib.figures import style
from cmr_lib.figures.lesson_loss import INVENTED, LOOKS

TEXTS = "reports of a synthetic phantom, invented image vectors"


def beside(table: pd.DataFrame, label: str, *, chance: float | None = None, note: str = INVENTED) -> Figure:
    """A group of bars a row of `group`, a bar a `way`; columns group, way, value and, where known, low, high.

    Every bar carries its number. chance: a dotted line.
    """
    groups, ways = list(dict.fromkeys(table["group"])), list(dict.fromkeys(table["way"]))
    fig, axes = style.canvas(width=1.5 * style.COLUMN, height=2.5, note=note)
    place, width = axes[0, 0], 0.8 / len(ways)
    for number, way in enumerate(ways):
        part = table[table["way"] == way].set_index("group").reindex(groups)
        x = np.arange(len(groups)) + (number - (len(ways) - 1) / 2) * width
        known = {"low", "high"} <= set(part.columns)
        bars = style.interval(part["value"], part["low"], part["high"]) if known else None
        hatch = ("", "///", "...", "xx")[number % 4]
        place.bar(x, part["value"], 0.9 * width, yerr=bars, capsize=2, color=LOOKS[number][0], hatch=hatch,
                  edgecolor="white", label=way)  # fmt: skip
        tops = part[["value", "high"] if known else ["value"]].max(axis=1)
        for left, top, value in zip(x, tops, part["value"], strict=True):
            if np.isfinite(value):
                words = f"{value:.0f}" if value > 1.5 else f"{value:.2f}"
                place.annotate(words, (left, top), (0, 2), textcoords="offset points", ha="center", fontsize=7)
    if chance is not None:
        style.chance_line(place, chance)
    place.set_xticks(range(len(groups)), groups)
    place.set(ylabel=label)
    place.margins(y=0.12)
    fig.legend(loc="outside right upper")
    return fig


def luck(
    named: Mapping[str, Num[np.ndarray, " draws"]],
    axes_names: tuple[str, str],
    *,
    marks: Mapping[str, float] | None = None,
    note: str = INVENTED,
) -> Figure:
    """Histograms of what single draws give, over one another, with marks (the mean, chance) as vertical lines."""
    fig, axes = style.canvas(width=1.5 * style.COLUMN, height=2.4, note=note)
    place = axes[0, 0]
    every = np.concatenate(list(named.values()))
    bins = np.linspace(every.min(), every.max() + 1e-9, 25)
    for (name, values), (colour, dash, _) in zip(named.items(), LOOKS, strict=False):
        place.hist(values, bins=bins, histtype="stepfilled", color=colour, alpha=0.35)
        place.hist(values, bins=bins, histtype="step", color=colour, linestyle=dash, label=name)
    for (name, value), dash in zip((marks or {}).items(), (":", "--", "-."), strict=False):
        place.axvline(value, color=style.BLACK, linestyle=dash, linewidth=1, label=name)
    place.set(xlabel=axes_names[0], ylabel=axes_names[1])
    fig.legend(loc="outside right upper")
    return fig
