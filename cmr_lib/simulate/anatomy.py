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
from cmr_lib.labels import Diagnosis
from cmr_lib.simulate import aha
from cmr_lib.simulate.latents import Latents
from cmr_lib.simulate.motion import Beat
from cmr_lib.simulate.plane import Vector, unit
from cmr_lib.simulate.walls import Grid, crescent_height, ellipse_radius2, scar_limits, wall_thickness, waves


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
    FLUID = 22  # in the pericardial sac
    THROMBUS = 23


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
    aorta: float  # diameter of the root, mm
    effusion: float  # pericardial fluid, mm
    thrombus: tuple[float, float, float, float] | None  # x, y, z, radius, mm
    beat: Beat
    pose: Pose


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
    stiff = 0.12 if latents.disease.diagnosis is Diagnosis.AMY else 0.0
    left = float(np.clip(random.normal(1 + stiff + 0.006 * (60 - latents.targets.lvef), 0.07), 0.8, 1.45))
    right = float(np.clip(random.normal(1 + 0.007 * (58 - latents.targets.rvef), 0.07), 0.8, 1.45))
    size = outer / 34
    return [
        (-7.0 * size, -9.0 * size, 26 * size * left, 24 * size * left, -44 * size * left),
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
    trabeculae = waves(random, angles, (11, 14, 19), 0.014)
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


def _clot(random: np.random.Generator, length: float, radius: float) -> tuple[float, float, float, float]:
    """An apical thrombus: centre and radius in the heart frame, mm; it lies on the wall, which hides part of it."""
    size = float(random.uniform(6, 10))
    angle = float(random.uniform(0, 2 * np.pi))
    away = 0.35 * radius
    return away * float(np.cos(angle)), away * float(np.sin(angle)), float(random.uniform(0.8, 0.88)) * length, size


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
    rough = 1 + waves(random, angles + 1.5 * share, (13, 17, 23), 0.02) * (
        0.3 + share
    )  # the right ventricle's trabeculae
    low, high = scar_limits(random, disease, angles, share)
    left, right = _atria(random, latents, float(round_outer[0, 0]))
    short = float(np.clip(0.165 * (targets.lvef / 63) ** 0.8 + random.normal(0, 0.01), 0.03, 0.22))
    systole = float(np.clip(random.normal(0.355, 0.015), 0.33, 0.39))
    twist = np.deg2rad(10) * targets.lvef / 63
    thick_right = 2.2 if disease.diagnosis is Diagnosis.AMY else 0.0  # amyloid spares no chamber
    timing = latents.timing
    return HeartShape(
        levels=levels,
        angles=angles,
        inner2=np.maximum(inner2, 0),
        inner2_signed=inner2,
        outer2=outer2,
        ability=uneven * (1 - (1 - disease.contraction) * weak),
        crescent=crescent_height(random, angles, share, round_outer, big) * rough,
        fat=fat * (1 + 0.5 * np.cos(angles - 0.6) + 0.6 * np.exp(-share * 6)) * np.ones_like(share),
        scar_low=low,
        scar_high=high,
        length=length,
        apex=apex,
        radius=radius,
        papillary=papillary,
        right_wall=float(np.clip(random.normal(3.2 + 10 * disease.septal_flattening + thick_right, 0.4), 2.4, 7.0)),
        left_atrium=left,
        right_atrium=right,
        aorta=targets.aorta_mm,
        effusion=targets.effusion_mm,
        thrombus=_clot(random, length, radius) if disease.thrombus else None,
        beat=Beat(systole, short, -0.25 * twist, twist, timing.relaxation, timing.dyssynchrony),
        pose=draw_pose(project.rng(latents.shape_seed, "pose"), person.bsa_m2 / 1.9),
    )
