"""Shapes on the material grid (levels × angles) at end-diastole: walls, the right ventricle's crescent, scar."""

import numpy as np
from jaxtyping import Float

from cmr_lib.simulate import aha
from cmr_lib.simulate.diseases import Disease

Grid = Float[np.ndarray, "#levels #angles"]


def ellipse_radius2(level: Grid, radius: Grid, length: float, widest: float) -> Grid:
    """Squared radius of an ellipsoid about the axis at a level; negative beyond its tip."""
    return radius**2 * (1 - ((level - widest) / (length - widest)) ** 2)


def waves(random: np.random.Generator, angle: Grid, orders: tuple[int, ...], size: float) -> Grid:
    """A sum of random angular waves of the given orders, each of amplitude about `size`."""
    total = np.zeros_like(angle)
    for order in orders:
        total = total + random.normal(0, size) * np.cos(order * angle + random.uniform(0, 2 * np.pi))
    return total


def smoothstep(value: Grid, low: float, high: float) -> Grid:
    """0 below `low`, 1 above `high`, a cubic between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def wall_thickness(disease: Disease, largest_mm: float, angle: Grid, share: Grid) -> Grid:
    """Wall thickness (mm) at every angle and level (`share` of the length); its maximum is about `largest_mm`."""
    normal = largest_mm if disease.hypertrophy == "none" else float(np.clip(0.52 * largest_mm, 8.0, 12.0))
    regional = 0.94 + 0.06 * np.cos(angle)  # the septum is a little thicker than the lateral wall
    wall = normal * regional * (1 - 0.28 * smoothstep(share, 0.55, 1.0))
    extra = largest_mm - normal
    if disease.hypertrophy == "septal":
        bump = np.exp(-((aha.wrap(angle - np.deg2rad(18)) / np.deg2rad(52)) ** 2))
        wall = wall + extra * bump * np.exp(-(((share - 0.3) / 0.36) ** 2))
    elif disease.hypertrophy == "apical":
        wall = wall + extra * smoothstep(share, 0.38, 0.78)
    elif disease.hypertrophy == "concentric":
        wall = wall + extra * (0.9 + 0.1 * np.cos(angle)) * (1 - 0.4 * smoothstep(share, 0.6, 1.0))
    return wall * (1 - disease.thinning * aha.segments_weight(disease.weak_segments, angle, share))


def crescent_height(random: np.random.Generator, angle: Grid, share: Grid, radius: Grid, big: float) -> Grid:
    """Thickness of the right ventricle on top of a round left ventricle of the given radius, mm.

    Its free wall is an ellipse through the two insertion points; `big` above 1 widens it.
    """
    half = np.deg2rad(86 - 18 * np.clip(share, 0, 1) + random.normal(0, 3) + 9 * (big - 1))
    turn = np.deg2rad(14 - 22 * np.clip(share, 0, 1) + random.normal(0, 4))
    tip = 0.93 + 0.06 * min(max(big - 1, 0), 1)
    reach = np.maximum(1 - (np.clip(share, 0, None) / tip) ** 2.2, 0) ** 0.75
    height = radius * (0.85 + 0.05 * random.normal()) * reach
    relative = aha.wrap(angle - turn)
    centre = 0.8 * radius * np.cos(half)
    along = radius + height - centre
    across = radius * np.sin(half) / np.sqrt(1 - ((radius * np.cos(half) - centre) / along) ** 2)
    a = (np.cos(relative) / along) ** 2 + (np.sin(relative) / across) ** 2
    b = -2 * centre * np.cos(relative) / along**2
    c = (centre / along) ** 2 - 1
    ray = (-b + np.sqrt(b * b - 4 * a * c)) / (2 * a)
    return np.where(np.abs(relative) < half, np.maximum(ray - radius, 0), 0) * np.minimum(reach * 4, 1)


def _band(middle: float, half: Grid) -> tuple[Grid, Grid]:
    """A layer of the wall about `middle`; where `half` vanishes its limits part, so that no edge of it is drawn."""
    half = half - 0.4 * (1 - np.clip(half / 0.08, 0, 1))
    return middle - half, middle + half


def scar_limits(random: np.random.Generator, disease: Disease, angle: Grid, share: Grid) -> tuple[Grid, Grid]:
    """Where in the wall the scar starts and ends (0 endocardium, 1 epicardium); end <= start where there is none."""
    place = aha.segments_weight(disease.scar_segments, angle, share)
    ragged = 1 + waves(random, angle + 3 * share, (5, 9, 13), 0.08)
    if disease.lge_pattern in ("subendocardial", "transmural", "diffuse"):
        outside = 0.5 * (1 - np.minimum(place / 0.3, 1))
        return -0.3 * np.ones_like(place), place * disease.scar_depth * ragged * 1.05 - outside
    if disease.lge_pattern == "subepicardial":
        outside = 0.5 * (1 - np.minimum(place / 0.3, 1))
        return 1 - place * 0.52 * ragged + outside, 1.3 * np.ones_like(place)
    if disease.lge_pattern in ("midwall_septal", "midwall_lateral"):
        half = (0.2 * place * ragged) * (1 + 0.5 * np.cos(4 * share + random.uniform(0, 6)))
        return _band(0.5, half)
    if disease.lge_pattern == "insertion_points":
        near = sum(
            np.exp(-((aha.wrap(angle - np.deg2rad(side)) / np.deg2rad(15)) ** 2)) * weight
            for side, weight in ((62, random.uniform(0.7, 1)), (-62, random.uniform(0.7, 1)))
        )
        half = 0.36 * near * np.exp(-(((share - 0.38) / 0.3) ** 2)) * ragged
        return _band(0.62, half)
    if disease.lge_pattern == "patchy":
        blobs = waves(random, angle, (3, 5, 7), 0.5) + np.cos(9 * share + random.uniform(0, 6) + 2 * np.cos(angle))
        half = 0.34 * place * smoothstep(blobs, -0.3, 0.7)
        return _band(0.5, half)
    return np.ones_like(place), np.zeros_like(place)
