"""What an experiment (experiments/dvc.yaml) reads: its settings, and what the demo's stages left."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field

from cmr_lib import params, project
from cmr_lib.clips.store import ClipStore
from cmr_lib.evaluation import embeddings, held_out
from cmr_lib.types import Split


# --- settings ----------------------------------------------------------------------------------------------------
class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Baselines(_Strict):
    """Sizes of the inputs that no network made."""

    bins: Annotated[int, Field(ge=2, le=256)]  # of the histogram of a kind of clip
    grid_px: Annotated[int, Field(ge=1)]  # edge of the small image that a clip is averaged to
    frame_px: Annotated[int, Field(ge=1)]  # the same, of the single frame
    components: Annotated[int, Field(ge=1)]  # principal components of the single frame
    words: Annotated[int, Field(ge=1)]  # words and pairs of words of a report that count


class Ceiling(_Strict):
    """Of retrieval."""

    recall_at: list[Annotated[int, Field(ge=1)]]
    gallery_size: Annotated[int, Field(ge=1)]


class SupervisedRow(_Strict):
    """One tower that learns from labels."""

    name: str  # scratch | fine_tuned | a name of video.name
    epochs: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    studies: Annotated[int, Field(ge=2)] | None  # training studies, whole patients; null: all
    film: tuple[int, int] | None  # frames and side in pixels of what a torchvision body is given; null: its own
    batch_studies: Annotated[int, Field(ge=2)] | None = None  # null: that of all rows
    answered: Annotated[int, Field(ge=2)] | None = None  # test studies that are asked, whole patients; null: all


class Supervised(_Strict):
    """How towers learn from labels."""

    batch_studies: Annotated[int, Field(ge=2)]
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Annotated[float, Field(gt=0)]  # of the gradient
    augment: params.Augment
    rows: list[SupervisedRow]


class Settings(_Strict):
    """experiments/params.yaml."""

    seed: Annotated[int, Field(ge=0)]
    bootstrap: Annotated[int, Field(ge=1)]  # resamples of patients
    probe: params.Probe
    baselines: Baselines
    ceiling: Ceiling
    supervised: Supervised | None = None


# --- material ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Material:
    """What the demo's stages left below `root`: rows of `studies`, `texts` and `image` belong together.

    studies: labels and split. texts: findings and impression, "" without a report. image: the trained model's
    embeddings. reader: who asks for rows, as the log of the test split names it.
    """

    root: Path
    studies: pd.DataFrame
    texts: list[str]
    impressions: list[str]
    image: Float[np.ndarray, "studies embed"]
    reader: str

    @classmethod
    def read(cls, root: Path | str, reader: str) -> "Material":
        """Read outputs/<profile>. Raises FileNotFoundError with the stage that makes what is missing."""
        root = Path(root)
        table = embeddings.read_embeddings(root / "pretrain" / "embeddings")
        studies = pd.read_parquet(project.require(root / "preprocess" / "studies.parquet", "the stage preprocess"))
        studies = studies.set_index("study_key").loc[table.studies["study_key"]].reset_index()
        reports = pd.read_parquet(project.require(root / "preprocess" / "reports.parquet", "the stage preprocess"))
        reports = reports.set_index("study_key").reindex(studies["study_key"]).fillna("")
        texts = (reports["findings"] + " " + reports["impression"]).str.strip()
        return cls(root, studies, texts.tolist(), reports["impression"].tolist(), table.image.astype(float), reader)

    @cached_property
    def clips(self) -> ClipStore:
        """The clip store."""
        return ClipStore(self.root / "preprocess" / "store")

    @cached_property
    def plan(self) -> params.FramePlan:
        """Which images of a study the trained model sees."""
        path = project.require(self.root / "pretrain" / "frames.json", "the stage pretrain")
        return params.FramePlan(**json.loads(path.read_text(encoding="utf-8")))

    def rows(self, split: Split) -> Int[np.ndarray, " rows"]:
        """Row numbers of a split."""
        return held_out.rows_of(split, self.studies["split"], f"experiments: {self.reader}")
