"""The line that a benchmark leaves for LOG.md: what was run, on what, and what came out."""

import platform
import sys
from collections.abc import Iterable

import psutil


def say(findings: Iterable[str]) -> None:
    """Print one line: the command as it was given, the machine, the findings."""
    words = " ".join(["python -m", f"benchmarks.{sys.argv[0].rsplit('/', 1)[-1].removesuffix('.py')}", *sys.argv[1:]])
    machine = f"{psutil.cpu_count()} {platform.machine()} cores"
    print(f"LOG.md: `{words}` ({machine}): {'; '.join(findings)}.")
