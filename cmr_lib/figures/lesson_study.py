"""Lesson 1, what is in a study: series and stacks, views with their edges, planes in space, times, the beat, cuts."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Num, UInt8
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cmr_lib.figures import style
from cmr_lib.ingest.orientation import corners_mm, cut_line, edge_letters
from cmr_lib.types import Stack

LOOKS = {
    "sax cine": (style.BLUE, ""),
    "lax_4ch cine": (style.ORANGE, "///"),
    "lax_2ch cine": (style.GREEN, "\\\\\\"),
    "lax_3ch cine": (style.PINK, "..."),
    "sax lge": (style.RED, "xxx"),
}
OTHER = (style.SKY, "++")
UNUSED = ("0.8", "")
LINES = ("-", "--", "-.", ":")
SCALE_MM = 50.0
PLAYED_FRAMES, PLAYED_PX = 12, 104  # most of an animation, so that an executed copy stays small
SCREEN_DPI = 80  # of grainy pictures: an executed copy stays small


def stack_name(stack: Stack) -> str:
    """View and sequence of a stack, as the figures name it."""
    return f"{stack.view} {stack.sequence}"


def series_and_stacks(
    tables: Mapping[str, pd.DataFrame], stacks: Mapping[str, Sequence[Stack]], note: str = style.PHANTOM
) -> Figure:
    """A bar a series (its files), coloured by the stack that the reader put it in; a panel a study.

    tables: of `glance.headers`, by study. stacks: what was read of the same studies, under the same keys.
    """
    rows = max(int(table["series"].max()) for table in tables.values())
    size = {"width": style.PAGE, "height": 0.9 + 0.13 * rows}
    fig, axes = style.canvas(1, len(tables), **size, note=note, sharex=True)
    seen: dict[str, tuple[str, str]] = {}
    for place, (title, table) in zip(axes[0], tables.items(), strict=True):
        owner = {key: stack_name(stack) for stack in stacks[title] for key in stack.series_keys}
        for series, part in table[table["series"] > 0].groupby("series"):
            name = owner.get(part["series_key"].iloc[0], "")
            colour, hatch = LOOKS.get(name, OTHER) if name else UNUSED
            seen[name or "not used"] = (colour, hatch)
            bar = place.barh(series, len(part), color=colour, hatch=hatch, edgecolor="white", height=0.8)
            place.bar_label(bar, fontsize=6, padding=1)
        place.set(xlabel="files", ylabel="series, as they come", ylim=(table["series"].max() + 0.7, 0.3))
        place.yaxis.get_major_locator().set_params(integer=True)
        place.set_title(title, fontweight="normal")
    handles = [Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=name) for name, (colour, hatch) in
               seen.items()]  # fmt: skip
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return fig


def _edges(place: Axes, stack: Stack) -> None:
    """The patient's sides at the four edges, in orange on the picture."""
    places = {"left": (0.03, 0.5), "right": (0.97, 0.5), "top": (0.5, 0.97), "bottom": (0.5, 0.03)}
    looks = {"color": style.ORANGE, "fontsize": 7, "fontweight": "bold", "transform": place.transAxes}
    for edge, text in edge_letters(stack).items():
        across = edge if edge in ("left", "right") else "center"
        shown = place.text(*places[edge], text, ha=across, va=edge if across == "center" else "center", **looks)
        shown.set_path_effects([patheffects.withStroke(linewidth=1.5, foreground="black")])


