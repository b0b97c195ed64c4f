"""Three maps of what reached the read-out token: attention, rollout, and rollout weighted by gradients.

- `readout`: the last block's space attention of the read-out token, averaged over heads. One step only.
- `rollout` (Abnar & Zuidema 2020, arXiv 2005.00928): attention through all blocks, half of each step going through the
  residual connection.
- `gradient` (Chefer et al. 2021, arXiv 2103.15679): each weight times its gradient, negative parts dropped, averaged
  over heads; the residual connection counts in full. It says what raised one similarity, such as that of a study with
  its own report, and so can differ between two questions about one study.

Divided attention has two steps a block: the space step S reads x + T(x). With the residual of Frozen in Time a block is
x + S(x + T x), so its matrix is I + S (I + T); with TimeSformer's it is (I + S)(I + T) (halves for `rollout`). The map
is one row of the product, the read-out token's, so rows are multiplied from the last block to the first and no matrix
of tokens × tokens is ever formed.

Shapes as in `capture`. Maps (b, f, rows, cols) are not negative and sum to 1 over a study (or are all 0).
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cmr_lib.explain.capture import Capture, Layer, Weights, captured, gradients, grouped, weights
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.models.study import StudyImages
from cmr_lib.models.video import VideoEncoder

Method = Literal["readout", "rollout", "gradient"]
METHODS: tuple[Method, ...] = ("readout", "rollout", "gradient")
Row = Float[Tensor, "b tokens"]


def times(row: Row, found: Weights, axis: str) -> Row:
    """Row · A, for attention of one head as `Weights.mean` gives it."""
    frames = found.groups.shape[1] if axis == "space" else found.groups.shape[3]
    read = row[:, :1] * found.cls[:, 0]
    part = grouped(row[:, None, :, None], axis, frames)[:, :, 0, :, 0]  # (b, g, s)
    flow = torch.einsum("bgs,bgst->bgt", part, found.groups[:, :, 0])
    inner = flow[:, :, 1:]
    patches = (inner.transpose(1, 2) if axis == "time" else inner).flatten(1)
    return read + torch.cat([flow[:, :, 0].sum(1, keepdim=True), patches], dim=1)


def _through(row: Row, time: Weights, space: Weights, residual: str, kept: float) -> Row:
    """Row · (matrix of one block); `kept`: share of the residual, the rest is attention's (1: both in full)."""
    taken = 1.0 if kept == 1.0 else 1.0 - kept
    read = times(row, space, "space")
    if residual == "time":
        read = kept * row + taken * read
        return kept * read + taken * times(read, time, "time")
    return kept * row + taken * (kept * read + taken * times(read, time, "time"))


def _weighted(layer: Layer, mask: Bool[Tensor, "b f"]) -> Weights:
    """Chefer's Ā: the mean over heads of the positive part of gradient × weight."""
    a, slope = weights(layer, mask), gradients(layer, mask)
    positive = Weights((a.cls * slope.cls).clamp(min=0), (a.groups * slope.groups).clamp(min=0))
    return positive.mean()


def _start(video: VideoEncoder, mask: Bool[Tensor, "b f"], patches: int) -> Row:
    """Where the study's vector is read: the read-out token, or evenly the patches that exist."""
    if video.config.readout == "cls":
        row = torch.zeros(len(mask), 1 + mask.shape[1] * patches, device=mask.device)
        row[:, 0] = 1
        return row
    there = mask.repeat_interleave(patches, 1).float()
    return torch.nn.functional.pad(there / there.sum(1, keepdim=True).clamp(min=1), (1, 0))


@torch.no_grad()
def maps_of(
    video: VideoEncoder, found: Capture, mask: Bool[Tensor, "b f"], method: Method
) -> Float[Tensor, "b f rows cols"]:
    """The map of a captured pass; "gradient" wants that something was differentiated since."""
    grid = video.grid
    if method == "readout":
        row = weights(found.layers[-1], mask).cls.mean(1)
    else:
        row = _start(video, mask, grid**2)
        for time, space in reversed(list(found.blocks())):
            if method == "rollout":
                pair = weights(time, mask).mean(), weights(space, mask).mean()
                row = _through(row, *pair, video.config.residual, kept=0.5)
            else:
                pair = _weighted(time, mask), _weighted(space, mask)
                row = _through(row, *pair, video.config.residual, kept=1.0)
    patches = row[:, 1:].clamp(min=0) * mask.repeat_interleave(grid**2, 1)
    total = patches.sum(1, keepdim=True)
    patches = torch.where(total > 0, patches / total.clamp(min=1e-30), torch.zeros_like(patches))
    return patches.unflatten(1, (mask.shape[1], grid, grid))


def explain(
    model: CMRformer,
    images: StudyImages,
    methods: tuple[Method, ...] = METHODS,
    target: Float[Tensor, "b embed"] | None = None,
) -> dict[str, Float[Tensor, "b f rows cols"]]:
    """Maps of a batch of studies by method, in evaluation mode and from one forward pass.

    target: unit vectors; the gradient is that of each study's similarity with its own (a report's embedding, or a
    phrase's). Without, or where a row is NaN (no report), of the length of its own projection, so of being told apart
    from an average heart at all. Raises ValueError for a model of `study: set`, or for a target of another shape.
    """
    model.eval()
    if target is not None and target.shape != (len(images.mask), model.config.embed_dim):
        raise ValueError(
            f"A target of {len(images.mask)} × {model.config.embed_dim} is wanted, got {tuple(target.shape)}."
        )
    wanted = "gradient" in methods
    with captured(model.video) as found, torch.set_grad_enabled(wanted):
        features = model.video(images)
        if wanted:
            raw = model.video_projection(model.video_norm(features))
            _aim(raw, target).sum().backward()
    model.zero_grad(set_to_none=True)
    return {method: maps_of(model.video, found, images.mask, method) for method in methods}


def _aim(raw: Float[Tensor, "b embed"], target: Float[Tensor, "b embed"] | None) -> Float[Tensor, " b"]:
    """What is differentiated, one number a study."""
    length = raw.norm(dim=-1)
    if target is None:
        return length
    known = ~target.isnan().any(-1)
    return torch.where(known, (raw * target.nan_to_num()).sum(-1) / length, length)
