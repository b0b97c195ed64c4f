"""What do labels teach the same tower? Diagnosis and LVEF learned from the images, without any report.

Each row of `supervised.rows` (experiments/params.yaml) trains an image tower with one linear head: `scratch` the demo's
own architecture from new weights, `fine_tuned` the same from the demo's weights, and a name of `video.name` (r3d_18, …)
that body from new weights (trials.teaching says how). Nothing is chosen: the last epoch is judged, on the test
split, beside the linear probe on the demo's frozen embeddings, and every difference is paired.

A finished row is kept in `KEPT`, under a hash of all that decides it, and is not trained again; an interruption costs
the row under way.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from cmr_lib import labels, project
from cmr_lib.clips import dataset
from cmr_lib.evaluation import harness, statistics
from cmr_lib.evaluation.harness import MINUS, Target
from cmr_lib.evaluation.material import Material, Settings, SupervisedRow
from cmr_lib.evaluation.probes import apply_probe
from cmr_lib.trials import teaching
from cmr_lib.trials.teaching import SCRATCH, TUNED, Answers
from cmr_lib.types import Split

NAME = "supervised"
PROBE = "linear_probe"
KEPT = Path("experiments/.resume/supervised")  # ignored by git
CODE = ("models/*.py", "clips/dataset.py", "clips/augment.py", "trials/supervised.py", "trials/teaching.py")


def subset(patients: pd.Series, rows: Int[np.ndarray, " rows"], most: int | None, seed: int) -> Int[np.ndarray, " _"]:
    """At most so many of the rows, whole patients in a random order; None: all."""
    if most is None or most >= len(rows):
        return rows
    owners = patients.iloc[rows].astype(str).to_numpy()
    names, code, counts = np.unique(owners, return_inverse=True, return_counts=True)
    order = project.rng(seed, "subset").permutation(len(names))
    taken = order[np.cumsum(counts[order]) <= most]
    return rows[np.isin(code, taken)]


def learned(row: SupervisedRow, material: Material, classes: list[str], settings: Settings) -> Answers:
    """A row's answers for the test studies (all others NaN), read from `KEPT` or trained and kept."""
    how, seed = settings.supervised, settings.seed
    path = KEPT / f"{row.name}-{_digest(row, material, settings)}.npy"
    if path.is_file():
        return np.load(path, allow_pickle=False)
    studies, plan = material.studies, material.plan
    rows = subset(studies["patient_key"], material.rows(Split.TRAIN), row.studies, seed)
    rows = rows[studies["diagnosis"].iloc[rows].isin(classes).to_numpy()]
    keys = studies["study_key"]
    shown = dataset.StudyDataset(material.clips, keys.iloc[rows].tolist(), plan)
    model = teaching.classifier(row, material.root / "pretrain" / "model", len(classes), seed)
    diagnosis, lvef = studies["diagnosis"].iloc[rows], studies["lvef"].iloc[rows].to_numpy(dtype=float)
    taught, scale = teaching.lesson(shown, diagnosis, lvef, classes)
    teaching.train(model, taught, row, how, seed)
    test = subset(studies["patient_key"], material.rows(Split.TEST), row.answered, seed)
    found = np.full((len(studies), len(classes) + 1), np.nan)
    asked = dataset.StudyDataset(material.clips, keys.iloc[test].tolist(), plan)
    found[test] = teaching.answer(model, asked, scale)
    project.write_array(path, found)
    return found


def _digest(row: SupervisedRow, material: Material, settings: Settings) -> str:
    """Of all that decides a row: settings, code, and the demo's embeddings, which follow from its model and clips."""
    facts = [row.model_dump_json(), settings.supervised.model_dump_json(exclude={"rows"}), str(settings.seed)]
    facts.append(project.sha256_file(material.root / "pretrain" / "embeddings" / "image.npy"))
    code = project.code_digest(CODE, torch.__version__)
    return hashlib.sha256("\0".join([*facts, code]).encode()).hexdigest()[:16]


