"""A real JupyterLab with the repository's configuration, and a real Chromium that uses it as a person does."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

REQUIRED = os.environ.get("CMR_BROWSER") == "required"  # set by .ci/run where a browser could be installed
NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]  # fmt: skip
PATIENCE = float(os.environ.get("CMR_PATIENCE", "1"))  # on a crowded machine, more
READY_S = 120 * PATIENCE
WIDTH, HEIGHT = 1300, 1000
TALL, MOST_SHOTS = 2600, 12  # of a picture, in pixels, and how many

# What the page is asked. `current` is the notebook in front.
IDLE = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
CELLS = """() => Array.from(window.jupyterapp.shell.currentWidget.content.model.cells).map(cell => ({
    kind: cell.type, source: cell.sharedModel.getSource(), count: cell.executionCount ?? null,
    outputs: cell.type === 'code' ? cell.outputs.toJSON() : []}))"""
ENDED = """() => { const cells = Array.from(window.jupyterapp.shell.currentWidget.content.model.cells)
    .filter(cell => cell.type === 'code' && cell.sharedModel.getSource().trim());
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const failed = cells.some(cell => cell.outputs.toJSON().some(output => output.output_type === 'error'));
    return kernel.status === 'idle' && (failed || cells.every(cell => cell.executionCount)); }"""


def browser_program() -> str | None:
    """The browser to drive: $CMR_CHROMIUM, or Debian's."""
    named = os.environ.get("CMR_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def needed_program() -> str:
    """The browser to drive; where there is none the test is skipped, or fails if $CMR_BROWSER says `required`."""
    program = browser_program()
    if program is None:
        assert not REQUIRED, "CMR_BROWSER=required, but there is no Chromium on PATH and CMR_CHROMIUM is not set"
        pytest.skip("no browser: `apt-get install chromium`, or set CMR_CHROMIUM to a Chromium or Chrome")
    return program


@contextmanager
def chromium(program: str) -> Iterator[Any]:
    """A headless Chromium (Playwright's synchronous API); the loop of events ends with it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def server(root: Path, home: Path) -> Iterator[tuple[str, int]]:
    """JupyterLab on a copy of the working files, as `make lab` starts it: its address and process.

    The two settings beyond the repository's are the test's own: no token on this loopback address, and the
    application within reach of the page's scripts.
    """
    words = ["lab", "--config=jupyter_server_config.py", "--no-browser", "--allow-root", "--ServerApp.port=0",
             "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]  # fmt: skip
    places = {
        "HOME": str(home), "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"), "IPYTHONDIR": str(home / "ipython"), "PYTHONPATH": str(root),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name not in ("CMR_RUN", "MPLBACKEND")}
    log = home / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter", *words], cwd=root, env=environment | places, stdout=file, stderr=file,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield _address(process, log), process.pid
    finally:
        process.terminate()  # shuts its kernels down as well
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen, log: Path) -> str:
    """Where the server answers. Raises RuntimeError with its log when it does not start."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


class Lab:
    """One page of JupyterLab."""

    def __init__(self, browser: Any, address: str, server_pid: int) -> None:
        self.address, self.server = address, psutil.Process(server_pid)
        self.page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        self.page.set_default_timeout(READY_S * 1000)
        self.asked: list[str] = []  # every address that the page wanted
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"{address}/lab?reset")
        self.page.wait_for_function("() => window.jupyterapp?.shell")
        self.page.evaluate("async () => { await window.jupyterapp.restored }")

    def command(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        """Run one of JupyterLab's commands, as a menu does, and wait for it."""
        script = "async ([name, given]) => { await window.jupyterapp.commands.execute(name, given) }"
        self.page.evaluate(script, [name, arguments or {}])

    def open(self, path: str) -> None:
        """Open a notebook and wait until its kernel is idle (before that, Run All runs nothing, silently)."""
        self.command("docmanager:open", {"path": path, "factory": "Notebook"})
        self.page.wait_for_function("path => window.jupyterapp.shell.currentWidget?.context?.path === path", arg=path)
        self.page.wait_for_function(IDLE)

    def run_all(self, limit_s: float) -> float:
        """Run every cell; the seconds until the last one ended or one failed."""
        started = time.monotonic()
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")
        self.page.wait_for_function(ENDED, timeout=limit_s * 1000, polling=200)
        return time.monotonic() - started

    def cells(self) -> list[dict[str, Any]]:
        """Kind, source, execution count and outputs of each cell."""
        return self.page.evaluate(CELLS)

    def errors(self) -> list[str]:
        """What cells raised."""
        outputs = [output for cell in self.cells() for output in cell["outputs"]]
        return [f"{one['ename']}: {one['evalue']}" for one in outputs if one["output_type"] == "error"]

    def changed(self, element: Any, attribute: str, before: str | None) -> None:
        """Wait until an attribute of an element is another than before."""
        script = "([element, name, before]) => element.getAttribute(name) !== before"
        self.page.wait_for_function(script, arg=[element.element_handle(), attribute, before])

    def kernel_s(self) -> float:
        """Processor seconds of the running kernel and all it started: unlike a clock, no matter who else is busy."""
        kernels = [child for child in self.server.children() if "ipykernel_launcher" in " ".join(child.cmdline())]
        spent = [one.cpu_times() for kernel in kernels for one in (kernel, *kernel.children(recursive=True))]
        return sum(one.user + one.system + one.children_user + one.children_system for one in spent)

    def save(self) -> None:
        """Save the notebook in front."""
        self.command("docmanager:save")

    def shots(self, folder: Path, stem: str) -> None:
        """Pictures of the whole notebook in front, top to bottom: STEM-0.png, STEM-1.png, …"""
        self.page.set_viewport_size({"width": WIDTH, "height": TALL})
        self.page.wait_for_timeout(500)
        for number in range(MOST_SHOTS):
            scroll = "number => { const pane = document.querySelector('.jp-mod-current .jp-WindowedPanel-outer, "
            scroll += ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer'); "
            scroll += "pane.scrollTop = number * (pane.clientHeight - 100); "
            scroll += "return pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 1 }"
            last = self.page.evaluate(scroll, number)
            self.page.wait_for_timeout(700)
            self.page.screenshot(path=folder / f"{stem}-{number}.png")
            if last:
                break
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})

    def close(self) -> None:
        """End the notebook's kernel and close it."""
        self.page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.shutdown() }")
        self.page.evaluate("() => { window.jupyterapp.shell.currentWidget.close() }")


def temporary_home() -> tempfile.TemporaryDirectory:
    """A home without anybody's settings."""
    return tempfile.TemporaryDirectory(prefix="cmr-lab-", ignore_cleanup_errors=True)