def views(stacks: Sequence[Stack], note: str = style.PHANTOM) -> Figure:
    """The middle slice of every stack at its first phase, with the patient's sides at the edges and a 50 mm bar."""
    fig, axes = style.canvas(
        1, len(stacks), width=style.PAGE, height=style.PAGE / max(3, len(stacks)) + 0.55, note=note
    )
    fig.get_layout_engine().set(w_pad=0.01, wspace=0.02)
    fig.set_dpi(SCREEN_DPI)
    for place, stack in zip(axes[0], stacks, strict=True):
        image = stack.pixels[len(stack.pixels) // 2, 0]
        low, high = np.percentile(image, [1, 99.5])
        style.image_axes(place, image, vmin=low, vmax=high)
        _edges(place, stack)
        length = SCALE_MM / stack.spacing_mm[1]
        place.plot([4, 4 + length], [image.shape[0] - 5] * 2, color="white", linewidth=2)
        slices, phases = stack.pixels.shape[:2]
        place.set_title(f"{stack_name(stack)}\n{slices} × {phases}", fontweight="normal", loc="center", fontsize=7)
    return fig


def planes_in_space(stacks: Sequence[Stack], note: str = style.PHANTOM) -> Figure:
    """The outline of every slice in the patient (mm), from two sides, a colour a stack."""
    fig, axes = style.canvas(1, 2, width=style.PAGE, height=3.2, note=note, subplot_kw={"projection": "3d"})
    fig.set_dpi(SCREEN_DPI)
    corners = {index: [corners_mm(stack, i) for i in range(len(stack.pixels))] for index, stack in enumerate(stacks)}
    everything = np.concatenate([corner for outlines in corners.values() for corner in outlines])
    middle, reach = (everything.max(axis=0) + everything.min(axis=0)) / 2, np.ptp(everything, axis=0).max() / 2
    for place, (azimuth, title) in zip(axes[0], ((-70, "from the front"), (-10, "from the left")), strict=True):
        for number, (index, outlines) in enumerate(corners.items()):
            name = stack_name(stacks[index])
            for outline in outlines:
                x, y, z = np.vstack([outline, outline[:1]]).T
                colour = LOOKS.get(name, OTHER)[0]
                place.plot(x, y, z, color=colour, linewidth=1, linestyle=LINES[number % len(LINES)])
        place.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach))
        place.set(zlim=(middle[2] - reach, middle[2] + reach))
        place.set_box_aspect((1, 1, 1), zoom=1.15)
        place.view_init(elev=15, azim=azimuth)
        place.set_title(title, fontweight="normal")
        place.set(xlabel="right → left (mm)", ylabel="front → back", zlabel="feet → head")
        place.tick_params(labelsize=5, pad=-3)
        for axis in (place.xaxis, place.yaxis, place.zaxis):
            axis.label.set_size(6)
            axis.labelpad = -8
    names = {stack_name(stack): None for stack in stacks}
    handles = [Patch(facecolor=LOOKS.get(name, OTHER)[0], label=name) for name in names]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return fig


def trigger_times(stack: Stack, note: str = style.PHANTOM) -> Figure:
    """When each image was taken, slice by slice; and which slice comes when all are sorted by that time at once."""
    slices, phases = stack.trigger_ms.shape
    fig, axes = style.canvas(1, 2, width=style.PAGE, height=2.4, note=note)
    for index, times in enumerate(stack.trigger_ms, start=1):
        axes[0, 0].plot(times, [index] * phases, "o", color=style.BLUE, markersize=3)
        axes[0, 0].plot(times[-1:], [index], "s", color=style.RED, markersize=5, label="last" if index == 1 else None)
    axes[0, 0].set(xlabel="after the R wave (ms)", ylabel="slice, base to apex", title="within a slice: a beat")
    axes[0, 0].legend(loc="lower left", bbox_to_anchor=(0.75, 0.98), borderpad=0)
    which = np.repeat(np.arange(1, slices + 1), phases)[np.argsort(stack.trigger_ms.ravel(), kind="stable")]
    axes[0, 1].plot(np.arange(1, len(which) + 1), which, ".", color=style.ORANGE, markersize=4)
    axes[0, 1].axvspan(0.5, phases + 0.5, color="0.9", zorder=0)
    axes[0, 1].set(
        xlabel="place when all files are sorted by time", title=f"all at once: the first {phases} are no beat"
    )
    for place in axes[0]:
        place.set(ylim=(slices + 0.6, 0.4))
        place.yaxis.get_major_locator().set_params(integer=True)
    return fig


