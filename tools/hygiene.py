"""House rules on files: canonical notebooks that are essays, no paths of a machine, no data, a small tree.

    python -m tools.hygiene          # say what is wrong; exit code 1 if anything is
    python -m tools.hygiene --fix    # rewrite notebooks in canonical form, then check

The canonical form is what JupyterLab writes when the hook of jupyter_server_config.py has run `strip`: so stepping
through a notebook and saving it leaves the file's bytes, and with them DVC's view of the stage, as they were.
"""

import argparse
import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cmr_lib import project
from cmr_lib.run.executed import KERNELSPEC

KEPT_CELL_METADATA = ("tags",)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try, ast.TryStar)  # belong in cmr_lib
QUESTION, TABLE = "**Question.**", "| you need | you get | minutes"  # of the first cell of a notebook
TREE_LIMIT_BYTES = 30_000_000
# Formats that carry images, weights in pickles or measurements; none belongs in git (weights are safetensors).
REFUSED_ENDINGS = (".dcm", ".dicom", ".ima", ".nii", ".nii.gz", ".mha", ".nrrd", ".h5", ".pt", ".pth", ".ckpt", ".pkl")
# Written in pieces, so that this file does not accuse itself.
MACHINE_PATHS = re.compile(
    r"(?<![\w.+-])(?:/" + r"home/[A-Za-z][\w.-]*|/" + r"Users/[A-Za-z][\w.-]*|/" + r"root/[\w.]|[A-Z]:\\" + r"Users\\)"
)


# --- notebooks --------------------------------------------------------------------------------------------------
def strip(nb: dict[str, Any]) -> dict[str, Any]:
    """Make a notebook (nbformat 4, as a mapping) canonical in place: source, ids and tags stay, all else goes."""
    nb["metadata"] = {"kernelspec": dict(KERNELSPEC)}
    nb["nbformat"], nb["nbformat_minor"] = 4, 5
    for number, cell in enumerate(nb["cells"]):
        cell.setdefault("id", f"c{number:03d}")
        cell["metadata"] = {key: cell["metadata"][key] for key in KEPT_CELL_METADATA if cell["metadata"].get(key)}
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return nb


def serialise(nb: dict[str, Any]) -> str:
    """The text that Jupyter's own writer makes of it (indent 1, sorted keys, one newline at the end)."""
    import nbformat

    return nbformat.writes(nbformat.from_dict(nb), version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def canonical(text: str) -> str:
    """The canonical form of a notebook's text. Raises ValueError when it is not a notebook of format 4."""
    nb = json.loads(text)
    if not isinstance(nb, dict) or nb.get("nbformat") != 4:
        raise ValueError("not a notebook of format 4")
    for cell in nb["cells"]:
        cell["source"] = "".join(cell["source"])  # a list of lines, or one string
    return serialise(strip(nb))


def notebook_faults(path: Path) -> Iterator[str]:
    """What is not canonical in one notebook, a sentence each."""
    text = path.read_text(encoding="utf-8")
    try:
        wanted = canonical(text)
    except ValueError as error:
        yield f"{path}: {error}."
        return
    if text == wanted:
        return
    cells = json.loads(text)["cells"]
    filled = [str(number) for number, cell in enumerate(cells, start=1) if cell.get("outputs")]
    what = f"cells {', '.join(filled)} hold outputs" if filled else "metadata or layout is not canonical"
    yield f"{path}: {what}; run `python -m tools.hygiene --fix`."


def _definitions(source: str) -> set[str]:
    """Which of `def`, `class` and `try` a cell holds. Raises SyntaxError for a cell that is not plain Python."""
    words = {ast.ClassDef: "class", ast.Try: "try", ast.TryStar: "try"}
    return {words.get(type(node), "def") for node in ast.walk(ast.parse(source)) if isinstance(node, DEFINITIONS)}


def essay_faults(path: Path) -> Iterator[str]:
    """What keeps a notebook from being an essay: no question or table on top, no parameters, things defined in it."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first = "".join(cells[0]["source"]) if cells else ""
    if not first.startswith("# ") or QUESTION not in first or TABLE not in first:
        yield f"{path}: the first cell wants a title, {QUESTION} and the table `{TABLE} …`."
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        yield f"{path}: one cell tagged `parameters` is wanted, found {len(tagged)}."
    for number, cell in enumerate(cells, start=1):
        try:
            found = _definitions("".join(cell["source"])) if cell["cell_type"] == "code" else set()
        except SyntaxError:
            yield f"{path}: cell {number} is not plain Python."
            continue
        if found:
            yield f"{path}: cell {number} holds {', '.join(sorted(found))}; that belongs in cmr_lib."


def fix(path: Path) -> bool:
    """Rewrite a notebook in canonical form; True when it changed."""
    text = path.read_text(encoding="utf-8")
    wanted = canonical(text)
    if text != wanted:
        project.write_text(path, wanted)
    return text != wanted


# --- the tree ---------------------------------------------------------------------------------------------------
def working_files(root: Path) -> list[Path]:
    """Files that git tracks or would track (not ignored), relative to the root, existing ones only."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, check=True,
    )  # fmt: skip
    names = sorted({name for name in listed.stdout.decode("utf-8", "surrogateescape").split("\0") if name})
    return [Path(name) for name in names if (root / name).is_symlink() or (root / name).is_file()]


