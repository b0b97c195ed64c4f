"""One training and what it leaves: embeddings of the studies that it is judged on, in one file, written whole.

The file's name carries a hash of everything that decides the training, so that a finished one is never done again and
one of other settings or data is never taken for it. One that is under way keeps checkpoints, as the stage does.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import safe_open
from safetensors.numpy import save

from cmr_lib import params, project
from cmr_lib.evaluation import embed
from cmr_lib.training import checkpoint, loop
from cmr_lib.training.job import Job
from cmr_lib.training.start import start
from cmr_lib.trials.cohort import Cohort
from cmr_lib.types import Split

ASIDE = {"out_dir", "in_root", "checkpoint_epochs", "launch"}  # parameters that decide no number


@dataclass(frozen=True)
class Trial:
    """Settings, the chance that a study lacks a view, and the splits whose embeddings are kept."""

    name: str
    settings: params.Pretrain
    missing: float = 0.0
    splits: tuple[Split, ...] = (Split.TRAIN, Split.VALIDATION)

    def path(self, folder: Path, data: str) -> Path:
        """Where its result lies, given the digest of the cohort."""
        facts = {
            "settings": self.settings.model_dump(mode="json", exclude=ASIDE),
            "missing": self.missing,
            "splits": [split.value for split in self.splits],
            "data": data,
        }
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        return folder / f"{self.name}-{self.settings.seed}-{key}.safetensors"


@dataclass(frozen=True)
class Result:
    """Unit vectors of the studies of the kept splits (text: NaN without a report), and the training's history."""

    study_keys: list[str]
    image: Float[np.ndarray, "studies embed"]
    text: Float[np.ndarray, "studies embed"]
    history: list[dict[str, Any]]
    code: str  # digest of the code that trained it


def train(trial: Trial, cohort: Cohort, checkpoint_dir: Path | None = None) -> Result:
    """Train and embed. Without validation in between: nothing is chosen by it."""
    settings, cohort = trial.settings, cohort.missing(trial.missing, trial.settings.seed)
    learned = cohort.seen(settings.frames, Split.TRAIN, with_report=True)
    texts = cohort.texts(list(settings.text.sections))
    patients = cohort.studies.set_index("study_key")["patient_key"][learned.study_keys].tolist()
    model, tokenizer = start(settings, [texts[key] for key in learned.study_keys], patients)
    history = loop.fit(Job(model, tokenizer, learned, texts, None, settings), checkpoint_dir, progress=False)
    parts = [cohort.seen(settings.frames, split, with_report=False) for split in trial.splits]
    keys = [key for part in parts for key in part.study_keys]
    image = [embed.embed_studies(model, part, settings.frames.crop_px, progress=False) for part in parts]
    text = embed.embed_texts(model, tokenizer, [texts.get(key) for key in keys])
    rows = json.loads(history.to_json(orient="records"))
    return Result(keys, np.concatenate(image), text, rows, checkpoint.code_digest())


def write(path: Path, result: Result) -> None:
    """Write a result, whole or not at all."""
    said = {"study_keys": result.study_keys, "history": result.history, "code": result.code}
    arrays = {"image": result.image, "text": result.text}
    project.write_bytes(path, save(arrays, metadata={"result": json.dumps(said)}))


def read(path: Path) -> Result:
    """Read what `write` wrote."""
    with safe_open(path, framework="np") as file:
        said = json.loads(file.metadata()["result"])
        return Result(image=file.get_tensor("image"), text=file.get_tensor("text"), **said)


def done(trial: Trial, cohort: Cohort, folder: Path) -> Result:
    """The trial's result: read where it is finished, otherwise trained, from its last checkpoint on, and kept."""
    path = trial.path(folder, cohort.digest)
    if not path.is_file():
        checkpoints = folder / "checkpoints" / path.stem
        write(path, train(trial, cohort, checkpoints))
        checkpoint.remove(checkpoints)
    return read(path)
