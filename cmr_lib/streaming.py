"""InfoNCE of very large batches, exact, without its B × B matrix.

The matrix of similarities is visited in square tiles. Of each row and column only its largest logit so far, m, and the
sum of exp(logit - m), l, are kept (Milakov & Gimelshein 2018, arXiv 1805.02867); a new tile with largest logit m'
changes them to max(m, m') and l exp(m - max) + l' exp(m' - max). In the backward pass the tiles are computed again.
Memory grows with B, not with B²; nothing overflows, at any logit scale, since no exponent is ever positive.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor

TILE = 1024


def info_nce(
    image_embedding: Float[Tensor, "b embed"],
    text_embedding: Float[Tensor, "b embed"],
    logit_scale: Float[Tensor, ""] | float,
    tile: int = TILE,
) -> Float32[Tensor, ""]:
    """`losses.info_nce`, and its gradients, in memory that grows with B: `tile` × `tile` logits at a time."""
    scale = torch.as_tensor(logit_scale, dtype=torch.float32, device=image_embedding.device)
    loss: Tensor = _Streaming.apply(image_embedding.float(), text_embedding.float(), scale, tile)
    return loss


def _tiles(x: Tensor, y: Tensor, scale: Tensor, tile: int) -> Iterator[tuple[slice, slice, Tensor]]:
    """(rows, columns, logits) of every tile."""
    for top in range(0, len(x), tile):
        rows = slice(top, min(top + tile, len(x)))
        scaled = scale * x[rows]
        for left in range(0, len(y), tile):
            columns = slice(left, min(left + tile, len(y)))
            yield rows, columns, scaled @ y[columns].T


def _fold(largest: Tensor, total: Tensor, logits: Tensor, axis: int) -> None:
    """Take a tile into the running maximum and sum of its rows (axis 1) or columns (axis 0), in place."""
    now = torch.maximum(largest, logits.amax(axis))
    total.mul_((largest - now).exp_()).add_((logits - now.unsqueeze(axis)).exp_().sum(axis))
    largest.copy_(now)


class _Streaming(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, scale: Tensor, tile: int) -> Tensor:
        largest = x.new_full((2, len(x)), float("-inf"))  # of rows, of columns
        total, own = x.new_zeros(2, len(x)), x.new_zeros(len(x))
        for rows, columns, logits in _tiles(x, y, scale, tile):
            _fold(largest[0, rows], total[0, rows], logits, axis=1)
            _fold(largest[1, columns], total[1, columns], logits, axis=0)
            if rows == columns:
                own[rows] = logits.diagonal()
        ctx.save_for_backward(x, y, scale, largest, total)
        ctx.tile = tile
        # Largest minus own first: both may be near 100 and equal, the logarithm near 0.
        return ((largest - own) + total.log()).mean()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, y, scale, largest, total = ctx.saved_tensors
        d_x, d_y = torch.zeros_like(x), torch.zeros_like(y)
        for rows, columns, logits in _tiles(x, y, scale, ctx.tile):
            share = (logits - largest[0, rows, None]).exp_().div_(total[0, rows, None])
            share += logits.sub_(largest[1, columns]).exp_().div_(total[1, columns])
            if rows == columns:
                share.diagonal().sub_(2)
            d_x[rows].addmm_(share, y[columns])
            d_y[columns].addmm_(share.T, x[rows])
        factor = upstream[0] / (2 * len(x))
        d_scale = (d_x * x).sum() * factor  # Σ_ij share_ij x_i·y_j
        return d_x.mul_(scale * factor), d_y.mul_(scale * factor), d_scale, None
