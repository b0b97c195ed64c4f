"""The contrastive loss of a handful of pairs in plain NumPy, step by step, to be held against `losses` and autograd.

For a lesson, not for training. B pairs, image rows x_i, text rows y_j, s = logit scale = 1 / temperature, and W the
wanted answer (the identity, or rows and columns of `positive` divided by their number). With P the softmax of the
logits s x_i·y_j by rows and Q that by columns, the gradient of InfoNCE in the logits is

    G = ((P − W_rows) + (Q − W_columns)) / (2B),

what was given minus what was wanted. The chain rule does the rest: dL/dx = s G y, dL/dy = s Gᵀ x and
dL/ds = Σ G_ij x_i·y_j.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float

from cmr_lib import losses, project

Vectors = Float[np.ndarray, "pairs embed"]
Square = Float[np.ndarray, "pairs pairs"]
HIDDEN = 8  # numbers that a toy tower reads of each study, one of them the same for all


@dataclass(frozen=True)
class Worked:
    """One batch worked through: what comes out at each step, in nats, and the gradients of all that goes in."""

    logits: Square
    by_row: Square  # each image's shares over the texts
    by_column: Square  # each text's shares over the images
    loss: float
    gradient: Square  # of the logits
    image: Vectors
    text: Vectors
    scale: float


def softmax(logits: Square, axis: int) -> Square:
    """exp(l) / Σ exp(l) along an axis; the largest is taken off first, which changes nothing and never overflows."""
    shares = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return shares / shares.sum(axis=axis, keepdims=True)


def toy(seed: int, pairs: int = 4, embed: int = 3, noise: float = 0.6) -> tuple[Vectors, Vectors]:
    """Pairs of unit vectors, the text at `noise` from its image: half-trained towers. Invented, of no patient."""
    random = project.rng(seed, "loss by hand")
    image = random.normal(size=(pairs, embed))
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    return image, unit(image + noise * random.normal(size=image.shape))


def unit(rows: Vectors) -> Vectors:
    """The same directions with length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_hand(image: Vectors, text: Vectors, scale: float, positive: Bool[np.ndarray, "b b"] | None = None) -> Worked:
    """InfoNCE and its gradients without autograd; `positive` as in `losses.multi_positive`, None: each pair alone."""
    wanted = np.eye(len(image)) if positive is None else positive.astype(float)
    rows, columns = wanted / wanted.sum(1, keepdims=True), wanted / wanted.sum(0, keepdims=True)
    similarity = image @ text.T
    logits = scale * similarity
    p, q = softmax(logits, 1), softmax(logits, 0)
    loss = -((rows * np.log(p)).sum() + (columns * np.log(q)).sum()) / (2 * len(image))
    g = ((p - rows) + (q - columns)) / (2 * len(image))
    return Worked(logits, p, q, float(loss), g, scale * g @ text, scale * g.T @ image, float((g * similarity).sum()))


def by_autograd(
    image: Vectors, text: Vectors, scale: float, positive: Bool[np.ndarray, "b b"] | None = None
) -> tuple[float, Vectors, Vectors, float]:
    """Loss, and gradients of images, texts and scale, of the library's losses by PyTorch (float32)."""
    x, y, s = (torch.tensor(value, dtype=torch.float32, requires_grad=True) for value in (image, text, scale))
    loss = losses.info_nce(x, y, s) if positive is None else losses.multi_positive(x, y, s, torch.from_numpy(positive))
    loss.backward()
    return loss.item(), x.grad.numpy().astype(float), y.grad.numpy().astype(float), s.grad.item()


def losses_by_scale(
    image: Vectors, text: Vectors, scales: Float[np.ndarray, " scales"]
) -> Float[np.ndarray, " scales"]:
    """InfoNCE of the same vectors at every logit scale."""
    return np.array([by_hand(image, text, float(scale)).loss for scale in scales])


def train(seed: int, pairs: int, steps: int, scale: float, *, negatives: bool, rate: float = 0.3) -> pd.DataFrame:
    """Two linear towers trained on one batch: by InfoNCE, or by pulling pairs together and nothing else.

    Descent by the gradients of this module. Returns a row a step: loss, mean similarity of pairs (`own`) and of
    non-pairs (`other`), and `top_1`, the share of images whose own text is the most similar, ties counted by their
    expected place (1 / pairs where all are equal).
    """
    random = project.rng(seed, "towers")
    inputs = random.normal(size=(2, pairs, HIDDEN))
    inputs[:, :, -1] = 1.0  # as any tower with a bias has it: a way to answer the same whatever it is shown
    towers, rows = random.normal(size=(2, HIDDEN, 3)), []
    for step in range(steps + 1):
        raw = inputs @ towers
        length = np.linalg.norm(raw, axis=2, keepdims=True)
        x, y = both = raw / length
        done = by_hand(x, y, scale)
        loss, up = (done.loss, np.stack([done.image, done.text])) if negatives else _pull(x, y)
        rows.append({"step": step, "loss": loss, **_agreement(x @ y.T)})
        along = (up * both).sum(axis=2, keepdims=True) * both  # what would only change the length does nothing
        towers = towers - rate * inputs.transpose(0, 2, 1) @ ((up - along) / length)
    return pd.DataFrame(rows)


def _pull(x: Vectors, y: Vectors) -> tuple[float, Float[np.ndarray, "2 pairs embed"]]:
    """One minus the mean similarity of the pairs, and its gradients: nothing pushes."""
    return float(1 - (x * y).sum(axis=1).mean()), -np.stack([y, x]) / len(x)


def _agreement(similarity: Square) -> dict[str, float]:
    own, others = np.diag(similarity), ~np.eye(len(similarity), dtype=bool)
    rounded = similarity.round(4)
    best = rounded == rounded.max(axis=1, keepdims=True)
    top = float((np.diag(best) / best.sum(axis=1)).mean())
    return {"own": float(own.mean()), "other": float(similarity[others].mean()), "top_1": top}
