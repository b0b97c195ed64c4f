"""The beating heart at one phase: its radii on the material grid, and their values at the pixels of a plane."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32, Int

from cmr_lib.simulate import motion
from cmr_lib.simulate.anatomy import HeartShape, papillary_volume
from cmr_lib.simulate.latents import Targets
from cmr_lib.simulate.walls import smoothstep

Values = Float32[np.ndarray, "*shape"]
Table = Float[np.ndarray, "levels angles"]
Radii = Float32[np.ndarray, "channels *shape"]  # squared radii and scar limits at every ray
INNER, OUTER, RIGHT, RIGHT_WALL, FAT, SCAR_LOW, SCAR_HIGH = range(7)


@dataclass(frozen=True)
class Rays:
    """Points in the heart frame with their place on the angle grid; z is a number in a short-axis plane."""

    x: Values
    y: Values
    z: Values | float
    rho2: Values
    rho: Values
    index: Int[np.ndarray, "*shape"]
    fraction: Values

    def at(self, places: Int[np.ndarray, "count"]) -> "Rays":
        """Some of the rays, by their places in the flat order."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Rays(**{name: value if isinstance(value, float) else value.take(places) for name, value in values.items()})


def make_rays(x: Values, y: Values, z: Values, angles: int) -> Rays:
    """Rays for points (mm, heart frame); a constant z is kept as one number, which makes short-axis planes fast."""
    rho2 = x * x + y * y
    turn = (np.arctan2(y, x) + np.float32(np.pi)) * np.float32(angles / (2 * np.pi))
    index = np.minimum(turn.astype(np.intp), angles - 1)
    flat = float(z.flat[0]) if z.size and float(np.ptp(z)) < 1e-3 else z
    return Rays(x, y, flat, rho2, np.sqrt(rho2), index, turn - index.astype(np.float32))


@dataclass(frozen=True)
class HeartFrame:
    """The heart at one phase: squared radii on the grid (channels × levels × angles + 1, the last angle repeated)."""

    shape: HeartShape
    phase: float
    emptied: float  # 0 end-diastole … 1 end-systole
    stretch: float  # λ
    squeeze: float  # mean of s
    table: Float32[np.ndarray, "channels levels angles"]

    @property
    def base(self) -> float:
        """Height of the valve plane, mm."""
        return self.shape.apex * (1 - self.stretch)

    @cached_property
    def step(self) -> float:
        """Distance of two levels of the grid, mm (material)."""
        return float(self.shape.levels[1, 0] - self.shape.levels[0, 0])

    def material_level(self, z: Values | float) -> Values | float:
        """Reference height of a point: the apex stays, the rest is stretched by λ; clamped to the base."""
        level = self.shape.apex - (self.shape.apex - z) * (1 / self.stretch)
        last = float(self.shape.levels[-1, 0]) - 0.01
        return (
            min(max(level, 0.0), last) if isinstance(level, float) else np.clip(level, np.float32(0), np.float32(last))
        )

    def sample(self, rays: Rays, first: int, end: int) -> Radii:
        """The channels `first` to `end` (left out) of the table at every ray, bilinear."""
        level = self.material_level(rays.z) / self.step
        table = self.table[first:end]
        if isinstance(level, float):
            low = int(level)
            row = table[:, low] * np.float32(1 - (level - low)) + table[:, low + 1] * np.float32(level - low)
            found = (row[:, 1:] - row[:, :-1]).take(rays.index, axis=1)
            found *= rays.fraction
            found += row.take(rays.index, axis=1)
            return found
        low = level.astype(np.intp)
        up = level - low.astype(np.float32)
        width = table.shape[2]
        flat, values = low * width + rays.index, table.reshape(len(table), -1)
        left, right = (_between(values.take(at, axis=1), values.take(at + width, axis=1), up) for at in (flat, flat + 1))
        return _between(left, right, rays.fraction)


def _between(low: Radii, high: Radii, share: Values) -> Radii:
    """Linear interpolation; overwrites `high`."""
    high -= low
    high *= share
    high += low
    return high


def _twisted(grids: Float[np.ndarray, "channels levels angles"], turn: Float[np.ndarray, "levels 1"]) -> np.ndarray:
    """Grids turned about the axis by an angle per level (radians), linear between angles."""
    _, levels, count = grids.shape
    place = (np.arange(count)[None, :] - turn * (count / (2 * np.pi))) % count
    low = place.astype(np.intp) % count
    start, part = np.arange(levels)[:, None] * count, place - np.floor(place)
    flat = grids.reshape(len(grids), -1)
    return flat.take(start + low, axis=1) * (1 - part) + flat.take(start + (low + 1) % count, axis=1) * part


def make_frame(shape: HeartShape, targets: Targets, phase: float) -> HeartFrame:
    """Solve the heart at a phase of RR: both cavities hold what the volume-time curve asks for.

    Everything but the lead of a wall follows from how far the heart has emptied, so that ejection and filling show the
    same hearts (`motion`).
    """
    beat = shape.beat
    emptied = float(motion.emptying(np.asarray(phase, dtype=np.float64), beat))
    stretch = 1 - beat.shortening * emptied
    cells = np.full_like(shape.inner2, 2 * np.pi / shape.inner2.shape[1] * float(np.diff(shape.levels[:2, 0])[0]))
    papillary = papillary_volume(shape.papillary, shape.length)
    wanted = 1000 * targets.lvedv_ml * (1 - targets.lvef / 100 * emptied) + papillary
    ability = shape.ability * (1 + motion.wall_lead(phase, beat) * np.cos(shape.angles))
    squeeze, _ = motion.inner_stretch(shape.inner2, ability, cells, stretch, wanted)
    inner2 = squeeze**2 * shape.inner2
    outer2 = motion.outer_radius2(inner2, shape.inner2, shape.outer2, stretch)
    turn = emptied * (beat.twist_base + (beat.twist_apex - beat.twist_base) * shape.levels / shape.length)
    signed = np.where(shape.inner2_signed < 0, shape.inner2_signed, inner2)
    inner2, outer2, *scar = _twisted(np.stack([signed, outer2, shape.scar_low, shape.scar_high]), turn)
    round_outer = np.sqrt(np.maximum(outer2, 0))
    wanted_right = 1000 * targets.rvedv_ml * (1 - targets.rvef / 100 * emptied)
    height = shape.crescent * motion.crescent_scale(round_outer, shape.crescent, cells, stretch, wanted_right)
    wall = shape.right_wall * (1 + 0.4 * emptied) * smoothstep(height, 0.0, 4.0)
    right2 = np.where(height > 0, (round_outer + height) ** 2, outer2)
    right_wall2 = np.where(height > 0, (round_outer + height + wall) ** 2, outer2)
    edge = np.sqrt(np.maximum(right_wall2, 0))
    fat = shape.fat + 1.5 * emptied * smoothstep(height, 0.0, 6.0)  # the sac follows the heart only in part
    fat2 = right_wall2 + 2 * edge * fat + fat**2 + 25 * fat
    table = np.stack([inner2, outer2, right2, right_wall2, fat2, *scar])
    table = np.concatenate([table, table[:, :, :1]], axis=2).astype(np.float32)
    return HeartFrame(shape, phase, emptied, stretch, float(squeeze.mean()), table)
