"""The training loop: epochs of shuffled studies, a history, checkpoints that resume bit for bit.

Every random draw is a function of (seed, epoch, step): the order of studies, the augmentation, dropout. So a run that
was stopped and resumed ends with the same bits as one that was not.
"""

import ctypes
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from cmr_lib import losses, params, project
from cmr_lib.clips import augment, dataset
from cmr_lib.models import text
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.training import checkpoint, schedule, step

HALT_AFTER = 3  # steps in a row with a loss or gradient that is not finite
COLUMNS = (
    "epoch",
    "loss",
    "validation_loss",
    "validation_recall_at_10",
    "logit_scale",
    "learning_rate",
    "grad_norm",
    "temporal_qk_grad_norm",
    "alignment",
    "uniformity",
    "skipped_steps",
)


@dataclass
class Run:
    """What a training run carries from step to step."""

    model: CMRformer
    optimiser: torch.optim.Optimizer
    settings: params.Pretrain
    device: torch.device
    train: dataset.StudyDataset
    validation: dataset.StudyDataset | None
    tokens: dict[str, list[int]]  # token numbers of every report
    pad_id: int
    step: int = 0  # steps done so far
    bad: int = 0  # of which the last so many were not finite
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; the rest is dropped, and is another rest in every epoch."""
        return len(self.train) // self.settings.optim.batch_studies

    @property
    def steps(self) -> int:
        """Steps of the whole run, on which the learning rate's schedule is stretched."""
        return min(self.settings.optim.epochs * self.steps_per_epoch, self.settings.optim.max_steps or 2**62)

    def tokens_of(self, study_keys: list[str]) -> tuple[Tensor, Tensor]:
        """Padded token numbers and mask of these studies' reports, on the device."""
        ids, mask = text.pad([self.tokens[key] for key in study_keys], self.pad_id)
        return ids.to(self.device), mask.to(self.device)


