"""How well the towers agree on studies they were not trained on."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from cmr_lib import losses
from cmr_lib.clips import augment, dataset
from cmr_lib.models.study import StudyImages
from cmr_lib.training.machine import autocast
from cmr_lib.training.state import Run


def alignment(image: Float32[Tensor, "n d"], text: Float32[Tensor, "n d"]) -> float:
    """Mean squared distance of the two vectors of a pair (Wang & Isola 2020): 0 is perfect, 2 is unrelated."""
    return float((image - text).square().sum(1).mean())


def uniformity(embedding: Float32[Tensor, "n d"]) -> float:
    """Log of the mean of exp(-2 · squared distance) over pairs of different studies: lower is better spread."""
    return float(torch.pdist(embedding).square().mul(-2).exp().mean().log()) if len(embedding) > 1 else math.nan


def recall_at(k: int, similarity: Float32[Tensor, "n n"]) -> float:
    """Share of rows whose own column is among the first k; a tie counts by its expected place. NaN if not finite."""
    if not torch.isfinite(similarity).all():
        return math.nan
    own = similarity.diagonal()[:, None]
    better, level = (similarity > own).sum(1), (similarity == own).sum(1)  # its own column is one of those level
    return float(((k - better) / level).clamp(0, 1).mean())


def mean(values: Iterable[float]) -> float:
    """Mean of those that are numbers; NaN when none is."""
    found = [value for value in values if math.isfinite(value)]
    return sum(found) / len(found) if found else math.nan


def best_epoch(history: Sequence[Mapping[str, float | int]]) -> int | None:
    """Place of the row with the lowest finite validation loss (the first of equals); None where there is none."""
    finite = [place for place, row in enumerate(history) if math.isfinite(row["validation_loss"])]
    return min(finite, key=lambda place: history[place]["validation_loss"], default=None)


def exhausted(history: Sequence[Mapping[str, float | int]], patience: int | None) -> bool:
    """Whether the last `patience` epochs brought no lower validation loss."""
    best = best_epoch(history)
    return patience is not None and len(history) - 1 - (-1 if best is None else best) >= patience


@torch.inference_mode()
def validate(run: Run) -> dict[str, float]:
    """Loss, recall at 10 of image → report, alignment and uniformity on the validation split (NaN without one).

    Whole reports and the centre of every image, the same in every epoch. The loss is InfoNCE, whatever trains, in
    groups of a training batch, so that it is on the scale of the training loss.
    """
    names = ("validation_loss", "validation_recall_at_10", "alignment", "uniformity")
    if run.validation is None or len(run.validation) == 0:
        return dict.fromkeys(names, float("nan"))
    run.model.eval()
    image, report = (torch.cat(parts) for parts in zip(*_embed(run), strict=True))
    size = min(run.settings.optim.batch_studies, len(image))
    scale = run.model.logit_scale.cpu()
    groups = range(0, len(image) - size + 1, size)
    loss = mean(float(losses.info_nce(image[i : i + size], report[i : i + size], scale)) for i in groups)
    similarity = image @ report.T
    return dict(zip(names, (loss, recall_at(10, similarity), alignment(image, report), uniformity(image)), strict=True))


def _embed(run: Run) -> Iterator[tuple[Tensor, Tensor]]:
    """Image and report embeddings of the validation split, batch by batch."""
    if run.validation is None:
        return
    for batch in dataset.batches(run.validation, run.settings.optim.batch_studies):
        frames = augment.centre_crop(batch["frames"], run.settings.frames.crop_px)
        images = StudyImages.of(batch, frames=frames).to(run.device)
        with autocast(run.device, run.settings.precision):
            image = run.model.encode_study(images)
            report = run.model.encode_text(*run.tokens_of(batch["study_keys"]))
        yield image.float().cpu(), report.float().cpu()