# --- the table ---------------------------------------------------------------------------------------------------
def compare(
    studies: pd.DataFrame, everyone: dict[str, Answers], against: str, classes: list[str], settings: Settings
) -> pd.DataFrame:
    """Everyone's balanced accuracy, macro-AUROC and LVEF error; then the paired differences to one of them."""
    target = harness.diagnosis_target(studies, "all classes", classes)
    lvef, rows = studies["lvef"].to_numpy(dtype=float), []

    def columns(task: str, said: Answers) -> np.ndarray:
        if task == "lvef_percent":
            return np.stack([lvef, said[:, -1]], axis=1)
        unknown = ~np.isfinite(said).all(axis=1)
        if task == "balanced_accuracy":
            guess = np.where(unknown, np.nan, np.nan_to_num(said[:, :-1]).argmax(axis=1))
            return np.stack([target.true, guess], axis=1)
        pairs = [((target.true == code).astype(float), said[:, code]) for code in range(len(classes))]
        return np.concatenate([np.stack(pair, axis=1) for pair in pairs], axis=1)

    for task, metric, statistic, chance in _asked(target, studies):
        place = {"target": "lvef_percent" if task == "lvef_percent" else "diagnosis", "metric": metric}
        place |= {"stratum": "all" if task == "lvef_percent" else "all classes", "chance": chance}
        found = {name: columns(task, said) for name, said in everyone.items()}
        patients = studies["patient_key"]
        rows += [
            harness.row({**place, "model": name}, one, patients, statistic, settings) for name, one in found.items()
        ]
        pairs = [(name, against) for name in everyone if name != against]
        pairs += [(TUNED, SCRATCH)] * ({TUNED, SCRATCH} <= set(everyone) - {against})
        for one, other in pairs:
            where = {**place, "model": f"{one}{MINUS}{other}"}
            rows.append(harness.difference_row(where, found[one], found[other], patients, statistic, settings))
    return harness.table(NAME, rows)


def _asked(target: Target, studies: pd.DataFrame) -> list[tuple[str, str, statistics.Statistic, float]]:
    """What is judged: task, metric, statistic, and what needs no input."""
    constant = next(one.chance for one in harness.targets(studies) if one.name == "lvef_percent")
    return [
        ("balanced_accuracy", "balanced_accuracy", statistics.balanced_accuracy, target.chance),
        ("macro_auroc", "macro_auroc", harness.mean_auroc, 0.5),
        ("lvef_percent", "mean_absolute_error", statistics.mean_absolute_error, constant),
    ]


def probed(material: Material, classes: list[str], settings: Settings) -> Answers:
    """The same answers by linear probes on the demo's frozen embeddings, for the test studies."""
    studies, image, test = material.studies, material.image, material.rows(Split.TEST)
    train, validation = (material.rows(split) for split in (Split.TRAIN, Split.VALIDATION))
    fitted = []
    for target in harness.targets(studies)[1:3]:  # all classes, LVEF
        known = np.isfinite(target.true)
        fitted.append(harness.fit(target, image, train[known[train]], validation[known[validation]], settings.probe))
    found = np.full((len(studies), len(classes) + 1), np.nan)
    found[test, :-1] = 0.0
    found[np.ix_(test, [classes.index(name) for name in fitted[0].outputs])] = apply_probe(image[test], fitted[0])
    found[test, -1] = apply_probe(image[test], fitted[1])[:, 0]
    return found


def run(material: Material, settings: Settings) -> pd.DataFrame:
    """The experiment: a tidy table (harness.COLUMNS). Raises ValueError where params.yaml has no `supervised`."""
    if settings.supervised is None:
        raise ValueError("experiments/params.yaml has no supervised: say which towers are trained, and how long.")
    seen = set(material.studies["diagnosis"].iloc[material.rows(Split.TRAIN)])
    classes = [code.value for code in labels.Diagnosis if code.value in seen]
    answers = {row.name: learned(row, material, classes, settings) for row in settings.supervised.rows}
    everyone = {**answers, PROBE: probed(material, classes, settings)}
    return compare(material.studies, everyone, PROBE, classes, settings)
