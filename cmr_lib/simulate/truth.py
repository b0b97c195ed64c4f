"""What the rasterised heart really measures: disc summation of label images, as a reader would do it, but exactly."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from cmr_lib import labels
from cmr_lib.simulate import motion
from cmr_lib.simulate.anatomy import ANGLES, MUSCLE_OF_LV, TISSUES
from cmr_lib.simulate.heart import FAT, make_rays
from cmr_lib.simulate.layers import labels_of, ventricle_layers
from cmr_lib.simulate.plane import Plane

if TYPE_CHECKING:
    from cmr_lib.simulate.phantom import Phantom

DENSITY_G_ML = 1.05  # of heart muscle
DISC_MM, PIXEL_MM = 4.0, 2.0
WALL_STEP_MM = 0.25


def disc_planes(phantom: "Phantom", disc_mm: float = DISC_MM, pixel_mm: float = PIXEL_MM) -> list[Plane]:
    """Gapless short-axis planes from above the base to past the apex."""
    shape = phantom.shape
    axes = shape.pose.axes
    wide, tall = 190.0, 150.0
    corner = shape.pose.origin_mm + 110 * axes[0] + tall / 2 * axes[1]
    count = int(np.ceil((shape.apex + 12) / disc_mm))
    return [
        Plane(
            corner + (index + 0.5) * disc_mm * axes[2],
            -axes[0],
            -axes[1],
            pixel_mm,
            int(tall / pixel_mm),
            int(wide / pixel_mm),
            disc_mm,
        )
        for index in range(count)
    ]


def volumes_ml(
    phantom: "Phantom", phase: float, disc_mm: float = DISC_MM, pixel_mm: float = PIXEL_MM
) -> dict[str, float]:
    """Volume of left cavity, left muscle (with papillary muscles) and right cavity at a phase, mL."""
    planes, pose, frame = disc_planes(phantom, disc_mm, pixel_mm), phantom.shape.pose, phantom.frame(phase)
    x, y, z = planes[0].points(pose.origin_mm, pose.axes)
    near = x * x + y * y <= frame.table[:FAT].max()  # beyond the largest radius nothing is counted
    rays = make_rays(x[near], y[near], z[near], ANGLES)
    counts = np.zeros(len(TISSUES))
    for plane in planes:  # they lie on top of one another: only the height differs
        height = (plane.origin_mm - pose.origin_mm) @ pose.axes[2]
        if height < frame.base:
            continue  # above the valve plane
        disc = replace(rays, z=np.full(1, np.float32(height), dtype=np.float64))
        counts += np.bincount(labels_of(ventricle_layers(frame, disc, False), x[near]), minlength=len(TISSUES))
    counts *= disc_mm * pixel_mm**2 / 1000
    return {
        "lv": float(counts[TISSUES.LV_BLOOD]),
        "muscle": float(sum(counts[tissue] for tissue in MUSCLE_OF_LV)),
        "rv": float(counts[TISSUES.RV_BLOOD]),
    }


def stack_volume_ml(phantom: "Phantom", planes: Sequence[Plane], phase: float, thin: int = 5) -> float:
    """Volume of the left cavity by disc summation over an imaged stack, mL: what a perfect reader of it would get.

    `planes` are parallel and in order. A pixel counts as far as the slice's thickness lies in blood (mean of `thin`
    sections), which is how brightness shows it; gaps between slices are bridged by the pitch.
    """
    first, second = planes[0], planes[1]
    pitch = abs(float((second.origin_mm - first.origin_mm) @ first.normal))
    steps = ((np.arange(thin) + 0.5) / thin - 0.5) * min(pitch, first.thickness_mm)
    pixels = sum(
        int((phantom.heart_labels(plane.shifted(float(step)), phase) == TISSUES.LV_BLOOD).sum())
        for plane in planes
        for step in steps
    )
    return pixels / thin * pitch * first.spacing_mm**2 / 1000


def wall_profile_mm(phantom: "Phantom", phase: float = 0.0) -> Float[np.ndarray, "levels angles"]:
    """Wall thickness along 48 rays at 8 levels of the ventricle, counted on labels in steps of 0.25 mm.

    Levels lie at 0.12–0.86 of the length at that phase; papillary muscles do not count.
    """
    shape, frame = phantom.shape, phantom.frame(phase)
    levels = frame.base + np.linspace(0.12, 0.86, 8) * (shape.length - frame.base)
    angles = np.arange(48) * (2 * np.pi / 48)
    radii = np.arange(0, shape.radius + 45, WALL_STEP_MM)
    grid = np.broadcast_to(radii[None, :], (48, radii.size))
    x = (grid * np.cos(angles)[:, None]).astype(np.float32)
    y = (grid * np.sin(angles)[:, None]).astype(np.float32)
    rows = []
    for level in levels:
        wall = phantom.point_labels(x, y, np.full_like(x, level), phase) == TISSUES.LV_WALL
        rows.append(wall.sum(axis=1) * WALL_STEP_MM)
    return np.array(rows, dtype=np.float64)


def _smoothed(profile: Float[np.ndarray, "levels angles"]) -> Float[np.ndarray, "levels angles"]:
    """Mean over three neighbouring rays, as callipers span some millimetres."""
    return (np.roll(profile, 1, axis=1) + profile + np.roll(profile, -1, axis=1)) / 3


def timing_of(phantom: "Phantom") -> dict[str, float]:
    """What the order of frames tells: half filling after end-systole, the lateral wall's delay behind the septum."""
    beat, rr_ms = phantom.shape.beat, 60000 / phantom.latents.heart_rate
    share = motion.half_filling_share(beat)
    return {
        "half_filling_share": share,
        "half_filling_ms": share * rr_ms,
        "septal_delay_ms": motion.septal_delay_share(beat) * rr_ms,
    }


