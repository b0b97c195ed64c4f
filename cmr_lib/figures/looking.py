"""Where and when the model looks, held against what is true: the beat, the anatomy, images spoiled patch by patch."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmr_lib.explain.attention import tint
from cmr_lib.figures import style
from cmr_lib.figures.maps import NO_MAPS

LOOKS = {
    "readout": (style.BLUE, "o", "-"),
    "rollout": (style.GREEN, "s", "-"),
    "gradient": (style.PINK, "D", "-"),
    "untrained": (style.RED, "v", "--"),
    "centre": (style.ORANGE, "^", ":"),
    "any order": (style.GREY, "x", ":"),
}
TITLES = {"pointing": "pointing game", "dice": "Dice", "energy": "weight inside"}
OUTLINES = {"heart": style.SKY, "cavity": style.GREEN, "septum": style.PINK, "scar": style.RED}


def looks_of(name: str) -> tuple[str, str, str]:
    """Colour, marker and line of a map: an untrained network's is red, whatever its kind."""
    return LOOKS["untrained"] if name.startswith("untrained") else LOOKS.get(name, (style.BLACK, ".", "-"))


def beat(
    table: pd.DataFrame,
    systole: tuple[float, float, float] | None,
    note: str = style.PHANTOM,
    why: str = "n = 0: no study has a short-axis cine",
) -> Figure:
    """Weight of a moment of the short-axis cine over the beat; 1: as if every moment counted alike.

    Columns: map, phase (share of RR), weight, low, high, n. The R wave (end-diastole) and end-systole (median and
    quartiles over the studies; None where unknown) are marked. why: what an empty figure says.
    """
    if not len(table):
        return style.nothing(why, note)
    fig, axes = style.canvas(width=1.5 * style.COLUMN, height=2.7, note=note)
    place = axes[0, 0]
    for number, (name, rows) in enumerate(table.groupby("map", sort=False)):
        colour, marker, line = looks_of(str(name))
        rows = rows.sort_values("phase")
        bars = style.interval(rows["weight"], rows["low"], rows["high"])
        curve = {"color": colour, "marker": marker, "linestyle": line, "capsize": 1.5, "label": name}
        place.errorbar(100 * rows["phase"] + 0.5 * number, rows["weight"], yerr=bars, **curve)
    style.chance_line(place, 1.0, label="even")
    _mark(place, 0.0, "ED")
    if systole is not None:
        place.axvspan(100 * systole[1], 100 * systole[2], color=style.GREY, alpha=0.2, linewidth=0)
        _mark(place, systole[0], "ES")
    place.set(xlabel="phase (% of RR)", ylabel="weight of the moment", ylim=(0, None))
    place.set_title(f"n = {int(table['n'].max())} studies", fontweight="normal")
    fig.legend(loc="outside upper center", ncols=5)
    return fig


def _mark(place: Axes, phase: float, word: str) -> None:
    place.axvline(100 * phase, color=style.BLACK, linewidth=0.8)
    text = {"xycoords": ("data", "axes fraction"), "xytext": (2, -8), "textcoords": "offset points"}
    place.annotate(word, (100 * phase, 1.0), **text, fontsize=7)


def localised(
    rows: pd.DataFrame,
    differences: pd.DataFrame,
    note: str = style.PHANTOM,
    why: str = "n = 0: no study whose anatomy is known",
) -> Figure:
    """Scores of maps against regions with their 95 % intervals; below each panel the best map minus its control.

    rows: region, map, measure, value, low, high, n, chance. differences: region, measure, map, value, low, high. why:
    what an empty figure says.
    """
    if not len(rows):
        return style.nothing(why, note)
    regions, measures = list(dict.fromkeys(rows["region"])), list(dict.fromkeys(rows["measure"]))
    fig, axes = style.canvas(
        len(regions), len(measures), width=style.PAGE, height=1.6 * len(regions) + 0.4, note=note, sharex=True
    )
    for down, region in enumerate(regions):
        for right, measure in enumerate(measures):
            part = rows[(rows["region"] == region) & (rows["measure"] == measure)]
            _panel(axes[down, right], part, first=not right)
            one = differences[(differences["region"] == region) & (differences["measure"] == measure)]
            said = [f"{row.map} {row.value:+.2f} ({row.low:+.2f} to {row.high:+.2f})" for row in one.itertuples()]
            axes[down, right].set_title("\n".join(said), fontsize=5.5, fontweight="normal", loc="center")
            if not right:
                n = int(part["n"].max()) if len(part) else 0
                axes[down, right].set_ylabel(f"{region}\nn = {n} studies")
            if down == len(regions) - 1:
                axes[down, right].set_xlabel(TITLES.get(measure, measure))
    above = "above each panel: minus the untrained model's, study by study (95 % interval)"
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", title=above)
    return fig


