"""Resumable checkpoints: whole or absent, checked, and never mistaken for another run's.

A checkpoint is one safetensors file (tensors, and a JSON state in its header: no pickle) with a SHA-256 beside it. Its
name carries a key, the hash of everything that decides the run (parameters, images, texts, initial weights, code), and
the epoch. The last two generations are kept: a damaged one is passed over, with a warning, for the one before.
"""

import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from cmr_lib import project

GENERATIONS = 2
CODE = ("training/*.py", "models/*.py", "losses.py", "clips/dataset.py", "clips/augment.py")


class CheckpointError(ValueError):
    """A checkpoint that belongs to another run, or of which no generation can be read."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and the rest of the state as plain JSON."""

    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


def key_of(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> str:
    """16 hex digits for what decides a run: JSON facts and initial weights."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def code_digest() -> str:
    """SHA-256 of the sources that a step of training runs through, and of PyTorch's version."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256(torch.__version__.encode())
    for path in sorted(file for place in CODE for file in root.glob(place)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(folder: Path, key: str) -> list[Path]:
    """This run's checkpoints, newest first."""
    return sorted(folder.glob(f"{key}-*.safetensors"), reverse=True)


def write(folder: Path | str, key: str, epoch: int, checkpoint: Checkpoint) -> Path:
    """Write a generation (after `epoch` epochs) and remove those beyond the last two."""
    folder = Path(folder)
    path = folder / f"{key}-{epoch:05d}.safetensors"
    header = {"key": key, "state": json.dumps(checkpoint.state)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    project.write_bytes(path, save(tensors, metadata=header), checksum=True)
    for old in _files(folder, key)[GENERATIONS:]:
        _delete(old)
    return path


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".sha256").unlink(missing_ok=True)


def read(path: Path | str, key: str) -> Checkpoint:
    """One generation. Raises CheckpointError when it is damaged or of another run."""
    path = Path(path)
    noted = path.with_name(path.name + ".sha256")
    if not noted.is_file() or noted.read_text(encoding="utf-8").split()[:1] != [project.sha256_file(path)]:
        raise CheckpointError(f"Checkpoint {path.name} differs from its checksum.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise CheckpointError(f"Checkpoint {path.name} cannot be read: {error}.") from error
    if header.get("key") != key:
        raise CheckpointError(f"Checkpoint {path.name} is of another run ({header.get('key')}, {key} is wanted).")
    return Checkpoint(tensors, json.loads(header["state"]))


def latest(folder: Path | str, key: str) -> Checkpoint | None:
    """The newest generation that is whole, or None when this run has none yet.

    A damaged generation is passed over with a warning. Raises CheckpointError when all are damaged.
    """
    files = _files(Path(folder), key)
    for path in files:
        try:
            return read(path, key)
        except CheckpointError as error:
            warnings.warn(f"{error} Falling back to the generation before.", stacklevel=2)
    if files:
        raise CheckpointError(f"None of {len(files)} checkpoints of run {key} can be read: remove them to start anew.")
    return None


def remove(folder: Path | str) -> None:
    """Remove every checkpoint of the folder: call it once the weights are saved."""
    for path in sorted(Path(folder).glob("*.safetensors")):
        _delete(path)
