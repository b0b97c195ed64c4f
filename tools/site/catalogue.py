"""Every figure with the command that makes it, read from the notebooks themselves: `python -m tools.site.catalogue`.

A figure is a call of `style.save(figure, folder, "name")` in a notebook of the pipeline; the heading above the call
says what it shows. The page docs/figures.md is written from this list (`--fix`), and a test compares.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from cmr_lib import params, project

PAGE = Path("docs/figures.md")
FRONT = Path("docs/a_heart_finds_its_report.png")
FRONT_COMMAND = "python -m tools.picture"
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """One saved figure."""

    stage: str
    name: str
    shows: str  # the heading above
    notebook: str  # repository path

    @property
    def command(self) -> str:
        """What makes it again."""
        return f"make repro ARGS={self.stage}"

    @property
    def png(self) -> str:
        """Its file, relative to the outputs of a profile."""
        return f"{self.stage}/figures/{self.name}.png"


def saved_names(source: str) -> list[str]:
    """Names that a cell gives to `style.save`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    saves = [call for call in calls if ast.unparse(call.func) == "style.save"]
    return [value for call in saves if isinstance(value := getattr(call.args[-1], "value", None), str)]


def entries_of(notebook: Path, stage: str) -> Iterator[Entry]:
    """The figures of one notebook, in order."""
    shows = ""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            shows = (HEADING.findall(cell.source) or [shows])[-1]
        elif cell.cell_type == "code":
            yield from (Entry(stage, name, shows, notebook.as_posix()) for name in saved_names(cell.source))


def stage_notebooks(root: Path) -> dict[str, Path]:
    """The notebook of each stage of the pipeline, by stage."""
    return {stage: next((root / "notebooks").glob(f"[0-9][0-9]_{stage}.ipynb")) for stage in params.STAGES}


def others(root: Path) -> list[Path]:
    """The notebooks that are no stage: the tour, then the lessons, each before its solutions."""
    stages = set(stage_notebooks(root).values())
    files = [*(root / "notebooks").glob("*.ipynb"), *(root / "notebooks" / "lessons").glob("*.ipynb")]
    return sorted(set(files) - stages, key=lambda file: (file.name[:2], "solutions" in file.name))


def catalogue(root: Path) -> list[Entry]:
    """Every figure of the pipeline, in the order of the notebooks."""
    found = [entry for stage, file in stage_notebooks(root).items() for entry in entries_of(file, stage)]
    return [Entry(one.stage, one.name, one.shows, str(Path(one.notebook).relative_to(root))) for one in found]


def run_command(notebook: Path | str) -> str:
    """What executes a notebook that is no stage; its figures are inside the copy."""
    return f".venv/bin/python -m cmr_lib.run {notebook} .ws/lab/{Path(notebook).name}"


def title_of(notebook: Path) -> str:
    """The first heading of a notebook."""
    return HEADING.findall(nbformat.read(notebook, as_version=4).cells[0].source)[0]


def page(root: Path) -> str:
    """docs/figures.md."""
    lines = [
        "# Every figure, and the command that makes it",
        "",
        "All of them are of **synthetic phantoms** and say so. A PDF lies beside each PNG. This list is written from",
        "the notebooks by `python -m tools.site.catalogue --fix`; `make report` shows the figures with what they say,",
        "as one offline site.",
        "",
        "| figure | shows | notebook | command |",
        "|---|---|---|---|",
        f"| [{FRONT.stem}]({FRONT.name}) | A heart finds its report | README | `{FRONT_COMMAND}` |",
    ]
    for one in catalogue(root):
        link, notebook = f"[{one.name}](../outputs/demo/{one.png})", f"[{Path(one.notebook).stem}](../{one.notebook})"
        lines.append(f"| {link} | {one.shows} | {notebook} | `{one.command}` |")
    for file in others(root):
        name = file.relative_to(root)
        lines.append(f"| inside the copy | {title_of(file)} | [{file.stem}](../{name}) | `{run_command(name)}` |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Compare docs/figures.md with the notebooks (exit 1 on a difference), or write it."""
    parser = argparse.ArgumentParser(prog="python -m tools.site.catalogue", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fix", action="store_true", help=f"write {PAGE}")
    given: Any = parser.parse_args(arguments)
    root = project.find_root(Path(__file__).parent)
    wanted, file = page(root), root / PAGE
    right = file.is_file() and file.read_text(encoding="utf-8") == wanted
    if given.fix and not right:
        project.write_text(file, wanted)
        print(f"Written: {PAGE}")
    elif not right:
        print(f"{PAGE} differs from the notebooks: python -m tools.site.catalogue --fix", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
