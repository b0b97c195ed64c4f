"""The executed copy: the same bytes for the same run, and nothing in it of the machine that made it."""

import copy
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cmr_lib import project

COPY_LIMIT_BYTES = 1_000_000
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"

_ADDRESS = re.compile(r"(?<=[ =])0x[0-9a-f]{7,}")


def private_paths(values: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(path, dotted name) of every parameter that names a place outside the repository."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from private_paths(value, f"{name}.{key}" if name else str(key))
    elif isinstance(values, str) and (Path(values).expanduser().is_absolute() or Path(values).parts[:1] == ("..",)):
        yield values, name


def named_paths(text: str, private: Mapping[str, str]) -> str:
    """A text with each private path replaced by its name in angle brackets."""
    for path in sorted(private, key=len, reverse=True):
        text = text.replace(path, f"<{private[path]}>")
    return text


def hide_paths(file: Path, private: Mapping[str, str]) -> None:
    """Name private paths in a notebook on disk as well, wherever they stand in it: sources, metadata, tracebacks."""
    if not private or not file.is_file():
        return
    text = file.read_text(encoding="utf-8")
    for path in sorted(private, key=len, reverse=True):
        for ascii_only in (False, True):
            text = text.replace(json.dumps(path, ensure_ascii=ascii_only)[1:-1], f"<{private[path]}>")
    project.write_text(file, text)


def _is_text(mime: str) -> bool:
    return not mime.startswith(("image/", "audio/", "video/")) or mime == "image/svg+xml"


def _clean_outputs(outputs: Sequence[Any], private: Mapping[str, str]) -> list[Any]:
    """Outputs without stderr and live widgets, neighbouring pieces of stdout joined, private paths named."""
    kept: list[Any] = []
    for output in outputs:
        if output.get("name") == "stderr" or WIDGET in output.get("data", {}):
            continue
        for mime, data in output.get("data", {}).items():
            if isinstance(data, str) and _is_text(mime):
                output.data[mime] = named_paths(data, private)
        if output.output_type == "stream":
            output.text = named_paths(output.text, private)
            if kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text
                continue
        kept.append(output)
    return kept


def normalise(nb: Any, private: Mapping[str, str] | None = None) -> Any:
    """A copy that depends on sources, parameters and results alone: no times, random ids, progress bars or widgets.

    Args:
        nb: an executed notebook (nbformat 4).
        private: absolute path → name; each path is replaced by `<name>` in sources and text outputs.
    """
    private = private or {}
    nb = copy.deepcopy(nb)
    nb.metadata = type(nb.metadata)(kernelspec=dict(KERNELSPEC))
    nb.nbformat, nb.nbformat_minor = 4, 5
    for number, cell in enumerate(nb.cells):
        cell["id"] = f"c{number:03d}"
        tags = cell.metadata.get("tags")
        cell.metadata = type(nb.metadata)({"tags": tags} if tags else {})
        cell.source = named_paths(cell.source, private)
        if cell.cell_type == "code":
            cell.outputs = _clean_outputs(cell.outputs, private)
    return nb


def _texts(cell: Any) -> Iterator[str]:
    yield cell.source
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield from output.get("traceback", [])
        for mime, data in output.get("data", {}).items():
            if _is_text(mime):
                yield str(data)


def _machine_paths() -> re.Pattern[str]:
    places = {str(Path(place)) for place in (Path.cwd(), Path.home(), sys.prefix)} - {"/"}
    return re.compile(r"(?<![\w+/.=-])(?:" + "|".join(re.escape(place) for place in sorted(places)) + r")(?![\w-])")


def complaints(nb: Any) -> list[str]:
    """Why a normalised copy may not be kept: machine paths, memory addresses, size. Empty: all is well."""
    import nbformat

    found, paths, sizes = [], _machine_paths(), []
    for number, cell in enumerate(nb.cells, start=1):
        text = "\n".join(_texts(cell))
        if match := paths.search(text):
            found.append(f"cell {number} shows a path of this machine ({match[0]}…); show paths relative to the root.")
        if match := _ADDRESS.search("\n".join(list(_texts(cell))[1:])):
            found.append(f"cell {number} shows a memory address ({match[0]}); end its last line with a semicolon.")
        sizes.append((len(str(cell).encode()), number))
    if len(nbformat.writes(nb).encode()) > COPY_LIMIT_BYTES:
        heavy = ", ".join(f"cell {number} {size / 1e6:.2f} MB" for size, number in sorted(sizes, reverse=True)[:3])
        found.append(f"the copy is larger than {COPY_LIMIT_BYTES / 1e6:g} MB; heaviest: {heavy}.")
    return found
