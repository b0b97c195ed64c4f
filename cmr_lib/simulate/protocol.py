"""Which planes a study is made of, how the patient breathed, and what the scanner was set to."""

from dataclasses import dataclass

import numpy as np

from cmr_lib import project
from cmr_lib.params import Simulate
from cmr_lib.simulate.anatomy import HeartShape
from cmr_lib.simulate.identity import ACDC_COHORT
from cmr_lib.simulate.latents import Latents
from cmr_lib.simulate.plane import Plane, Vector, centred_plane, unit
from cmr_lib.simulate.signal import MUSCLE, Contrast, nulling_time
from cmr_lib.simulate.vendors import SITE_SCANNERS, VENDORS, Vendor
from cmr_lib.types import Sequence, View

# Degrees from the middle of the septum towards the anterior wall, about the long axis: the four-chamber plane cuts the
# inferior septum, the three-chamber plane the anterior septum with the outflow tract, the two-chamber plane neither.
LAX_TURN = {View.LAX_4CH: -25.0, View.LAX_2CH: 95.0, View.LAX_3CH: 38.0}
LGE_PHASE = 0.75  # mid-diastole
SMALLEST_FOV_MM, LARGEST_FOV_MM = 140.0, 500.0
LARGEST_DEMO_PX = 112
ARTEFACTS = ("ghost", "banding", "gating")
RR_SCATTER = 0.06  # of the slices whose RR differs from the study's, one standard deviation


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
    artefact: str = "none"  # none, or one of ARTEFACTS


@dataclass(frozen=True)
class Grid:
    """How the images of one study are sampled."""

    matrix_px: int
    spacing_mm: float
    thickness_mm: float
    sax_slices: int
    lge_slices: int
    phases: int


def check_settings(settings: Simulate) -> None:
    """Raise ValueError, naming the parameter, for a hospital that cannot be built."""
    image, full = settings.image, settings.full_size
    for name, group in (("image", image), ("full_size", full)):
        fov = group.matrix_px * group.spacing_mm
        if not SMALLEST_FOV_MM <= fov <= LARGEST_FOV_MM:
            raise ValueError(
                f"{name}.matrix_px × {name}.spacing_mm is {fov:g} mm; a heart needs {SMALLEST_FOV_MM:g} to "
                f"{LARGEST_FOV_MM:g} mm."
            )
    for name, pair in (("scanner.snr", settings.scanner.snr), ("full_size.phases", full.phases)):
        if pair[0] > pair[1]:
            raise ValueError(f"{name} must be [lowest, highest], got {pair}.")
    for name, slices in (("image.sax_slices", image.sax_slices), ("full_size.sax_slices", full.sax_slices)):
        length = slices * image.thickness_mm
        if length > 160:
            raise ValueError(f"{name} × image.thickness_mm is {length:g} mm; no heart is longer than 160 mm.")


def is_full_size(settings: Simulate, latents: Latents) -> bool:
    """Whether this study is of the sample that is as large as clinical ones."""
    if latents.patient >= ACDC_COHORT:
        return False
    random = project.rng(settings.seed, "full size", latents.patient, latents.study)
    return bool(random.random() < settings.full_size.share)


def grid_of(settings: Simulate, latents: Latents, vendor: Vendor) -> Grid:
    """Matrix, spacing and phases of a study: the maker's habit around the asked field of view."""
    image, full = settings.image, settings.full_size
    if is_full_size(settings, latents):
        random = project.rng(settings.seed, "full size phases", latents.patient, latents.study)
        phases = int(random.integers(full.phases[0], full.phases[1] + 1))
        return Grid(full.matrix_px, full.spacing_mm, image.thickness_mm, full.sax_slices, image.lge_slices, phases)
    matrix = 2 * round(image.matrix_px / vendor.spacing_share / 2)
    if image.matrix_px <= LARGEST_DEMO_PX:
        matrix = min(matrix, LARGEST_DEMO_PX)
    return Grid(
        matrix_px=matrix,
        spacing_mm=round(image.spacing_mm * vendor.spacing_share, 3),
        thickness_mm=image.thickness_mm,
        sax_slices=image.sax_slices,
        lge_slices=image.lge_slices,
        phases=image.phases + vendor.extra_phases,
    )


