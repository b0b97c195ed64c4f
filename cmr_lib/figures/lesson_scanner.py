"""Lesson 2, from tissue to picture: curves, labels, slices, k-space, noise and gates."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Complex, Float, Num
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy import stats

from cmr_lib.figures import style

LOOKS = (
    (style.RED, "-"),
    (style.BLUE, "--"),
    (style.BLACK, "-."),
    (style.ORANGE, ":"),
    (style.GREEN, (0, (5, 1, 1, 1, 1, 1))),
    (style.PINK, (0, (1, 1))),
)
MAP_COLOURS = 24  # of a label image
SCREEN_DPI, CURVES_DPI = 72, 85  # an executed copy of a lesson stays small


def curves(
    x: Num[np.ndarray, " points"],
    lines: Mapping[str, Num[np.ndarray, " points"]],
    marks: Mapping[str, float],
    axes_names: tuple[str, str],
    note: str = style.PHANTOM,
) -> Figure:
    """Lines over one quantity, with vertical marks at values of it; `axes_names` are those of x and y, with units."""
    fig, axes = style.canvas(width=1.4 * style.COLUMN, height=2.5, note=note)
    fig.set_dpi(CURVES_DPI)
    place = axes[0, 0]
    for (name, values), (colour, dash) in zip(lines.items(), LOOKS, strict=False):
        place.plot(x, values, color=colour, linestyle=dash, label=name)
    low = min(float(np.min(values)) for values in lines.values())
    place.set(xlabel=axes_names[0], ylabel=axes_names[1], xlim=(x[0], x[-1]))
    if low < 0:
        place.axhline(0, color=style.GREY, linewidth=0.6)
    for name, value in marks.items():
        place.axvline(value, color=style.GREY, linewidth=1, linestyle=":")
        text = {"xycoords": ("data", "axes fraction"), "xytext": (2, 3), "textcoords": "offset points"}
        place.annotate(name, (value, 0.0), **text, fontsize=6, rotation=90, va="bottom")
    fig.legend(loc="outside right upper")
    return fig


def pictures(
    images: Mapping[str, Num[np.ndarray, "_ _"]],
    limits: tuple[float, float] | None = (0.0, 1.3),
    note: str = style.PHANTOM,
    cmap: str = "gray",
) -> Figure:
    """Pictures in a row under their names, all on one grey scale; None: each on its own."""
    side = min(1.75, style.PAGE / len(images))
    fig, axes = style.canvas(1, len(images), width=side * len(images), height=side + 0.35, note=note)
    fig.set_dpi(SCREEN_DPI)
    fig.get_layout_engine().set(w_pad=0.01, wspace=0.02)
    for place, (name, image) in zip(axes[0], images.items(), strict=True):
        low, high = limits or np.percentile(image, [0.5, 99.5])
        style.image_axes(place, image, vmin=low, vmax=high, cmap=cmap)
        place.set_title(name, fontweight="normal", loc="center")
    return fig


def tissues(
    labels: Num[np.ndarray, "rows cols"],
    names: Mapping[int, str],
    image: Num[np.ndarray, "rows cols"],
    note: str = style.PHANTOM,
) -> Figure:
    """A label image in colours, with those of its tissues that have a name, beside the brightness made of it."""
    fig, axes = style.canvas(1, 2, width=0.86 * style.PAGE, height=2.8, note=note)
    colours = np.array([style.plt.get_cmap("tab20")(value % 20) for value in range(MAP_COLOURS)])
    colours[0] = (0, 0, 0, 1)
    style.image_axes(axes[0, 0], labels, cmap=ListedColormap(colours), vmin=0, vmax=MAP_COLOURS - 1)
    style.image_axes(axes[0, 1], image, vmin=0, vmax=1.3)
    axes[0, 0].set_title("what is where", fontweight="normal")
    axes[0, 1].set_title("how bright it is", fontweight="normal")
    here = [(value, name) for value, name in names.items() if (labels == value).any()]
    fig.legend(handles=[Patch(color=colours[value], label=name) for value, name in here], loc="outside right center")
    return fig


def pictures_and_line(
    images: Mapping[str, Num[np.ndarray, "_ _"]],
    row: int,
    spacing_mm: float,
    top: float = 1.3,
    note: str = style.PHANTOM,
) -> Figure:
    """Pictures in a row, white at `top`, with one line through them, and the brightness along it."""
    widths = [1.0] * len(images) + [1.6]
    fig, axes = style.canvas(1, len(widths), width=style.PAGE, height=2.3, note=note, width_ratios=widths)
    fig.set_dpi(SCREEN_DPI)
    for number, (name, image) in enumerate(images.items()):
        style.image_axes(axes[0, number], image, vmin=0, vmax=top)
        axes[0, number].axhline(row, color=LOOKS[number][0], linewidth=0.8)
        axes[0, number].set_title(name, fontweight="normal")
        along = np.arange(image.shape[1]) * spacing_mm
        axes[0, -1].plot(along, image[row], color=LOOKS[number][0], linestyle=LOOKS[number][1], label=name)
    axes[0, -1].set(xlabel="along the line (mm)", ylabel="brightness")
    axes[0, -1].legend(loc="upper right", fontsize=6)
    axes[0, -1].set_ylim(top=1.25 * max(float(image[row].max()) for image in images.values()))
    return fig


def k_space(
    spectrum: Complex[np.ndarray, "rows cols"], window: Num[np.ndarray, "rows cols"], note: str = style.PHANTOM
) -> Figure:
    """The size of a spectrum (log), which part of it was measured, and what is left; all with zero in the middle."""
    size = np.log10(np.abs(np.fft.fftshift(spectrum)) + 1e-3)
    shown = np.fft.fftshift(window)
    fig, axes = style.canvas(1, 3, width=0.9 * style.PAGE, height=2.5, note=note)
    fig.set_dpi(SCREEN_DPI)
    low, high = np.percentile(size, [5, 100])
    style.image_axes(axes[0, 0], size, vmin=low, vmax=high, cmap="magma")
    style.image_axes(axes[0, 1], shown, vmin=0, vmax=1)
    style.image_axes(axes[0, 2], np.where(shown > 0.01, size, low), vmin=low, vmax=high, cmap="magma")
    for place, title in zip(axes[0], ("k-space, log size", "measured (white)", "what is left"), strict=True):
        place.set_title(title, fontweight="normal")
    return fig


def noise(
    values: Mapping[str, Float[np.ndarray, " pixels"]],
    signals: Mapping[str, float],
    sigma: float,
    note: str = style.PHANTOM,
) -> Figure:
    """Histograms of magnitudes in regions of even brightness, with Rice's density for their signal and this sigma."""
    fig, axes = style.canvas(1, len(values), width=style.PAGE, height=2.3, note=note)
    fig.set_dpi(CURVES_DPI)
    for place, (name, numbers) in zip(axes[0], values.items(), strict=True):
        place.hist(numbers, bins=30, density=True, color=style.SKY, edgecolor="white", linewidth=0.3, label="pixels")
        x = np.linspace(max(0.0, numbers.min() - sigma), numbers.max() + sigma, 200)
        place.plot(x, stats.rice.pdf(x, signals[name] / sigma, scale=sigma), color=style.RED, label="Rice")
        if signals[name] < 3 * sigma:
            bell = stats.norm.pdf(x, signals[name], sigma)
            place.plot(x, bell, color=style.GREY, linestyle=":", label="if it were Gaussian")
        place.set(xlabel="magnitude (blood = 1)")
        place.set_title(f"{name} (n = {len(numbers)})", fontweight="normal")
        place.legend(loc="upper right")
    axes[0, 0].set_ylabel("density")
    return fig


