"""Instances into stacks: by geometry and physics, not by series.

A series is not a slice and not a stack: GE sends a whole 4-D cine as one series, Siemens one series a slice. So
instances are grouped by plane (frame of reference, orientation, grid, kind of contrast), each group is cut into
slices by the position along the normal, each slice into phases by the rank of its trigger times *within that slice*
(the RR interval differs by slice), and parallel slices that are close form a stack.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cmr_lib import types
from cmr_lib.ingest.phases import RANKS, TIMES, SliceRun, number_of, order_phases, phase_key, resample_phases
from cmr_lib.ingest.reading import Instance

PARALLEL = np.cos(np.deg2rad(2.0))  # directions closer than 2 degrees share a grid
SLICE_MM = 0.5  # positions closer than this along the normal are one slice
LONE_GAP_MM = 30.0  # two or three parallel planes further apart than this are separate planes
STACK_GAP = 2.6  # in a stack of four or more: a gap of more than this many median gaps separates two stacks
BARE_CINE = 4  # images of one place that differ by InstanceNumber alone: from here on a cine stripped of its times
ECHO_MS = 1.0  # images of one place whose echo times differ by more are a multi-echo map
CINE_SPAN_MS = 100.0  # frames of one beat; single-beat dynamics (perfusion) differ less in trigger time
VENDORS = {"siemens": "siemens", "ge ": "ge", "philips": "philips", "canon": "canon", "toshiba": "canon"}

Dropped = tuple[Instance, str]  # an instance that is not used, and the reject code


@dataclass
class Built:
    """What became of a study's instances."""

    stacks: list[types.Stack] = field(default_factory=list)
    descriptions: list[str] = field(default_factory=list)  # beside each stack; restricted
    used: list[list[Instance]] = field(default_factory=list)  # beside each stack
    dropped: list[Dropped] = field(default_factory=list)
    resampled: list[int] = field(default_factory=list)  # indices of stacks with unequal numbers of phases


# --- grouping ---------------------------------------------------------------------------------------------------
def is_inversion(instance: Instance) -> bool:
    """Whether the contrast was prepared by an inversion pulse (late enhancement, T1 maps)."""
    return "IR" in instance.scanning or number_of(instance, "InversionTime") > 0


def contrast(instance: Instance) -> str:
    """Kind of image by ImageType: magnitude, phase-sensitive inversion recovery (psir), velocity/phase, or a map."""
    words = {word for value in instance.image_type for word in value.replace("_", " ").split()}
    if words & {"MAP", "ECV", "PERFUSION", "MOSAIC"}:
        return "map"
    if words & {"PSIR", "PS"} or (words & {"P", "R"} and is_inversion(instance)):  # phase or real part
        return "psir"
    return "phase" if words & {"P", "VELOCITY"} or "PHASE" in instance.image_type[2:3] else "magnitude"


def frames_are_shared(instances: Iterable[Instance]) -> bool:
    """Whether FrameOfReferenceUID means nothing here: a de-identifier gave several to one series (GE, public data).

    One series is one coordinate system by construction, so all images of such a study are taken as one.
    """
    by_series: dict[str, set[str]] = {}
    for item in instances:
        by_series.setdefault(item.series_uid, set()).add(item.frame_of_reference)
    return any(len(frames) > 1 for frames in by_series.values())


def _grid(instance: Instance, *, shared: bool) -> tuple:
    """What must agree exactly for two images to share a stack."""
    return (
        "" if shared else instance.frame_of_reference,
        instance.raw.shape,
        tuple(round(side, 3) for side in instance.spacing_mm),
        is_inversion(instance),
        contrast(instance),
    )


def plane_groups(instances: Sequence[Instance]) -> list[list[Instance]]:
    """Instances on the same pixel grid (up to a shift): same key of `_grid`, both directions within 2 degrees."""
    by_grid: dict[tuple, list[list[Instance]]] = {}
    shared = frames_are_shared(instances)
    for item in instances:
        groups = by_grid.setdefault(_grid(item, shared=shared), [])
        for group in groups:
            first = group[0]
            rows, cols = first.row_direction @ item.row_direction, first.col_direction @ item.col_direction
            if min(rows, cols) > PARALLEL:
                group.append(item)
                break
        else:
            groups.append([item])
    return [group for groups in by_grid.values() for group in groups]


def cut_slices(group: Sequence[Instance]) -> list[list[Instance]]:
    """Instances of one plane group by position along the normal; SliceLocation is not the geometry and is not used."""
    normal = group[0].normal
    positions = np.array([item.origin_mm @ normal for item in group])
    order = np.argsort(positions, kind="stable")
    slices: list[list[Instance]] = []
    for before, now in zip(np.r_[order[0], order[:-1]], order, strict=True):
        if not slices or positions[now] - positions[before] > SLICE_MM:
            slices.append([])
        slices[-1].append(group[now])
    return slices


