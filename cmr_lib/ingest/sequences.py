"""What an acquisition is (cine, late enhancement, map, flow, localiser …), by physics, with a confidence in [0, 1].

Evidence in this order: coded header elements (ImageType, inversion and echo times, velocity encoding), what else was
measured at the same place and times, the spread of trigger times over the beat, and at last grey values. Names are
not read. A confidence says how much of the evidence was there; it is a judgement, not a measured frequency.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cmr_lib.ingest.phases import RANKS, TIMES, number_of, phase_key
from cmr_lib.ingest.reading import Instance
from cmr_lib.ingest.velocity import VENC
from cmr_lib.types import ImageKind
from cmr_lib.types import Sequence as Seen

BARE_CINE = 4  # images of one place that differ by InstanceNumber alone: from here on a cine stripped of its times
ECHO_MS = 1.0  # images of one place whose echo times differ by more are a multi-echo map
BEATS, BEAT_S = 5, 0.4  # images, and seconds from one to the next, from which on each was acquired in its own beat
CLOCK = re.compile(r"(\d\d)(\d\d)(\d\d(?:\.\d+)?)$")  # AcquisitionTime, or the end of a date and time
CINE_SPAN_MS = 100.0  # frames of one beat; single-beat dynamics (perfusion) differ less in trigger time
SHARED_TIMES = 2  # times that a magnitude and a velocity image series share, at least, and half of all
ORTHOGONAL = np.cos(np.deg2rad(15.0))  # localisers lie along the patient's axes
PHASE_SENSITIVE = {"PSIR", "PS"}
TAGGED = "TAGGED"  # our word for a multi-frame image with saturation bands drawn across the muscle
T1_MS = 400.0  # a map whose middle is longer than this in the median is of T1: muscle has 950 ms and more, T2 50 ms

Place = tuple
Run = Sequence[Instance]


@dataclass(frozen=True)
class Verdict:
    """What an acquisition is and how sure that is; `code` is the reject code of what is set aside, else ""."""

    kind: ImageKind
    confidence: float
    code: str = ""

    @property
    def sequence(self) -> Seen:
        """The coarse name under which the images are used."""
        late = self.kind in (ImageKind.LGE_MAGNITUDE, ImageKind.LGE_PSIR)
        return Seen.LGE if late else (Seen.CINE if self.kind == ImageKind.CINE else Seen.OTHER)


# --- coded values -----------------------------------------------------------------------------------------------
def is_inversion(instance: Instance) -> bool:
    """Whether the contrast was prepared by an inversion pulse (late enhancement, T1 maps)."""
    return "IR" in instance.scanning or number_of(instance, "InversionTime") > 0


def image_words(instance: Instance) -> set[str]:
    """The words of ImageType, which is coded (PS3.3 C.7.6.1.1.2), however a maker joins them."""
    return {word for value in instance.image_type for word in value.replace("_", " ").split()}


def contrast(instance: Instance) -> str:
    """Kind of image by ImageType: magnitude, phase-sensitive inversion recovery (psir), velocity/phase, or a map."""
    words = image_words(instance)
    if words & {"MAP", "ECV", "PERFUSION", "MOSAIC"} and "VELOCITY" not in words:
        return "map"
    if words & PHASE_SENSITIVE or (words & {"P", "R"} and is_inversion(instance)):  # phase or real part
        return "psir"
    return "phase" if words & {"P", "VELOCITY"} or "PHASE" in instance.image_type[2:3] else "magnitude"


# --- flow -------------------------------------------------------------------------------------------------------
def _place(instance: Instance) -> Place:
    """Grid and position, rounded: both images of a flow measurement say the same."""
    where = np.round(np.r_[instance.origin_mm, 100 * instance.row_direction, 100 * instance.col_direction], 1)
    return instance.raw.shape, tuple(round(side, 3) for side in instance.spacing_mm), tuple(where.tolist())


def _time(instance: Instance) -> float:
    """Time after the R wave to a tenth of a ms; NaN where it is not said."""
    times = (number_of(instance, name) for name in TIMES)
    return next((round(time, 1) for time in times if np.isfinite(time)), float("nan"))


def _by_place(instances: Iterable[Instance]) -> dict[Place, dict[str, list[Instance]]]:
    """Instances by place, and there by series."""
    found: dict[Place, dict[str, list[Instance]]] = {}
    for item in instances:
        if np.isfinite(_time(item)):
            found.setdefault(_place(item), {}).setdefault(item.series_uid, []).append(item)
    return found


def _same_beat(first: Run, second: Run) -> bool:
    """Whether two acquisitions of a place have their times in common, as the images of one measurement have."""
    one, other = {_time(item) for item in first}, {_time(item) for item in second}
    shared = len(one & other)
    return shared >= SHARED_TIMES and 2 * shared >= max(len(one), len(other))


def flow_instances(instances: Run) -> set[int]:
    """`id` of every image of a phase-contrast measurement, magnitude and velocity.

    Told by its velocity encoding, or by a twin: a magnitude series and a phase series of the same slice with the same
    times of several phases. A phase image alone, or one of a single phase, may as well be a map.
    """
    found = {id(item) for item in instances if number_of(item, VENC) > 0 or image_words(item) & {"PCA", "VELOCITY"}}
    kinds = {id(item): contrast(item) for item in instances}
    velocities = _by_place(item for item in instances if kinds[id(item)] == "phase")
    if not velocities:
        return found
    magnitudes = _by_place(item for item in instances if kinds[id(item)] == "magnitude" and not is_inversion(item))
    for place, series in velocities.items():
        for velocity in series.values():
            for magnitude in magnitudes.get(place, {}).values():
                if _same_beat(velocity, magnitude):
                    found |= {id(item) for item in (*velocity, *magnitude)}
    return found


# --- verdicts ---------------------------------------------------------------------------------------------------
def _aside(kind: ImageKind, confidence: float) -> Verdict:
    return Verdict(kind, confidence, "N_LOCALISER" if kind == ImageKind.LOCALISER else "N_OTHER_SEQUENCE")


def _map(run: Run) -> Verdict:
    """Of T1 or of T2: by ImageType, else by the milliseconds that stand in the middle of the image."""
    words = image_words(run[0])
    if words & {"ECV", "PERFUSION", "MOSAIC"}:
        return _aside(ImageKind.OTHER if "ECV" not in words else ImageKind.MAP, 0.9)
    named = [kind for word, kind in (("T1", ImageKind.T1_MAP), ("T2", ImageKind.T2_MAP)) if word in words]
    if named:
        return _aside(named[0], 0.98)
    pixels = run[0].pixels()
    rows, cols = (slice(size // 4, size - size // 4) for size in pixels.shape)
    middle = pixels[rows, cols]
    if not (middle > 0).any():
        return _aside(ImageKind.MAP, 0.5)
    return _aside(ImageKind.T1_MAP if np.median(middle[middle > 0]) > T1_MS else ImageKind.T2_MAP, 0.7)


def _late(run: Run, key: str) -> Verdict:
    """An inversion-prepared acquisition: late enhancement has one inversion time and one phase."""
    inversions = {round(number_of(item, "InversionTime")) for item in run if number_of(item, "InversionTime") > 0}
    if len(inversions) > 1 or (key in TIMES and len(run) > 3):  # inversion-time scout, source images of a T1 map
        return _aside(ImageKind.OTHER, 0.9)
    kind = ImageKind.LGE_PSIR if contrast(run[0]) == "psir" else ImageKind.LGE_MAGNITUDE
    both = bool(inversions) and "IR" in run[0].scanning
    return Verdict(kind, 0.95 if both else 0.85)


def _seconds(instance: Instance) -> float:
    """When the image was acquired, in seconds of the day; NaN where AcquisitionTime is no time."""
    found = CLOCK.search(instance.acquired)
    if found is None:
        return float("nan")
    hours, minutes, seconds = (float(part) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


def _one_a_beat(run: Run) -> bool:
    """Whether the images were acquired one a heart beat (perfusion): steps of a beat or more between all of them."""
    steps = np.diff(np.sort([_seconds(item) for item in run]))
    return len(steps) >= BEATS and bool(np.isfinite(steps).all() and steps.min() > 0 and np.median(steps) > BEAT_S)


def _moving(run: Run, key: str) -> Verdict | None:
    """Cine or other dynamics by the times of its frames; None for a still image."""
    spans = {name: np.ptp([number_of(item, name) for item in run]) for name in TIMES}
    asked = [spans[key]] if key in TIMES else list(spans.values())
    if any(0 < span < CINE_SPAN_MS for span in asked) or (key not in TIMES and _one_a_beat(run)):
        return _aside(ImageKind.OTHER, 0.8)
    if key in TIMES:
        return Verdict(ImageKind.CINE, 0.98 if len(run) >= 8 else 0.9)
    if key in RANKS:
        return Verdict(ImageKind.CINE, 0.85)
    if key and (len(run) >= BARE_CINE or number_of(run[0], "CardiacNumberOfImages") > 1):
        return Verdict(ImageKind.CINE, 0.6)
    return None


def verdict_of(run: Run, *, flow: bool = False) -> Verdict:
    """What one acquisition of a slice is; `flow` where `flow_instances` has it."""
    key, kind = phase_key(run), contrast(run[0])
    if flow:
        sure = 0.99 if number_of(run[0], VENC) > 0 else 0.95
        return _aside(ImageKind.FLOW_VELOCITY if kind == "phase" else ImageKind.FLOW_MAGNITUDE, sure)
    if kind == "map":
        return _map(run)
    if TAGGED in image_words(run[0]):
        return _aside(ImageKind.OTHER, 0.95)
    if kind == "phase":  # without twin and velocity encoding: several phases can hardly be a map
        return _aside(ImageKind.FLOW_VELOCITY, 0.7) if key in TIMES + RANKS else _map(run)
    echoes = [number_of(item, "EchoTime") for item in run]
    if max(echoes) - min(echoes) > ECHO_MS:
        return _aside(ImageKind.OTHER, 0.8)
    if is_inversion(run[0]) or image_words(run[0]) & PHASE_SENSITIVE:
        return _late(run, key)
    along_axes = bool(np.abs(run[0].normal).max() > ORTHOGONAL)
    return _moving(run, key) or _aside(ImageKind.LOCALISER, 0.9 if along_axes else 0.6)
