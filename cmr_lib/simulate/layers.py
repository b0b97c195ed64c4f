"""The heart as a stack of soft layers: who covers whom at a point, at a phase of the RR interval."""

from collections.abc import Iterator

import numpy as np

from cmr_lib.simulate.anatomy import CENTRE_SHARE, TISSUES
from cmr_lib.simulate.heart import (
    FAT,
    INNER,
    OUTER,
    RIGHT,
    RIGHT_WALL,
    SCAR_HIGH,
    SCAR_LOW,
    WITHOUT_SCAR,
    HeartFrame,
    Radii,
    Rays,
    Values,
)

Layer = tuple[TISSUES, Values]  # tissue and signed depth in mm: positive inside
BLUNT = np.float32(12.0)  # mm; keeps the depth finite near the apex, where radii vanish


def _depth(radius2: Values, rays: Rays) -> Values:
    """About how deep a ray lies inside a radius, mm."""
    radius = np.sqrt(np.maximum(radius2, 0))
    return (radius2 - rays.rho2) / np.maximum(radius + rays.rho, BLUNT)


def _ellipsoid(rays: Rays, box: tuple[float, ...], base: float) -> Values:
    """Depth inside an atrium that hangs from its roof to the valve plane (open below: the valve closes it)."""
    x, y, wide, deep, roof = box
    middle, half = (roof + base) / 2 + 5.0, (base - roof) / 2 + 5.0
    radius = np.sqrt(((rays.x - x) / wide) ** 2 + ((rays.y - y) / deep) ** 2 + ((rays.z - middle) / half) ** 2)
    return np.minimum((1 - radius) * min(wide, deep, half), base - rays.z).astype(np.float32)


def _tube(rays: Rays, start: tuple[float, ...], end: tuple[float, ...], radius: float) -> Values:
    """Depth inside a round vessel from `start` to `end` (heart frame, mm)."""
    a, b = np.array(start), np.array(end)
    along = b - a
    squared = float(along @ along)
    dx, dy, dz = rays.x - np.float32(a[0]), rays.y - np.float32(a[1]), rays.z - np.float32(a[2])
    t = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / squared, 0, 1).astype(np.float32)
    x, y, z = (delta - t * np.float32(step) for delta, step in zip((dx, dy, dz), along, strict=True))
    return np.float32(radius) - np.sqrt(x * x + y * y + z * z)


def _papillary(frame: HeartFrame, rays: Rays, angle: float, radius: float) -> Values:
    """Depth inside one papillary muscle: a spindle along the wall that thickens as it shortens."""
    shape = frame.shape
    share = frame.material_level(rays.z) / shape.length
    turn = frame.emptied * (shape.beat.twist_base + (shape.beat.twist_apex - shape.beat.twist_base) * 0.55)
    spindle = np.sqrt(np.maximum(1 - ((share - 0.55) / 0.2) ** 2, 0)) * np.float32(radius / np.sqrt(frame.stretch))
    cavity = np.sqrt(np.maximum(1 - ((share - CENTRE_SHARE) / (1 - CENTRE_SHARE)) ** 2, 0)) * np.float32(
        shape.radius * frame.squeeze
    )
    out = cavity * np.clip(0.62 + 0.5 * (share - 0.45), 0.5, 0.9)
    x, y = rays.x - out * np.float32(np.cos(angle + turn)), rays.y - out * np.float32(np.sin(angle + turn))
    return (spindle - np.sqrt(x * x + y * y)).astype(np.float32)


def _aorta(frame: HeartFrame, rays: Rays) -> Values:
    """Depth inside the aortic root: annulus, sinuses and ascending part; it opens into the front of the base."""
    size, wide = frame.shape.radius / 25, frame.shape.aorta / 2
    annulus = _tube(
        rays, (9 * size, 9 * size, frame.base), (12 * size, 13 * size, frame.base - 14), min(0.72 * wide, 13 * size)
    )
    root = _tube(
        rays, (12 * size, 13 * size, frame.base - 10 - 0.3 * wide), (18 * size, 30 * size, frame.base - 75), wide
    )
    return np.minimum(np.maximum(annulus, root), frame.base - rays.z).astype(np.float32)


def _upper_layers(frame: HeartFrame, rays: Rays) -> tuple[list[Layer], Values]:
    """Atria and great vessels above the valve plane, and the outline of the atria."""
    size = frame.shape.radius / 25
    left = _ellipsoid(rays, frame.shape.left_atrium, frame.base)
    right = _ellipsoid(rays, frame.shape.right_atrium, frame.base)
    root = _aorta(frame, rays)
    trunk = _tube(rays, (17 * size, 45 * size, frame.base + 6), (-8 * size, 44 * size, frame.base - 60), 12 * size)
    layers = [
        (TISSUES.PULMONARY_ARTERY, trunk),
        (TISSUES.ATRIAL_WALL, np.maximum(left, right) + np.float32(2.2)),
        (TISSUES.RIGHT_ATRIUM, np.minimum(right, -1.6 - left)),
        (TISSUES.LEFT_ATRIUM, left),
        (TISSUES.ATRIAL_WALL, root + np.float32(1.6)),
        (TISSUES.AORTA, root),
    ]
    return layers, np.maximum(np.maximum(left, right), np.maximum(root, trunk))


