"""What lies around the heart: skin fat, chest wall, lungs, liver, stomach, spine and descending aorta.

Patient coordinates (LPS, mm), the origin between spine and sternum at heart height. These parts do not move.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from cmr_lib import project
from cmr_lib.simulate.anatomy import TISSUES
from cmr_lib.simulate.latents import Latents

Values = Float32[np.ndarray, "*shape"]


@dataclass(frozen=True)
class Thorax:
    """Sizes of one patient's chest, mm."""

    half_width: float  # of the chest inside its skin fat
    half_depth: float
    skin_fat: float
    wall: float
    diaphragm: float  # height under the heart
    dome: float  # how much higher the right side is
    aorta: tuple[float, float, float]  # x, y, radius
    spine_y: float
    vessels: Float[np.ndarray, "vessels 7"]  # lung vessels: two ends and a radius


def build_thorax(latents: Latents) -> Thorax:
    """Draw a chest: fat follows body mass, the rest follows nothing that a diagnosis knows."""
    random = project.rng(latents.shape_seed, "thorax")
    size = latents.person.bsa_m2 / 1.9
    ends = random.uniform((-110, -60, -40), (110, 70, 60), (14, 3))
    ways = ends + random.normal(0, 28, (14, 3))
    return Thorax(
        half_width=140 * size * random.uniform(0.95, 1.07),
        half_depth=100 * size * random.uniform(0.95, 1.08),
        skin_fat=float(np.clip(1.5 * (latents.person.bmi - 17) + random.normal(0, 3), 4, 40)),
        wall=float(random.uniform(11, 17)),
        diaphragm=float(-54 * size + random.normal(0, 6)),
        dome=float(random.uniform(10, 30)),
        aorta=(float(18 + random.normal(0, 4)), float(48 + random.normal(0, 5)), float(random.uniform(9.5, 13.5))),
        spine_y=float(78 * size),
        vessels=np.concatenate([ends, ways, random.uniform(1.5, 3.8, (14, 1))], axis=1),
    )


def _oval(x: Values, y: Values, wide: float, deep: float) -> Values:
    """Depth inside an upright oval column, mm (about)."""
    radius = np.sqrt((x / np.float32(wide)) ** 2 + (y / np.float32(deep)) ** 2)
    return (1 - radius) * np.float32(min(wide, deep))


def _capsule(x: Values, y: Values, z: Values, row: Float[np.ndarray, "7"]) -> Values:
    """Depth inside a round-ended rod."""
    start, along = row[:3], row[3:6] - row[:3]
    dx, dy, dz = (grid - np.float32(value) for grid, value in zip((x, y, z), start, strict=True))
    dots = dx * np.float32(along[0]) + dy * np.float32(along[1]) + dz * np.float32(along[2])
    t = np.clip(dots / np.float32(along @ along), 0, 1)
    dx, dy, dz = (delta - t * np.float32(step) for delta, step in zip((dx, dy, dz), along, strict=True))
    return np.float32(row[6]) - np.sqrt(dx * dx + dy * dy + dz * dz)


def _near(vessels: Float[np.ndarray, "vessels 7"], x: Values, y: Values, z: Values) -> Float[np.ndarray, "near 7"]:
    """The rods that come within 4 mm of the plane through the points: most do not, and need no painting."""
    if x.ndim != 2 or min(x.shape) < 2:
        return vessels
    corners = np.array([[grid[0, 0], grid[0, -1], grid[-1, 0]] for grid in (x, y, z)], dtype=np.float64).T
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    normal = normal / np.linalg.norm(normal)
    first, second = ((vessels[:, part] - corners[0]) @ normal for part in (slice(0, 3), slice(3, 6)))
    close = np.minimum(np.abs(first), np.abs(second)) < vessels[:, 6] + 4
    return vessels[close | (first * second < 0)]


def thorax_layers(thorax: Thorax, x: Values, y: Values, z: Values) -> Iterator[tuple[TISSUES, Values]]:
    """Layers of the chest, outermost first, each (tissue, depth in mm); air is what none of them covers."""
    inside = _oval(x, y, thorax.half_width, thorax.half_depth)
    yield TISSUES.FAT, inside + np.float32(thorax.skin_fat)
    yield TISSUES.MUSCLE, inside
    ribs = 4.5 - np.abs(inside - np.float32(thorax.wall * 0.55)) - 5 * np.abs(np.sin(z / 8 + np.abs(x) / 40))
    yield TISSUES.BONE, ribs.astype(np.float32)
    cavity = inside - np.float32(thorax.wall)
    yield TISSUES.LUNG, cavity
    for row in _near(thorax.vessels, x, y, z):
        yield TISSUES.VESSEL, np.minimum(_capsule(x, y, z, row), cavity)
    bulge = thorax.dome * np.exp(-((x + 70) ** 2 + y**2) / 70**2) + 8 * np.exp(-((x - 95) ** 2 + y**2) / 40**2)
    under = (np.float32(thorax.diaphragm) + bulge - z).astype(np.float32)
    yield TISSUES.LIVER, np.minimum(under, cavity + 4)
    yield TISSUES.STOMACH, np.minimum(np.minimum(under - 6, x - 62 + 0.3 * y), cavity + 2).astype(np.float32)
    column = 21 - np.sqrt(x**2 + (y - np.float32(thorax.spine_y)) ** 2)
    yield TISSUES.MUSCLE, (column + 7).astype(np.float32)
    yield TISSUES.BONE, column.astype(np.float32)
    left, back, radius = thorax.aorta
    tube = np.float32(radius) - np.sqrt((x - np.float32(left)) ** 2 + (y - np.float32(back)) ** 2)
    yield TISSUES.MUSCLE, tube + np.float32(1.5)
    yield TISSUES.VESSEL, tube
