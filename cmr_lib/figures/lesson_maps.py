"""Lesson 7: maps side by side over one heart, and how alike they are when the model forgets."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from cmr_lib.explain.attention import tint
from cmr_lib.figures import style

COLOURS = (style.BLUE, style.RED, style.GREEN, style.ORANGE, style.PINK)
MARKERS = "osv^D"


def over(
    frame: UInt8[np.ndarray, "height width"],
    maps: Mapping[str, Float[np.ndarray, "height width"]],
    note: str = style.PHANTOM,
) -> Figure:
    """One image plain, then tinted by each map, stretched from its least value (no tint) to its highest (full tint)."""
    side = style.PAGE / (1 + len(maps))
    fig, axes = style.canvas(1, 1 + len(maps), width=style.PAGE, height=side + 0.45, note=note)
    style.image_axes(axes[0, 0], frame, vmin=0, vmax=255)
    axes[0, 0].set_title("image", fontweight="normal", loc="center")
    for place, (name, one) in zip(axes[0, 1:], maps.items(), strict=True):
        style.image_axes(place, tint(frame, (one - one.min()) / max(float(np.ptp(one)), 1e-12)))
        place.set_title(name, fontweight="normal", loc="center")
    return fig


def dots(
    scores: Mapping[str, Float[np.ndarray, " hearts"]], chance: tuple[str, float], title: str, note: str = style.PHANTOM
) -> Figure:
    """A score of each map, a stroke a heart and a dot the mean, beside the level that means nothing."""
    fig, axes = style.canvas(width=1.5 * style.COLUMN, height=0.9 + 0.28 * len(scores), note=note)
    place = axes[0, 0]
    for row, values in enumerate(scores.values()):
        known = values[np.isfinite(values)]
        colour, marker = COLOURS[row % len(COLOURS)], MARKERS[row % len(MARKERS)]
        place.scatter(known, np.full(len(known), row), marker="|", s=30, color=colour, alpha=0.6, linewidths=1)
        place.plot([known.mean()], [row], marker, color=colour)
    style.chance_line(place, chance[1], horizontal=False, label=chance[0])
    n = max(int(np.isfinite(values).sum()) for values in scores.values())
    place.set_yticks(range(len(scores)), list(scores))
    place.set(xlabel=f"{title} (n = {n} hearts)", ylim=(len(scores) - 0.5, -0.5))
    fig.legend(loc="outside upper right")
    return fig


def forgotten(names: list[str], curves: Mapping[str, Float[np.ndarray, " steps"]], note: str = style.PHANTOM) -> Figure:
    """Correlation of each kind of map with that of the whole model, as more and more of it is forgotten."""
    fig, axes = style.canvas(width=1.5 * style.COLUMN, height=2.6, note=note)
    place = axes[0, 0]
    for (name, values), colour, marker in zip(curves.items(), COLOURS, MARKERS, strict=False):
        place.plot(range(len(names)), values, color=colour, marker=marker, label=name)
    style.chance_line(place, 0.0, label="nothing in common")
    place.set_xticks(range(len(names)), names, rotation=20, ha="right")
    place.set(ylabel="correlation with the whole model's map", ylim=(-0.6, 1.05))
    place.set_xlabel("forgotten, from the output on")
    fig.legend(loc="outside upper center", ncols=3)
    return fig
