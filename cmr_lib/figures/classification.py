"""What the embeddings know: confusion, AUROC with intervals, and LVEF predicted against true."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from cmr_lib.figures import style

METHOD_LOOKS = {"zero-shot": (style.ORANGE, "s"), "linear probe": (style.BLUE, "o")}


def confusion(table: pd.DataFrame, title: str = "", note: str = style.PHANTOM) -> Figure:
    """Counts, true classes down, predicted across; shade = share of the true class, so rows compare."""
    counts = table.to_numpy(dtype=int)
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    side = 0.42 * len(counts) + 1.2
    fig, axes = style.canvas(width=max(2.6, side), height=max(2.4, side - 0.1), note=note)
    place = axes[0, 0]
    place.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if share[row, column] > 0.55 else style.BLACK
        place.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=7)
    place.set_xticks(range(len(counts)), list(table.columns))
    place.set_yticks(
        range(len(counts)), [f"{name} (n = {n})" for name, n in zip(table.index, total[:, 0], strict=True)]
    )
    place.set(xlabel="predicted", ylabel="true")
    place.set_title(f"{title} (n = {counts.sum()})".strip(), fontweight="normal")
    return fig


def auroc(table: pd.DataFrame, note: str = style.PHANTOM) -> Figure:
    """AUROC with 95 % intervals, a row a task, a marker a method. Columns of evaluation.classification.COLUMNS."""
    rows = table[table["metric"] == "auroc"]
    if rows.empty:
        return style.nothing("n = 0: no finding was judged for every study", note)
    tasks = list(dict.fromkeys(rows["task"]))
    methods = [method for method in METHOD_LOOKS if (rows["method"] == method).any()]
    fig, axes = style.canvas(width=style.COLUMN, height=0.85 + 0.3 * max(1, len(tasks)), note=note)
    place = axes[0, 0]
    for number, method in enumerate(methods):
        part = rows[rows["method"] == method].dropna(subset=["value"])
        colour, marker = METHOD_LOOKS[method]
        y = np.asarray([tasks.index(task) for task in part["task"]]) + (number - (len(methods) - 1) / 2) * 0.28
        bars = style.interval(part["value"], part["low"], part["high"])
        place.errorbar(part["value"], y, xerr=bars, fmt=marker, color=colour, capsize=2, label=method)
    style.chance_line(place, 0.5, horizontal=False)
    sizes = rows.groupby("task")["n"].max()
    place.set_yticks(range(len(tasks)), [f"{style.words(task)} (n = {sizes[task]})" for task in tasks])
    place.set(xlabel="AUROC", xlim=(min(0.4, np.nanmin(rows["low"], initial=0.4)) - 0.02, 1.02))
    place.set_ylim(len(tasks) - 0.5, -0.5)
    fig.legend(loc="outside upper center", ncols=3)
    return fig


def lvef_scatter(
    true: Float[np.ndarray, " studies"],
    predicted: Float[np.ndarray, " studies"],
    table: pd.DataFrame,
    note: str = style.PHANTOM,
) -> Figure:
    """LVEF predicted against true (%), with the identity line; the errors come from the LVEF probe's `table`."""
    if not len(true):
        return style.nothing("n = 0: no study has a measured LVEF", note)
    fig, axes = style.canvas(width=style.COLUMN, height=3.4, note=note)
    place = axes[0, 0]
    limits = [min(true.min(), predicted.min()) - 3, max(true.max(), predicted.max()) + 3]
    place.plot(limits, limits, color=style.GREY, linestyle=":", linewidth=1, label="identity")
    place.scatter(true, predicted, s=8, color=style.BLUE, alpha=0.6, linewidths=0, rasterized=True)
    place.set(xlabel="true LVEF (%)", ylabel="predicted LVEF (%)", xlim=limits, ylim=limits, aspect="equal")
    place.legend(loc="lower right")
    errors = table[table["metric"] == "mean_absolute_error"].set_index("method")
    model, constant = errors.loc["ridge probe"], errors.loc["training mean"]
    text = f"MAE {model['value']:.1f} ({model['low']:.1f}–{model['high']:.1f}) points, n = {model['n']}"
    place.set_title(f"{text}\ntraining mean: {constant['value']:.1f} points", fontweight="normal")
    return fig


def bland_altman(
    true: Float[np.ndarray, " studies"], predicted: Float[np.ndarray, " studies"], note: str = style.PHANTOM
) -> Figure:
    """Predicted minus true LVEF against their mean, with bias and 95 % limits of agreement.

    Source: Bland & Altman 1986, Lancet i:307. All numbers in points of LVEF.
    """
    fig, axes = style.canvas(width=style.COLUMN, height=2.6, note=note)
    place, difference = axes[0, 0], predicted - true
    bias, spread = difference.mean(), 1.96 * difference.std(ddof=1)
    place.scatter((true + predicted) / 2, difference, s=8, color=style.BLUE, alpha=0.6, linewidths=0, rasterized=True)
    place.axhline(0, color=style.GREY, linestyle=":", linewidth=1)
    place.axhline(bias, color=style.BLACK, linewidth=1)
    for limit in (bias - spread, bias + spread):
        place.axhline(limit, color=style.RED, linestyle="--", linewidth=1)
    place.set(xlabel="mean of true and predicted LVEF (%)", ylabel="predicted − true (points)")
    place.set_title(
        f"bias {bias:+.1f}, limits {bias - spread:.1f} to {bias + spread:.1f}, n = {len(true)}", fontweight="normal"
    )
    return fig
