"""Is it learning, and what? Loss, temperature, where vectors lie, temporal gradients, similarities."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmr_lib.figures import style


def history(table: pd.DataFrame, chance_loss: float | None = None, note: str = style.PHANTOM) -> Figure:
    """Four panels over epochs: loss, logit scale, alignment and uniformity, temporal query and key gradient norm.

    Columns (of training.loop): epoch, loss, validation_loss, alignment and uniformity (these may hold NaN),
    logit_scale, temporal_qk_grad_norm.
    chance_loss: loss of a model that tells nothing apart, ln(batch), drawn as the chance line (nats).
    """
    fig, axes = style.canvas(2, 2, width=style.PAGE, height=4.2, note=note, sharex=True)
    (loss, scale), (sphere, gradient) = axes
    loss.plot(table["epoch"], table["loss"], color=style.BLUE, label="train")
    seen = table.dropna(subset=["validation_loss"])
    _dashed(loss, seen["epoch"], seen["validation_loss"], "validation")
    if chance_loss is not None:
        style.chance_line(loss, chance_loss, label="chance, ln(batch)")
    loss.set(ylabel="contrastive loss (nats)", ylim=(0, None))
    loss.legend()
    scale.plot(table["epoch"], table["logit_scale"], color=style.BLACK)
    scale.set(ylabel="logit scale (1 / temperature)")
    sphere.plot(seen["epoch"], seen["alignment"], color=style.BLUE, label="alignment (0: pairs are equal)")
    _dashed(sphere, seen["epoch"], seen["uniformity"], "uniformity (lower: better spread)")
    style.chance_line(sphere, 2.0, label="alignment of unrelated vectors")
    sphere.set(xlabel="epoch", ylabel="on validation")
    sphere.legend()
    gradient.plot(table["epoch"], table["temporal_qk_grad_norm"], color=style.GREEN)
    gradient.axhline(0, color=style.GREY, linestyle=":", linewidth=1)
    gradient.set(xlabel="epoch", ylabel="gradient norm of temporal q, k")
    return fig


def _dashed(place: Axes, x: pd.Series, y: pd.Series, label: str) -> None:
    place.plot(x, y, color=style.ORANGE, linestyle="--", marker="s", ms=2.5, label=label)


def similarity_matrix(similarity: Float[np.ndarray, "images texts"], note: str = style.PHANTOM) -> Figure:
    """Similarities of a validation batch: studies down, reports across, the true pairs on the diagonal."""
    if not similarity.size:
        return style.nothing("n = 0: no study of this split has a report", note)
    fig, axes = style.canvas(width=style.COLUMN, height=3.1, note=note)
    shown = axes[0, 0].imshow(similarity, cmap="cividis", interpolation="nearest")
    fig.colorbar(shown, ax=axes[0, 0], label="similarity (dot product)", shrink=0.85)
    pairs = np.diag(similarity).mean()
    others = (similarity.sum() - np.trace(similarity)) / max(1, similarity.size - len(similarity))
    axes[0, 0].set(xlabel="report", ylabel="study")
    axes[0, 0].set_title(
        f"n = {len(similarity)}; mean of pairs {pairs:z.2f}, of others {others:z.2f}", fontweight="normal"
    )
    return fig
