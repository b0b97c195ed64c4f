"""Divided space-time attention token by token in plain NumPy, to be held against `attention` and `video`; its cost.

For a lesson, not for training. A study of f frames with n patches is 1 + f·n tokens, the read-out token first, then the
patches frame by frame.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import erf

from cmr_lib.models.attention import DividedAttention
from cmr_lib.models.video import Block

Tokens = Float[np.ndarray, "tokens d"]
How = Literal["joint", "time", "space"]


def who_reads_whom(frames: int, patches: int, how: How) -> Bool[np.ndarray, "tokens tokens"]:
    """True where the token of the row attends to the token of the column.

    The read-out token reads all, and all read it. A patch reads every patch ("joint"), its own place in every frame
    ("time") or its own frame ("space").
    """
    frame, patch = (part.ravel() for part in np.divmod(np.arange(frames * patches), patches))
    alike = {
        "joint": np.ones((frames * patches,) * 2, dtype=bool),
        "time": patch[:, None] == patch,
        "space": frame[:, None] == frame,
    }
    return np.pad(alike[how], ((1, 0), (1, 0)), constant_values=True)


def multiply_adds(frames: int, patches: int, width: int, how: Literal["joint", "divided"]) -> int:
    """Of one attention over a study: queries, keys, values and output (4·N·d²), and two products a pair (2·d).

    Divided attention is a layer in time and one in space: it projects twice.
    """
    tokens = 1 + frames * patches
    if how == "joint":
        return 4 * tokens * width**2 + 2 * width * tokens**2
    # Every patch reads the read-out token and its group; the read-out token reads all.
    pairs = [tokens + frames * patches * (1 + group) for group in (frames, patches)]
    return sum(4 * tokens * width**2 + 2 * width * many for many in pairs)


def attention(layer: DividedAttention, x: Tokens, mask: Bool[np.ndarray, " f"]) -> Tokens:
    """`DividedAttention.forward` of one study, one token and one head at a time, without dropout."""
    patches, heads, d = (len(x) - 1) // len(mask), layer.heads, x.shape[1]
    reads = who_reads_whom(len(mask), patches, layer.axis)
    present = np.concatenate([[True], np.repeat(mask, patches)])
    q, k, v = np.split(x @ _array(layer.qkv.weight).T + _array(layer.qkv.bias), 3, axis=1)
    out = np.zeros_like(x)
    for token in range(len(x)):
        # In space a patch reads its own frame, whole or absent; what an absent one computes, nobody reads.
        keys = reads[token] & (present if layer.axis == "time" or token == 0 else True)
        for head in np.split(np.arange(d), heads):
            scores = k[np.ix_(keys, head)] @ q[token, head] / np.sqrt(d // heads)
            shares = np.exp(scores - scores.max())
            out[token, head] = shares / shares.sum() @ v[np.ix_(keys, head)]
    return out @ _array(layer.proj.weight).T + _array(layer.proj.bias)


def block(layer: Block, x: Tokens, mask: Bool[np.ndarray, " f"]) -> Tokens:
    """`Block.forward` of one study: y = space(x + time(x)) + x (or + x + time(x)), then y + perceptron(y)."""
    read = attention(layer.time, norm(layer.norm_time, x), mask)
    base = x + read if layer.residual == "time" else x
    y = base + attention(layer.space, norm(layer.norm_space, x + read), mask)
    first, _, second, _ = layer.mlp
    hidden = norm(layer.norm_mlp, y) @ _array(first.weight).T + _array(first.bias)
    hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2  # GELU
    return y + hidden @ _array(second.weight).T + _array(second.bias)


def norm(layer: object, x: Tokens) -> Tokens:
    """Layer norm: mean 0 and variance 1 over the numbers of a token, then scale and shift."""
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt(x.var(axis=1, keepdims=True) + layer.eps) * _array(layer.weight) + _array(layer.bias)


def _array(weight: object) -> Float[np.ndarray, "..."]:
    return weight.detach().numpy().astype(float)
