"""The papermill runner: one notebook, checked parameters, one executed copy that is the same every time.

    python -m cmr_lib.run notebooks/06_umap.ipynb outputs/demo/umap/06_umap.ipynb -f params/demo/umap.yaml \
        -s out_dir=outputs/demo/umap -s in_root=outputs/demo

papermill alone accepts unknown names, reads `1e-3` as a word and stamps times into the copy, so that two equal runs
differ. This module checks names and types first, fixes the environment of the kernel, and writes a normalised copy
only when every cell has run. A failed run leaves the declared output alone and keeps its partial copy in
outputs/.run/. Heavy libraries are imported late: `--help` answers at once.
"""

import argparse
import ast
import copy
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cmr_lib import params, project

RUN_FOLDER = Path("outputs/.run")  # partial copies, ignored by git
COPY_LIMIT_BYTES = 1_000_000
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
NO_DEFAULT = object()  # a parameter whose value in the cell is not a literal

_WIDGET = "application/vnd.jupyter.widget-view+json"
_ADDRESS = re.compile(r"(?<=[ =])0x[0-9a-f]{7,}")
_HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)


class RunError(RuntimeError):
    """The notebook did not run to its end, or its copy may not be kept; the message is for the user."""


# --- parameters -------------------------------------------------------------------------------------------------
def stage_of(notebook: Path, files: Sequence[Path | str]) -> str | None:
    """The stage's name: the stem of the first parameter file, else of NN_stage.ipynb; None when neither is a stage."""
    names = [Path(file).stem for file in files[:1]] + [notebook.stem.partition("_")[2]]
    return next((name for name in names if name in params.STAGES), None)


def _read(notebook: Path) -> Any:
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


def _override(values: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    from ruamel.yaml import YAMLError

    try:
        return params.override(values, settings)
    except YAMLError as error:
        raise params.ParameterError(f"A value after -s is not YAML: {str(error).splitlines()[0]}.") from error


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
    values = _override(values, settings)
    if stage is not None:
        values = params.check(stage, values).model_dump()
    unknown = sorted(set(values) - set(defined))
    if unknown:
        raise params.ParameterError(
            f"{stage or 'notebook'}: the parameters cell does not define {', '.join(unknown)}; "
            f"it defines {', '.join(defined)}."
        )
    return values


# --- the executed copy ------------------------------------------------------------------------------------------
def private_paths(values: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(absolute path, dotted name) of every parameter that names a place outside the repository."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from private_paths(value, f"{name}.{key}" if name else str(key))
    elif isinstance(values, str) and Path(values).expanduser().is_absolute():
        yield values, name


def _without(text: str, private: Mapping[str, str]) -> str:
    for path in sorted(private, key=len, reverse=True):
        text = text.replace(path, f"<{private[path]}>")
    return text


def _is_text(mime: str) -> bool:
    return not mime.startswith(("image/", "audio/", "video/")) or mime == "image/svg+xml"


def _clean_outputs(outputs: Sequence[Any], private: Mapping[str, str]) -> list[Any]:
    """Outputs without stderr and live widgets, neighbouring pieces of stdout joined, private paths named."""
    kept: list[Any] = []
    for output in outputs:
        if output.get("name") == "stderr" or _WIDGET in output.get("data", {}):
            continue
        for mime, data in output.get("data", {}).items():
            if isinstance(data, str) and _is_text(mime):
                output.data[mime] = _without(data, private)
        if output.output_type == "stream":
            output.text = _without(output.text, private)
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
        cell.source = _without(cell.source, private)
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


# --- execution --------------------------------------------------------------------------------------------------
def fix_environment() -> None:
    """Set what makes runs repeatable, before the kernel starts; CMR_THREADS=n gives up bytes for speed."""
    os.environ.update(project.REPRODUCIBLE_ENVIRONMENT)
    if threads := os.environ.get("CMR_THREADS"):
        if not threads.isdigit() or int(threads) < 1:
            raise params.ParameterError(f"CMR_THREADS={threads!r}: a whole number of threads is wanted.")
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, threads))
    os.environ["CMR_RUN"] = "1"
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # debugpy's note on frozen modules is noise here
    os.environ.setdefault("TQDM_MININTERVAL", "0.5" if sys.stderr.isatty() else "20")
    os.environ.pop("MPLBACKEND", None)  # a set one would keep figures out of the copy


