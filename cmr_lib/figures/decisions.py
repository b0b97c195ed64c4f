"""What probabilities are worth: net benefit by threshold, and accuracy by the share of studies that is answered."""

import pandas as pd
from matplotlib.figure import Figure

from cmr_lib.figures import style


def decision_curve(table: pd.DataFrame, finding: str, note: str = style.PHANTOM) -> Figure:
    """Net benefit of acting on the model, on everybody, on nobody, by the probability at which somebody acts.

    table: evaluation.decisions.CURVE. finding: its name, for the title.
    """
    if table.empty:
        return style.nothing(f"n = 0: {finding} was not judged", note)
    fig, axes = style.canvas(width=style.COLUMN, height=2.7, note=note)
    place, at = axes[0, 0], table["threshold"]
    place.fill_between(at, table["low"], table["high"], color=style.SKY, alpha=0.35, linewidth=0)
    place.plot(at, table["value"], color=style.BLUE, marker="o", markersize=3, label="act on the probe")
    place.plot(at, table["everybody"], color=style.ORANGE, linestyle="--", label="act on everybody")
    place.axhline(0, color=style.GREY, linestyle=":", linewidth=1, label="act on nobody")
    top = max(table["high"].max(), table["everybody"].max(), 0.05)
    place.set(xlabel="acts from a probability of", ylabel="net benefit (true positives a study)")
    place.set(xlim=(0, 1), ylim=(-0.15 * top, 1.1 * top))
    counts = table.iloc[0]
    place.set_title(
        f"{finding}: n = {counts['n']:.0f} studies, {counts['n_patients']:.0f} patients", fontweight="normal"
    )
    place.legend(loc="upper right", fontsize=6)
    return fig


def abstention(table: pd.DataFrame, note: str = style.PHANTOM) -> Figure:
    """Accuracy against the share of studies answered, the surest first. table: evaluation.decisions.ABSTENTION."""
    if table.empty:
        return style.nothing("n = 0: no diagnosis was predicted", note)
    fig, axes = style.canvas(width=style.COLUMN, height=2.6, note=note)
    place, at = axes[0, 0], 100 * table["share"]
    place.fill_between(at, table["low"], table["high"], color=style.SKY, alpha=0.35, linewidth=0)
    place.plot(at, table["value"], color=style.BLUE, marker="o", markersize=3, label="the surest")
    everybody = table.iloc[-1]
    style.chance_line(place, everybody["value"], label="any of them")
    place.set(xlabel="studies answered (%)", ylabel="share that is right", xlim=(5, 102))
    place.set_ylim(min(table["low"].min(), everybody["value"]) - 0.05, 1.02)
    place.set_title(f"n = {everybody['n']:.0f} studies, {everybody['n_patients']:.0f} patients", fontweight="normal")
    place.legend(loc="lower left", fontsize=6)
    return fig
