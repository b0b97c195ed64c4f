"""Retrieval: recall with intervals beside chance, where the right report stands, and what was found."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmr_lib.clips.store import ClipStore
from cmr_lib.figures import style

KIND_LOOKS = {
    "own": (style.BLUE, "o", "-", "own report"),
    "equal": (style.GREEN, "^", "-.", "equal words count"),
    "gallery": (style.ORANGE, "s", "--", "own, random gallery of {gallery}"),
    "shuffled": (style.GREY, "x", "", "shuffled pairs (control)"),
}

NOTHING = "n = 0: no study of this split has a report"


def recall_curves(
    table: pd.DataFrame, kinds: Sequence[str] = ("own", "gallery", "shuffled"), note: str = style.PHANTOM
) -> Figure:
    """Recall@k with 95 % intervals, one panel a direction; `table` from evaluation.retrieval.retrieval_table.

    Dotted: chance k / N of the whole gallery.
    """
    recall = table[table["metric"] == "recall_at_k"]
    directions = list(dict.fromkeys(recall["direction"]))
    if not directions:
        return style.nothing(NOTHING, note)
    fig, axes = style.canvas(1, len(directions), width=style.PAGE, height=2.7, note=note, sharey=True)
    for place, direction in zip(axes[0], directions, strict=False):
        part = recall[recall["direction"] == direction]
        for number, kind in enumerate(kinds):
            if (part["kind"] == kind).any():
                _curve(place, part[part["kind"] == kind], kind, 1 + 0.05 * (number - (len(kinds) - 1) / 2))
        own = part[part["kind"] == "own"]
        place.plot(
            own["k"], own["chance"], color=style.GREY, linestyle=":", label=f"chance k / {own['gallery'].iloc[0]}"
        )
        _shares_over(place, own["k"], "k")
        place.set_title(f"{direction}  (n = {own['n'].iloc[0]}, {own['n_patients'].iloc[0]} patients)")
    axes[0, 0].set_ylabel("recall@k")
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside upper center", ncols=len(names))
    return fig


def _shares_over(place: Axes, numbers: Iterable[int | np.integer], label: str) -> None:
    """A share from 0 to 1 over these numbers, on a logarithmic axis that is marked at them alone."""
    place.set_xscale("log")
    place.set_xticks(list(numbers), [f"{int(number):,}" for number in numbers])
    place.minorticks_off()
    place.set(xlabel=label, ylim=(-0.02, 1.02))


def _curve(place: Axes, rows: pd.DataFrame, kind: str, aside: float) -> None:
    """One kind's curve, moved aside a little on the log axis so that intervals do not cover each other."""
    colour, marker, line, label = KIND_LOOKS[kind]
    place.errorbar(
        rows["k"] * aside,
        rows["value"],
        yerr=style.interval(rows["value"], rows["low"], rows["high"]),
        color=colour,
        marker=marker,
        linestyle=line,
        capsize=2,
        label=label.format(gallery=int(rows["gallery"].iloc[0])),
    )


def rank_histogram(
    ranks: Mapping[str, Float[np.ndarray, " queries"]], gallery: int, note: str = style.PHANTOM
) -> Figure:
    """Where the right item stands, one panel a direction (key): queries by rank; dotted: a random order."""
    if not gallery:
        return style.nothing(NOTHING, note)
    fig, axes = style.canvas(1, len(ranks), width=style.PAGE, height=2.3, note=note, sharey=True)
    edges = np.linspace(0.5, gallery + 0.5, min(gallery, 30) + 1)
    for place, (direction, values) in zip(axes[0], ranks.items(), strict=True):
        place.hist(values, bins=edges, color=style.BLUE, edgecolor="white", linewidth=0.4)
        style.chance_line(place, len(values) / (len(edges) - 1), label="random order")
        place.axvline(np.median(values), color=style.RED, linestyle="--", label=f"median rank {np.median(values):g}")
        place.set(xlabel=f"rank of the right item (of {gallery})")
        place.set_title(f"{direction}  (n = {len(values)})")
        place.legend()
    axes[0, 0].set_ylabel("queries")
    return fig


def gallery_curve(table: pd.DataFrame, note: str = style.PHANTOM) -> Figure:
    """Recall@k by the size of the gallery with 95 % intervals, one panel a direction; dotted: chance of the same k.

    table: question, k, gallery, value, low, high, n, chance.
    """
    if table.empty:
        return style.nothing(NOTHING, note)
    ways = list(dict.fromkeys(table["question"]))
    fig, axes = style.canvas(1, len(ways), width=style.PAGE, height=2.7, note=note, sharey=True)
    looks = list(zip((style.BLUE, style.ORANGE, style.GREEN, style.RED), "os^D", strict=True))
    for place, way in zip(axes[0], ways, strict=True):
        rows = table[table["question"] == way]
        for (colour, marker), (k, part) in zip(looks, rows.groupby("k", sort=True), strict=False):
            place.errorbar(
                part["gallery"],
                part["value"],
                yerr=style.interval(part["value"], part["low"], part["high"]),
                color=colour,
                marker=marker,
                capsize=2,
                label=f"k = {k:g}",
            )
            place.plot(part["gallery"], part["chance"], color=colour, linestyle=":", linewidth=0.9)
        _shares_over(place, sorted(rows["gallery"].unique()), "studies in the gallery")
        place.set_title(f"{way}  (n = {rows['n'].iloc[0]}; dotted: chance)")
    axes[0, 0].set_ylabel("recall@k")
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside upper center", ncols=len(names))
    return fig


