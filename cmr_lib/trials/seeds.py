"""How far does luck move the demo's numbers? The same training with other seeds, judged on the same test studies.

A seed decides the initial weights, the order of studies, the augmentation. Recall is in galleries of the demo's size;
probes are those of every experiment (evaluation.harness): fitted on train, penalty chosen on validation.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cmr_lib import params
from cmr_lib.evaluation import embeddings, harness, held_out
from cmr_lib.evaluation.harness import MINUS
from cmr_lib.evaluation.material import Settings
from cmr_lib.trials import judge, pool
from cmr_lib.trials.cohort import Cohort
from cmr_lib.trials.judge import Columns, Measure
from cmr_lib.trials.settings import Trials
from cmr_lib.trials.trial import Result, Trial
from cmr_lib.types import Split

NAME = "seeds"
WORKERS, THREADS = 1, 2  # as the demo is trained
AT = 10
MEAN = "mean of seeds"
SPLITS = tuple(Split(name) for name in held_out.NAMES)  # all; a trial asks at the door for each (Cohort.seen)


def trials_of(trials: Trials, base: Mapping[str, Any]) -> list[Trial]:
    """The demo's training with each further seed."""
    places = {"out_dir": "", "in_root": ""}
    settings = [params.check("pretrain", {**base, **places, "seed": seed}) for seed in trials.seeds.more]
    return [Trial(NAME, one, splits=SPLITS) for one in settings]


def of_the_demo(root: Path) -> Result:
    """The stage's own embeddings."""
    table = embeddings.read_embeddings(root / "pretrain" / "embeddings")
    return Result(table.studies["study_key"].tolist(), table.image, table.text, [], "")


def answers(result: Result, studies: pd.DataFrame, judged: pd.Index, settings: Settings) -> dict[str, Columns]:
    """One seed's columns by "target, stratum" for the judged studies."""
    table = studies.set_index("study_key").loc[result.study_keys].reset_index()
    rows, size = judge.places_of(result, judged), settings.ceiling.gallery_size
    image, text = (part.astype(float) for part in (result.image, result.text))
    found = {f"{name}, gallery of {size}": hits for name, hits in judge.recalls(image, text, rows, AT, size).items()}
    for target in asked(table):
        pairs = harness.answers(target, image, table["split"], settings.probe)
        found[f"{target.name}, {target.stratum}"] = pairs[rows]
    return found


def asked(studies: pd.DataFrame) -> list[harness.Target]:
    """Diagnosis (five classes, all), LVEF, late enhancement."""
    return [one for one in harness.targets(studies) if one.kind != "finding" or one.name == "lge"]


def measures(studies: pd.DataFrame, size: int) -> list[tuple[str, Measure]]:
    """What is judged, with its stratum."""
    gallery = f"gallery of {size}"
    mean = judge.measures(studies, AT, size)[:2]
    probed = [(one.stratum, Measure(one.name, one.metric, one.statistic, 2, one.chance)) for one in asked(studies)]
    return [*((gallery, measure) for measure in mean), *probed]


def compare(
    studies: pd.DataFrame, judged: pd.Index, found: Mapping[str, Mapping[str, Columns]], settings: Settings
) -> pd.DataFrame:
    """Every number of every seed, their mean (with the lowest and the highest), and each seed minus the first."""
    patients = studies.set_index("study_key")["patient_key"][judged].reset_index(drop=True)
    rows, (first, *others) = [], found
    for stratum, measure in measures(studies, settings.ceiling.gallery_size):
        name = f"{measure.target}, {stratum}"
        columns = {model: one[name] for model, one in found.items()}
        columns[MEAN] = np.concatenate(list(columns.values()), axis=1)
        for model, values in columns.items():
            rows.append(judge.number({"stratum": stratum, "model": model}, measure, values, patients, settings))
        for other in others:
            place = {"stratum": stratum, "model": f"{other}{MINUS}{first}"}
            rows.append(judge.difference(place, measure, (columns[other], columns[first]), patients, settings))
    return pd.DataFrame(rows).assign(experiment=NAME, data=harness.PHANTOM)[judge.COLUMNS]


def judged_studies(cohort: Cohort, result: Result) -> pd.Index:
    """Keys of the test studies that a result has, in its order."""
    rows = held_out.rows(cohort.studies["split"], "seeds: studies that are judged")
    test = set(cohort.studies["study_key"].iloc[rows])
    return pd.Index([key for key in result.study_keys if key in test])


def run(root: Path, settings: Settings, trials: Trials, folder: Path) -> pd.DataFrame:
    """Train what is not trained yet, judge all; a tidy table (judge.COLUMNS)."""
    cohort, base = Cohort.read(root), params.read_yaml("params/demo/pretrain.yaml")
    asked_for = trials_of(trials, base)
    results = [of_the_demo(root), *pool.run(asked_for, root, folder, WORKERS, THREADS)]
    names = [f"seed {base['seed']} (the demo)", *(f"seed {trial.settings.seed}" for trial in asked_for)]
    judged = judged_studies(cohort, results[0])
    found = {
        name: answers(result, cohort.studies, judged, settings) for name, result in zip(names, results, strict=True)
    }
    return compare(cohort.studies, judged, found, settings)
