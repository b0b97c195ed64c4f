"""The pairs of a batch as two functions of its rows, so that a part of a batch is made only when it is embedded."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.models.study import StudyImages


@dataclass(frozen=True)
class Pairs:
    """What a step needs of a batch: features (rows, d) of its studies and reports, before the projections."""

    image: Callable[[slice], Tensor]
    text: Callable[[slice], Tensor]
    size: int
    seed: int = 0  # of dropout: the same rows drop the same units whenever they are embedded
    same: Tensor | None = None  # (size, size), True where two reports read the same

    @classmethod
    def of(
        cls,
        model: CMRformer,
        images: StudyImages,
        ids: Int64[Tensor, "b tokens"],
        mask: Bool[Tensor, "b tokens"],
        seed: int = 0,
    ) -> "Pairs":
        """Pairs whose images and tokens are already made."""
        return cls(
            image=lambda rows: model.video(images.part(rows)).float(),
            text=text_of(model, ids, mask),
            size=len(ids),
            seed=seed,
        )


def text_of(
    model: CMRformer, ids: Int64[Tensor, "b tokens"], mask: Bool[Tensor, "b tokens"]
) -> Callable[[slice], Tensor]:
    """Features of reports by rows. A GPU is asked now, while it has nothing to do, whether any report is padded."""
    whole = mask.is_cuda and bool(mask.all())
    return lambda rows: model.text(ids[rows], None if whole else mask[rows]).float()


def same_reports(reports: list[list[int]]) -> Bool[Tensor, "b b"]:
    """Which reports have the same token numbers, hence are right answers for each other's studies."""
    names = {tuple(report): number for number, report in enumerate(reports)}
    which = torch.tensor([names[tuple(report)] for report in reports])
    return which[:, None] == which[None, :]
