"""SIGTERM as a request: the step at hand is finished and checkpointed, and then the process ends with code 143.

Batch systems send it before they take a machine away.
"""

import builtins
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

EXIT_CODE = 128 + signal.SIGTERM


@dataclass
class Stop:
    """Whether the process was asked to end."""

    asked: bool = False


@contextmanager
def stopping(stop: Stop) -> Iterator[None]:
    """Within it, SIGTERM only sets `stop.asked`. Outside the main thread signals cannot be caught: nothing is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(_: int, __: Any) -> None:
        stop.asked = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end() -> NoReturn:
    """End this process as SIGTERM would have: code 143. A notebook's kernel survives SystemExit, so it is signalled."""
    if hasattr(builtins, "__IPYTHON__"):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    raise SystemExit(EXIT_CODE)
