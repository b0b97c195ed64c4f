"""Instances by place: those that share a pixel grid, and there slice by slice, and there the acquisition to use.

A series is not a slice and not a stack: GE sends a whole 4-D cine as one series, Siemens one series a slice, and a
localiser mixes orientations. So the grid, the direction and the position along the normal decide, nothing else.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from cmr_lib.ingest.phases import TIMES, number_of, phase_key
from cmr_lib.ingest.reading import Instance
from cmr_lib.ingest.sequences import contrast, is_inversion

PARALLEL = np.cos(np.deg2rad(2.0))  # directions closer than 2 degrees share a grid
SLICE_MM = 0.5  # positions closer than this along the normal are one slice
LONE_GAP_MM = 30.0  # two or three parallel planes further apart than this are separate planes
ALL_NEW = 4  # series, from which on it is no chance that each has a frame of reference of its own
LONE_IMAGES = 4  # images of a slice, each a series: from here on a cine whose exporter split it by phase
STACK_GAP = 2.6  # in a stack of four or more: a gap of more than this many median gaps separates two stacks


# --- places -----------------------------------------------------------------------------------------------------
def frames_are_shared(instances: Iterable[Instance]) -> bool:
    """Whether FrameOfReferenceUID means nothing here: a de-identifier gave several to one series, or a new one to each.

    One series is one coordinate system by construction, and a scanner keeps it from one series to the next; so all
    images of such a study are taken as one.
    """
    by_series: dict[str, set[str]] = {}
    for item in instances:
        by_series.setdefault(item.series_uid, set()).add(item.frame_of_reference)
    if any(len(frames) > 1 for frames in by_series.values()):
        return True
    return len({min(frames) for frames in by_series.values()}) == len(by_series) >= ALL_NEW


def _grid(instance: Instance, *, shared: bool, flow: bool) -> tuple:
    """What must agree exactly for two images to share a stack."""
    return (
        "" if shared else instance.frame_of_reference,
        instance.raw.shape,
        tuple(round(side, 3) for side in instance.spacing_mm),
        is_inversion(instance),
        instance.inverted,
        contrast(instance),
        flow,
    )


def plane_groups(instances: Sequence[Instance], flow: set[int] | None = None) -> list[list[Instance]]:
    """Instances on the same pixel grid (up to a shift): same key of `_grid`, both directions within 2 degrees.

    `flow` holds the `id` of the images of phase-contrast measurements, which share a grid with nothing else.
    """
    by_grid: dict[tuple, list[list[Instance]]] = {}
    shared = frames_are_shared(instances)
    for item in instances:
        groups = by_grid.setdefault(_grid(item, shared=shared, flow=id(item) in (flow or ())), [])
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
    each part is one whole beat of CardiacNumberOfImages. Where an exporter gave every image a series of its own, the
    images that differ in time are one acquisition.
    """
    runs, parts = [], _split(items, lambda item: item.series_uid)
    lone = [series[0] for series in parts if len(series) == 1]
    if len(lone) >= LONE_IMAGES and phase_key(lone) in TIMES and not is_inversion(lone[0]):
        parts = [*(series for series in parts if len(series) > 1), lone]
    for series in parts:
        beat = number_of(series[0], "CardiacNumberOfImages")
        several = beat > 1 and len(series) > beat and len(series) % beat == 0
        runs += _beats(series, int(beat)) if several else [series]
    return runs


def choose_run(runs: Sequence[list[Instance]]) -> tuple[list[Instance], list[Instance]]:
    """The acquisition of a slice to use, and the instances of the others."""
    best = max(range(len(runs)), key=lambda index: (*_complete(runs[index]), index))
    return runs[best], [item for index, run in enumerate(runs) if index != best for item in run]
