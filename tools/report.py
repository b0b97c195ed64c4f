"""The demo's results as one offline site: `make report`, then open .ws/site/index.html.

Executed notebooks, figures with the command that makes each, tables, cards, the tour and the lessons. Plain HTML: no
script, nothing fetched. The tour and the lessons are executed (about two minutes the first time, then only when they
change); with `--quick` they are shown without outputs.
"""

import argparse
import html
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cmr_lib import params, project
from tools.site import catalogue, executed, pages

LIMIT_BYTES = 40_000_000
NOTE = (
    "<p class='note'>Every heart here is a <b>synthetic phantom</b>, every report and patient invented. Nothing here is"
    " for clinical use.</p>"
)
CARDS = ("preprocess/data_card.md", "pretrain/model_card.md")
SHIPPED = "weights/demo/card.md"
FRONT = "figures/front.png"
QUESTION = re.compile(r"\*\*Question\.\*\*\s*(.+?)(?:\n\s*\n|$)", re.DOTALL)


def question_of(nb: Any) -> str:
    """The question of a notebook's first cell, in one line."""
    found = QUESTION.search(nb.cells[0].source)
    return " ".join(found[1].split()) if found else ""


def said_after(nb: Any) -> dict[str, str]:
    """For each saved figure the sentence that the notebook says of it: the next Markdown output, or "" for none."""
    found: dict[str, str] = {}
    waiting: list[str] = []
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        texts = [output.data["text/markdown"] for output in cell.outputs if "text/markdown" in output.get("data", {})]
        if texts:
            found |= dict.fromkeys(waiting, "".join(texts))
            waiting = []
        if names := catalogue.saved_names(cell.source):
            waiting = names
    return found


class Site:
    """The folder that is being written."""

    def __init__(self, root: Path, outputs: Path, out: Path) -> None:
        self.root, self.outputs, self.out = root, outputs, out
        self.copies: dict[str, Any] = {}  # executed copies, by stage or by name
        self.rows: list[tuple[str, str, str]] = []  # of the contents

    def write(self, name: str, title: str, body: str) -> None:
        """One page."""
        project.write_text(self.out / name, pages.shell(title, body, "../" * name.count("/")))

    def notebook(self, file: Path, nb: Any, what: str, command: str) -> None:
        """The page of one notebook, and its line in the contents."""
        title = catalogue.HEADING.findall(nb.cells[0].source)[0]
        made = f"<p>Made by <code>{html.escape(command)}</code>.</p>"
        self.write(f"notebooks/{file.stem}.html", title, NOTE + made + pages.notebook(nb))
        link = f'<a href="notebooks/{file.stem}.html">{html.escape(title)}</a>'
        self.rows.append((what, link, pages.markdown(question_of(nb))))

    def stages(self) -> None:
        """The pipeline's notebooks, from their executed copies. Raises FileNotFoundError where one was never made."""
        for stage, file in catalogue.stage_notebooks(self.root).items():
            copy = project.require(self.outputs / stage / file.name, f"stage {stage}")
            self.copies[stage] = pages.read_notebook(copy)
            self.notebook(file, self.copies[stage], file.stem[:2], f"make repro ARGS={stage}")

    def others(self, files: Sequence[Path], copy_of: Callable[[Path], Path]) -> None:
        """The tour, or the lessons."""
        for file in files:
            print(f"make report: {file.stem}", file=sys.stderr)
            nb = pages.read_notebook(copy_of(file))
            what = "lesson" if file.parent.name == "lessons" else file.stem[:2]
            self.notebook(file, nb, what, catalogue.run_command(file.relative_to(self.root)))

    def figures(self) -> None:
        """Every figure, with what is said of it and the command that makes it."""
        front = self.root / catalogue.FRONT
        body = [f"<h1>Every figure, and the command that makes it</h1>{NOTE}"]
        body.append(self.figure(front, "A heart finds its report", "", catalogue.FRONT_COMMAND, "for the README"))
        for one in catalogue.catalogue(self.root):
            file = project.require(self.outputs / one.png, f"stage {one.stage}")
            says = pages.markdown(said_after(self.copies[one.stage]).get(one.name, ""))
            where = f'in <a href="notebooks/{Path(one.notebook).stem}.html">{Path(one.notebook).stem}</a>'
            body.append(self.figure(file, f"{one.shows} ({one.stage}/{one.name})", says, one.command, where))
        self.write("figures.html", "Figures", "\n".join(body))

    def figure(self, file: Path, title: str, says: str, command: str, where: str) -> str:
        """One figure, its picture copied beside the page."""
        own = file.parent.name == "figures"
        target = f"figures/{file.parent.parent.name}_{file.name}" if own else FRONT
        project.write_bytes(self.out / target, file.read_bytes())
        return pages.figure(target, title, says, command, where)

    def tables(self) -> None:
        """The estimates and tables of each stage."""
        body = [f"<h1>Every table</h1>{NOTE}"]
        for stage in params.STAGES:
            folder = project.require(self.outputs / stage, f"stage {stage}")
            body.append(f"<h2>{stage}</h2><h3>metrics.json</h3>{pages.estimates(folder / 'metrics.json')}")
            for file in sorted([*folder.glob("*.csv"), *(folder / "tables").glob("*.csv")]):
                body.append(f"<h3>{file.relative_to(folder)}</h3>{pages.table(file)}")
        for file in sorted((self.root / "experiments").glob("*/results.csv")):
            body.append(f"<h2>experiment {file.parent.name}</h2>{pages.table(file)}")
        self.write("tables.html", "Tables", "\n".join(body))

    def cards(self) -> None:
        """Data card and model cards."""
        files = [*(self.outputs / card for card in CARDS), self.root / SHIPPED]
        parts = [pages.markdown(project.require(file, "`make repro`").read_text(encoding="utf-8")) for file in files]
        self.write("cards.html", "Cards", NOTE + "<hr>".join(parts))

    def contents(self) -> None:
        """The first page, the style, and pages that notebooks made themselves (a map that answers the mouse)."""
        project.write_text(self.out / "style.css", pages.stylesheet())
        own = [file for file in sorted(self.outputs.rglob("*.html")) if "store" not in file.parts]
        for file in own:
            project.write_bytes(self.out / "interactive" / file.name, file.read_bytes())
            link = f'<a href="interactive/{file.name}">{html.escape(file.stem.replace("_", " "))}</a>'
            self.rows.append(("interactive", link, f"made by the stage {file.relative_to(self.outputs).parts[0]}"))
        body = f"<h1>Cardiac MRI studies and their reports, learned together</h1>{NOTE}"
        body += f'<p><img src="{FRONT}" alt="a heart finds its report"></p>'
        body += pages.listing(self.rows, ("", "notebook", "question"))
        body += '<p><a href="figures.html">Every figure</a> · <a href="tables.html">every table</a> · '
        self.write("index.html", "CMRformer-open", body + '<a href="cards.html">data and model cards</a></p>')