def measure(phantom: "Phantom") -> dict[str, Any]:
    """Everything of truth.csv that the images can show, by the cut-points of `labels` on the true numbers."""
    person, disease = phantom.latents.person, phantom.latents.disease
    diastole, systole = volumes_ml(phantom, 0.0), volumes_ml(phantom, phantom.systole)
    bsa = person.bsa_m2
    numbers = {
        "lvef": 100 * (1 - systole["lv"] / diastole["lv"]),
        "lvedv_ml": diastole["lv"],
        "lvesv_ml": systole["lv"],
        "lv_mass_g": DENSITY_G_ML * diastole["muscle"],
        "rvef": 100 * (1 - systole["rv"] / diastole["rv"]),
        "rvedv_ml": diastole["rv"],
        "wall_mm": float(_smoothed(wall_profile_mm(phantom)).max()),
        "lvedvi": diastole["lv"] / bsa,
        "rvedvi": diastole["rv"] / bsa,
        "aorta_mm": phantom.shape.aorta,
        "effusion_mm": phantom.shape.effusion,
        **timing_of(phantom),
    }
    findings = {
        "lv_dysfunction": numbers["lvef"] < labels.LVEF_CUTS[-1],
        "rv_dysfunction": numbers["rvef"] < labels.RVEF_CUTS[-1],
        "lv_dilation": numbers["lvedvi"] >= labels.LVEDVI_CUTS[person.sex][0],
        "rv_dilation": numbers["rvedvi"] >= labels.RVEDVI_CUTS[person.sex][0],
        "lv_hypertrophy": numbers["wall_mm"] >= labels.WALL_CUTS[person.sex][0],
        "lge": disease.lge_pattern != "none",
        "wall_motion_abnormality": bool(disease.weak_segments),
        "aortic_dilation": numbers["aorta_mm"] >= labels.AORTA_CUTS[person.sex][0],
        "effusion": numbers["effusion_mm"] >= labels.EFFUSION_CUTS[0],
        "thrombus": disease.thrombus,
    }
    return {
        **numbers,
        **{name: int(findings[name]) for name in labels.FINDINGS},
        "lge_pattern": disease.lge_pattern,
        "territory": disease.territory,
    }
