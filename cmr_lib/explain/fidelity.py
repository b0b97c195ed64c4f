"""How far a map on paper may be believed: near on the map, near in the embedding space, near in diagnosis?

Trustworthiness (Venna & Kaski 2001) punishes neighbours on the map that are none in the embedding space, by how far
down the true list they stand; label agreement is the share of a study's nearest other patients on the map that carry
its label. Both are kept study by study, so that two maps can be compared on the same studies. A map drawn from random
numbers, of n studies, has a trustworthiness of about one half.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmr_lib import params
from cmr_lib.explain.projection import Embeddings, Names, fit_umap, knn_purity, nearest, pca_coordinates

SCORES = ("trustworthiness", "agreement")
Coordinates = Float[np.ndarray, "studies 2"]


def trustworthiness(array: Embeddings, coordinates: Coordinates, k: int, metric: str) -> Float[np.ndarray, " studies"]:
    """Each study's share of the trustworthiness; the mean is scikit-learn's. ValueError unless k < studies / 2."""
    from scipy.spatial.distance import cdist

    n = len(array)
    if not 1 <= k < n / 2:
        raise ValueError(f"Neighbours must be at least 1 and fewer than half of the {n} studies, got {k}.")
    true, drawn = (
        cdist(x.astype(float), x.astype(float), how) for x, how in ((array, metric), (coordinates, "euclidean"))
    )
    for distance in (true, drawn):
        np.fill_diagonal(distance, -1.0)  # itself comes first, then is left out
    order = np.argsort(true, axis=1, kind="stable")
    rank = np.empty((n, n), dtype=int)
    np.put_along_axis(rank, order, np.arange(n)[None], axis=1)
    near = np.argsort(drawn, axis=1, kind="stable")[:, 1 : k + 1]
    beyond = np.maximum(np.take_along_axis(rank, near, axis=1) - k, 0).sum(axis=1)
    return 1 - 2 * beyond / (k * (2 * n - 3 * k - 1))


def _scored(
    array: Embeddings, coordinates: Coordinates, labels: Names, patients: Names, k: int, metric: str
) -> pd.DataFrame:
    """SCORES of one map, a row a study; agreement NaN where the study has no label."""
    names = np.asarray([str(label) for label in labels], dtype=str)
    agreement = knn_purity(nearest(coordinates, patients, k, "euclidean"), names)
    return pd.DataFrame(
        {
            "study": np.arange(len(array)),
            "trustworthiness": trustworthiness(array, coordinates, k, metric),
            "agreement": np.where(names == "", np.nan, agreement),
        }
    )


def compare_maps(
    array: Embeddings, labels: Names, patients: Names, settings: params.Umap, draws: int, neighbours: Sequence[int]
) -> pd.DataFrame:
    """SCORES of PCA and of UMAP for several seeds and sizes of the neighbourhood, a row a study and map.

    Columns: map ("PCA" or "UMAP"), neighbours (0 for PCA), draw, study (row number), SCORES. Both are asked about the
    settings.judged nearest. Empty where there are too few studies to ask.
    """
    k = settings.judged
    columns = ["map", "neighbours", "draw", "study", *SCORES]
    owners = pd.Series([str(patient) for patient in patients])
    if len(array) <= 2 * k or len(array) - int(owners.value_counts().max()) < k:
        return pd.DataFrame(columns=columns)
    drawn = [("PCA", 0, 0, pca_coordinates(array))]
    drawn += [
        ("UMAP", size, draw, np.asarray(fit_umap(array, settings, neighbours=size, draw=draw).embedding_))
        for size in neighbours
        for draw in range(draws)
    ]
    parts = [
        _scored(array, coordinates, labels, patients, k, settings.metric).assign(map=name, neighbours=size, draw=draw)
        for name, size, draw, coordinates in drawn
    ]
    return pd.concat(parts, ignore_index=True)[columns]


def by_study(
    table: pd.DataFrame, name: str, score: str, neighbours: int | None = None
) -> Float[np.ndarray, " studies"]:
    """One score of one kind of map, averaged over its draws (and sizes, where none is chosen), a number a study."""
    chosen = table[(table["map"] == name) & (True if neighbours is None else table["neighbours"] == neighbours)]
    return chosen.groupby("study", sort=True)[score].mean().to_numpy(dtype=float)