def build(root: Path, outputs: Path, out: Path, copy_of: Callable[[Path], Path]) -> dict[str, float]:
    """Write the site; returns its pages and size in MB.

    Raises FileNotFoundError for results that were not made, RuntimeError for a notebook that did not run, ValueError
    for a site above the limit.
    """
    shutil.rmtree(out, ignore_errors=True)
    site = Site(root, outputs, out)
    tour, *lessons = catalogue.others(root)
    site.others([tour], copy_of)
    site.stages()
    site.others(lessons, copy_of)
    site.figures()
    site.tables()
    site.cards()
    site.contents()
    size = project.folder_bytes(out)
    if size > LIMIT_BYTES:
        raise ValueError(f"The site is {size / 1e6:.0f} MB, {LIMIT_BYTES / 1e6:.0f} MB at most are wanted.")
    return {"pages": len(list(out.rglob("*.html"))), "MB": round(size / 1e6, 1)}


def main(arguments: list[str] | None = None) -> int:
    """Command line; one sentence and exit 1 when something is missing."""
    parser = argparse.ArgumentParser(prog="make report", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(".ws/site"), help="folder to write (made anew)")
    parser.add_argument("--quick", action="store_true", help="show the tour and the lessons without outputs")
    given = parser.parse_args(arguments)
    root, started = project.find_root(Path(__file__).parent), time.monotonic()
    copy_of = (lambda file: file) if given.quick else (lambda file: executed.executed(root, file))
    try:
        made = build(root, root / "outputs" / "demo", given.out, copy_of)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"make report: {error}", file=sys.stderr)
        return 1
    print(f"{given.out / 'index.html'}: {made['pages']} pages, {made['MB']} MB, {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
