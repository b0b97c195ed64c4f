"""The random change of training as a transform of torchvision (v2): one map and one intensity a study, never a mirror.

torchvision's own random transforms draw from the global generator and make one draw for all that they are given. Here
the draws come from a generator of the batch, so that a run that was broken off goes on with the same ones, and there is
one a study; the map and the crop are one interpolation, for all studies at once, equal to what `v2.functional.affine`
and `center_crop` make of each study (tests).
"""

import math
from typing import Any

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn
from torchvision.transforms import v2

from cmr_lib import params
from cmr_lib.clips.augment import check, is_empty, to_model

FURTHEST = 3.0  # standard deviations at which a draw is cut
DRAWS = 7  # rotation, scale, two shifts; gamma, gain, offset


def affine(
    draws: Float32[Tensor, "b 4"], settings: params.Augment, crop_px: int, size_px: int
) -> Float32[Tensor, "b 2 3"]:
    """Maps from the crop to the stored frame (in units of half a side, as `affine_grid` wants) from standard normals.

    Columns of `draws`: rotation, log of the scale, shift to the right, shift down. The determinant is positive.
    """
    angle = draws[:, 0] * math.radians(settings.rotate_deg)
    zoom = (draws[:, 1] * settings.scale).exp() * crop_px / size_px
    shift = draws[:, 2:] * settings.shift_px * 2 / size_px
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    return torch.stack(
        [torch.stack([cosine, -sine, shift[:, 0]], -1), torch.stack([sine, cosine, shift[:, 1]], -1)], dim=1
    )


def intensity(
    frames: Float32[Tensor, "b f height width"], draws: Float32[Tensor, "b 3"], spread: float
) -> Float32[Tensor, "b f height width"]:
    """Gamma and gain, both the exponential of a normal of this spread, then an offset of half of it; in [0, 1]."""
    gamma, gain = ((draws[:, column] * spread).exp()[:, None, None, None] for column in (0, 1))
    offset = (draws[:, 2] * spread / 2)[:, None, None, None]
    return (frames.clamp(min=0) ** gamma * gain + offset).clamp(0, 1)


class OneChange(v2.Transform):
    """uint8 films of studies (b, f, 1, size, size) → float32 crops (part, f, 1, crop, crop) in about [-1, 1].

    `rows`: the studies of the batch that are made; their draws are those they have in the whole. Raises ValueError when
    the crop is larger than the frame, or the films are not uint8.
    """

    def __init__(
        self, settings: params.Augment, crop_px: int, generator: torch.Generator, rows: slice = slice(None)
    ) -> None:
        super().__init__()
        self.settings, self.crop_px, self.generator, self.rows = settings, crop_px, generator, rows

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Float32[Tensor, "part 7"]]:
        """Standard normals, a row a study: a function of the generator's state alone. Raises as the whole does."""
        films = flat_inputs[0]
        if films.dtype != torch.uint8:
            raise ValueError(f"Films of uint8 are wanted, got {films.dtype}: this change comes first in a chain.")
        check(films, self.crop_px)
        draws = torch.randn(len(films), DRAWS, generator=self.generator)
        return {"draws": draws.clamp(-FURTHEST, FURTHEST)[self.rows]}

    def transform(
        self, inpt: UInt8[Tensor, "b f 1 size size"], params: dict[str, Any]
    ) -> Float32[Tensor, "part f 1 crop crop"]:
        """The crops around the centre, changed."""
        frames, draws, crop = inpt[self.rows], params["draws"], self.crop_px
        map_ = affine(draws[:, :4], self.settings, crop, frames.shape[-1])
        grid = nn.functional.affine_grid(map_, [len(frames), 1, crop, crop], align_corners=False)
        grey = frames[:, :, 0].float() / 255
        moved = nn.functional.grid_sample(grey, grid, padding_mode="zeros", align_corners=False)
        changed = intensity(moved, draws[:, 4:], self.settings.intensity)
        return to_model(changed, is_empty(frames))
