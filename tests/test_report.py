"""`make report`: formulas as pictures, every figure with its command, and a site that asks nobody for anything."""

import base64
import hashlib
import io
import re
import subprocess
import sys
from pathlib import Path

import lab
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from cmr_lib import params
from tools import picture, report
from tools.site import catalogue, executed, maths, pages

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))


# --- formulas ---------------------------------------------------------------------------------------------------
def test_formulas_become_pictures_and_code_and_prices_stay():
    shown = maths.with_pictures(
        "Let $a_i$ be, `$b$`, 5 $ and 6 $; $$c = \\frac{1}{2}$$\n```\n$d$\n```", lambda text: text
    )
    assert shown.count("<img") == 2
    assert 'alt="a_i"' in shown
    assert '<span class="formula"><img class="math" alt="c = \\frac{1}{2}"' in shown
    assert "`$b$`" in shown
    assert "5 $ and 6 $;" in shown
    assert "$d$" in shown


def test_a_formula_stands_on_the_baseline_and_is_the_same_twice():
    flat, deep = maths.picture("x"), maths.picture("\\frac{x}{y}")
    depth = [float(re.search(r"vertical-align:(-?[\d.]+)pt", image)[1]) for image in (flat, deep)]
    assert depth[1] < depth[0] <= 0
    maths.picture.cache_clear()
    assert maths.picture("x") == flat
    assert b"<svg" in base64.b64decode(re.search(r"base64,([^\"]+)", flat)[1])


def test_a_formula_that_cannot_be_drawn_is_named():
    with pytest.raises(ValueError, match=r"The formula \$\\nothing\{x\}\$ cannot be drawn"):
        maths.picture("\\nothing{x}")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_every_formula_of_a_notebook_can_be_drawn(file):
    for cell in nbformat.read(file, as_version=4).cells:
        if cell.cell_type == "markdown":
            assert "$$" not in maths.with_pictures(cell.source, lambda text: re.sub("`[^`]*`", "", text))


# --- pages ------------------------------------------------------------------------------------------------------
def test_a_notebooks_page_has_prose_folded_code_and_pictures_and_no_script():
    dot = base64.b64encode(b"png").decode()
    outputs = [
        new_output("display_data", {"image/png": dot}),
        new_output("execute_result", {"text/markdown": "n is **3**, $x$"}, execution_count=1),
        new_output("stream", name="stderr", text="progress"),
    ]
    cells = [new_markdown_cell("# A & B"), new_code_cell("n = 1 < 2", outputs=outputs, execution_count=1)]
    shown = pages.notebook(new_notebook(cells=cells))
    assert "A &amp; B" in shown
    assert "<details><summary>code</summary>" in shown
    assert f"data:image/png;base64,{dot}" in shown
    assert "<strong>3</strong>" in shown
    assert 'alt="x"' in shown
    assert "progress" not in shown
    assert "<script" not in shown
    assert "In&nbsp;" not in shown