# --- repeats ----------------------------------------------------------------------------------------------------


def _complete(run: Sequence[Instance]) -> tuple[int, str]:
    """Rank of a run among repeats of a slice: most phases first, then the latest acquisition."""
    key = phase_key(run)
    phases = len({number_of(item, key) for item in run}) if key else 1
    return phases, max(item.acquired for item in run)


def _split(items: Sequence[Instance], name: Callable[[Instance], object]) -> list[list[Instance]]:
    parts: dict[object, list[Instance]] = {}
    for item in items:
        parts.setdefault(name(item), []).append(item)
    return list(parts.values())


def _beats(series: Sequence[Instance], beat: int) -> list[list[Instance]]:
    """One series of a slice, cut into whole beats if it can be: by acquisition number, time, or order of instances."""
    in_order = sorted(series, key=lambda item: number_of(item, "InstanceNumber"))
    chunks = [in_order[start : start + beat] for start in range(0, len(in_order), beat)]
    rising = all(
        (np.diff([number_of(item, phase_key(chunk) or "TriggerTime") for item in chunk]) > 0).all() for chunk in chunks
    )
    ways = [
        _split(series, lambda item: number_of(item, "AcquisitionNumber")),
        _split(series, lambda item: item.acquired),
        chunks if rising else [],
    ]
    whole = [parts for parts in ways if len(parts) > 1 and all(len(part) == beat for part in parts)]
    return whole[0] if whole else [list(series)]


def runs_of(items: Sequence[Instance]) -> list[list[Instance]]:
    """Acquisitions of one slice: by series; inside a series by beats, where it holds several.

    AcquisitionNumber numbers the phases on some scanners and the repeats on others: it separates repeats only where
    each part is one whole beat of CardiacNumberOfImages.
    """
    runs = []
    for series in _split(items, lambda item: item.series_uid):
        beat = number_of(series[0], "CardiacNumberOfImages")
        several = beat > 1 and len(series) > beat and len(series) % beat == 0
        runs += _beats(series, int(beat)) if several else [series]
    return runs


def choose_run(items: Sequence[Instance]) -> tuple[list[Instance], list[Instance]]:
    """The acquisition of a slice to use, and the instances of the others."""
    runs = runs_of(items)
    best = max(range(len(runs)), key=lambda index: (*_complete(runs[index]), index))
    return runs[best], [item for index, run in enumerate(runs) if index != best for item in run]


# --- kinds ------------------------------------------------------------------------------------------------------
def sequence_of(run: Sequence[Instance]) -> tuple[types.Sequence, str]:
    """Cine, late enhancement or other (with the code under which its files are set aside), by physics.

    Cine: several phases of one beat, no inversion. Late enhancement: inversion recovery, one inversion time.
    """
    key, kind = phase_key(run), contrast(run[0])
    echoes = [number_of(item, "EchoTime") for item in run]
    if kind in ("map", "phase") or max(echoes) - min(echoes) > ECHO_MS:
        return types.Sequence.OTHER, "N_OTHER_SEQUENCE"
    if is_inversion(run[0]):
        inversions = {round(number_of(item, "InversionTime")) for item in run if number_of(item, "InversionTime") > 0}
        timed = key in TIMES and len(run) > 3
        if len(inversions) > 1 or timed:
            return types.Sequence.OTHER, "N_OTHER_SEQUENCE"  # inversion-time scout, T1 map
        return types.Sequence.LGE, ""
    times = [number_of(item, key) for item in run] if key in TIMES else []
    if times and max(times) - min(times) < CINE_SPAN_MS:
        return types.Sequence.OTHER, "N_OTHER_SEQUENCE"
    if times or key in RANKS or (key and (len(run) >= BARE_CINE or number_of(run[0], "CardiacNumberOfImages") > 1)):
        return types.Sequence.CINE, ""
    return types.Sequence.OTHER, "N_LOCALISER"


def adjacent(positions_mm: Sequence[float]) -> list[list[int]]:
    """Indices of sorted positions, cut where the gap is too wide for one stack."""
    gaps = np.diff(positions_mm)
    limit = LONE_GAP_MM if len(positions_mm) < 4 else max(LONE_GAP_MM, STACK_GAP * float(np.median(gaps)))
    parts: list[list[int]] = [[0]]
    for index, gap in enumerate(gaps, start=1):
        if gap > limit:
            parts.append([])
        parts[-1].append(index)
    return parts


# --- building ---------------------------------------------------------------------------------------------------
def vendor_of(manufacturer: str) -> str:
    """A code for the maker: siemens, ge, philips, canon, other, or unknown where nothing is said."""
    name = manufacturer.lower() + " "
    found = [code for start, code in VENDORS.items() if name.startswith(start)]
    return found[0] if found else ("other" if manufacturer.strip() else "unknown")


