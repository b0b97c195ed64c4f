"""The image tower: a space-time transformer over all images of a study.

The images of a study (short-axis cine, long-axis cine, late enhancement) are concatenated as the frames of one clip.
Each frame is cut into patches; attention is divided into time and space as in Frozen in Time (Bain et al. 2021,
arXiv 2104.00650), with what a study needs added: an embedding of view, sequence, slice position and cardiac phase for
every frame, and a mask, so that a study without, say, late enhancement is encoded from what it has.

Shapes: b studies, f frames, n patches a frame, d width; tokens are (b, 1 + f·n, d) with the read-out token (CLS)
first and the patches frame by frame.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cmr_lib.models.attention import DividedAttention, FrameByFrame
from cmr_lib.models.clips import AttentionPool, as_clips
from cmr_lib.models.perceptron import Perceptron
from cmr_lib.models.study import FrameEmbedding, StudyImages, refuse_bare

GROUP = 8  # channels of the stem that are normalised together; all of them together learnt scar half as fast


@dataclass(frozen=True)
class VideoConfig:
    """Sizes of the image tower; the defaults of the paper are ViT-B/16 at 224 px."""

    image_px: int = 224
    patch_px: int = 16
    stem: Literal["patch", "conv"] = "patch"
    width: int = 768
    depth: int = 12
    heads: int = 12
    temporal_init: Literal["frozen_in_time", "zero_output"] = "zero_output"
    dropout: float = 0.0
    readout: Literal["cls", "mean"] = "cls"
    # from here on, options that older folders do not name (LATER)
    residual: Literal["input", "time"] = "input"
    study: Literal["concat", "set"] = "concat"
    frame_places: int = 0  # learned embeddings of a frame's place in the study, as published; 0: none
    norm_eps: float = 1e-5  # of the layer norms
    cls: Literal["study", "frames"] = "study"  # what the read-out token sees: all (published) | frame by frame
    name: str = "divided_space_time"  # or a baseline in its place (`towers.image_tower`)
    film: tuple[int, int] | None = None  # frames and side in pixels of what a torchvision body is given; None: its own
    vendors: int = 0  # makers of scanners that are told apart; 0: none
    drop_vendor: float = 0.0  # chance that the maker is hidden in training

    def __post_init__(self) -> None:
        if self.name != "divided_space_time" and (self.study == "set" or self.vendors):
            raise ValueError(f"video.name is {self.name}: video.study set and frames.vendors want divided_space_time.")
        if self.name in ("divided_space_time", "frames"):
            self._check_sizes()

    def _check_sizes(self) -> None:
        if self.image_px % self.patch_px:
            raise ValueError(
                f"The image side ({self.image_px} px) is not a multiple of the patch ({self.patch_px} px)."
            )
        if self.width % self.heads:
            raise ValueError(f"The width ({self.width}) is not a multiple of the heads ({self.heads}).")
        if self.stem == "conv" and (self.patch_px < 4 or self.patch_px & (self.patch_px - 1)):
            raise ValueError(f"The conv stem halves the image: patch_px must be 4, 8, 16 …, got {self.patch_px}.")


_OPTIONS = [(option.name, option.default) for option in fields(VideoConfig)]
LATER = dict(itertools.dropwhile(lambda option: option[0] != "residual", _OPTIONS))


def patch_stem(width: int, patch_px: int) -> nn.Module:
    """(b·f, 1, height, width) → (b·f, d, rows, cols): one strided convolution, a linear map of each patch."""
    return nn.Conv2d(1, width, kernel_size=patch_px, stride=patch_px)


def _convolution(before: int, after: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
        nn.GroupNorm(max(1, after // GROUP), after),
        nn.GELU(),
    ]


def conv_stem(width: int, patch_px: int) -> nn.Module:
    """The same map by 3×3 convolutions, each halving the image (after Xiao et al. 2021, arXiv 2106.14881).

    Channels double up to the width of the model. Between the first and the last halving a second convolution looks at
    the image at that resolution: a scar is a few pixels wide, and a linear map of a whole patch hardly finds it.
    """
    halvings = int(math.log2(patch_px))
    channels = [1] + [max(8, width >> (halvings - step)) for step in range(1, halvings + 1)]
    layers: list[nn.Module] = []
    for step, (before, after) in enumerate(itertools.pairwise(channels), start=1):
        layers += _convolution(before, after, stride=2)
        if 1 < step < halvings:
            layers += _convolution(after, after, stride=1)
    return nn.Sequential(*layers, nn.Conv2d(channels[-1], width, kernel_size=1))


class Block(nn.Module):
    """One transformer block: time, space, perceptron, each after a layer norm.

    With `residual: input`, that of Frozen in Time, the space output is added to the block's input, not to the sum of
    input and time output, so time acts only through what space attention reads. With `time`, that of TimeSformer
    (Bertasius et al. 2021), it is added to the sum. `cls: frames` is TimeSformer's rule for the read-out token.
    """

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        d = config.width
        self.norm_time, self.norm_space, self.norm_mlp = (nn.LayerNorm(d, config.norm_eps) for _ in range(3))
        self.residual = config.residual
        attention = FrameByFrame if config.cls == "frames" else DividedAttention
        self.time = attention(d, config.heads, "time", config.dropout)
        self.space = attention(d, config.heads, "space", config.dropout)
        self.mlp = Perceptron(d, config.dropout)

    def between(self, x: Float[Tensor, "b tokens d"], mask: Bool[Tensor, "b f"]) -> Float[Tensor, "b tokens d"]:
        """What the space attention reads: input plus time output, normalised."""
        return self.norm_space(x + self.time(self.norm_time(x), mask))

    def forward(
        self, x: Float[Tensor, "b tokens d"], mask: Bool[Tensor, "b f"], complete: bool = False
    ) -> Float[Tensor, "b tokens d"]:
        """Add space(x + time(x)), and time(x) where the residual says so, then mlp; `complete`: no frame is absent."""
        read = self.time(self.norm_time(x), mask, complete)
        base = x + read if self.residual == "time" else x
        x = base + self.space(self.norm_space(x + read), mask, complete)
        return x + self.mlp(self.norm_mlp(x))

    def read(
        self, x: Float[Tensor, "b tokens d"], mask: Bool[Tensor, "b f"], complete: bool = False
    ) -> Float[Tensor, "b 1 d"]:
        """The read-out token of `forward`, without what only the patch tokens need: for the last block."""
        base = x[:, :1]  # before all else: gradients are summed in the order of use, and their bits depend on it
        read = self.time(self.norm_time(x), mask, complete)
        if self.residual == "time":
            base = base + read[:, :1]
        cls = base + self.space.read(self.norm_space(x + read), mask, complete)
        return cls + self.mlp(self.norm_mlp(cls))


class VideoEncoder(nn.Module):
    """Images of a study → one vector of the width of the model."""

    block: type[nn.Module] = Block

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        self.config, self.width = config, config.width
        self.grid = config.image_px // config.patch_px
        self.stem = (conv_stem if config.stem == "conv" else patch_stem)(config.width, config.patch_px)
        self.cls = nn.Parameter(torch.zeros(1, 1, config.width))
        self.place = nn.Parameter(torch.zeros(1, 1, self.grid**2, config.width))
        self.frame = FrameEmbedding(config.width, config.frame_places, config.vendors)
        self.blocks = nn.ModuleList(self.block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, config.norm_eps)
        self.pool = AttentionPool(config.width) if config.study == "set" else None
        self.recompute = False
        self._start()

    @property
    def recompute(self) -> bool:
        """Set in training: less memory, more time, the same numbers."""
        return not self.blocks[0].mlp.spare

    @recompute.setter
    def recompute(self, value: bool) -> None:
        for block in self.blocks:
            block.mlp.spare = not value

    def _start(self) -> None:
        """Initial weights: small for embeddings, zero for biases, and the chosen start of temporal attention."""
        for weight in (self.cls, self.place):
            nn.init.trunc_normal_(weight, std=0.02)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(layer.bias)
        for layer in self.time_layers:
            start_time_attention(layer, self.config.temporal_init)

    @property
    def time_layers(self) -> list[DividedAttention]:
        """The temporal attention of every block that has one."""
        return [block.time for block in self.blocks if hasattr(block, "time")]

    @property
    def no_maps(self) -> str:
        """Why there are no attention maps of a whole study; empty where there are."""
        if self.pool is None:
            return ""
        return "Attention maps of a whole study want a model of video.study: concat; this one is a set."

    def tokens(self, images: StudyImages) -> Float[Tensor, "b tokens d"]:
        """What enters the first block. Raises ValueError when the images are not of the size the model was made for."""
        side, frames = self.config.image_px, images.frames
        if frames.shape[-2:] != (side, side):
            raise ValueError(f"The model reads {side}×{side} px, got {frames.shape[-2]}×{frames.shape[-1]} px.")
        patches = self.stem(frames.flatten(0, 1)).flatten(2).transpose(1, 2).unflatten(0, frames.shape[:2])
        patches = patches + self.place + self.frame(images).unsqueeze(2)
        return torch.cat([self.cls.expand(len(frames), -1, -1), patches.flatten(1, 2)], dim=1)

    def read_out(
        self, x: Float[Tensor, "b tokens d"], mask: Bool[Tensor, "b f"], complete: bool = False
    ) -> Float[Tensor, "b d"]:
        """The last block and the study's vector: the read-out token, or the mean of the patch tokens that exist."""
        last = self.blocks[-1]
        if self.config.readout == "cls":
            return self.norm(last.read(x, mask, complete))[:, 0]
        x = self.norm(last(x, mask, complete))[:, 1:]
        weight = mask.repeat_interleave(self.grid**2, 1).to(x.dtype)
        return torch.einsum("btd,bt->bd", x, weight) / weight.sum(1, keepdim=True).clamp(min=1)

    def forward(self, images: StudyImages) -> Float[Tensor, "b d"]:
        """Encode studies: all images in one, or clip by clip (`study: set`). Raises ValueError for one without any."""
        images = self._hide_vendors(images)
        if self.pool is None:
            complete = all_there(images.mask)
            if not complete:
                refuse_bare(images.mask)
            return self._encode(images, complete)
        clips, there = as_clips(images)
        return self.pool(self._encode(clips).unflatten(0, there.shape), there)

    def _hide_vendors(self, images: StudyImages) -> StudyImages:
        """In training, the makers of some studies are hidden: so the model learns to read a maker it has not met."""
        if not (self.training and self.config.vendors and self.config.drop_vendor):
            return images
        kept = torch.rand(len(images.mask), 1, device=images.mask.device) >= self.config.drop_vendor
        return replace(images, vendor=images.vendor * kept)

    def _encode(self, images: StudyImages, complete: bool | None = None) -> Float[Tensor, "b d"]:
        complete = all_there(images.mask) if complete is None else complete
        x = self.tokens(images)
        for block in self.blocks[:-1]:
            x = self._run(block, x, images.mask, complete)
        return self._run(self.read_out, x, images.mask, complete)

    def _run(self, block: Callable[..., Tensor], x: Tensor, mask: Tensor, complete: bool) -> Tensor:
        """A block, in training with `recompute` without keeping what is inside it (Chen et al. 2016)."""
        if not (self.recompute and torch.is_grad_enabled()):
            return block(x, mask, complete)
        kept: Tensor = checkpoint(block, x, mask, complete, use_reentrant=False)
        return kept

    def attention_maps(
        self, images: StudyImages, block: int = -1
    ) -> tuple[Float[Tensor, "b f rows cols"], Float[Tensor, "b f"]]:
        """What the read-out token attends to in the space layer of one block, averaged over heads.

        Returns the map over the patches of each frame and its sum per frame (the weight of that frame, hence of its
        view and phase). Both sum to 1 over a study; masked frames are exactly 0. Weights are recomputed from queries
        and keys here, so that the normal forward pass never keeps them. Raises ValueError with `study: set`, where no
        token attends to all of a study.
        """
        if self.no_maps:
            raise ValueError(self.no_maps)
        chosen = self.blocks[block]
        x, mask = self.tokens(images), images.mask
        for layer in self.blocks:
            if layer is chosen:
                break
            x = layer(x, mask)
        weights = chosen.space.cls_weights(chosen.between(x, mask), mask).mean(1)[:, 1:]
        weights = weights / weights.sum(1, keepdim=True)
        space = weights.unflatten(1, (mask.shape[1], self.grid, self.grid))
        return space, space.sum((2, 3))


def all_there(mask: Bool[Tensor, "b f"]) -> bool:
    """Whether a GPU need not look at the mask; asked once. On a CPU a mask costs next to nothing: False."""
    return mask.is_cuda and bool(mask.all())


def start_time_attention(attention: DividedAttention, how: Literal["frozen_in_time", "zero_output"]) -> None:
    """Set the initial weights of temporal attention so that the model starts as an image model.

    "frozen_in_time" is the published start: queries, keys and values zero, output weight one. Since the gradient of
    the queries is proportional to the keys and the other way round, both stay exactly zero for ever and temporal
    attention remains a plain average. "zero_output" zeroes the output projection alone and learns.
    """
    if how == "frozen_in_time":
        nn.init.zeros_(attention.qkv.weight)
        nn.init.ones_(attention.proj.weight)
    else:
        nn.init.zeros_(attention.proj.weight)
    nn.init.zeros_(attention.qkv.bias)
    nn.init.zeros_(attention.proj.bias)
