"""What the neighbours say, and how far a handful of labelled studies gets: kNN and few-shot prototypes.

Both read frozen embeddings by the cosine. kNN: the number of neighbours is chosen on validation. Few-shot: a class is
the mean direction of its `shots` training studies, drawn without replacement and from different patients; a test
study's score for a class is its similarity to that mean. Episodes with more shots hold those with fewer, so that the
curve over shots is not luck. A number is the mean over episodes; its interval draws episodes and test patients at once.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from sklearn.neighbors import KNeighborsClassifier

from cmr_lib import project
from cmr_lib.evaluation import statistics

SHOTS = (1, 2, 4, 8, 16, 32)
EPISODES = 100
COLUMNS = [
    "shots",
    "metric",
    "value",
    "low",
    "high",
    "episode_low",
    "episode_high",
    "n",
    "n_patients",
    "chance",
    "note",
]

Embeddings = Float[np.ndarray, "studies embed"]
Codes = Int[np.ndarray, " studies"]
Rows = Int[np.ndarray, " _"]
Scores = Float[np.ndarray, "test classes"]


def _finite(embedding: Embeddings) -> Embeddings:
    if not np.isfinite(embedding).all():
        raise ValueError(f"{int((~np.isfinite(embedding).all(axis=1)).sum())} embeddings hold NaN: leave them out.")
    return embedding.astype(float)


# --- neighbours -------------------------------------------------------------------------------------------------
def neighbour_scores(
    embedding: Embeddings, codes: Codes, train: Rows, asked: Rows, k: int, n_classes: int
) -> Float[np.ndarray, "asked classes"]:
    """Share of each class among the k most similar training studies; rows are those asked."""
    model = KNeighborsClassifier(min(k, len(train)), metric="cosine", algorithm="brute")
    model.fit(_finite(embedding[train]), codes[train])
    scores = np.zeros((len(asked), n_classes))
    scores[:, model.classes_] = model.predict_proba(_finite(embedding[asked]))
    return scores


def choose_neighbours(
    embedding: Embeddings, codes: Codes, train: Rows, validation: Rows, candidates: Sequence[int], n_classes: int
) -> tuple[int, pd.DataFrame]:
    """The k with the best balanced accuracy on validation (the largest of equals), and every k's score.

    Raises ValueError when train or validation is empty, or an embedding holds NaN.
    """
    if not len(train) or not len(validation):
        raise ValueError(f"kNN wants training and validation studies; got {len(train)} and {len(validation)}.")
    candidates, found = sorted(candidates), []
    for k in candidates:
        guess = neighbour_scores(embedding, codes, train, validation, k, n_classes).argmax(axis=1)
        pairs = np.stack([codes[validation], guess], axis=1)
        found.append(statistics.point(pairs, statistics.balanced_accuracy))
    best = len(found) - 1 - int(np.argmax(found[::-1]))
    return candidates[best], pd.DataFrame({"k": candidates, "validation": found})


# --- few shots --------------------------------------------------------------------------------------------------
def draw_shots(
    codes: Codes, patients: Sequence[Any], train: Rows, shots: int, n_classes: int, seed: int, episode: int
) -> Int[np.ndarray, "classes shots"]:
    """Training rows of one episode: for each class the first `shots` of a random order, one study a patient.

    Raises ValueError when a class has too few training patients.
    """
    generator, drawn = project.rng(seed, "few-shot", episode), []
    for code in range(n_classes):
        order = generator.permutation(train[codes[train] == code])
        _, first = np.unique(np.asarray([str(patients[row]) for row in order], dtype=str), return_index=True)
        if len(first) < shots:
            raise ValueError(f"Class {code} has {len(first)} training patients: {shots} shots cannot be drawn.")
        drawn.append(order[np.sort(first)[:shots]])
    return np.stack(drawn)


def prototype_scores(embedding: Embeddings, shots: Int[np.ndarray, "classes shots"], asked: Rows) -> Scores:
    """Cosine of each asked study to the mean direction of each class's shots."""
    unit = _finite(embedding)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    means = unit[shots].mean(axis=1)
    return unit[asked] @ (means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)).T


def macro_auroc(
    values: Float[np.ndarray, "rows columns"], weights: statistics.Weights
) -> Float[np.ndarray, " samples"]:
    """Mean over classes of the AUROC of its lead over the best other class; columns: code, then a score a class.

    A class that a resample does not hold is left out of that resample's mean.
    """
    scores = values[:, 1:]
    others = [np.delete(scores, code, axis=1).max(axis=1) for code in range(scores.shape[1])]
    leads = scores - np.stack(others, axis=1)
    return statistics.macro_auroc(np.concatenate([values[:, :1], leads], axis=1), weights)


def _draws(
    true: Float[np.ndarray, "test 1"], scores: Float[np.ndarray, "test episodes classes"], weights: statistics.Weights
) -> Float[np.ndarray, " samples"]:
    """Macro-AUROC of every resample of test patients, the resamples taking the episodes in turn."""
    drawn, episodes = np.empty(len(weights)), scores.shape[1]
    for episode in range(min(episodes, len(weights))):
        values = np.concatenate([true, scores[:, episode]], axis=1)
        drawn[episode::episodes] = macro_auroc(values, weights[episode::episodes])
    return drawn


def few_shot_table(
    embedding: Embeddings,
    codes: Codes,
    patients: Sequence[Any],
    train: Rows,
    test: Rows,
    n_classes: int,
    samples: int,
    seed: int,
    shots: Sequence[int] = SHOTS,
    episodes: int = EPISODES,
) -> pd.DataFrame:
    """Macro-AUROC on test by the number of shots a class (COLUMNS); a finding has two classes, absent and present.

    low, high: 95 %, over episodes and test patients. episode_low, episode_high: the middle 95 % of the episodes on the
    test studies as they are, which is how far the choice of shots alone moves the number. Where shots cannot be drawn
    the row says why.
    """
    owners, rows = [str(patients[row]) for row in test], []
    counts = {"metric": "macro_auroc", "n": len(test), "n_patients": len(set(owners)), "chance": 0.5}
    for number in sorted(shots):
        try:
            drawn = [draw_shots(codes, patients, train, number, n_classes, seed, turn) for turn in range(episodes)]
        except ValueError as error:
            rows.append({"shots": number, **counts, "note": str(error)})
            continue
        scores = np.stack([prototype_scores(embedding, shot, test) for shot in drawn], axis=1)
        true = codes[test].astype(float)[:, None]
        single = [statistics.point(np.concatenate([true, scores[:, e]], axis=1), macro_auroc) for e in range(episodes)]
        low, high = statistics.interval(_draws(true, scores, statistics.weights_of(owners, samples, seed)))
        edges = dict(zip(("episode_low", "episode_high"), np.quantile(single, [0.025, 0.975]), strict=True))
        rows.append(
            {"shots": number, **counts, "value": np.mean(single), "low": low, "high": high, **edges, "note": ""}
        )
    return pd.DataFrame(rows, columns=COLUMNS)
