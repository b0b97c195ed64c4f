"""Where the heart lies in the patient, without labels: its centre from motion, its long axis from the short-axis stack.

Directions are LPS (PS3.3 C.7.6.2.1.1). The long axis of the left ventricle runs from the base to the apex: to the
left, to the front and to the feet, by roughly equal parts; patients differ by 20 to 30 degrees.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Float32
from scipy import ndimage

from cmr_lib import types

NOMINAL_AXIS = np.array([0.6, -0.6, -0.53])
NOMINAL_AXIS = NOMINAL_AXIS / np.linalg.norm(NOMINAL_AXIS)
LEFT = np.array([1.0, 0.0, 0.0])
BLUR_MM = 3.0  # of the motion map: noise and thin vessels out, walls in
WINDOW_MM = 40.0  # standard deviation of the window around the centre: half a heart
GRID_MM = 4.0  # fine enough for a centre
COIL_MM = 30.0  # brightness is levelled over this distance
LEFT_MM = 12.0  # the left ventricle lies to the left of the heart's centre
NEAR_MM = 32.0  # and about this near to it, one standard deviation
CAP_SHARE = 0.95  # motion beyond this quantile counts no more: a vigorous right ventricle shall not win
EDGE_SHARE = 0.97  # of the pixels that are no edge of the moving heart
DISC_MM = np.arange(12.0, 37.0, 3.0)  # radii of a left ventricle, end-systole to end-diastole
VOTE_BLUR_MM = 4.0
SEEK_MM = 16.0  # first search: the place with the most motion within about a ventricle

# Edge pixels: rows, columns, weight and the unit gradient (down, right).
Edges = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def motion_map(frames: Float32[np.ndarray, "phases rows cols"], blur_px: float) -> Float32[np.ndarray, "rows cols"]:
    """How much each pixel changes over the beat: the standard deviation in time, smoothed, in units of intensity."""
    return ndimage.gaussian_filter(frames.std(axis=0), blur_px, mode="nearest", truncate=2.5)


def to_patient(stack: types.Stack, index: int, row: float, col: float) -> Float[np.ndarray, "3"]:
    """The point in the patient (LPS, mm) of a pixel (row, col may be fractions) of a slice."""
    along_rows, along_cols = stack.spacing_mm
    return stack.origins_mm[index] + col * along_cols * stack.row_direction + row * along_rows * stack.col_direction


def to_pixel(stack: types.Stack, index: int, point_mm: Float[np.ndarray, "3"]) -> tuple[float, float]:
    """(row, col) on a slice of the point's foot on that plane."""
    offset = point_mm - stack.origins_mm[index]
    return (
        float(offset @ stack.col_direction / stack.spacing_mm[0]),
        float(offset @ stack.row_direction / stack.spacing_mm[1]),
    )


def _mean_shift(
    points: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], start: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3"]:
    """Weighted centre under a Gaussian window that follows it; 12 steps settle to a tenth of a mm."""
    centre = start
    for _ in range(12):
        near = weights * np.exp(-((points - centre) ** 2).sum(axis=1) / (2 * WINDOW_MM**2))
        centre = near @ points / near.sum()
    return centre


def _relative_motion(stack: types.Stack) -> tuple[Float32[np.ndarray, "slices rows cols"], int]:
    """Motion over the local brightness (a surface coil is no heart), on a grid of about 4 mm; and the step in pixels.

    The median brightness is added below the fraction, so that air and lung do not turn into motion.
    """
    side = min(stack.spacing_mm)
    step = max(1, round(GRID_MM / max(stack.spacing_mm)))
    maps = np.stack([motion_map(frames, BLUR_MM / side) for frames in stack.pixels])[:, ::step, ::step]
    mean = stack.pixels.mean(axis=1)[:, ::step, ::step]
    local = np.stack([ndimage.gaussian_filter(image, COIL_MM / (side * step), mode="nearest") for image in mean])
    floor = np.median(local, axis=(1, 2), keepdims=True)
    below = local + floor
    return np.divide(maps, below, out=np.zeros_like(maps), where=below > 0), step


