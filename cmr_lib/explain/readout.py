"""What the read-out token looks at, study by study: the maps of a model over the images of a clip store."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, UInt8

from cmr_lib import params
from cmr_lib.clips import augment, dataset
from cmr_lib.clips.dataset import Store
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


@torch.inference_mode()
def look(model: CMRformer, clips: Store, study_keys: Sequence[str], plan: params.FramePlan) -> Looked:
    """The last block's read-out attention for these studies (centre crops, evaluation mode).

    No study, where the model has no maps (`model.video.no_maps` says why).
    """
    model.eval()
    if model.video.no_maps or not study_keys:
        return _nobody(plan)
    studies = dataset.StudyDataset(clips, list(study_keys), plan)
    batch = dataset.collate([studies[i] for i in range(len(studies))])
    images = StudyImages.of(batch, frames=augment.centre_crop(batch["frames"], plan.crop_px))
    space, time = model.video.attention_maps(images)
    edge = (batch["frames"].shape[-1] - plan.crop_px) // 2
    frames = batch["frames"][:, :, 0, edge : edge + plan.crop_px, edge : edge + plan.crop_px]
    return Looked(frames.numpy(), space.numpy(), time.numpy(), batch["mask"].numpy(), _places(plan))


def _places(plan: params.FramePlan) -> pd.DataFrame:
    planned = dataset.places(plan)
    return pd.DataFrame(
        {
            "view": [place.view.value for place in planned],
            "sequence": [place.sequence.value for place in planned],
            "position": [place.position for place in planned],
            "phase": [place.phase for place in planned],
        }
    )


def _nobody(plan: params.FramePlan) -> Looked:
    """Maps of no study."""
    places, px = _places(plan), plan.crop_px
    frames, maps = np.zeros((0, len(places), px, px), np.uint8), np.zeros((0, len(places), 1, 1), np.float32)
    return Looked(frames, maps, maps[..., 0, 0], np.zeros((0, len(places)), bool), places)


def weight_table(looked: Looked) -> pd.DataFrame:
    """Mean weight of an image by view and phase, with a normal 95 % interval of the mean over studies.

    Columns: view (with the sequence where it is still), phase (NaN for stills), weight, low, high, n, uniform.
    """
    places, rows = looked.places, []
    group = places["view"].where(places["sequence"] == "cine", places["view"] + " LGE")
    phase = places["phase"].where(places["sequence"] == "cine")
    for (view, when), members in places.groupby([group, phase], dropna=False, sort=True):
        columns = members.index.to_numpy()
        seen = looked.present[:, columns]
        weights = np.where(seen, looked.time[:, columns], 0.0).sum(axis=1)[seen.any(axis=1)]
        weights = weights / seen.sum(axis=1)[seen.any(axis=1)]
        half = 1.96 * weights.std(ddof=1) / np.sqrt(len(weights)) if len(weights) > 1 else np.nan
        mean = float(weights.mean()) if len(weights) else np.nan
        rows.append(
            {"view": view, "phase": when, "weight": mean, "low": mean - half, "high": mean + half, "n": len(weights)}
        )
    return pd.DataFrame(rows).assign(uniform=1 / max(1.0, looked.present.sum() / max(1, len(looked.present))))
