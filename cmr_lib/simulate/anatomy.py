"""The reference heart: radii of the ventricles about the long axis at end-diastole, and where everything else sits.

Heart frame, in mm: the origin is the middle of the mitral annulus at end-diastole, z runs along the long axis to the
apex, x to the right ventricle, y to the anterior wall (so x × y = -z). Angle 0 is the middle of the septum, π/2 is
anterior, as in `aha`.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Float

from cmr_lib import project
from cmr_lib.simulate import aha
from cmr_lib.simulate.latents import Disease, Latents
from cmr_lib.simulate.motion import Beat
from cmr_lib.simulate.plane import Vector, unit

Grid = Float[np.ndarray, "#levels #angles"]


class TISSUES(IntEnum):
    """What a point of the phantom is made of: the values of a label image."""

    AIR = 0
    LUNG = 1
    FAT = 2
    MUSCLE = 3
    LIVER = 4
    BONE = 5
    STOMACH = 6
    VESSEL = 7  # descending aorta and lung vessels
    PERICARDIUM = 8
    EPICARDIAL_FAT = 9
    ATRIAL_WALL = 10
    LEFT_ATRIUM = 11
    RIGHT_ATRIUM = 12
    AORTA = 13
    PULMONARY_ARTERY = 14
    RV_WALL = 15
    RV_BLOOD = 16
    LV_WALL = 17
    LV_BLOOD = 18
    PAPILLARY = 19
    SCAR = 20
    VALVE = 21


MUSCLE_OF_LV = (TISSUES.LV_WALL, TISSUES.PAPILLARY, TISSUES.SCAR)  # convention: papillary muscles count as mass
ANGLES, LEVELS = 96, 56  # material grid
BEYOND_MM = 14.0  # the grid goes this far past the apex
CENTRE_SHARE = 0.28  # widest level of the ventricle, as a share of its length


@dataclass(frozen=True)
class Pose:
    """Where the heart lies in the patient (LPS, mm) and how its axes point; `axes` rows are x, y, z."""

    origin_mm: Vector
    axes: Float[np.ndarray, "3 3"]


@dataclass(frozen=True)
class HeartShape:
    """One patient's heart at end-diastole, on the material grid (levels × angles)."""

    levels: Float[np.ndarray, "levels 1"]  # z in mm
    angles: Float[np.ndarray, "1 angles"]  # radians
    inner2: Grid  # R_en², mm²; 0 past the endocardial apex
    inner2_signed: Grid  # the same, negative past the apex (smooth for interpolation)
    outer2: Grid  # R_ep², signed
    ability: Grid  # m: 1 contracts, 0 does not
    crescent: Grid  # thickness of the right ventricle, mm, up to a factor
    fat: Grid  # epicardial fat, mm
    scar_low: Grid  # depth (0 endocardium … 1 epicardium) where enhancement starts
    scar_high: Grid  # … and ends; high <= low: none
    length: float  # endocardial length, mm
    apex: float  # epicardial apex, mm
    radius: float  # widest endocardial radius, mm
    papillary: tuple[tuple[float, float], ...]  # (angle, radius in mm) of each papillary muscle
    right_wall: float  # mm
    left_atrium: tuple[float, float, float, float, float]  # x, y, half widths in x and y, roof (z), mm
    right_atrium: tuple[float, float, float, float, float]
    beat: Beat
    beat_right: Beat
    pose: Pose


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
    if disease.lge_pattern in ("subendocardial", "transmural"):
        outside = 0.5 * (1 - np.minimum(place / 0.3, 1))
        return -0.3 * np.ones_like(place), place * disease.scar_depth * ragged * 1.05 - outside
    if disease.lge_pattern == "midwall_septal":
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


def draw_pose(random: np.random.Generator, body_scale: float) -> Pose:
    """An oblique heart: apex to the left, front and feet, turned by up to about 15° about its axis and tilted."""
    axis = unit(np.array([0.66, -0.58, -0.48]) + random.normal(0, 0.07, 3))
    up = np.array([0.1, -0.3, 1.0])
    up = unit(up - (up @ axis) * axis)
    right = np.cross(axis, up)
    turn = np.deg2rad(np.clip(random.normal(0, 8), -15, 15))
    axes = np.stack([np.cos(turn) * right + np.sin(turn) * up, np.cos(turn) * up - np.sin(turn) * right, axis])
    origin = np.array([20.0, -18.0, 12.0]) * body_scale + random.normal(0, 6, 3)
    return Pose(origin, axes)


def _atria(random: np.random.Generator, latents: Latents, outer: float) -> list[tuple[float, ...]]:
    """Left and right atrium: x, y, half widths, roof; larger when the ventricle below works badly."""
    left = float(np.clip(random.normal(1 + 0.006 * (60 - latents.targets.lvef), 0.07), 0.8, 1.45))
    right = float(np.clip(random.normal(1 + 0.007 * (58 - latents.targets.rvef), 0.07), 0.8, 1.45))
    size = outer / 34
    return [
        (-5.0 * size, -6.0 * size, 26 * size * left, 24 * size * left, -44 * size * left),
        (36.0 * size, -9.0 * size, 23 * size * right, 24 * size * right, -42 * size * right),
    ]


