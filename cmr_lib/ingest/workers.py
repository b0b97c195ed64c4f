"""Long-lived worker processes that may be killed: one study at a time, under caps on time and memory.

A broken or hostile file can make a decoder loop, eat all memory or crash. So a study is read in a child process; one
that breaks a cap, or dies, is replaced, its study gets a code (E_TIMEOUT, E_MEMORY, E_WORKER_DIED), and the run goes
on. Whoever does the work stands behind `submit`: processes of this machine here, a Dask cluster in `ingest.cluster`.
"""

import contextlib
import multiprocessing
import queue
import resource
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Protocol, TypeVar, runtime_checkable

import psutil

from cmr_lib.ingest.rejects import Refused

Item = TypeVar("Item")
Work = Callable[[Any], Any]  # must be importable by another process, as what it is given and returns must be picklable
START_S = 120.0  # for a process to import what it needs
AHEAD = 4  # studies in work or waiting to be yielded, for each worker


@dataclass(frozen=True)
class Caps:
    """What one study may cost; the stage takes those of params. How large files may be is in `files.Limits`."""

    seconds: float = 600.0
    memory_bytes: int = 6 * 2**30  # on top of what a fresh worker has
    studies: int = 500  # then a worker is replaced, so that nothing can pile up


CAPS = Caps()


@runtime_checkable
class Answer(Protocol):
    """What `submit` gives: `result` waits, then returns what the work returned or raises Refused."""

    def result(self) -> Any:
        """The work's return value."""


@runtime_checkable
class Pool(Protocol):
    """Whatever does the work."""

    def submit(self, item: Any) -> Answer:
        """Do the work on one item, at some time, somewhere."""

    def __enter__(self) -> "Pool": ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


# --- in the child -----------------------------------------------------------------------------------------------
def _cap_memory(extra_bytes: int) -> None:
    """Allocations beyond the cap fail with MemoryError, where the system has such a limit; no core is ever dumped."""
    limit = psutil.Process().memory_info().vms + extra_bytes
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold patients' data
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _serve(connection: Connection, work: Work, caps: Caps) -> None:
    """Answer items with (code, value) until the other side hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of a terminal's processes; the parent decides
    _cap_memory(caps.memory_bytes)
    connection.send(("", None))
    with contextlib.suppress(EOFError):
        while True:
            item = connection.recv()
            try:
                connection.send(("", work(item)))
            except MemoryError:
                connection.send(("E_MEMORY", None))
            except Exception as error:  # noqa: BLE001 (an error of the program: raised again in the parent)
                connection.send(("raise", error))


# --- in the parent ----------------------------------------------------------------------------------------------
class _Child:
    """One worker process and the line to it."""

    def __init__(self, work: Work, caps: Caps) -> None:
        context = multiprocessing.get_context("forkserver")
        self.caps, self.done, self.fit = caps, 0, True
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, work, caps), daemon=True)
        self.process.start()
        other.close()
        if not self.connection.poll(START_S) or not self._received():
            self.end()
            raise RuntimeError(f"A worker process did not start within {START_S:.0f} s: see what it wrote to stderr.")

    def _received(self) -> tuple[str, Any] | None:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None

    def do(self, item: Any) -> Any:
        """The work's return value for one item. Raises Refused: E_TIMEOUT, E_MEMORY, E_WORKER_DIED."""
        self.done, self.fit = self.done + 1, False
        with contextlib.suppress(OSError):  # it died while idle: the line is broken, and the answer None
            self.connection.send(item)
        if not self.connection.poll(self.caps.seconds):
            raise Refused("E_TIMEOUT")
        answer = self._received()
        if answer is None:
            raise Refused("E_WORKER_DIED")
        code, value = answer
        if code == "raise":
            raise value
        if code:
            raise Refused(code)
        self.fit = self.done < self.caps.studies
        return value

    def end(self) -> None:
        """End the process, whatever it does; nothing of it is left."""
        self.connection.close()
        self.process.kill()
        self.process.join()
        self.process.close()


class LocalPool:
    """Worker processes of this machine, each with a thread that feeds it, watches the clock and replaces it."""

    def __init__(self, work: Work, workers: int, caps: Caps = CAPS, preload: Sequence[str] = ()) -> None:
        multiprocessing.get_context("forkserver").set_forkserver_preload([__name__, *preload])  # imported once for all
        self.work, self.caps = work, caps
        self._jobs: queue.SimpleQueue[tuple[Any, Future] | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._children: dict[int, _Child] = {}
        self._keepers = [threading.Thread(target=self._keep, args=(n,), daemon=True) for n in range(max(1, workers))]
        for keeper in self._keepers:
            keeper.start()

    def submit(self, item: Any) -> Future:
        """Do the work on one item as soon as a worker is free."""
        future: Future = Future()
        self._jobs.put((item, future))
        return future

    def _keep(self, number: int) -> None:
        for item, future in iter(self._jobs.get, None):
            if self._stopped.is_set():
                future.cancel()
                continue
            try:
                child = self._children.get(number) or _Child(self.work, self.caps)
                self._children[number] = child
                future.set_result(child.do(item))
            except BaseException as error:  # noqa: BLE001 (raised where the result is asked for)
                future.set_exception(error)
            if number in self._children and not self._children[number].fit:
                self._children.pop(number).end()
        if number in self._children:
            self._children.pop(number).end()

    def __enter__(self) -> "LocalPool":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()  # what is still in work is wanted by nobody
        for child in list(self._children.values()):
            with contextlib.suppress(ValueError):  # ended in the meantime
                child.process.kill()
        for _ in self._keepers:
            self._jobs.put(None)
        for keeper in self._keepers:
            keeper.join()


def in_order(pool: Pool, items: Iterable[Item], ahead: int) -> Iterator[tuple[Item, Any]]:
    """Every item with its result, or with the Refused that stands for it, in the order of the items.

    At most `ahead` items are in work or wait behind a slower one, so that memory does not grow with their number.
    """
    waiting: deque[tuple[Item, Answer]] = deque()
    for item in items:
        waiting.append((item, pool.submit(item)))
        if len(waiting) >= ahead:
            yield _outcome(*waiting.popleft())
    while waiting:
        yield _outcome(*waiting.popleft())


def _outcome(item: Item, answer: Answer) -> tuple[Item, Any]:
    try:
        return item, answer.result()
    except Refused as refused:
        return item, refused
