"""The training loop: epochs of shuffled studies, a history, checkpoints that resume bit for bit.

Every random draw is a function of (seed, epoch, step or study): the order of studies, the augmentation, hidden
sentences, dropout. So a run that was stopped and resumed ends with the same bits as one that was not, and the parts of
a batch are the same wherever and whenever they are made.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from cmr_lib import project
from cmr_lib.clips import dataset
from cmr_lib.clips.dataset import collate
from cmr_lib.training import checkpoint, distributed, schedule, sentences, step
from cmr_lib.training.frozen import frozen_towers
from cmr_lib.training.job import Job
from cmr_lib.training.machine import autocast, choose_device, memory_advice, memory_savers, reproducible
from cmr_lib.training.pairs import Pairs, same_reports, text_of
from cmr_lib.training.state import Run, restore, snapshot
from cmr_lib.training.stop import end, stopping
from cmr_lib.training.validate import best_epoch, exhausted, mean, validate

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


def fit(job: Job, checkpoint_dir: Path | str | None = None, progress: bool = True) -> pd.DataFrame:
    """Train in place and return the history, one row an epoch (COLUMNS; no times, so that it can be compared).

    With `checkpoint_dir`, a run that was stopped goes on after its last checkpoint (a whole epoch, or the step at which
    SIGTERM came), and a finished one returns at once; call `checkpoint.remove` when the weights are saved. SIGTERM
    ends the process with code 143. With mode "frozen" nothing is trained and the history is empty. With
    `optim.patience` the weights are those of the epoch with the lowest validation loss, otherwise those of the last.
    The model ends on `device`, in evaluation mode. Several processes of a group call this alike (`training.launch`).

    Raises:
        ValueError: a study without a text; fewer studies than a step takes; patience without validation studies.
        FloatingPointError: three steps in a row without a finite loss and gradient.
        MemoryError: a batch does not fit; the weights are those before the step.
    """
    model = job.model
    if job.settings.mode == "frozen":
        model.to(choose_device(job.settings.device)).eval()
        return pd.DataFrame(columns=list(COLUMNS))
    run = _start(job)
    key = _key(run, job.texts)
    with reproducible(run.device), stopping(run.stop), memory_savers(model, job.settings.optim):
        if checkpoint_dir is not None and (found := checkpoint.latest(checkpoint_dir, key)):
            restore(run, found)
        with frozen_towers(run):
            _epochs(run, checkpoint_dir, key, progress)
    if run.stop.asked:  # while the last checkpoint was written
        end()
    if run.best:
        model.load_state_dict(run.best)
    model.eval()
    return pd.DataFrame(run.history, columns=list(COLUMNS))


def _epochs(run: Run, checkpoint_dir: Path | str | None, key: str, progress: bool) -> None:
    """All epochs that are still to come, with checkpoints when they are due or the process is asked to end."""
    epochs, done = -(-run.steps // run.steps_per_epoch), len(run.history)
    every = run.settings.checkpoint_epochs
    hidden = not progress or distributed.rank() > 0
    bar = tqdm(range(done, epochs), "pretrain", total=epochs, initial=done, unit="epoch", disable=hidden)
    for epoch in bar:
        if exhausted(run.history, run.settings.optim.patience):
            break
        row = _epoch(run, epoch)
        if row is not None:
            _close(run, row)
            bar.set_postfix(loss=f"{row['loss']:.3f}")
        stop = row is None or distributed.any_process(run.stop.asked, run.device)
        last = epoch + 1 == epochs or exhausted(run.history, run.settings.optim.patience)
        if checkpoint_dir is not None and distributed.rank() == 0 and (stop or last or (epoch + 1) % every == 0):
            checkpoint.write(checkpoint_dir, key, run.step, snapshot(run))
        if stop:
            end()


def _close(run: Run, row: dict[str, float | int]) -> None:
    """Put an epoch's row into the history, and its weights aside when they are the best so far."""
    run.history.append(row)
    run.results = []
    if run.settings.optim.patience is not None and best_epoch(run.history) == len(run.history) - 1:
        run.best = {name: tensor.detach().cpu().clone() for name, tensor in run.model.state_dict().items()}


def _start(job: Job) -> Run:
    keys, settings = _checked_keys(job), job.settings
    device = choose_device(settings.device)
    job.model.to(device)
    rows = sentences.encode(job.tokenizer, [job.texts[key] for key in keys], job.model.config.max_tokens)
    return Run(
        model=job.model,
        optimiser=step.make_optimiser(job.model, settings.optim),
        settings=settings,
        device=device,
        train=job.train,
        validation=job.validation,
        tokens=dict(zip(keys, rows, strict=True)),
        pad_id=job.tokenizer.pad_token_id,
    )


