"""Each stage depends on the library modules that its notebook reaches: `python -m tools.stage_deps [--fix]`.

A stage that lists too little is not run again when its code changes; one that lists the whole library is run again for
every docstring. So the list in dvc.yaml is the import closure of the notebook, computed by grimp, and a test compares.
An experiment (experiments/dvc.yaml) depends in the same way on what tools/experiments.py runs under its name.
"""

import argparse
import ast
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import nbformat
from ruamel.yaml import YAML

from tools.experiments import EXPERIMENTS

PACKAGE = "cmr_lib"


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE)


def imported_modules(source: str) -> set[str]:
    """Names of cmr_lib modules that a piece of code imports."""
    known, found = _graph().modules, set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names if node.module in known}
    return found - {PACKAGE}


def module_file(name: str) -> str:
    """Repository path of a module."""
    path = Path(*name.split("."))
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).as_posix()


def closure(seeds: set[str]) -> list[str]:
    """Repository paths of these modules and all that they import, with the packages that hold them, sorted."""
    reached = seeds.union(*(_graph().find_upstream_modules(seed) for seed in seeds))
    parents = {name.rsplit(".", depth)[0] for name in reached for depth in range(1, name.count(".") + 1)}
    return sorted(module_file(name) for name in reached | parents | {PACKAGE})


def notebook_modules(notebook: Path) -> set[str]:
    """Library modules that a notebook imports; no notebook imports the runner, which computes nothing of a stage."""
    nb = nbformat.read(notebook, as_version=4)
    code = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    return set().union(*(imported_modules(source) for source in code))


def wanted(stage: dict[str, Any]) -> list[str]:
    """The stage's deps as they should be: notebook, modules, then whatever is not of the library, as it stands."""
    notebook = next(dep for dep in stage["deps"] if str(dep).endswith(".ipynb"))
    others = [dep for dep in stage["deps"] if not str(dep).startswith(f"{PACKAGE}/") and dep != notebook]
    return [notebook, *closure(notebook_modules(Path(notebook))), *others]


def wanted_of_experiment(name: str, stage: dict[str, Any]) -> list[str]:
    """The same for an experiment, whose paths start one folder below the repository."""
    others = [dep for dep in stage["deps"] if not str(dep).startswith(f"../{PACKAGE}/")]
    return [*(f"../{file}" for file in closure({EXPERIMENTS[name].__name__})), *others]


def _correct(file: Path, right: Callable[[str, dict[str, Any]], list[str]], fix: bool) -> list[str]:
    """Names of a pipeline's stages whose deps are wrong; rewrites the file when asked to."""
    yaml = YAML()
    yaml.width = 160
    yaml.indent(mapping=2, sequence=4, offset=2)
    pipeline = yaml.load(file)
    wrong = [name for name, stage in pipeline["stages"].items() if list(stage["deps"]) != right(name, stage)]
    for name in wrong if fix else []:
        pipeline["stages"][name]["deps"] = right(name, pipeline["stages"][name])
    if fix and wrong:
        yaml.dump(pipeline, file)
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Compare (exit 1 on a difference) or rewrite dvc.yaml and experiments/dvc.yaml."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fix", action="store_true", help="rewrite the deps")
    fix = parser.parse_args(arguments).fix
    wrong = _correct(Path("dvc.yaml"), lambda _, stage: wanted(stage), fix)
    wrong += _correct(Path("experiments/dvc.yaml"), wanted_of_experiment, fix)
    print(f"{'Fixed' if fix else 'Differ from the import closure'}: {', '.join(wrong)}" if wrong else "Deps are right.")
    return 1 if wrong and not fix else 0


if __name__ == "__main__":
    sys.exit(main())