def stack_centre(stack: types.Stack) -> Float[np.ndarray, "3"] | None:
    """Centre of the moving heart in one cine stack (LPS, mm); None where nothing moves.

    The place with the most motion in a ventricle-sized neighbourhood, refined by the mean of the motion in a
    heart-sized Gaussian window.
    """
    if stack.pixels.shape[1] < 2:
        return None
    weights, step = _relative_motion(stack)
    weights = weights.astype(np.float64)
    if not weights.max() > 0:
        return None
    seek = ndimage.gaussian_filter(weights.sum(axis=0), SEEK_MM / (step * min(stack.spacing_mm)), mode="constant")
    peak_row, peak_col = np.unravel_index(int(seek.argmax()), seek.shape)
    index, rows, cols = np.meshgrid(*(np.arange(size) for size in weights.shape), indexing="ij")
    points = (
        stack.origins_mm[index.ravel()]
        + np.outer(cols.ravel() * step * stack.spacing_mm[1], stack.row_direction)
        + np.outer(rows.ravel() * step * stack.spacing_mm[0], stack.col_direction)
    )
    middle = int(weights.sum(axis=(1, 2)).argmax())
    start = to_patient(stack, middle, float(peak_row) * step, float(peak_col) * step)
    return _mean_shift(points, weights.ravel(), start)


def _edges(frame: Float32[np.ndarray, "rows cols"], motion: Float32[np.ndarray, "rows cols"], side_mm: float) -> Edges:
    """The strongest moving edge pixels: rows, columns, weight and the unit gradient (down, right)."""
    down, right = np.gradient(ndimage.gaussian_filter(frame, 2.0 / side_mm))
    steep = np.hypot(down, right)
    weight = np.sqrt(steep * motion)
    rows, cols = np.nonzero(weight > np.quantile(weight, EDGE_SHARE))
    steep = steep[rows, cols]
    return rows, cols, weight[rows, cols], down[rows, cols] / steep, right[rows, cols] / steep


def _moving_edges(
    frames: Float32[np.ndarray, "phases rows cols"], near: Float[np.ndarray, "rows cols"], side_mm: float
) -> list[Edges]:
    """Edges of what moves, weighted by nearness, at end-diastole and at about end-systole."""
    motion = motion_map(frames, 2.0 / side_mm)
    motion = np.minimum(motion, np.quantile(motion, CAP_SHARE)) * near.astype(np.float32)
    return [_edges(frame, motion, side_mm) for frame in (frames[0], frames[round(0.35 * (len(frames) - 1))])]


def _roundness(edges: Iterable[Edges], shape: tuple[int, int], side_mm: float) -> Float[np.ndarray, "rows cols"]:
    """How much each pixel is the centre of a bright, moving disc of 12 to 36 mm radius.

    Moving edges vote up their gradient, as in the fast radial symmetry transform (Loy and Zelinsky 2003,
    doi 10.1109/TPAMI.2003.1217601); votes from one side only (a crescent) are taken off by their vector sum.
    """
    size = shape[0] * shape[1]
    votes = np.zeros((3, size))
    for rows, cols, weight, down, right in edges:
        for radius in DISC_MM / side_mm:
            row, col = np.rint(rows + radius * down).astype(int), np.rint(cols + radius * right).astype(int)
            inside = (row >= 0) & (row < shape[0]) & (col >= 0) & (col < shape[1])
            flat = row[inside] * shape[1] + col[inside]
            for layer, factor in enumerate((1.0, down, right)):
                votes[layer] += np.bincount(flat, (weight * factor / radius)[inside], minlength=size)
    total, down, right = (ndimage.gaussian_filter(layer.reshape(shape), VOTE_BLUR_MM / side_mm) for layer in votes)
    return total - np.hypot(down, right)


