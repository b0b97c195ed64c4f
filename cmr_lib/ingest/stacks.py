"""Instances into stacks: by geometry and physics, not by series.

Instances are grouped by plane (frame of reference, orientation, grid, kind of contrast), each group is cut into slices
by the position along the normal (`slices`), each acquisition of a slice is judged for what it is (`sequences`), its
phases are put in order of the trigger times *within that slice* (the RR interval differs by slice; `phases`), and
parallel slices that are close form a stack.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cmr_lib import types
from cmr_lib.ingest.phases import SliceRun, number_of, order_phases, resample_phases
from cmr_lib.ingest.reading import Instance, turned
from cmr_lib.ingest.sequences import Verdict, contrast, flow_instances, verdict_of
from cmr_lib.ingest.slices import PARALLEL, SLICE_MM, adjacent, choose_run, cut_slices, plane_groups, runs_of

VENDORS = {"siemens": "siemens", "ge ": "ge", "philips": "philips", "canon": "canon", "toshiba": "canon"}

Dropped = tuple[Instance, str]  # an instance that is not used, and the reject code


@dataclass(frozen=True)
class Judged:
    """One slice of a stack to be, and what it was judged to be."""

    run: SliceRun
    verdict: Verdict


@dataclass
class Built:
    """What became of a study's instances."""

    stacks: list[types.Stack] = field(default_factory=list)
    descriptions: list[str] = field(default_factory=list)  # beside each stack; restricted
    used: list[list[Instance]] = field(default_factory=list)  # beside each stack
    dropped: list[Dropped] = field(default_factory=list)
    kinds: dict[int, types.ImageKind] = field(default_factory=dict)  # by `id` of every instance, used or dropped
    resampled: list[int] = field(default_factory=list)  # indices of stacks with unequal numbers of phases


# --- building ---------------------------------------------------------------------------------------------------
def vendor_of(manufacturer: str) -> str:
    """A code for the maker: siemens, ge, philips, canon, other, or unknown where nothing is said."""
    name = manufacturer.lower() + " "
    found = [code for start, code in VENDORS.items() if name.startswith(start)]
    return found[0] if found else ("other" if manufacturer.strip() else "unknown")


def _facts(slices: Sequence[Judged]) -> dict[str, float | int | str]:
    first = slices[0].run.instances[0]
    beats = [one.run.rr_ms for one in slices if np.isfinite(one.run.rr_ms)]
    return {
        "vendor": vendor_of(first.manufacturer),
        "contrast": contrast(first),
        "kind": slices[0].verdict.kind.value,
        "sequence_confidence": min(one.verdict.confidence for one in slices),
        "field_strength_t": number_of(first, "MagneticFieldStrength"),
        "thickness_mm": number_of(first, "SliceThickness"),
        "rr_ms": float(np.median(beats)) if beats else float("nan"),
    }


