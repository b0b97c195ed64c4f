"""Arrays of a file into a model, with nothing run and nothing passed over."""

from pathlib import Path

import torch
from torch import Tensor

from cmr_lib import project

Weights = dict[str, Tensor]


class WeightsError(ValueError):
    """A weights file or folder that is damaged or of another architecture; the message is one sentence."""


def read_pickle(path: Path | str, sha256: str | None = None) -> Weights:
    """Arrays of a PyTorch file, read without running anything in it (weights_only); "module." prefixes are taken off.

    Raises WeightsError when the file's SHA-256 is not the one given, or it holds more than arrays and plain values.
    """
    path = Path(path)
    if sha256 is not None and (found := project.sha256_file(path)) != sha256:
        raise WeightsError(f"{path.name} has SHA-256 {found}, {sha256} is wanted: fetch it again.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a hostile pickle makes of the reader
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(f"{path.name} cannot be read as plain arrays, and code is never run: {reason}") from error
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(torch.is_tensor(value) for value in content.values()):
        raise WeightsError(f"{path.name} does not hold a mapping of names to arrays.")
    return {name.removeprefix("module."): value for name, value in content.items()}


def load_weights(model: torch.nn.Module, weights: Weights) -> None:
    """Copy weights into the model; raises WeightsError that names the first disagreement, with both shapes."""
    wanted = model.state_dict()
    for name in sorted(wanted.keys() & weights.keys()):
        if wanted[name].shape != weights[name].shape:
            got, want = tuple(weights[name].shape), tuple(wanted[name].shape)
            raise WeightsError(f"{name}: the file holds {got}, the model wants {want}; it is another architecture.")
    for names, where in ((wanted.keys() - weights.keys(), "lacks"), (weights.keys() - wanted.keys(), "also holds")):
        if names:
            raise WeightsError(f"The file {where} {len(names)} of the model's {len(wanted)} arrays ({min(names)}, …).")
    model.load_state_dict(weights)
