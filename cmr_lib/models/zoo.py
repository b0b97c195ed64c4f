"""Baselines from torchvision as image towers: r3d_18, mvit_v2_s and swin3d_t (`video.name`).

They were made for films of three colours and a fixed size. A study becomes such a film here: the images that it has,
in the order of the frame plan, taken evenly to the film's length (few are repeated, many are thinned out), resized,
and repeated over the channels with the mean and deviation of the body's own training films. What a study lacks is not
in the film, so it changes nothing. The bodies are told neither view nor phase.
"""

import importlib
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cmr_lib.models.attention import DividedAttention
from cmr_lib.models.study import StudyImages, refuse_bare
from cmr_lib.models.video import VideoConfig


@dataclass(frozen=True)
class Body:
    """What torchvision has under a name; `frames` is the length of the films that its weights were trained on."""

    weights: str  # of Kinetics-400, for what they say of the films; nothing is downloaded
    frames: int
    width: int
    head: str
    fixed: bool = False  # whether it reads no other size

    @property
    def looks(self) -> Any:
        """How its training films were prepared: crop_size, mean, std."""
        return getattr(_films(), self.weights).KINETICS400_V1.transforms()


BODIES = {
    "r3d_18": Body("R3D_18_Weights", 16, 512, "fc"),
    "mvit_v2_s": Body("MViT_V2_S_Weights", 16, 768, "head", fixed=True),
    "swin3d_t": Body("Swin3D_T_Weights", 32, 768, "head"),
}


def _films() -> Any:
    """Torchvision's models of video; imported when asked, since it takes a second that few kernels need to spend."""
    return importlib.import_module("torchvision.models.video")


def film_of(config: VideoConfig) -> tuple[int, int]:
    """Frames and pixels a side of the film that the body is given.

    Raises ValueError when `config.film` asks another size of a body that reads one only.
    """
    body = BODIES[config.name]
    own = body.frames, body.looks.crop_size[0]
    if config.film is None:
        return own
    if body.fixed and tuple(config.film) != own:
        raise ValueError(
            f"video.film is {list(config.film)}, but {config.name} reads {list(own)} only: set it to null."
        )
    return config.film


class TorchvisionEncoder(nn.Module):
    """Images of a study → one vector, by a body of torchvision without its classifier."""

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        body, self.config = BODIES[config.name], config
        self.length, self.side = film_of(config)
        self.width = body.width
        self.body = getattr(_films(), config.name)(weights=None)
        setattr(self.body, body.head, nn.Identity())
        looks = body.looks
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(looks, name))[:, None, None], persistent=False)
        self.blocks: tuple[nn.Module, ...] = ()  # of divided attention: none
        self.recompute = False  # set in training: less memory, more time, the same numbers

    @property
    def time_layers(self) -> list[DividedAttention]:
        """Temporal attention: none that is divided from space."""
        return []

    @property
    def no_maps(self) -> str:
        """Why there are no attention maps."""
        return (
            f"{self.config.name} has no read-out token that attends to the images of a study: "
            "maps want video.name divided_space_time or frames."
        )

    def attention_maps(self, images: StudyImages, block: int = -1) -> tuple[Tensor, Tensor]:
        """Raises ValueError: there are none."""
        raise ValueError(self.no_maps)

    def film(self, images: StudyImages) -> Float[Tensor, "b 3 length side side"]:
        """What the body is given. Raises ValueError for a study without any image."""
        refuse_bare(images.mask)
        taken = evenly(images.mask, self.length)
        frames = images.frames[torch.arange(len(taken), device=taken.device)[:, None], taken]
        if frames.shape[-2:] != (self.side, self.side):
            size = (self.side, self.side)
            resized = nn.functional.interpolate(frames.flatten(0, 1), size, mode="bilinear", antialias=True)
            frames = resized.unflatten(0, frames.shape[:2])
        return (((frames + 1) / 2 - self.mean) / self.std).transpose(1, 2)  # one channel becomes three here

    def forward(self, images: StudyImages) -> Float[Tensor, "b d"]:
        """Encode studies."""
        film = self.film(images)
        if self.recompute and torch.is_grad_enabled():
            kept: Tensor = checkpoint(self.body, film, use_reentrant=False)
            return kept
        return self.body(film)


def evenly(mask: Bool[Tensor, "b f"], length: int) -> Int64[Tensor, "b length"]:
    """Places of `length` images of each study, evenly among those that it has and in their order."""
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
    turn = torch.arange(length, device=mask.device) * mask.sum(1, keepdim=True) // length
    return order.gather(1, turn)
