"""Time within a slice: which instance shows which phase of the beat, and frames at evenly spread phases."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from cmr_lib.ingest.reading import Instance

# The first that every instance has, with more than one value; the first two are times after the R wave, in ms.
PHASE_KEYS = (
    "NominalCardiacTriggerDelayTime",
    "TriggerTime",
    "TemporalPositionIndex",
    "TemporalPositionIdentifier",
    "InstanceNumber",
)
TIMES = PHASE_KEYS[:2]
RANKS = PHASE_KEYS[2:4]
SEVERAL = 1.9  # beats by the header, from which on a cine covers more than one
FEW = 0.5  # of another element's number of values: two repeats of every phase still are enough


@dataclass
class SliceRun:
    """One slice of a cine or of a still image: its instances in order of phase, with their times after the R wave."""

    position_mm: float
    instances: list[Instance]
    trigger_ms: Float[np.ndarray, " phases"]
    rr_ms: float


def number_of(instance: Instance, name: str) -> float:
    """An optional number of the header; NaN where it is absent."""
    return instance.numbers.get(name, float("nan"))


def phase_key(run: Sequence[Instance]) -> str:
    """The first element that every instance of the run has and that takes more than one value; "" if none does.

    One that takes few values where a later one takes many (a trigger time of 0 but for one frame) is passed over.
    InstanceNumber, which every image has, is the last resort and competes with none.
    """
    counts = dict.fromkeys(PHASE_KEYS, 0)
    for name in PHASE_KEYS:
        values = [number_of(item, name) for item in run]
        counts[name] = len(set(values)) if np.isfinite(values).all() else 0
    last = PHASE_KEYS[-1]
    most = max(count for name, count in counts.items() if name != last)
    if most > 1:
        return next(name for name in PHASE_KEYS if counts[name] > 1 and counts[name] >= FEW * most)
    return last if counts[last] > 1 else ""


def _median(run: Sequence[Instance], name: str) -> float:
    """Median of an optional number over a run; NaN where no instance has it."""
    values = [value for item in run if np.isfinite(value := number_of(item, name))]
    return float(np.median(values)) if values else float("nan")


def header_beat_ms(run: Sequence[Instance]) -> float:
    """RR interval by the header: NominalInterval, else HeartRate, else FrameTime times the number, else NaN."""
    interval, rate, frame = (_median(run, name) for name in ("NominalInterval", "HeartRate", "FrameTime"))
    if interval > 200:
        return interval
    return 60_000 / rate if rate > 20 else frame * len(run)


def beat_ms(times_ms: Float[np.ndarray, " phases"], header_ms: float) -> float:
    """RR interval (ms) of a slice: what its frames cover, or the header's where they leave the end of the beat out.

    Evenly spread frames cover n/(n-1) of the span of their times; a triggered (prospective) cine covers less than the
    beat and the header tells the rest. Raises ValueError for fewer than two times.
    """
    if len(times_ms) < 2:
        raise ValueError(f"A beat needs two frames or more, got {len(times_ms)}.")
    covered = float(times_ms[-1] - times_ms[0]) * len(times_ms) / (len(times_ms) - 1)
    return header_ms if header_ms > 1.15 * covered else covered


def first_beat(times_ms: Float[np.ndarray, " phases"], header_ms: float) -> int:
    """How many of some increasing times lie in the first beat: all, unless they cover about two beats or more.

    A real-time cine runs on over several beats, and its times count from the first R wave.
    """
    several = len(times_ms) > 1 and beat_ms(times_ms, header_ms) > SEVERAL * header_ms
    return int((times_ms - times_ms[0] < header_ms).sum()) if several else len(times_ms)


def order_phases(position_mm: float, run: Sequence[Instance]) -> tuple[SliceRun, list[Instance]]:
    """One acquisition in order of time, and what is not used: earlier images of a phase, and beats after the first.

    Times are ms after the R wave; without trigger times the phases are spread evenly over the RR interval.
    """
    key = phase_key(run)
    if not key:
        last = max(run, key=lambda item: (item.acquired, number_of(item, "InstanceNumber")))
        others = [item for item in run if item is not last]
        return SliceRun(position_mm, [last], np.zeros(1), header_beat_ms(run)), others
    ordered = sorted(run, key=lambda item: (number_of(item, key), item.acquired, number_of(item, "InstanceNumber")))
    kept = {number_of(item, key): item for item in ordered}
    instances, header = list(kept.values()), header_beat_ms(run)
    if key in TIMES:
        times = np.array(list(kept))
        count = first_beat(times, header)
        instances, times = instances[:count], times[:count]
        rr = beat_ms(times, header)
    else:
        rr = header if np.isfinite(header) else 1000.0
        times = np.arange(len(instances)) * rr / len(instances)
    chosen = {id(item) for item in instances}
    return SliceRun(position_mm, instances, times, float(rr)), [item for item in run if id(item) not in chosen]


def resample_phases(
    frames: Float32[np.ndarray, "phases rows cols"], times_ms: Float[np.ndarray, " phases"], rr_ms: float, count: int
) -> Float32[np.ndarray, "count rows cols"]:
    """Frames at phases 0, 1/count, 2/count … of the RR interval: linear in time, cyclic (the beat repeats)."""
    phases = np.mod(times_ms / rr_ms, 1.0)
    order = np.argsort(phases, kind="stable")
    phases, frames = phases[order], frames[order]
    wanted = np.arange(count) / count
    after = np.searchsorted(phases, wanted, side="right")
    left, right = (after - 1) % len(phases), after % len(phases)
    gap = np.mod(phases[right] - phases[left], 1.0)
    share = np.divide(np.mod(wanted - phases[left], 1.0), gap, out=np.zeros(count), where=gap > 1e-9)
    weight = share.astype(np.float32)[:, None, None]
    return frames[left] * (1 - weight) + frames[right] * weight