def gates(
    times_ms: Float[np.ndarray, " times"],
    phases: Mapping[str, Float[np.ndarray, " times"]],
    systole: float,
    note: str = style.PHANTOM,
) -> Figure:
    """Which phase of the heart a time after the R wave meets, a line a beat; dotted: the emptiest moment."""
    fig = curves(times_ms, phases, {}, ("after the R wave (ms)", "phase of the heart (0 to 1)"), note)
    fig.axes[0].axhline(systole, color=style.GREY, linestyle=":", linewidth=1)
    return fig


def beating(
    phases: Float[np.ndarray, " phases"],
    area_cm2: Float[np.ndarray, " phases"],
    smallest: int,
    note: str = style.PHANTOM,
) -> Figure:
    """The blood of one slice over the beat, and its smallest moment."""
    fig, axes = style.canvas(width=style.COLUMN, height=2.2, note=note)
    axes[0, 0].plot(100 * phases, area_cm2, color=style.BLUE, marker="o")
    axes[0, 0].plot(100 * phases[smallest], area_cm2[smallest], "s", color=style.RED, label="smallest")
    axes[0, 0].set(xlabel="% of RR", ylabel="blood in the slice (cm²)", ylim=(0, None))
    axes[0, 0].legend(loc="lower right")
    return fig


def bars(values: Mapping[str, Num[np.ndarray, " n"]], label: str, note: str = style.PHANTOM) -> Figure:
    """Histograms of one quantity on one scale, a colour a group; a group of one value is a line."""
    fig, axes = style.canvas(width=1.2 * style.COLUMN, height=2.2, note=note)
    place = axes[0, 0]
    for (name, numbers), (colour, dash) in zip(values.items(), LOOKS, strict=False):
        if len(numbers) == 1:
            place.axvline(numbers[0], color=colour, linestyle=dash, label=name)
        else:
            place.hist(numbers, bins=30, color=colour, alpha=0.6, label=f"{name} (n = {len(numbers)})")
    place.set(xlabel=label, ylabel="number")
    fig.legend(loc="outside upper center", ncols=len(values))
    return fig
