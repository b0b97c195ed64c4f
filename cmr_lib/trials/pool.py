"""Trials in processes of their own, each in the environment that the demo's bits are made in."""

import multiprocessing
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from cmr_lib import project
from cmr_lib.training import checkpoint
from cmr_lib.trials.cohort import Cohort
from cmr_lib.trials.trial import Result, Trial, done, read


def _work(trial: Trial, root: Path, folder: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    done(trial, Cohort.read(root), folder)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Within it, processes start with what they must find before they import a numerical library."""
    fixed, before = project.REPRODUCIBLE_ENVIRONMENT, dict(os.environ)
    os.environ.update(fixed | {name: str(threads) for name in fixed if name.endswith("_NUM_THREADS")})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run(trials: Sequence[Trial], root: Path, folder: Path, workers: int, threads: int) -> list[Result]:
    """Results of all trials in order; those that lie in `folder` are read, the rest is trained, `workers` at a time.

    Every trial is kept as it ends: an interruption costs what has not reached a checkpoint. The number of workers
    changes no number, the threads of each may change the last digits.
    """
    digest = Cohort.read(root).digest
    paths = [trial.path(folder, digest) for trial in trials]
    missing = [trial for trial, path in zip(trials, paths, strict=True) if not path.is_file()]
    context = multiprocessing.get_context("spawn")
    with (
        _environment(threads),
        tqdm(total=len(trials), initial=len(trials) - len(missing), desc="trainings", unit="run") as bar,
        ProcessPoolExecutor(workers, mp_context=context) as pool,
    ):
        for ended in as_completed([pool.submit(_work, trial, root, folder, threads) for trial in missing]):
            ended.result()
            bar.update()
    results = [read(path) for path in paths]
    if others := sum(result.code != checkpoint.code_digest() for result in results):
        warnings.warn(
            f"{others} of {len(results)} trainings were done by another version of the code: remove {folder} to train "
            "them again.",
            stacklevel=2,
        )
    return results
