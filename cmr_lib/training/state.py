"""What a training run carries from step to step, and how it becomes a checkpoint and comes back."""

from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from cmr_lib import params
from cmr_lib.clips.dataset import StudyDataset
from cmr_lib.models import text
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.training import checkpoint, sentences
from cmr_lib.training.sentences import Tokens
from cmr_lib.training.step import StepResult
from cmr_lib.training.stop import Stop


@dataclass
class Run:
    """What a training run carries from step to step."""

    model: CMRformer
    optimiser: torch.optim.Optimizer
    settings: params.Pretrain
    device: torch.device
    train: StudyDataset
    validation: StudyDataset | None
    tokens: dict[str, Tokens]  # of every report
    pad_id: int
    step: int = 0  # steps done so far
    bad: list[list[str]] = field(default_factory=list)  # studies of the last steps, as far as these were not finite
    results: list[StepResult] = field(default_factory=list)  # of the epoch in progress
    history: list[dict[str, float | int]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of the best epoch, where optim.patience is given
    features: dict[str, Tensor] = field(default_factory=dict)  # of frozen towers, a row a study of `train`
    stop: Stop = field(default_factory=Stop)

    @property
    def studies_per_step(self) -> int:
        """Studies that move the weights once."""
        return self.settings.optim.batch_studies * self.settings.optim.accumulate

    @property
    def steps_per_epoch(self) -> int:
        """Whole steps in an epoch; the rest is dropped, and is another rest in every epoch."""
        return len(self.train) // self.studies_per_step

    @property
    def steps(self) -> int:
        """Steps of the whole run, on which the learning rate's schedule is stretched."""
        return min(self.settings.optim.epochs * self.steps_per_epoch, self.settings.optim.max_steps or 2**62)

    def tokens_of(self, study_keys: list[str], epoch: int | None = None) -> tuple[Tensor, Tensor]:
        """Padded token numbers and mask of these studies' reports, on the device.

        In an epoch of training, some sentences are hidden.
        """
        share, seed = self.settings.augment.drop_sentence, self.settings.seed
        rows = [
            self.tokens[key].ids if epoch is None else sentences.hide(self.tokens[key], share, seed, epoch, key)
            for key in study_keys
        ]
        ids, mask = text.pad(rows, self.pad_id)
        return ids.to(self.device), mask.to(self.device)


def snapshot(run: Run) -> checkpoint.Checkpoint:
    """Weights, optimiser state and counters."""
    tensors = {f"model/{name}": tensor for name, tensor in run.model.state_dict().items()}
    for name, weight in run.model.named_parameters():
        for kind, tensor in run.optimiser.state.get(weight, {}).items():
            tensors[f"{kind}/{name}"] = tensor
    tensors |= {f"best/{name}": tensor for name, tensor in run.best.items()}
    results = [asdict(result) for result in run.results]
    state = {"step": run.step, "bad": run.bad, "results": results, "history": run.history}
    return checkpoint.Checkpoint(tensors, state)


def restore(run: Run, found: checkpoint.Checkpoint) -> None:
    """Put a snapshot back, in place."""
    run.step, run.bad, run.history = found.state["step"], found.state["bad"], found.state["history"]
    run.results = [StepResult(**result) for result in found.state["results"]]
    by_kind: dict[str, dict[str, Tensor]] = {}
    for path, tensor in found.tensors.items():
        kind, name = path.split("/", 1)
        by_kind.setdefault(kind, {})[name] = tensor
    run.model.load_state_dict(by_kind.pop("model"))
    run.best = by_kind.pop("best", {})
    for name, weight in run.model.named_parameters():
        kept = {kind: tensors[name] for kind, tensors in by_kind.items() if name in tensors}
        if kept:
            places = {kind: place_of(kind, weight.device, run.optimiser) for kind in kept}
            run.optimiser.state[weight] = {kind: tensor.to(places[kind]) for kind, tensor in kept.items()}


def place_of(kind: str, device: torch.device, optimiser: torch.optim.Optimizer) -> torch.device:
    """Where AdamW wants this part of a weight's state: the step counter with the CPU, unless one kernel moves all."""
    return torch.device("cpu") if kind == "step" and not optimiser.defaults.get("fused") else device
