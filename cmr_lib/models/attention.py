"""Divided space-time attention (Bertasius et al. 2021; Bain et al. 2021), with a mask over frames.

A patch token attends to the read-out token and, in a "time" layer, to the same patch position of every frame; in a
"space" layer, to all patches of its own frame. The read-out token attends to every token. Tokens of a masked frame are
never attended to by another frame or by the read-out token; what they compute themselves is read by nobody.

That is the rule of Frozen in Time and CMR-CLIP. `FrameByFrame` has TimeSformer's for the read-out token.

Shapes: b studies, f frames, n patches a frame, d width, h heads, c = d / h; tokens are (b, 1 + f·n, d), the read-out
token first. A group is a set of patch tokens that attend among themselves: n groups of f in time, f of n in space.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cmr_lib.models import grouped

Axis = Literal["time", "space"]


def token_mask(mask: Bool[Tensor, "b f"], patches: int) -> Bool[Tensor, "b tokens"]:
    """The frame mask for every token: the read-out token is always there."""
    return nn.functional.pad(mask.repeat_interleave(patches, 1), (1, 0), value=True)


def attend(
    q: Float[Tensor, "*b queries c"],
    k: Float[Tensor, "*b keys c"],
    v: Float[Tensor, "*b keys c"],
    present: Bool[Tensor, "..."] | None,
    dropout: float,
) -> Float[Tensor, "*b queries c"]:
    """softmax(q·kᵀ / √c) · v, over the keys that are present.

    Written out on the CPU: with some twenty keys a group, two batched products were measured at half the time of the
    fused kernel, forward and backward. On other devices the fused kernel is used.
    """
    if q.device.type != "cpu":
        return fused(q, k, v, present, dropout)
    return nn.functional.dropout(weights_of(q, k, present), dropout, training=dropout > 0) @ v


def fused(
    q: Float[Tensor, "*b queries c"],
    k: Float[Tensor, "*b keys c"],
    v: Float[Tensor, "*b keys c"],
    present: Bool[Tensor, "..."] | None,
    dropout: float,
) -> Float[Tensor, "*b queries c"]:
    """The same by PyTorch's fused kernels, which want (batch, heads, tokens, c): other leading axes are merged."""
    if present is not None:
        present = present.expand(*q.shape[:-3], *present.shape[-3:]).flatten(0, -4)
    merged = (x.flatten(0, -4) for x in (q, k, v))
    return nn.functional.scaled_dot_product_attention(*merged, attn_mask=present, dropout_p=dropout).reshape(q.shape)


