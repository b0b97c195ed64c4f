"""What went into every attention of the image tower, taken down during an ordinary forward pass.

Fused attention kernels never form the weights, so they cannot be read off. What is kept here is what the weights
follow from: the normalised tokens that enter each attention (queries, keys and values are a linear map of them), and
what each attention gives before its output projection. Both are kept by reference, by hooks: the pass runs the same
kernels and gives the same numbers as without (`benchmarks.explaining`). Weights are computed afterwards, when asked.

Shapes: b studies, h heads, c = width / h, tokens 1 + f·n (f frames of n patches, the read-out token first), g groups
of s tokens: n groups of f in time, f groups of n in space.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cmr_lib.models.attention import DividedAttention, token_mask, weights_of

SETS = "Maps of a whole study want a model of video.study: concat; this one is a set of clips, where no token sees all."
OTHERS = (
    "Maps are known for divided attention whose read-out token attends to every token; this tower is of another make."
)


@dataclass
class Layer:
    """One attention of one block: what entered it and, where it was followed, what it gave before its projection."""

    attention: DividedAttention
    x: Float[Tensor, "b tokens d"] | None = None
    given: Float[Tensor, "b seen d"] | None = None  # seen: all tokens, or the read-out token alone (last block)


@dataclass(frozen=True)
class Weights:
    """Attention of every token: the read-out token's over all, a patch's over the read-out token and its group."""

    cls: Float[Tensor, "b h tokens"]
    groups: Float[Tensor, "b g h s s1"]  # keys: the read-out token, then the group

    def mean(self) -> "Weights":
        """Averaged over heads (kept as one head)."""
        return Weights(self.cls.mean(1, keepdim=True), self.groups.mean(2, keepdim=True))


@dataclass
class Capture:
    """The attentions of a pass in order: block by block, time and then space."""

    layers: list[Layer] = field(default_factory=list)

    def blocks(self) -> Iterator[tuple[Layer, Layer]]:
        """(time, space) of each block, first to last."""
        return zip(self.layers[::2], self.layers[1::2], strict=True)


def _keep_input(layer: Layer, _: nn.Module, __: tuple, output: Tensor) -> None:
    layer.x = output


def _keep_given(layer: Layer, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    layer.given = inputs[0]
    if layer.given.requires_grad:
        layer.given.retain_grad()


def no_maps(video: nn.Module) -> str:
    """Why there are no maps of a whole study by this tower, in a sentence; empty where there are."""
    if getattr(video, "pool", None) is not None:
        return SETS
    if getattr(video, "no_maps", ""):
        return video.no_maps
    layers = [getattr(block, axis, None) for block in getattr(video, "blocks", ()) for axis in ("time", "space")]
    alike = all(type(attention) is DividedAttention for attention in layers)  # a subclass may differ
    if not layers or not alike or video.config.cls == "frames":  # there the read-out token takes no part in time
        return OTHERS
    return ""


@contextmanager
def captured(video: nn.Module) -> Iterator[Capture]:
    """Within this context a forward pass of the tower leaves its attentions' inputs in the Capture.

    With gradients on, the gradient of what each attention gave is kept as well, once somebody calls backward. Raises
    ValueError for a tower that has none (`no_maps`).
    """
    if why := no_maps(video):
        raise ValueError(why)
    found, handles = Capture(), []
    for block in video.blocks:
        for norm, attention in ((block.norm_time, block.time), (block.norm_space, block.space)):
            layer = Layer(attention)
            found.layers.append(layer)
            handles.append(norm.register_forward_hook(lambda *args, layer=layer: _keep_input(layer, *args)))
            handles.append(
                attention.proj.register_forward_pre_hook(lambda *args, layer=layer: _keep_given(layer, *args))
            )
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _split(layer: Layer) -> tuple[Float[Tensor, "b h tokens c"], ...]:
    """Queries, keys and values by head, of the tokens that entered."""
    if layer.x is None:
        raise ValueError("This attention was never run: call the tower's forward inside `captured`.")
    qkv = layer.attention.qkv(layer.x).unflatten(-1, (3, layer.attention.heads, -1))
    return qkv.permute(2, 0, 3, 1, 4).unbind(0)


def grouped(x: Float[Tensor, "b h tokens c"], axis: str, frames: int) -> Float[Tensor, "b g h s c"]:
    """Patch tokens (without the read-out token) as groups."""
    grid = x[:, :, 1:].unflatten(2, (frames, -1))
    return grid.permute(0, 3, 1, 2, 4) if axis == "time" else grid.permute(0, 2, 1, 3, 4)


def with_first(x: Float[Tensor, "b h tokens c"], axis: str, frames: int) -> Float[Tensor, "b g h s1 c"]:
    """Groups with the read-out token in front of each: the keys or values that a patch sees."""
    group = grouped(x, axis, frames)
    return torch.cat([x[:, None, :, :1].expand(-1, group.shape[1], -1, -1, -1), group], dim=3)


@torch.no_grad()
def weights(layer: Layer, mask: Bool[Tensor, "b f"]) -> Weights:
    """The attention weights that this layer used, recomputed; those on an absent frame are exactly 0."""
    q, k, _ = _split(layer)
    axis, frames = layer.attention.axis, mask.shape[1]
    present = token_mask(mask, (q.shape[2] - 1) // frames)[:, None, None]
    cls = weights_of(q[:, :, :1], k, present).squeeze(2)
    among = nn.functional.pad(mask, (1, 0), value=True)[:, None, None, None] if axis == "time" else None
    return Weights(cls, weights_of(grouped(q, axis, frames), with_first(k, axis, frames), among))


@torch.no_grad()
def gradients(layer: Layer, mask: Bool[Tensor, "b f"]) -> Weights:
    """The gradient of what was differentiated in each attention weight, without the weights having been formed.

    out_i = Σ_j A_ij v_j, so ∂y/∂A_ij = (∂y/∂out_i) · v_j: what each attention gave keeps its gradient, and v follows
    from what entered. Zero for a token whose output nobody read. Raises ValueError before `backward`.
    """
    if layer.given is None or layer.given.grad is None:
        raise ValueError("No gradient was kept: run the tower inside `captured` with gradients on, then backward.")
    _, _, v = _split(layer)
    axis, frames = layer.attention.axis, mask.shape[1]
    came = layer.given.grad.unflatten(-1, (layer.attention.heads, -1)).transpose(1, 2)
    cls = (came[:, :, :1] @ v.transpose(-1, -2)).squeeze(2)
    seen = with_first(v, axis, frames)
    if came.shape[2] == 1:  # the last block computes the read-out token alone
        return Weights(cls, cls.new_zeros(*seen.shape[:3], seen.shape[3] - 1, seen.shape[3]))
    return Weights(cls, grouped(came, axis, frames) @ seen.transpose(-1, -2))
