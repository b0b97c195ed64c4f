"""Embeddings of studies and reports, and their place on disk.

A table of embeddings is three files: studies.csv (study_key, split, has_report), image.npy and text.npy, both (n, d)
float32 of unit rows; a study without a report has a row of NaN in text.npy. Embeddings of patients can be linked to
them: they stay in the restricted zone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32
from tqdm import tqdm

from cmr_lib import project
from cmr_lib.clips import augment
from cmr_lib.clips import dataset as studies_
from cmr_lib.models import text as text_
from cmr_lib.models.cmrformer import CMRformer


@dataclass(frozen=True)
class EmbeddingTable:
    """Rows of the three belong together."""

    studies: pd.DataFrame
    image: Float32[np.ndarray, "n d"]
    text: Float32[np.ndarray, "n d"]


@torch.inference_mode()
def embed_studies(
    model: CMRformer, dataset: studies_.StudyDataset, crop_px: int, batch: int = 32, progress: bool = True
) -> Float32[np.ndarray, "n d"]:
    """Unit vectors of all studies, in the order of the data set: centre crops, no augmentation, evaluation mode."""
    model.eval()
    device, rows = model.log_scale.device, []
    total = -(-len(dataset) // batch)
    for part in tqdm(studies_.batches(dataset, batch), "embed studies", total, unit="batch", disable=not progress):
        inputs = {name: part[name].to(device) for name in ("view", "sequence", "position", "phase", "mask")}
        frames = augment.centre_crop(part["frames"], crop_px).to(device)
        rows.append(model.encode_study(frames, **inputs).float().cpu().numpy())
    return np.concatenate(rows) if rows else np.zeros((0, model.config.embed_dim), np.float32)


@torch.inference_mode()
def embed_texts(
    model: CMRformer, tokenizer: Any, texts: Sequence[str | None], batch: int = 64
) -> Float32[np.ndarray, "n d"]:
    """Unit vectors of texts, in order; None (no report) gives a row of NaN."""
    model.eval()
    device = model.log_scale.device
    found = np.full((len(texts), model.config.embed_dim), np.nan, np.float32)
    rows = [i for i, text in enumerate(texts) if text is not None]
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        ids, mask = text_.pad(
            text_.encode(tokenizer, [str(texts[i]) for i in part], model.config.max_tokens), tokenizer.pad_token_id
        )
        found[part] = model.encode_text(ids.to(device), mask.to(device)).float().cpu().numpy()
    return found


def write_embeddings(
    folder: Path | str, studies: pd.DataFrame, image: Float32[np.ndarray, "n d"], text: Float32[np.ndarray, "texts d"]
) -> None:
    """Write the three files. Raises ValueError when rows do not match or NaN rows and `has_report` disagree."""
    folder = Path(folder)
    if not len(studies) == len(image) == len(text):
        raise ValueError(f"{len(studies)} studies, {len(image)} image and {len(text)} text embeddings do not match.")
    if not np.array_equal(studies["has_report"].to_numpy(bool), ~np.isnan(text).any(axis=1)):
        raise ValueError("Text embeddings must be NaN exactly where has_report is false.")
    project.write_table(folder / "studies.csv", studies[["study_key", "split", "has_report"]])
    project.write_array(folder / "image.npy", image)
    project.write_array(folder / "text.npy", text)


def read_embeddings(folder: Path | str) -> EmbeddingTable:
    """Read what `write_embeddings` wrote. Raises FileNotFoundError with the stage that makes it."""
    folder = project.require(folder, "stage pretrain")
    studies = pd.read_csv(folder / "studies.csv", dtype={"study_key": str, "split": str})
    image, text = (np.load(folder / name, allow_pickle=False) for name in ("image.npy", "text.npy"))
    return EmbeddingTable(studies, image, text)
