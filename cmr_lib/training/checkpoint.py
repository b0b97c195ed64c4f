"""Resumable checkpoints: whole or absent, checked, and never mistaken for another run's.

A checkpoint is one safetensors file (tensors, and a JSON state in its header: no pickle) with a SHA-256 beside it. Its
name carries a key, the hash of everything that decides the run (parameters, images, texts, initial weights, code), and
the number of steps done. The checksum is written before the file, so that a process killed at any moment leaves every
generation whole or absent. The last two generations are kept: a damaged one is passed over, with a warning, for the
one before.
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
CODE = ("training/*.py", "models/*.py", "losses.py", "streaming.py", "clips/dataset.py", "clips/augment.py")


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
    return sorted(folder.glob(f"{key}-*.safetensors"), key=lambda path: int(path.stem.split("-")[1]), reverse=True)


def write(folder: Path | str, key: str, step: int, checkpoint: Checkpoint) -> Path:
    """Write a generation (after `step` steps), then remove those beyond the last two and what killed writers left."""
    folder = Path(folder)
    path = folder / f"{key}-{step:05d}.safetensors"
    header = {"key": key, "state": json.dumps(checkpoint.state)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    data = save(tensors, metadata=header)
    project.write_text(_noted(path), f"{hashlib.sha256(data).hexdigest()}  {path.name}\n")
    project.write_bytes(path, data)
    _prune(folder, key)
    return path


def _prune(folder: Path, key: str) -> None:
    """Keep the last two generations; a writer that was killed may have left another, or pieces."""
    for old in _files(folder, key)[GENERATIONS:]:
        _delete(old)
    _tidy(folder, key)


def _noted(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _tidy(folder: Path, key: str = "") -> None:
    """Remove temporary files, and checksums without a file, of this run (or of all)."""
    for left in folder.glob(f".{key}*.safetensors*.tmp"):
        left.unlink(missing_ok=True)
    for noted in folder.glob(f"{key}*.safetensors.sha256"):
        if not noted.with_suffix("").exists():
            noted.unlink(missing_ok=True)


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
    _noted(path).unlink(missing_ok=True)


def read(path: Path | str, key: str) -> Checkpoint:
    """One generation. Raises CheckpointError when it is damaged or of another run."""
    path = Path(path)
    noted = _noted(path)
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

    A damaged generation is passed over with a warning, and so are those of another run. Raises CheckpointError when
    all of this run's are damaged.
    """
    _prune(Path(folder), key)
    files = _files(Path(folder), key)
    others = len(list(Path(folder).glob("*.safetensors"))) - len(files)
    if others and not files:
        warnings.warn(
            f"{others} checkpoints here are of another run (other parameters, data or code): they are not resumed, "
            "training starts anew.",
            stacklevel=2,
        )
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
    _tidy(Path(folder))
