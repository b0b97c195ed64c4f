"""What makes the two towers agree."""

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn


def info_nce(
    image_embedding: Float[Tensor, "b embed"],
    text_embedding: Float[Tensor, "b embed"],
    logit_scale: Float[Tensor, ""] | float,
) -> Float32[Tensor, ""]:
    """Symmetric normalised softmax over the pairs of a batch (van den Oord et al. 2018; Radford et al. 2021).

    With rows x_i of images and y_i of texts, both of length 1, and s = logit_scale = 1 / temperature,

        L = -1/(2B) Σ_i [ log exp(s x_i·y_i) / Σ_j exp(s x_i·y_j)  +  log exp(s x_i·y_i) / Σ_j exp(s x_j·y_i) ].

    Every other text of the batch counts as wrong for an image, and the other way round. Without any knowledge (all
    similarities equal) L = log B. Computed in float32 whatever the inputs.
    """
    logits = logit_scale * image_embedding.float() @ text_embedding.float().T
    pairs = torch.arange(len(logits), device=logits.device)
    return (nn.functional.cross_entropy(logits, pairs) + nn.functional.cross_entropy(logits.T, pairs)) / 2
