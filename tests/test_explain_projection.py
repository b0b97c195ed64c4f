"""The map is repeatable, and structure is measured in embedding space beside shuffled labels."""

import numpy as np
import pytest
import toy

from cmr_lib.explain import projection


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def clusters(rng):
    labels = np.repeat(["a", "b", "c"], 20)
    centres = {"a": [5, 0, 0], "b": [0, 5, 0], "c": [0, 0, 5]}
    array = np.stack([centres[label] for label in labels]) + rng.normal(size=(60, 3))
    return array.astype(np.float32), labels, np.arange(60)


@pytest.mark.slow  # importing umap compiles for half a minute
@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")  # umap's optional parametric variant
def test_the_map_is_the_same_when_drawn_again_and_separates_clusters(clusters):
    array, labels, _ = clusters
    first = projection.umap_coordinates(array, toy.UMAP)
    assert first.shape == (60, 2)
    assert first.tobytes() == projection.umap_coordinates(array, toy.UMAP).tobytes()
    centres = np.stack([first[labels == label].mean(axis=0) for label in "abc"])
    nearest = ((first[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (np.asarray(list("abc"))[nearest] == labels).mean() > 0.9


def test_too_few_studies_are_refused():
    with pytest.raises(ValueError, match="at least 4 studies"):
        projection.umap_coordinates(np.zeros((3, 2)), toy.UMAP)


def test_neighbours_are_those_of_other_patients(rng):
    array = rng.normal(size=(12, 4))
    patients = np.repeat(np.arange(6), 2)
    found = projection.nearest(array, patients, 3)
    unit = array / np.linalg.norm(array, axis=1, keepdims=True)
    for study in range(12):
        others = [other for other in range(12) if patients[other] != patients[study]]
        wanted = sorted(others, key=lambda other: -(unit[study] @ unit[other]))[:3]
        assert found[study].tolist() == wanted


def test_purity_of_handmade_neighbours():
    neighbours = np.array([[1, 2], [0, 2], [0, 1]])
    assert projection.knn_purity(neighbours, ["a", "a", "b"]).tolist() == [0.5, 0.5, 0]


def test_planted_groups_stand_out_from_shuffled_labels(clusters, rng):
    array, labels, patients = clusters
    table = projection.label_structure(array, labels, patients, toy.UMAP, shuffles=50).set_index("metric")
    assert table["value"]["knn_purity"] > 0.85
    assert table["chance"]["knn_purity"] == pytest.approx(19 / 59, abs=0.03)
    assert (table["value"] > table["chance_high"]).all()
    noise = projection.label_structure(array, rng.permutation(labels), patients, toy.UMAP, shuffles=50)
    assert (noise["value"] < noise["chance_high"] + 0.05).all()
    assert table["n"].tolist() == [60, 60]


def test_copies_of_one_patient_do_not_make_purity(rng):
    array = np.repeat(rng.normal(size=(60, 4)), 2, axis=0)
    patients = np.repeat(np.arange(60), 2)
    labels = np.repeat(rng.permutation(["a", "b"] * 30), 2)
    table = projection.label_structure(array, labels, patients, toy.UMAP, k=1, shuffles=30).set_index("metric")
    assert table["value"]["knn_purity"] < 0.75
