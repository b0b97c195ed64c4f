"""What a benchmark leaves: its numbers, and the line for LOG.md (what was run, on what, and what came out)."""

import json
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from cmr_lib import project


def leave(result: Mapping[str, Any], out: Path | None, in_words: Callable[[str, Any], str]) -> None:
    """Print what was measured, write it as JSON where a file is named, and say each part in words for LOG.md."""
    if out:
        project.write_json(out, result)
    print(json.dumps(project.rounded(result), indent=1))
    say(in_words(name, found) for name, found in result.items())


def say(findings: Iterable[str]) -> None:
    """Print one line: the command as it was given, the machine, the findings."""
    words = " ".join(["python -m", f"benchmarks.{sys.argv[0].rsplit('/', 1)[-1].removesuffix('.py')}", *sys.argv[1:]])
    machine = f"{psutil.cpu_count()} {platform.machine()} cores"
    print(f"LOG.md: `{words}` ({machine}): {'; '.join(findings)}.")