def path_faults(root: Path, files: Sequence[Path]) -> Iterator[str]:
    """Files that show a home folder, or the place where this clone lies."""
    here = re.compile(r"(?<![\w.+/-])" + re.escape(str(root)) + r"(?![\w-])") if len(root.parts) > 2 else None
    for file in files:
        data = (root / file).read_bytes()
        if b"\0" in data[:8192] or (root / file).is_symlink():
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
            match = MACHINE_PATHS.search(line) or (here and here.search(line))
            if match and "base64" not in line and len(line) < 5000:
                yield f"{file}:{number}: shows a path of one machine ({match[0]}…)."


def size_faults(root: Path, files: Sequence[Path], limit: int = TREE_LIMIT_BYTES) -> Iterator[str]:
    """Refused file types, and a tree that has grown beyond the limit."""
    for file in files:
        if file.name.lower().endswith(REFUSED_ENDINGS):
            yield f"{file}: images, volumes and pickles are not kept in git."
    sizes = sorted(((root / file).lstat().st_size, str(file)) for file in files)
    total = sum(size for size, _ in sizes)
    if total > limit:
        heavy = ", ".join(f"{name} {size / 1e6:.1f} MB" for size, name in sizes[:-4:-1])
        yield f"The tree holds {total / 1e6:.1f} MB, {limit / 1e6:g} MB at most are wanted; heaviest: {heavy}."


def faults(root: Path) -> list[str]:
    """Everything that is wrong in the working tree at `root`."""
    files = working_files(root)
    found = [*path_faults(root, files), *size_faults(root, files)]
    for file in files:
        if file.suffix == ".ipynb" and file.parts[0] != "outputs":
            wrong = list(notebook_faults(root / file))
            if file.parts[0] == "notebooks" and not wrong:
                wrong = list(essay_faults(root / file))
            found += [fault.replace(str(root) + "/", "") for fault in wrong]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.hygiene", description=__doc__.partition("\n")[0])
    parser.add_argument("--fix", action="store_true", help="rewrite notebooks in canonical form first")
    args = parser.parse_args(arguments)
    root = Path(__file__).resolve().parents[1]
    if args.fix:
        for file in working_files(root):
            if file.suffix == ".ipynb" and file.parts[0] != "outputs" and fix(root / file):
                print(f"fixed {file}")
    found = faults(root)
    for line in found:
        print(line, file=sys.stderr)
    print("hygiene: clean" if not found else f"hygiene: {len(found)} to mend")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
