"""Run one experiment on the demo's outputs: `python -m tools.experiments baselines`; `make experiments` runs all.

Writes experiments/<name>/results.csv (tidy: harness.COLUMNS) and metrics.json, both committed. Experiments are a DVC
project of their own (experiments/dvc.yaml, experiments/dvc.lock), so that the demo's `dvc repro` and `dvc status` know
nothing of them. Those that train keep every finished training in experiments/.resume/ (ignored by git and DVC) and
go on from there after an interruption.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from cmr_lib import params, project
from cmr_lib.evaluation import baselines, ceiling, controls, guards, lge_shuffle, negation
from cmr_lib.evaluation.material import Material, Settings
from cmr_lib.trials import ablations, bodies, seeds, shuffled, supervised
from cmr_lib.trials.settings import Trials

FOLDER = Path("experiments")
# what the demo's training left, and what trains again
READING = {
    module.NAME: module
    for module in (baselines, lge_shuffle, ceiling, controls, guards, negation, supervised, shuffled)
}
TRAINING = {module.NAME: module for module in (seeds, ablations, bodies)}
EXPERIMENTS = READING | TRAINING
ESTIMATE = ["value", "low", "high", "n", "n_patients", "chance", "lowest_seed", "highest_seed"]


def settings(folder: Path = FOLDER) -> Settings:
    """experiments/params.yaml without what is of trainings, checked."""
    values = params.read_yaml(folder / "params.yaml")
    return Settings(**{name: value for name, value in values.items() if name not in Trials.model_fields})


def trials(folder: Path = FOLDER) -> Trials:
    """What experiments/params.yaml says of trainings, checked."""
    values = params.read_yaml(folder / "params.yaml")
    return Trials(**{name: value for name, value in values.items() if name in Trials.model_fields})


def metrics(results: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The table as {target.stratum.model.metric: estimate}."""
    names = results[["target", "stratum", "model", "metric"]].agg(".".join, axis=1)
    known = [name for name in ESTIMATE if name in results.columns]
    rows = json.loads(results[known].round(6).to_json(orient="records"))
    return {
        name: {key: value for key, value in row.items() if value is not None}
        for name, row in zip(names, rows, strict=True)
    }


def run(name: str, root: Path | str = "outputs/demo", folder: Path = FOLDER) -> pd.DataFrame:
    """Run one experiment and write its results; returns the table. Raises KeyError for an unknown name."""
    if name in TRAINING:
        results = TRAINING[name].run(Path(root), settings(folder), trials(folder), folder / ".resume" / name)
    else:
        results = EXPERIMENTS[name].run(Material.read(root, reader=name), settings(folder))
    project.write_table(folder / name / "results.csv", results.round(6))
    project.write_json(folder / name / "metrics.json", metrics(results))
    if hasattr(EXPERIMENTS[name], "page"):
        project.write_text(folder / name / "table.md", EXPERIMENTS[name].page(results, trials(folder)))
    return results


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=sorted(EXPERIMENTS))
    parser.add_argument("--root", default="outputs/demo", help="what the demo's stages left")
    options = parser.parse_args(arguments)
    project.chdir_root()
    print(run(options.experiment, options.root).drop(columns=["experiment", "data"]).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
