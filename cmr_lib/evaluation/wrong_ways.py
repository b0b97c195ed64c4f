"""How evaluation goes wrong, in small: each wrong way beside the right one, on invented cohorts. For lessons only.

Nothing else imports this module. Whatever is called wrong here was found in published code or papers.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Num
from sklearn.neighbors import KNeighborsClassifier

from cmr_lib import project
from cmr_lib.evaluation import statistics

Hits = Float[np.ndarray, " queries"]
Rows = Int[np.ndarray, " _"]


# --- retrieval ---------------------------------------------------------------------------------------------------
def optimistic_hits(similarity: Num[np.ndarray, "queries gallery"], k: int) -> Hits:
    """Wrong: whether fewer than k items are *better* than the right one (the diagonal), so that it wins every tie."""
    own = np.diag(similarity)[:, None]
    return ((similarity > own).sum(axis=1) < k).astype(float)


def pessimistic_hits(similarity: Num[np.ndarray, "queries gallery"], k: int) -> Hits:
    """As wrong: the right item loses every tie."""
    own = np.diag(similarity)[:, None]
    return ((similarity >= own).sum(axis=1) <= k).astype(float)


def half_trained(text: Float[np.ndarray, "n d"], noise: float, seed: int) -> Float[np.ndarray, "n d"]:
    """Invented image vectors, each at `noise` from its report's vector, of length 1."""
    image = text + noise * project.rng(seed, "half trained").normal(size=text.shape) / np.sqrt(text.shape[1])
    return image / np.linalg.norm(image, axis=1, keepdims=True)


def drawn_galleries(
    similarity: Float[np.ndarray, "n n"], size: int, k: int, draws: int, seed: int
) -> Float[np.ndarray, " draws"]:
    """Recall@k in single galleries of `size` pairs drawn from all."""
    random, found = project.rng(seed, "galleries"), np.empty(draws)
    for draw in range(draws):
        chosen = random.choice(len(similarity), size, replace=False)
        part = similarity[np.ix_(chosen, chosen)]
        found[draw] = optimistic_hits(part, k).mean()  # no ties between real vectors
    return found


# --- leaks -------------------------------------------------------------------------------------------------------
def cohort(
    seed: int, patients: int, each: int, signal: float, own: float = 1.0
) -> tuple[Float[np.ndarray, "studies features"], Int[np.ndarray, " studies"], Int[np.ndarray, " studies"]]:
    """Invented embeddings, labels and patients: `signal` of the disease, `own` of what is each patient's alone."""
    random = project.rng(seed, "cohort")
    owner = np.repeat(np.arange(patients), each)
    label = random.permutation(np.arange(patients) % 2)[owner]
    print_of = random.normal(size=(patients, 16))[owner]
    direction = np.zeros(16)
    direction[0] = 1.0
    features = own * print_of + signal * (2 * label - 1)[:, None] * direction + 0.3 * random.normal(size=print_of.shape)
    return features, label, owner


def split(
    owner: Int[np.ndarray, " studies"], by: Literal["patient", "study"], seed: int, share: float = 0.7
) -> Bool[np.ndarray, " studies"]:
    """Which studies are learned from: drawn by patient (right), or study by study (wrong)."""
    units = owner if by == "patient" else np.arange(len(owner))
    names = project.rng(seed, "split").permutation(np.unique(units))
    return np.isin(units, names[: round(share * len(names))])


def nearest(
    features: Float[np.ndarray, "studies features"], label: Int[np.ndarray, " studies"], train: Bool[np.ndarray, " _"]
) -> Float[np.ndarray, " test"]:
    """Whether each test study has the label of its nearest training study (scikit-learn's 1-nearest neighbour)."""
    model = KNeighborsClassifier(1).fit(features[train], label[train])
    return (model.predict(features[~train]) == label[~train]).astype(float)


def dealt_anew(
    label: Int[np.ndarray, " studies"], owner: Int[np.ndarray, " studies"], seed: int
) -> Int[np.ndarray, " studies"]:
    """The patients' labels shuffled among the patients: whatever still predicts them knows the patients."""
    _, first, code = np.unique(owner, return_index=True, return_inverse=True)
    return project.rng(seed, "dealt anew").permutation(label[first])[code]


# --- choices on the test split -----------------------------------------------------------------------------------
def best_threshold(score: Float[np.ndarray, " n"], label: Num[np.ndarray, " n"]) -> float:
    """The cut of a score with the best balanced accuracy: the middle between two neighbours, or an end."""
    ordered = np.sort(score)
    cuts = np.concatenate([[ordered[0] - 1], (ordered[1:] + ordered[:-1]) / 2, [ordered[-1] + 1]])
    said = score[:, None] > cuts
    sensitivity, specificity = said[label == 1].mean(axis=0), 1 - said[label == 0].mean(axis=0)
    return float(cuts[np.argmax(sensitivity + specificity)])


def threshold_choices(sizes: Sequence[int], signal: float, trials: int, seed: int) -> pd.DataFrame:
    """Mean balanced accuracy over `trials`, the threshold chosen on the test studies themselves or on as many others.

    signal: how far, in standard deviations, the scores of the diseased lie above the others. Columns: n, on_test,
    on_validation.
    """
    random, rows = project.rng(seed, "thresholds"), []
    for n in sizes:
        label = np.arange(n) % 2
        found = np.empty((trials, 2))
        for trial in range(trials):
            validation, test = random.normal(size=(2, n)) + signal * label
            for column, source in enumerate((test, validation)):
                said = test > best_threshold(source, label)
                found[trial, column] = (said[label == 1].mean() + 1 - said[label == 0].mean()) / 2
        rows.append((n, *found.mean(axis=0)))
    return pd.DataFrame(rows, columns=["n", "on_test", "on_validation"])


def best_of(tried: Sequence[int], n: int, skill: float, trials: int, seed: int) -> pd.DataFrame:
    """The best of m models of equal skill on n test studies, and the same model on n others; means over `trials`.

    Columns: tried, on_test, on_others.
    """
    random, rows = project.rng(seed, "best of"), []
    for m in tried:
        scores = random.binomial(n, skill, size=(trials, m)) / n
        rows.append((m, scores.max(axis=1).mean(), (random.binomial(n, skill, size=trials) / n).mean()))
    return pd.DataFrame(rows, columns=["tried", "on_test", "on_others"])


# --- intervals ---------------------------------------------------------------------------------------------------
def coverage(each: Sequence[int], patients: int, trials: int, seed: int, samples: int = 200) -> pd.DataFrame:
    """How often a 95 % bootstrap interval of a mean holds the truth, drawn by row (wrong) and by patient (right).

    Half of a study's variance is the patient's. Columns: each (studies a patient), by_row, by_patient.
    """
    random, rows = project.rng(seed, "coverage"), []
    for count in each:
        owner = np.repeat(np.arange(patients), count)
        held = np.zeros(2)
        for trial in range(trials):
            values = random.normal(size=patients)[owner] + random.normal(size=len(owner))
            for column, units in enumerate((np.arange(len(owner)), owner)):
                low, high = statistics.bootstrap_by_patient(values, units, statistics.mean, samples, trial)
                held[column] += low <= 0 <= high
        rows.append((count, *(held / trials)))
    return pd.DataFrame(rows, columns=["each", "by_row", "by_patient"])
