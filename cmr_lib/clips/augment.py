"""Small random changes in training, the same for all images of a study; the plain centre in evaluation.

Rotation, scale and shift are one affine map a study, so that slices and phases stay aligned. Nothing is ever mirrored:
reports say left and right. Images enter as uint8 and leave as float32 in about [-1, 1]; an empty (masked) frame leaves
as exact zeros.
"""

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from cmr_lib import params
from cmr_lib.clips.dataset import SEQUENCES
from cmr_lib.types import Sequence


def to_model(
    frames: Float32[Tensor, "b f height width"], empty: Bool[Tensor, "b f"]
) -> Float32[Tensor, "b f 1 height width"]:
    """[0, 1] → [-1, 1], empty frames → 0."""
    return ((2 * frames - 1) * ~empty[:, :, None, None]).unsqueeze(2)


def is_empty(frames: UInt8[Tensor, "b f 1 height width"]) -> Bool[Tensor, "b f"]:
    """Which frames hold nothing: those that a study lacks."""
    return frames.flatten(2).amax(-1) == 0


def check(frames: UInt8[Tensor, "b f 1 height width"], crop_px: int) -> None:
    """Raises ValueError when the crop is larger than the frame."""
    if crop_px > min(frames.shape[-2:]):
        raise ValueError(f"A crop of {crop_px} px was asked of frames of {frames.shape[-2]}×{frames.shape[-1]} px.")


def centre_crop(frames: UInt8[Tensor, "b f 1 size size"], crop_px: int) -> Float32[Tensor, "b f 1 crop crop"]:
    """The middle of every frame, for evaluation. Raises ValueError when the crop is larger than the frame."""
    check(frames, crop_px)
    top, left = ((side - crop_px) // 2 for side in frames.shape[-2:])
    middle = frames[:, :, 0, top : top + crop_px, left : left + crop_px]
    return to_model(middle.float() / 255, is_empty(frames))


def augment(
    frames: UInt8[Tensor, "b f 1 size size"],
    settings: params.Augment,
    crop_px: int,
    generator: torch.Generator,
    rows: slice = slice(None),
) -> Float32[Tensor, "part f 1 crop crop"]:
    """Crops around the centre under one random affine map and intensity change a study.

    The draws are a function of the generator's state alone. Outside the stored frame is black. With `rows`, only
    these studies of the batch are made, as they are in the whole.

    Raises:
        ValueError: the crop is larger than the frame.
    """
    from cmr_lib.clips.transforms import OneChange  # torchvision takes two seconds to import: for training alone

    changed: Float32[Tensor, "part f 1 crop crop"] = OneChange(settings, crop_px, generator, rows)(frames)
    return changed


def hide_cines(
    sequence: Int64[Tensor, "b f"], mask: Bool[Tensor, "b f"], share: float, generator: torch.Generator
) -> Bool[Tensor, "b f"]:
    """The mask with all cines of each study hidden with chance `share`, where other images are left to speak for it.

    Most of a report can be read off the cines, so that training hardly looks at late enhancement unless it is at times
    all there is (modality dropout: Neverova et al. 2016, arXiv 1501.00102).
    """
    still = mask & (sequence != SEQUENCES.index(Sequence.CINE))
    alone = (torch.rand(len(mask), 1, generator=generator) < share) & still.any(1, keepdim=True)
    return torch.where(alone, still, mask)


def hide_views(
    view: Int64[Tensor, "b f"],
    sequence: Int64[Tensor, "b f"],
    mask: Bool[Tensor, "b f"],
    share: float,
    generator: torch.Generator,
) -> Bool[Tensor, "b f"]:
    """The mask with each (view, sequence) of each study hidden with chance `share`; a study never loses its last."""
    kinds = view * (int(sequence.max()) + 1) + sequence
    draws = torch.rand(len(mask), int(kinds.max()) + 1, generator=generator)
    kept = mask & (draws.gather(1, kinds) >= share)
    return torch.where(kept.any(1, keepdim=True), kept, mask)
