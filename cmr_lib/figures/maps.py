"""Maps: UMAP of the embeddings, attention over the image and over the heart cycle, and their sanity checks."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Num, UInt8
from matplotlib.figure import Figure

from cmr_lib.explain.attention import tint
from cmr_lib.figures import style

NO_MAPS = "n = 0: this model has no attention maps of a whole study"


def umap_map(
    coordinates: Float[np.ndarray, "studies 2"],
    diagnosis: Sequence[str] | np.ndarray | pd.Series,
    lvef: Num[np.ndarray, " studies"] | pd.Series,
    note: str = style.PHANTOM,
) -> Figure:
    """The map twice: by diagnosis (colour and marker) and by LVEF (%), grey where unknown. The axes have no unit."""
    if not len(coordinates):
        return style.nothing("n = 0: too few test studies for a map", note)
    fig, axes = style.canvas(1, 2, width=style.PAGE, height=3.6, note=note)
    codes = np.asarray(diagnosis, dtype=str)
    unknown = ~np.isin(codes, list(style.DIAGNOSIS))
    kinds = {code: (codes == code, *looks) for code, looks in style.DIAGNOSIS.items()}
    for code, (chosen, colour, marker) in {"not said": (unknown, "lightgrey", "o"), **kinds}.items():
        if chosen.any():
            looks = {"s": 11, "color": colour, "marker": marker, "alpha": 0.75, "linewidths": 0, "rasterized": True}
            axes[0, 0].scatter(*coordinates[chosen].T, **looks, label=f"{code} (n = {chosen.sum()})")
    values = np.asarray(lvef, dtype=float)
    known = np.isfinite(values)
    axes[0, 1].scatter(*coordinates[~known].T, s=9, color="lightgrey", linewidths=0)
    if known.any():
        looks = {"s": 9, "c": values[known], "cmap": "cividis", "linewidths": 0, "rasterized": True}
        fig.colorbar(axes[0, 1].scatter(*coordinates[known].T, **looks), ax=axes[0, 1], label="LVEF (%)", shrink=0.8)
    for place, title in zip(axes[0], ("diagnosis", "LVEF" if known.any() else "LVEF: not known"), strict=True):
        place.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
        place.set_title(f"{title}  (n = {len(coordinates)})")
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside upper center", ncols=4, handletextpad=0.1)
    return fig


def attention_frames(
    frames: UInt8[np.ndarray, "frames height width"],
    weights: Float[np.ndarray, "frames height width"],
    captions: Sequence[str],
    columns: int = 7,
    note: str = style.PHANTOM,
) -> Figure:
    """Each frame beside itself (below) tinted by its attention map (0 to 1, from explain.attention.upsample)."""
    if not len(frames):
        return style.nothing(NO_MAPS, note)
    rows = -(-len(frames) // columns)
    side = style.PAGE / columns
    fig, axes = style.canvas(2 * rows, columns, width=style.PAGE, height=rows * (2 * side + 0.2) + 0.2, note=note)
    fig.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        plain, tinted = axes[2 * row, column], axes[2 * row + 1, column]
        style.image_axes(plain, frames[number] if number < len(frames) else None, vmin=0, vmax=255)
        style.image_axes(tinted, tint(frames[number], weights[number]) if number < len(frames) else None)
        if number < len(frames):
            plain.set_title(captions[number], loc="center", fontweight="normal", fontsize=6)
    return fig


def time_weights(table: pd.DataFrame, note: str = style.PHANTOM) -> Figure:
    """Weight of each frame along the heart cycle, one line a view, mean over studies with its interval.

    Columns: view, phase (share of RR), weight, low, high (NaN: no interval), n; `uniform` = weight if all frames
    counted alike (the chance line). Stills (phase NaN) are left out.
    """
    if not table["n"].any():
        return style.nothing(NO_MAPS, note)
    looks = zip((style.BLUE, style.ORANGE, style.GREEN, style.RED), "os^v", ("-", "--", "-.", ":"), strict=True)
    fig, axes = style.canvas(width=style.COLUMN, height=2.5, note=note)
    place, moving = axes[0, 0], table.dropna(subset=["phase"])
    views = zip(looks, moving.sort_values("phase").groupby("view", sort=True), strict=False)
    for number, ((colour, marker, line), (view, rows)) in enumerate(views):
        bars = style.interval(rows["weight"], rows["low"], rows["high"])
        curve = {"color": colour, "marker": marker, "linestyle": line, "capsize": 2, "label": view}
        place.errorbar(100 * rows["phase"] + 0.8 * number, rows["weight"], yerr=bars, **curve)
    style.chance_line(place, float(table["uniform"].iloc[0]), label="uniform")
    place.set(xlabel="phase (% of RR)", ylabel="attention weight of the frame", ylim=(0, None))
    place.set_title(f"n = {int(table['n'].max())} studies", fontweight="normal")
    place.legend(ncols=2)
    return fig


def sanity(scores: pd.DataFrame, chance: Mapping[str, float], note: str = style.PHANTOM) -> Figure:
    """Per-study scores (columns of `scores`), a dot a study, beside the level that would mean nothing (`chance`)."""
    if not len(scores):
        return style.nothing(NO_MAPS, note)
    names = list(scores.columns)
    fig, axes = style.canvas(width=style.COLUMN, height=0.8 + 0.34 * len(names), note=note)
    place = axes[0, 0]
    for row, name in enumerate(names):
        values = scores[name].dropna().to_numpy(dtype=float)
        place.scatter(values, np.full(len(values), row), s=10, marker="|", color=style.BLUE, alpha=0.6, linewidths=1)
        place.plot([values.mean()], [row], "o", color=style.BLACK, label="mean of the studies" if not row else None)
        if name in chance:
            place.plot(
                [chance[name]], [row], "x", color=style.RED, label="level that means nothing" if not row else None
            )
    place.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    place.set_ylim(len(names) - 0.5, -0.5)
    place.set(xlabel=f"score (n = {len(scores)} studies)")
    fig.legend(loc="outside upper center", ncols=2)
    return fig
