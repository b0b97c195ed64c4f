"""Towers that keep their weights (optim.frozen): their features are computed once and looked up in every epoch.

A frozen tower sees the plain centre crop and the whole report: what is drawn anew in every epoch (augmentation, hidden
views and sentences, dropout) would change its features, and they would have to be computed again.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float32
from torch import Tensor

from cmr_lib.clips import augment, dataset
from cmr_lib.models.study import StudyImages
from cmr_lib.training.machine import autocast
from cmr_lib.training.state import Run


@contextmanager
def frozen_towers(run: Run) -> Iterator[None]:
    """Within it, the towers of `optim.frozen` take no gradient and their features lie in `run.features`."""
    towers = {"image": run.model.video, "text": run.model.text}
    chosen = {name: towers[name] for name in run.settings.optim.frozen}
    before = {weight: weight.requires_grad for tower in chosen.values() for weight in tower.parameters()}
    for weight in before:
        weight.requires_grad_(False)
    if chosen:
        run.features = _features(run, list(chosen))
    try:
        yield
    finally:
        run.features = {}
        for weight, wanted in before.items():
            weight.requires_grad_(wanted)


@torch.no_grad()
def _features(run: Run, names: list[str]) -> dict[str, Float32[Tensor, "studies d"]]:
    run.model.eval()
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    for batch in dataset.batches(run.train, run.settings.optim.batch_studies):
        with autocast(run.device, run.settings.precision):
            if "image" in found:
                frames = augment.centre_crop(batch["frames"], run.settings.frames.crop_px)
                found["image"].append(run.model.video(StudyImages.of(batch, frames=frames).to(run.device)).float())
            if "text" in found:
                found["text"].append(run.model.text(*run.tokens_of(batch["study_keys"])).float())
    return {name: torch.cat(parts) for name, parts in found.items()}
