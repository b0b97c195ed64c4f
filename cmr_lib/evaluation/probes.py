"""Linear probes as plain numbers: applied with NumPy alone, saved as JSON.

A probe reads an embedding with one matrix product: a softmax over classes (`logistic`) or a quantity (`linear`). It is
kept in units of the raw embedding (the scaling used in fitting is folded in), so it can travel with the weights.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from cmr_lib import project


@dataclass(frozen=True)
class Probe:
    """outputs: class codes (`logistic`) or the name of a quantity with its unit (`linear`)."""

    kind: Literal["logistic", "linear"]
    outputs: tuple[str, ...]
    weight: Float[np.ndarray, "outputs embed"]
    bias: Float[np.ndarray, " outputs"]


def apply_probe(embedding: Float[np.ndarray, "studies embed"], probe: Probe) -> Float[np.ndarray, "studies outputs"]:
    """Class probabilities (rows sum to 1) or the quantity, in the order of `probe.outputs`.

    Raises ValueError when the embedding has another width than the probe was fitted on.
    """
    if embedding.shape[1] != probe.weight.shape[1]:
        raise ValueError(f"The probe reads {probe.weight.shape[1]} numbers a study, got {embedding.shape[1]}.")
    scores = embedding.astype(float) @ probe.weight.T + probe.bias
    if probe.kind == "linear":
        return scores
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def in_order(
    embedding: Float[np.ndarray, "studies embed"], probe: Probe, classes: Sequence[str]
) -> Float[np.ndarray, "studies classes"]:
    """`apply_probe` in the order of `classes`; 0 for one that the probe does not know.

    Raises ValueError for an output that is none of the classes.
    """
    found = np.zeros((len(embedding), len(classes)))
    found[:, [classes.index(name) for name in probe.outputs]] = apply_probe(embedding, probe)
    return found


def to_dict(probe: Probe) -> dict[str, Any]:
    """JSON-able form; numbers keep 9 significant digits (float32's worth), as 4 decimals would not do."""

    def digits(numbers: np.ndarray) -> list[Any]:
        return [digits(item) if isinstance(item, np.ndarray) else float(f"{item:.9g}") for item in numbers]

    return {
        "kind": probe.kind,
        "outputs": list(probe.outputs),
        "weight": digits(probe.weight),
        "bias": digits(probe.bias),
    }


def from_dict(values: Mapping[str, Any]) -> Probe:
    """The inverse of `to_dict`."""
    weight, bias = np.asarray(values["weight"], dtype=float), np.asarray(values["bias"], dtype=float)
    return Probe(values["kind"], tuple(values["outputs"]), weight, bias)


def write_probes(path: Path | str, probes: Mapping[str, Probe | None]) -> str:
    """Write named probes as one JSON file, atomically; None (nothing to fit) is left out. Returns its SHA-256."""
    content = {name: to_dict(probe) for name, probe in sorted(probes.items()) if probe is not None}
    return project.write_text(path, json.dumps(content, sort_keys=True) + "\n")


def read_probes(path: Path | str) -> dict[str, Probe]:
    """Read what `write_probes` wrote. Raises FileNotFoundError."""
    content = json.loads(project.require(path, "classification").read_text(encoding="utf-8"))
    return {name: from_dict(values) for name, values in content.items()}
