"""Fitting linear probes: standardise, fit on train, choose the penalty on validation, fold back into raw units."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from cmr_lib.evaluation import statistics
from cmr_lib.evaluation.probes import Probe, apply_probe

MAX_ITERATIONS = 10_000

Embeddings = Float[np.ndarray, "studies embed"]
Rows = Int[np.ndarray, " _"]


def fit_logistic(
    embedding: Embeddings, codes: Int[np.ndarray, " studies"], classes: Sequence[str], strength: float
) -> Probe:
    """Multinomial logistic regression (L2, lbfgs) with classes weighted equally; `strength` is the inverse penalty C.

    codes: number of each study's class in `classes`. The probe's outputs are the classes seen here.
    """
    scaler = StandardScaler().fit(embedding.astype(float))
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=MAX_ITERATIONS, tol=1e-6)
    model.fit(scaler.transform(embedding.astype(float)), codes)
    weight, bias = _raw_units(model.coef_, model.intercept_, scaler)
    if len(model.classes_) == 2:  # one row of coefficients: the softmax of (0, score) is the sigmoid of the score
        weight, bias = np.vstack([np.zeros_like(weight), weight]), np.concatenate([[0.0], bias])
    return Probe("logistic", tuple(classes[code] for code in model.classes_), weight, bias)


def fit_ridge(embedding: Embeddings, target: Float[np.ndarray, " studies"], penalty: float, output: str) -> Probe:
    """Ridge regression of a quantity, named `output`."""
    scaler = StandardScaler().fit(embedding.astype(float))
    model = Ridge(alpha=penalty, solver="cholesky").fit(scaler.transform(embedding.astype(float)), target)
    weight, bias = _raw_units(model.coef_[None, :], np.atleast_1d(model.intercept_), scaler)
    return Probe("linear", (output,), weight, bias)


def choose_logistic(
    embedding: Embeddings,
    codes: Int[np.ndarray, " studies"],
    train: Rows,
    validation: Rows,
    classes: Sequence[str],
    strengths: Sequence[float],
) -> tuple[Probe, pd.DataFrame]:
    """The probe with the best balanced accuracy on validation (the smallest C of equals), and every C's score."""
    strengths = sorted(strengths)
    fitted = [fit_logistic(embedding[train], codes[train], classes, strength) for strength in strengths]
    scores = []
    for probe in fitted:
        known = np.asarray([classes.index(name) for name in probe.outputs])
        guess = known[apply_probe(embedding[validation], probe).argmax(axis=1)]
        scores.append(statistics.point(np.stack([codes[validation], guess], axis=1), statistics.balanced_accuracy))
    return fitted[int(np.argmax(scores))], pd.DataFrame({"penalty": strengths, "validation": scores})


def choose_ridge(
    embedding: Embeddings,
    target: Float[np.ndarray, " studies"],
    train: Rows,
    validation: Rows,
    penalties: Sequence[float],
    output: str,
) -> tuple[Probe, pd.DataFrame]:
    """The probe with the least mean absolute error on validation, and every penalty's error."""
    fitted = [fit_ridge(embedding[train], target[train], penalty, output) for penalty in penalties]
    guesses = [apply_probe(embedding[validation], probe)[:, 0] for probe in fitted]
    errors = [float(np.abs(guess - target[validation]).mean()) for guess in guesses]
    return fitted[int(np.argmin(errors))], pd.DataFrame({"penalty": list(penalties), "validation": errors})


def _raw_units(
    weight: Float[np.ndarray, "outputs embed"], bias: Float[np.ndarray, " outputs"], scaler: StandardScaler
) -> tuple[Float[np.ndarray, "outputs embed"], Float[np.ndarray, " outputs"]]:
    """Fold (x − mean) / scale into the coefficients, so that they read the raw embedding."""
    raw = weight / scaler.scale_
    return raw, bias - raw @ scaler.mean_
