"""What the embeddings know: confusion, AUROC with intervals, and LVEF predicted against true."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from cmr_lib.figures import style

GROUP_WORDS = {"field_strength_t": "field (T)", "age_band": "age", "vendor": "maker"}
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
    predictions: Mapping[str, tuple[str, pd.DataFrame]], table: pd.DataFrame, note: str = style.PHANTOM
) -> Figure:
    """Predicted minus true against their mean, a panel a quantity, with bias and 95 % limits of agreement.

    predictions: quantity → (name with its unit, columns true and predicted). table: evaluation.quantities.COLUMNS.
    Source: Bland & Altman 1986, Lancet i:307.
    """
    if not predictions:
        return style.nothing("n = 0: no study has a measured quantity", note)
    cols = min(2, len(predictions))
    rows = -(-len(predictions) // cols)
    fig, axes = style.canvas(rows, cols, width=style.PAGE, height=2.4 * rows, note=note)
    for place in axes.ravel()[len(predictions) :]:
        place.set_axis_off()
    for place, (name, (words, found)) in zip(axes.ravel(), predictions.items(), strict=False):
        numbers = table[table["quantity"] == name].set_index("metric")["value"]
        true, predicted = found["true"].to_numpy(), found["predicted"].to_numpy()
        place.scatter((true + predicted) / 2, predicted - true, s=7, color=style.BLUE, alpha=0.5, linewidths=0)
        place.axhline(0, color=style.GREY, linestyle=":", linewidth=1)
        place.axhline(numbers["bias"], color=style.BLACK, linewidth=1)
        for limit in ("lower_limit", "upper_limit"):
            place.axhline(numbers[limit], color=style.RED, linestyle="--", linewidth=1)
        place.set(xlabel=f"mean of true and predicted {words}", ylabel="predicted − true")
        limits = f"{numbers['lower_limit']:.0f} to {numbers['upper_limit']:.0f}"
        place.set_title(
            f"error {numbers['mean_absolute_error']:.1f}, R² {numbers['r_squared']:.2f}, bias {numbers['bias']:+.1f}, "
            f"limits {limits}, n = {len(found)}",
            fontweight="normal",
            fontsize=7,
        )
    return fig


def few_shots(table: pd.DataFrame, probe: float, note: str = style.PHANTOM) -> Figure:
    """Macro-AUROC by labelled studies a class: 95 % over episodes and patients (bars), over episodes alone (band).

    table: evaluation.fewshot.COLUMNS. probe: what the linear probe on all training studies reaches.
    """
    rows = table.dropna(subset=["value"])
    if rows.empty:
        return style.nothing("n = 0: too few labelled studies", note)
    fig, axes = style.canvas(width=style.COLUMN, height=2.6, note=note)
    place = axes[0, 0]
    bars = style.interval(rows["value"], rows["low"], rows["high"])
    place.fill_between(
        rows["shots"], rows["episode_low"], rows["episode_high"], color=style.SKY, alpha=0.35, label="draws"
    )
    place.errorbar(rows["shots"], rows["value"], yerr=bars, color=style.BLUE, marker="o", capsize=2, label="prototypes")
    place.axhline(probe, color=style.BLACK, linestyle="--", linewidth=1, label="linear probe, all studies")
    style.chance_line(place, 0.5)
    place.set_xscale("log", base=2)
    place.set_xticks(rows["shots"], [f"{shots}" for shots in rows["shots"]])
    place.minorticks_off()
    place.set(xlabel="labelled studies a diagnosis", ylabel="macro-AUROC", ylim=(0.45, 1.01))
    place.set_title(f"n = {rows['n'].iloc[0]} test studies, {rows['n_patients'].iloc[0]} patients", fontweight="normal")
    place.legend(loc="lower right", fontsize=6)
    return fig


def reliability(curves: Mapping[str, pd.DataFrame], note: str = style.PHANTOM) -> Figure:
    """Share that was right against the probability that was given, by bin, with Wilson's interval; a curve a method."""
    if not curves:
        return style.nothing("n = 0: no probabilities to judge", note)
    fig, axes = style.canvas(width=style.COLUMN, height=3.0, note=note)
    place = axes[0, 0]
    place.plot([0, 1], [0, 1], color=style.GREY, linestyle=":", linewidth=1, label="as said")
    looks = ((style.ORANGE, "s", "--"), (style.BLUE, "o", "-"))
    for (name, curve), (colour, marker, line) in zip(curves.items(), looks, strict=False):
        rows = curve[curve["n"] > 0]
        bars = style.interval(rows["share"], rows["low"], rows["high"])
        place.errorbar(
            rows["probability"],
            rows["share"],
            yerr=bars,
            color=colour,
            marker=marker,
            linestyle=line,
            capsize=2,
            label=name,
        )
    total = next(iter(curves.values()))["n"].sum()
    place.set(xlabel="probability of the diagnosis named", ylabel="share that was right", xlim=(0, 1), ylim=(0, 1))
    place.set_title(f"n = {total} test studies", fontweight="normal")
    place.legend(loc="lower right")
    return fig


