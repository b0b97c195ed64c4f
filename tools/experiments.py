"""Run one experiment on the demo's outputs: `python -m tools.experiments baselines`; `make experiments` runs all.

Writes experiments/<name>/results.csv (tidy: harness.COLUMNS) and metrics.json, both committed. Experiments are a DVC
project of their own (experiments/dvc.yaml, experiments/dvc.lock), so that the demo's `dvc repro` and `dvc status` know
nothing of them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from cmr_lib import params, project
from cmr_lib.evaluation import baselines, ceiling, controls
from cmr_lib.evaluation.material import Material, Settings
from cmr_lib.trials import shuffled

FOLDER = Path("experiments")
EXPERIMENTS = {module.NAME: module for module in (baselines, controls, ceiling, shuffled)}
ESTIMATE = ["value", "low", "high", "n", "n_patients", "chance"]


def settings(folder: Path = FOLDER) -> Settings:
    """experiments/params.yaml, checked."""
    return Settings(**params.read_yaml(folder / "params.yaml"))


def metrics(results: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The table as {target.stratum.model.metric: estimate}."""
    names = results[["target", "stratum", "model", "metric"]].agg(".".join, axis=1)
    rows = json.loads(results[ESTIMATE].round(6).to_json(orient="records"))
    return {
        name: {key: value for key, value in row.items() if value is not None}
        for name, row in zip(names, rows, strict=True)
    }


def run(name: str, root: Path | str = "outputs/demo", folder: Path = FOLDER) -> pd.DataFrame:
    """Run one experiment and write its results; returns the table. Raises KeyError for an unknown name."""
    results = EXPERIMENTS[name].run(Material.read(root), settings(folder))
    project.write_table(folder / name / "results.csv", results.round(6))
    project.write_json(folder / name / "metrics.json", metrics(results))
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
