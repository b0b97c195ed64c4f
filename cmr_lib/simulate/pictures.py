"""What each kind of series shows, as the integers that its files store: a study's series are scanned here."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from cmr_lib import project
from cmr_lib.labels import Diagnosis
from cmr_lib.simulate.anatomy import TISSUES
from cmr_lib.simulate.identity import Identity
from cmr_lib.simulate.phantom import Phantom
from cmr_lib.simulate.plan import Series
from cmr_lib.simulate.protocol import Exam, Shot
from cmr_lib.simulate.scanner import Frames, Stored, image_late, image_shot, stored_values
from cmr_lib.simulate.signal import RELAXATION
from cmr_lib.types import Sequence

SCREEN_PX = 96
NULL_12 = 2048  # stored value of zero where signed images have no sign bit
PEAK_CM_S, EJECTION = 110.0, 0.36  # of the flow in the aorta: speed, and share of RR
MAP_NOISE_MS = 22.0
MUSCLES = (TISSUES.LV_WALL, TISSUES.PAPILLARY, TISSUES.RV_WALL, TISSUES.SCAR)
LONGER_T1_MS = {Diagnosis.AMY: 140.0, Diagnosis.MYO: 70.0, Diagnosis.HCM: 30.0, Diagnosis.DCM: 30.0}  # of the muscle
Scale = tuple[float, float, str]  # RescaleSlope, RescaleIntercept, RescaleType
Map = Float32[np.ndarray, "rows cols"]


def scale_of(exam: Exam, series: Series) -> Scale | None:
    """How stored values become physical ones; None where the maker writes nothing."""
    vendor = exam.vendor
    if series.kind == "flow_phase":  # GE stores mm/s as they are
        return None if vendor.signed else (series.venc_cm_s / NULL_12, -series.venc_cm_s, "cm/s")
    if series.kind == "t1_map" or (vendor.slope == 1 and vendor.intercept == 0):
        return None
    if series.kind == "psir":
        return (vendor.slope, -NULL_12 * vendor.slope, "US")
    return (vendor.slope, vendor.intercept, "US")


def _integers(values: Frames, exam: Exam) -> Stored:
    """Values rounded and clipped to what the maker's pixels can hold."""
    vendor = exam.vendor
    highest = 2 ** (vendor.bits_stored - int(vendor.signed)) - 1
    lowest = -highest - 1 if vendor.signed else 0
    return np.clip(np.rint(values), lowest, highest).astype(np.int16 if vendor.signed else np.uint16)


def signed_values(frames: Frames, exam: Exam) -> Stored:
    """Phase-sensitive images, zero at NULL_12 (they come from makers without a sign bit only)."""
    top = exam.vendor.top * exam.gain * 0.8 / exam.vendor.slope
    return _integers(frames * np.float32(top) + np.float32(NULL_12), exam)


# --- flow and maps ----------------------------------------------------------------------------------------------
def aortic_speed(phase: float) -> float:
    """Speed of the blood in the ascending aorta at a phase of RR, cm/s: one push, then a little backwards."""
    if 0.02 < phase < EJECTION:
        return PEAK_CM_S * float(np.sin(np.pi * (phase - 0.02) / (EJECTION - 0.02)) ** 1.5)
    return -6.0 if EJECTION <= phase < EJECTION + 0.08 else 0.0


def velocity_map(phantom: Phantom, shot: Shot, phase: float, venc_cm_s: float, random: np.random.Generator) -> Map:
    """Velocity through the plane, cm/s: up in the ascending aorta, down in the other, noise without signal."""
    labels = phantom.labels(shot.plane, phase, shot.offset_mm)
    left, back, radius = phantom.thorax.aorta
    x, y, _ = shot.plane.points(shot.offset_mm, np.eye(3))
    down = (labels == TISSUES.VESSEL) & (np.hypot(x - left, y - back) < radius + 2)
    speed = aortic_speed(phase)
    clean = speed * (labels == TISSUES.AORTA) - 0.8 * aortic_speed(max(phase - 0.04, 0.0)) * down
    clean = ndimage.gaussian_filter(clean.astype(np.float32), 0.6)
    dark = np.isin(labels, (TISSUES.AIR, TISSUES.LUNG))
    spread = np.where(dark, 0.5 * venc_cm_s, 0.015 * venc_cm_s).astype(np.float32)
    return clean + spread * random.standard_normal(clean.shape, dtype=np.float32)