def draw_exam(settings: Simulate, latents: Latents) -> Exam:
    """Scanner and protocol of one study at the patient's site."""
    random = project.rng(settings.seed, "scanner", latents.patient, latents.study)
    scanners = SITE_SCANNERS[latents.site]
    code, fields = scanners[int(random.integers(len(scanners)))]
    vendor = next(maker for maker in VENDORS if maker.code == code)
    field = float(fields[int(random.integers(len(fields)))])
    rr = 60000 / latents.heart_rate
    repetition = float(random.uniform(2.9, 3.8))
    flip = float(random.uniform(38, 50) if field > 2 else random.uniform(48, 62))
    inversion = nulling_time(MUSCLE.t1_late, rr) + float(random.normal(0, 9))
    cine = Contrast(repetition, repetition * 0.45, flip, 0.0, rr, field, float(random.uniform(1.05, 1.25)))
    late = Contrast(repetition * 1.9, repetition * 0.8, 25.0, inversion, rr, field, 1.0)
    spoiled = random.random() < settings.mess.artefact
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
        artefact=ARTEFACTS[int(random.integers(len(ARTEFACTS)))] if spoiled else "none",
    )


def lax_plane(shape: HeartShape, view: View, spacing_mm: float, matrix: int, thickness_mm: float) -> Plane:
    """A long-axis plane through the apex, which points up; raises KeyError for a view without a turn."""
    x, y, z = shape.pose.axes
    turn = np.deg2rad(LAX_TURN[view])
    across = unit(np.cos(turn) * x + np.sin(turn) * y)
    row = -across if view is View.LAX_4CH else across  # four chambers: the left ventricle on the right of the image
    centre = shape.pose.origin_mm + 0.36 * shape.apex * z
    if view is not View.LAX_2CH:
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


Planned = tuple[View, Sequence, int, Plane, tuple[float, ...]]


def _planes(grid: Grid, shape: HeartShape, base: float) -> list[Planned]:
    """View, sequence, number in its stack, plane and phases of every slice: cines first, late enhancement last."""
    size = (grid.spacing_mm, grid.matrix_px, grid.thickness_mm)
    phases = tuple(k / grid.phases for k in range(grid.phases))
    planned: list[Planned] = []
    for number, height in enumerate(sax_heights(shape, grid.sax_slices, base)):
        planned.append((View.SAX, Sequence.CINE, number, sax_plane(shape, height, *size), phases))
    for view in LAX_TURN:
        planned.append((view, Sequence.CINE, 0, lax_plane(shape, view, *size), phases))
    for number, height in enumerate(sax_heights(shape, grid.lge_slices, base + 5)):
        planned.append((View.SAX, Sequence.LGE, number, sax_plane(shape, height, *size), (LGE_PHASE,)))
    return planned


def plan_study(settings: Simulate, latents: Latents, shape: HeartShape, exam: Exam) -> list[Shot]:
    """All slices of one study: short-axis, four-, two- and three-chamber cine, short-axis late enhancement.

    Each slice is its own breath-hold: the diaphragm stops elsewhere, and in some the heart beats at another rate.
    """
    random = project.rng(settings.seed, "protocol", latents.patient, latents.study)
    aim = random.normal(0, 5, 3)  # no technologist centres perfectly
    base = float(np.clip(random.normal(5, 2.5), 0, 11))
    shots = []
    for view, sequence, number, plane, times in _planes(grid_of(settings, latents, exam.vendor), shape, base):
        breath = settings.scanner.shift_mm * random.normal(0, 1) * np.array([0.15, 0.35, 0.92])  # mostly head to foot
        other = random.normal(0, RR_SCATTER) if random.random() < 0.25 else 0.0
        rr = 60000 / latents.heart_rate * float(np.clip(1 + other, 0.85, 1.15))
        moved = plane.shifted(0.0, aim)
        shots.append(Shot(view, sequence, number, moved, times, breath, rr))
    return shots
