"""Embeddings of studies and reports, block by block, in evaluation mode."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from tqdm import tqdm

from cmr_lib.clips import augment
from cmr_lib.clips import dataset as studies_
from cmr_lib.models import text as text_
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.models.study import StudyImages


@torch.inference_mode()
def embed_studies(
    model: CMRformer, dataset: studies_.StudyDataset, crop_px: int, batch: int = 32, progress: bool = True
) -> Float32[np.ndarray, "n d"]:
    """Unit vectors of all studies, in the order of the data set: centre crops, no augmentation, evaluation mode."""
    model.eval()
    device, rows = model.log_scale.device, []
    total = -(-len(dataset) // batch)
    for part in tqdm(studies_.batches(dataset, batch), "embed studies", total, unit="batch", disable=not progress):
        images = StudyImages.of(part, frames=augment.centre_crop(part["frames"], crop_px)).to(device)
        rows.append(model.encode_study(images).float().cpu().numpy())
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