def build_shape(latents: Latents) -> HeartShape:
    """The reference heart of one study, scaled so that its cavity holds the target end-diastolic volume."""
    disease, targets = latents.disease, latents.targets
    random = project.rng(latents.shape_seed, "heart")
    dilated = np.clip((targets.lvedv_ml / latents.person.bsa_m2 - 80) / 60, -0.3, 1.2)
    roundness = float(np.clip(random.normal(0.3 + 0.045 * dilated, 0.015), 0.25, 0.4))  # radius / length
    angles = (np.arange(ANGLES) * (2 * np.pi / ANGLES) - np.pi)[None, :]
    lumps = 1 + waves(random, angles, (2, 3), 0.014)
    lumps = lumps - disease.septal_flattening * np.exp(-((angles / np.deg2rad(45)) ** 2))
    trabeculae = waves(random, angles, (11, 14), 0.012)
    papillary = tuple(
        (float(np.deg2rad(side + random.normal(0, 6))), float(random.uniform(3.6, 4.8))) for side in (140, -128)
    )

    def cavity(length: float) -> tuple[Grid, Grid]:
        """Levels and signed R_en² for an endocardial length."""
        apex = length + 0.6 * targets.wall_mm
        levels = np.linspace(0, apex + BEYOND_MM, LEVELS)[:, None]
        ragged = lumps + trabeculae * (0.4 + levels / length)
        return levels, ellipse_radius2(levels, roundness * length * ragged, length, CENTRE_SHARE * length)

    def volume(length: float) -> float:
        levels, inner2 = cavity(length)
        return float(0.5 * np.maximum(inner2, 0).mean(axis=1).sum() * 2 * np.pi * (levels[1, 0] - levels[0, 0]))

    length = 90.0
    for _ in range(4):  # the grid moves with the length, hence not one step
        held = volume(length) - papillary_volume(papillary, length)
        length *= (1000 * targets.lvedv_ml / held) ** (1 / 3)
    return _assemble(latents, random, (angles, *cavity(length)), length, roundness * length, lumps, papillary)


def papillary_volume(papillary: tuple[tuple[float, float], ...], length: float) -> float:
    """About the volume (mm³) of the papillary muscles: ellipsoids 0.4 of the cavity's length long."""
    return sum(4 / 3 * np.pi * radius**2 * 0.2 * length for _, radius in papillary)


def _assemble(
    latents: Latents,
    random: np.random.Generator,
    grid: tuple[Grid, Grid, Grid],
    length: float,
    radius: float,
    lumps: Grid,
    papillary: tuple[tuple[float, float], ...],
) -> HeartShape:
    """Walls, right ventricle, fat, scar and atria around a cavity of known size."""
    angles, levels, signed = grid
    disease, targets, person = latents.disease, latents.targets, latents.person
    share = levels / length
    apical = targets.wall_mm if disease.hypertrophy == "apical" else min(targets.wall_mm, 13.0)
    apex = length + (0.8 if disease.hypertrophy == "apical" else 0.6) * apical
    wall = wall_thickness(disease, targets.wall_mm, angles, share)
    outer2 = ellipse_radius2(levels, radius * lumps + wall, apex, CENTRE_SHARE * length)
    inner2 = np.minimum(signed, np.where(outer2 > 0, outer2 - 1, signed))
    round_outer = np.sqrt(np.maximum(outer2.mean(axis=1, keepdims=True), 1.0))
    big = targets.rvedv_ml / (80 * person.bsa_m2)
    weak = aha.segments_weight(disease.weak_segments, angles, share)
    uneven = np.clip(1 + waves(random, angles + share, (1, 2), 0.03), 0.85, 1.15)
    fat = np.clip(0.16 * (person.bmi - 14) + random.normal(0, 0.7), 0.8, 6.0)
    low, high = scar_limits(random, disease, angles, share)
    left, right = _atria(random, latents, float(round_outer[0, 0]))
    short = float(np.clip(0.165 * (targets.lvef / 63) ** 0.8 + random.normal(0, 0.01), 0.03, 0.22))
    systole = float(np.clip(random.normal(0.35, 0.018), 0.31, 0.39))
    twist = np.deg2rad(10) * targets.lvef / 63
    return HeartShape(
        levels=levels,
        angles=angles,
        inner2=np.maximum(inner2, 0),
        inner2_signed=inner2,
        outer2=outer2,
        ability=uneven * (1 - (1 - disease.contraction) * weak),
        crescent=crescent_height(random, angles, share, round_outer, big),
        fat=fat * (1 + 0.5 * np.cos(angles - 0.6) + 0.6 * np.exp(-share * 6)) * np.ones_like(share),
        scar_low=low,
        scar_high=high,
        length=length,
        apex=apex,
        radius=radius,
        papillary=papillary,
        right_wall=float(np.clip(random.normal(3.2 + 4 * disease.septal_flattening * 2.5, 0.4), 2.4, 6.0)),
        left_atrium=left,
        right_atrium=right,
        beat=Beat(systole, short, -0.25 * twist, twist),
        beat_right=Beat(systole + 0.01, short, 0.0, 0.0),
        pose=draw_pose(project.rng(latents.shape_seed, "pose"), person.bsa_m2 / 1.9),
    )
