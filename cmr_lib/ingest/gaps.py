"""What is missing from a stack: a slice between its neighbours, or a phase of the beat, counted from 1.

A gap is told by regularity alone: slices are planned at even distances and phases of a beat at even times, so a gap of
about two steps, among steps that agree otherwise, is something that did not arrive. It is remarked, not filled.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from cmr_lib.ingest.phases import TIMES, number_of, phase_key
from cmr_lib.ingest.reading import Instance
from cmr_lib.ingest.stacks import cut_slices

WIDE = 1.6  # steps: between one (nothing is missing) and two (one is)
EVEN = 0.25  # share of a step by which the others may differ from the median


def missing(places: Float[np.ndarray, " places"]) -> list[int]:
    """Numbers (from 1, the missing ones counted) that are left out of increasing, otherwise even places.

    Fewer than four places, or uneven ones, say nothing.
    """
    steps = np.diff(places)
    step = float(np.median(steps)) if len(steps) >= 3 else 0.0
    wide = steps > WIDE * step
    if step <= 0 or (np.abs(steps[~wide] - step) > EVEN * step).any():
        return []
    counts = np.where(wide, np.round(steps / step), 1).astype(int)
    numbers = np.concatenate([[1], 1 + np.cumsum(counts)])
    return sorted(set(range(1, int(numbers[-1]) + 1)) - set(numbers.tolist()))


def gaps_of(used: Sequence[Instance]) -> Iterator[tuple[Instance, str]]:
    """What is missing from a stack's instances: an instance of the series beside it, and "slice 3" or "phase 7"."""
    normal = used[0].normal
    slices = cut_slices(used)
    positions = np.array([float(np.median([item.origin_mm @ normal for item in run])) for run in slices])
    yield from ((slices[0][0], f"slice {number}") for number in missing(positions))
    for run in slices:
        key = phase_key(run)
        if key in TIMES:
            times = np.array(sorted({number_of(item, key) for item in run}))
            yield from ((run[0], f"phase {number}") for number in missing(times))
