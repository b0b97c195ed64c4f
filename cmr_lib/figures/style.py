"""One look for all figures, and saving them so that the same data gives the same bytes.

Readable at column width (3.5 in) with 8-point text; colours of Okabe & Ito (2008), told apart by colour-blind readers,
and never alone: marker or line style differs as well, so that a grey print still reads. Importing this module sets
matplotlib's rcParams.
"""

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from cmr_lib import project
from cmr_lib.labels import Diagnosis

COLUMN, PAGE = 3.5, 7.2  # widths in inches
PHANTOM = "synthetic phantom"
DPI = 200
STRIP = 0.16  # inches at the bottom kept for the note

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PINK, GREY, BLACK = "#56B4E9", "#CC79A7", "#7F7F7F", "#000000"
DIAGNOSIS: dict[str, tuple[str, str]] = {
    Diagnosis.NOR: (GREY, "o"),
    Diagnosis.DCM: (BLUE, "s"),
    Diagnosis.HCM: (ORANGE, "^"),
    Diagnosis.ICM: (RED, "v"),
    Diagnosis.ARV: (SKY, "D"),
    Diagnosis.AMY: (GREEN, "P"),
    Diagnosis.MYO: (PINK, "X"),
    Diagnosis.NIF: (BLACK, "*"),
}

mpl.rcParams.update(
    {
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 8,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "lines.linewidth": 1.3,
        "lines.markersize": 4,
        "figure.dpi": 110,
        "savefig.dpi": DPI,
        "image.cmap": "gray",
        "svg.hashsalt": "cmr",
    }
)


class SteadyLayout(ConstrainedLayoutEngine):
    """Constrained layout with places rounded to a millionth of the figure, so that equal figures have equal bytes.

    The solver beneath it (kiwisolver) adds its terms in the order of their addresses in memory: places differ by 1e-16
    from run to run, and now and then a pixel at the edge of a line by one grey level.
    """

    def execute(self, fig: Figure) -> None:
        """Lay the figure out, as at every drawing."""
        super().execute(fig)
        for place in fig.axes:
            place.set_position(np.round(place.get_position(original=True).bounds, 6).tolist(), which="original")
            place.set_in_layout(True)  # `set_position` takes it out


def canvas(
    rows: int = 1,
    cols: int = 1,
    *,
    width: float = COLUMN,
    height: float = 2.4,
    note: str = PHANTOM,
    **subplots: Any,
) -> tuple[Figure, np.ndarray]:
    """A figure (inches) with a (rows, cols) array of axes and the note in its lower right corner.

    It is closed for pyplot at once, so notebooks show it exactly once, where it is returned, and memory is not held.
    """
    fig, axes = plt.subplots(rows, cols, figsize=(width, height), squeeze=False, layout=SteadyLayout(), **subplots)
    plt.close(fig)
    strip = STRIP / height if note else 0.0
    fig.get_layout_engine().set(rect=(0, strip, 1, 1 - strip))
    fig.text(0.995, 0.02 / height, note, ha="right", va="bottom", fontsize=6, color=GREY)
    return fig, axes


def nothing(why: str, note: str = PHANTOM) -> Figure:
    """A figure that says why there is nothing to see."""
    fig, axes = canvas(width=COLUMN, height=0.8, note=note)
    image_axes(axes[0, 0], None)
    axes[0, 0].text(0.5, 0.5, why, ha="center", va="center", transform=axes[0, 0].transAxes)
    return fig


def image_axes(axes: Axes, image: np.ndarray | None, **show: Any) -> None:
    """Show a picture without ticks or frame; None leaves the place empty."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if image is not None:
        axes.imshow(image, **{"interpolation": "nearest", **show})


def chance_line(axes: Axes, value: float, *, horizontal: bool = True, label: str = "chance") -> None:
    """A dotted grey line at the chance level."""
    draw = axes.axhline if horizontal else axes.axvline
    draw(value, color=GREY, linestyle=":", linewidth=1, label=label, zorder=0)


def interval(values: Any, lows: Any, highs: Any) -> np.ndarray:
    """Error-bar lengths (2, n) from values and their interval; zero where there is no interval."""
    values, lows, highs = (np.asarray(numbers, dtype=float) for numbers in (values, lows, highs))
    return np.nan_to_num(np.maximum(np.stack([values - lows, highs - values]), 0))


def words(name: str) -> str:
    """A code name as it is printed: `lv_dysfunction` → "LV dysfunction"."""
    parts = name.replace("_", " ").split(" ")
    return " ".join(part.upper() if part in ("lv", "rv", "lge", "lvef", "auroc", "sax") else part for part in parts)


def save(fig: Figure, folder: Path | str, name: str) -> list[Path]:
    """Write NAME.png (200 dpi) and NAME.pdf, atomically and without dates or program versions; returns the paths."""
    bare = {
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    }
    paths = []
    for ending, metadata in bare.items():
        buffer = io.BytesIO()
        fig.savefig(buffer, format=ending, dpi=DPI, metadata=metadata)
        paths.append(Path(folder) / f"{name}.{ending}")
        project.write_bytes(paths[-1], buffer.getvalue())
    return paths