def playable(stacks: Sequence[Stack]) -> dict[str, UInt8[np.ndarray, "_ _ _"]]:
    """The middle slices of the stacks as 8-bit cines by view, thinned to about PLAYED_FRAMES and PLAYED_PX."""
    cines = {}
    for stack in stacks:
        frames = stack.pixels[len(stack.pixels) // 2]
        step, skip = -(-len(frames) // PLAYED_FRAMES), max(1, round(max(frames.shape[1:]) / PLAYED_PX))
        thin = frames[::step, ::skip, ::skip]
        cines[str(stack.view)] = (255 * np.clip(thin / max(np.percentile(thin, 99.5), 1e-6), 0, 1)).astype(np.uint8)
    return cines


def beat(
    frames: Num[np.ndarray, "phases rows cols"],
    row: int,
    times_ms: Float[np.ndarray, " phases"],
    note: str = style.PHANTOM,
) -> Figure:
    """One slice with a line through it, what moves in it, and that line over two beats (an M-mode)."""
    fig, axes = style.canvas(1, 3, width=style.PAGE, height=2.5, note=note, width_ratios=(1, 1, 1.3))
    fig.set_dpi(SCREEN_DPI)
    top = np.percentile(frames, 99.5)
    style.image_axes(axes[0, 0], frames[0], vmin=0, vmax=top)
    axes[0, 0].axhline(row, color=style.ORANGE, linewidth=1)
    axes[0, 0].set_title("first phase, and a line", fontweight="normal")
    style.image_axes(axes[0, 1], frames.std(axis=0), cmap="magma")
    axes[0, 1].set_title("what moves (standard deviation)", fontweight="normal")
    twice = np.concatenate([frames[:, row], frames[:, row]]).T
    length = times_ms[-1] * len(times_ms) / max(1, len(times_ms) - 1)
    axes[0, 2].imshow(
        twice, aspect="auto", extent=(0, 2 * length, len(twice), 0), vmin=0, vmax=top, interpolation="nearest"
    )
    axes[0, 2].axvline(length, color=style.ORANGE, linewidth=1, linestyle=":")
    axes[0, 2].set(xlabel="time (ms), two beats", ylabel="along the line (pixels)")
    axes[0, 2].set_title("the line over time", fontweight="normal")
    return fig


def cuts(stack: Stack, others: Mapping[str, Stack], says: Mapping[str, str], note: str = style.PHANTOM) -> Figure:
    """Where other planes cut the middle slice of a stack, and their first pictures, with what their names claim.

    others: stack by the view that its geometry tells. says: the view that its description claims, under the same name.
    """
    fig, axes = style.canvas(1, 1 + len(others), width=style.PAGE, height=2.4, note=note)
    fig.get_layout_engine().set(w_pad=0.01, wspace=0.02)
    fig.set_dpi(SCREEN_DPI)
    index = len(stack.pixels) // 2
    middle = stack.pixels[index, 0]
    style.image_axes(axes[0, 0], middle, vmin=0, vmax=np.percentile(middle, 99.5))
    axes[0, 0].set(xlim=(-0.5, middle.shape[1] - 0.5), ylim=(middle.shape[0] - 0.5, -0.5))
    _edges(axes[0, 0], stack)
    axes[0, 0].set_title(f"{stack_name(stack)}, cut\n", fontweight="normal")
    for number, (place, (name, other)) in enumerate(zip(axes[0, 1:], others.items(), strict=True)):
        colour, line = LOOKS.get(stack_name(other), OTHER)[0], cut_line(stack, index, other)
        if line is not None:
            axes[0, 0].plot(line[:, 1], line[:, 0], color=colour, linestyle=LINES[number % len(LINES)])
        image = other.pixels[len(other.pixels) // 2, 0]
        style.image_axes(place, image, vmin=0, vmax=np.percentile(image, 99.5))
        lie = says[name] not in (name, "unknown")
        place.set_title(f"{name}\nname says {says[name]}", fontweight="bold" if lie else "normal", color=colour)
    return fig
