"""The heart as surfaces in space, for drawing: coordinates in mm in the heart frame."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cmr_lib.simulate.heart import INNER, OUTER, RIGHT_WALL, HeartFrame
from cmr_lib.simulate.phantom import Phantom

Lines = Float[np.ndarray, "along around"]
MIN_CRESCENT_MM = 1.5  # where the right ventricle is thinner there is nothing to draw


@dataclass(frozen=True)
class Surface:
    """A named sheet: coordinates on an (along, around) grid; NaN where it is open."""

    name: str
    x: Lines
    y: Lines
    z: Lines


def _shell(name: str, frame: HeartFrame, channel: int, hidden: Float[np.ndarray, "levels angles"]) -> Surface:
    """A sheet about the long axis from a channel of the frame's table; `hidden` (squared radius) covers it."""
    squared = frame.table[channel].astype(np.float64)
    radius = np.sqrt(np.where(squared > hidden, squared, np.nan))
    shape = frame.shape
    z = shape.apex - (shape.apex - shape.levels) * frame.stretch
    angles = np.linspace(-np.pi, np.pi, squared.shape[1])[None, :]
    return Surface(name, radius * np.cos(angles), radius * np.sin(angles), z + 0 * angles)


def _atrium(name: str, frame: HeartFrame, box: tuple[float, ...]) -> Surface:
    """An atrium below its roof, open at the valve plane (`layers._ellipsoid`)."""
    x, y, wide, deep, roof = box
    middle, half = (roof + frame.base) / 2 + 5.0, (frame.base - roof) / 2 + 5.0
    turn, height = np.linspace(0, 2 * np.pi, 41)[None, :], np.linspace(-1, 1, 25)[:, None]
    ring = np.sqrt(1 - height**2)
    z = middle + half * height + 0 * turn
    z[z > frame.base] = np.nan
    return Surface(name, x + wide * ring * np.cos(turn), y + deep * ring * np.sin(turn), z)


def heart_surfaces(phantom: Phantom, phase: float) -> list[Surface]:
    """Cavity and outer wall of the left ventricle, the right ventricle and both atria at a phase of RR."""
    frame = phantom.frame(phase)
    outer = frame.table[OUTER].astype(np.float64)
    covered = (np.sqrt(np.maximum(outer, 0)) + MIN_CRESCENT_MM) ** 2
    return [
        _shell("left ventricle, cavity", frame, INNER, np.zeros_like(outer)),
        _shell("left ventricle, wall", frame, OUTER, np.zeros_like(outer)),
        _shell("right ventricle", frame, RIGHT_WALL, covered),
        _atrium("left atrium", frame, frame.shape.left_atrium),
        _atrium("right atrium", frame, frame.shape.right_atrium),
    ]
