"""Does anything stand on both sides of a split? Every pair of studies that two splits share, and by which print.

Kinds of print, each compared between splits only:
- `patient`, `study`: the same key;
- `pixels`: a clip with the same bytes (a study that was exported twice under other numbers);
- `look`: the middle cine looks the same (encoded again, brighter, noisier): a perceptual hash of three of its frames,
  the signs of the low cosine frequencies against their median (after Zauner 2010, Implementation and Benchmarking of
  Perceptual Image Hash Functions), at most `MOST_DIFFERENT` of the bits unlike;
- `report`, `near report`: the same words, or at least 0.9 of the word triples (`reports.sameness`).
Ready-made wording is set aside and counted: a report with fewer than three different numbers ("Normal study. …") is
said of many patients and identifies none of them. Flipped, turned or cropped images are not recognised by `look`.

Keys only are named, never a report's words.
"""

import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool
from PIL import Image
from scipy.fft import dctn

from cmr_lib.clips.store import ClipStore
from cmr_lib.reports import sameness
from cmr_lib.types import StoredFrames

KINDS = ("patient", "study", "pixels", "look", "report", "near report")
COLUMNS = ["kind", "study", "other_study", "split", "other_split", "likeness"]
EDGE_PX, FREQUENCIES, FRAMES = 32, 16, 3
BITS = FRAMES * (FREQUENCIES**2 - 1)  # without the mean of each frame
# On the synthetic phantoms different patients differ in at least 0.154 of the bits, a study that was made up to a
# quarter brighter or darker and noisier in at most 0.099.
MOST_DIFFERENT = 0.125
FEWEST_NUMBERS = 3
BLOCK = 1024

Pair = tuple[int, int]
Look = Bool[np.ndarray, " bits"]


@dataclass(frozen=True)
class Prints:
    """What a study can be recognised by; all parts have one entry a study, in the order of `studies`.

    studies: columns study_key, patient_key, split. pixels: SHA-256 of each clip that is not of one grey. look: all
    False where a study has no picture. reports: "" where there is none.
    """

    studies: pd.DataFrame
    pixels: Sequence[frozenset[str]]
    look: Bool[np.ndarray, "studies bits"]
    reports: Sequence[str]

    def __post_init__(self) -> None:
        sizes = len(self.studies), len(self.pixels), len(self.look), len(self.reports)
        if len(set(sizes)) > 1:
            raise ValueError("Not aligned: {} studies, pixels of {}, looks of {}, {} reports.".format(*sizes))


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    pairs: a row for each pair and kind (COLUMNS), likeness in [0, 1]. counts: of each kind, the pairs, and the
    ready-made reports that were not compared.
    """

    pairs: pd.DataFrame
    counts: pd.DataFrame

    def check(self) -> None:
        """Raises ValueError that names the first pairs; nothing happens where no pair is shared."""
        if not len(self.pairs):
            return
        shown = [f"{row.study}/{row.other_study} ({row.kind})" for row in self.pairs.head(5).itertuples()]
        raise ValueError(
            f"{len(self.pairs)} prints are shared between splits, where none may be: {', '.join(shown)} …; move both "
            "studies into one split."
        )


# --- prints -----------------------------------------------------------------------------------------------------
def pixel_print(frames: StoredFrames) -> str:
    """SHA-256 of a clip's shape and bytes; "" for a clip of one grey, which proves nothing."""
    if not frames.size or frames.min() == frames.max():
        return ""
    return hashlib.sha256(repr(frames.shape).encode() + np.ascontiguousarray(frames).tobytes()).hexdigest()


def look_print(frames: StoredFrames) -> Look:
    """The perceptual hash of a clip's first frame and of those a third and two thirds through it."""
    chosen = [frames[number * len(frames) // FRAMES] for number in range(FRAMES)]
    size = (EDGE_PX, EDGE_PX)
    small = np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX)) for frame in chosen])
    waves = dctn(small.astype(float), axes=(1, 2), norm="ortho")[:, :FREQUENCIES, :FREQUENCIES]
    waves = waves.reshape(FRAMES, -1)[:, 1:]
    return (waves > np.median(waves, axis=1, keepdims=True)).ravel()


