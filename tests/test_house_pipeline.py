"""dvc.yaml keeps its promises: one stage a notebook, right dependencies, copies that never feed back."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cmr_lib import params

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = PIPELINE["stages"]


def outputs(stage: dict) -> dict[str, dict]:
    """Path → settings of every output and metric."""
    found = {}
    for item in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
        found |= item if isinstance(item, dict) else {item: {}}
    return found


def test_stages_are_those_of_the_schema_in_order():
    assert list(STAGES) == list(params.STAGES)
    assert PIPELINE["vars"] == ["profile.yaml"]


@pytest.mark.parametrize("name", STAGES)
def test_stage_runs_its_own_notebook_with_its_own_parameters(name):
    stage = STAGES[name]
    number = list(STAGES).index(name) + 1
    notebook = f"{number:02d}_{name}.ipynb"
    copy = f"outputs/${{profile}}/{name}/{notebook}"
    assert stage["cmd"].startswith(
        f"python -m cmr_lib.run notebooks/{notebook} {copy} -f params/${{profile}}/{name}.yaml"
    )
    assert (ROOT / "notebooks" / notebook).is_file()
    assert outputs(stage)[copy] == {"cache": False}
    assert {f"params/${{profile}}/{name}.yaml": None} in stage["params"]
    assert stage["desc"]


@pytest.mark.parametrize("name", STAGES)
def test_stage_writes_only_to_its_own_folder(name):
    places = (
        f"outputs/${{profile}}/{name}/",
        "data/${profile}/" if name == "simulate" else f"outputs/${{profile}}/{name}/",
    )
    for path in outputs(STAGES[name]):
        assert path.startswith(places)


def test_executed_copies_are_never_dependencies():
    copies = {path for stage in STAGES.values() for path in outputs(stage) if path.endswith(".ipynb")}
    assert not copies & {dep for stage in STAGES.values() for dep in stage["deps"]}


def test_every_dependency_on_a_result_is_made_by_an_earlier_stage():
    made: set[str] = set()
    for name, stage in STAGES.items():
        results = {dep for dep in stage["deps"] if dep.startswith(("outputs/", "data/"))}
        assert results <= made, f"{name}: {sorted(results - made)}"
        made |= set(outputs(stage))


@pytest.mark.parametrize("name", STAGES)
def test_stage_depends_on_exactly_the_library_that_its_notebook_reaches(name, monkeypatch):
    from tools import stage_deps

    monkeypatch.chdir(ROOT)
    assert list(STAGES[name]["deps"]) == stage_deps.wanted(STAGES[name]), "run `python -m tools.stage_deps --fix`"


# --- experiments: a pipeline of their own ------------------------------------------------------------------------
EXPERIMENTS = YAML(typ="safe", pure=True).load((ROOT / "experiments" / "dvc.yaml").read_text(encoding="utf-8"))[
    "stages"
]


def test_every_experiment_is_a_stage_that_depends_on_what_it_runs(monkeypatch):
    from tools import experiments, stage_deps

    monkeypatch.chdir(ROOT)
    assert list(EXPERIMENTS) == list(experiments.EXPERIMENTS)
    for name, stage in EXPERIMENTS.items():
        assert stage["cmd"] == f"cd .. && python -m tools.experiments {name}"
        assert list(stage["deps"]) == stage_deps.wanted_of_experiment(name, stage), "`python -m tools.stage_deps --fix`"
        assert stage["desc"]
        page = ["table.md"] if hasattr(experiments.EXPERIMENTS[name], "page") else []
        files = ["results.csv", *page, "metrics.json"]
        assert outputs(stage) == {f"{name}/{file}": {"cache": False} for file in files}


def test_experiments_read_results_of_the_demo_that_stages_make():
    made = {path.replace("${profile}", "demo") for stage in STAGES.values() for path in outputs(stage)}
    for stage in EXPERIMENTS.values():
        results = {dep.removeprefix("../") for dep in stage["deps"] if dep.startswith("../outputs/")}
        assert results
        assert results <= made


def test_the_demo_knows_nothing_of_experiments():
    assert (ROOT / "experiments" / ".dvc" / "config").is_file()  # a DVC project of its own
    assert "experiments" not in (ROOT / "dvc.yaml").read_text(encoding="utf-8")
