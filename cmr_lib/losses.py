"""What makes the two towers agree: losses of a batch of pairs, pure functions of its vectors.

Common to all: rows x_i of images and y_i of texts, both of length 1, B pairs, s = logit_scale = 1 / temperature.
Computed in float32 whatever the inputs. For batches whose B × B matrix does not fit: `streaming`.
"""

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

PUBLISHED_TEMPERATURE = 0.05  # Frozen in Time and CMR-CLIP; fixed


def _logits(
    image: Float[Tensor, "b embed"], text: Float[Tensor, "b embed"], logit_scale: Float[Tensor, ""] | float
) -> Float32[Tensor, "b b"]:
    return logit_scale * image.float() @ text.float().T


def info_nce(
    image_embedding: Float[Tensor, "b embed"],
    text_embedding: Float[Tensor, "b embed"],
    logit_scale: Float[Tensor, ""] | float,
) -> Float32[Tensor, ""]:
    """Symmetric normalised softmax over the pairs of a batch (van den Oord et al. 2018; Radford et al. 2021).

        L = -1/(2B) Σ_i [ log exp(s x_i·y_i) / Σ_j exp(s x_i·y_j)  +  log exp(s x_i·y_i) / Σ_j exp(s x_j·y_i) ].

    Every other text of the batch counts as wrong for an image, and the other way round. Without any knowledge (all
    similarities equal) L = log B.
    """
    logits = _logits(image_embedding, text_embedding, logit_scale)
    pairs = torch.arange(len(logits), device=logits.device)
    return (nn.functional.cross_entropy(logits, pairs) + nn.functional.cross_entropy(logits.T, pairs)) / 2


def norm_softmax(
    image_embedding: Float[Tensor, "b embed"],
    text_embedding: Float[Tensor, "b embed"],
    temperature: Float[Tensor, ""] | float = PUBLISHED_TEMPERATURE,
) -> Float32[Tensor, ""]:
    """The published loss (Zhai & Wu 2018, as Bain et al. 2021 use it): both directions summed, temperature T fixed.

        L = -1/B Σ_i [ log exp(x_i·y_i / T) / Σ_j exp(x_i·y_j / T)  +  log exp(x_i·y_i / T) / Σ_j exp(x_j·y_i / T) ],

    which is twice `info_nce` at s = 1 / T; without any knowledge L = 2 log B.
    """
    return 2 * info_nce(image_embedding, text_embedding, 1 / temperature)


def sigmoid(
    image_embedding: Float[Tensor, "b embed"],
    text_embedding: Float[Tensor, "b embed"],
    logit_scale: Float[Tensor, ""] | float,
    bias: Float[Tensor, ""] | float = -10.0,
) -> Float32[Tensor, ""]:
    """Every pair of the batch judged on its own (Zhai et al. 2023, arXiv 2303.15343).

        L = -1/B Σ_i Σ_j log σ(z_ij (s x_i·y_j + b)),  z_ij = 1 where i = j and -1 elsewhere.

    The bias b, learned from -10, makes up for there being B - 1 wrong pairs for a right one.
    """
    logits = _logits(image_embedding, text_embedding, logit_scale) + bias
    right = 2 * torch.eye(len(logits), dtype=logits.dtype, device=logits.device) - 1
    return -nn.functional.logsigmoid(right * logits).sum() / len(logits)


def multi_positive(
    image_embedding: Float[Tensor, "b embed"],
    text_embedding: Float[Tensor, "b embed"],
    logit_scale: Float[Tensor, ""] | float,
    positive: Bool[Tensor, "b b"],
) -> Float32[Tensor, ""]:
    """InfoNCE with more than one right answer (Khosla et al. 2020, its L_out; Yang et al. 2022).

        L = -1/(2B) Σ_i [ 1/|P_i| Σ_{j ∈ P_i} log exp(s x_i·y_j) / Σ_k exp(s x_i·y_k)  +  the same by columns ],

    with P_i the columns where row i of `positive` is True (for columns: the rows). Studies whose reports say the same
    are no wrong answers for each other. With the diagonal alone it is `info_nce`.

    Raises ValueError when a pair is not its own right answer.
    """
    if not bool(positive.diagonal().all()):
        raise ValueError("multi_positive: every pair must be a right answer for itself (the diagonal must be True).")
    logits = _logits(image_embedding, text_embedding, logit_scale)
    wanted = positive.to(logits.dtype)
    rows = nn.functional.cross_entropy(logits, wanted / wanted.sum(1, keepdim=True))
    columns = nn.functional.cross_entropy(logits.T, (wanted / wanted.sum(0, keepdim=True)).T)
    return (rows + columns) / 2