@contextmanager
def _own_kernel() -> Iterator[None]:
    """`python3` means this interpreter, whatever kernels, profiles or start-up files the user has."""
    from ipykernel.kernelspec import write_kernel_spec

    with tempfile.TemporaryDirectory(prefix="cmr-") as folder:
        write_kernel_spec(Path(folder) / "kernels" / KERNELSPEC["name"])
        os.environ["JUPYTER_PATH"] = folder  # searched before all other places
        os.environ["IPYTHONDIR"] = os.environ["JUPYTER_RUNTIME_DIR"] = folder
        yield


@contextmanager
def _killable() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the kernel and all it started, at once, and then this process."""
    import psutil

    def stop(number: int, _: Any) -> None:
        for child in psutil.Process().children(recursive=True):
            child.kill()
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _announcer(name: str, total: int) -> Callable[..., None]:
    heading = ""

    def announce(cell: Any, cell_index: int) -> None:
        nonlocal heading
        titles = _HEADING.findall(cell.source) if cell.cell_type == "markdown" else []
        heading = titles[-1] if titles else heading
        if cell.cell_type == "code":
            print(f"{name}: cell {cell_index + 1} of {total}  {heading}", file=sys.stderr, flush=True)

    return announce


def execute(notebook: Path, partial: Path, values: Mapping[str, Any]) -> Any:
    """Run the notebook in the working folder with papermill; the raw executed notebook. Raises RunError."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    total = len(_read(notebook).cells) + bool(values)
    partial.parent.mkdir(parents=True, exist_ok=True)
    where = f"The partly executed copy: {partial}"
    try:
        return papermill.execute_notebook(
            str(notebook),
            str(partial),
            parameters=dict(values),
            kernel_name=KERNELSPEC["name"],
            progress_bar=False,
            stderr_file=sys.stderr,
            on_cell_start=_announcer(notebook.stem, total),
            extra_arguments=["--log-level=50"],  # hides the warning on TCP without encryption: it stays on loopback
        )
    except papermill.PapermillExecutionError as error:
        reason = str(error.evalue).strip().partition("\n")[0]
        cell = f"{notebook.name}: cell {error.cell_index + 1} raised {error.ename}: {reason}"
        raise RunError(f"{cell}\n{where}") from error
    except DeadKernelError as error:
        raise RunError(f"{notebook.name}: the kernel died (out of memory, or killed).\n{where}") from error


def run(notebook: Path, out: Path, files: Sequence[Path | str] = (), settings: Sequence[str] = ()) -> Path:
    """Check, execute, normalise and write; the working folder is the repository root. Returns `out`."""
    import nbformat

    if notebook.resolve() == out.resolve():
        raise RunError("The executed copy must not overwrite the notebook.")
    stage, started, partial = stage_of(notebook, files), time.perf_counter(), RUN_FOLDER / out.name
    values = collect(_read(notebook), stage, files, settings)
    fix_environment()
    with _own_kernel(), _killable():
        executed = execute(notebook, partial, values)
    clean = normalise(executed, dict(private_paths(values)))
    if wrong := complaints(clean):
        raise RunError("\n".join(f"{notebook.name}: {line}" for line in wrong) + f"\nThe raw copy: {partial}")
    project.write_text(out, nbformat.writes(clean) + "\n")
    seconds = time.perf_counter() - started
    project.write_json(out.parent / "run.json", project.run_record(notebook=notebook.name, seconds=seconds))
    partial.unlink()
    return out


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cmr_lib.run", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("notebook", type=Path, help="the notebook to run, notebooks/NN_stage.ipynb")
    parser.add_argument("out", type=Path, help="where its executed copy goes; run.json is written beside it")
    parser.add_argument("-f", dest="files", metavar="FILE", type=Path, action="append", default=[],
                        help="parameter file (YAML); may be given again, later files win key by key")  # fmt: skip
    parser.add_argument("-s", dest="settings", metavar="KEY=VALUE", action="append", default=[],
                        help="one value, after the files: -s seed=3 -s optim.epochs=2")  # fmt: skip
    parser.epilog = "CMR_THREADS=n runs on n threads instead of 2; the bytes of the results then differ."
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, 1 (the run failed) or 2 (the parameters are wrong; nothing was run)."""
    args = _arguments().parse_args(arguments)
    notebook, out, files = args.notebook.resolve(), args.out.resolve(), [file.resolve() for file in args.files]
    try:
        project.chdir_root()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        run(notebook, out, files, args.settings)
    except params.ParameterError as error:
        print(error, file=sys.stderr)
        return 2
    except RunError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
