"""Divided attention as a GPU likes it: tokens are put into their groups first, then projected.

The same numbers as `DividedAttention` gives. There, queries, keys and values are made of all tokens in their order and
then copied into groups, each behind the read-out token's; on a GPU such copies take as long as the products between
them. Here the tokens are grouped once, each group with the read-out token in front, so that what the products give is
where the fused kernels want it. On a CPU, whose bits are published, the plain way stands.

Shapes as in `attention`: g groups of s patch tokens (s1 with the read-out token): n of f in time, f of n in space.
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

if TYPE_CHECKING:
    from cmr_lib.models.attention import DividedAttention


def divided(
    layer: "DividedAttention", x: Float[Tensor, "b tokens d"], mask: Bool[Tensor, "b f"], complete: bool
) -> Float[Tensor, "b tokens d"]:
    """What `layer` gives for every token; `complete`: no frame is absent."""
    dropout = layer.dropout if layer.training else 0.0
    groups = _in_groups(x, mask.shape[1], layer.axis)
    q, k, v = layer.qkv(groups).unflatten(-1, (3, layer.heads, -1)).permute(3, 0, 1, 4, 2, 5).unbind(0)  # b g h s1 c
    among = None if complete or layer.axis == "space" else _seen(mask, groups.shape[1])
    merged = (part.flatten(0, 1) for part in (q[..., 1:, :], k, v))
    found = nn.functional.scaled_dot_product_attention(*merged, attn_mask=among, dropout_p=dropout)
    patches = _in_order(found.transpose(1, 2).flatten(2).unflatten(0, groups.shape[:2]), layer.axis)
    weights = _cls_weights(q[:, 0, :, 0], k, None if complete else mask, layer.axis)
    weights = nn.functional.dropout(weights, dropout, training=dropout > 0).to(v.dtype)
    cls = (weights.unsqueeze(-1) * v).sum((1, 3)).flatten(1).unsqueeze(1).to(patches.dtype)
    return nn.functional.dropout(layer.proj(torch.cat([cls, patches], dim=1)), layer.dropout, layer.training)


def _in_groups(x: Float[Tensor, "b tokens d"], frames: int, axis: str) -> Float[Tensor, "b g s1 d"]:
    """The patch tokens by group, the read-out token in front of each."""
    grid = x[:, 1:].unflatten(1, (frames, -1))
    groups = grid.transpose(1, 2) if axis == "time" else grid
    return torch.cat([x[:, None, :1].expand(-1, groups.shape[1], -1, -1), groups], dim=2)


def _in_order(groups: Float[Tensor, "b g s d"], axis: str) -> Float[Tensor, "b fn d"]:
    """The inverse, for patch tokens."""
    return (groups.transpose(1, 2) if axis == "time" else groups).flatten(1, 2)


def _seen(mask: Bool[Tensor, "b f"], groups: int) -> Bool[Tensor, "bg 1 1 f1"]:
    """In time: which keys of each group are there; the read-out token's always."""
    return nn.functional.pad(mask, (1, 0), value=True)[:, None].expand(-1, groups, -1).flatten(0, 1)[:, None, None]


def _cls_weights(
    q: Float[Tensor, "b h c"], k: Float[Tensor, "b g h s1 c"], mask: Bool[Tensor, "b f"] | None, axis: str
) -> Float[Tensor, "b g h s1"]:
    """How much the read-out token attends to every token: its own key, which every group has, is counted once."""
    scores = ((q * q.shape[-1] ** -0.5)[:, None, :, None] * k).sum(-1)
    own_again = torch.zeros(k.shape[1], k.shape[3], dtype=torch.bool, device=k.device)
    own_again[1:, 0] = True
    hidden = own_again.expand(len(k), -1, -1)
    if mask is not None:
        absent = ~mask[:, None, :] if axis == "time" else ~mask[:, :, None]
        hidden = hidden | nn.functional.pad(absent.expand(-1, k.shape[1], k.shape[3] - 1), (1, 0))
    scores = scores.masked_fill(hidden[:, :, None], float("-inf"))
    return scores.transpose(1, 2).flatten(2).softmax(-1).unflatten(-1, (k.shape[1], k.shape[3])).transpose(1, 2)
