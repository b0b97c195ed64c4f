"""The gradient of a batch's loss, whole or by micro-batches (gradient caching), in one process or several.

A contrastive loss needs all features of a batch at once, but not all activations. Gradient caching (Gao et al. 2021,
arXiv 2101.06983): embed micro-batch by micro-batch without a graph; compare all features and take the gradient with
respect to them; embed each micro-batch again, with a graph, and hand it its features' gradient. The result is the
gradient of the whole batch, in the memory of one micro-batch, for one more forward pass.
"""

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from cmr_lib import losses, params, streaming
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.training import distributed
from cmr_lib.training.machine import autocast
from cmr_lib.training.pairs import Pairs


def parts_of(rows: slice, size: int | None) -> list[slice]:
    """The rows in micro-batches of `size` (None: all at once)."""
    size = size or rows.stop - rows.start
    return [slice(start, min(start + size, rows.stop)) for start in range(rows.start, rows.stop, size)]


def backward(
    model: CMRformer, pairs: Pairs, how: params.Optimiser, precision: str = "fp32", share: float = 1.0
) -> Float32[Tensor, ""]:
    """Add `share` of the gradient of the batch's loss to the weights' gradients; returns the loss, without a graph.

    Whether the loss is finite is not asked here: on a GPU that would be to wait for it in the middle of a step.
    """
    device = model.log_scale.device
    parts = parts_of(distributed.own_rows(pairs.size), how.micro_batch)
    if len(parts) == 1:
        image, text = _embed(pairs, parts[0], device, precision)
    else:
        image, text = _leaves(pairs, parts, device, precision)
    loss = _compare(model, distributed.gather(image), distributed.gather(text), pairs.same, how, precision)
    (loss * (share / distributed.processes())).backward()
    if len(parts) > 1:
        _replay(pairs, parts, device, precision, image.grad, text.grad)
    return loss.detach()


def _embed(
    pairs: Pairs, rows: slice, device: torch.device, precision: str
) -> tuple[Float[Tensor, "part image"], Float[Tensor, "part text"]]:
    """Features of these rows; dropout draws depend on the rows alone, so a second pass is the same."""
    torch.manual_seed(pairs.seed + rows.start)
    with autocast(device, precision):
        return pairs.image(rows), pairs.text(rows)


def _leaves(pairs: Pairs, parts: list[slice], device: torch.device, precision: str) -> list[Tensor]:
    """Features of all parts, without a graph, as leaves that collect a gradient."""
    with torch.no_grad():
        found = [_embed(pairs, rows, device, precision) for rows in parts]
    return [torch.cat(column).requires_grad_() for column in zip(*found, strict=True)]


def _replay(pairs: Pairs, parts: list[slice], device: torch.device, precision: str, *grads: Tensor | None) -> None:
    """Embed each part again and continue backwards from the gradient of its features."""
    first = parts[0].start
    for rows in parts:
        place = slice(rows.start - first, rows.stop - first)
        features = _embed(pairs, rows, device, precision)
        both = [(out, grad[place]) for out, grad in zip(features, grads, strict=True) if out.requires_grad]
        torch.autograd.backward([out for out, _ in both], [grad for _, grad in both])


def _compare(
    model: CMRformer, image: Tensor, text: Tensor, same: Tensor | None, how: params.Optimiser, precision: str
) -> Float32[Tensor, ""]:
    """The loss of the whole batch from its features."""
    with autocast(image.device, precision):
        image, text = model.project_study(image), model.project_text(text)
    scale = model.logit_scale
    if how.loss == "streaming":
        return streaming.info_nce(image, text, scale)
    if how.loss == "norm_softmax":
        return losses.norm_softmax(image, text, 1 / scale.detach().double())
    if how.loss == "sigmoid":
        return losses.sigmoid(image, text, scale, model.logit_bias)
    if how.loss == "multi_positive":
        own = torch.eye(len(image), dtype=torch.bool) if same is None else same
        return losses.multi_positive(image, text, scale, own.to(image.device))
    return losses.info_nce(image, text, scale)
