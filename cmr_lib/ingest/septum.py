"""What the pixels of a short-axis cine say: where the left ventricle is, how round it is, and where the right one lies.

Without labels. The image is looked at in polar coordinates about the left ventricle: its blood is bright, its wall
dark all round, and beyond the wall there is bright and moving blood on one side only, that of the septum.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from scipy import ndimage

from cmr_lib.ingest import heart
from cmr_lib.types import Stack

ANGLES = np.deg2rad(np.arange(0.0, 360.0, 5.0))  # from lateral (0) towards anterior (90), as heart.axis_frame
RADII_MM = np.arange(0.0, 72.0, 2.0)
RING = (RADII_MM > 14.0) & (RADII_MM < 44.0)
POOL_MM = 8.0  # this near to the centre there is nothing but the ventricle's blood
WALL_MM, REACH_MM = 6.0, 45.0  # the other ventricle's blood lies this far beyond the endocardium
CLOSE_MM = 90.0  # half the side of what is looked at
EDGE_BLUR_MM, MOTION_BLUR_MM = 1.5, 6.0
BRIGHT = 0.3  # share of the step from wall to blood above which a pixel may be blood
LIKELY_DEG = 60.0  # scatter of the septum's direction about the patient's right: keeps a bright effusion from winning
STEPS = 5  # of the mean shift: settles to a degree
CLEAR = 0.3  # cosine × certainty × roundness of a left ventricle whose septum clearly lies to the right
OTHER_MM = 45.0  # from the middle of one ventricle to the middle of the other
FURTHER_MM = (45.0, 75.0)  # from what moves most, where that is the far side of the heart
SIDEWAYS_DEG = 45.0  # the left ventricle lies this near to straight left of the right one, or of fluid about it

Polar = Float[np.ndarray, "angles radii"]


@dataclass(frozen=True)
class ShortAxis:
    """What a short-axis cine shows; directions and points are LPS, mm."""

    left_ventricle: Float[np.ndarray, "3"]  # a point on its long axis
    septum: Float[np.ndarray, "3"]  # unit vector across the axis, from the left to the right ventricle
    certainty: float  # 0: bright blood all round, 1: in one direction only
    elongation: float  # of the cavity: 0 a disc, 1 a tube


def _window(stack: Stack, index: int, point: Float[np.ndarray, "3"]) -> tuple[slice, slice]:
    """Rows and columns of a slice within CLOSE_MM of a point."""
    spans = []
    places = heart.to_pixel(stack, index, point)
    for place, side, size in zip(places, stack.spacing_mm, stack.pixels.shape[2:], strict=True):
        start = int(np.clip(place - CLOSE_MM / side, 0, size - 8))
        spans.append(slice(start, max(start + 8, min(size, int(place + CLOSE_MM / side) + 1))))
    return spans[0], spans[1]


def _polar(image: Float32[np.ndarray, "rows cols"], stack: Stack, centre: tuple[float, float]) -> Polar:
    """The image along rays from a pixel, at ANGLES × RADII_MM."""
    lateral, anterior = heart.axis_frame(heart.towards_apex(stack.normal))
    rays = np.outer(np.cos(ANGLES), lateral) + np.outer(np.sin(ANGLES), anterior)
    down, right = rays @ stack.col_direction / stack.spacing_mm[0], rays @ stack.row_direction / stack.spacing_mm[1]
    rows, cols = centre[0] + np.outer(down, RADII_MM), centre[1] + np.outer(right, RADII_MM)
    return ndimage.map_coordinates(image, [rows, cols], order=1, mode="nearest")


def _bloodness(grey: Polar) -> Polar:
    """0 at the brightness of the wall, 1 at that of the left ventricle's blood, or beyond."""
    blood = np.median(grey[:, RADII_MM < POOL_MM])
    wall = np.median(grey[:, RING].min(axis=1))
    return np.clip((grey - wall) / max(float(blood - wall), 1e-6), 0.0, 1.0)


def _endocardium(blood: Polar) -> Float[np.ndarray, " angles"]:
    """Where each ray first leaves the blood, mm; POOL_MM at least, for a papillary muscle may stand in the middle."""
    outside = (blood < 0.5) & (RADII_MM >= POOL_MM)
    return np.where(outside.any(axis=1), RADII_MM[outside.argmax(axis=1)], RADII_MM[-1])


