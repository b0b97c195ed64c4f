"""Studies as the model sees them: a fixed plan of images, filled from what a study has.

The plan names short-axis cine positions × phases, long-axis views × phases and late-enhancement positions. Each place
of the plan gets the nearest image the study has; where it has none, the place is zero and masked. Studies of any
make-up thus have the same shape, and an incomplete one is not dropped.
"""

import hashlib
from collections.abc import Iterator
from collections.abc import Sequence as List
from dataclasses import dataclass
from typing import NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from cmr_lib import params
from cmr_lib.types import Sequence, View

VIEWS = tuple(View)  # `view` in a batch counts along this tuple
SEQUENCES = tuple(Sequence)  # and `sequence` along this one


@runtime_checkable
class Store(Protocol):
    """What is needed of a clip store (clips.store.ClipStore): an index, and frames by its row number."""

    index: pd.DataFrame

    def frames(self, row_number: int) -> UInt8[np.ndarray, "frames size size"]:
        """All frames of the clip in this row of the index."""
        ...


@runtime_checkable
class MakersKnown(Protocol):
    """A store that also knows who built the scanners (clips.store.ClipStore)."""

    vendors: dict[str, str]  # by study key


class StudyFrames(TypedDict):
    """One study; f places of the plan."""

    study_key: str
    frames: UInt8[np.ndarray, "f 1 size size"]
    view: Int64[np.ndarray, " f"]
    sequence: Int64[np.ndarray, " f"]
    position: Float32[np.ndarray, " f"]
    phase: Float32[np.ndarray, " f"]
    mask: Bool[np.ndarray, " f"]
    vendor: NotRequired[Int64[np.ndarray, " f"]]  # where the plan tells makers apart


class Batch(TypedDict):
    """Several studies; all but `study_keys` becomes `models.study.StudyImages`."""

    study_keys: list[str]
    frames: UInt8[Tensor, "b f 1 size size"]
    view: Int64[Tensor, "b f"]
    sequence: Int64[Tensor, "b f"]
    position: Float32[Tensor, "b f"]
    phase: Float32[Tensor, "b f"]
    mask: Bool[Tensor, "b f"]
    vendor: NotRequired[Int64[Tensor, "b f"]]


@dataclass(frozen=True)
class Place:
    """One image of the plan."""

    view: View
    sequence: Sequence
    position: float  # 0 base to 1 apex; long-axis planes have one slice, so any
    phase: float  # share of the RR interval; late enhancement is still, so 0


@dataclass(frozen=True)
class Pick:
    """The image chosen for a place: clip `row` of the store's index, its `frame`, and where that image truly lies."""

    row: int
    frame: int
    position: float
    phase: float


def places(plan: params.FramePlan) -> list[Place]:
    """The plan written out, in the order of the frames of a batch."""
    cine, lge = Sequence.CINE, Sequence.LGE
    short = [Place(View.SAX, cine, z, t) for z in plan.sax_positions for t in plan.sax_phases]
    long = [Place(View(name), cine, 0.5, t) for name in plan.lax_views for t in plan.lax_phases]
    return short + long + [Place(View.SAX, lge, z, 0.0) for z in plan.lge_positions]


Clip = tuple[int, float, int]  # row of the store's index, position, number of frames


def pick(place: Place, clips: List[Clip]) -> Pick | None:
    """The image nearest to a place of the plan: first in space, then in time; None when there is no clip.

    `clips` are the study's clips of the place's view and sequence. Of two slices equally near, the first is taken.
    Time is a circle: 0.98 is nearer to 0 than 0.1 is.
    """
    if not clips:
        return None
    row, position, count = min(clips, key=lambda clip: abs(clip[1] - place.position))
    frame = round(place.phase * count) % count
    return Pick(row, frame, position, frame / count)


def by_kind(index: pd.DataFrame) -> dict[tuple[str, str, str], list[Clip]]:
    """Clips of a store's index by (study, view, sequence), in the order of the index."""
    found: dict[tuple[str, str, str], list[Clip]] = {}
    columns = (index[name].tolist() for name in ("study_key", "view", "sequence", "position", "n_frames"))
    for row, (study, view, sequence, position, count) in enumerate(zip(*columns, strict=True)):
        found.setdefault((study, view, sequence), []).append((row, float(position), int(count)))
    return found


