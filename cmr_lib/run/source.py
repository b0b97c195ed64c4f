"""What a notebook asks for and what it is given: its parameters cell, the files and settings, checked by name and type.

papermill alone accepts unknown names with a line of text, and reads `1e-3` as a word.
"""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmr_lib import params

NO_DEFAULT = object()  # a parameter whose value in the cell is not a literal


class RunError(RuntimeError):
    """The notebook did not run to its end, or its copy may not be kept; the message is for the user."""


def stage_of(notebook: Path, files: Sequence[Path | str]) -> str | None:
    """The stage's name: the stem of the first parameter file, else of NN_stage.ipynb; None when neither is a stage."""
    names = [Path(file).stem for file in files[:1]] + [notebook.stem.partition("_")[2]]
    return next((name for name in names if name in params.STAGES), None)


def read(notebook: Path) -> Any:
    """The notebook as nbformat 4; raises RunError when it is absent or no notebook."""
    import nbformat

    if not notebook.is_file():
        raise RunError(f"Notebook {notebook} not found.")
    try:
        return nbformat.read(notebook, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise RunError(f"{notebook} is not a Jupyter notebook: {str(error).splitlines()[0]}") from error


def _literal(node: ast.expr | None) -> Any:
    try:
        return NO_DEFAULT if node is None else ast.literal_eval(node)
    except ValueError:
        return NO_DEFAULT


def parameters_cell(nb: Any) -> dict[str, Any]:
    """Names and literal defaults of the one cell tagged `parameters`; raises RunError when there is not one."""
    cells = [cell for cell in nb.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise RunError(f"One cell tagged `parameters` is wanted, found {len(cells)}.")
    try:
        tree = ast.parse(cells[0].source)
    except SyntaxError as error:
        raise RunError(f"The parameters cell is not plain Python: {error.msg} (line {error.lineno}).") from error
    found: dict[str, Any] = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {item.id: _literal(getattr(node, "value", None)) for item in targets if isinstance(item, ast.Name)}
    return found


def local_section(stage: str | None, files: Sequence[Path | str]) -> dict[str, Any]:
    """The stage's section of a local.yaml beside the first file: untracked, so that it may name a clinic's folders."""
    local = Path(files[0]).parent / "local.yaml" if files else None
    if local is None or not local.is_file():
        return {}
    sections = params.read_yaml(local)
    if unknown := [name for name in sections if name not in params.STAGES]:
        known = ", ".join(params.STAGES)
        raise params.ParameterError(f"{local.name}: unknown stage {unknown[0]}; a section is one of {known}.")
    return sections.get(stage) or {}


def collect(nb: Any, stage: str | None, files: Sequence[Path | str], settings: Sequence[str]) -> dict[str, Any]:
    """The values to inject: files merged in order, local.yaml, then settings; without a file, the cell's defaults.

    Raises:
        params.ParameterError: unknown, missing or mistyped, by name; also a name that the notebook does not define.
    """
    defined = parameters_cell(nb)
    values = {} if files else {name: value for name, value in defined.items() if value is not NO_DEFAULT}
    for file in files:
        values = params.merge(values, params.read_yaml(file))
    values = params.merge(values, local_section(stage, files))
    values = params.override(values, settings)
    if stage is not None:
        values = params.check(stage, values).model_dump()
    unknown = sorted(set(values) - set(defined))
    if unknown:
        raise params.ParameterError(
            f"{stage or 'notebook'}: the parameters cell does not define {', '.join(unknown)}; "
            f"it defines {', '.join(defined)}."
        )
    return values
