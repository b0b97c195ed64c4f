"""What the model is made of: for every part the shape that it gives, found by running it, and its parameters."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import torch
from torch import nn

from cmr_lib.clips import augment
from cmr_lib.clips.dataset import Batch
from cmr_lib.models import text
from cmr_lib.models.clips import as_clips
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.models.study import StudyImages


def count(parts: Iterable[nn.Module | nn.Parameter]) -> int:
    """Parameters of modules, and of parameters that stand alone."""
    alone = (list(part.parameters()) if isinstance(part, nn.Module) else [part] for part in parts)
    return sum(weight.numel() for weights in alone for weight in weights)


@torch.inference_mode()
def architecture(model: CMRformer, tokenizer: Any, batch: Batch, texts: Mapping[str, str]) -> pd.DataFrame:
    """One row a part, in the order of the data: part, what it gives, shape, parameters; the last row is the whole.

    `batch` holds uncropped frames; a study that is not in `texts` gets an empty report. The model is left in
    evaluation mode.
    """
    tower, blocks = model.eval().video, model.video.blocks
    frames = augment.centre_crop(batch["frames"], tower.config.image_px)
    images = StudyImages.of(batch, frames=frames).to(model.log_scale.device)
    written = text.encode(tokenizer, [texts.get(key, "") for key in batch["study_keys"]], model.config.max_tokens)
    ids, mask = (part.to(model.log_scale.device) for part in text.pad(written, tokenizer.pad_token_id))
    seen = images if tower.pool is None else as_clips(images)[0]  # a set is encoded clip by clip
    tokens = tower.tokens(seen)
    study, report = tower(images), model.text(ids, mask)
    ends = [] if tower.pool is None else [tower.pool]
    rows = [
        ("images", "frames of the plan", images.frames, []),
        ("stem", "a grid of patches a frame", tower.stem(seen.frames.flatten(0, 1)), [tower.stem]),
        ("embeddings", "read-out token and patch tokens", tokens, [tower.cls, tower.place, tower.frame]),
        (f"time attention ({len(blocks)} blocks)", "tokens", tokens, _of(blocks, "norm_time", "time")),
        (f"space attention ({len(blocks)} blocks)", "tokens", tokens, _of(blocks, "norm_space", "space")),
        (f"perceptron ({len(blocks)} blocks)", "tokens", tokens, _of(blocks, "norm_mlp", "mlp")),
        ("read-out", "one vector a study", study, [tower.norm, *ends]),
        ("image projection", "unit vectors", model.project_study(study.float()), [model.video_projection]),
        ("report", "token numbers", ids, []),
        ("report tower", "one vector a report", report, [model.text]),
        ("report projection", "unit vectors", model.project_text(report.float()), [model.text_projection]),
        ("temperature", "logit scale", model.logit_scale, _scalars(model)),
    ]
    table = [(part, gives, str(tuple(value.shape)), count(held)) for part, gives, value, held in rows]
    last = ("whole", "", "", sum(row[-1] for row in table))
    return pd.DataFrame([*table, last], columns=["part", "gives", "shape", "parameters"])


def _of(blocks: nn.ModuleList, *names: str) -> list[nn.Module]:
    return [getattr(block, name) for block in blocks for name in names]


def _scalars(model: CMRformer) -> list[nn.Parameter]:
    """Temperature and, where there is one, the bias of the sigmoid loss."""
    return [weight for name, weight in model.named_parameters() if "." not in name]
