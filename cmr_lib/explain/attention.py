"""Where and when does it look? Attention maps as pictures and as numbers that can disappoint.

Maps come from the video encoder: `space` (batch, frames, patch rows, patch columns) is the weight of each patch for
the read-out token, `time` (batch, frames) the weight of each frame. Attention is not explanation (Jain & Wallace 2019,
arXiv 1902.10186), so each map is held against three levels: uniform attention, a centred disc (images are centred on
the heart), and a network with random weights (Adebayo et al. 2018, arXiv 1810.03292): a map that an untrained network
draws as well says nothing about what was learned.
"""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import zoom

Space = Float[np.ndarray, "batch frames rows cols"]
Time = Float[np.ndarray, "batch frames"]
SCORES = ("entropy", "centre_share", "correlation_with_random", "time_entropy")
Present = Bool[np.ndarray, "batch frames"]  # True: the study has this frame


def upsample(maps: Space, size: int) -> Float[np.ndarray, "batch frames {size} {size}"]:
    """Maps at image size (pixels), bilinear; each map is scaled to a maximum of 1 (an all-zero map stays zero)."""
    if not len(maps):
        return np.zeros((*maps.shape[:2], size, size))
    factors = (1, 1, size / maps.shape[2], size / maps.shape[3])
    grown = zoom(maps.astype(float), factors, order=1, mode="nearest", grid_mode=True)
    peak = grown.max(axis=(2, 3), keepdims=True)
    return np.divide(grown, peak, out=np.zeros_like(grown), where=peak > 0)


def tint(
    frame: UInt8[np.ndarray, "height width"],
    weight: Float[np.ndarray, "height width"],
    colour: tuple[float, float, float] = (0.90, 0.62, 0.0),
    strength: int | float = 0.6,
) -> Float[np.ndarray, "height width 3"]:
    """The grey frame tinted where `weight` (0 to 1) is high; RGB in [0, 1]. The anatomy stays visible underneath."""
    grey = np.repeat(frame[..., None] / 255.0, 3, axis=2)
    alpha = strength * np.clip(weight, 0, 1)[..., None]
    return (1 - alpha) * grey + alpha * np.asarray(colour)


def entropy(maps: Space) -> Time:
    """Entropy of each map over its patches, 0 (one patch) to 1 (uniform)."""
    flat = _normalised(maps)
    logs = np.log(flat, out=np.zeros_like(flat), where=flat > 0)
    return -(flat * logs).sum(axis=2) / np.log(flat.shape[2])


def centre_share(maps: Space, radius: int | float = 0.5) -> Time:
    """Share of each map's attention on patches whose centre lies within a disc around the image centre.

    radius: share of half the image side, so 0.5 is a disc over about a fifth of the image. Compare `disc_share`.
    """
    inside = _disc(maps.shape[2], maps.shape[3], radius)
    return _normalised(maps)[:, :, inside.ravel()].sum(axis=2)


def disc_share(rows: int, cols: int, radius: int | float = 0.5) -> float:
    """What `centre_share` of uniform attention is: the chance level."""
    return float(_disc(rows, cols, radius).mean())


def map_correlation(first: Space, second: Space) -> Time:
    """Pearson correlation over patches of each pair of maps; NaN where one of them is constant."""
    a, b = (maps.reshape(*maps.shape[:2], -1).astype(float) for maps in (first, second))
    a, b = a - a.mean(axis=2, keepdims=True), b - b.mean(axis=2, keepdims=True)
    size = np.sqrt((a**2).sum(axis=2) * (b**2).sum(axis=2))
    return np.divide((a * b).sum(axis=2), size, out=np.full(size.shape, np.nan), where=size > 1e-12)


def study_scores(
    space: Space, time: Time, present: Present, random_space: Space, radius: int | float = 0.5
) -> pd.DataFrame:
    """One row a study: the numbers of this module, averaged over the frames that the study has.

    Columns: entropy, centre_share, correlation_with_random (maps of a network with random weights on the same
    frames), time_entropy (0: one frame, 1: all frames alike).
    """
    if not len(space):
        return pd.DataFrame({name: np.zeros(0) for name in SCORES})
    scores = {
        "entropy": entropy(space),
        "centre_share": centre_share(space, radius),
        "correlation_with_random": map_correlation(space, random_space),
    }
    table = pd.DataFrame({name: _mean_present(values, present) for name, values in scores.items()})
    return table.assign(time_entropy=_time_entropy(time, present))


def _normalised(maps: Space) -> Float[np.ndarray, "batch frames patches"]:
    """Each map flattened and scaled to sum to 1 (an all-zero map becomes uniform)."""
    flat = maps.reshape(*maps.shape[:2], -1).astype(float)
    total = flat.sum(axis=2, keepdims=True)
    return np.divide(flat, total, out=np.full_like(flat, 1 / flat.shape[2]), where=total > 0)


def _disc(rows: int, cols: int, radius: int | float) -> Bool[np.ndarray, "rows cols"]:
    y = (np.arange(rows) + 0.5) / rows * 2 - 1
    x = (np.arange(cols) + 0.5) / cols * 2 - 1
    return y[:, None] ** 2 + x[None, :] ** 2 <= radius**2


def _mean_present(values: Time, present: Present) -> Float[np.ndarray, " batch"]:
    usable = present & np.isfinite(values)
    count = usable.sum(axis=1)
    total = np.where(usable, values, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def _time_entropy(time: Time, present: Present) -> Float[np.ndarray, " batch"]:
    """Entropy of the weights over the frames present, 0 to 1; NaN for a study of fewer than two frames."""
    weights = np.where(present, time, 0.0).astype(float)
    total, count = weights.sum(axis=1, keepdims=True), present.sum(axis=1)
    shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    raw = -(shares * np.log(shares, out=np.zeros_like(shares), where=shares > 0)).sum(axis=1)
    defined = (count > 1) & (total[:, 0] > 0)
    return np.divide(raw, np.log(np.maximum(count, 2)), out=np.full(len(time), np.nan), where=defined)
