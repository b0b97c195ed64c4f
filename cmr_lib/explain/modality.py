"""The gap between images and reports in one space (Liang et al. 2022, arXiv 2203.02053).

Contrastive training pulls pairs together but need not mix the two kinds: often all images lie in one cone and all texts
in another. The gap is the distance between their means, of unit vectors, so between 0 and 2. Its level of chance: the
same distance when in each pair a coin says which of the two is called the image.
"""

import numpy as np
from jaxtyping import Float

from cmr_lib import project

Pairs = Float[np.ndarray, "pairs both embed"]  # both: the image, the report


def pairs_of(image: Float[np.ndarray, "n embed"], text: Float[np.ndarray, "n embed"]) -> Pairs:
    """Images and reports of the studies that have both, one beside the other."""
    return np.stack([image, text], axis=1)[~np.isnan(text).any(axis=1)].astype(float)


def gap(pairs: Pairs, weights: Float[np.ndarray, "samples pairs"]) -> Float[np.ndarray, " samples"]:
    """Distance between the weighted mean image and the weighted mean report; a statistic for a bootstrap of pairs."""
    between = (pairs[:, 0] - pairs[:, 1]).reshape(len(pairs), -1)
    return np.linalg.norm(weights @ between, axis=1) / weights.sum(axis=1)


def gap_by_chance(pairs: Pairs, seed: int, deals: int = 200) -> float:
    """The mean gap when a coin decides in every pair which of the two is called the image."""
    coins = project.rng(seed, "modality gap").choice([-1.0, 1.0], size=(deals, len(pairs)))
    between = pairs[:, 0] - pairs[:, 1]
    return float(np.linalg.norm(coins @ between / max(len(pairs), 1), axis=1).mean())


def told_apart(pairs: Pairs, seed: int, folds: int = 5) -> Float[np.ndarray, " pairs"]:
    """For each pair, the share of its two vectors whose kind a linear classifier knows that never saw the pair.

    0.5 is chance; 1: a plane separates images from reports. Logistic regression, `folds` folds of pairs.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold

    right = np.zeros(len(pairs))
    for train, test in KFold(folds, shuffle=True, random_state=project.seed_for(seed, "told apart") % 2**32).split(
        pairs
    ):
        kinds = np.tile([0, 1], len(train))
        model = LogisticRegression(max_iter=1000).fit(pairs[train].reshape(2 * len(train), -1), kinds)
        said = model.predict(pairs[test].reshape(2 * len(test), -1)).reshape(len(test), 2)
        right[test] = (said == [0, 1]).mean(axis=1)
    return right