QUESTION_LOOKS = {
    "image → image": (style.BLUE, "o"),
    "image → report": (style.GREEN, "^"),
    "sentence → image": (style.ORANGE, "s"),
}


def precision_by_label(table: pd.DataFrame, note: str = style.PHANTOM) -> Figure:
    """Precision among the first ten with 95 % intervals, a row a label, a marker a question, chance as a grey bar.

    table: question, right (the label), value, low, high, n (queries), gallery, chance, of one metric.
    """
    rows = table.dropna(subset=["value"])
    if rows.empty:
        return style.nothing("n = 0: no study has a label to share", note)
    labels = list(dict.fromkeys(rows["right"]))
    asked = [question for question in QUESTION_LOOKS if (rows["question"] == question).any()]
    fig, axes = style.canvas(width=style.PAGE, height=0.9 + 0.3 * len(labels), note=note)
    place = axes[0, 0]
    for number, question in enumerate(asked):
        part = rows[rows["question"] == question]
        colour, marker = QUESTION_LOOKS[question]
        y = np.asarray([labels.index(label) for label in part["right"]]) + (number - (len(asked) - 1) / 2) * 0.24
        bars = style.interval(part["value"], part["low"], part["high"])
        place.errorbar(part["value"], y, xerr=bars, fmt=marker, color=colour, capsize=2, label=question)
        label = "chance" if not number else None
        place.scatter(part["chance"], y, marker="|", s=50, color=style.GREY, linewidths=1.6, label=label)
    having = rows[rows["question"] == asked[0]].set_index("right")["n"]
    names = [
        f"{style.words(label)} (n = {having[label]})" if label in having else style.words(label) for label in labels
    ]
    place.set_yticks(range(len(labels)), names)
    place.set_ylim(len(labels) - 0.5, -0.5)
    place.set(
        xlabel=f"precision among the first 10 of {rows['gallery'].max():.0f} (n: {asked[0]} queries)",
        xlim=(-0.02, 1.02),
    )
    fig.legend(loc="outside upper center", ncols=4)
    return fig


@dataclass(frozen=True)
class Found:
    """One report that a study retrieved."""

    rank: int
    similarity: float
    text: str
    is_own: bool = False


@dataclass(frozen=True)
class Example:
    """A query study: a few frames by caption, what it found, and where its own report stands."""

    frames: Mapping[str, Num[np.ndarray, "_ _"]]
    found: Sequence[Found]
    own_rank: int | float
    title: str = ""


def example(
    clips: ClipStore,
    study_key: str,
    impressions: Sequence[str],
    order: Int[np.ndarray, " found"],
    similarity: Float[np.ndarray, " gallery"],
    own: int,
) -> Example:
    """The row of one query study: its middle short-axis cine at the start and a third of the beat, and what it found.

    order: rows of the gallery found, best first. similarity: of the study to the whole gallery. own: its own row.
    """
    frames = clips.frames(clips.middle_cine(study_key))
    found = [
        Found(place + 1, float(similarity[row]), impressions[row], is_own=bool(row == own))
        for place, row in enumerate(order)
    ]
    rank = 1 + int((similarity > similarity[own]).sum())
    return Example({"ED": frames[0], "33 % RR": frames[len(frames) // 3]}, found, rank, f"study {study_key[:6]}:")


def examples(rows: Sequence[Example], note: str = style.PHANTOM) -> Figure:
    """Query frames (left) beside the first words of the reports found; the study's own report is starred and bold."""
    if not rows:
        return style.nothing(NOTHING, note)
    columns = max(len(row.frames) for row in rows)
    lines = max(len(row.found) for row in rows)
    height = max(1.0, 0.27 * lines + 0.25) * len(rows) + 0.3
    text_width = style.PAGE - 0.2 - 1.0 * columns
    widths = [1.0] * columns + [text_width]
    fig, axes = style.canvas(len(rows), columns + 1, width=style.PAGE, height=height, note=note, width_ratios=widths)
    fig.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0.02, hspace=0.02)
    for place, row in zip(axes, rows, strict=True):
        for cell, name in zip(place[:columns], [*row.frames, *[""] * columns], strict=False):
            style.image_axes(cell, row.frames.get(name))
            cell.set_title(name, loc="center", fontweight="normal")
        _reports(place[-1], row, lines, characters=int(19 * text_width))
    return fig


def _reports(cell: Axes, row: Example, lines: int, characters: int) -> None:
    """Two lines a report, `characters` wide."""
    style.image_axes(cell, None)
    cell.set(xlim=(0, 1), ylim=(0, 1))
    cell.set_title(f"{row.title}  own report at rank {row.own_rank:g}".strip())
    for number, found in enumerate(row.found):
        head = f"{'★' if found.is_own else ' '} {found.rank}. ({found.similarity:.2f}) "
        text = textwrap.wrap(head + found.text, characters, max_lines=2, placeholder=" …", subsequent_indent=" " * 6)
        weight = "bold" if found.is_own else "normal"
        height = 1 - (number + 0.08) / lines
        cell.text(0.0, height, "\n".join(text), va="top", fontsize=6, fontweight=weight)