def fit(
    model: CMRformer,
    tokenizer: Any,
    dataset: dataset.StudyDataset,
    texts: Mapping[str, str],
    validation: dataset.StudyDataset | None,
    settings: params.Pretrain,
    checkpoint_dir: Path | str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train in place and return the history, one row an epoch (COLUMNS; no times, so that it can be compared).

    With `checkpoint_dir`, a run that was stopped goes on after its last whole epoch, and a finished one returns at
    once; call `checkpoint.remove` when the weights are saved. With mode "frozen" nothing is trained and the history
    is empty. The model ends on the CPU, in evaluation mode.

    Raises:
        ValueError: a study without a text; fewer studies than a batch.
        FloatingPointError: three steps in a row without a finite loss and gradient.
    """
    if settings.mode == "frozen":
        return pd.DataFrame(columns=list(COLUMNS))
    run = _start(model, tokenizer, dataset, texts, validation, settings)
    key = _key(run, texts)
    with _training(run.device):
        if checkpoint_dir is not None and (found := checkpoint.latest(checkpoint_dir, key)):
            _restore(run, found)
        epochs = -(-run.steps // run.steps_per_epoch)
        bar = tqdm(
            range(len(run.history), epochs),
            "pretrain",
            total=epochs,
            initial=len(run.history),
            unit="epoch",
            disable=not progress,
        )
        for epoch in bar:
            run.history.append(_epoch(run, epoch))
            bar.set_postfix(loss=f"{run.history[-1]['loss']:.3f}")
            due = (epoch + 1) % settings.checkpoint_epochs == 0 or epoch + 1 == epochs
            if checkpoint_dir is not None and due:
                checkpoint.write(checkpoint_dir, key, epoch + 1, _snapshot(run))
    model.cpu().eval()
    return pd.DataFrame(run.history, columns=list(COLUMNS))


def _start(
    model: CMRformer,
    tokenizer: Any,
    train: dataset.StudyDataset,
    texts: Mapping[str, str],
    validation: dataset.StudyDataset | None,
    settings: params.Pretrain,
) -> Run:
    keys = project.unique([*train.study_keys, *(validation.study_keys if validation else [])])
    if without := [key for key in keys if key not in texts]:
        raise ValueError(f"{len(without)} of {len(keys)} studies have no report (first: {without[0]}): leave them out.")
    if len(train) < settings.optim.batch_studies:
        raise ValueError(
            f"optim.batch_studies is {settings.optim.batch_studies}, but only {len(train)} studies train: lower it."
        )
    device = step.choose_device(settings.device)
    model.to(device)
    rows = text.encode(tokenizer, [texts[key] for key in keys], model.config.max_tokens)
    return Run(
        model=model,
        optimiser=step.make_optimiser(model, settings.optim),
        settings=settings,
        device=device,
        train=train,
        validation=validation,
        tokens=dict(zip(keys, rows, strict=True)),
        pad_id=tokenizer.pad_token_id,
    )


def _key(run: Run, texts: Mapping[str, str]) -> str:
    """The checkpoint key: everything that decides the bits, but where outputs lie and how often they are written."""
    aside = {*params.PATH_KEYS, "checkpoint_epochs"}
    facts = {
        "settings": run.settings.model_dump(mode="json", exclude=aside & set(type(run.settings).model_fields)),
        "train": [[key, texts[key]] for key in run.train.study_keys],
        "validation": run.validation.study_keys if run.validation else None,
        "device": run.device.type,
    }
    return checkpoint.key_of(facts, run.model.state_dict())


def _epoch(run: Run, epoch: int) -> dict[str, float]:
    """One pass over the shuffled studies; returns its row of the history."""
    run.model.train()
    chosen = schedule.order(run.settings.seed, epoch, len(run.train))
    size, results = run.settings.optim.batch_studies, []
    rate = 0.0
    for number in range(min(run.steps_per_epoch, run.steps - run.step)):
        optim = run.settings.optim
        rate = schedule.learning_rate(run.step, run.steps, optim.learning_rate, optim.warmup_share)
        step.set_rate(run.optimiser, rate)
        results.append(_step(run, epoch, number, chosen[number * size : (number + 1) * size]))
        run.step += 1
    return {
        "epoch": epoch + 1,
        "loss": step.mean(result.loss for result in results if result.done),
        "logit_scale": float(run.model.logit_scale.detach()),
        "learning_rate": rate,
        "grad_norm": step.mean(result.grad_norm for result in results if result.done),
        "temporal_qk_grad_norm": step.mean(result.temporal_qk_grad_norm for result in results if result.done),
        "skipped_steps": sum(not result.done for result in results),
    } | validate(run)


def _step(run: Run, epoch: int, number: int, rows: np.ndarray) -> step.StepResult:
    """One step on these studies; raises FloatingPointError at the third bad one in a row."""
    batch = dataset.collate([run.train[int(row)] for row in rows])
    settings = run.settings
    generator = step.generator_of(settings.seed, "augment", epoch, number)
    inputs = step.prepare(batch, settings.augment, settings.frames.crop_px, generator, run.device)
    torch.manual_seed(project.seed_for(settings.seed, "dropout", epoch, number))
    ids, mask = run.tokens_of(batch["study_keys"])
    result = step.train_step(run.model, run.optimiser, inputs, ids, mask, settings.optim.clip_norm, settings.precision)
    run.bad = 0 if result.done else run.bad + 1
    if run.bad >= HALT_AFTER:
        raise FloatingPointError(
            f"{HALT_AFTER} steps in a row gave no finite loss or gradient (epoch {epoch + 1}, the last with studies "
            f"{', '.join(batch['study_keys'][:3])}, …): lower optim.learning_rate; the last checkpoint is intact."
        )
    return result


@torch.inference_mode()
def validate(run: Run) -> dict[str, float]:
    """Loss, recall at 10 of image → report, alignment and uniformity on the validation split (NaN without one).

    The loss is taken in groups of a training batch, so that it is on the scale of the training loss.
    """
    names = ("validation_loss", "validation_recall_at_10", "alignment", "uniformity")
    if run.validation is None or len(run.validation) == 0:
        return dict.fromkeys(names, float("nan"))
    run.model.eval()
    image, report = (torch.cat(parts) for parts in zip(*_embed(run), strict=True))
    size = min(run.settings.optim.batch_studies, len(image))
    scale = run.model.logit_scale.cpu()
    groups = range(0, len(image) - size + 1, size)
    loss = step.mean(float(losses.info_nce(image[i : i + size], report[i : i + size], scale)) for i in groups)
    similarity = image @ report.T
    ranks = (similarity > similarity.diagonal()[:, None]).sum(1)
    recall = float((ranks < 10).float().mean())
    return dict(zip(names, (loss, recall, step.alignment(image, report), step.uniformity(image)), strict=True))


def _embed(run: Run) -> Iterator[tuple[Tensor, Tensor]]:
    """Image and report embeddings of the validation split, batch by batch."""
    if run.validation is None:
        return
    for batch in dataset.batches(run.validation, run.settings.optim.batch_studies):
        frames = augment.centre_crop(batch["frames"], run.settings.frames.crop_px).to(run.device)
        inputs = {name: batch[name].to(run.device) for name in step.INPUTS}
        with step.autocast(run.device, run.settings.precision):
            image = run.model.encode_study(frames, **inputs)
            report = run.model.encode_text(*run.tokens_of(batch["study_keys"]))
        yield image.float().cpu(), report.float().cpu()


# --- stop and go ------------------------------------------------------------------------------------------------
def _snapshot(run: Run) -> checkpoint.Checkpoint:
    tensors = {f"model/{name}": tensor for name, tensor in run.model.state_dict().items()}
    for name, weight in run.model.named_parameters():
        for kind, tensor in run.optimiser.state.get(weight, {}).items():
            tensors[f"{kind}/{name}"] = tensor
    return checkpoint.Checkpoint(tensors, {"step": run.step, "bad": run.bad, "history": run.history})


def _restore(run: Run, found: checkpoint.Checkpoint) -> None:
    run.step, run.bad, run.history = found.state["step"], found.state["bad"], found.state["history"]
    by_kind: dict[str, dict[str, Tensor]] = {}
    for path, tensor in found.tensors.items():
        kind, name = path.split("/", 1)
        by_kind.setdefault(kind, {})[name] = tensor
    run.model.load_state_dict(by_kind.pop("model"))
    for name, weight in run.model.named_parameters():
        kept = {kind: tensors[name] for kind, tensors in by_kind.items() if name in tensors}
        if kept:
            # The step counter of AdamW stays on the CPU.
            run.optimiser.state[weight] = {
                kind: tensor if kind == "step" else tensor.to(run.device) for kind, tensor in kept.items()
            }


@contextmanager
def _training(device: torch.device) -> Iterator[None]:
    """Deterministic kernels where PyTorch has them for this device; the global generator is given back as it was."""
    before = torch.are_deterministic_algorithms_enabled()
    keep_freed_memory()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory for the next allocation instead of returning it to the system.

    Training allocates the same large arrays in every step; fetching them anew from the system means a page fault for
    every 4 KiB, which was measured at a tenth of the time of a step. No effect on results, none outside glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    libc.mallopt(trim_threshold, -1)
    libc.mallopt(mmap_max, 0)
