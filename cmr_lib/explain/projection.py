"""A map of hearts: UMAP coordinates, and what may be claimed about groups.

UMAP (McInnes 2018, arXiv 1802.03426) draws neighbourhoods; distances between clusters, their sizes and densities on the
map mean little. Claims about groups are therefore measured in the embedding space, never on the map, and stand beside
the same number for shuffled labels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from cmr_lib import params, project

STRUCTURE = ("knn_purity", "silhouette")
LEAST = 4  # studies of a map
Embeddings = Float[np.ndarray, "studies embed"]
Names = Sequence[Any] | np.ndarray | pd.Series


def fit_umap(array: Embeddings, settings: params.Umap, *, neighbours: int = 0, draw: int = 0) -> Any:
    """A fitted umap.UMAP: `embedding_` are the coordinates, `transform` places others. Seeded and on one thread.

    With fewer studies than neighbours + 1 the neighbourhood is the whole set. neighbours: 0 for the settings'; draw:
    number of the repetition, each with its own seed. Raises ValueError for fewer than LEAST rows, or for NaN.
    """
    if len(array) < LEAST or not np.isfinite(array).all():
        raise ValueError(f"A map needs at least {LEAST} studies and finite numbers, got {len(array)} studies.")
    from umap import UMAP  # compiles for seconds on import: only when a map is drawn

    where = ("umap",) if not draw else ("umap", draw)
    mapper = UMAP(
        n_neighbors=min(neighbours or settings.neighbours, len(array) - 1),
        min_dist=settings.min_dist,
        metric=settings.metric,
        init="pca",  # keeps the broad layout, and does not fail on sets that fall apart as the spectral start does
        random_state=project.seed_for(settings.seed, *where) % 2**32,
        transform_seed=project.seed_for(settings.seed, "transform") % 2**32,
        n_jobs=1,
    )
    return mapper.fit(array.astype(np.float32))


def place(mapper: Any, array: Embeddings) -> Float[np.ndarray, "studies 2"]:
    """Coordinates of new studies on a fitted map; the map stays as it is. No study gives no coordinates."""
    if not len(array):
        return np.zeros((0, 2), dtype=np.float32)
    return np.asarray(mapper.transform(array.astype(np.float32)), dtype=np.float32)


def umap_coordinates(array: Embeddings, settings: params.Umap) -> Float[np.ndarray, "studies 2"]:
    """Two coordinates a study, by `fit_umap`; no study gives no coordinates."""
    if not len(array):
        return np.zeros((0, 2), dtype=np.float32)
    return np.asarray(fit_umap(array, settings).embedding_, dtype=np.float32)


def pca_coordinates(array: Embeddings) -> Float[np.ndarray, "studies 2"]:
    """The two directions in which the embeddings vary most: the map that UMAP has to beat."""
    from sklearn.decomposition import PCA

    return PCA(2, svd_solver="full").fit_transform(array.astype(float)).astype(np.float32)


def nearest(array: Embeddings, patients: Names, k: int, metric: str = "cosine") -> Int[np.ndarray, "studies k"]:
    """Row numbers of each study's k nearest studies of other patients, nearest first.

    Other studies of the same patient are left out: they are near for another reason than the label.
    Raises ValueError when a study has fewer than k studies of other patients.
    """
    from scipy.spatial.distance import cdist

    owners = np.asarray([str(patient) for patient in patients], dtype=str)
    distance = cdist(array.astype(float), array.astype(float), metric)
    distance[owners[:, None] == owners] = np.inf
    if (np.isfinite(distance).sum(axis=1) < k).any():
        raise ValueError(f"Some studies have fewer than {k} studies of other patients to compare with.")
    return np.argsort(np.round(distance, 6), axis=1, kind="stable")[:, :k]


def knn_purity(neighbours: Int[np.ndarray, "studies k"], labels: Names) -> Float[np.ndarray, " studies"]:
    """Share of each study's neighbours that carry its own label, 0 to 1."""
    names = np.asarray([str(label) for label in labels], dtype=str)
    return (names[neighbours] == names[:, None]).mean(axis=1)


def _nothing_to_group() -> pd.DataFrame:
    unknown = dict.fromkeys(("value", "chance", "chance_low", "chance_high"), float("nan"))
    return pd.DataFrame([{"metric": metric, **unknown, "n": 0, "n_patients": 0} for metric in STRUCTURE])


def label_structure(
    array: Embeddings, labels: Names, patients: Names, settings: params.Umap, *, k: int = 10, shuffles: int = 200
) -> pd.DataFrame:
    """How far the labels group in embedding space: one row a metric (knn_purity, silhouette).

    Columns: metric, value, chance (mean over shuffled labels), chance_low, chance_high (their middle 95 %), n,
    n_patients. k is lowered to what the smallest set of other patients allows. Silhouette: Rousseeuw 1987, −1 to 1.
    Studies without a label ("") are left out; where nothing is left that could group, n is 0 and the values NaN.
    """
    from sklearn.metrics import pairwise_distances, silhouette_score

    names = np.asarray([str(label) for label in labels], dtype=str)
    known = names != ""
    array, names = array[known], names[known]
    owners = pd.Series([str(patient) for patient in np.asarray(patients)[known]])
    if not 2 <= len(np.unique(names)) < len(names) or owners.nunique() < 2:
        return _nothing_to_group()
    neighbours = nearest(array, owners, min(k, len(array) - int(owners.value_counts().max())), settings.metric)
    distance = pairwise_distances(array.astype(float), metric=settings.metric)
    np.fill_diagonal(distance, 0.0)
    grouped = (
        lambda given: float(knn_purity(neighbours, given).mean()),
        lambda given: float(silhouette_score(distance, given, metric="precomputed")),
    )
    scores = dict(zip(STRUCTURE, grouped, strict=True))
    generator = project.rng(settings.seed, "shuffled labels")
    deals = [generator.permutation(names) for _ in range(shuffles)]
    rows = []
    for metric, score in scores.items():
        chance = np.asarray([score(deal) for deal in deals])
        low, high = (float(edge) for edge in np.quantile(chance, [0.025, 0.975]))
        row = {"metric": metric, "value": score(names), "chance": float(chance.mean())}
        rows.append({**row, "chance_low": low, "chance_high": high, "n": len(names), "n_patients": owners.nunique()})
    return pd.DataFrame(rows)
