"""What every live widget needs: whether a kernel will answer, and a line for a sentence instead of a traceback."""

import html
import os
from collections.abc import Callable
from typing import Any

RUN_VARIABLE = "CMR_RUN"  # set by the runner: what it executes is read without a kernel


def is_live() -> bool:
    """Whether widgets will be answered: not in an executed copy."""
    return not os.environ.get(RUN_VARIABLE)


def notice() -> Any:
    """An empty line for a sentence (ipywidgets.HTML)."""
    import ipywidgets as widgets

    return widgets.HTML(layout=widgets.Layout(min_height="1.8em"))


def tell(line: Any, text: str) -> None:
    """Put a sentence into a notice; "" clears it."""
    line.value = f"<span style='color:#7a4b00'>{html.escape(text)}</span>" if text else ""


def answering(line: Any, action: Callable[[], str | None]) -> None:
    """Do what a click asked for. What it returns, or why it could not be done, becomes the notice's sentence."""
    try:
        said = action()
    except (ValueError, LookupError, OSError) as error:
        said = str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error)
    tell(line, said or "")
