"""Executed copies of the notebooks that are no stage (the tour, the lessons), made anew only when something changed."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from cmr_lib import project

KEEP = Path(".ws/report")  # ignored by git
SOURCES = ("cmr_lib/**/*.py", "params/demo/*.yaml", "weights/demo/SHA256SUMS")


def digest(root: Path, notebook: Path) -> str:
    """SHA-256 of what the copy depends on: the notebook, the library, the demo's parameters, the weights."""
    found = hashlib.sha256(notebook.read_bytes())
    for file in sorted(file for pattern in SOURCES for file in root.glob(pattern)):
        found.update(file.read_bytes())
    return found.hexdigest()


def executed(root: Path, notebook: Path) -> Path:
    """The executed copy of a notebook with its default parameters. Raises RuntimeError with the runner's sentence."""
    copy = root / KEEP / notebook.name
    mark, wanted = copy.with_suffix(".sha256"), digest(root, notebook)
    if copy.is_file() and mark.is_file() and mark.read_text() == wanted:
        return copy
    words = [sys.executable, "-m", "cmr_lib.run", str(notebook.relative_to(root)), str(copy)]
    here = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        words, cwd=root, env=os.environ | {"PYTHONPATH": here}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{notebook.name} did not run: {done.stderr.strip().splitlines()[-1]}")
    project.write_text(mark, wanted)
    return copy
