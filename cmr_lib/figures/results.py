"""The summary: our numbers with intervals and their chance levels."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from cmr_lib.figures import style

STAGE_LOOKS = {
    "retrieval": (style.BLUE, "o"),
    "classification": (style.ORANGE, "s"),
    "umap": (style.GREEN, "^"),
    "attention": (style.PINK, "D"),
}


def dot_plot(table: pd.DataFrame, names: Mapping[str, str] | None = None, note: str = style.PHANTOM) -> Figure:
    """A row a number: value, 95 % interval, chance as a grey bar. Columns of evaluation.results.COLUMNS.

    For numbers on one scale (shares, AUROC: 0 to 1): others belong in the table. names: metric → words to print.
    """
    rows = table.dropna(subset=["value"]).reset_index(drop=True)
    fig, axes = style.canvas(width=style.PAGE, height=0.9 + 0.21 * max(1, len(rows)), note=note)
    place, seen = axes[0, 0], set()
    for row in rows.itertuples():
        colour, marker = STAGE_LOOKS.get(row.stage, (style.BLACK, "o"))
        bars = style.interval([row.value], [row.low], [row.high])
        label = None if row.stage in seen else row.stage
        seen.add(row.stage)
        place.errorbar([row.value], [row.Index], xerr=bars, fmt=marker, color=colour, capsize=2, label=label)
    known = rows.dropna(subset=["chance"])
    place.scatter(known["chance"], known.index, marker="|", s=60, color=style.GREY, linewidths=1.6, label="chance")
    words = dict(names or {})
    place.set_yticks(
        rows.index,
        [
            f"{words.get(metric, style.words(metric))} (n = {n})"
            for metric, n in zip(rows["metric"], rows["n"], strict=True)
        ],
    )
    place.set_ylim(len(rows) - 0.5, -0.5)
    place.set(xlabel="value, with 95 % interval", xlim=(-0.02, 1.02))
    place.grid(axis="y", color="0.9", linewidth=0.6)
    place.set_axisbelow(True)
    fig.legend(loc="outside upper center", ncols=5)
    return fig
