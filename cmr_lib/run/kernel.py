"""Execution: this interpreter's kernel in a fixed environment, announced cell by cell, and killed as a whole."""

import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cmr_lib import params, project
from cmr_lib.run.executed import KERNELSPEC
from cmr_lib.run.source import RunError, read

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

GRACE_S = 30.0  # for a training to finish its step and write a checkpoint; CMR_GRACE_S says otherwise

_HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)


def fix_environment() -> None:
    """Set what makes runs repeatable, before the kernel starts.

    CMR_THREADS=n gives up bytes for speed; HF_HUB_OFFLINE=0 lets transformers fetch a model by name. Raises
    ParameterError when CMR_THREADS or CMR_GRACE_S is no number.
    """
    offline = os.environ.get("HF_HUB_OFFLINE", "1")
    os.environ.update(project.REPRODUCIBLE_ENVIRONMENT | {"HF_HUB_OFFLINE": offline})
    if threads := os.environ.get("CMR_THREADS"):
        if not threads.isdigit() or int(threads) < 1:
            raise params.ParameterError(f"CMR_THREADS={threads!r}: a whole number of threads is wanted.")
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, threads))
    grace_s()
    os.environ["CMR_RUN"] = "1"
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # debugpy's note on frozen modules is noise here
    os.environ.setdefault("TQDM_MININTERVAL", "0.5" if sys.stderr.isatty() else "20")
    os.environ.pop("MPLBACKEND", None)  # a set one would keep figures out of the copy


def grace_s() -> float:
    """How long a training may go on after SIGTERM: a step of the published size takes minutes on a CPU.

    Raises ParameterError when CMR_GRACE_S is no number of seconds; `fix_environment` asks before anything is started.
    """
    said = os.environ.get("CMR_GRACE_S", str(GRACE_S))
    if not re.fullmatch(r"\d+(\.\d+)?", said):
        raise params.ParameterError(f"CMR_GRACE_S={said!r}: a number of seconds is wanted.")
    return float(said)


@contextmanager
def own_kernel() -> Iterator[None]:
    """`python3` means this interpreter, whatever kernels, profiles or start-up files the user has."""
    from ipykernel.kernelspec import write_kernel_spec

    with tempfile.TemporaryDirectory(prefix="cmr-") as folder:
        write_kernel_spec(Path(folder) / "kernels" / KERNELSPEC["name"])
        os.environ["JUPYTER_PATH"] = folder  # searched before all other places
        os.environ["IPYTHONDIR"] = os.environ["JUPYTER_RUNTIME_DIR"] = folder
        yield


@contextmanager
def killable() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the kernel and all it started, and then this process.

    SIGTERM asks first: a training checkpoints its step (`training.stop`), anything else ends at once. Ctrl-C kills.
    """
    import psutil

    def stop(number: int, _: Any) -> None:
        children = psutil.Process().children(recursive=True)
        if number == signal.SIGTERM:
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.terminate()
            _, children = psutil.wait_procs(children, grace_s())
        for child in children:
            with suppress(psutil.NoSuchProcess):
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

    total = len(read(notebook).cells) + bool(values)
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
