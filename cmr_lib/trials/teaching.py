"""An image tower that learns diagnosis and LVEF from labels: one linear head, one loop, no choices.

Cross-entropy over the diagnoses, classes weighted equally, plus the squared error of the standardised LVEF. Order and
augmentation are functions of the seed; the last epoch is what is kept.
"""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from cmr_lib import project
from cmr_lib.clips import augment, dataset
from cmr_lib.evaluation.material import Supervised, SupervisedRow
from cmr_lib.models import cmrformer, pretrained
from cmr_lib.models.study import StudyImages

SCRATCH, TUNED = "scratch", "fine_tuned"
WARMUP_SHARE = 0.1
Answers = Float[np.ndarray, "studies outputs"]  # a probability of each class, then LVEF in %


class Classifier(nn.Module):
    """An image tower and one linear head: class scores, then the standardised LVEF."""

    def __init__(self, tower: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.tower, self.head = tower, nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes + 1))

    def forward(self, images: StudyImages) -> Float[Tensor, "b outputs"]:
        """Scores of studies."""
        return self.head(self.tower(images).float())


# --- towers ------------------------------------------------------------------------------------------------------
def classifier(row: SupervisedRow, folder: Path, classes: int, seed: int) -> Classifier:
    """A row's model before its first step; new weights are a function of the seed."""
    model, _ = pretrained.from_pretrained(folder)
    config = model.config
    if row.name != TUNED:
        changed = {} if row.name == SCRATCH else {"name": row.name, "film": row.film and tuple(row.film)}
        config = dataclasses.replace(config, video=dataclasses.replace(config.video, **changed))
        model = cmrformer.build(config, project.seed_for(seed, "tower", row.name))
    return headed(model.video, row.name, classes, seed)


def headed(tower: nn.Module, name: str, classes: int, seed: int) -> Classifier:
    """A tower with a new head, a function of the seed and the row's name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(project.seed_for(seed, "head", name))
        return Classifier(tower, tower.width, classes)


# --- training ----------------------------------------------------------------------------------------------------
def rate(step: int, steps: int) -> float:
    """Share of the learning rate: linear warm-up, then a cosine to 0."""
    warm = max(1, round(WARMUP_SHARE * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def loss_of(scores: Tensor, codes: Tensor, lvef: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of the diagnosis plus squared error of the standardised LVEF, where it is known."""
    known = torch.isfinite(lvef)
    error = ((scores[:, -1] - lvef)[known] ** 2).mean() if known.any() else scores.sum() * 0
    return nn.functional.cross_entropy(scores[:, :-1], codes, weights) + error


@dataclasses.dataclass(frozen=True)
class Taught:
    """Training studies: images, class codes, standardised LVEF (NaN where unknown), weights of the classes."""

    studies: dataset.StudyDataset
    codes: Int[np.ndarray, " studies"]
    lvef: Float[np.ndarray, " studies"]
    weights: Float[np.ndarray, " classes"]


@dataclasses.dataclass(frozen=True)
class Scale:
    """Mean and spread of the training studies' LVEF in %, in which a tower learns it."""

    mean: float
    spread: float


def lesson(
    shown: dataset.StudyDataset, diagnosis: pd.Series, lvef: Float[np.ndarray, " studies"], classes: list[str]
) -> tuple[Taught, Scale]:
    """What is taught of the studies that are shown; their diagnoses are among the classes."""
    codes = diagnosis.map({name: code for code, name in enumerate(classes)}).to_numpy(dtype=int)
    scale = Scale(float(np.nanmean(lvef)), float(np.nanstd(lvef)))
    counts = np.bincount(codes, minlength=len(classes))
    weights = len(codes) / (len(classes) * np.maximum(counts, 1))
    return Taught(shown, codes, (lvef - scale.mean) / scale.spread, weights), scale


def train(model: Classifier, taught: Taught, row: SupervisedRow, how: Supervised, seed: int) -> None:
    """Train in place; a rest of an epoch that is no whole batch is left out."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=row.learning_rate, weight_decay=how.weight_decay)
    codes, lvef, weights = (
        torch.tensor(taught.codes),
        torch.tensor(taught.lvef).float(),
        torch.tensor(taught.weights).float(),
    )
    size = row.batch_studies or how.batch_studies
    per_epoch = len(taught.codes) // size
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, row.epochs * per_epoch))
    model.train()
    for epoch in tqdm(range(row.epochs), row.name, unit="epoch", disable=None):
        order = project.rng(seed, "order", row.name, epoch).permutation(len(taught.codes))
        for step in range(per_epoch):
            rows = order[step * size : (step + 1) * size]
            batch = dataset.collate([taught.studies[int(place)] for place in rows])
            draw = torch.Generator().manual_seed(project.seed_for(seed, "augment", row.name, epoch, step))
            frames = augment.augment(batch["frames"], how.augment, taught.studies.plan.crop_px, draw)
            mask = augment.hide_views(batch["view"], batch["sequence"], batch["mask"], how.augment.drop_view, draw)
            loss = loss_of(model(StudyImages.of(batch, frames=frames, mask=mask)), codes[rows], lvef[rows], weights)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), how.clip_norm)
            optimiser.step()
            schedule.step()


@torch.inference_mode()
def answer(model: Classifier, studies: dataset.StudyDataset, scale: Scale) -> Answers:
    """Probabilities of the classes and LVEF in % of all studies, in order."""
    model.eval()
    found = []
    for batch in dataset.batches(studies, 32):
        frames = augment.centre_crop(batch["frames"], studies.plan.crop_px)
        scores = model(StudyImages.of(batch, frames=frames)).double()
        found.append(torch.cat([scores[:, :-1].softmax(1), scores[:, -1:] * scale.spread + scale.mean], dim=1).numpy())
    return np.concatenate(found)
