"""A study as a set of clips: each encoded on its own, then averaged with learned weights (`video.study: set`).

A clip is what was scanned at one place: the frames of a study with the same view, sequence and slice position. Tokens
of different clips never meet; a study with any subset of views, in any order, is what its clips say. Pooling is the
masked attention of Ilse et al. 2018 (arXiv 1802.04712) in its simplest form.

Shapes: b studies, f frames a study, c clips (the most of a study), t frames a clip (the most), d width.
"""

from dataclasses import fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cmr_lib.models.study import StudyImages, refuse_bare


def as_clips(images: StudyImages) -> tuple[StudyImages, Bool[Tensor, "b c"]]:
    """The clips of all studies as b·c short studies of t frames, and which of a study's c clips it has.

    Raises ValueError when a study has no image at all.
    """
    refuse_bare(images.mask)
    same = images.mask[:, :, None] & images.mask[:, None, :]
    for value in (images.view, images.sequence, images.position):
        same = same & (value[:, :, None] == value[:, None, :])
    place = torch.arange(images.mask.shape[1], device=images.mask.device)
    first = same.int().argmax(2)  # of the frame's clip
    leads = images.mask & (first == place)
    clip = (leads.cumsum(1) - 1).gather(1, first)
    turn = (same & (place < place[:, None])).sum(2)
    clips, frames = int(leads.sum(1).max()), int(turn[images.mask].max()) + 1
    rows, columns = images.mask.nonzero(as_tuple=True)
    slot = clip[rows, columns] * frames + turn[rows, columns]

    def spread(value: Tensor) -> Tensor:
        out = value.new_zeros(len(value), clips * frames, *value.shape[2:])
        out[rows, slot] = value[rows, columns]
        return out.unflatten(1, (clips, frames)).flatten(0, 1)

    moved = StudyImages(**{field.name: spread(getattr(images, field.name)) for field in fields(images)})
    return moved, torch.arange(clips, device=place.device) < leads.sum(1, keepdim=True)


class AttentionPool(nn.Module):
    """Σ w_i x_i over the clips that exist, w = softmax(q · K x_i / √d); q starts at zero, so w at equal weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(width))
        self.key = nn.Linear(width, width)

    def weights(self, x: Float[Tensor, "b c d"], there: Bool[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """What each clip counts; absent ones exactly 0."""
        scores = self.key(x) @ self.query * x.shape[-1] ** -0.5
        return scores.masked_fill(~there, float("-inf")).softmax(1)

    def forward(self, x: Float[Tensor, "b c d"], there: Bool[Tensor, "b c"]) -> Float[Tensor, "b d"]:
        """The study's vector."""
        return torch.einsum("bcd,bc->bd", x, self.weights(x, there).to(x.dtype))
