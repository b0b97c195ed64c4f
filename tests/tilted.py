"""Phantom studies whose planes were not put where the textbook says: stacks with a known view, scanned for tests.

The planes of the protocol are turned about the long axis and tilted out of it, each by its own angle, and scanned
through the simulator's own renderer and scanner. What a plane shows is known from how it was made.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cmr_lib import params, project
from cmr_lib.simulate.plane import Plane, centred_plane, unit
from cmr_lib.simulate.protocol import Exam, Shot, draw_exam, lax_plane, sax_heights, sax_plane
from cmr_lib.simulate.scanner import image_shot
from cmr_lib.simulate.study import phantom_of
from cmr_lib.types import Sequence, Stack, View

ROOT = Path(__file__).resolve().parents[1]
LONG = (View.LAX_4CH, View.LAX_2CH, View.LAX_3CH)
RIGHT = (View.RV_2CH, View.RVOT)
PIXELS, SPACING_MM, PHASES, SLICES, THICK_MM = 72, 3.0, 8, 6, 8.0


@dataclass(frozen=True)
class Slant:
    """How far a plane is off, in degrees: turned about the long axis, and tilted out of it."""

    turn: float = 0.0
    tilt: float = 0.0


STRAIGHT = Slant()


def rotated(plane: Plane, degrees: float, about: np.ndarray, through: np.ndarray) -> Plane:
    """The plane turned about a line."""
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * unit(about))
    return replace(
        plane,
        origin_mm=through + turn.apply(plane.origin_mm - through),
        row_dir=turn.apply(plane.row_dir),
        col_dir=turn.apply(plane.col_dir),
    )


@lru_cache(maxsize=64)
def settings(seed: int) -> params.Simulate:
    values = params.read_yaml(ROOT / "params/smoke/simulate.yaml")
    return params.check("simulate", values | {"seed": seed, "out_dir": "unused", "data_dir": "unused"})


class Patient:
    """One phantom on one scanner: asks for stacks of planes, however slanted."""

    def __init__(self, seed: int, number: int) -> None:
        self.phantom = phantom_of(settings(seed), number)
        self.exam: Exam = draw_exam(settings(seed), self.phantom.latents)
        self.random = project.rng(seed, "slanted planes", number)
        self.shape = self.phantom.shape
        self.x, self.y, self.z = self.shape.pose.axes
        self.centre = self.shape.pose.origin_mm + 0.4 * self.shape.apex * self.z

    def _stack(self, view: View, planes: list[Plane], sequence: Sequence = Sequence.CINE) -> Stack:
        phases = tuple(k / PHASES for k in range(PHASES)) if sequence is Sequence.CINE else (0.75,)
        rr = 60000 / self.phantom.latents.heart_rate
        frames = []
        for number, plane in enumerate(planes):
            breath = 2.0 * self.random.normal(0, 1) * np.array([0.15, 0.35, 0.92])
            shot = Shot(view, sequence, number, plane, phases, breath, rr)
            frames.append(image_shot(self.phantom, shot, self.exam, self.random))
        first = planes[0]
        return Stack(
            sequence=sequence,
            view=View.UNKNOWN,
            pixels=np.stack(frames),
            origins_mm=np.stack([plane.origin_mm for plane in planes]),
            row_direction=first.row_dir,
            col_direction=first.col_dir,
            spacing_mm=(first.spacing_mm, first.spacing_mm),
            trigger_ms=np.tile(np.array(phases) * rr, (len(planes), 1)),
            facts={"rr_ms": rr},
        )

    def short_axis(self, tilt: float = 0.0, towards: float = 0.0, slices: int = SLICES) -> Stack:
        """The short-axis cine, all of it tilted about a line across the heart at an angle `towards`."""
        across = np.cos(np.deg2rad(towards)) * self.x + np.sin(np.deg2rad(towards)) * self.y
        heights = sax_heights(self.shape, slices, 5.0)
        planes = [sax_plane(self.shape, height, SPACING_MM, PIXELS, THICK_MM) for height in heights]
        return self._stack(View.SAX, [rotated(plane, tilt, across, self.centre) for plane in planes])

    def long_axis(self, view: View, slant: Slant = STRAIGHT, sequence: Sequence = Sequence.CINE) -> Stack:
        """A plane through the long axis of the left ventricle."""
        plane = lax_plane(self.shape, view, SPACING_MM, PIXELS, THICK_MM)
        return self._slanted(view, plane, slant, self.centre, sequence)

    def slab(self, view: View, offset_mm: float) -> Stack:
        """A plane parallel to a long-axis view, beside it."""
        plane = lax_plane(self.shape, view, SPACING_MM, PIXELS, THICK_MM).shifted(offset_mm)
        return self._slanted(view, plane, STRAIGHT, self.centre, Sequence.CINE)

    def right(self, view: View, slant: Slant = STRAIGHT) -> Stack:
        """A plane of the right ventricle: along its long axis beside the septum, or through body and outflow tract."""
        size, origin = self.shape.radius / 25, self.shape.pose.origin_mm
        wall = self.shape.radius + 12.0
        if view is View.RV_2CH:
            middle, apex = (wall + 16, 0.0, 20.0), (0.35 * wall, 0.0, 0.95 * self.shape.apex)
            points = [middle, apex, (wall + 16, 30.0, 20.0)]
        else:
            points = [(wall + 18, -10.0, 35.0), (17 * size, 45 * size, 6.0), (-8 * size, 44 * size, -60.0)]
        first, second, third = (origin + np.array(point) @ self.shape.pose.axes for point in points)
        normal = unit(np.cross(second - first, third - first))
        row = unit(self.z - (self.z @ normal) * normal)
        plane = centred_plane((first + second) / 2, row, np.cross(normal, row), SPACING_MM, PIXELS, THICK_MM)
        return self._slanted(view, plane, slant, first, Sequence.CINE)

    def _slanted(self, view: View, plane: Plane, slant: Slant, through: np.ndarray, sequence: Sequence) -> Stack:
        turned = rotated(plane, slant.turn, self.z, through)
        across = unit(np.cross(turned.normal, self.z))
        return self._stack(view, [rotated(turned, slant.tilt, across, through)], sequence)


def moved(stack: Stack, turn: Rotation) -> Stack:
    """The stack as it would be if the whole patient were turned under the scanner."""
    return replace(
        stack,
        origins_mm=turn.apply(stack.origins_mm),
        row_direction=turn.apply(stack.row_direction),
        col_direction=turn.apply(stack.col_direction),
    )
