"""The heart as a stack of soft layers: who covers whom at a point, at a phase of the RR interval."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float32, UInt8

from cmr_lib.simulate.anatomy import CENTRE_SHARE, TISSUES
from cmr_lib.simulate.heart import (
    FAT,
    INNER,
    OUTER,
    RIGHT,
    RIGHT_WALL,
    SCAR_HIGH,
    SCAR_LOW,
    HeartFrame,
    Heights,
    Radii,
    Rays,
    Values,
)

Layer = tuple[TISSUES, Values]  # tissue and signed depth in mm: positive inside
Limits = Float32[np.ndarray, "limits *shape"]  # where in the wall a scar starts and ends
UNSEEN = np.float32(-9.0)  # mm: a depth below minus half a pixel is never seen
BLUNT = np.float32(12.0)  # mm; keeps the depth finite near the apex, where radii vanish


def labels_of(layers: Iterable[Layer], like: Values) -> UInt8[np.ndarray, "*shape"]:
    """TISSUES values, in the shape of `like`: what the last layer over a point is made of; 0 where there is none."""
    image = np.zeros(like.shape, dtype=np.uint8)
    for tissue, depth in layers:
        image[depth > 0] = tissue
    return image


def _depth(radius2: Values, rays: Rays) -> Values:
    """About how deep a ray lies inside a radius, mm; several channels of radii may come at once."""
    both = np.sqrt(np.maximum(radius2, 0))
    both += rays.rho
    depth = radius2 - rays.rho2
    depth /= np.maximum(both, BLUNT, out=both)
    return depth


def _ellipsoid(rays: Rays, box: tuple[float, ...], base: float) -> Values:
    """Depth inside an atrium that hangs from its roof to the valve plane (open below: the valve closes it)."""
    x, y, wide, deep, roof = box
    middle, half = (roof + base) / 2 + 5.0, (base - roof) / 2 + 5.0
    radius = np.sqrt(
        ((rays.x - x) / wide) ** 2 + ((rays.y - y) / deep) ** 2 + (((rays.z - middle) / half) ** 2).astype(np.float32)
    )
    return np.minimum((1 - radius) * min(wide, deep, half), (base - rays.z).astype(np.float32))


def _tube(rays: Rays, start: tuple[float, ...], end: tuple[float, ...], radius: float) -> Values:
    """Depth inside a round vessel from `start` to `end` (heart frame, mm)."""
    a, b = np.array(start), np.array(end)
    along = b - a
    squared = float(along @ along)
    dx, dy, dz = rays.x - np.float32(a[0]), rays.y - np.float32(a[1]), rays.height - np.float32(a[2])
    t = (dx * along[0] + dy * along[1] + dz * along[2]) / squared
    t = np.minimum(np.maximum(t, 0), 1).astype(np.float32)
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
    return np.minimum(np.maximum(annulus, root), (frame.base - rays.z).astype(np.float32))


def reaches_base(frame: HeartFrame, rays: Rays) -> bool:
    """Whether any of the points lies above the valve plane or little below it."""
    return bool(np.max(frame.base - rays.z) > -12)


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


def sac_layers(frame: HeartFrame, rays: Rays) -> Iterator[Layer]:
    """Pericardium, what lies in it, and above the valve plane the atria and great vessels; outermost first."""
    shape, above = frame.shape, (frame.base - rays.z).astype(np.float32)  # > 0 above the valve plane
    upper: list[Layer] = []
    sac = _depth(frame.sample(rays, FAT, FAT + 1)[0], rays) - 0.8 * np.maximum(above, np.float32(0))
    if reaches_base(frame, rays):
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


def ventricle_layers(frame: HeartFrame, rays: Rays, scar: bool) -> Iterator[Layer]:
    """Both ventricles with all that lies in them; they cover the sac's layers."""
    below = (rays.z - frame.base).astype(np.float32)
    radii = frame.sample(rays, INNER, FAT)
    depths = _depth(radii, rays)
    closed = np.minimum(depths, below)
    for tissue, channel in ((TISSUES.RV_WALL, RIGHT_WALL), (TISSUES.RV_BLOOD, RIGHT), (TISSUES.LV_WALL, OUTER)):
        yield tissue, closed[channel]
    if scar:
        yield TISSUES.SCAR, _scar_depth(radii, frame.sample(rays, SCAR_LOW, SCAR_HIGH + 1), rays, below)
    inside = closed[INNER]
    yield TISSUES.LV_BLOOD, inside
    yield from _in_cavity(frame, rays, inside)
    if reaches_base(frame, rays):
        yield from _valves(frame, depths, below)


def heart_layers(frame: HeartFrame, rays: Rays, scar: bool) -> Iterator[Layer]:
    """The layers of the heart, outermost first: each (tissue, depth); a later layer covers the ones before it.

    Everything that shows a heart, label image or signal, paints these layers, so all views agree.
    """
    yield from sac_layers(frame, rays)
    yield from ventricle_layers(frame, rays, scar)


def _in_cavity(frame: HeartFrame, rays: Rays, inside: Values) -> Iterator[Layer]:
    """Papillary muscles and thrombus, worked out where there is a cavity: elsewhere nothing of them is seen."""
    places = np.flatnonzero(inside > UNSEEN)
    near, limit = rays.at(places), inside.take(places)
    depths = [(TISSUES.PAPILLARY, _papillary(frame, near, *muscle)) for muscle in frame.shape.papillary]
    if frame.shape.thrombus is not None:
        depths.append((TISSUES.THROMBUS, _clot(near, frame.shape.thrombus)))
    for tissue, depth in depths:
        whole = np.full(inside.shape, UNSEEN)
        whole.put(places, np.minimum(depth, limit))
        yield tissue, whole


def _clot(rays: Rays, place: tuple[float, float, float, float]) -> Values:
    """Depth inside a thrombus; the apex hardly moves, and neither does what sticks to it."""
    x, y, z, radius = place
    away = np.sqrt((rays.x - np.float32(x)) ** 2 + (rays.y - np.float32(y)) ** 2 + (rays.height - np.float32(z)) ** 2)
    return (np.float32(radius) - away).astype(np.float32)


def _scar_depth(radii: Radii, limits: Limits, rays: Rays, below: Heights) -> Values:
    """Depth inside the scar, from where the wall's depth (0 endocardium … 1 epicardium) lies in the scar's band."""
    outer2 = radii[OUTER]
    inner2 = np.maximum(radii[INNER], 0)
    thick = np.maximum(outer2 - inner2, 1)
    share = (rays.rho2 - inner2) / thick
    band = np.minimum(share - limits[0], limits[1] - share)
    millimetres = thick / np.maximum(2 * np.sqrt(np.maximum(outer2, 1)), BLUNT)
    wall = np.minimum(1 - share, band) * millimetres  # towards the cavity, blood will cover it
    return np.minimum(wall, below).astype(np.float32)


def _valves(frame: HeartFrame, depths: Radii, below: Heights) -> Iterator[Layer]:
    """Mitral and tricuspid leaflets: a thin line while closed and at rest, near both ends of the beat.

    While they fly they are too thin for a slice to catch; drawn by volume alone, they do not tell the order of frames.
    """
    if 0.06 < frame.emptied < 0.94:
        return
    line = 0.9 - np.abs(below + np.float32(1.0))  # on the atrial side, so that it takes no volume
    tricuspid = np.minimum(depths[RIGHT], -depths[OUTER])
    yield TISSUES.VALVE, np.minimum(line, np.maximum(depths[INNER], tricuspid)).astype(np.float32)