def prints_of(store: ClipStore, studies: pd.DataFrame, reports: Sequence[str]) -> Prints:
    """Prints of a cohort: its clips, its table (study_key, patient_key, split) and its reports, "" where none is.

    Every frame of the store is read once. Raises KeyError for a study without clips.
    """
    pixels, looks = [], []
    for key in studies["study_key"]:
        rows = store.of_study(key).index
        pixels.append(frozenset(pixel_print(store.frames(int(row))) for row in rows) - {""})
        looks.append(look_print(store.frames(store.middle_cine(key))))
    look = np.stack(looks) if looks else np.zeros((0, BITS), dtype=bool)
    return Prints(studies, pixels, look, list(reports))


# --- pairs ------------------------------------------------------------------------------------------------------
def _sharing(keys: Sequence[Iterable[Hashable]], splits: Sequence[str]) -> set[Pair]:
    """Pairs of rows of different splits that have a key in common."""
    holders: dict[Hashable, list[int]] = defaultdict(list)
    for row, found in enumerate(keys):
        for key in found:
            holders[key].append(row)
    pairs = (pair for rows in holders.values() for pair in itertools.combinations(rows, 2))
    return {(one, other) for one, other in pairs if splits[one] != splits[other]}


def _alike(look: Bool[np.ndarray, "studies bits"], splits: Sequence[str]) -> Iterator[tuple[Pair, float]]:
    """Pairs of rows of different splits that look the same, and the share of equal bits; block by block."""
    known = np.flatnonzero(look.any(axis=1))
    signs = np.where(look[known], 1, -1).astype(np.float32)
    side = np.unique(np.asarray(splits, dtype=str), return_inverse=True)[1][known]
    for start in range(0, len(known), BLOCK):
        rows = slice(start, start + BLOCK)
        equal = (1 + signs[rows] @ signs.T / max(look.shape[1], 1)) / 2
        wanted = (equal >= 1 - MOST_DIFFERENT) & (side[rows, None] != side)
        for one, other in np.argwhere(wanted):
            if one + start < other:
                yield (int(known[one + start]), int(known[other])), float(equal[one, other])


def is_ready_made(report: str) -> bool:
    """Whether a report has too few different numbers to tell one patient from another."""
    return len(set(re.findall(r"\d+(?:[.,]\d+)?", report))) < FEWEST_NUMBERS


def _report_pairs(reports: Sequence[str], splits: Sequence[str]) -> dict[str, dict[Pair, float]]:
    """Shared reports by kind; ready-made wording is not compared."""
    rows = [row for row, report in enumerate(reports) if report.strip() and not is_ready_made(report)]
    texts, sides = [reports[row] for row in rows], [splits[row] for row in rows]
    exact = _sharing([[sameness.exact_key(text)] for text in texts], sides)
    near = sorted(_sharing([[group] for group in sameness.near_groups(texts).tolist()], sides) - exact)
    words = {place: sameness.shingles(texts[place]) for pair in near for place in pair}
    likeness = {pair: sameness.jaccard(words[pair[0]], words[pair[1]]) for pair in near}
    likeness = {pair: value for pair, value in likeness.items() if value >= sameness.NEAR}  # a group may be a chain
    found = {"report": dict.fromkeys(exact, 1.0), "near report": likeness}
    return {kind: {(rows[a], rows[b]): value for (a, b), value in pairs.items()} for kind, pairs in found.items()}


def audit(prints: Prints) -> Audit:
    """Every pair of studies of different splits that shares a print.

    Raises ValueError where a study has no split or no key.
    """
    keys = prints.studies[["study_key", "patient_key", "split"]].astype(str)
    if prints.studies[list(keys)].isna().to_numpy().any() or (keys == "").to_numpy().any():
        raise ValueError("The table of studies has a row without study_key, patient_key or split: every row needs all.")
    splits = keys["split"].tolist()
    shared: dict[str, dict[Pair, float]] = {
        "patient": dict.fromkeys(_sharing([[key] for key in keys["patient_key"]], splits), 1.0),
        "study": dict.fromkeys(_sharing([[key] for key in keys["study_key"]], splits), 1.0),
        "pixels": dict.fromkeys(_sharing(prints.pixels, splits), 1.0),
        "look": dict(_alike(prints.look, splits)),
    }
    shared |= _report_pairs(prints.reports, splits)
    names = keys["study_key"].tolist()
    rows = [
        (kind, names[one], names[other], splits[one], splits[other], likeness)
        for kind in KINDS
        for (one, other), likeness in sorted(shared[kind].items())
    ]
    aside = sum(bool(report.strip()) and is_ready_made(report) for report in prints.reports)
    counts = [(kind, len(shared[kind]), aside if "report" in kind else 0) for kind in KINDS]
    return Audit(pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame(counts, columns=["kind", "pairs", "set_aside"]))