def _equal_phases(run: SliceRun, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames (modality values) and times of a slice with exactly `count` phases."""
    frames = np.stack([item.values() for item in run.instances])
    if len(frames) == count:
        return frames, run.trigger_ms
    return resample_phases(frames, run.trigger_ms, run.rr_ms, count), np.arange(count) * run.rr_ms / count


def build_stack(slices: Sequence[Judged], keys: tuple[str, ...]) -> types.Stack:
    """A stack from slices in order of position; unequal numbers of phases are resampled to the median number."""
    count = int(np.median([len(one.run.instances) for one in slices]))
    frames, times = zip(*(_equal_phases(one.run, count) for one in slices), strict=True)
    first, pixels = slices[0].run.instances[0], np.stack(frames)
    return types.Stack(
        sequence=slices[0].verdict.sequence,
        view=types.View.UNKNOWN,
        pixels=turned(pixels) if first.inverted else pixels,
        origins_mm=np.stack([one.run.instances[0].origin_mm for one in slices]),
        row_direction=first.row_direction,
        col_direction=first.col_direction,
        spacing_mm=first.spacing_mm,
        trigger_ms=np.stack(times).astype(np.float64),
        series_keys=keys,
        facts=_facts(slices),
    )


def _in_order(position_mm: float, run: Sequence[Instance], verdict: Verdict) -> tuple[SliceRun, list[Instance]]:
    """An acquisition in order of time, and what it holds twice; of averages of a still image the last is kept."""
    ordered, doubles = order_phases(position_mm, run)
    if verdict.sequence == types.Sequence.LGE and len(ordered.instances) > 1:
        doubles += ordered.instances[:-1]
        ordered = SliceRun(ordered.position_mm, ordered.instances[-1:], np.zeros(1), ordered.rr_ms)
    return ordered, doubles


def _judge_slice(items: Sequence[Instance], flow: set[int], built: Built) -> dict[types.Sequence, list]:
    """The acquisitions of one slice that can be used, by sequence, each with its verdict; the others are dropped."""
    usable: dict[types.Sequence, list[tuple[list[Instance], Verdict]]] = {}
    for run in runs_of(items):
        verdict = verdict_of(run, flow=id(run[0]) in flow)
        built.kinds |= {id(item): verdict.kind for item in run}
        if verdict.code:
            built.dropped += [(item, verdict.code) for item in run]
        else:
            usable.setdefault(verdict.sequence, []).append((run, verdict))
    return usable


def _sorted_slices(group: Sequence[Instance], flow: set[int], built: Built) -> dict[types.Sequence, list[Judged]]:
    """The slices of one plane group by sequence; what is not used goes to `built.dropped`."""
    found: dict[types.Sequence, list[Judged]] = {}
    for items in cut_slices(group):
        for sequence, judged in _judge_slice(items, flow, built).items():
            run, repeats = choose_run([run for run, _ in judged])
            verdict = next(verdict for one, verdict in judged if one is run)
            ordered, doubles = _in_order(float(run[0].origin_mm @ group[0].normal), run, verdict)
            built.dropped += [(item, "N_REPEAT") for item in (*repeats, *doubles)]
            found.setdefault(sequence, []).append(Judged(ordered, verdict))
    return found


def _covers(one: Sequence[Judged], other: Sequence[Judged]) -> bool:
    """Whether a stack has a slice where another one begins."""
    first = other[0].run.instances[0]
    parallel = abs(first.normal @ one[0].run.instances[0].normal) > PARALLEL
    nearest = min(float(abs(each.run.instances[0].origin_mm - first.origin_mm).max()) for each in one)
    return bool(parallel) and nearest < SLICE_MM


def drop_magnitudes(found: list[list[Judged]], dropped: list[Dropped]) -> list[list[Judged]]:
    """Late enhancement may come in pairs: where a phase-sensitive stack covers a plane, its magnitude is dropped."""
    best = [slices for slices in found if slices[0].verdict.kind == types.ImageKind.LGE_PSIR]
    kept = []
    for slices in found:
        magnitude = slices[0].verdict.kind == types.ImageKind.LGE_MAGNITUDE
        if magnitude and any(_covers(other, slices) for other in best):
            dropped += [(item, "N_REPEAT") for one in slices for item in one.run.instances]
        else:
            kept.append(slices)
    return kept


def _size(slices: Sequence[Judged]) -> tuple[int, str, str]:
    """Largest first, then by sequence and series: the same order whatever the order of files."""
    name = min(item.series_uid for item in slices[0].run.instances)
    return -len(slices), slices[0].verdict.sequence.value, name


def build_stacks(instances: Sequence[Instance], series_key: Callable[[str], str]) -> Built:
    """All cine and late-enhancement stacks of a study, views still unknown, in order of size (largest first).

    `series_key` names a SeriesInstanceUID. Every instance is either in `used` or in `dropped`.
    """
    built, found = Built(), []
    flow = flow_instances(instances)
    for group in plane_groups(instances, flow):
        for slices in _sorted_slices(group, flow, built).values():
            parts = adjacent([one.run.position_mm for one in slices])
            found += [[slices[index] for index in part] for part in parts]
    for index, slices in enumerate(sorted(drop_magnitudes(found, built.dropped), key=_size)):
        used = [item for one in slices for item in one.run.instances]
        keys = tuple(sorted({series_key(item.series_uid) for item in used}))
        built.stacks.append(build_stack(slices, keys))
        built.descriptions.append(used[0].description)
        built.used.append(used)
        if len({len(one.run.instances) for one in slices}) > 1:
            built.resampled.append(index)
    return built
