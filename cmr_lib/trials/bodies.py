"""What do other image towers learn from the same labels and the same studies?

The demo's tower and bodies of torchvision, from new weights, learn diagnosis and LVEF from images (trials.teaching),
without any report. A laptop cannot give them many studies: `bodies.rows` (experiments/params.yaml) says how many, how
long, and of how many test studies each is asked. Nothing is chosen: the last epoch is judged. Differences to the
demo's tower are paired, over the studies that both were asked of. Nothing here reads what the demo's training left.

A finished row is kept below `folder`, under a hash of all that decides it, and is not trained again.
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cmr_lib import labels, params, project
from cmr_lib.clips import dataset
from cmr_lib.evaluation.material import Settings, Supervised, SupervisedRow
from cmr_lib.models.cmrformer import CMRformerConfig
from cmr_lib.models.towers import image_tower
from cmr_lib.trials import supervised, teaching
from cmr_lib.trials.cohort import Cohort
from cmr_lib.trials.settings import Trials
from cmr_lib.trials.teaching import SCRATCH, Answers, Classifier
from cmr_lib.types import Split

NAME = "bodies"
CODE = (*supervised.CODE, "trials/bodies.py")


@dataclasses.dataclass(frozen=True)
class Seen:
    """Studies with an image that the demo's tower reads."""

    train: dataset.StudyDataset
    test: dataset.StudyDataset


def classifier(row: SupervisedRow, demo: params.Pretrain, classes: int, seed: int) -> Classifier:
    """A row's model before its first step: the demo's tower (`scratch`) or the body of that name, with new weights."""
    changed = {} if row.name == SCRATCH else {"name": row.name, "film": row.film and tuple(row.film)}
    config = dataclasses.replace(CMRformerConfig.of(demo, {}).video, **changed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(project.seed_for(seed, "tower", row.name))
        tower = image_tower(config)
    return teaching.headed(tower, row.name, classes, seed)


def part(
    cohort: Cohort, shown: dataset.StudyDataset, classes: list[str], most: int | None, seed: int
) -> dataset.StudyDataset:
    """At most so many of the studies shown that have one of the classes, whole patients; None: all."""
    table = cohort.studies.set_index("study_key").loc[shown.study_keys]
    known = np.flatnonzero(table["diagnosis"].isin(classes))
    rows = supervised.subset(table["patient_key"], known, most, seed)
    return dataset.StudyDataset(cohort.store, [shown.study_keys[row] for row in rows], shown.plan)


def learned(
    row: SupervisedRow,
    seen: Seen,
    cohort: Cohort,
    demo: params.Pretrain,
    how: Supervised,
    classes: list[str],
    seed: int,
) -> Answers:
    """A row's answers for the test studies it is asked of; NaN for all others."""
    table = cohort.studies.set_index("study_key")
    shown = part(cohort, seen.train, classes, row.studies, seed)
    asked = part(cohort, seen.test, classes, row.answered, seed)
    mine = table.loc[shown.study_keys]
    taught, scale = teaching.lesson(shown, mine["diagnosis"], mine["lvef"].to_numpy(dtype=float), classes)
    model = classifier(row, demo, len(classes), seed)
    teaching.train(model, taught, row, how, seed)
    found = np.full((len(table), len(classes) + 1), np.nan)
    found[table.index.get_indexer(asked.study_keys)] = teaching.answer(model, asked, scale)
    return found


def run(root: Path, draws: Settings, trials: Trials, folder: Path) -> pd.DataFrame:
    """Train what is not trained yet, judge all; a tidy table (harness.COLUMNS). Raises ValueError without `bodies`."""
    if trials.bodies is None:
        raise ValueError("experiments/params.yaml has no bodies: say which towers are trained, and how long.")
    how, cohort, seed = trials.bodies, Cohort.read(root), draws.seed
    values = params.read_yaml("params/demo/pretrain.yaml") | {"out_dir": "", "in_root": ""}
    demo = params.check("pretrain", values)
    seen = Seen(
        cohort.seen(demo.frames, Split.TRAIN, with_report=False),
        cohort.seen(demo.frames, Split.TEST, with_report=False),
    )
    there = set(cohort.studies.set_index("study_key").loc[seen.train.study_keys, "diagnosis"])
    classes = [code.value for code in labels.Diagnosis if code.value in there]
    same = [cohort.digest, demo.model_dump_json(), how.model_dump_json(exclude={"rows"}), str(seed)]
    same.append(project.code_digest(CODE, torch.__version__))
    answers = {}
    for row in how.rows:
        name = hashlib.sha256("\0".join([*same, row.model_dump_json()]).encode()).hexdigest()[:16]
        path = folder / f"{row.name}-{name}.npy"
        if not path.is_file():
            project.write_array(path, learned(row, seen, cohort, demo, how, classes, seed))
        answers[row.name] = np.load(path, allow_pickle=False)
    found = supervised.compare(cohort.studies, answers, SCRATCH, classes, draws)
    return found.assign(experiment=NAME)
