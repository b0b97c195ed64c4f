"""Would a model that learned from shuffled pairs draw the same maps? The second control of Adebayo et al. 2018.

Every training and validation study is given the report of another patient, and the model of the demo is trained on such
pairs by notebook 03, as the demo is, for EPOCHS epochs (longer teaches it nothing more: there is nothing to learn but
who was dealt what). Its maps are held against the phantom's anatomy beside the trained model's, on the same test
studies. An untrained model (notebook 07) lacks all learning; this one lacks only the meaning.
"""

import subprocess
import sys
import tempfile
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
from cmr_lib.types import Split

NAME = "shuffled"
PROFILE = "demo"  # whose hospital, studies and training
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


def train(material: Material, seed: int, folder: Path) -> CMRformer:
    """The demo's model, trained by notebook 03 on shuffled pairs in `folder`. Raises CalledProcessError."""
    source, place = (material.root / "preprocess").resolve(), folder / "preprocess"
    place.mkdir(parents=True)
    for name in LINKED:
        (place / name).symlink_to(source / name)
    reports = pd.read_parquet(source / "reports.parquet")
    project.write_table(place / "reports.parquet", dealt(reports, pd.read_parquet(source / "studies.parquet"), seed))
    settings = (f"out_dir={folder / 'pretrain'}", f"in_root={folder}", f"optim.epochs={EPOCHS}")
    words = [sys.executable, "-m", "cmr_lib.run", "notebooks/03_pretrain.ipynb", str(folder / "03.ipynb")]
    words += ["-f", f"params/{PROFILE}/pretrain.yaml", *(part for one in settings for part in ("-s", one))]
    subprocess.run(words, check=True)
    return pretrained.from_pretrained(folder / "pretrain" / "model")[0]


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
    pairs, parts = {method: f"{NAME} {method}" for method in rollout.METHODS}, []
    for measure in localise.MEASURES:
        rows = paired.estimates(table, ["region", "map"], measure, **how)
        parts.append(rows.assign(metric=measure, chance=against.chance_of(table, rows)))
        for region, part in table.groupby("region", sort=False):
            better = paired.differences(part, "map", pairs, measure, **how)
            better["map"] = better["map"] + harness.MINUS + NAME
            parts.append(better.assign(region=region, metric=measure, chance=0.0))
    found = pd.concat(parts, ignore_index=True).rename(columns={"region": "target", "map": "model"})
    return found.assign(experiment=NAME, stratum="all", data=harness.PHANTOM)[harness.COLUMNS]


def run(material: Material, settings: Settings) -> pd.DataFrame:
    """Train on shuffled pairs, then judge. What is trained is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        return judged(material, settings, train(material, settings.seed, Path(folder)))
