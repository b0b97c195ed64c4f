"""Cohorts that nobody trained on, read like the first one and embedded with the trained model.

The second hospital has a maker and a reader that the first has not; ACDC's layout (the phantom's export, or the real
set) has short-axis cines alone, five classes and an official split. Their clips get the shape that the first cohort's
store has, in a folder that is removed.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmr_lib import params, project
from cmr_lib.clips import dataset
from cmr_lib.clips.build import preprocess
from cmr_lib.clips.store import ClipStore
from cmr_lib.evaluation import embed, embeddings

CAPS = params.Caps(
    seconds=600.0, memory_mib=6144, files=50_000, file_mib=256, study_mib=16_384, ratio=200, depth=16,
    worker_studies=500,
)  # fmt: skip


@dataclass(frozen=True)
class Cohort:
    """Embedded studies with their labels; text rows are NaN without a report."""

    name: str
    studies: pd.DataFrame
    image: Float[np.ndarray, "studies embed"]
    text: Float[np.ndarray, "studies embed"]

    def part(self, rows: np.ndarray) -> "Cohort":
        """Some of its studies."""
        return Cohort(self.name, self.studies.iloc[rows].reset_index(drop=True), self.image[rows], self.text[rows])


def reading(
    source: Literal["simulated", "acdc"], folder: Path, out: Path, clip: params.ClipShape, workers: int
) -> params.Preprocess:
    """Parameters that read a simulated hospital's folder, or a public set's, of phantoms or pseudonyms."""
    columns = params.ReportColumns(patient="patient_id", accession="accession", text="report")
    return params.Preprocess(
        out_dir=str(out),
        data_dir=str(folder),
        seed=0,
        source=source,
        cohort=params.Cohort(
            studies=None if source == "simulated" else str(folder),
            reports=None,
            columns=columns,
            max_studies=None,
            max_reject_share=0.5,
        ),
        identity=params.Identity(key_file=None),
        split=params.SplitShares(train=0.6, validation=0.15, test=0.25),
        clip=clip,
        caps=CAPS,
        workers=workers,
    )


def embed_cohort(name: str, settings: params.Preprocess, model: Any, tokenizer: Any, plan: params.FramePlan) -> Cohort:
    """Read the studies into a folder that is removed, and embed those with any image of the plan, and their reports."""
    with tempfile.TemporaryDirectory() as scratch:
        preprocess(settings.model_copy(update={"out_dir": scratch}), progress=False)
        clips = ClipStore(Path(scratch) / "store")
        keys = pd.read_parquet(Path(scratch) / "studies.parquet")["study_key"].tolist()
        keys = dataset.with_any_image(clips, keys, plan)
        studies = embeddings.read_studies(Path(scratch) / "studies.parquet", keys)
        reports = pd.read_parquet(Path(scratch) / "reports.parquet").set_index("study_key").fillna("")
        told = (reports["findings"] + " " + reports["impression"]).to_dict()
        image = embed.embed_studies(model, dataset.StudyDataset(clips, keys, plan), plan.crop_px, progress=False)
    return Cohort(name, studies, image, embed.embed_texts(model, tokenizer, [told.get(key) for key in keys]))


def external(
    settings: params.Classification, clips: ClipStore, model: Any, tokenizer: Any, plan: params.FramePlan
) -> list[Cohort]:
    """The second hospital and ACDC's layout, as far as the settings ask for them.

    Raises FileNotFoundError with the stage that makes them, or for a folder of ACDC that is not there.
    """
    data, clip, found = Path(settings.data_dir), clips.clip_shape(), []
    if settings.second_hospital:
        folder = project.require(data / "second", "the stage simulate")
        asked = reading("simulated", folder, folder, clip, settings.workers)
        found.append(embed_cohort("second hospital", asked, model, tokenizer, plan))
    if settings.acdc:
        phantom = settings.acdc == "phantom"
        folder = project.require(data / "acdc" if phantom else Path(settings.acdc).expanduser(), "the stage simulate")
        asked = reading("acdc", folder, folder, clip, settings.workers)
        found.append(embed_cohort("ACDC layout" if phantom else "ACDC", asked, model, tokenizer, plan))
    return found
