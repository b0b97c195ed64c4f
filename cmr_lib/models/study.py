"""What the image tower is given: the images of studies, and what each of them is.

Shapes: b studies, f images (frames) a study, d width.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor, nn

from cmr_lib.types import Sequence, View

POSITION_PERIODS = 4  # sine and cosine of 1, 2, 4, 8 half-turns from base to apex
PHASE_PERIODS = 2  # sine and cosine of 1 and 2 turns a heart beat


@dataclass(frozen=True)
class StudyImages:
    """Images of b studies, in about [-1, 1], with f places each; what stands in a masked place changes nothing."""

    frames: Float32[Tensor, "b f 1 height width"]
    view: Int64[Tensor, "b f"]  # counts along types.View
    sequence: Int64[Tensor, "b f"]  # counts along types.Sequence
    position: Float32[Tensor, "b f"]  # 0 base to 1 apex
    phase: Float32[Tensor, "b f"]  # share of the RR interval after the R wave
    mask: Bool[Tensor, "b f"]  # True where the study has the image
    vendor: Int64[Tensor, "b f"] | None = None  # 1 … of the makers that the model tells apart, 0 another; None: all 0

    def __post_init__(self) -> None:
        if self.vendor is None:
            object.__setattr__(self, "vendor", torch.zeros_like(self.view))

    @classmethod
    def of(cls, batch: Mapping[str, Any], **changed: Tensor) -> "StudyImages":
        """From a batch (`clips.dataset.Batch`), with some of its values replaced: the cropped or augmented frames."""
        return cls(**{field.name: changed.get(field.name, batch.get(field.name)) for field in fields(cls)})

    def part(self, rows: slice) -> "StudyImages":
        """Some of the studies."""
        return StudyImages(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def to(self, device: torch.device) -> "StudyImages":
        """The same on a device."""
        return StudyImages(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def refuse_bare(mask: Bool[Tensor, "b f"]) -> None:
    """Raises ValueError when a study has no image at all."""
    if not bool(mask.any(1).all()):
        lost = (~mask.any(1)).nonzero()[0].item()
        raise ValueError(f"Study {lost} of the batch has no image: leave it out.")


class FrameEmbedding(nn.Module):
    """What a frame is: its view, its sequence, where its slice lies and when in the heart beat it was taken.

    With `places`, also the how-manieth of the study it is, which is all that the published model is told of it. With
    `vendors`, also which of so many makers built the scanner: images of different makers look different, and so the
    towers need not find out by themselves. Row 0 is any other maker.
    """

    def __init__(self, width: int, places: int = 0, vendors: int = 0) -> None:
        super().__init__()
        if places:
            self.order = nn.Parameter(torch.zeros(places, width))
        self.places = places
        self.view = nn.Embedding(len(View), width)
        self.sequence = nn.Embedding(len(Sequence), width)
        self.place = nn.Linear(2 * (POSITION_PERIODS + PHASE_PERIODS), width)
        for table in (self.view, self.sequence):
            nn.init.trunc_normal_(table.weight, std=0.02)
        self.vendor = nn.Embedding(vendors + 1, width) if vendors else None
        if self.vendor is not None:
            nn.init.zeros_(self.vendor.weight)

    def forward(self, images: StudyImages) -> Float[Tensor, "b f d"]:
        """One vector a frame."""
        octaves = 2.0 ** torch.arange(POSITION_PERIODS, device=images.position.device)
        turns = 1.0 + torch.arange(PHASE_PERIODS, device=images.phase.device)
        angles = torch.cat(
            [math.pi * images.position.unsqueeze(-1) * octaves, 2 * math.pi * images.phase.unsqueeze(-1) * turns],
            dim=-1,
        )
        place = self.place(torch.cat([angles.sin(), angles.cos()], dim=-1))
        place = self.view(images.view) + self.sequence(images.sequence) + place
        if self.vendor is not None:
            place = place + self.vendor(images.vendor)
        frames = images.view.shape[1]
        if not self.places:
            return place
        if frames > self.places:
            raise ValueError(f"The model knows {self.places} places of a frame, got {frames} frames: choose fewer.")
        return place + self.order[:frames]
