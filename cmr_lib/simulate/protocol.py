"""Which planes a study is made of, how the patient breathed, and what the scanner was set to."""

from dataclasses import dataclass

import numpy as np

from cmr_lib import project
from cmr_lib.params import Simulate
from cmr_lib.simulate.anatomy import HeartShape
from cmr_lib.simulate.latents import Latents
from cmr_lib.simulate.plane import Plane, Vector, centred_plane, unit
from cmr_lib.simulate.signal import Contrast, nulling_time
from cmr_lib.simulate.vendors import VENDORS, Vendor
from cmr_lib.types import Sequence, View

LAX_TURN = {View.LAX_4CH: -20.0, View.LAX_2CH: 75.0}  # degrees from the septum's middle, about the long axis
LGE_PHASE = 0.75  # mid-diastole
SMALLEST_FOV_MM, LARGEST_FOV_MM = 140.0, 500.0


@dataclass(frozen=True)
class Shot:
    """One slice to be imaged: a plane, its phases of RR, and what moved since the last breath-hold."""

    view: View
    sequence: Sequence
    number: int  # within its stack, in the order of acquisition
    plane: Plane
    phases: tuple[float, ...]
    offset_mm: Vector
    rr_ms: float


@dataclass(frozen=True)
class Exam:
    """Scanner settings of one study, drawn without looking at the diagnosis."""

    vendor: Vendor
    model: str
    field_t: float
    cine: Contrast
    late: Contrast
    snr: float
    kept: tuple[float, float]  # share of k-space that was measured, along rows and columns
    coil: Vector  # change of brightness (log) per metre, patient coordinates
    coil_curve: float  # and per metre squared
    gain: float


def check_settings(settings: Simulate) -> None:
    """Raise ValueError, naming the parameter, for a hospital that cannot be built."""
    fov = settings.image.matrix_px * settings.image.spacing_mm
    if not SMALLEST_FOV_MM <= fov <= LARGEST_FOV_MM:
        raise ValueError(
            f"image.matrix_px × image.spacing_mm is {fov:g} mm; a heart needs {SMALLEST_FOV_MM:g} to "
            f"{LARGEST_FOV_MM:g} mm."
        )
    if settings.scanner.snr[0] > settings.scanner.snr[1]:
        raise ValueError(f"scanner.snr must be [lowest, highest], got {settings.scanner.snr}.")
    if settings.image.sax_slices * settings.image.thickness_mm > 160:
        raise ValueError(
            f"image.sax_slices × image.thickness_mm is {settings.image.sax_slices * settings.image.thickness_mm:g} mm; "
            "no heart is longer than 160 mm."
        )


def draw_exam(settings: Simulate, latents: Latents) -> Exam:
    """Vendor, field and protocol of one study."""
    random = project.rng(settings.seed, "scanner", latents.patient, latents.study)
    vendor = VENDORS[int(random.choice(len(VENDORS), p=[0.45, 0.3, 0.25]))]
    field = 3.0 if random.random() < 0.3 else 1.5
    rr = 60000 / latents.heart_rate
    repetition = float(random.uniform(2.9, 3.8))
    flip = float(random.uniform(38, 50) if field > 2 else random.uniform(48, 62))
    inversion = nulling_time(430.0, rr) + float(random.normal(0, 9))
    cine = Contrast(repetition, repetition * 0.45, flip, 0.0, rr, field, float(random.uniform(1.05, 1.25)))
    late = Contrast(repetition * 1.9, repetition * 0.8, 25.0, inversion, rr, field, 1.0)
    return Exam(
        vendor=vendor,
        model=vendor.models[int(field > 2)],
        field_t=field,
        cine=cine,
        late=late,
        snr=float(random.uniform(*settings.scanner.snr)),
        kept=(float(random.uniform(0.82, 1.0)), float(random.uniform(0.68, 0.95))),
        coil=random.normal([0.5, -3.0, 0.0], [1.2, 1.2, 1.0]),
        coil_curve=float(random.uniform(-9, 4)),
        gain=float(random.uniform(0.8, 1.25)),
    )


def lax_plane(shape: HeartShape, view: View, spacing_mm: float, matrix: int, thickness_mm: float) -> Plane:
    """A long-axis plane through the apex, which points up; raises KeyError for a view without a turn."""
    x, y, z = shape.pose.axes
    turn = np.deg2rad(LAX_TURN[view])
    across = unit(np.cos(turn) * x + np.sin(turn) * y)
    row = -across if view is View.LAX_4CH else across  # four chambers: the left ventricle on the right of the image
    centre = shape.pose.origin_mm + 0.36 * shape.apex * z
    if view is View.LAX_4CH:
        centre = centre + 10 * across
    return centred_plane(centre, row, -z, spacing_mm, matrix, thickness_mm)


def sax_plane(shape: HeartShape, height_mm: float, spacing_mm: float, matrix: int, thickness_mm: float) -> Plane:
    """A short-axis plane `height_mm` below the end-diastolic valve plane: anterior up, right ventricle left."""
    x, y, z = shape.pose.axes
    centre = shape.pose.origin_mm + height_mm * z + 9 * x
    return centred_plane(centre, -x, -y, spacing_mm, matrix, thickness_mm)


def sax_heights(shape: HeartShape, count: int, base_mm: float) -> list[float]:
    """Heights of `count` short-axis slices from `base_mm` below the valve to just above the apex, half-mm steps."""
    step = np.floor(2 * (shape.apex - 9 - base_mm) / max(count - 1, 1)) / 2
    return [float(base_mm + step * index) for index in range(count)]


def plan_study(settings: Simulate, latents: Latents, shape: HeartShape) -> list[Shot]:
    """All slices of one study: short-axis cine, four- and two-chamber cine, short-axis late enhancement."""
    random = project.rng(settings.seed, "protocol", latents.patient, latents.study)
    image = settings.image
    size = (image.spacing_mm, image.matrix_px, image.thickness_mm)
    phases = tuple(k / image.phases for k in range(image.phases))
    aim = random.normal(0, 5, 3)  # no technologist centres perfectly
    base = float(np.clip(random.normal(5, 2.5), 0, 11))
    planned: list[tuple[View, Sequence, int, Plane, tuple[float, ...]]] = []
    for number, height in enumerate(sax_heights(shape, image.sax_slices, base)):
        planned.append((View.SAX, Sequence.CINE, number, sax_plane(shape, height, *size), phases))
    for view in LAX_TURN:
        planned.append((view, Sequence.CINE, 0, lax_plane(shape, view, *size), phases))
    for number, height in enumerate(sax_heights(shape, image.lge_slices, base + 5)):
        planned.append((View.SAX, Sequence.LGE, number, sax_plane(shape, height, *size), (LGE_PHASE,)))
    shots = []
    for view, sequence, number, plane, times in planned:
        breath = settings.scanner.shift_mm * random.normal(0, 1) * np.array([0.15, 0.35, 0.92])  # mostly head to foot
        rr = 60000 / latents.heart_rate * float(np.clip(random.normal(1, 0.035), 0.85, 1.15))
        moved = plane.shifted(0.0, aim)
        shots.append(Shot(view, sequence, number, moved, times, breath, rr))
    return shots
