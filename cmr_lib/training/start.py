"""Where a model starts from: scratch, the shipped weights, or a folder of one's own."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from cmr_lib import params, project
from cmr_lib.models import convert, pretrained, text
from cmr_lib.models.cmrformer import CMRformer, CMRformerConfig, build

RELEASED = Path("weights/demo/model")
SIZES = ("name", "patch_px", "stem", "width", "depth", "heads", "study", "residual", "cls")  # of the image tower


def without_pairs(settings: params.Pretrain) -> params.Pretrain:
    """The settings for a cohort in which no study that may be learned from has a report: nothing can be trained.

    `mode` becomes frozen, and `init` released where it was scratch, then with the frame plan that the shipped weights
    were trained with. A cohort without reports is embedded, not learned.
    """
    if settings.init != "scratch":
        return settings.model_copy(update={"mode": "frozen"})
    used = json.loads((RELEASED.parent / "settings.json").read_text(encoding="utf-8"))
    frames = params.FramePlan(**used["frames"])
    return settings.model_copy(update={"mode": "frozen", "init": "released", "frames": frames})


def start(
    settings: params.Pretrain, texts: Sequence[str], patients: Sequence[str] | None = None
) -> tuple[CMRformer, Any]:
    """Model and tokenizer before the first step.

    `init: scratch` learns the tokenizer from the training texts, leaving out the words of fewer than
    `text.min_patients` of their `patients` (None: each text is a patient of its own), and draws weights from the seed
    (the towers from `text.pretrained` and `video.weights` where these are given); otherwise both come from a folder,
    whose sizes win over the settings', with a warning where it is trained further.

    Raises:
        ValueError: mode and init do not fit, or the folder's model reads images of another size.
    """
    scratch = settings.init == "scratch"
    if scratch != (settings.mode == "train"):
        raise ValueError(
            f"mode {settings.mode} does not go with init {settings.init}: train starts from scratch, "
            "finetune and frozen from released or a folder."
        )
    if not scratch:
        return _from_folder(settings)
    if settings.text.pretrained is not None:
        tokenizer, body = text.load_pretrained(settings.text.pretrained, settings.text.max_tokens)
        return _new(settings, text.plain_config(body.config), body), tokenizer
    wanted = settings.text
    tokenizer = text.train_tokenizer(texts, wanted.vocabulary, wanted.max_tokens, patients, wanted.min_patients)
    return _new(settings, text.small_config(settings.text, len(tokenizer))), tokenizer


def _new(settings: params.Pretrain, text_config: dict[str, Any], body: nn.Module | None = None) -> CMRformer:
    """A model with weights drawn from the seed and those that were asked for."""
    model = build(CMRformerConfig.of(settings, text_config), settings.seed, body)
    if settings.video.weights is not None:
        convert.into_tower(model, settings.video.weights, local_files_only=text.offline())
    return model


def _from_folder(settings: params.Pretrain) -> tuple[CMRformer, Any]:
    released = settings.init == "released"
    folder = project.require(RELEASED if released else settings.init, "`git checkout` (shipped) or stage pretrain")
    model, tokenizer = pretrained.from_pretrained(folder)
    side = model.config.video.image_px
    if side != settings.frames.crop_px:
        raise ValueError(f"frames.crop_px is {settings.frames.crop_px}, but {folder} reads {side} px.")
    if settings.mode == "finetune":
        if others := _others(settings, model.config):
            warnings.warn(f"{folder} is of another architecture; its own is used: {', '.join(others)}.", stacklevel=3)
        if settings.optim.loss == "sigmoid":
            model.want_bias()
    return model, tokenizer


def _others(settings: params.Pretrain, found: CMRformerConfig) -> list[str]:
    """What the settings ask of the model and the folder's does not have, each with both values."""
    video, text_ = settings.video, settings.text
    pairs = {f"video.{name}": (getattr(video, name), getattr(found.video, name)) for name in SIZES}
    if text_.pretrained is None:
        sizes = (("width", ("dim", "hidden_size")), ("depth", ("n_layers", "num_hidden_layers")))
        there = {name: next((found.text[key] for key in keys if key in found.text), None) for name, keys in sizes}
        pairs |= {f"text.{name}": (getattr(text_, name), size) for name, size in there.items() if size is not None}
    pairs["text.pool"] = text_.pool, found.text_pool
    pairs |= {name: (getattr(settings, name), getattr(found, name)) for name in ("embed_dim", "projection_norm")}
    return [f"{name} {size} in place of {wanted}" for name, (wanted, size) in pairs.items() if wanted != size]
