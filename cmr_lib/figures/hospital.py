"""The synthetic hospital: its hearts and its cohort."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmr_lib import labels, project
from cmr_lib.figures import style


def phantom_montage(images: Mapping[str, Mapping[str, Num[np.ndarray, "_ _"]]], note: str = style.PHANTOM) -> Figure:
    """A grid of images: rows = outer keys (diagnosis codes), columns = inner keys ("SAX ED", "SAX ES", "LGE", …).

    A missing picture leaves its place empty. Grey levels are per picture (1st to 99th percentile).
    """
    columns = project.unique(name for row in images.values() for name in row)
    side = min(0.95, (style.PAGE - 0.6) / len(columns))
    size = {"width": side * len(columns) + 0.6, "height": side * len(images) + 0.45}
    fig, axes = style.canvas(len(images), len(columns), **size, note=note)
    fig.set_dpi(55)  # on screen: dozens of grainy pictures would fill an executed copy
    fig.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    for place, (code, row) in zip(axes, images.items(), strict=True):
        place[0].set_ylabel(code, rotation=0, ha="right", va="center", fontweight="bold")
        for cell, name in zip(place, columns, strict=True):
            image = row.get(name)
            limits = (0, 1) if image is None else np.percentile(image, [1, 99])
            style.image_axes(cell, image, vmin=limits[0], vmax=limits[1])
    for cell, name in zip(axes[0], columns, strict=True):
        cell.set_title(name, loc="center", fontweight="normal")
    return fig


def cohort_overview(truth: pd.DataFrame, note: str = style.PHANTOM) -> Figure:
    """Four numbers (lvef, lvedvi, wall_mm, rvedvi) by diagnosis: a dot a study, the median as a bar."""
    codes = [code for code in labels.DIAGNOSES if (truth["diagnosis"] == code).any()]
    fig, axes = style.canvas(1, 4, width=style.PAGE, height=0.7 + 0.27 * len(codes), note=note, sharey=True)
    fig.set_dpi(85)  # thousands of dots are heavy in an executed copy
    columns = {"lvef": "LVEF (%)", "lvedvi": "LVEDV index (mL/m²)", "wall_mm": "thickest wall (mm)"}
    for place, (column, label) in zip(axes[0], (columns | {"rvedvi": "RVEDV index (mL/m²)"}).items(), strict=True):
        _strips(place, truth, codes, column, label)
    axes[0, 0].axvline(labels.LVEF_CUTS[2], color=style.GREY, linestyle=":", linewidth=1)
    axes[0, 0].set_title(f"dotted: {labels.LVEF_CUTS[2]:g} %", fontweight="normal")
    counts = truth["diagnosis"].value_counts()
    axes[0, 0].set_yticks(range(len(codes)), [f"{code} (n = {counts[code]})" for code in codes])
    axes[0, 0].invert_yaxis()
    return fig


def _strips(axes: Axes, truth: pd.DataFrame, codes: list[labels.Diagnosis], column: str, label: str) -> None:
    for row, code in enumerate(codes):
        values = truth.loc[truth["diagnosis"] == code, column].to_numpy(dtype=float)
        jitter = project.rng(0, "jitter", str(code), column).uniform(-0.28, 0.28, len(values))
        colour, _ = style.DIAGNOSIS[code]
        axes.scatter(values, row + jitter, s=5, color=colour, alpha=0.45, linewidths=0, rasterized=True)
        axes.plot([np.nanmedian(values)] * 2, [row - 0.36, row + 0.36], color=style.BLACK, linewidth=1.6)
    axes.set_xlabel(label)
    axes.tick_params(axis="y", length=0)