def test_tables_are_cut_and_estimates_have_their_interval(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n" + "1,\n" * 100)
    shown = pages.table(tmp_path / "a.csv")
    assert shown.count("<tr") == pages.MOST_ROWS + 1
    assert "of 100 rows" in shown
    assert "nan" not in shown.lower()
    (tmp_path / "m.json").write_text('{"a": {"value": 0.5, "n": 3, "low": 0.25}, "files": {"found": 3}}')
    cells = re.findall(r"<td>(.*?)</td>", pages.estimates(tmp_path / "m.json"))
    assert cells == ["a", "0.5", "0.25", "", "3", ""]


def test_the_sentence_of_a_figure_is_the_next_one_said():
    def said(text):
        return new_code_cell("view.say()", outputs=[new_output("display_data", {"text/markdown": text})])

    save = 'style.save(fig, out / "figures", "{}")'
    cells = [new_code_cell(save.format("a")), said("of a"), said("more"), new_code_cell(save.format("b")),
             new_code_cell(save.format("c")), said("of c")]  # fmt: skip
    assert report.said_after(new_notebook(cells=cells)) == {"a": "of a", "c": "of c"}


# --- the list of figures ----------------------------------------------------------------------------------------
def test_the_list_in_docs_is_that_of_the_notebooks():
    assert catalogue.main([]) == 0, "python -m tools.site.catalogue --fix"


def test_the_list_holds_every_committed_figure_and_no_other():
    """Oracle: git's own list of the demo's pictures."""
    listed = subprocess.run(
        ["git", "ls-files", "outputs/demo/*.png"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    known = {f"outputs/demo/{one.png}" for one in catalogue.catalogue(ROOT)}
    assert known == set(listed.stdout.split()), "run `make repro` and commit its figures"


def test_the_command_of_a_figure_names_a_stage_that_writes_it():
    page = (ROOT / catalogue.PAGE).read_text(encoding="utf-8")
    commands = re.findall(r"\.\./outputs/demo/(\w+)/figures/.*`make repro ARGS=(\w+)`", page)
    assert len(commands) == len(catalogue.catalogue(ROOT))
    stages = params.read_yaml(ROOT / "dvc.yaml")["stages"]
    for folder, stage in commands:
        outs = [path for out in stages[stage]["outs"] for path in (out if isinstance(out, dict) else [out])]
        assert f"outputs/${{profile}}/{folder}/figures" in outs
    for notebook in catalogue.others(ROOT):
        assert notebook.name in page


# --- the picture ------------------------------------------------------------------------------------------------
@pytest.mark.pipeline
def test_the_first_picture_is_made_by_the_shipped_weights_and_small():
    data = (ROOT / catalogue.FRONT).read_bytes()
    facts = Image.open(io.BytesIO(data)).text
    assert facts[picture.MADE_WITH] == picture.digest(ROOT / "weights" / "demo"), "python -m tools.picture"
    assert len(data) <= 300_000
    again = picture.draw(ROOT / "weights" / "demo", int(facts[picture.PATIENT]), 1)
    assert hashlib.sha256(again).hexdigest() == hashlib.sha256(data).hexdigest()  # pytest would print the difference
    assert f"({catalogue.FRONT.as_posix()})" in (ROOT / "README.md").read_text(encoding="utf-8")


# --- the site ---------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def site(smoke_copy, tmp_path_factory) -> Path:
    """The site of smoke's results, the tour and the lessons without outputs."""
    folder = tmp_path_factory.mktemp("report") / "site"
    report.build(smoke_copy, smoke_copy / "outputs" / "smoke", folder, lambda file: file)
    return folder


@pytest.mark.pipeline
def test_the_site_holds_every_notebook_figure_table_and_card(site, smoke_copy):
    index = (site / "index.html").read_text(encoding="utf-8")
    for file in NOTEBOOKS:
        assert f'href="notebooks/{file.stem}.html"' in index
    shown = (site / "figures.html").read_text(encoding="utf-8")
    pictures = sorted((smoke_copy / "outputs/smoke").glob("*/figures/*.png"))
    for file in pictures:
        name = f"{file.parent.parent.name}_{file.name}"
        assert f'src="figures/{name}"' in shown
        assert (site / "figures" / name).read_bytes() == file.read_bytes()
    assert shown.count("Made by <code>") == len(pictures) + 1
    tables = (site / "tables.html").read_text(encoding="utf-8")
    for file in (smoke_copy / "outputs/smoke").glob("*/tables/*.csv"):
        assert f"tables/{file.name}" in tables
    assert "Not for." in (site / "cards.html").read_text(encoding="utf-8")
    for page in site.rglob("*.html"):
        assert "synthetic phantom" in page.read_text(encoding="utf-8"), page.name


@pytest.mark.pipeline
def test_the_site_has_no_outside_script_and_names_no_path_of_this_machine(site):
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = page.read_text(encoding="utf-8")
        assert str(ROOT) not in text, page.name
        if (
            page.name == "map.html"
        ):  # the one page with a script, whole in itself; what it asks for is tested in a browser
            assert not re.search(r"<script[^>]+src=|<link[^>]+href=", text)
        else:
            assert "<script" not in text, page.name
            assert not re.search(r'(?:src|<link[^>]+href)="(?:https?:)?//', text), page.name


@pytest.mark.pipeline
def test_results_that_were_never_made_are_one_sentence(smoke_copy, tmp_path):
    with pytest.raises(FileNotFoundError, match="it is made by stage simulate; run `make repro`"):
        report.build(smoke_copy, tmp_path / "nothing", tmp_path / "site", lambda file: file)


@pytest.mark.pipeline
@pytest.mark.browser
def test_the_site_opens_without_a_network_and_asks_for_files_only(site):
    asked, broken = [], []
    with lab.chromium(lab.needed_program()) as browser:
        page = browser.new_context(offline=True, java_script_enabled=True).new_page()
        page.on("request", lambda request: asked.append(request.url))
        for file in sorted(site.rglob("*.html")):
            page.goto(file.as_uri())
            page.evaluate("() => document.querySelectorAll('img').forEach(image => { image.loading = 'eager' })")
            page.wait_for_function("() => Array.from(document.images).every(image => image.complete)")
            script = "() => Array.from(document.images).filter(image => !image.naturalWidth).map(image => image.alt)"
            broken += [f"{file.name}: {name}" for name in page.evaluate(script)]
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert len(asked) >= len(list(site.rglob("*.html")))
    assert broken == []


# --- executed copies --------------------------------------------------------------------------------------------
def test_a_lesson_is_executed_again_only_when_something_changed(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    notebook = tmp_path / "notebooks" / "a.ipynb"
    cells = [new_code_cell("n = 1", metadata={"tags": ["parameters"]})]
    nbformat.write(new_notebook(cells=cells), notebook)
    calls = []

    def run(words, **_):
        calls.append(words)
        (tmp_path / executed.KEEP).mkdir(parents=True, exist_ok=True)
        (tmp_path / executed.KEEP / "a.ipynb").write_text("executed")
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(executed.subprocess, "run", run)
    assert executed.executed(tmp_path, notebook).read_text() == "executed"
    assert executed.executed(tmp_path, notebook) == tmp_path / executed.KEEP / "a.ipynb"
    assert len(calls) == 1
    assert calls[0][:3] == [sys.executable, "-m", "cmr_lib.run"]
    notebook.write_text(notebook.read_text() + "\n")
    executed.executed(tmp_path, notebook)
    assert len(calls) == 2


def test_a_lesson_that_fails_is_one_sentence(tmp_path, monkeypatch):
    notebook = tmp_path / "a.ipynb"
    notebook.write_text("{}")
    failed = subprocess.CompletedProcess([], 1, "", "cell 1\na.ipynb: cell 3 raised ValueError: no")
    monkeypatch.setattr(executed.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match=r"a\.ipynb did not run: a\.ipynb: cell 3 raised ValueError: no"):
        executed.executed(tmp_path, notebook)