def _panel(place: Axes, part: pd.DataFrame, *, first: bool) -> None:
    names = part["map"].tolist()
    bars = style.interval(part["value"], part["low"], part["high"])
    for at, (name, value) in enumerate(zip(names, part["value"], strict=True)):
        colour, marker, _ = looks_of(name)
        place.errorbar(value, at, xerr=bars[:, at : at + 1], color=colour, marker=marker, capsize=2, linestyle="")
    if len(part):
        style.chance_line(place, float(part["chance"].iloc[0]), horizontal=False, label="a map that knows nothing")
    place.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5))
    place.set_yticks(range(len(names)), names if first else [""] * len(names))


def spoiled(
    shares: Sequence[float], curves: Mapping[str, Mapping[str, Float[np.ndarray, "studies steps"]]],
    gains: Mapping[str, str], note: str = style.PHANTOM, why: str = "n = 0: no study to spoil",
) -> Figure:  # fmt: skip
    """Mean similarity with the own report as patches are blurred away (left) or brought back (right) in a map's order.

    curves: map → {"deletion", "insertion"}; gains: map → its score in words, for the legend. why: what an empty figure
    says.
    """
    if not any(len(both["deletion"]) for both in curves.values()):
        return style.nothing(why, note)
    fig, axes = style.canvas(1, 2, width=style.PAGE, height=2.8, note=note, sharey=True)
    for place, kind in zip(axes[0], ("deletion", "insertion"), strict=True):
        for name, both in curves.items():
            colour, marker, line = looks_of(name)
            looks = {"color": colour, "marker": marker, "linestyle": line, "label": f"{name}: {gains[name]}"}
            place.plot(100 * np.asarray(shares), both[kind].mean(axis=0), **looks)
        n = len(next(iter(curves.values()))[kind])
        place.set(xlabel=f"patches {'blurred away' if kind == 'deletion' else 'brought back'} (%)")
        place.set_title(f"{kind}, n = {n} studies", fontweight="normal")
    axes[0, 0].set_ylabel("similarity with the own report")
    fig.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, title="insertion − deletion area"
    )
    return fig


def over_anatomy(
    frames: UInt8[np.ndarray, "shown height width"],
    maps: Mapping[str, Float[np.ndarray, "shown height width"]],
    regions: Mapping[str, Bool[np.ndarray, "shown height width"]],
    captions: Sequence[str],
    note: str = style.PHANTOM,
) -> Figure:
    """Images (columns) plain with the outlines of the true regions, and under it tinted by each map (rows)."""
    side = 0.85  # inches: the executed copy holds this picture
    fig, axes = style.canvas(
        1 + len(maps), len(frames), width=side * len(frames) + 0.3, height=(1 + len(maps)) * side + 0.5, note=note
    )
    for at, frame in enumerate(frames):
        style.image_axes(axes[0, at], frame, vmin=0, vmax=255)
        axes[0, at].set_title(captions[at], fontsize=6, fontweight="normal", loc="center")
        for row, one in enumerate(maps.values(), start=1):
            peak = one[at].max()
            style.image_axes(axes[row, at], tint(frame, one[at] / peak if peak > 0 else one[at]))
        for place in axes[:, at]:
            for name, mask in regions.items():
                if mask[at].any():
                    place.contour(mask[at], [0.5], colors=[OUTLINES[name]], linewidths=0.8)
    for row, name in enumerate(("truth", *maps)):
        axes[row, 0].set_ylabel(name)
    outlined = [name for name, mask in regions.items() if mask.any()]
    for name in outlined:
        axes[0, 0].plot([], [], color=OUTLINES[name], label=name)
    if outlined:
        fig.legend(loc="outside upper center", ncols=4)
    return fig


def worth_of_kinds(rows: pd.DataFrame, note: str = style.PHANTOM) -> Figure:
    """Which images of a study counted: the weight that the map gives a kind, and what hiding the kind costs.

    Columns: kind, weight, weight_low, weight_high, even (its share of the images), fall, fall_low, fall_high, n. Where
    no weight is known (a model without maps) the left panel says so; what hiding costs is known of every model.
    """
    if not len(rows):
        return style.nothing("n = 0: no study to look at", note)
    fig, axes = style.canvas(1, 2, width=style.PAGE, height=0.9 + 0.3 * len(rows), note=note, sharey=True)
    for place, name, title in zip(
        axes[0], ("weight", "fall"), ("weight of the kind (rollout)", "fall of the similarity"), strict=True
    ):
        bars = style.interval(rows[name], rows[f"{name}_low"], rows[f"{name}_high"])
        place.errorbar(rows[name], range(len(rows)), xerr=bars, color=style.BLUE, marker="o", linestyle="", capsize=2)
        place.set(xlabel=title, ylim=(len(rows) - 0.5, -0.5))
    axes[0, 0].plot(rows["even"], range(len(rows)), "x", color=style.RED, label="its share of the images")
    if rows["weight"].isna().all():
        axes[0, 0].set_title(NO_MAPS, fontsize=5.5, fontweight="normal", loc="center")
    style.chance_line(axes[0, 1], 0.0, horizontal=False, label="nothing lost")
    axes[0, 0].set_yticks(range(len(rows)), [f"{row.kind} (n = {row.n})" for row in rows.itertuples()])
    fig.legend(loc="outside upper center", ncols=2)
    return fig
