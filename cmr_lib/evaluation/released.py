"""The shipped model at work: a study's clips in, its place among phantom reports out.

`weights/demo/` holds what a first use needs without any training: the model, the clip shape and frame plan it was
trained with, 200 phantom reports with their embeddings, and two probes (LVEF, diagnosis). All of it was learned from
synthetic phantoms; its predictions on patients are a demonstration of plumbing, not a measurement of a heart.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmr_lib import params, project
from cmr_lib.clips import dataset, store
from cmr_lib.evaluation import embed, probes
from cmr_lib.models import pretrained

DISCLAIMER = "phantom-trained, not for clinical use"


@dataclass(frozen=True)
class Released:
    """A loaded `weights/<name>/` folder."""

    model: Any  # models.cmrformer.CMRformer
    tokenizer: Any
    clip: params.ClipShape
    frames: params.FramePlan
    reports: pd.DataFrame  # findings, impression; one row a gallery report
    report_embedding: Float[np.ndarray, "reports embed"]
    probes: dict[str, probes.Probe]


def load(folder: Path | str) -> Released:
    """Read and verify a shipped folder.

    Raises:
        FileNotFoundError: the folder is absent. ValueError: a file differs from SHA256SUMS.
    """
    folder = project.require(folder, "`git checkout` (shipped) or tools.ship")
    wrong = project.check_manifest(folder)
    if wrong:
        raise ValueError(f"{folder}: {', '.join(wrong)} differ from SHA256SUMS; restore with `git checkout {folder}`.")
    model, tokenizer = pretrained.from_pretrained(folder / "model")
    used = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    return Released(
        model=model,
        tokenizer=tokenizer,
        clip=params.ClipShape(**used["clip"]),
        frames=params.FramePlan(**used["frames"]),
        reports=pd.read_csv(folder / "gallery" / "reports.csv").fillna(""),
        report_embedding=np.load(folder / "gallery" / "text.npy"),
        probes=probes.read_probes(folder / "probes.json"),
    )


def embed_store(
    released: Released, clips: store.ClipStore, study_keys: list[str]
) -> Float[np.ndarray, "studies embed"]:
    """Embeddings of the studies of a clip store that was made with `released.clip`."""
    studies = dataset.StudyDataset(clips, study_keys, released.frames)
    return embed.embed_studies(released.model, studies, released.frames.crop_px)


def nearest_reports(released: Released, image: Float[np.ndarray, " embed"], k: int = 5) -> pd.DataFrame:
    """The k gallery reports closest to one study: rank, similarity (dot product), impression, findings."""
    similarity = released.report_embedding @ image
    best = np.argsort(-similarity, kind="stable")[:k]
    table = released.reports.iloc[best][["impression", "findings"]].reset_index(drop=True)
    table.insert(0, "similarity", similarity[best])
    table.insert(0, "rank", np.arange(1, len(best) + 1))
    return table


def predict(released: Released, image: Float[np.ndarray, "studies embed"]) -> pd.DataFrame:
    """LVEF (%) and the most likely diagnosis of each study by the shipped probes: phantom-trained."""
    diagnosis = released.probes["diagnosis"]
    scores = probes.apply_probe(image, diagnosis)
    lvef = probes.apply_probe(image, released.probes["lvef"])[:, 0]
    return pd.DataFrame({"lvef": lvef, "diagnosis": [diagnosis.outputs[i] for i in scores.argmax(axis=1)]})