def forest(table: pd.DataFrame, note: str = style.PHANTOM) -> Figure:
    """A panel a number, a row a subgroup: value, 95 % interval, n; the line is the value of all studies.

    table: evaluation.subgroups.COLUMNS and `number`. A subgroup without a value keeps its row, empty.
    """
    if table.empty:
        return style.nothing("n = 0: nothing was predicted", note)
    numbers = list(dict.fromkeys(table["number"]))
    height = 0.9 + 0.19 * (table["number"] == numbers[0]).sum()
    fig, axes = style.canvas(1, len(numbers), width=style.PAGE, height=height, note=note)
    for place, number in zip(axes[0], numbers, strict=True):
        rows = table[table["number"] == number].reset_index(drop=True)
        known = rows.dropna(subset=["value"])
        bars = style.interval(known["value"], known["low"], known["high"])
        place.errorbar(known["value"], known.index, xerr=bars, fmt="o", color=style.BLUE, capsize=2)
        place.axvline(rows["value"].iloc[0], color=style.GREY, linestyle=":", linewidth=1)
        names = [
            f"{'' if row.by == 'all' else GROUP_WORDS.get(row.by, style.words(row.by)) + ': '}{row.group} (n = {row.n})"
            for row in rows.itertuples()
        ]
        place.set_yticks(rows.index, names, fontsize=6)
        place.set_ylim(len(rows) - 0.5, -0.5)
        place.set(xlabel=number)
    return fig


def cohorts(table: pd.DataFrame, note: str = style.PHANTOM) -> Figure:
    """Numbers between 0 and 1 of several cohorts, a row a task and metric, a marker a cohort. cohorts.COLUMNS."""
    rows = table.dropna(subset=["value"])
    rows = rows[rows["value"].between(0, 1)]
    if rows.empty:
        return style.nothing("n = 0: no second cohort", note)
    names = list(dict.fromkeys(rows["cohort"]))
    keys = rows["task"] + ", " + rows["metric"].str.replace("_", " ")
    tasks = list(dict.fromkeys(keys))
    fig, axes = style.canvas(width=style.PAGE, height=0.9 + 0.27 * len(tasks), note=note)
    place, looks = axes[0, 0], ((style.BLUE, "o"), (style.ORANGE, "s"), (style.GREEN, "^"), (style.PINK, "D"))
    for number, (name, (colour, marker)) in enumerate(zip(names, looks, strict=False)):
        part = rows[rows["cohort"] == name]
        y = np.asarray([tasks.index(key) for key in keys[part.index]]) + (number - (len(names) - 1) / 2) * 0.22
        bars = style.interval(part["value"], part["low"], part["high"])
        place.errorbar(
            part["value"], y, xerr=bars, fmt=marker, color=colour, capsize=2, label=f"{name} (n = {part['n'].max()})"
        )
        place.scatter(part["chance"], y, marker="|", s=45, color=style.GREY, linewidths=1.4)
    place.set_yticks(range(len(tasks)), [style.words(task) for task in tasks])
    place.set_ylim(len(tasks) - 0.5, -0.5)
    place.set(xlabel="value, with 95 % interval (grey bar: chance)", xlim=(-0.02, 1.02))
    fig.legend(loc="outside upper center", ncols=4)
    return fig