def _facts(runs: Sequence[SliceRun]) -> dict[str, float | int | str]:
    first = runs[0].instances[0]
    beats = [run.rr_ms for run in runs if np.isfinite(run.rr_ms)]
    numbers = {
        "field_strength_t": number_of(first, "MagneticFieldStrength"),
        "thickness_mm": number_of(first, "SliceThickness"),
        "rr_ms": float(np.median(beats)) if beats else float("nan"),
    }
    return {"vendor": vendor_of(first.manufacturer), "contrast": contrast(first), **numbers}


def _equal_phases(run: SliceRun, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames and times of a slice with exactly `count` phases."""
    frames = np.stack([item.pixels() for item in run.instances])
    if len(frames) == count:
        return frames, run.trigger_ms
    return resample_phases(frames, run.trigger_ms, run.rr_ms, count), np.arange(count) * run.rr_ms / count


def build_stack(sequence: types.Sequence, runs: Sequence[SliceRun], keys: tuple[str, ...]) -> types.Stack:
    """A stack from slices in order of position; unequal numbers of phases are resampled to the median number."""
    count = int(np.median([len(run.instances) for run in runs]))
    frames, times = zip(*(_equal_phases(run, count) for run in runs), strict=True)
    first = runs[0].instances[0]
    return types.Stack(
        sequence=sequence,
        view=types.View.UNKNOWN,
        pixels=np.stack(frames),
        origins_mm=np.stack([run.instances[0].origin_mm for run in runs]),
        row_direction=first.row_direction,
        col_direction=first.col_direction,
        spacing_mm=first.spacing_mm,
        trigger_ms=np.stack(times).astype(np.float64),
        series_keys=keys,
        facts=_facts(runs),
    )


def _sorted_runs(group: Sequence[Instance], dropped: list[Dropped]) -> dict[types.Sequence, list[SliceRun]]:
    """The slices of one plane group by kind; what is not used goes to `dropped`."""
    found: dict[types.Sequence, list[SliceRun]] = {}
    for items in cut_slices(group):
        run, repeats = choose_run(items)
        sequence, code = sequence_of(run)
        if sequence == types.Sequence.OTHER:
            dropped += [(item, code) for item in items]
            continue
        ordered, doubles = order_phases(float(run[0].origin_mm @ group[0].normal), run)
        if sequence == types.Sequence.LGE and len(ordered.instances) > 1:  # averages of one still image: keep the last
            doubles += ordered.instances[:-1]
            ordered = SliceRun(ordered.position_mm, ordered.instances[-1:], np.zeros(1), ordered.rr_ms)
        dropped += [(item, "N_REPEAT") for item in (*repeats, *doubles)]
        found.setdefault(sequence, []).append(ordered)
    return found


def drop_magnitudes(found: list[tuple[types.Sequence, list[SliceRun]]], dropped: list[Dropped]) -> list:
    """Late enhancement may come in pairs: where a phase-sensitive stack covers a plane, its magnitude is dropped."""
    best = [runs for _, runs in found if contrast(runs[0].instances[0]) == "psir"]
    kept = []
    for sequence, runs in found:
        first = runs[0].instances[0]
        twin = any(
            abs(first.normal @ other[0].instances[0].normal) > PARALLEL
            and min(abs(one.instances[0].origin_mm - first.origin_mm).max() for one in other) < SLICE_MM
            for other in best
            if sequence == types.Sequence.LGE and contrast(first) != "psir"
        )
        if twin:
            dropped += [(item, "N_REPEAT") for run in runs for item in run.instances]
        else:
            kept.append((sequence, runs))
    return kept


def build_stacks(instances: Sequence[Instance], series_key: Callable[[str], str]) -> Built:
    """All cine and late-enhancement stacks of a study, views still unknown, in order of size (largest first).

    `series_key` names a SeriesInstanceUID. Every instance is either in `used` or in `dropped`.
    """
    built, found = Built(), []
    for group in plane_groups(instances):
        for sequence, runs in _sorted_runs(group, built.dropped).items():
            for part in adjacent([run.position_mm for run in runs]):
                found.append((sequence, [runs[index] for index in part]))
    found = drop_magnitudes(found, built.dropped)
    found.sort(key=lambda item: (-len(item[1]), item[0].value, min(one.series_uid for one in item[1][0].instances)))
    for index, (sequence, runs) in enumerate(found):
        used = [item for run in runs for item in run.instances]
        keys = tuple(sorted({series_key(item.series_uid) for item in used}))
        built.stacks.append(build_stack(sequence, runs, keys))
        built.descriptions.append(used[0].description)
        built.used.append(used)
        if len({len(run.instances) for run in runs}) > 1:
            built.resampled.append(index)
    return built
