"""The scanner: coil brightness, a cropped k-space with complex noise, a magnitude image, and stored integers."""

import numpy as np
from jaxtyping import Float32, Int16, UInt16
from scipy import fft

from cmr_lib.simulate.phantom import Phantom, SliceRenderer
from cmr_lib.simulate.plane import Plane, Vector
from cmr_lib.simulate.protocol import Exam, Shot
from cmr_lib.simulate.signal import tissue_signals
from cmr_lib.types import Sequence, View

Frames = Float32[np.ndarray, "phases rows cols"]
Stored = UInt16[np.ndarray, "phases rows cols"] | Int16[np.ndarray, "phases rows cols"]
THIN_SLICES = {View.SAX: 3}  # samples over the thickness; 2 elsewhere


def coil_map(plane: Plane, heart_mm: Vector, exam: Exam) -> Float32[np.ndarray, "rows cols"]:
    """Brightness of the surface coil over a plane: 1 at the heart, smooth, brighter near the chest wall."""
    x, y, z = (grid / np.float32(1000) for grid in plane.points(heart_mm, np.eye(3)))
    slope = x * np.float32(exam.coil[0]) + y * np.float32(exam.coil[1]) + z * np.float32(exam.coil[2])
    return np.exp(np.clip(slope + np.float32(exam.coil_curve) * (x * x + y * y + z * z), -1.2, 1.0))


def measured_window(rows: int, cols: int, kept: tuple[float, float]) -> Float32[np.ndarray, "rows cols"]:
    """Which part of k-space was measured (1) or left empty (0), with a short taper; FFT order."""
    sides = []
    for count, share in ((rows, kept[0]), (cols, kept[1])):
        distance = np.abs(fft.fftfreq(count)) * 2
        sides.append(np.clip((share - distance) / 0.12 + 0.5, 0, 1))
    return np.outer(*sides).astype(np.float32)


def acquire(clean: Frames, sigma: float, kept: tuple[float, float], random: np.random.Generator) -> Frames:
    """Magnitude images from noiseless ones: k-space cropped, complex Gaussian noise of `sigma` a channel, Rician.

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
    return np.abs(fft.ifft2(spectrum))


def image_shot(phantom: Phantom, shot: Shot, exam: Exam, random: np.random.Generator) -> Frames:
    """All phases of one slice as the scanner measured them; blood (cine) or scar (LGE) is about 1."""
    contrast = exam.cine if shot.sequence is Sequence.CINE else exam.late
    signals = tissue_signals(shot.sequence, contrast)
    late = shot.sequence is Sequence.LGE
    renderer = SliceRenderer(phantom, shot.plane, THIN_SLICES.get(shot.view, 2), shot.offset_mm)
    clean = np.stack([renderer.image(phase, signals, late) for phase in shot.phases])
    clean *= coil_map(shot.plane, phantom.shape.pose.origin_mm, exam)
    return acquire(clean, 1 / exam.snr, exam.kept, random)


def stored_values(frames: Frames, exam: Exam, sequence: Sequence) -> Stored:
    """Integers as the maker stores them: its scale, bits and sign; values beyond the range are clipped."""
    vendor = exam.vendor
    top = vendor.top * exam.gain * (1.0 if sequence is Sequence.CINE else 0.8)
    highest = 2 ** (vendor.bits_stored - int(vendor.signed)) - 1
    values = np.clip(np.rint(frames * np.float32(top / vendor.slope)), 0, highest)
    return values.astype(np.int16 if vendor.signed else np.uint16)
