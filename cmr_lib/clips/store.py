"""The clip store: all frames of all clips in a few .npy files, and one index that says where each clip lies.

A store holds numbers and closed vocabularies only: no identifier, no date, no text. Shards are opened as memory maps:
reading a clip costs its own bytes.
"""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from cmr_lib import params, project
from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.types import StoredFrames

SHARD_BYTES = 128 * 2**20
INDEX_TYPES = {
    "study_key": "str",
    "clip": "int64",
    "view": "str",
    "sequence": "str",
    "slice": "int64",
    "position": "float64",
    "n_frames": "int64",
    "shard": "int64",
    "offset": "int64",
    "phase_of_es": "float64",
    "spacing_mm": "float64",
}
INDEX_NAME = "index.parquet"


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"frames-{number:03d}.npy"


class _Shards:
    """Frames on their way to disk: kept until a shard is full, then written whole."""

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self.folder, self.shard_bytes = folder, shard_bytes
        self.waiting: list[UInt8[np.ndarray, "f h w"]] = []
        self.bytes, self.frames, self.number = 0, 0, 0

    def add(self, frames: UInt8[np.ndarray, "f h w"]) -> tuple[int, int]:
        """Take a clip; returns its shard and the row of its first frame there."""
        if self.waiting and self.bytes + frames.nbytes > self.shard_bytes:
            self.flush()
        place = self.number, self.frames
        self.waiting.append(frames)
        self.bytes += frames.nbytes
        self.frames += len(frames)
        return place

    def flush(self) -> None:
        if self.waiting:
            frames, self.waiting = np.concatenate(self.waiting), []  # the clips go before the file's copy comes
            project.write_array(self.folder / shard_name(self.number), frames)
            self.bytes, self.frames = 0, 0
            self.number += 1


def _row(study_key: str, number: int, clip: PreparedClip, place: tuple[int, int]) -> dict[str, object]:
    return {
        "study_key": study_key,
        "clip": number,
        "view": clip.view.value,
        "sequence": clip.sequence.value,
        "slice": clip.slice_number,
        "position": clip.position,
        "n_frames": len(clip.frames),
        "shard": place[0],
        "offset": place[1],
        "phase_of_es": clip.phase_of_es,
        "spacing_mm": clip.spacing_mm,
    }


def write_store(
    folder: Path | str,
    studies: Iterable[tuple[str, Sequence[PreparedClip]]],
    shard_bytes: int = SHARD_BYTES,
) -> pd.DataFrame:
    """Write the clips of (study_key, clips) pairs, in the order given; returns the index, sorted by study and clip.

    Shards of an older store in the folder are removed first. The same clips in the same order give the same bytes.
    """
    folder = Path(folder)
    for old in [*folder.glob("frames-*.npy"), *folder.glob(INDEX_NAME)]:
        old.unlink()
    shards, rows = _Shards(folder, shard_bytes), []
    for study_key, clips in studies:
        for number, clip in enumerate(clips):
            place = shards.add(clip.frames)
            rows.append(_row(study_key, number, clip, place))
    shards.flush()
    index = pd.DataFrame(rows, columns=list(INDEX_TYPES)).astype(INDEX_TYPES)
    index = index.sort_values(["study_key", "clip"], ignore_index=True)
    project.write_table(folder / INDEX_NAME, index)
    return index


class ClipStore:
    """A store on disk. `index` has one row a clip; `frames(n)` gives the frames of row n of the index.

    Raises FileNotFoundError, with the stage that makes it, if there is no store in the folder.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.index = pd.read_parquet(project.require(self.folder / INDEX_NAME, "the stage preprocess"))
        self._shards: dict[int, np.ndarray] = {}
        self._shard, self._offset, self._length = (
            self.index[name].to_numpy() for name in ("shard", "offset", "n_frames")
        )
        self._rows = self.index.groupby("study_key", sort=False).indices

    def __len__(self) -> int:
        return len(self.index)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_shards": {}}  # a worker process opens its own memory maps

    @property
    def study_keys(self) -> list[str]:
        """Studies of the store, sorted."""
        return sorted(self._rows)

    @functools.cached_property
    def vendors(self) -> dict[str, str]:
        """Maker of the scanner by study, from the study table beside the store; raises FileNotFoundError without it."""
        table = project.require(self.folder.parent / "studies.parquet", "the stage preprocess (for frames.vendors)")
        studies = pd.read_parquet(table, columns=["study_key", "vendor"])
        return dict(zip(studies["study_key"], studies["vendor"], strict=True))

    def frames(self, row_number: int) -> StoredFrames:
        """Frames of one clip: uint8 (frames, height, width), a read-only view of the file."""
        number = int(self._shard[row_number])
        if number not in self._shards:
            path = project.require(self.folder / shard_name(number), "the stage preprocess")
            self._shards[number] = np.load(path, mmap_mode="r", allow_pickle=False)
        start = int(self._offset[row_number])
        return self._shards[number][start : start + int(self._length[row_number])]

    def clip_shape(self) -> params.ClipShape:
        """What a cine of this store looks like, for new studies to be cut alike; ValueError where nothing moves."""
        cine = self.index.index[self.index["sequence"] == "cine"]
        first = int(cine[0]) if len(cine) else 0
        frames, spacing = self.frames(first), float(self.index["spacing_mm"].iloc[first])
        return params.ClipShape(size_px=frames.shape[1], spacing_mm=spacing, phases=len(frames))

    def middle_cine(self, study_key: str) -> int:
        """Row of the middle short-axis cine; of the middle of what there is where a study has none. Raises KeyError."""
        index = self.of_study(study_key)
        for wanted in ((index["view"] == "sax") & (index["sequence"] == "cine"), index["sequence"] == "cine"):
            if wanted.any():
                index = index[wanted].sort_values("position", kind="stable")
                break
        return int(index.index[len(index) // 2])

    def of_study(self, study_key: str) -> pd.DataFrame:
        """The study's rows of the index (their labels are row numbers for `frames`). Raises KeyError."""
        if study_key not in self._rows:
            raise KeyError(f"Study {study_key} is not in this store of {len(self._rows)} studies.")
        return self.index.iloc[self._rows[study_key]]
