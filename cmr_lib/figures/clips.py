"""What preprocessing kept and what it turned away."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.figure import Figure

from cmr_lib.figures import style

SPLITS = ("train", "validation", "test")
HATCHES = ("", "///", "...")


def contact_sheet(
    clips: Mapping[str, UInt8[np.ndarray, "_ _ _"]], columns: int = 6, note: str = style.PHANTOM
) -> Figure:
    """One row a clip (key = its name): up to `columns` frames, evenly chosen, with the phase as % of RR above.

    Stills (one frame) show one picture.
    """
    side = min(1.0, (style.PAGE - 0.9) / columns)
    fig, axes = style.canvas(
        len(clips), columns, width=side * columns + 0.9, height=(side + 0.1) * len(clips) + 0.3, note=note
    )
    fig.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    for row, (name, frames) in zip(axes, clips.items(), strict=True):
        chosen = np.unique(np.arange(columns) * len(frames) // columns) if len(frames) > 1 else [0]
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for place, cell in enumerate(row):
            has_frame = place < len(chosen)
            style.image_axes(cell, frames[chosen[place]] if has_frame else None, vmin=0, vmax=255)
            if has_frame and len(frames) > 1:
                phase = f"{100 * chosen[place] / len(frames):.0f} % RR"
                cell.set_title(phase, loc="center", fontweight="normal", fontsize=6)
    return fig


def quality_sheet(
    studies: Mapping[str, tuple[UInt8[np.ndarray, "_ _"], UInt8[np.ndarray, "_ _"]]],
    columns: int = 6,
    note: str = style.PHANTOM,
) -> Figure:
    """Many studies at once: for each (key = what stands above) the heart when full and when empty, side by side."""
    rows = max(1, -(-len(studies) // columns))
    side = style.PAGE / columns
    fig, axes = style.canvas(rows, columns, width=style.PAGE, height=(side / 2 + 0.16) * rows + 0.25, note=note)
    fig.set_dpi(90)  # as a notebook shows it; an executed copy has its limit
    fig.get_layout_engine().set(w_pad=0.02, h_pad=0.01, wspace=0, hspace=0)
    for cell in axes.flat:
        style.image_axes(cell, None)
    for cell, (name, pair) in zip(axes.flat, studies.items(), strict=False):
        style.image_axes(cell, np.hstack(pair), vmin=0, vmax=255)
        cell.set_title(name, loc="left", fontweight="normal", fontsize=6, pad=2)
    return fig


def quality_spread(table: pd.DataFrame, note: str = style.PHANTOM) -> Figure:
    """How a cohort's quality is spread. Columns: score, motion, contrast; one row a study."""
    fig, axes = style.canvas(1, 3, width=style.PAGE, height=2.0, note=note, sharey=True)
    names = {"score": "score (1 is best)", "motion": "motion, middle over rim", "contrast": "contrast of the middle"}
    for place, (column, label) in zip(axes[0], names.items(), strict=True):
        place.hist(table[column].dropna(), bins=20, color=style.BLUE, edgecolor="white", linewidth=0.4)
        place.set(xlabel=label)
    axes[0, 0].set(ylabel=f"studies (n = {len(table)})")
    return fig


def counts(table: pd.DataFrame, note: str = style.PHANTOM) -> Figure:
    """Clips by view and split, and studies by split. Columns: study_key, split, view; one row a clip."""
    fig, axes = style.canvas(1, 2, width=style.PAGE, height=2.4, note=note, width_ratios=[3, 1])
    views = sorted(table["view"].unique())
    splits = [split for split in SPLITS if (table["split"] == split).any()]
    for number, split in enumerate(splits):
        colour, hatch = (style.BLUE, style.ORANGE, style.GREEN)[SPLITS.index(split)], HATCHES[SPLITS.index(split)]
        part = table[table["split"] == split]
        looks = {"color": colour, "hatch": hatch, "edgecolor": "white", "label": split}
        heights = [(part["view"] == view).sum() for view in views]
        offset = (number - (len(splits) - 1) / 2) * 0.26
        bars = axes[0, 0].bar(np.arange(len(views)) + offset, heights, width=0.25, **looks)
        axes[0, 0].bar_label(bars, fontsize=6, padding=1)
        studies = axes[0, 1].bar(number, part["study_key"].nunique(), width=0.7, **looks)
        axes[0, 1].bar_label(studies, fontsize=6, padding=1)
    axes[0, 0].set_xticks(range(len(views)), views)
    axes[0, 0].set(ylabel="clips", xlabel="view")
    axes[0, 0].legend(ncols=len(splits))
    axes[0, 0].margins(y=0.2)
    axes[0, 1].margins(y=0.1)
    axes[0, 1].set_xticks(range(len(splits)), splits)
    axes[0, 1].set(ylabel="studies", xlabel="split")
    return fig


def rejects(table: pd.DataFrame, note: str = style.PHANTOM) -> Figure:
    """How many inputs were rejected, repaired or ignored, by reason. Columns: level, code, action."""
    counted = table.groupby(["level", "code", "action"]).size().sort_values(kind="stable")
    fig, axes = style.canvas(width=style.COLUMN, height=0.8 + 0.2 * max(3, len(counted)), note=note)
    place = axes[0, 0]
    if not len(counted):
        place.text(0.5, 0.5, "no input was rejected, repaired or ignored", ha="center", transform=place.transAxes)
        style.image_axes(place, None)
        return fig
    looks = {"rejected": (style.RED, ""), "repaired": (style.BLUE, "///"), "ignored": (style.GREY, "...")}
    seen: set[str] = set()
    for row, ((_, _, action), number) in enumerate(counted.items()):
        colour, hatch = looks[action]
        label = "_nolegend_" if action in seen else action
        bar = place.barh(row, number, color=colour, hatch=hatch, edgecolor="white", label=label)
        place.bar_label(bar, fontsize=6, padding=2)
        seen.add(action)
    place.set_yticks(range(len(counted)), [f"{code} ({level})" for level, code, _ in counted.index])
    place.set(xlabel="inputs (log scale)", xscale="log", xlim=(0.7, counted.max() * 4))
    place.xaxis.set_major_formatter("{x:g}")
    place.legend(loc="lower right")
    return fig
