"""The training loop: epochs of shuffled studies, a history, checkpoints that resume bit for bit.

Every random draw is a function of (seed, epoch, step or study): the order of studies, the augmentation, hidden
sentences, dropout. So a run that was stopped and resumed ends with the same bits as one that was not.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from cmr_lib import params, project
from cmr_lib.clips import dataset
from cmr_lib.clips.dataset import StudyDataset, collate
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.training import checkpoint, schedule, sentences, step
from cmr_lib.training.machine import choose_device, reproducible
from cmr_lib.training.state import Run, restore, snapshot
from cmr_lib.training.validate import mean, validate

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


def fit(
    model: CMRformer,
    tokenizer: Any,
    train: StudyDataset,
    texts: Mapping[str, str],
    validation: StudyDataset | None,
    settings: params.Pretrain,
    checkpoint_dir: Path | str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train in place and return the history, one row an epoch (COLUMNS; no times, so that it can be compared).

    With `checkpoint_dir`, a run that was stopped goes on after its last whole epoch, and a finished one returns at
    once; call `checkpoint.remove` when the weights are saved. With mode "frozen" nothing is trained and the history
    is empty. The model ends on `device`, in evaluation mode.

    Raises:
        ValueError: a study without a text; fewer studies than a batch.
        FloatingPointError: three steps in a row without a finite loss and gradient.
    """
    if settings.mode == "frozen":
        model.to(choose_device(settings.device)).eval()
        return pd.DataFrame(columns=list(COLUMNS))
    run = _start(model, tokenizer, train, texts, validation, settings)
    key = _key(run, texts)
    with reproducible(run.device):
        if checkpoint_dir is not None and (found := checkpoint.latest(checkpoint_dir, key)):
            restore(run, found)
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
                checkpoint.write(checkpoint_dir, key, epoch + 1, snapshot(run))
    model.eval()
    return pd.DataFrame(run.history, columns=list(COLUMNS))


def _start(
    model: CMRformer,
    tokenizer: Any,
    train: StudyDataset,
    texts: Mapping[str, str],
    validation: StudyDataset | None,
    settings: params.Pretrain,
) -> Run:
    keys = project.unique([*train.study_keys, *(validation.study_keys if validation else [])])
    if without := [key for key in keys if key not in texts]:
        raise ValueError(f"{len(without)} of {len(keys)} studies have no report (first: {without[0]}): leave them out.")
    if len(train) < settings.optim.batch_studies:
        raise ValueError(
            f"optim.batch_studies is {settings.optim.batch_studies}, but only {len(train)} studies train: lower it, or "
            "embed with the shipped weights and train nothing (mode: frozen, init: released)."
        )
    device = choose_device(settings.device)
    model.to(device)
    rows = sentences.encode(tokenizer, [texts[key] for key in keys], model.config.max_tokens)
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
    """The checkpoint key: everything that decides the bits, images and code included; not where outputs lie."""
    aside = {"out_dir", "in_root", "checkpoint_epochs"}
    validation = run.validation.study_keys if run.validation else []
    facts = {
        "settings": run.settings.model_dump(mode="json", exclude=aside),
        "train": [[key, texts[key]] for key in run.train.study_keys],
        "validation": [[key, texts[key]] for key in validation],
        "device": run.device.type,
        "images": [dataset.digest(part) for part in (run.train, run.validation) if part],
        "code": checkpoint.code_digest(),
    }
    return checkpoint.key_of(facts, run.model.state_dict())


def _epoch(run: Run, epoch: int) -> dict[str, float | int]:
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
        "loss": mean(result.loss for result in results if result.done),
        "logit_scale": float(run.model.logit_scale.detach()),
        "learning_rate": rate,
        "grad_norm": mean(result.grad_norm for result in results if result.done),
        "temporal_qk_grad_norm": mean(result.temporal_qk_grad_norm for result in results if result.done),
        "skipped_steps": sum(not result.done for result in results),
    } | validate(run)


def _step(run: Run, epoch: int, number: int, rows: np.ndarray) -> step.StepResult:
    """One step on these studies; raises FloatingPointError at the third bad one in a row."""
    batch = collate([run.train[int(row)] for row in rows])
    settings = run.settings
    generator = step.generator_of(settings.seed, "augment", epoch, number)
    images = step.prepare(batch, settings.augment, settings.frames.crop_px, generator, run.device)
    torch.manual_seed(project.seed_for(settings.seed, "dropout", epoch, number))
    ids, mask = run.tokens_of(batch["study_keys"], epoch)
    result = step.train_step(run.model, run.optimiser, images, ids, mask, settings.optim.clip_norm, settings.precision)
    run.bad = 0 if result.done else run.bad + 1
    if run.bad >= HALT_AFTER:
        raise FloatingPointError(
            f"{HALT_AFTER} steps in a row gave no finite loss or gradient (epoch {epoch + 1}, the last with studies "
            f"{', '.join(batch['study_keys'][:3])}, …): lower optim.learning_rate; the last checkpoint is intact."
        )
    return result