def _elongation(edges: Iterable[Edges], row: float, col: float, side_mm: float) -> float:
    """Whether the votes for a place come from all sides (0: a disc) or from two opposite ones (1: a tube)."""
    total, twofold = 0.0, 0.0 + 0.0j
    for rows, cols, weight, down, right in edges:
        twice = (right + 1j * down) ** 2
        for radius in DISC_MM / side_mm:
            away2 = (rows + radius * down - row) ** 2 + (cols + radius * right - col) ** 2
            votes = weight / radius * np.exp(-away2 * side_mm**2 / (2 * VOTE_BLUR_MM**2))
            total += float(votes.sum())
            twofold += complex((votes * twice).sum())
    return abs(twofold) / total if total > 0 else 0.0


def middle_slices(stack: types.Stack) -> list[int]:
    """Indices of up to three slices about the middle of a stack: no atria, no apex."""
    return sorted({round(share * (len(stack.pixels) - 1)) for share in (0.35, 0.5, 0.65)})


def find_ventricle(
    stack: types.Stack, near: Float[np.ndarray, "3"] | None = None
) -> tuple[Float[np.ndarray, "3"], float] | None:
    """A point on the long axis of the left ventricle, at the middle of a short-axis cine; None where nothing moves.

    The left ventricle is the round, bright, moving thing near the heart's centre (or near a given point, LPS, mm); the
    right one is a crescent. The number beside the point says how elongated the cavity is: 0 a disc, 1 a tube, which
    is what a plane along the axis shows.
    """
    if near is None:
        centre = stack_centre(stack)
        if centre is None:
            return None
        near = centre + LEFT_MM * axis_frame(towards_apex(stack.normal))[0]
    middle = middle_slices(stack)
    side, edges = min(stack.spacing_mm), []
    rows, cols = np.indices(stack.pixels.shape[2:])
    for index in middle:
        row, col = to_pixel(stack, index, near)
        nearness = np.exp(-((rows - row) ** 2 + (cols - col) ** 2) * side**2 / (2 * NEAR_MM**2))
        edges += _moving_edges(stack.pixels[index], nearness, side)
    peak = np.argmax(_roundness(edges, rows.shape, side))
    row, col = (float(place) for place in np.unravel_index(int(peak), rows.shape))
    return to_patient(stack, middle[len(middle) // 2], row, col), _elongation(edges, row, col, side)


def left_ventricle(stack: types.Stack) -> Float[np.ndarray, "3"] | None:
    """The point of `find_ventricle` alone (LPS, mm)."""
    found = find_ventricle(stack)
    return None if found is None else found[0]


def _cines(stacks: Iterable[types.Stack], view: types.View | None) -> list[types.Stack]:
    return [one for one in stacks if one.sequence == types.Sequence.CINE and (view is None or one.view == view)]


def heart_centre(stacks: Sequence[types.Stack]) -> Float[np.ndarray, "3"] | None:
    """The heart's centre (LPS, mm): of the largest short-axis cine, else the mean over other cines, else None."""
    for stack in sorted(_cines(stacks, types.View.SAX), key=lambda one: -len(one.pixels)):
        if (centre := stack_centre(stack)) is not None:
            return centre
    centres = [centre for stack in _cines(stacks, None) if (centre := stack_centre(stack)) is not None]
    return np.mean(centres, axis=0) if centres else None


def towards_apex(normal: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """The normal with the sign that points from base to apex (left, front, feet)."""
    return normal if normal @ NOMINAL_AXIS >= 0 else -normal


def long_axis(stacks: Iterable[types.Stack]) -> Float[np.ndarray, "3"] | None:
    """Unit vector from base to apex: the normal of the largest short-axis cine stack; None if there is none."""
    short = sorted(_cines(stacks, types.View.SAX), key=lambda one: -len(one.pixels))
    return towards_apex(short[0].normal) if short else None


def axis_frame(axis: Float[np.ndarray, "3"]) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Two unit vectors across the long axis: towards the patient's left (the lateral wall) and the anterior wall."""
    lateral = LEFT - (LEFT @ axis) * axis
    lateral = lateral / np.linalg.norm(lateral)
    return lateral, np.cross(axis, lateral)