def _lobe(weight: Float[np.ndarray, " angles"]) -> complex:
    """The mean direction of the lobe of some weights that lies about the patient's right; length 0 … 1.

    What is likely chooses the lobe and does not pull its mean: the window follows the mean, as in a mean shift.
    """
    centre, mean = np.pi, 0.0 + 0.0j
    for _ in range(STEPS):
        away = np.angle(np.exp(1j * (ANGLES - centre)))
        near = weight * np.exp(-0.5 * (np.rad2deg(away) / LIKELY_DEG) ** 2)
        mean = complex((near * np.exp(1j * ANGLES)).sum() / max(float(near.sum()), 1e-12))
        centre = float(np.angle(mean)) if mean else centre
    return mean


def _other_blood(stack: Stack, index: int, point: Float[np.ndarray, "3"]) -> complex:
    """The mean direction of moving blood beyond the wall in one slice, by ANGLES; length 0 … 1."""
    rows, cols = _window(stack, index, point)
    frames, side = stack.pixels[index][:, rows, cols], min(stack.spacing_mm)
    row, col = heart.to_pixel(stack, index, point)
    centre = row - rows.start, col - cols.start
    blood = _bloodness(_polar(ndimage.gaussian_filter(frames[0], EDGE_BLUR_MM / side), stack, centre))
    motion = _polar(heart.motion_map(frames, MOTION_BLUR_MM / side), stack, centre)
    radius = _endocardium(blood)
    beyond = RADII_MM - np.clip(np.median(radius), 10.0, RADII_MM[-1] - REACH_MM)
    shell = (beyond > WALL_MM) & (beyond < REACH_MM)
    return _lobe((np.clip((blood - BRIGHT) / (1 - BRIGHT), 0, 1) * motion * shell).sum(axis=1))


def _seen_from(stack: Stack, point: Float[np.ndarray, "3"], elongation: float) -> ShortAxis:
    """The septum as seen from a point in the left ventricle, over the middle slices."""
    direction = complex(np.mean([_other_blood(stack, index, point) for index in heart.middle_slices(stack)]))
    lateral, anterior = heart.axis_frame(heart.towards_apex(stack.normal))
    septum = direction.real * lateral + direction.imag * anterior
    length = float(np.linalg.norm(septum))
    return ShortAxis(point, septum / length if length > 1e-9 else -lateral, length, elongation)


def _usual(seen: ShortAxis) -> float:
    """How much it looks like a left ventricle: round, the other one's blood in one direction, and that to the right."""
    return -float(seen.septum @ heart.LEFT) * seen.certainty * (1 - seen.elongation)


def is_usual(seen: ShortAxis) -> bool:
    """Whether it is clear: a round cavity, blood beyond its wall in one direction, and that to the patient's right."""
    return _usual(seen) > CLEAR


def _is_left_of(point: Float[np.ndarray, "3"], other: Float[np.ndarray, "3"], lateral: Float[np.ndarray, "3"]) -> bool:
    """Whether a point lies to the left of another: what lies above it is a great vessel, not the other ventricle."""
    way = point - other
    return bool(way @ lateral > np.cos(np.deg2rad(SIDEWAYS_DEG)) * np.linalg.norm(way))


def look_at(stack: Stack) -> ShortAxis | None:
    """What a cine shows if it is a short axis; None where nothing moves.

    Unless it is round and the other ventricle clearly lies to the patient's right, what was found may be the right
    ventricle, or fluid about it: then the search is made again further and further to the left, and the most usual
    finding to the left of the first is kept. (A heart that lies on the right of the chest is beyond this: its views
    come out with low confidence.)
    """
    found = heart.find_ventricle(stack)
    if found is None:
        return None
    best = first = _seen_from(stack, *found)
    lateral, _ = heart.axis_frame(heart.towards_apex(stack.normal))
    starts = [(best.left_ventricle, OTHER_MM), *((heart.stack_centre(stack), step) for step in FURTHER_MM)]
    for start, step in starts:
        if is_usual(best) or start is None:
            break
        again = heart.find_ventricle(stack, near=start + step * lateral)
        if again is not None and _is_left_of(again[0], first.left_ventricle, lateral):
            best = max(best, _seen_from(stack, *again), key=_usual)
    return best
