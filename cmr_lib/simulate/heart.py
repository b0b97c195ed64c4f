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
Heights = Float[np.ndarray, "*heights"]  # one a point, or one a plane (`Rays`)
Table = Float[np.ndarray, "levels angles"]
Radii = Float32[np.ndarray, "channels *shape"]  # squared radii and scar limits at every ray
INNER, OUTER, RIGHT, RIGHT_WALL, FAT, SCAR_LOW, SCAR_HIGH = range(7)


@dataclass(frozen=True)
class Rays:
    """Points in the heart frame with their place on the angle grid.

    `z` has the shape of the others, or, where whole planes lie across the axis, one float64 a plane: shape (1, …) or
    (planes, 1, …). Its double precision goes as far as single numbers do; `height` is what arrays of points meet.
    """

    x: Values
    y: Values
    z: Heights
    rho2: Values
    rho: Values
    index: Int[np.ndarray, "*shape"]
    fraction: Values

    @property
    def flat(self) -> bool:
        """Whether the points lie in planes across the axis: one height a plane."""
        return self.z.dtype == np.float64

    @cached_property
    def height(self) -> Heights:
        """Heights in the precision of the points."""
        return self.z.astype(np.float32, copy=False)

    def at(self, places: Int[np.ndarray, "#count"]) -> "Rays":
        """Some of the rays, by their places in the flat order."""
        z = self.z.take(places // (self.x.size // self.z.size))
        return Rays(
            *(values.take(places) for values in (self.x, self.y)),
            z,
            *(values.take(places) for values in (self.rho2, self.rho, self.index, self.fraction)),
        )


def make_rays(x: Values, y: Values, z: Values, angles: int) -> Rays:
    """Rays for points (mm, heart frame); a constant z is kept as one number, which makes short-axis planes fast."""
    rho2 = x * x + y * y
    turn = (np.arctan2(y, x) + np.float32(np.pi)) * np.float32(angles / (2 * np.pi))
    index = np.minimum(turn.astype(np.intp), angles - 1)
    flat = z.size > 0 and float(np.ptp(z)) < 1e-3
    level = z.reshape(-1)[0].astype(np.float64).reshape((1,) * z.ndim) if flat else z
    return Rays(x, y, level, rho2, np.sqrt(rho2), index, turn - index.astype(np.float32))


def stacked(planes: list[Rays]) -> Rays:
    """The rays of several planes of one size and direction as one: many small calls are dearer than few large ones."""
    return Rays(*(np.stack([getattr(rays, field.name) for rays in planes]) for field in fields(Rays)))


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

    def material_level(self, z: Heights) -> Heights:
        """Reference height of a point: the apex stays, the rest is stretched by λ; clamped to the base."""
        level = self.shape.apex - (self.shape.apex - z) * (1 / self.stretch)
        return np.minimum(np.maximum(level, 0), float(self.shape.levels[-1, 0]) - 0.01)

    def sample(self, rays: Rays, first: int, end: int) -> Radii:
        """The channels `first` to `end` (left out) of the table at every ray, bilinear."""
        level = self.material_level(rays.z) / self.step
        table = self.table[first:end]
        low, width = level.astype(np.intp), table.shape[2]
        if rays.flat:
            return _sample_flat(table, rays, level.ravel() - low.ravel(), low.ravel())
        up = level - low.astype(np.float32)
        flat, values = low * width + rays.index, table.reshape(len(table), -1)
        left, right = (
            _between(values.take(at, axis=1), values.take(at + width, axis=1), up) for at in (flat, flat + 1)
        )
        return _between(left, right, rays.fraction)


def _sample_flat(
    table: Float32[np.ndarray, "channels levels angles"],
    rays: Rays,
    up: Float[np.ndarray, "#planes"],
    low: Int[np.ndarray, "#planes"],
) -> Radii:
    """The table at planes across the axis: between two levels once for all points of a plane."""
    share, rest = (part.astype(np.float32)[:, None] for part in (up, 1 - up))
    row = table[:, low] * rest + table[:, low + 1] * share
    slope = np.zeros_like(row)
    np.subtract(row[..., 1:], row[..., :-1], out=slope[..., :-1])
    index = rays.index
    if low.size > 1:
        index = index + (np.arange(low.size) * table.shape[2]).reshape(rays.z.shape)
    found = slope.reshape(len(table), -1).take(index, axis=1)
    found *= rays.fraction
    found += row.reshape(len(table), -1).take(index, axis=1)
    return found


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
