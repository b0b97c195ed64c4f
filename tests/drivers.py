"""Runs a driver of the tests, a process of its own that prints one JSON object a line, and reads what it told."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def told_by(driver: str) -> list[dict[str, Any]]:
    """Every line that `python -m tests.<driver>` prints, on one thread; fails with its last words."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", f"tests.{driver}"]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def of(told: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Those lines that are of a kind."""
    return [row for row in told if row["kind"] == kind]
