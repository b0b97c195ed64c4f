"""One set of pins: environment.yml, pyproject.toml and requirements.lock tell the same story."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def read(name: str):
    return YAML(typ="safe", pure=True).load((ROOT / name).read_text(encoding="utf-8"))


def entries() -> list[str]:
    """The logical lines of the lock: continuation lines joined, comments left out."""
    lines = [line for line in LOCK.replace("\\\n", " ").splitlines() if line.strip()]
    return [line for line in lines if not line.lstrip().startswith("#")]


def locked() -> dict[str, Version]:
    """Versions that this Python and platform get."""
    requirements = [Requirement(entry.partition("--hash")[0]) for entry in entries()]
    here = [item for item in requirements if item.marker is None or item.marker.evaluate()]
    return {item.name: Version(str(item.specifier).removeprefix("==")) for item in here}


def test_conda_environment_has_the_python_of_the_project():
    dependencies = read("environment.yml")["dependencies"]
    python = next(line for line in dependencies if isinstance(line, str) and line.startswith("python"))
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])


def test_conda_environment_takes_its_versions_from_the_lock_only():
    dependencies = read("environment.yml")["dependencies"]
    assert "pip" in dependencies
    assert next(item["pip"] for item in dependencies if isinstance(item, dict)) == [
        "--require-hashes",
        "-r requirements.lock",
    ]


def test_every_entry_of_the_lock_is_pinned_and_hashed():
    assert len(entries()) > 100
    for entry in entries():
        assert re.match(r"^[a-z0-9.-]+==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_lock_names_no_index_and_no_address():
    for entry in entries():
        assert "://" not in entry, entry[:80]
        assert not entry.startswith("-"), entry[:80]


@pytest.mark.parametrize(
    "line", PROJECT["dependencies"] + [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
)
def test_lock_satisfies_each_range_of_the_project(line):
    requirement = Requirement(line)
    version = locked().get(canonicalize_name(requirement.name))
    assert version is not None, "run `make lock`"
    assert version in requirement.specifier, "run `make lock`"


def test_torch_and_torchvision_are_of_one_release():
    """The oracle is torchvision's own wheel, which names the one torch that it was built for."""
    torch, vision = locked()["torch"], locked()["torchvision"]
    from importlib.metadata import requires

    wanted = next(Requirement(line) for line in requires("torchvision") or [] if Requirement(line).name == "torch")
    assert torch in wanted.specifier
    assert torch.local is None, "PyPI wheels only: a CPU build beside PyPI's torchvision cannot be imported"
    assert vision.local is None


@pytest.mark.parametrize(
    ("name", "floor"), [("pydicom", "3.0.2"), ("torch", "2.10"), ("transformers", "5.3"), ("jupyter-server", "2.14")]
)
def test_pins_are_not_below_known_advisories(name, floor):
    assert locked()[name] >= Version(floor)


def test_installed_packages_are_the_locked_ones():
    from importlib.metadata import version

    for name in ("torch", "torchvision", "transformers", "pydicom", "dvc", "papermill", "jupyterlab", "numpy"):
        assert Version(version(name)).public == str(locked()[name]), f"{name}: run `make env`"


def test_citation_names_this_version_and_the_papers():
    citation = read("CITATION.cff")
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert f"## [{PROJECT['version']}] - {citation['date-released']}" in (ROOT / "CHANGELOG.md").read_text()
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert "2304.07675" in text
    assert "10.1038/s41467-026-73022-2" in text
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()


def test_hooks_before_a_commit_fetch_nothing():
    repos = read(".pre-commit-config.yaml")["repos"]
    assert {repo["repo"] for repo in repos} == {"local"}
    assert {hook["language"] for repo in repos for hook in repo["hooks"]} == {"system"}


def test_nothing_reports_home():
    config = (ROOT / ".dvc" / "config").read_text()
    assert "analytics = false" in config
    assert "export DVC_NO_ANALYTICS := 1" in (ROOT / "Makefile").read_text()
