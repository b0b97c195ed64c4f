"""The scanner taken apart for a lesson: one slice of one heart, one step at a time, every knob an argument.

The steps are those of the hospital (`signal`, `phantom`, `scanner`); here they are only put on a bench. What the
hospital does not have is `segmented`: a picture whose k-space came from several beats.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, UInt8
from scipy import fft, ndimage

from cmr_lib import params, project
from cmr_lib.params import Simulate
from cmr_lib.simulate.anatomy import TISSUES
from cmr_lib.simulate.latents import draw_latents
from cmr_lib.simulate.phantom import NOWHERE, Labels, Phantom, SliceRenderer
from cmr_lib.simulate.plane import Plane
from cmr_lib.simulate.protocol import LGE_PHASE, Exam, Shot, draw_exam, sax_plane
from cmr_lib.simulate.scanner import Frames, coil_map, heart_phase, image_shot, measure
from cmr_lib.simulate.showcase import heart_with
from cmr_lib.simulate.signal import (
    AMYLOID_LATE,
    MUSCLE,
    RELAXATION,
    Contrast,
    Signals,
    inversion_recovery,
    nulling_time,
)
from cmr_lib.simulate.vendors import SIEMENS
from cmr_lib.types import Sequence, View

Image = Float32[np.ndarray, "rows cols"]
Cine = UInt8[np.ndarray, "frames rows cols"]
LESSON_TISSUES = {
    "blood": TISSUES.LV_BLOOD,
    "muscle": TISSUES.LV_WALL,
    "scar": TISSUES.SCAR,
    "fat": TISSUES.FAT,
    "liver": TISSUES.LIVER,
    "lung": TISSUES.LUNG,
}
MESS = ("localiser", "t1_map", "screenshot", "repeat", "wrong_name", "corrupt")  # of a lesson's studies
WIDTH_MM = 160.0  # of the bench's pictures
SHOWN_TOP = 1.3  # brightness that is white on the slider's picture; blood is 1


def lesson_hospital(
    seed: int, folder: Path | str, sax_slices: int = 5, phases: int = 10, *, messy: bool = True
) -> Simulate:
    """A small hospital for a lesson: nothing full-size, and either every MESS in every study or none at all.

    Call it in the repository root: it starts from the smoke profile. Raises ParameterError for impossible numbers.
    """
    smoke = params.read_yaml("params/smoke/simulate.yaml")
    wishes = {
        "seed": seed,
        "out_dir": str(folder),
        "data_dir": str(folder),
        "image": {"sax_slices": sax_slices, "phases": phases, "lge_slices": 4},
        "full_size": {"share": 0.0},
        "mess": {name: float(messy and name in MESS) for name in smoke["mess"]},
    }
    return params.check("simulate", params.merge(smoke, wishes))


def first_patient(settings: Simulate, maker: str) -> int:
    """The number of the first patient with late enhancement who was scanned by this maker (vendors.Vendor.code).

    Raises ValueError when none of the first hundred was.
    """
    for patient in range(100):
        latents = draw_latents(settings.seed, patient, 1, settings.diagnoses)
        if latents.disease.lge_pattern != "none" and draw_exam(settings, latents).vendor.code == maker:
            return patient
    raise ValueError(f"No patient of the first hundred was scanned by {maker!r}; SIEMENS, GE or PHILIPS is wanted.")


def tissue_table(field_t: float = 1.5) -> pd.DataFrame:
    """T1, T2 (ms), proton density (water 1) and T1 late after gadolinium (ms) of a few tissues, by name."""
    field = "3" if field_t > 2 else "15"
    columns = {"T1 (ms)": f"t1_{field}", "T2 (ms)": f"t2_{field}", "density": "density", "late T1 (ms)": "t1_late"}
    return pd.DataFrame(
        {title: {name: float(getattr(RELAXATION[code], key)) for name, code in LESSON_TISSUES.items()}
         for title, key in columns.items()}
    )  # fmt: skip


def settings_of(
    *,
    field_t: float = 1.5,
    flip_deg: float = 55.0,
    snr: float = 25.0,
    kept: tuple[float, float] = (0.95, 0.8),
    inversion_ms: float | None = None,
    rr_ms: float = 900.0,
    artefact: str = "none",
) -> Exam:
    """A scanner set by hand: field, flip angle, noise (blood is 1), measured share of k-space along rows and columns.

    Without an inversion time late enhancement nulls the muscle.
    """
    nulled = nulling_time(MUSCLE.t1_late, rr_ms) if inversion_ms is None else inversion_ms
    return Exam(
        vendor=SIEMENS,
        model="bench",
        field_t=field_t,
        cine=Contrast(3.4, 1.6, flip_deg, 0.0, rr_ms, field_t, 1.1),
        late=Contrast(6.5, 2.8, 25.0, nulled, rr_ms, field_t, 1.0),
        snr=snr,
        kept=kept,
        coil=np.array([0.8, -5.0, 0.0]),
        coil_curve=-4.0,
        gain=1.0,
        artefact=artefact,
    )


def middle_plane(phantom: Phantom, thickness_mm: float = 8.0, height: float = 0.4, spacing_mm: float = 2.0) -> Plane:
    """A short-axis plane at a share of the way from the valve to the apex, WIDTH_MM wide."""
    return sax_plane(
        phantom.shape, height * phantom.shape.length, spacing_mm, round(WIDTH_MM / spacing_mm), thickness_mm
    )


def shot_of(plane: Plane, exam: Exam, sequence: Sequence = Sequence.CINE, phases: tuple[float, ...] = (0.0,)) -> Shot:
    """One slice to be imaged at these phases of RR, nobody breathing."""
    return Shot(View.SAX, sequence, 0, plane, phases, NOWHERE, exam.cine.rr_ms)


def blood_area_cm2(phantom: Phantom, plane: Plane, phase: float) -> float:
    """How much of a plane is left-ventricular blood, counted on the labels."""
    pixels = int((phantom.heart_labels(plane, phase) == TISSUES.LV_BLOOD).sum())
    return pixels * plane.spacing_mm**2 / 100


def even_pixels(labels: Labels, tissue: int, margin_px: int = 2) -> Bool[np.ndarray, "rows cols"]:
    """Pixels of one tissue that lie at least this far inside it, where no other tissue has a share."""
    return ndimage.binary_erosion(labels == tissue, iterations=margin_px)


# --- any inversion time -----------------------------------------------------------------------------------------
def late_signals(exam: Exam, *, amyloid: bool = False) -> Signals:
    """Signed brightness of every tissue late after gadolinium at the exam's inversion time, indexed by TISSUES.

    Unlike `signal.tissue_signals`, whose scar is always 1, on one scale for all inversion times: 1 is a fully recovered
    scar, -1 a scar just inverted.
    """
    t1 = np.array([RELAXATION[tissue].t1_late for tissue in TISSUES], dtype=np.float32)
    if amyloid:
        t1[list(AMYLOID_LATE)] = np.array(list(AMYLOID_LATE.values()), dtype=np.float32)
    density = np.array([RELAXATION[tissue].density for tissue in TISSUES], dtype=np.float32)
    return inversion_recovery(t1, density, exam.late) / density[TISSUES.SCAR]


def late_images(
    phantom: Phantom, plane: Plane, exam: Exam, random: np.random.Generator, *, amyloid: bool = False
) -> tuple[Image, Image]:
    """One late-enhancement measurement in mid-diastole at any inversion time: magnitude, and phase-sensitive."""
    clean = SliceRenderer(phantom, plane).image(LGE_PHASE, late_signals(exam, amyloid=amyloid), True)
    clean *= coil_map(plane, phantom.shape.pose.origin_mm, exam)
    image = measure(clean[None], 1 / exam.snr, exam.kept, random)[0]
    return np.abs(image), np.ascontiguousarray(image.real)


# --- several beats, one picture ---------------------------------------------------------------------------------
def beats_at(phantom: Phantom, plane: Plane, exam: Exam, delay_ms: float, beats_ms: list[float]) -> Frames:
    """What a noiseless scanner would see `delay_ms` after the R wave of each of several beats of these lengths.

    The exam's RR is the usual one: systole takes its time whatever the rate, diastole what is left. Raises ValueError
    for a delay that the shortest beat does not reach.
    """
    if not 0 <= delay_ms < min(beats_ms):
        raise ValueError(
            f"delay_ms must be at least 0 and below the shortest beat ({min(beats_ms):g}), got {delay_ms:g}."
        )
    renderer = SliceRenderer(phantom, plane)
    signals = phantom.signals(Sequence.CINE, exam.cine)
    times = [heart_phase(delay_ms / rr, rr / exam.cine.rr_ms, phantom.systole) for rr in beats_ms]
    return np.stack([renderer.image(time, signals, False) for time in times])


def segmented(beats: Frames, *, interleaved: bool = False) -> Image:
    """One picture whose k-space was filled over several beats, a part of the columns (phase encoding) from each.

    Parts are neighbouring columns, or every n-th where `interleaved`. Equal beats give back their picture.
    """
    count, _, cols = beats.shape
    turn = np.arange(cols) % count if interleaved else np.arange(cols) * count // cols
    spectra = fft.fftshift(fft.fft2(beats), axes=2)
    filled = np.stack([spectra[turn[col], :, col] for col in range(cols)], axis=1)
    return np.abs(fft.ifft2(fft.ifftshift(filled, axes=1))).astype(np.float32)


# --- for sliders ------------------------------------------------------------------------------------------------
def _eight_bits(frames: Float[np.ndarray, "frames rows cols"], low: float = 0.0, top: float = SHOWN_TOP) -> Cine:
    return (np.clip((frames - low) / (top - low), 0, 1) * 255).astype(np.uint8)


def scan(flip_deg: float = 55.0, thickness_mm: float = 8.0, kept: float = 0.8, snr: float = 25.0) -> dict[str, Cine]:
    """A beating short axis, noiseless and as measured, for four knobs of the scanner (`kept`: of k-space)."""
    phantom = heart_with(lvef=55.0, scar=0.6)
    exam, plane = settings_of(flip_deg=flip_deg, snr=snr, kept=(kept, kept)), middle_plane(phantom, thickness_mm)
    shot = shot_of(plane, exam, phases=tuple(k / 10 for k in range(10)))
    clean = np.stack([phantom.render(plane, phase, contrast=exam.cine) for phase in shot.phases])
    measured = image_shot(phantom, shot, exam, project.rng(0, "bench"))
    return {"noiseless": _eight_bits(clean), "as measured": _eight_bits(measured)}


def late(inversion_ms: float = 270.0, snr: float = 25.0) -> dict[str, Cine]:
    """Late enhancement of an infarct at an inversion time (ms): magnitude, and phase-sensitive with mid-grey for 0."""
    phantom = heart_with(lvef=45.0, scar=0.6)
    exam = settings_of(inversion_ms=inversion_ms, snr=snr)
    magnitude, signed = late_images(phantom, middle_plane(phantom), exam, project.rng(0, "bench"))
    return {"magnitude": _eight_bits(magnitude[None]), "PSIR": _eight_bits(signed[None], -SHOWN_TOP)}
