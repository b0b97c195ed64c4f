"""The peers' own code, from a checkout that the user names; none of it is kept or copied here.

Frozen in Time (m-bain/frozen-in-time, commit e1f13e1) and CMR-CLIP (Makiya11/CMRCLIP, commit 4dd42e8) want einops and
timm, which are no part of this environment: `pip install --no-deps --target FOLDER einops timm`, then PYTHONPATH.
"""

import contextlib
import importlib.util
import io
import warnings
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from cmr_lib.models import convert
from cmr_lib.models.pretrained import load_weights
from cmr_lib.models.study import StudyImages
from cmr_lib.models.video import VideoEncoder


def module(checkout: Path, file: str = "model/video_transformer.py") -> ModuleType:
    """A file of the checkout as a module. Raises FileNotFoundError without it, ImportError without what it wants."""
    path = checkout / file
    if not path.is_file():
        raise FileNotFoundError(f"{file} is not in the checkout: name the folder of the peer's repository.")
    spec = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's, about where its layers live now
        try:
            spec.loader.exec_module(found)
        except ImportError as error:
            raise ImportError(
                f"The peer's code wants {error.name}: pip install --no-deps --target FOLDER einops timm, and name "
                "FOLDER in PYTHONPATH."
            ) from error
    return found


def encoder(checkout: Path, seed: int = 0, **sizes: int) -> nn.Module:
    """The peer's space-time transformer as its authors build it (temporal start zeros), without its classifier.

    `sizes`: img_size, patch_size, embed_dim, depth, num_heads, num_frames.
    """
    torch.manual_seed(seed)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its attention style
        model = module(checkout).SpaceTimeTransformer(**sizes, time_init="zeros", num_classes=0)
    return model.train()


def ours(peer: nn.Module, heads: int) -> VideoEncoder:
    """Our encoder with the peer's weights."""
    config, state = convert.space_time(dict(peer.state_dict()), heads)
    model = VideoEncoder(config)
    load_weights(model, state)
    return model.train()


def grey(studies: int, frames: int, side: int, device: str = "cpu") -> StudyImages:
    """Studies of noise, all frames there."""
    nothing = torch.zeros(studies, frames, device=device)
    whole = torch.ones(studies, frames, dtype=torch.bool, device=device)
    pixels = torch.randn(studies, frames, 1, side, side, generator=torch.Generator().manual_seed(1)).to(device)
    return StudyImages(pixels, nothing.long(), nothing.long(), nothing, nothing, whole)


def coloured(images: StudyImages) -> torch.Tensor:
    """What the peer is given of them: three equal channels, in memory, as its loader makes them."""
    return images.frames.expand(-1, -1, 3, -1, -1).contiguous()
