"""Stacks into clips: the heart in the middle, one orientation, one pixel size, one number of phases, uint8.

No labels are used. Every crop is taken about one point in the patient, beside the left ventricle, projected onto every
plane: so the ventricle lies in the same place of every study's short axis, with the whole of its lateral wall.

Orientation, the same for every vendor and never mirrored:
- short axis: right on the image = the patient's left (radiological convention), seen from the apex;
- every other plane: the apex of the left ventricle is at the top; right on the image = the side of the inferolateral
  wall (4-chamber: the patient's left, so the right ventricle is on the left of the image; 2-chamber: the inferior
  wall; 3-chamber: the inferolateral wall).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy import ndimage

from cmr_lib import types
from cmr_lib.ingest import heart, septum
from cmr_lib.ingest.phases import beat_ms, resample_phases
from cmr_lib.params import ClipShape

WINDOW = (1.0, 99.5)  # percentiles of the middle of the stack that become 0 and 255
MIDDLE = 0.4  # radius of "the middle", as a share of the clip's side
FLAT = 0.7  # |cosine| between normal and long axis above which a plane counts as short-axis
SYSTOLE = (0.15, 0.65)  # end-systole lies in this share of the RR interval, or is unclear
CLEAR = 1.3  # the frame that differs most from end-diastole differs this many times more than the average one
BESIDE_MM = 18.0  # the middle of both ventricles lies about this far to the patient's right of the left one's axis
INFEROLATERAL = np.deg2rad(-55.0)  # direction across the long axis, from lateral (0) towards anterior (90)

Direction = Float[np.ndarray, "3"]
Cropped = Float32[np.ndarray, "slices phases size size"]


@dataclass(frozen=True, eq=False)
class PreparedClip:
    """One slice of one stack, ready for the store."""

    frames: UInt8[np.ndarray, "frames size size"]
    view: types.View
    sequence: types.Sequence
    slice_number: int  # within its stack
    position: float  # short axis: 0 base … 1 apex; other planes 0.5
    phase_of_es: float  # end-systole as a share of the RR interval; NaN if unclear or not cine
    spacing_mm: float
    centred: bool = True  # the heart was found, and its foot lies on the image
    confidence: float = float("nan")  # of the view, 0 to 1, where the stack carries one


# --- orientation and position -----------------------------------------------------------------------------------
def image_axes(normal: Direction, axis: Direction) -> tuple[Direction, Direction]:
    """Unit vectors in the plane along increasing column and increasing row of the clip (see the module's text)."""
    lateral, anterior = heart.axis_frame(axis)
    if abs(float(normal @ axis)) > FLAT:
        right = heart.LEFT - (heart.LEFT @ normal) * normal
        right = right / np.linalg.norm(right)
        towards_base = -normal if normal @ axis > 0 else normal
        return right, np.cross(towards_base, right)
    down = -(axis - (axis @ normal) * normal)
    down = down / np.linalg.norm(down)
    right = np.cross(down, normal)
    side = np.cos(INFEROLATERAL) * lateral + np.sin(INFEROLATERAL) * anterior
    return (right if right @ side >= 0 else -right), down


def positions(stacks: Sequence[types.Stack], axis: Direction) -> list[Float[np.ndarray, " slices"]]:
    """Place of every slice between base (0) and apex (1), for each stack; 0.5 for planes that are not short-axis.

    Base and apex are the first and last slice of all short-axis cines together, so that the same place means the same
    anatomy in late enhancement, which may cover less or more (then it is clipped to 0 … 1).
    """
    along = [stack.origins_mm @ axis for stack in stacks]
    short = [place for stack, place in zip(stacks, along, strict=True) if stack.view == types.View.SAX]
    cine = [
        place
        for stack, place in zip(stacks, along, strict=True)
        if stack.view == types.View.SAX and stack.sequence == types.Sequence.CINE
    ]
    extent = np.concatenate(cine or short) if short else np.zeros(1)
    low, high = float(extent.min()), float(extent.max())
    return [
        np.clip((place - low) / (high - low), 0, 1)
        if stack.view == types.View.SAX and high > low
        else np.full(len(place), 0.5)
        for stack, place in zip(stacks, along, strict=True)
    ]


def crop_centre(stacks: Sequence[types.Stack]) -> Direction | None:
    """The point that crops are taken about (LPS, mm); None where nothing moves.

    A fixed step from the left ventricle, where the largest short-axis cine clearly shows one, to the patient's right.
    The centre of motion alone, which stands in otherwise, wanders: in a heart that hardly moves it lies on the left
    ventricle, in a vigorous one on the septum, and then the crop cuts the lateral wall.
    """
    short = [stack for stack in stacks if (stack.view, stack.sequence) == (types.View.SAX, types.Sequence.CINE)]
    seen = septum.look_at(max(short, key=lambda stack: len(stack.pixels))) if short else None
    if seen is None or not septum.is_usual(seen):
        return heart.heart_centre(stacks)
    axis = heart.long_axis(stacks)
    return seen.left_ventricle - BESIDE_MM * heart.axis_frame(axis)[0]


def _middle_of(stack: types.Stack, index: int) -> Direction:
    rows, cols = stack.pixels.shape[2:]
    return heart.to_patient(stack, index, (rows - 1) / 2, (cols - 1) / 2)


def _shows(stack: types.Stack, index: int, centre: Direction | None) -> bool:
    """Whether the heart's centre is known and its foot lies on the slice."""
    if centre is None:
        return False
    row, col = heart.to_pixel(stack, index, centre)
    rows, cols = stack.pixels.shape[2:]
    return 0 <= row <= rows - 1 and 0 <= col <= cols - 1


def _centre_on(stack: types.Stack, index: int, centre: Direction | None) -> Direction:
    """The heart's centre on a slice, or the image's where the heart is unknown or its foot falls outside."""
    if centre is None or not _shows(stack, index, centre):
        return _middle_of(stack, index)
    return heart.to_patient(stack, index, *heart.to_pixel(stack, index, centre))


# --- resampling -------------------------------------------------------------------------------------------------
def crop_slice(
    stack: types.Stack, index: int, centre: Direction, axes: tuple[Direction, Direction], shape: ClipShape
) -> Float32[np.ndarray, "phases size size"]:
    """One slice's frames on a square grid about `centre` (a point on the plane), linear interpolation, 0 outside.

    Where the grid is coarser than the image, a Gaussian of half the excess keeps fine detail from folding over.
    """
    right, down = axes
    sides = np.array(stack.spacing_mm)
    basis = np.array([[down @ stack.col_direction, right @ stack.col_direction],
                      [down @ stack.row_direction, right @ stack.row_direction]])  # fmt: skip
    matrix = basis * shape.spacing_mm / sides[:, None]
    offset = np.array(heart.to_pixel(stack, index, centre)) - matrix @ np.full(2, (shape.size_px - 1) / 2)
    blur = np.maximum(0.0, (shape.spacing_mm / sides - 1) / 2)
    frames = np.empty((stack.pixels.shape[1], shape.size_px, shape.size_px), dtype=np.float32)
    for source, target in zip(stack.pixels[index], frames, strict=True):
        smooth = ndimage.gaussian_filter(source, blur) if blur.max() > 0.2 else source
        ndimage.affine_transform(smooth, matrix, offset, output=target, output_shape=target.shape, order=1)
    return frames


def _even_phases(stack: types.Stack, index: int, frames: Float32[np.ndarray, "p h w"], count: int) -> np.ndarray:
    """Cine frames at phases k / count of the slice's own RR interval."""
    times = stack.trigger_ms[index]
    header = float(stack.facts.get("rr_ms", float("nan")))
    return resample_phases(frames, times, beat_ms(times, header), count)


def to_uint8(cropped: Cropped) -> UInt8[np.ndarray, "slices phases size size"]:
    """The stack's grey values between two percentiles of its middle, as 0 … 255; a flat stack becomes 0."""
    size = cropped.shape[-1]
    rows, cols = np.indices((size, size)) - (size - 1) / 2
    middle = cropped[:, :, np.hypot(rows, cols) < MIDDLE * size]
    low, high = np.percentile(middle, WINDOW)
    scale = np.float32(255 / (high - low)) if high > low else np.float32(0)
    return np.clip(np.rint((cropped - np.float32(low)) * scale), 0, 255).astype(np.uint8)


# --- end-systole ------------------------------------------------------------------------------------------------
def phase_of_end_systole(cropped: Cropped) -> float:
    """Share of the RR interval at which the heart differs most from its state at the R wave; NaN if unclear.

    `cropped` has evenly spread phases, the first at the R wave (end-diastole). The place is refined by a parabola
    through the three largest neighbours.
    """
    count, size = cropped.shape[1], cropped.shape[-1]
    if count < 4:
        return float("nan")
    rows, cols = np.indices((size, size)) - (size - 1) / 2
    middle = cropped[:, :, np.hypot(rows, cols) < MIDDLE * size]
    differs = np.abs(middle - middle[:, :1]).mean(axis=(0, 2))
    peak = int(differs.argmax())
    if not differs.max() > CLEAR * differs.mean():
        return float("nan")
    before, at, after = (float(differs[(peak + step) % count]) for step in (-1, 0, 1))
    bend = before - 2 * at + after
    phase = (peak + (0.5 * (before - after) / bend if bend < 0 else 0.0)) / count
    return phase if SYSTOLE[0] <= phase <= SYSTOLE[1] else float("nan")


# --- clips ------------------------------------------------------------------------------------------------------
def crop_stack(stack: types.Stack, centre: Direction | None, axis: Direction, shape: ClipShape) -> Cropped:
    """All slices of a stack, cropped about the heart and, if cine, at evenly spread phases; grey values unchanged."""
    axes = image_axes(stack.normal, axis)
    slices = []
    for index in range(len(stack.pixels)):
        frames = crop_slice(stack, index, _centre_on(stack, index, centre), axes, shape)
        if stack.sequence == types.Sequence.CINE:
            frames = _even_phases(stack, index, frames, shape.phases)
        slices.append(frames)
    return np.stack(slices)


def _confidence(stack: types.Stack) -> float:
    """How sure the view is, where the stack says it; NaN where it does not."""
    return float(getattr(stack, "confidence", stack.facts.get("confidence", float("nan"))))


def _order(stack: types.Stack) -> tuple:
    """Cine before late enhancement, short axis before long, larger before smaller: a study's order of clips."""
    views = list(types.View)
    return stack.sequence.value, views.index(stack.view), -len(stack.pixels), stack.series_keys


def clips_of(stacks: Sequence[types.Stack], shape: ClipShape) -> list[PreparedClip]:
    """Every slice of every stack of one study as a clip, short-axis cine first, slices from base to apex."""
    stacks = sorted(stacks, key=_order)
    found = heart.long_axis(stacks)
    axis = heart.NOMINAL_AXIS if found is None else found
    centre = crop_centre(stacks)
    clips = []
    for stack, places in zip(stacks, positions(stacks, axis), strict=True):
        cropped = crop_stack(stack, centre, axis, shape)
        systole = phase_of_end_systole(cropped) if stack.sequence == types.Sequence.CINE else float("nan")
        for index, (frames, place) in enumerate(zip(to_uint8(cropped), places, strict=True)):
            clip = PreparedClip(frames, stack.view, stack.sequence, index, float(place), systole, shape.spacing_mm)
            clips.append(replace(clip, centred=_shows(stack, index, centre), confidence=_confidence(stack)))
    return clips
