"""The front door: verbs, what they would run, and what they say when something is missing."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
VERBS = (
    "help",
    "env",
    "repro",
    "test",
    "lab",
    "report",
    "embed",
    "deidentify",
    "experiments",
    "verify",
    "lint",
    "lock",
    "clean",
)


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CONDA", "MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-C", ROOT, "--no-print-directory", *arguments],
        capture_output=True, text=True, env=clean | environment,
    )  # fmt: skip


def test_make_alone_lists_every_verb():
    listed = re.findall(r"^  make (\w+) +\S", make().stdout, re.MULTILINE)
    assert sorted(listed) == sorted(VERBS)


@pytest.mark.parametrize(
    ("profile", "command"),
    [("demo", '/dvc" repro'), ("smoke", "-m tools.workspace smoke"), ("clinic", "workspace clinic")],
)
def test_profile_chooses_where_the_pipeline_runs(profile, command):
    done = make("-n", "repro", f"PROFILE={profile}")
    assert done.returncode == 0, done.stderr
    assert command in done.stdout


def test_an_active_conda_environment_is_used_and_its_base_is_not(tmp_path):
    prefix = str(tmp_path)
    assert f"{prefix}/bin/python" in make("-n", "verify", CONDA_PREFIX=prefix, CONDA_DEFAULT_ENV="cmr").stdout
    base = make("-n", "verify", CONDA_PREFIX=prefix, CONDA_DEFAULT_ENV="base").stdout
    assert prefix not in base
    assert f"{ROOT}/.venv/bin/python" in base


def test_deidentify_says_what_it_needs():
    done = make("deidentify", "-o", "env")
    assert done.returncode != 0
    assert "make deidentify STUDIES=folder OUT=folder" in done.stderr


def test_embed_says_what_it_needs():
    done = make("embed", "experiments", "-o", "env")
    assert done.returncode != 0
    assert "make embed STUDIES=folder OUT=folder" in done.stderr


def test_continuous_integration_runs_the_same_verb():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("make test")
