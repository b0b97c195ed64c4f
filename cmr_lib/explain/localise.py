"""Does a map point at a region? Scores of a map against a mask, each with the level of a map that knows nothing.

- pointing game (Zhang et al. 2018, arXiv 1608.00507): does the map's highest pixel lie in the region? A random pixel
  does with the region's share of the image.
- Dice: of the region and as many of the map's highest pixels as the region has. A random choice of so many pixels has
  the region's share of the image.
- energy (Wang et al. 2020, arXiv 1910.01279): the share of the map's weight inside the region. An even map has the
  region's share of the image.

One number a study: the mean over those of its images in which the region covers at least LEAST_PX pixels; NaN where it
has none. Ties are broken towards what comes first in the image, so a constant map points at its corner.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

NAMES = {"pointing": "Pointing game", "dice": "Dice", "energy": "Weight inside the region"}
MEASURES = tuple(NAMES)
LEAST_PX = 10  # 0.4 cm² at 2 mm: smaller is the edge of something

Maps = Float[np.ndarray, "n f size size"]
Masks = Bool[np.ndarray, "n f size size"]


def scores(maps: Maps, masks: Masks) -> dict[str, Float[np.ndarray, "n f"]]:
    """Each of MEASURES, and `share` (what a map that knows nothing has), for every image; NaN without the region."""
    n, f = maps.shape[:2]
    flat, inside = maps.reshape(n, f, -1).astype(float), masks.reshape(n, f, -1)
    count = inside.sum(axis=2)
    order = np.argsort(-flat, axis=2, kind="stable")
    ranked = np.take_along_axis(inside, order, axis=2)
    hits = np.cumsum(ranked, axis=2)
    chosen = np.take_along_axis(hits, np.maximum(count - 1, 0)[..., None], axis=2)[..., 0]
    total = flat.sum(axis=2)
    found = {
        "pointing": ranked[..., 0].astype(float),
        "dice": np.divide(chosen, count, out=np.full((n, f), np.nan), where=count > 0),
        "energy": np.divide((flat * inside).sum(axis=2), total, out=np.full((n, f), np.nan), where=total > 0),
        "share": inside.mean(axis=2),
    }
    shown = (count >= LEAST_PX) & (total > 0)
    return {name: np.where(shown, values, np.nan) for name, values in found.items()}


def by_study(found: Mapping[str, Float[np.ndarray, "n f"]]) -> pd.DataFrame:
    """The mean over a study's images, one row a study; NaN for a study without the region."""
    rows = {}
    for name, values in found.items():
        known = np.isfinite(values)
        total, count = np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1)
        rows[name] = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return pd.DataFrame(rows)


def table(maps: Mapping[str, Maps], masks: Mapping[str, Masks]) -> pd.DataFrame:
    """Scores of several maps against several regions: columns map, region, study (row number), MEASURES, share."""
    parts = [
        by_study(scores(one, mask)).assign(map=name, region=region, study=np.arange(len(one)))
        for name, one in maps.items()
        for region, mask in masks.items()
    ]
    return pd.concat(parts, ignore_index=True)[["map", "region", "study", *MEASURES, "share"]]


def centred(n: int, f: int, size: int) -> Maps:
    """A map that knows only that hearts are put in the middle: highest there, falling with the distance."""
    away = np.hypot(*(np.indices((size, size)) - (size - 1) / 2))
    return np.broadcast_to(away.max() - away, (n, f, size, size))
