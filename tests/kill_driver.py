"""A toy training that is killed at every moment, each time in a forked child: run by test_training_kill.

Prints one JSON object a line. The parent never computes, so that its children may: forked threads would hang.
"""

import hashlib
import json
import os
import signal
import sys
import tempfile
import warnings
from pathlib import Path

import torch

from cmr_lib.clips.dataset import StudyDataset
from cmr_lib.training import loop, step
from cmr_lib.training.job import Job
from cmr_lib.training.start import start
from tests.toy import toy_settings, toy_store

torch.set_num_threads(1)
SETTINGS = toy_settings(optim={"epochs": 4, "batch_studies": 3, "patience": 3})


class Moments:
    """Counts steps, waits for the disk and renames, and sends this process a signal at the n-th."""

    def __init__(self, at, number):
        self.at, self.number, self.count, self.steps = at, number, 0, 0
        for owner, name in ((step, "train_step"), (os, "fsync"), (Path, "replace"), (Path, "unlink")):
            setattr(owner, name, self.counted(getattr(owner, name), name == "train_step"))

    def counted(self, call, is_step):
        def wrapped(*arguments, **options):
            self.count += 1
            self.steps += is_step
            if self.count == self.at:
                os.kill(os.getpid(), self.number)
            return call(*arguments, **options)

        return wrapped


def digest(model, history):
    found = hashlib.sha256(history.to_csv().encode())
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()


def child(world, folder, said, at=0, number=signal.SIGKILL):
    """Train in a forked child; returns its exit status and what it wrote (None when it could not)."""
    said.unlink(missing_ok=True)
    if not (pid := os.fork()):
        moments = Moments(at, number)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            code = 1
            try:
                history = loop.fit(world, folder, progress=False)
                told = {"digest": digest(world.model, history), "moments": moments.count}
                code = 0
            except SystemExit as end:
                told, code = {}, end.code
            finally:
                told |= {"warnings": [str(item.message) for item in caught], "steps": moments.steps}
                said.write_text(json.dumps(told))
                os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, json.loads(said.read_text()) if said.exists() else None


def main():
    store, texts = toy_store(9)
    keys = list(texts)
    parts = [StudyDataset(store, some, SETTINGS.frames) for some in (keys[:6], keys[6:])]
    model, tokenizer = start(SETTINGS, list(texts.values()))
    world = Job(model, tokenizer, parts[0], texts, parts[1], SETTINGS)
    with tempfile.TemporaryDirectory() as place:
        said, folder = Path(place) / "said.json", Path(place)
        status, wanted = child(world, folder / "whole", said)
        print(json.dumps({"kind": "whole", "status": status} | wanted), flush=True)
        for number in (signal.SIGKILL, signal.SIGTERM):
            for at in range(1, wanted["moments"] + 1):
                here = folder / f"{number}-{at}"
                killed = child(world, here, said, at, number)
                left = sorted(path.name for path in here.iterdir()) if here.exists() else []
                ended = child(world, here, said)
                kept = sorted(path.name for path in here.iterdir())
                row = {"kind": number.name, "at": at, "killed": killed, "ended": ended, "left": left, "kept": kept}
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