def with_any_image(store: Store, study_keys: List[str], plan: params.FramePlan) -> list[str]:
    """Those studies that have at least one image of the plan."""
    wanted = {(place.view.value, place.sequence.value) for place in places(plan)}
    having = {study for study, *kind in by_kind(store.index) if tuple(kind) in wanted}
    return [key for key in study_keys if key in having]


class StudyDataset:
    """Studies of a clip store, in the given order, as `StudyFrames`.

    Raises ValueError when a study has no image of the plan (`with_any_image` says which have).
    """

    def __init__(self, store: Store, study_keys: List[str], plan: params.FramePlan) -> None:
        self.store, self.plan, self.study_keys = store, plan, list(study_keys)
        self._places = places(plan)
        clips = by_kind(store.index)
        self._picks = [
            [pick(place, clips.get((key, place.view.value, place.sequence.value), [])) for place in self._places]
            for key in self.study_keys
        ]
        self._vendors = vendor_codes(store, self.study_keys, plan.vendors) if plan.vendors else None
        bare = [key for key, picks in zip(self.study_keys, self._picks, strict=True) if not any(picks)]
        if bare:
            raise ValueError(
                f"{len(bare)} of {len(self.study_keys)} studies have no image of the frame plan (first: {bare[0]}); "
                "leave them out with clips.dataset.with_any_image."
            )

    def __len__(self) -> int:
        return len(self.study_keys)

    def __iter__(self) -> Iterator[StudyFrames]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> StudyFrames:
        picks = self._picks[i]
        clips = {chosen.row: self.store.frames(chosen.row) for chosen in picks if chosen}
        size = next(iter(clips.values())).shape[-1]
        frames = np.zeros((len(picks), 1, size, size), np.uint8)
        position, phase = np.zeros(len(picks), np.float32), np.zeros(len(picks), np.float32)
        for place, chosen in enumerate(picks):
            if chosen:
                frames[place, 0] = clips[chosen.row][chosen.frame]
                position[place], phase[place] = chosen.position, chosen.phase
        study = StudyFrames(
            study_key=self.study_keys[i],
            frames=frames,
            view=np.array([VIEWS.index(place.view) for place in self._places], np.int64),
            sequence=np.array([SEQUENCES.index(place.sequence) for place in self._places], np.int64),
            position=position,
            phase=phase,
            mask=np.array([chosen is not None for chosen in picks]),
        )
        if self._vendors is not None:
            study["vendor"] = np.full(len(picks), self._vendors[i], np.int64)
        return study


def vendor_codes(store: Store, study_keys: List[str], known: List[str]) -> list[int]:
    """Of each study 1 … for the makers in `known`, 0 for any other. Raises TypeError when the store knows no makers."""
    if not isinstance(store, MakersKnown):
        raise TypeError(f"frames.vendors names {', '.join(known)}, but this store does not know the scanners' makers.")
    codes = {name: number for number, name in enumerate(known, start=1)}
    return [codes.get(store.vendors.get(key, ""), 0) for key in study_keys]


def digest(dataset: StudyDataset) -> str:
    """SHA-256 of every image of every study as the model is given it, with its place."""
    found = hashlib.sha256()
    for study in dataset:
        for name in sorted(study):
            value = study[name]
            found.update(value.tobytes() if isinstance(value, np.ndarray) else str(value).encode())
    return found.hexdigest()


def collate(studies: List[StudyFrames]) -> Batch:
    """Stack studies into a batch."""
    stacked = {
        name: torch.from_numpy(np.stack([study[name] for study in studies]))
        for name in studies[0]
        if name != "study_key"
    }
    return Batch(study_keys=[study["study_key"] for study in studies], **stacked)


def batches(dataset: StudyDataset, size: int) -> Iterator[Batch]:
    """All studies in order, `size` at a time; the last batch may be smaller."""
    for start in range(0, len(dataset), size):
        yield collate([dataset[i] for i in range(start, min(start + size, len(dataset)))])
