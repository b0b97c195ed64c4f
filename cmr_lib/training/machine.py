"""The machine a model trains on: device, precision, determinism, memory, compilation."""

import ctypes
import platform
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

from cmr_lib import params

LARGE = 32 * 2**20  # bytes; the most that glibc takes for its threshold
NO_MEMORY = ("can't allocate memory", "out of memory")  # what PyTorch says on a CPU, and on a GPU

# PyTorch, of a kernel that is not deterministic, asked for with `warn_only`
NO_SUCH_KERNEL = ".*(defaults to a non-deterministic algorithm|does not have a deterministic implementation)"


def choose_device(wanted: str) -> torch.device:
    """`cpu`, `cuda`, or for `auto` cuda where there is one. Raises RuntimeError when cuda is asked for and absent."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device: cuda was asked for, but this machine offers none; use cpu or auto.")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Mixed precision for `bf16`, nothing for `fp32`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Deterministic kernels where PyTorch has them for this device; the global generator is given back as it was.

    What has none is not warned of, since nobody here can change it: on a GPU, the fused attention's backward pass. (Two
    trainings of a small model on an H200 ended with the same bits all the same.)
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    keep_freed_memory()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=NO_SUCH_KERNEL)
        torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
        torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs 3 % of a step
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0])
            torch.utils.deterministic.fill_uninitialized_memory = before[1]


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory for the next allocation instead of returning it to the system.

    Training allocates the same large arrays in every step; fetching them anew from the system means a page fault for
    every 4 KiB, which was measured at a sixth of the time of a step. Arrays of 32 MiB and more, those of the published
    scale, are given back: kept, they left holes of every size, and the peak grew by a fifth in twenty steps. No effect
    on results, none outside glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    libc.mallopt(trim_threshold, -1)
    libc.mallopt(mmap_threshold, LARGE)


@contextmanager
def memory_savers(model: nn.Module, how: params.Optimiser, backend: str = "inductor") -> Iterator[None]:
    """Within it, as `optim` says, the image tower recomputes activations and the blocks of both towers run compiled.

    Weights keep their names. `backend` is torch.compile's; tests take one that needs no compiler.
    """
    tower = model.video
    tower.recompute = how.recompute
    blocks = [*tower.blocks, *_layers(model.text)] if how.compile else []
    for block in blocks:
        block.compile(backend=backend)
    if blocks:
        tower.read_out = torch.compile(tower.read_out, backend=backend)  # the last block, by another door
    try:
        yield
    finally:
        tower.recompute = False
        tower.__dict__.pop("read_out", None)
        for block in blocks:
            block._compiled_call_impl = None


def _layers(text: nn.Module) -> Iterable[nn.Module]:
    """The blocks of a text tower: what transformers keeps in a list, under a name that differs by architecture."""
    return next((part for part in text.modules() if isinstance(part, nn.ModuleList)), ())


class HalfMovedError(MemoryError):
    """Memory ran out between one weight's move and the next."""

    def __str__(self) -> str:
        return (
            "Memory ran out while the weights were moved: some have moved and some have not, so this model is of no "
            "use. Start again from the last checkpoint, with fewer other programs or a smaller model."
        )


def no_memory(error: BaseException) -> bool:
    """Whether this says that memory does not suffice."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in NO_MEMORY)


@contextmanager
def memory_advice(studies: int) -> Iterator[None]:
    """Say what to change when memory does not suffice. Raises MemoryError."""
    try:
        yield
    except HalfMovedError:
        raise
    except (MemoryError, RuntimeError) as error:
        if not no_memory(error):
            raise
        raise MemoryError(
            f"A step of {studies} studies does not fit into memory: set optim.micro_batch (the same gradients), or "
            "optim.recompute, or lower optim.batch_studies and raise optim.accumulate. The weights are those before "
            "the step."
        ) from error