def t1_map(phantom: Phantom, shot: Shot, exam: Exam, random: np.random.Generator) -> Map:
    """Native T1 in ms; muscle that holds water or amyloid is longer."""
    name = "t1_3" if exam.field_t > 2 else "t1_15"
    times = np.array([getattr(RELAXATION[tissue], name) for tissue in TISSUES], dtype=np.float32)
    times[list(MUSCLES)] += LONGER_T1_MS.get(phantom.latents.disease.diagnosis, 0.0)
    labels = phantom.labels(shot.plane, shot.phases[0], shot.offset_mm)
    dark = np.isin(labels, (TISSUES.AIR, TISSUES.LUNG))
    clean = ndimage.gaussian_filter(times[labels].astype(np.float32), 0.5)
    noise = random.standard_normal(clean.shape, dtype=np.float32)
    return np.clip(np.where(dark, 900 + 500 * noise, clean + MAP_NOISE_MS * noise), 0, 3500).astype(np.float32)


def screenshot(frame: Map, who: Identity, day: str) -> UInt8[np.ndarray, "high wide 3"]:
    """A picture of a frame with the invented patient's name, number and day burned in."""
    rows, cols = (np.linspace(0, size - 1, SCREEN_PX).round().astype(int) for size in frame.shape)
    grey = np.clip(frame[np.ix_(rows, cols)] / max(float(np.percentile(frame, 99)), 1.0) * 255, 0, 255)
    image = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default_imagefont()
    for line, text in enumerate((who.dicom_name, who.patient_id, day, "synthetic")):
        draw.text((2, 2 + 11 * line), text, fill=(255, 255, 0), font=font)
    return np.asarray(image)


# --- series -----------------------------------------------------------------------------------------------------
class Scans:
    """Scans the series of one study; both images of a phase-sensitive measurement come from one scan."""

    def __init__(self, phantom: Phantom, exam: Exam, seed: int) -> None:
        self.phantom, self.exam, self.seed = phantom, exam, seed
        self._late: dict[int, tuple[Frames, Frames]] = {}

    def _random(self, number: int) -> np.random.Generator:
        latents = self.phantom.latents
        return project.rng(self.seed, "noise", latents.patient, latents.study, number)

    def _pair(self, shot: Shot, number: int) -> tuple[Frames, Frames]:
        if number not in self._late:
            self._late[number] = image_late(self.phantom, shot, self.exam, self._random(number))
        return self._late[number]

    def _magnitude(self, series: Series, shot: Shot, number: int) -> Stored:
        """A magnitude image; the first attempt at a slice was spoiled by the beat and by breathing."""
        if series.kind == "lge" and self.exam.vendor.psir:
            frames = self._pair(shot, number)[0]
        elif series.trick == "repeat":
            worse = replace(self.exam, snr=0.6 * self.exam.snr, artefact="gating")
            frames = image_shot(self.phantom, shot, worse, self._random(number))
        else:
            frames = image_shot(self.phantom, shot, self.exam, self._random(number))
        sequence, vendor = Sequence.LGE if series.kind == "lge" else Sequence.CINE, self.exam.vendor
        stored = stored_values(frames, self.exam, sequence)
        if vendor.intercept == 0:
            return stored
        return _integers(stored - np.float32(vendor.intercept / vendor.slope), self.exam)

    def _velocities(self, series: Series, shot: Shot, number: int) -> Stored:
        random, venc = self._random(number + 1), series.venc_cm_s
        maps = np.stack([velocity_map(self.phantom, shot, phase, venc, random) for phase in shot.phases])
        scale = scale_of(self.exam, series)
        return _integers(10 * maps if scale is None else (maps - scale[1]) / scale[0], self.exam)

    def series(self, series: Series) -> list[Stored]:
        """The stored integers (phases, rows, cols) of each slice of a series of gated or still MR images."""
        found = []
        for shot, number in zip(series.shots, series.noise, strict=True):
            if series.kind == "psir":
                found.append(signed_values(self._pair(shot, number)[1], self.exam))
            elif series.kind == "flow_phase":
                found.append(self._velocities(series, shot, number))
            elif series.kind == "t1_map":
                found.append(_integers(t1_map(self.phantom, shot, self.exam, self._random(number))[None], self.exam))
            else:
                found.append(self._magnitude(series, shot, number))
        return found