def weights_of(
    q: Float[Tensor, "*b queries c"], k: Float[Tensor, "*b keys c"], present: Bool[Tensor, "..."] | None
) -> Float[Tensor, "*b queries keys"]:
    """Attention weights; an absent key's is exactly 0."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if present is not None:
        scores = scores.masked_fill(~present, float("-inf"))
    return scores.softmax(-1)


class DividedAttention(nn.Module):
    """Multi-head attention along one axis of the frames × patches grid, plus the read-out token."""

    def __init__(self, width: int, heads: int, axis: Axis, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.axis, self.dropout = heads, axis, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def _split(self, x: Float[Tensor, "b tokens d"]) -> list[Float[Tensor, "b h tokens c"]]:
        """Queries, keys and values by head."""
        return list(self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0))

    def _group(self, x: Float[Tensor, "b h fn c"], frames: int) -> Float[Tensor, "b g h s c"]:
        """Patch tokens as g groups of s."""
        grid = x.unflatten(2, (frames, -1))
        return grid.permute(0, 3, 1, 2, 4) if self.axis == "time" else grid.permute(0, 2, 1, 3, 4)

    def _ungroup(self, x: Float[Tensor, "b g h s c"]) -> Float[Tensor, "b fn d"]:
        """The inverse of `_group`, with the heads side by side again."""
        grid = x.permute(0, 3, 1, 2, 4) if self.axis == "time" else x.permute(0, 1, 3, 2, 4)
        return grid.flatten(3).flatten(1, 2)

    def _keys(self, x: Float[Tensor, "b h tokens c"], frames: int) -> Float[Tensor, "b g h s1 c"]:
        """Keys or values of every group, the read-out token's first."""
        group = self._group(x[:, :, 1:], frames)
        first = x[:, None, :, :1].expand(-1, group.shape[1], -1, -1, -1)
        return torch.cat([first, group], dim=3)

    def _present(
        self, x: Float[Tensor, "b tokens d"], mask: Bool[Tensor, "b f"], complete: bool
    ) -> Bool[Tensor, "b 1 1 tokens"] | None:
        """What the read-out token may attend to; None: everything."""
        return None if complete else token_mask(mask, (x.shape[1] - 1) // mask.shape[1])[:, None, None]

    def forward(
        self, x: Float[Tensor, "b tokens d"], mask: Bool[Tensor, "b f"], complete: bool = False
    ) -> Float[Tensor, "b tokens d"]:
        """Attention output for every token; `mask` is True where the study has the frame.

        `complete` says that it is True everywhere: kernels without a mask are faster on a GPU.
        """
        if x.device.type != "cpu":
            return grouped.divided(self, x, mask, complete)
        frames, dropout = mask.shape[1], self.dropout if self.training else 0.0
        q, k, v = self._split(x)
        present = self._present(x, mask, complete)
        cls = attend(q[:, :, :1], k, v, present, dropout).transpose(1, 2).flatten(2)
        group = self._group(q[:, :, 1:], frames)
        # In space, all keys of a frame are present or the whole frame is absent and its output is read by nobody.
        all_there = complete or self.axis == "space"
        among = None if all_there else nn.functional.pad(mask, (1, 0), value=True)[:, None, None, None]
        patches = self._ungroup(attend(group, self._keys(k, frames), self._keys(v, frames), among, dropout))
        return nn.functional.dropout(self.proj(torch.cat([cls, patches], dim=1)), self.dropout, self.training)

    def _cls(self, x: Float[Tensor, "b tokens d"]) -> tuple[Float[Tensor, "b h 1 c"], Float[Tensor, "b kv tokens c"]]:
        """The read-out token's query, and keys then values of all tokens, by head."""
        d = x.shape[-1]
        weight, bias = self.qkv.weight, self.qkv.bias
        q = nn.functional.linear(x[:, :1], weight[:d], bias[:d])
        kv = nn.functional.linear(x, weight[d:], bias[d:])
        return q.unflatten(-1, (self.heads, -1)).transpose(1, 2), kv.unflatten(-1, (2 * self.heads, -1)).transpose(1, 2)

    def read(
        self, x: Float[Tensor, "b tokens d"], mask: Bool[Tensor, "b f"], complete: bool = False
    ) -> Float[Tensor, "b 1 d"]:
        """The first row of `forward`: the read-out token's output alone."""
        q, kv = self._cls(x)
        k, v = kv.chunk(2, dim=1)
        present = self._present(x, mask, complete)
        out = attend(q, k, v, present, self.dropout if self.training else 0.0).transpose(1, 2).flatten(2)
        return nn.functional.dropout(self.proj(out), self.dropout, self.training)

    def cls_weights(self, x: Float[Tensor, "b tokens d"], mask: Bool[Tensor, "b f"]) -> Float[Tensor, "b h tokens"]:
        """How much the read-out token attends to every token, recomputed from queries and keys."""
        q, kv = self._cls(x)
        present = token_mask(mask, (x.shape[1] - 1) // mask.shape[1])[:, None, None]
        return weights_of(q, kv.chunk(2, dim=1)[0], present).squeeze(2)


class FrameByFrame(DividedAttention):
    """The same for patch tokens among themselves, with the read-out token of TimeSformer (Bertasius et al. 2021).

    In time it takes no part: nobody attends to it and its output is zero. In space a copy of it joins every frame,
    attends to that frame alone, and the copies' outputs are averaged over the frames that the study has.
    """

    def forward(
        self, x: Float[Tensor, "b tokens d"], mask: Bool[Tensor, "b f"], complete: bool = False
    ) -> Float[Tensor, "b tokens d"]:
        """Attention output for every token; `mask` is True where the study has the frame (`complete`: everywhere)."""
        frames, dropout = mask.shape[1], self.dropout if self.training else 0.0
        q, k, v = self._split(x)
        group = self._group(q[:, :, 1:], frames)
        if self.axis == "time":
            keys, values = (self._group(tensor[:, :, 1:], frames) for tensor in (k, v))
            among = None if complete else _never_none(mask)[:, None, None, None]
            out = nn.functional.pad(self.proj(self._ungroup(attend(group, keys, values, among, dropout))), (0, 0, 1, 0))
        else:
            keys, values = self._keys(k, frames), self._keys(v, frames)
            patches = self._ungroup(attend(group, keys, values, None, dropout))
            out = self.proj(torch.cat([self._averaged(q[:, :, :1], keys, values, mask), patches], dim=1))
        return nn.functional.dropout(out, self.dropout, self.training)

    def _averaged(
        self,
        cls: Float[Tensor, "b h 1 c"],
        keys: Float[Tensor, "b f h n1 c"],
        values: Float[Tensor, "b f h n1 c"],
        mask: Bool[Tensor, "b f"],
    ) -> Float[Tensor, "b 1 d"]:
        """The mean over the frames that are there of what the read-out token finds in each."""
        each = cls[:, None].expand(-1, keys.shape[1], -1, -1, -1)
        found = attend(each, keys, values, None, self.dropout if self.training else 0.0)
        return torch.einsum("bfhqc,bf->bqhc", found, _equal_shares(mask).to(found.dtype)).flatten(2)

    def read(
        self, x: Float[Tensor, "b tokens d"], mask: Bool[Tensor, "b f"], complete: bool = False
    ) -> Float[Tensor, "b 1 d"]:
        """The first row of `forward`: the read-out token's output alone."""
        if self.axis == "time":
            return torch.zeros_like(x[:, :1])
        q, kv = self._cls(x)
        keys, values = (self._keys(tensor, mask.shape[1]) for tensor in kv.chunk(2, dim=1))
        return nn.functional.dropout(self.proj(self._averaged(q, keys, values, mask)), self.dropout, self.training)

    def cls_weights(self, x: Float[Tensor, "b tokens d"], mask: Bool[Tensor, "b f"]) -> Float[Tensor, "b h tokens"]:
        """How much the read-out token attends to every token in space: each frame that is there has an equal share."""
        q, kv = self._cls(x)
        keys = self._keys(kv.chunk(2, dim=1)[0], mask.shape[1])
        within = weights_of(q[:, None].expand(-1, mask.shape[1], -1, -1, -1), keys, None).squeeze(3)
        shared = within * _equal_shares(mask)[:, :, None, None]
        patches = shared[..., 1:].transpose(1, 2).flatten(2)
        return torch.cat([shared[..., 0].sum(1).unsqueeze(-1), patches], dim=-1)


def _never_none(mask: Bool[Tensor, "b f"]) -> Bool[Tensor, "b f"]:
    """The mask, with all frames of a study that has none: nobody reads it, but a softmax over nothing is no number."""
    return mask | ~mask.any(1, keepdim=True)


def _equal_shares(mask: Bool[Tensor, "b f"]) -> Float[Tensor, "b f"]:
    """1 / (frames that are there) for each of them, 0 for the others."""
    return mask / mask.sum(1, keepdim=True).clamp(min=1)