def heart_layers(frame: HeartFrame, rays: Rays, scar: bool) -> Iterator[Layer]:
    """The layers of the heart, outermost first: each (tissue, depth); a later layer covers the ones before it.

    Everything that shows a heart, label image or signal, paints these layers, so all views agree.
    """
    shape, above = frame.shape, frame.base - rays.z  # > 0 above the valve plane
    below = -above
    radii = frame.sample(rays, len(frame.table) if scar else WITHOUT_SCAR)
    upper: list[Layer] = []
    sac = _depth(radii[FAT], rays) - 0.8 * np.maximum(above, np.float32(0))
    if np.max(above) > -12:
        upper, outline = _upper_layers(frame, rays)
        sac = np.maximum(sac, outline + np.float32(4.5))
    sac = sac.astype(np.float32)
    if shape.effusion > 0:  # fluid sinks to the back, which is the inferior wall of a patient who lies
        fluid = sac + np.float32(shape.effusion) * (np.float32(0.8) - np.float32(0.3) * rays.y / (rays.rho + 1))
        yield TISSUES.PERICARDIUM, fluid + np.float32(1.7)
        yield TISSUES.FLUID, fluid
    else:
        yield TISSUES.PERICARDIUM, sac + np.float32(1.7)
    yield TISSUES.EPICARDIAL_FAT, sac
    yield from upper
    for tissue, channel in ((TISSUES.RV_WALL, RIGHT_WALL), (TISSUES.RV_BLOOD, RIGHT), (TISSUES.LV_WALL, OUTER)):
        yield tissue, np.minimum(_depth(radii[channel], rays), below).astype(np.float32)
    if scar:
        yield TISSUES.SCAR, _scar_depth(radii, rays, below)
    inside = np.minimum(_depth(radii[INNER], rays), below).astype(np.float32)
    yield TISSUES.LV_BLOOD, inside
    for angle, radius in shape.papillary:
        yield TISSUES.PAPILLARY, np.minimum(_papillary(frame, rays, angle, radius), inside)
    if shape.thrombus is not None:
        yield TISSUES.THROMBUS, np.minimum(_clot(rays, shape.thrombus), inside)
    if upper:
        yield from _valves(frame, radii, rays, below)


def _clot(rays: Rays, place: tuple[float, float, float, float]) -> Values:
    """Depth inside a thrombus; the apex hardly moves, and neither does what sticks to it."""
    x, y, z, radius = place
    away = np.sqrt((rays.x - np.float32(x)) ** 2 + (rays.y - np.float32(y)) ** 2 + (rays.z - np.float32(z)) ** 2)
    return (np.float32(radius) - away).astype(np.float32)


def _scar_depth(radii: Radii, rays: Rays, below: Values | float) -> Values:
    """Depth inside the scar, from where the wall's depth (0 endocardium … 1 epicardium) lies in the scar's band."""
    outer2 = radii[OUTER]
    inner2 = np.maximum(radii[INNER], 0)
    thick = np.maximum(outer2 - inner2, 1)
    share = (rays.rho2 - inner2) / thick
    band = np.minimum(share - radii[SCAR_LOW], radii[SCAR_HIGH] - share)
    millimetres = thick / np.maximum(2 * np.sqrt(np.maximum(outer2, 1)), BLUNT)
    wall = np.minimum(1 - share, band) * millimetres  # towards the cavity, blood will cover it
    return np.minimum(wall, below).astype(np.float32)


def _valves(frame: HeartFrame, radii: Radii, rays: Rays, below: Values | float) -> Iterator[Layer]:
    """Mitral and tricuspid leaflets: a thin line while closed and at rest, near both ends of the beat.

    While they fly they are too thin for a slice to catch; drawn by volume alone, they do not tell the order of frames.
    """
    if 0.06 < frame.emptied < 0.94:
        return
    line = 0.9 - np.abs(below + np.float32(1.0))  # on the atrial side, so that it takes no volume
    mitral, wall = _depth(radii[INNER], rays), _depth(radii[OUTER], rays)
    tricuspid = np.minimum(_depth(radii[RIGHT], rays), -wall)
    yield TISSUES.VALVE, np.minimum(line, np.maximum(mitral, tricuspid)).astype(np.float32)
