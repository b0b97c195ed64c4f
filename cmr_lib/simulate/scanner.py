"""The scanner: coil brightness, a cropped k-space with complex noise, a magnitude image, and stored integers."""

import numpy as np
from jaxtyping import Complex64, Float32, Int16, UInt16
from scipy import fft

from cmr_lib.simulate.phantom import Phantom, SliceRenderer
from cmr_lib.simulate.plane import Plane, Vector
from cmr_lib.simulate.protocol import Exam, Shot
from cmr_lib.simulate.signal import off_resonance
from cmr_lib.types import Sequence, View

Frames = Float32[np.ndarray, "phases rows cols"]
Stored = UInt16[np.ndarray, "phases rows cols"] | Int16[np.ndarray, "phases rows cols"]
THIN_SLICES = {View.SAX: 3}  # samples over the thickness; 2 elsewhere
PHASE_STEPS = 120  # of RR: hearts are solved on this grid, so that slices of different RR share them
GHOST_SHARE, MISSED_GATE = 0.14, 0.45


def coil_map(plane: Plane, heart_mm: Vector, exam: Exam) -> Float32[np.ndarray, "rows cols"]:
    """Brightness of the surface coil over a plane: 1 at the heart, smooth, brighter near the chest wall."""
    x, y, z = (grid / np.float32(1000) for grid in plane.points(heart_mm, np.eye(3)))
    slope = x * np.float32(exam.coil[0]) + y * np.float32(exam.coil[1]) + z * np.float32(exam.coil[2])
    return np.exp(np.clip(slope + np.float32(exam.coil_curve) * (x * x + y * y + z * z), -1.2, 1.0))


def bands(plane: Plane, heart_mm: Vector, exam: Exam) -> Float32[np.ndarray, "rows cols"]:
    """Darkening of a balanced cine by a badly shimmed field: a slope through the chest and a bump at heart and lung."""
    x, y, z = plane.points(heart_mm, np.eye(3))
    bump = np.exp(-((x - 45) ** 2 + (y + 30) ** 2 + z**2) / np.float32(45.0**2))
    hertz = exam.field_t * (np.float32(0.2) * x + np.float32(0.15) * z + 75 * bump)
    return off_resonance(hertz.astype(np.float32), exam.cine)


def measured_window(rows: int, cols: int, kept: tuple[float, float]) -> Float32[np.ndarray, "rows cols"]:
    """Which part of k-space was measured (1) or left empty (0), with a short taper; FFT order."""
    sides = []
    for count, share in ((rows, kept[0]), (cols, kept[1])):
        distance = np.abs(fft.fftfreq(count)) * 2
        sides.append(np.clip((share - distance) / 0.12 + 0.5, 0, 1))
    return np.outer(*sides).astype(np.float32)


def measure(
    clean: Frames, sigma: float, kept: tuple[float, float], random: np.random.Generator
) -> Complex64[np.ndarray, "phases rows cols"]:
    """Complex images from noiseless (signed) ones: k-space cropped, complex Gaussian noise of `sigma` a channel.

    The noise is scaled so that `sigma` is its standard deviation in the image, whatever part of k-space was kept.
    """
    phases, rows, cols = clean.shape
    window = measured_window(rows, cols, kept)
    noise = random.standard_normal((2, phases, rows, cols), dtype=np.float32)
    level = np.float32(sigma * np.sqrt(rows * cols / np.mean(window**2)))
    spectrum = fft.fft2(clean)
    spectrum.real += level * noise[0]
    spectrum.imag += level * noise[1]
    spectrum *= window
    return fft.ifft2(spectrum, overwrite_x=True)


def acquire(clean: Frames, sigma: float, kept: tuple[float, float], random: np.random.Generator) -> Frames:
    """Magnitude images: Rician where the signal is weak."""
    return np.abs(measure(clean, sigma, kept, random))


def heart_phase(phase: float, rr_share: float, end_systole: float) -> float:
    """The heart's phase at a phase of a beat that lasts `rr_share` of the usual one, on the grid of PHASE_STEPS.

    Systole takes its time whatever the rate; diastole takes what is left.
    """
    systole = end_systole / rr_share
    usual = phase * rr_share
    if phase > systole:
        usual = end_systole + (phase - systole) * (1 - end_systole) / (1 - systole)
    return round(usual * PHASE_STEPS) / PHASE_STEPS


def _clean(phantom: Phantom, shot: Shot, exam: Exam) -> Frames:
    """What a perfect receiver would see: signal, coil brightness, and the artefact of the day."""
    late = shot.sequence is Sequence.LGE
    signals = phantom.signals(shot.sequence, exam.late if late else exam.cine)
    renderer = SliceRenderer(phantom, shot.plane, THIN_SLICES.get(shot.view, 2), shot.offset_mm)
    rr_share = shot.rr_ms * phantom.latents.heart_rate / 60000
    times = [heart_phase(phase, rr_share, phantom.systole) for phase in shot.phases]
    clean = np.stack([renderer.image(time, signals, late) for time in times])
    heart = phantom.shape.pose.origin_mm
    clean *= coil_map(shot.plane, heart, exam)
    if exam.artefact == "banding" and not late:
        clean *= bands(shot.plane, heart, exam)
    if exam.artefact == "ghost":  # what pulsates comes back half a field of view away, along the phase encoding
        clean += np.float32(GHOST_SHARE) * np.roll(clean, clean.shape[2] // 2, axis=2)
    if exam.artefact == "gating" and len(clean) > 1:  # beats of different length end up in one frame
        neighbours = (np.roll(clean, 1, axis=0) + np.roll(clean, -1, axis=0)) / 2
        clean += np.float32(MISSED_GATE) * (neighbours - clean)
    return clean


def image_shot(phantom: Phantom, shot: Shot, exam: Exam, random: np.random.Generator) -> Frames:
    """All phases of one slice as the scanner measured them, magnitude; blood (cine) or scar (LGE) is about 1."""
    return acquire(_clean(phantom, shot, exam), 1 / exam.snr, exam.kept, random)


def image_late(phantom: Phantom, shot: Shot, exam: Exam, random: np.random.Generator) -> tuple[Frames, Frames]:
    """One late-enhancement measurement, twice: its magnitude, and phase-sensitive (signed).

    The phase-sensitive image (Kellman 2002, doi 10.1002/mrm.10051) keeps Gaussian noise about the null.
    """
    image = measure(_clean(phantom, shot, exam), 1 / exam.snr, exam.kept, random)
    return np.abs(image), np.ascontiguousarray(image.real)


def stored_values(frames: Frames, exam: Exam, sequence: Sequence) -> Stored:
    """Integers as the maker stores them: its scale, bits and sign; values beyond the range are clipped."""
    vendor = exam.vendor
    top = vendor.top * exam.gain * (1.0 if sequence is Sequence.CINE else 0.8)
    highest = 2 ** (vendor.bits_stored - int(vendor.signed)) - 1
    values = np.clip(np.rint(frames * np.float32(top / vendor.slope)), 0, highest)
    return values.astype(np.int16 if vendor.signed else np.uint16)
