"""One look: every figure comes from the shared canvas, in the shared colours, and can say whose hearts it shows."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    file for file in (ROOT / "cmr_lib/figures").glob("*.py") if file.name not in ("__init__.py", "style.py")
)
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
HEX = re.compile(r"^#[0-9A-Fa-f]{3,8}$")
NAMED = {"red", "blue", "green", "orange", "purple", "cyan", "magenta", "yellow", "brown", "pink", "tab:blue"}
RAINBOWS = {"jet", "rainbow", "hsv", "gist_rainbow", "nipy_spectral", "turbo"}  # order and grey print are lost in them
OWN_CANVAS = ("plt.subplots", "plt.figure", "pyplot.subplots", "pyplot.figure", "Figure")


def faults(source: str) -> list[str]:
    """What in a piece of code leaves the shared style."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if HEX.match(node.value) or node.value in NAMED:
                found.append(f"colour {node.value!r}: take one of figures.style")
            if node.value in RAINBOWS:
                found.append(f"colour map {node.value!r}: not told apart by colour-blind readers")
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in OWN_CANVAS:
                found.append(f"{name}: take style.canvas, which writes the note")
            if name.endswith(".savefig"):
                found.append(f"{name}: take style.save, whose bytes are the same twice")
    return found


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ax.plot(x, color='#ff0000')", "#ff0000"),
        ("ax.plot(x, color='red')", "'red'"),
        ("ax.imshow(x, cmap='jet')", "jet"),
        ("fig, ax = plt.subplots()", "style.canvas"),
        ("fig.savefig('a.png')", "style.save"),
    ],
)
def test_what_leaves_the_style_is_found(code, said):
    assert len(found := faults(code)) == 1
    assert said in found[0]


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.stem)
def test_a_module_of_figures_keeps_to_the_style(file):
    assert faults(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.stem)
def test_every_figure_takes_the_note_that_says_whose_hearts_these_are(file):
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        public = isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        if public and node.returns is not None and ast.unparse(node.returns) == "Figure":
            assert "note" in {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]}, node.name


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_draws_nothing_by_itself(file):
    cells = [cell.source for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]
    assert [fault for source in cells for fault in faults(source)] == []
