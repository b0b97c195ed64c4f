"""Where the right item of a query stands among the others, level items in random order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import hypergeom

DECIMALS = 6  # float32 embeddings of equal texts agree to about 1e-7: closer than this is a tie
COUNTS = ("better", "ties", "level", "positives")

Similarity = Float[np.ndarray, "queries gallery"]


@dataclass(frozen=True)
class Places:
    """Where the best right item of each query stands, in a gallery of `gallery` items."""

    better: Int[np.ndarray, " queries"]  # wrong items with a higher similarity
    ties: Int[np.ndarray, " queries"]  # wrong items level with it
    level: Int[np.ndarray, " queries"]  # right items level with it, itself included
    positives: Int[np.ndarray, " queries"]  # right items in the whole gallery
    gallery: int

    def ranks(self) -> Float[np.ndarray, " queries"]:
        """Expected 1-based rank of the first right item, ties in random order."""
        return self.better + (self.ties + self.level + 1) / (self.level + 1)

    def hits(self, k: int) -> Float[np.ndarray, " queries"]:
        """Chance that a right item is among the first k, ties in random order."""
        slots = np.clip(k - self.better, 0, self.ties + self.level)
        none_drawn = hypergeom.pmf(0, self.ties + self.level, self.level, slots)
        return np.clip(1 - none_drawn, 0, 1)

    def hits_in_random_gallery(self, k: int, size: int) -> Float[np.ndarray, " queries"]:
        """Chance that the right item is among the first k of a random gallery of `size` items that holds it.

        Exact, nothing is drawn: with b better items among the N − 1 others, a gallery holds Hypergeom(N − 1, b,
        size − 1) of them, and at most k − 1 may be there. One right item a query is required (ValueError).
        """
        if (self.positives != 1).any():
            raise ValueError("Sub-galleries are defined for queries with one right item.")
        size = min(size, self.gallery)
        chance = hypergeom.cdf(k - 1, self.gallery - 1, np.arange(self.gallery), size - 1)
        summed = np.concatenate([[0.0], np.cumsum(chance)])  # a tied item may stand anywhere in its group: average
        return np.clip((summed[self.better + self.ties + 1] - summed[self.better]) / (self.ties + 1), 0, 1)


def joined(parts: Sequence[Places]) -> Places:
    """Places of several blocks of queries in one gallery."""
    counts = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COUNTS}
    return Places(**counts, gallery=parts[0].gallery)


def places(similarity: Similarity, positives: Bool[np.ndarray, "queries gallery"] | None = None) -> Places:
    """Count the items above and level with each query's best right item.

    `positives` marks the right items; None: the diagonal. Raises ValueError for a query without a right item or a
    similarity that is not finite.
    """
    if positives is None:
        positives = np.eye(*similarity.shape, dtype=bool)
    if not np.isfinite(similarity).all():
        raise ValueError("The similarity holds NaN or infinity: leave studies without a report out.")
    if not positives.any(axis=1).all():
        raise ValueError(f"{int((~positives.any(axis=1)).sum())} queries have no right item in the gallery.")
    best = np.where(positives, similarity, -np.inf).max(axis=1, keepdims=True)
    level = similarity == best
    return Places(
        better=(similarity > best).sum(axis=1),
        ties=(level & ~positives).sum(axis=1),
        level=(level & positives).sum(axis=1),
        positives=positives.sum(axis=1),
        gallery=similarity.shape[1],
    )


def places_of_one(similarity: Similarity, own: Int[np.ndarray, " queries"]) -> Places:
    """`places` where row own[i] of the gallery is query i's one right item: two passes, no mask.

    Raises ValueError for a similarity of the right item that is not finite.
    """
    best = np.take_along_axis(similarity, own[:, None], axis=1)
    if not np.isfinite(best).all():
        raise ValueError("The similarity holds NaN or infinity: leave studies without a report out.")
    one = np.ones(len(own), dtype=int)
    level = np.count_nonzero(similarity == best, axis=1)
    return Places(np.count_nonzero(similarity > best, axis=1), level - 1, one, one, similarity.shape[1])
