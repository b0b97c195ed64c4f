"""The beating heart as a stack of soft layers: who covers whom at a point, at a phase of the RR interval."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32, Int

from cmr_lib.simulate import motion
from cmr_lib.simulate.anatomy import CENTRE_SHARE, TISSUES, HeartShape, papillary_volume, smoothstep
from cmr_lib.simulate.latents import Targets

Values = Float32[np.ndarray, "*shape"]
Table = Float[np.ndarray, "levels angles"]
Layer = tuple[TISSUES, Values]  # tissue and signed depth in mm: positive inside
INNER, OUTER, RIGHT, RIGHT_WALL, FAT, SCAR_LOW, SCAR_HIGH = range(7)
BLUNT = np.float32(12.0)  # mm; keeps the depth finite near the apex, where radii vanish


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

    def look_up(self, rays: Rays, channel: int) -> Values:
        """A channel of the table at every ray, bilinear."""
        level = self.material_level(rays.z) / self.step
        table = self.table[channel]
        if isinstance(level, float):
            low = int(level)
            row = table[low] * np.float32(1 - (level - low)) + table[low + 1] * np.float32(level - low)
            return row[:-1].take(rays.index) + np.diff(row).take(rays.index) * rays.fraction
        low = level.astype(np.intp)
        up = level - low.astype(np.float32)
        flat, width = low * table.shape[1] + rays.index, table.shape[1]
        values = table.ravel()
        first = values.take(flat) * (1 - up) + values.take(flat + width) * up
        second = values.take(flat + 1) * (1 - up) + values.take(flat + width + 1) * up
        return first + (second - first) * rays.fraction


def _twisted(grid: Table, turn: Float[np.ndarray, "levels 1"]) -> Table:
    """The grid turned about the axis by an angle per level (radians), linear between angles."""
    count = grid.shape[1]
    place = (np.arange(count)[None, :] - turn * (count / (2 * np.pi))) % count
    low = place.astype(np.intp) % count
    rows = np.arange(grid.shape[0])[:, None]
    part = place - np.floor(place)
    return grid[rows, low] * (1 - part) + grid[rows, (low + 1) % count] * part


def make_frame(shape: HeartShape, targets: Targets, phase: float) -> HeartFrame:
    """Solve the heart at a phase of RR: both cavities hold what the volume-time curve asks for."""
    beat = shape.beat
    moment = np.asarray(phase, dtype=np.float64)
    emptied = float(motion.emptying(moment, beat.end_systole))
    emptied_right = float(motion.emptying(moment, shape.beat_right.end_systole))
    stretch = 1 - beat.shortening * emptied
    cells = np.full_like(shape.inner2, 2 * np.pi / shape.inner2.shape[1] * float(np.diff(shape.levels[:2, 0])[0]))
    papillary = papillary_volume(shape.papillary, shape.length)
    wanted = 1000 * targets.lvedv_ml * (1 - targets.lvef / 100 * emptied) + papillary
    squeeze, _ = motion.inner_stretch(shape.inner2, shape.ability, cells, stretch, wanted)
    inner2 = squeeze**2 * shape.inner2
    outer2 = motion.outer_radius2(inner2, shape.inner2, shape.outer2, stretch)
    turn = emptied * (beat.twist_base + (beat.twist_apex - beat.twist_base) * shape.levels / shape.length)
    signed = np.where(shape.inner2_signed < 0, shape.inner2_signed, inner2)
    inner2, outer2 = _twisted(signed, turn), _twisted(outer2, turn)
    round_outer = np.sqrt(np.maximum(outer2, 0))
    wanted_right = 1000 * targets.rvedv_ml * (1 - targets.rvef / 100 * emptied_right)
    height = shape.crescent * motion.crescent_scale(round_outer, shape.crescent, cells, stretch, wanted_right)
    wall = shape.right_wall * (1 + 0.4 * emptied_right) * smoothstep(height, 0.0, 4.0)
    right2 = np.where(height > 0, (round_outer + height) ** 2, outer2)
    right_wall2 = np.where(height > 0, (round_outer + height + wall) ** 2, outer2)
    edge = np.sqrt(np.maximum(right_wall2, 0))
    fat = shape.fat + 1.5 * emptied_right * smoothstep(height, 0.0, 6.0)  # the sac follows the heart only in part
    fat2 = right_wall2 + 2 * edge * fat + fat**2 + 25 * fat
    channels = [inner2, outer2, right2, right_wall2, fat2]
    channels += [_twisted(shape.scar_low, turn), _twisted(shape.scar_high, turn)]
    table = np.stack(channels)
    table = np.concatenate([table, table[:, :, :1]], axis=2).astype(np.float32)
    return HeartFrame(shape, phase, emptied, stretch, float(squeeze.mean()), table)


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


def _upper_layers(frame: HeartFrame, rays: Rays) -> tuple[list[Layer], Values]:
    """Atria and great vessels above the valve plane, and the outline of the atria."""
    size = frame.shape.radius / 25
    left = _ellipsoid(rays, frame.shape.left_atrium, frame.base)
    right = _ellipsoid(rays, frame.shape.right_atrium, frame.base)
    root = _tube(rays, (11 * size, 19 * size, frame.base - 2), (18 * size, 26 * size, frame.base - 70), 13 * size)
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
    above = frame.base - rays.z  # > 0 above the valve plane
    below = -above
    upper: list[Layer] = []
    sac = _depth(frame.look_up(rays, FAT), rays) - 0.8 * np.maximum(above, np.float32(0))
    if np.max(above) > -12:
        upper, outline = _upper_layers(frame, rays)
        sac = np.maximum(sac, outline + np.float32(4.5))
    yield TISSUES.PERICARDIUM, (sac + 1.7).astype(np.float32)
    yield TISSUES.EPICARDIAL_FAT, sac.astype(np.float32)
    yield from upper
    for tissue, channel in ((TISSUES.RV_WALL, RIGHT_WALL), (TISSUES.RV_BLOOD, RIGHT), (TISSUES.LV_WALL, OUTER)):
        yield tissue, np.minimum(_depth(frame.look_up(rays, channel), rays), below).astype(np.float32)
    inner2 = frame.look_up(rays, INNER)
    if scar:
        yield TISSUES.SCAR, _scar_depth(frame, rays, inner2, below)
    inside = np.minimum(_depth(inner2, rays), below).astype(np.float32)
    yield TISSUES.LV_BLOOD, inside
    for angle, radius in frame.shape.papillary:
        yield TISSUES.PAPILLARY, np.minimum(_papillary(frame, rays, angle, radius), inside)
    if upper:
        yield from _valves(frame, rays, below)


def _scar_depth(frame: HeartFrame, rays: Rays, inner2: Values, below: Values | float) -> Values:
    """Depth inside the scar, from where the wall's depth (0 endocardium … 1 epicardium) lies in the scar's band."""
    outer2 = frame.look_up(rays, OUTER)
    inner2 = np.maximum(inner2, 0)
    thick = np.maximum(outer2 - inner2, 1)
    share = (rays.rho2 - inner2) / thick
    band = np.minimum(share - frame.look_up(rays, SCAR_LOW), frame.look_up(rays, SCAR_HIGH) - share)
    millimetres = thick / np.maximum(2 * np.sqrt(np.maximum(outer2, 1)), BLUNT)
    wall = np.minimum(1 - share, band) * millimetres  # towards the cavity, blood will cover it
    return np.minimum(wall, below).astype(np.float32)


def _valves(frame: HeartFrame, rays: Rays, below: Values | float) -> Iterator[Layer]:
    """Mitral and tricuspid leaflets: a thin closed line in systole, out of sight when open."""
    if frame.phase % 1 > frame.shape.beat.end_systole + 0.02:
        return
    line = 0.9 - np.abs(below + np.float32(1.0))  # on the atrial side, so that it takes no volume
    mitral = _depth(frame.look_up(rays, INNER), rays)
    wall = _depth(frame.look_up(rays, OUTER), rays)
    tricuspid = np.minimum(_depth(frame.look_up(rays, RIGHT), rays), -wall)
    yield TISSUES.VALVE, np.minimum(line, np.maximum(mitral, tricuspid)).astype(np.float32)
