"""The atlas of hearts: images and reports on one map in several colourings, hearts along it, newcomers, its worth."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cmr_lib.figures import style

LOOKS = (
    (style.BLUE, "o"), (style.RED, "s"), (style.GREEN, "^"), (style.PINK, "D"), (style.SKY, "P"), (style.BLACK, "X"),
)  # fmt: skip
UNKNOWN = "not said"
LAYERS = 12
HALF = 0.028  # half the edge of a heart's picture, as a share of the map's longer side
Coordinates = Float[np.ndarray, "studies 2"]


def bare(place: Axes, title: str) -> None:
    """The axes of a map: no ticks, for its units mean nothing."""
    place.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    place.set_title(title)


def looks_of(values: pd.Series) -> dict[str, tuple[str, str]]:
    """Colour and marker of every value: diagnoses have theirs everywhere, others by the alphabet; unknown is grey."""
    names = sorted(set(values.astype(str)) - {"", UNKNOWN})
    if set(names) <= set(style.DIAGNOSIS):
        return {name: looks for name, looks in style.DIAGNOSIS.items() if name in names}
    return {name: LOOKS[number % len(LOOKS)] for number, name in enumerate(names)}


def _by_name(place: Axes, table: pd.DataFrame, column: str, title: str) -> None:
    values = table[column].astype(str).replace("", UNKNOWN)
    kinds = {UNKNOWN: ("lightgrey", "."), **looks_of(values)}
    for layer in range(LAYERS):  # groups are drawn in turns, so that the last does not hide the others
        for name, (colour, marker) in kinds.items():
            chosen = (values == name) & (np.arange(len(table)) % LAYERS == layer)
            points = {"s": 5, "color": colour, "marker": marker, "alpha": 0.7, "linewidths": 0, "rasterized": True}
            place.scatter(table.x[chosen], table.y[chosen], **points)
    for name, (colour, marker) in kinds.items():
        if (count := int((values == name).sum())) > 0:
            place.scatter([], [], color=colour, marker=marker, s=14, linewidths=0, label=f"{name} ({count:,})")
    bare(place, title)
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.08), "ncols": 3}
    place.legend(**below, handletextpad=0.0, columnspacing=0.6, fontsize=6)


def _by_number(fig: Figure, place: Axes, table: pd.DataFrame, column: str, title: str) -> None:
    values = table[column].to_numpy(dtype=float)
    known = np.isfinite(values)
    points = {"s": 7, "linewidths": 0, "rasterized": True}
    place.scatter(table.x[~known], table.y[~known], color="lightgrey", **points)
    bare(place, title)
    if known.any():
        drawn = place.scatter(table.x[known], table.y[known], c=values[known], cmap="cividis", **points)
        fig.colorbar(drawn, ax=place, label=title, shrink=0.7, location="bottom", pad=0.08, aspect=25)


def joint_map(table: pd.DataFrame, colourings: Mapping[str, str], note: str = style.PHANTOM) -> Figure:
    """One map of images and reports, once for every colouring (column → title); numbers get a scale, names a legend.

    Columns: x, y, kind ("image" or "report"), and those of the colourings. Numbers in brackets count points. The axes
    have no unit.
    """
    if not len(table):
        return style.nothing("n = 0: too few studies for a map", note)
    columns = 3
    rows = -(-len(colourings) // columns)
    fig, axes = style.canvas(rows, columns, width=style.PAGE, height=3.2 * rows, note=note)
    for place in axes.ravel()[len(colourings) :]:
        place.set_visible(False)
    for place, (column, title) in zip(axes.ravel(), colourings.items(), strict=False):
        if pd.api.types.is_numeric_dtype(table[column]):
            _by_number(fig, place, table, column, title)
        else:
            _by_name(place, table, column, title)
    images = int((table.kind == "image").sum())
    fig.suptitle(f"n = {images:,} images and {len(table) - images:,} reports", x=0.01, ha="left", fontsize=8)
    return fig


def spread_out(coordinates: Coordinates, most: int, apart: float = 2 * HALF) -> list[int]:
    """Row numbers of studies all over the map, no two nearer to each other than `apart` × its longer side.

    Begins in the middle and takes the study farthest from those taken, until there are `most` or none is far enough.
    """
    wide = max(float(np.ptp(coordinates, axis=0).max()), 1e-9)
    scaled = (coordinates - np.median(coordinates, axis=0)) / wide
    chosen = [int(np.abs(scaled).max(axis=1).argmin())]
    away = np.abs(scaled - scaled[chosen[0]]).max(axis=1)
    while len(chosen) < most and away.max() >= apart:
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.abs(scaled - scaled[chosen[-1]]).max(axis=1))
    return sorted(chosen)


def hearts_along(
    coordinates: Coordinates,
    diagnosis: Sequence[str] | np.ndarray | pd.Series,
    pictures: Mapping[int, UInt8[np.ndarray, "height width"]],
    note: str = style.PHANTOM,
) -> Figure:
    """Hearts where they lie on the map, framed in the colour of their diagnosis; a dot a study beneath.

    pictures: row number → image.
    """
    if not len(coordinates):
        return style.nothing("n = 0: too few studies for a map", note)
    wide, high = np.maximum(np.ptp(coordinates, axis=0), 1e-9)
    inches = float(np.clip(style.PAGE * high / wide + 0.9, 3.4, 7.0))
    fig, axes = style.canvas(width=style.PAGE, height=inches, note=note)
    place, codes = axes[0, 0], np.asarray(diagnosis, dtype=str)
    colours = np.array([style.DIAGNOSIS.get(code, ("lightgrey", "o"))[0] for code in codes])
    place.scatter(*coordinates.T, s=6, c=colours, linewidths=0, alpha=0.5, rasterized=True)
    half = HALF * max(wide, high)
    for row, picture in pictures.items():
        x, y = coordinates[row]
        place.imshow(picture, extent=(x - half, x + half, y - half, y + half), vmin=0, vmax=255, zorder=3)
        frame = {"edgecolor": colours[row], "linewidth": 1.6, "zorder": 4}
        place.add_patch(_square(float(x), float(y), float(half), frame))
    for code in [code for code in style.DIAGNOSIS if code in set(codes)]:
        place.scatter([], [], color=style.DIAGNOSIS[code][0], marker="s", label=code)
    low, high = coordinates.min(axis=0) - 1.5 * half, coordinates.max(axis=0) + 1.5 * half
    place.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    bare(place, f"{len(pictures)} of n = {len(coordinates)} test studies, mid-ventricular short axis at the R wave")
    _legend(fig, place, ncols=8)
    return fig


def _legend(fig: Figure, place: Axes, ncols: int) -> None:
    """The legend above the map, where there is anything to name."""
    if place.get_legend_handles_labels()[0]:
        fig.legend(loc="outside upper center", ncols=ncols, handletextpad=0.1)


def _square(x: float, y: float, half: float, looks: dict) -> Rectangle:
    return Rectangle((x - half, y - half), 2 * half, 2 * half, fill=False, **looks)


def newcomers(
    old: Coordinates,
    old_names: Sequence[str] | np.ndarray | pd.Series,
    new: Float[np.ndarray, "newcomers 2"],
    new_names: Sequence[str] | np.ndarray | pd.Series,
    note: str = style.PHANTOM,
) -> Figure:
    """New studies (ringed) on a fitted map (pale), in the colours of their diagnosis; one of your own: a star."""
    if not len(old):
        return style.nothing("n = 0: too few studies for a map", note)
    fig, axes = style.canvas(width=1.5 * style.COLUMN, height=4.2, note=note)
    place, codes = axes[0, 0], np.asarray(new_names, dtype=str)
    pale = [style.DIAGNOSIS.get(code, ("lightgrey", "o"))[0] for code in np.asarray(old_names, dtype=str)]
    place.scatter(*old.T, s=6, c=pale, alpha=0.25, linewidths=0, rasterized=True)
    for code, (colour, marker) in {**style.DIAGNOSIS, "": ("white", "o"), "yours": ("white", "*")}.items():
        chosen = codes == code
        if chosen.any():
            size = 160 if code == "yours" else 34
            looks = {"s": size, "color": colour, "marker": marker, "edgecolors": "black", "linewidths": 0.8}
            place.scatter(*new[chosen].T, **looks, label=f"{code or UNKNOWN} ({chosen.sum()})")
    bare(place, f"n = {len(new)} new studies on a map of n = {len(old)}")
    _legend(fig, place, ncols=4)
    return fig


def worth(rows: pd.DataFrame, chance: Mapping[str, float], note: str = style.PHANTOM) -> Figure:
    """Scores of UMAP by the size of its neighbourhood beside PCA's, each with its 95 % interval.

    Columns: score, map ("PCA" or "UMAP"), neighbours (0 for PCA), value, low, high, n. chance: by score.
    """
    if not len(rows):
        return style.nothing("n = 0: too few studies to judge a map", note)
    names = list(dict.fromkeys(rows["score"]))
    fig, axes = style.canvas(1, len(names), width=style.PAGE, height=2.4, note=note)
    for place, name in zip(axes[0], names, strict=True):
        part = rows[rows["score"] == name].reset_index(drop=True)
        labels = [f"UMAP, {row.neighbours} neighbours" if row.map == "UMAP" else "PCA" for row in part.itertuples()]
        colours = [style.BLUE if row.map == "UMAP" else style.RED for row in part.itertuples()]
        bars = style.interval(part["value"], part["low"], part["high"])
        for at, colour in enumerate(colours):
            looks = {"color": colour, "marker": "o" if colour == style.BLUE else "s", "capsize": 2}
            place.errorbar(part["value"][at], at, xerr=bars[:, at : at + 1], linestyle="", **looks)
        style.chance_line(place, chance[name], horizontal=False)
        place.set_yticks(range(len(labels)), labels)
        place.set(ylim=(len(labels) - 0.5, -0.5), xlabel=f"{name}  (n = {int(part['n'].max())} studies)")
        place.legend(loc="lower right", fontsize=6)
    return fig
