"""Many things made by several processes, each kept once it is whole, so that an interrupted run can go on.

A run keeps what it has made in `.partial/<digest>/` beside its results. A thing counts as finished when its record is
there, which is written last and atomically, and every file that the record names has the size and the SHA-256 that it
names. So neither a killed process nor a full disk leaves half a study that looks whole.
"""

import contextlib
import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import scipy

from cmr_lib import project
from cmr_lib.params import Simulate

PARTIAL = ".partial"
CODE = ("simulate/*.py", "labels.py", "project.py", "types.py")
ELSEWHERE = frozenset({"out_dir", "data_dir", "workers", "real_image"})  # settings that the bytes do not depend on
CHUNK = 4  # things handed to a process at a time


@dataclass(frozen=True)
class Made:
    """One finished thing: its files, by path below the run's folder, and what the tables need of it, as plain JSON."""

    files: dict[str, bytes]
    record: dict[str, Any]


class Run:
    """The unfinished results of one run below a folder; other runs' leftovers there are removed."""

    def __init__(self, folder: Path | str, digest: str) -> None:
        self.target, self.partial = Path(folder), Path(folder) / PARTIAL
        self.files, self.done = self.partial / digest / "files", self.partial / digest / "done"
        if self.partial.is_dir():
            for other in self.partial.iterdir():
                if other.name != digest:
                    shutil.rmtree(other)
        for piece in self.partial.rglob("*.tmp"):  # of a process that was killed while it wrote
            piece.unlink()
        self.files.mkdir(parents=True, exist_ok=True)

    def keep(self, name: str, made: Made) -> dict[str, Any]:
        """Write a thing's files, then its record; returns the record as a later run would read it."""
        held = {place: [len(data), project.write_bytes(self.files / place, data)] for place, data in made.files.items()}
        text = json.dumps({"files": held, "record": made.record}, default=_plain, ensure_ascii=False)
        project.write_text(self.done / f"{name}.json", text)
        return json.loads(text)["record"]

    def kept(self, name: str) -> dict[str, Any] | None:
        """The record of a finished thing, or None where it was never finished or is damaged."""
        path = self.done / f"{name}.json"
        if not path.is_file():
            return None
        entry = json.loads(path.read_text(encoding="utf-8"))
        whole = all(_is_whole(self.files / place, *facts) for place, facts in entry["files"].items())
        return entry["record"] if whole else None

    def publish(self) -> None:
        """Put everything in its place, where it replaces what an earlier run left, and forget the run."""
        for made in sorted(self.files.iterdir()):
            place = self.target / made.name
            if place.is_dir():
                shutil.rmtree(place)
            made.replace(place)
        shutil.rmtree(self.partial)


def _plain(value: Any) -> int | float:
    """NumPy's scalars as Python's; raises AttributeError for what has no place in JSON."""
    return value.item()


def _is_whole(path: Path, size: int, digest: str) -> bool:
    """Whether a file is the one that was written."""
    return path.is_file() and path.stat().st_size == size and project.sha256_file(path) == digest


def run_digest(settings: Simulate) -> str:
    """16 hex digits for all that the bytes of a hospital depend on: settings, code and the libraries that it uses."""
    libraries = (np, scipy, pydicom, nibabel)
    code = project.code_digest(CODE, *(library.__version__ for library in libraries))
    facts = json.dumps(settings.model_dump(mode="json", exclude=set(ELSEWHERE)), sort_keys=True)
    return hashlib.sha256(f"{code}\0{facts}".encode()).hexdigest()[:16]


@contextlib.contextmanager
def crew(workers: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """A `map` that keeps the order of what it is given: this process, or as many others as are asked for."""
    if workers == 1:
        yield map
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cmr_lib.simulate.cohort"])  # heavy imports once, not once a process
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        yield partial(executor.map, chunksize=CHUNK)


def _one(task: tuple[str, Any], run: Run, make: Callable[[Any], Made]) -> dict[str, Any]:
    """The record of one task, made unless it is kept already."""
    name, what = task
    record = run.kept(name)
    return run.keep(name, make(what)) if record is None else record


def records(
    team: Callable[..., Iterator[Any]], run: Run, make: Callable[[Any], Made], tasks: Sequence[tuple[str, Any]]
) -> Iterable[dict[str, Any]]:
    """The record of every task (name, what to make) in order; only what no earlier run has finished is made."""
    return team(partial(_one, run=run, make=make), tasks)
