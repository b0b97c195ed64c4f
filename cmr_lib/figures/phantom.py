"""The phantom explained: surfaces, planes where they cross, what the order of frames tells, a real image beside."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cmr_lib.figures import style
from cmr_lib.simulate.checks import Crossing
from cmr_lib.simulate.surfaces import Surface

COLOURS = {
    "left ventricle, cavity": (style.RED, 0.9),
    "left ventricle, wall": (style.ORANGE, 0.22),
    "right ventricle": (style.BLUE, 0.45),
    "left atrium": (style.PINK, 0.5),
    "right atrium": (style.SKY, 0.5),
}
EXTENT_MM = 62.0


def heart_3d(moments: Mapping[str, Sequence[Surface]], note: str = style.PHANTOM) -> Figure:
    """The chambers in space, a panel a moment, in the heart's own frame (mm): apex down, right ventricle left."""
    fig, axes = style.canvas(1, len(moments), width=style.PAGE, height=3.1, note=note, subplot_kw={"projection": "3d"})
    fig.set_dpi(80)  # shaded sheets are heavy in an executed copy
    for place, (name, surfaces) in zip(axes[0], moments.items(), strict=True):
        for surface in surfaces:
            colour, alpha = COLOURS[surface.name]
            place.plot_surface(
                -surface.x, surface.y, -surface.z, color=colour, alpha=alpha, linewidth=0, rcount=40, ccount=48
            )
        middle = 20.0
        place.set(xlim=(-EXTENT_MM, EXTENT_MM), ylim=(-EXTENT_MM, EXTENT_MM))
        place.set(zlim=(-middle - EXTENT_MM, -middle + EXTENT_MM), box_aspect=(1, 1, 1))
        place.view_init(elev=12, azim=-72)
        place.set_title(name, fontweight="normal")
        place.set(xlabel="septum ← → lateral (mm)", ylabel="inferior → anterior", zlabel="apex → base")
        place.tick_params(labelsize=5, pad=-3)
        for axis in (place.xaxis, place.yaxis, place.zaxis):
            axis.label.set_size(6)
            axis.labelpad = -8
    handles = [
        Patch(facecolor=colour, alpha=min(1.0, alpha + 0.2), label=name) for name, (colour, alpha) in COLOURS.items()
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return fig


def crossing_planes(crossing: Crossing, view: str, note: str = style.PHANTOM) -> Figure:
    """Short axis, long axis with the line in which they meet, and the brightness of both along it."""
    fig, axes = style.canvas(1, 3, width=style.PAGE, height=2.5, note=note, width_ratios=(1, 1, 1.5))
    colours, names = (style.BLUE, style.ORANGE), ("short axis", view)
    for place, image, pixels, colour, name in zip(
        axes[0], crossing.images, crossing.pixels, colours, names, strict=False
    ):
        style.image_axes(place, image, vmin=0, vmax=np.percentile(image, 99.5))
        place.plot(pixels[:, 1], pixels[:, 0], color=colour, linewidth=1)
        place.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
        place.set_title(name, fontweight="normal")
    along = np.linspace(-60, 60, len(crossing.lines[0]))
    for line, colour, name, dash in zip(crossing.lines, colours, names, ("-", "--"), strict=True):
        axes[0, 2].plot(along, line, color=colour, linestyle=dash, label=name)
    axes[0, 2].set(xlabel="place on the common line (mm)", ylabel="brightness (blood ≈ 1)")
    axes[0, 2].set_title(f"correlation {crossing.correlation:.3f}", fontweight="normal")
    axes[0, 2].legend(loc="upper right")
    return fig


def order_of_frames(
    phases: Float[np.ndarray, " phases"],
    volumes: Mapping[str, Float[np.ndarray, " phases"]],
    walls: Mapping[str, Float[np.ndarray, " phases"]],
    note: str = style.PHANTOM,
) -> Figure:
    """Emptying of a fast- and a slow-relaxing heart in order and sorted; both walls of a dyssynchronous one."""
    fig, axes = style.canvas(1, 3, width=style.PAGE, height=2.3, note=note)
    look = list(zip((style.BLUE, style.RED), ("-", "--"), strict=True))
    for (name, values), (colour, dash) in zip(volumes.items(), look, strict=True):
        axes[0, 0].plot(phases, 100 * values, color=colour, linestyle=dash, label=name)
        axes[0, 1].plot(np.sort(100 * values), color=colour, linestyle=dash, label=name)
    for (name, values), (colour, dash) in zip(walls.items(), ((style.GREEN, "-"), (style.PINK, "--")), strict=True):
        axes[0, 2].plot(phases, 100 * values, color=colour, linestyle=dash, label=name)
    axes[0, 0].set(xlabel="share of RR", ylabel="emptied (% of stroke volume)", title="in order: relaxation differs")
    axes[0, 1].set(xlabel="frame, sorted by volume", title="as a set: the same frames")
    axes[0, 2].set(xlabel="share of RR", ylabel="contracted (%)", title="dyssynchrony: one wall leads")
    for place in axes[0]:
        place.legend(loc="upper right" if place is not axes[0, 1] else "upper left")
    return fig


def _histogram(place: Axes, values: Mapping[str, Num[np.ndarray, "..."]], label: str, top: float) -> None:
    for (name, numbers), (colour, dash) in zip(values.items(), ((style.BLUE, "-"), (style.RED, "--")), strict=True):
        counts, edges = np.histogram(numbers, bins=48, range=(0, top), density=True)
        place.plot((edges[1:] + edges[:-1]) / 2, counts, color=colour, linestyle=dash, label=name)
    place.set(xlabel=label, ylabel="density", yscale="log")
    place.legend(loc="upper right")


def beside_real(
    phantom: Num[np.ndarray, "rows cols"],
    real: Num[np.ndarray, "height width"],
    note: str = "not committed: real image",
) -> Figure:
    """A phantom frame beside a real one, each scaled to its 99th percentile, with histograms of intensity and edges."""
    scaled = {
        name: np.clip(image / np.percentile(image, 99), 0, 1.5).astype(np.float64)
        for name, image in (("phantom", phantom), ("real", real))
    }
    fig, axes = style.canvas(1, 4, width=style.PAGE, height=2.2, note=note, width_ratios=(1, 1, 1.2, 1.2))
    for place, (name, image) in zip(axes[0], scaled.items(), strict=False):
        style.image_axes(place, image, vmin=0, vmax=1)
        place.set_title(name, fontweight="normal")
    _histogram(axes[0, 2], scaled, "intensity (99th percentile = 1)", 1.5)
    edges = {name: np.hypot(*np.gradient(image)) for name, image in scaled.items()}
    _histogram(axes[0, 3], edges, "edge strength (per pixel)", 0.6)
    return fig