def _checked_keys(job: Job) -> list[str]:
    """Every study of the job once; raises ValueError when the job cannot be done as asked."""
    keys = project.unique([key for part in job.study_keys.values() for key in part])
    if without := [key for key in keys if key not in job.texts]:
        raise ValueError(f"{len(without)} of {len(keys)} studies have no report (first: {without[0]}): leave them out.")
    optim = job.settings.optim
    if len(job.train) < optim.batch_studies * optim.accumulate:
        times = f" × optim.accumulate {optim.accumulate}" if optim.accumulate > 1 else ""
        raise ValueError(
            f"optim.batch_studies is {optim.batch_studies}{times}, but only {len(job.train)} studies train: lower it, "
            "or embed with the shipped weights and train nothing (mode: frozen, init: released)."
        )
    if optim.patience is not None and not job.validation:
        raise ValueError("optim.patience wants validation studies with a report, and there are none: set it to null.")
    return keys


def _key(run: Run, texts: Mapping[str, str]) -> str:
    """The checkpoint key: everything that decides the bits, images and code included; not where outputs lie."""
    aside = {"out_dir", "in_root", "checkpoint_epochs", "launch"}
    validation = run.validation.study_keys if run.validation else []
    facts = {
        "settings": run.settings.model_dump(mode="json", exclude=aside),
        "train": [[key, texts[key]] for key in run.train.study_keys],
        "validation": [[key, texts[key]] for key in validation],
        "device": run.device.type,
        "processes": distributed.processes(),
        "images": [dataset.digest(part) for part in (run.train, run.validation) if part],
        "code": checkpoint.code_digest(),
    }
    return checkpoint.key_of(facts, run.model.state_dict())


def _epoch(run: Run, epoch: int) -> dict[str, float | int] | None:
    """One pass over the shuffled studies, or what is left of it; its row of the history, None when asked to end."""
    run.model.train()
    chosen = schedule.order(run.settings.seed, epoch, len(run.train))
    optim, size = run.settings.optim, run.studies_per_step
    steps = min(run.steps_per_epoch, run.steps - epoch * run.steps_per_epoch)
    for number in range(len(run.results), steps):
        if run.results and distributed.any_process(run.stop.asked, run.device):
            return None
        rate = schedule.learning_rate(run.step, run.steps, optim.learning_rate, optim.warmup_share)
        step.set_rate(run.optimiser, rate)
        run.results.append(_step(run, epoch, number, chosen[number * size : (number + 1) * size]))
        run.step += 1
    results = run.results
    return {
        "epoch": epoch + 1,
        "loss": mean(result.loss for result in results if result.done),
        "logit_scale": float(run.model.logit_scale.detach()),
        "learning_rate": schedule.learning_rate(run.step - 1, run.steps, optim.learning_rate, optim.warmup_share),
        "grad_norm": mean(result.grad_norm for result in results if result.done),
        "temporal_qk_grad_norm": mean(result.temporal_qk_grad_norm for result in results if result.done),
        "skipped_steps": sum(not result.done for result in results),
    } | validate(run)


def _step(run: Run, epoch: int, number: int, rows: np.ndarray) -> step.StepResult:
    """One step on these studies; raises FloatingPointError at the third bad one in a row."""
    optim = run.settings.optim
    first = number * optim.accumulate
    parts = np.split(rows, optim.accumulate)
    with memory_advice(len(rows)):
        batches = [_pairs(run, epoch, first + count, part) for count, part in enumerate(parts)]
        result = step.train_step(run.model, run.optimiser, batches, optim, run.settings.precision)
    run.bad = [] if result.done else [*run.bad, [run.train.study_keys[int(row)] for row in rows]]
    if len(run.bad) >= HALT_AFTER:
        batches_named = "; ".join(", ".join(keys) for keys in run.bad)
        raise FloatingPointError(
            f"{HALT_AFTER} steps in a row gave no finite loss or gradient (epoch {epoch + 1}): lower "
            f"optim.learning_rate or look at their studies; the last checkpoint is intact. Batches: {batches_named}."
        )
    return result


def _pairs(run: Run, epoch: int, number: int, rows: np.ndarray) -> Pairs:
    """The pairs of batch `number` of an epoch: drawn by (seed, epoch, number), whichever part is made, and when."""
    settings, found = run.settings, run.features
    where = torch.from_numpy(rows)
    keys = [run.train.study_keys[int(row)] for row in rows]
    batch = None if "image" in found else collate([run.train[int(row)] for row in rows])
    ids, mask = run.tokens_of(keys, epoch)

    def image(part: slice) -> torch.Tensor:
        if batch is None:
            return found["image"][where[part]]
        draws = step.generator_of(settings.seed, "augment", epoch, number)
        crop = settings.frames.crop_px
        with autocast(run.device, "fp32"):  # images are moved and cropped in full precision
            images = step.prepare(batch, settings.augment, crop, draws, run.device, part)
        return run.model.video(images).float()

    return Pairs(
        image=image,
        text=(lambda part: found["text"][where[part]]) if "text" in found else text_of(run.model, ids, mask),
        size=len(rows),
        seed=project.seed_for(settings.seed, "dropout", epoch, number),
        same=same_reports([run.tokens[key].ids for key in keys]) if settings.optim.loss == "multi_positive" else None,
    )
