"""Does the order of frames say anything that a linear reader could hear? All phases of one cine, as they come.

The trained model sees the few phases of its plan. Whether a cohort holds what only the order tells (walls that do not
contract together) is asked of a reader that sees every phase: the middle cine, each frame averaged to a small image,
all frames unrolled one after the other, as principal components of the training studies. Out of order, each study's
frames are dealt anew, and its images as a set stay the same.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from tqdm import tqdm

from cmr_lib import project
from cmr_lib.clips.store import ClipStore
from cmr_lib.evaluation import baselines
from cmr_lib.evaluation.harness import Features

Images = Float[np.ndarray, "studies frames pixels"]


def unrolled(store: ClipStore, keys: Sequence[str], grid_px: int) -> Images:
    """Small images of every frame of each study's middle cine, in [0, 1]; NaN where a study has fewer than the most."""
    clips = [store.frames(store.middle_cine(key)) for key in tqdm(keys, "cines", unit="study", disable=None)]
    most = max(len(frames) for frames in clips)
    found = np.full((len(clips), most, grid_px**2), np.nan)
    for place, frames in enumerate(clips):
        if len(frames) == most:
            found[place] = baselines.small(np.asarray(frames), grid_px).reshape(most, -1)
    return found


def dealt(images: Images, seed: int) -> Images:
    """The frames of each study in a random order of its own."""
    orders = [project.rng(seed, "frames of a cine", row).permutation(images.shape[1]) for row in range(len(images))]
    return np.stack([study[order] for study, order in zip(images, orders, strict=True)])


def fit_components(images: Images, train: Int[np.ndarray, " train"], n: int) -> PCA:
    """The first `n` principal components of the training studies that have every frame, or as many as there are."""
    flat = images[train].reshape(len(train), -1)
    known = flat[np.isfinite(flat).all(axis=1)]
    return PCA(min(n, *known.shape), svd_solver="full").fit(known)


def in_components(images: Images, model: PCA) -> Features:
    """The studies in these components; NaN rows stay so."""
    flat = images.reshape(len(images), -1)
    known, found = np.isfinite(flat).all(axis=1), np.full((len(flat), model.n_components_), np.nan)
    found[known] = model.transform(flat[known])
    return found
