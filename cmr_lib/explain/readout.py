"""What the read-out token looks at, study by study: the maps of a model over the images of a clip store."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, UInt8

from cmr_lib import params
from cmr_lib.clips import augment, dataset
from cmr_lib.clips.dataset import Store
from cmr_lib.explain import rollout
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.models.study import StudyImages


@dataclass(frozen=True)
class Looked:
    """Maps of n studies with f places in the frame plan each; `space` and `time` sum to 1 over a study."""

    frames: UInt8[np.ndarray, "n f crop crop"]
    space: Float[np.ndarray, "n f rows cols"]
    time: Float[np.ndarray, "n f"]
    present: Bool[np.ndarray, "n f"]
    places: pd.DataFrame  # one row a place of the plan: view, sequence, position, phase

    def captions(self) -> list[str]:
        """A short name for each place: view, slice position, phase."""
        still = self.places["sequence"] == "lge"
        return [
            f"{row.view} {row.position:.1f} LGE"
            if is_still
            else f"{row.view} {row.position:.1f} {100 * row.phase:.0f}%"
            for row, is_still in zip(self.places.itertuples(), still, strict=True)
        ]


@dataclass(frozen=True)
class Shown:
    """What the model is given of some studies: its images, the same as pixels, and what stands in each place."""

    images: StudyImages
    frames: UInt8[np.ndarray, "n f crop crop"]
    places: pd.DataFrame

    @property
    def present(self) -> Bool[np.ndarray, "n f"]:
        """True where the study has the image."""
        return self.images.mask.numpy()

    @property
    def kinds(self) -> list[str]:
        """What a place shows in words: view, with its sequence where it is still."""
        return kinds_of(self.places).tolist()

    def part(self, rows: slice) -> "Shown":
        """Some of the studies; also none, for a model that has no maps."""
        return Shown(self.images.part(rows), self.frames[rows], self.places)


def kinds_of(places: pd.DataFrame) -> pd.Series:
    """View of each place of a plan, with its sequence where it is still."""
    return places["view"].where(places["sequence"] == "cine", places["view"] + " LGE")


def show(clips: Store, study_keys: Sequence[str], plan: params.FramePlan, shift: tuple[int, int] = (0, 0)) -> Shown:
    """Images of these studies, the middle of every stored frame moved by `shift` pixels (down, right).

    Raises ValueError, in a sentence, where no study is chosen, one has no image of the plan, or the shift leaves the
    stored frame.
    """
    if not len(study_keys):
        raise ValueError("No study was chosen: there is nothing to look at.")
    studies = dataset.StudyDataset(clips, list(study_keys), plan)
    batch = dataset.collate([studies[i] for i in range(len(studies))])
    edge = (batch["frames"].shape[-1] - plan.crop_px) // 2
    if max(map(abs, shift)) > edge:
        raise ValueError(f"A shift of {shift} px leaves the stored frame: {edge} px at most are left on each side.")
    moved = torch.roll(batch["frames"], (-shift[0], -shift[1]), dims=(3, 4))
    images = StudyImages.of(batch, frames=augment.centre_crop(moved, plan.crop_px))
    frames = moved[:, :, 0, edge : edge + plan.crop_px, edge : edge + plan.crop_px]
    planned = dataset.places(plan)
    table = pd.DataFrame(
        {
            "view": [place.view.value for place in planned],
            "sequence": [place.sequence.value for place in planned],
            "position": [place.position for place in planned],
            "phase": [place.phase for place in planned],
        }
    )
    return Shown(images, frames.numpy(), table)


def look(
    model: CMRformer,
    clips: Store,
    study_keys: Sequence[str],
    plan: params.FramePlan,
    method: rollout.Method = "readout",
    target: Float[np.ndarray, "n embed"] | None = None,
) -> Looked:
    """One kind of map (`rollout.METHODS`) for these studies (centre crops, evaluation mode)."""
    shown = show(clips, study_keys, plan)
    return looked_by(model, shown, (method,), target)[method]


def looked_by(
    model: CMRformer,
    shown: Shown,
    methods: tuple[rollout.Method, ...] = rollout.METHODS,
    target: Float[np.ndarray, "n embed"] | None = None,
) -> dict[str, Looked]:
    """Maps of what is shown, by method, from one forward pass; `target` as in `rollout.explain`.

    Where no study is shown the model is not asked, so it may be one without maps: maps of (0, f, 1, 1).
    """
    if not len(shown.frames):
        bare = np.zeros((0, shown.frames.shape[1], 1, 1), np.float32)
        none = Looked(shown.frames, bare, bare.sum((2, 3)), shown.present, shown.places)
        return dict.fromkeys(methods, none)
    goal = None if target is None else torch.from_numpy(np.asarray(target, dtype=np.float32))
    found = rollout.explain(model, shown.images, methods, goal)
    return {
        method: Looked(shown.frames, space.numpy(), space.sum((2, 3)).numpy(), shown.present, shown.places)
        for method, space in found.items()
    }


def fine(
    model: CMRformer,
    clips: Store,
    study_keys: Sequence[str],
    plan: params.FramePlan,
    methods: tuple[rollout.Method, ...] = rollout.METHODS,
    target: Float[np.ndarray, "n embed"] | None = None,
) -> dict[str, Float[np.ndarray, "n f crop crop"]]:
    """Maps in pixels, finer than a patch: the mean of four grids, each moved by a quarter of a patch to two sides.

    A patch of the model is large beside a wall of the heart. The four crops lie half a patch apart, as far as training
    moves them anyway, so their mean is made of cells of half a patch. Values are the weight of a patch; where a moved
    crop does not reach, the mean is over those that do.
    """
    step, size = model.config.video.patch_px // 4, plan.crop_px
    total: dict[str, np.ndarray] = {}
    seen = np.zeros((size, size))
    for down, right in itertools.product((-step, step), repeat=2):
        shown = show(clips, study_keys, plan, (down, right))
        seen += _moved(np.ones((size, size)), down, right)
        for method, looked in looked_by(model, shown, methods, target).items():
            patch = size // looked.space.shape[-1]
            pixels = looked.space.repeat(patch, axis=2).repeat(patch, axis=3)
            total[method] = total.get(method, 0.0) + _moved(pixels, down, right)
    return {method: values / np.maximum(seen, 1) for method, values in total.items()}


def _moved(maps: Float[np.ndarray, "*n size size"], down: int, right: int) -> Float[np.ndarray, "*n size size"]:
    """Maps of a moved crop laid back onto the centre crop; 0 where it does not reach."""
    size, found = maps.shape[-1], np.zeros_like(maps)
    to = tuple(slice(max(0, step), size + min(0, step)) for step in (down, right))
    of = tuple(slice(max(0, -step), size + min(0, -step)) for step in (down, right))
    found[(..., *to)] = maps[(..., *of)]
    return found


def weight_rows(looked: Looked) -> pd.DataFrame:
    """Mean weight of an image of each view and phase, a row a study that has one.

    Columns: study (row number), view (with the sequence where it is still), phase (NaN for stills), weight.
    """
    places, parts = looked.places, []
    phase = places["phase"].where(places["sequence"] == "cine")
    for (view, when), members in places.groupby([kinds_of(places), phase], dropna=False, sort=True):
        seen = looked.present[:, members.index.to_numpy()]
        weight = np.where(seen, looked.time[:, members.index.to_numpy()], 0.0).sum(axis=1)
        rows = np.flatnonzero(seen.any(axis=1))
        there = {"study": rows, "view": view, "phase": when, "weight": weight[rows] / seen.sum(axis=1)[rows]}
        parts.append(pd.DataFrame(there))
    return pd.concat(parts, ignore_index=True)


def uniform(looked: Looked) -> float:
    """The weight of an image if all images of a study counted alike, mean over studies."""
    return float((1 / looked.present.sum(axis=1)).mean()) if len(looked.present) else 1.0
