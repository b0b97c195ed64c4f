"""Would a model that learned from shuffled pairs draw the same maps? The second control of Adebayo et al. 2018.

Every training and validation study is given the report of another patient, and the model of the demo is trained on such
pairs by notebook 03, as the demo is, for EPOCHS epochs (longer teaches it nothing more: there is nothing to learn but
who was dealt what). Its maps are held against the phantom's anatomy beside the trained model's, on the same test
studies. An untrained model (notebook 07) lacks all learning; this one lacks only the meaning.

The finished training is kept in `KEPT`, under a hash of all that decides it, and is not done again; one that was
interrupted goes on from the notebook's last checkpoint.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from cmr_lib import params, project
from cmr_lib.clips import dataset
from cmr_lib.evaluation import embeddings, harness, held_out, lge_shuffle, paired
from cmr_lib.evaluation.material import Material, Settings
from cmr_lib.explain import against, anatomy, localise, looking, rollout
from cmr_lib.models import pretrained
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.training import checkpoint
from cmr_lib.trials.cohort import Cohort
from cmr_lib.trials.trial import Trial
from cmr_lib.types import Split

NAME = "shuffled"
PROFILE = "demo"  # whose hospital, studies and training
KEPT = Path("experiments/.resume/shuffled")  # ignored by git
NOTEBOOK = Path("notebooks/03_pretrain.ipynb")
EPOCHS = 12  # of the demo's 30: within four minutes on two cores
STUDIES = 48  # test studies, as notebook 07
LINKED = ("store", "studies.parquet", "cohort.json")  # of the stage preprocess, as they are


def dealt(reports: pd.DataFrame, studies: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The reports of training and validation, each under the key of another patient's study of the same split.

    Reports of test studies stay. Raises ValueError where one patient has more than half of a split's reports.
    """
    whose = studies.set_index("study_key").reindex(reports["study_key"])
    giver = np.arange(len(reports))
    for split in (Split.TRAIN, Split.VALIDATION):
        rows = held_out.rows_of(split, whose["split"], "shuffled: reports that are dealt")
        draw = project.seed_for(seed, "shuffled pairs", split.value)
        giver[rows] = rows[lge_shuffle.derangement(whose["patient_key"].iloc[rows].tolist(), draw)]
    given = reports.iloc[giver].assign(study_key=reports["study_key"].to_numpy())
    return given.set_axis(reports.index)


def train(material: Material, seed: int) -> CMRformer:
    """The demo's model, trained by notebook 03 on shuffled pairs, or read where that has been done.

    Raises CalledProcessError where the notebook fails; the next call goes on from its last checkpoint.
    """
    cohort, base = Cohort.read(material.root), params.read_yaml(f"params/{PROFILE}/pretrain.yaml")
    source = (material.root / "preprocess").resolve()
    reports = dealt(pd.read_parquet(source / "reports.parquet"), cohort.studies, seed)
    settings = params.check("pretrain", params.merge(base, {"optim": {"epochs": EPOCHS}, "out_dir": "", "in_root": ""}))
    facts = [cohort.digest, reports.to_csv(index=False), project.sha256_file(NOTEBOOK), checkpoint.code_digest()]
    data = hashlib.sha256("\0".join(facts).encode()).hexdigest()
    folder = Trial(NAME, settings).path(KEPT, data).with_suffix("")
    if not (folder / NOTEBOOK.name).is_file():  # the runner's last deed
        _prepare(folder / "preprocess", source, reports)
        places = (f"out_dir={folder / 'pretrain'}", f"in_root={folder}", f"optim.epochs={EPOCHS}")
        words = [sys.executable, "-m", "cmr_lib.run", str(NOTEBOOK), str(folder / NOTEBOOK.name)]
        words += ["-f", f"params/{PROFILE}/pretrain.yaml", *(part for one in places for part in ("-s", one))]
        subprocess.run(words, check=True)
    return pretrained.from_pretrained(folder / "pretrain" / "model")[0]


def _prepare(place: Path, source: Path, reports: pd.DataFrame) -> None:
    """The stage preprocess with other reports; what a call before left there is replaced."""
    place.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        (place / name).unlink(missing_ok=True)
        (place / name).symlink_to(source / name)
    project.write_table(place / "reports.parquet", reports)


def judged(material: Material, settings: Settings, shuffled: CMRformer) -> pd.DataFrame:
    """Scores of both models' maps and their differences, in the columns of `harness`."""
    hospital = params.read_yaml(f"params/{PROFILE}/simulate.yaml")
    truth = params.check("simulate", hospital | {"out_dir": "", "data_dir": f"data/{PROFILE}"})
    visits, clips = anatomy.visits(truth, truth.data_dir), material.clips
    test = material.studies.iloc[material.rows(Split.TEST)]
    keys = dataset.with_any_image(clips, test["study_key"].tolist(), material.plan)[:STUDIES]
    size = int(clips.frames(0).shape[-1])
    masks = [anatomy.masks(truth, visits[key], clips.of_study(key), material.plan, size) for key in keys]
    regions = {name: np.stack([mask[name] for mask in masks]) for name in anatomy.REGIONS}
    written = embeddings.read_embeddings(material.root / "pretrain" / "embeddings")
    target = looking.Targets(written.studies["study_key"].tolist(), written.text).of(keys)
    trained, _ = pretrained.from_pretrained(material.root / "pretrain" / "model")
    table = against.localisation(trained, [shuffled], clips, keys, material.plan, target, regions)
    table["map"] = table["map"].str.replace("untrained", NAME)
    owners = test.set_index("study_key")["patient_key"].loc[keys].tolist()
    return _tidy(table, {"patients": owners, "samples": settings.bootstrap, "seed": settings.seed})


def _tidy(table: pd.DataFrame, how: dict) -> pd.DataFrame:
    found = paired.every_estimate(table, ["region", "map"], localise.MEASURES, **how)
    found["chance"] = against.chance_of(table, found)
    rivals = {NAME: {method: f"{NAME} {method}" for method in rollout.METHODS}}
    better = paired.every_difference(table, "region", "map", rivals, localise.MEASURES, **how)
    better = better.assign(map=better["map"] + harness.MINUS + NAME, chance=0.0)
    both = pd.concat([found, better], ignore_index=True)
    both = both.rename(columns={"region": "target", "map": "model", "measure": "metric"})
    return both.assign(experiment=NAME, stratum="all", data=harness.PHANTOM)[harness.COLUMNS]


def run(material: Material, settings: Settings) -> pd.DataFrame:
    """Train on shuffled pairs what is not trained yet, then judge."""
    return judged(material, settings, train(material, settings.seed))
