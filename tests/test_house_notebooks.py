"""Notebooks in git, lessons included, are canonical essays, and saving them in JupyterLab keeps them so."""

import asyncio
import copy
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import hygiene

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(file for file in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in file.parts)


def used_notebook() -> nbformat.NotebookNode:
    """As JupyterLab holds it after a walk through: outputs, counts, times, language info."""
    cells = [
        new_markdown_cell("# Title\n\nText with an é"),
        new_code_cell("seed = 1\nsize = 2", metadata={"tags": ["parameters"], "execution": {"iopub": "2026"}}),
        new_code_cell("seed", execution_count=7, outputs=[new_output("execute_result", {"text/plain": "1"})]),
    ]
    cells[2].metadata = {"collapsed": True, "papermill": {"duration": 1.0}, "tags": []}
    info = {
        "language_info": {"name": "python", "version": "3.11.7"},
        "widgets": {},
        "kernelspec": {"name": "venv", "display_name": "mine"},
    }
    return new_notebook(cells=cells, metadata=info)


# --- the canonical form -----------------------------------------------------------------------------------------
def test_canonical_form_keeps_source_ids_and_tags_only():
    nb = used_notebook()
    clean = json.loads(hygiene.canonical(nbformat.writes(nb)))
    assert clean["metadata"] == {"kernelspec": hygiene.KERNELSPEC}
    assert [cell["metadata"] for cell in clean["cells"]] == [{}, {"tags": ["parameters"]}, {}]
    assert [cell["id"] for cell in clean["cells"]] == [cell["id"] for cell in nb.cells]
    assert ["".join(cell["source"]) for cell in clean["cells"]] == [cell["source"] for cell in nb.cells]
    assert clean["cells"][2]["outputs"] == []
    assert clean["cells"][2]["execution_count"] is None


def test_canonical_form_is_stable_and_independent_of_layout():
    text = nbformat.writes(used_notebook())
    once = hygiene.canonical(text)
    assert hygiene.canonical(once) == once
    assert hygiene.canonical(json.dumps(json.loads(text))) == once
    assert once.endswith("}\n")
    assert "é" in once


def test_cells_without_ids_get_stable_ones():
    nb = json.loads(nbformat.writes(used_notebook()))
    nb["nbformat_minor"] = 4
    for cell in nb["cells"]:
        del cell["id"]
    clean = hygiene.canonical(json.dumps(nb))
    assert [cell["id"] for cell in json.loads(clean)["cells"]] == ["c000", "c001", "c002"]
    nbformat.validate(nbformat.reads(clean, as_version=4))


def test_faults_are_named_and_mended(tmp_path):
    file = tmp_path / "a.ipynb"
    nbformat.write(used_notebook(), file)
    assert "cells 3 hold outputs" in next(hygiene.notebook_faults(file))
    assert hygiene.fix(file)
    assert list(hygiene.notebook_faults(file)) == []
    assert not hygiene.fix(file)
    file.write_text('{"nbformat": 3}')
    assert "not a notebook of format 4" in next(hygiene.notebook_faults(file))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_notebook_in_git_is_canonical(file):
    assert list(hygiene.notebook_faults(file)) == []


# --- essays -----------------------------------------------------------------------------------------------------
ESSAY = "# Title\n\n**Question.** Why?\n\n| you need | you get | minutes on a laptop CPU (GPU) |\n|---|---|---|"


def essay(tmp_path, first: str = ESSAY, *code: str) -> Path:
    cells = [new_markdown_cell(first), new_code_cell("seed = 1", metadata={"tags": ["parameters"]})]
    file = tmp_path / "a.ipynb"
    nb = new_notebook(cells=cells + [new_code_cell(source) for source in code])
    file.write_text(hygiene.canonical(nbformat.writes(nb)), encoding="utf-8")
    return file


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_notebook_in_git_is_an_essay(file):
    assert list(hygiene.essay_faults(file)) == []


def test_lessons_are_among_the_notebooks():
    assert {file.parent.name for file in NOTEBOOKS} == {"notebooks", "lessons"}


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("def double(x):\n    return 2 * x", "def"),
        ("if seed:\n    class Thing:\n        pass", "class"),
        ("try:\n    seed\nexcept ValueError:\n    pass", "try"),
        ("async def later():\n    pass", "def"),
        ("%load_ext autoreload", "not plain Python"),
    ],
)
def test_what_belongs_in_the_library_is_found(tmp_path, code, word):
    said = list(hygiene.essay_faults(essay(tmp_path, ESSAY, "seed + 1", code)))
    assert len(said) == 1
    assert "cell 4" in said[0]
    assert word in said[0]


@pytest.mark.parametrize("missing", ["# Title", "**Question.**", "| you need | you get | minutes"])
def test_a_first_cell_without_title_question_or_table_is_found(tmp_path, missing):
    assert "first cell" in next(hygiene.essay_faults(essay(tmp_path, ESSAY.replace(missing, "x"))))


def test_a_notebook_without_parameters_is_found(tmp_path):
    file = essay(tmp_path)
    file.write_text(file.read_text().replace('"parameters"', '"other"'), encoding="utf-8")
    assert "found 0" in next(hygiene.essay_faults(file))


def test_only_notebooks_of_the_story_must_be_essays(clone):
    for folder in ("notebooks/lessons", "elsewhere"):
        (clone / folder).mkdir(parents=True)
        essay(clone / folder, "no question")
    assert [line.partition(":")[0] for line in hygiene.faults(clone)] == ["notebooks/lessons/a.ipynb"]


# --- the tree ---------------------------------------------------------------------------------------------------
@pytest.fixture
def clone(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


def test_paths_of_a_machine_are_found(clone):
    home = "/" + "home/ada/data"
    (clone / "a.md").write_text(f"fine\nsee {home} there\n")
    (clone / "b.md").write_text(f"made in {clone}/outputs\n")
    (clone / "c.md").write_text("https://example.org/home/index, /usr/bin, outputs/home/x, ../root/y\n")
    said = hygiene.faults(clone)
    assert [line.partition(": ")[0] for line in said] == ["a.md:2", "b.md:1"]


def test_images_and_growth_are_found(clone):
    (clone / "scan.DCM").write_bytes(b"x")
    (clone / "big.bin").write_bytes(b"\0" * 2000)
    files = hygiene.working_files(clone)
    assert list(hygiene.size_faults(clone, files)) == ["scan.DCM: images, volumes and pickles are not kept in git."]
    said = list(hygiene.size_faults(clone, files, limit=1000))
    assert "heaviest: big.bin" in said[1]
    (clone / ".gitignore").write_text("*.bin\n*.DCM\n")
    assert hygiene.faults(clone) == [], "ignored files do not count"


# --- saving in JupyterLab ---------------------------------------------------------------------------------------
def server_config():
    from traitlets.config import PyFileConfigLoader

    return PyFileConfigLoader("jupyter_server_config.py", path=str(ROOT)).load_config()


@pytest.mark.filterwarnings("ignore:Overriding existing pre_save_hook")  # Jupyter applies its configuration twice
def test_saving_a_stepped_through_notebook_leaves_its_bytes(tmp_path):
    from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

    file = tmp_path / "01_a.ipynb"
    file.write_text(hygiene.canonical(nbformat.writes(used_notebook())), encoding="utf-8")
    before = file.read_bytes()
    manager = AsyncLargeFileManager(config=server_config(), root_dir=str(tmp_path))

    async def step_through_and_save():
        model = await manager.get("01_a.ipynb", content=True)
        content = copy.deepcopy(model["content"])
        for count, cell in enumerate(content["cells"]):
            if cell["cell_type"] == "code":
                cell["execution_count"] = count
                cell["outputs"] = [new_output("stream", name="stdout", text="hello\n")]
                cell["metadata"]["execution"] = {"iopub.status.busy": "2026-11-23"}
        content["metadata"]["language_info"] = {"name": "python"}
        await manager.save({"type": "notebook", "content": content, "format": "json"}, "01_a.ipynb")

    asyncio.run(step_through_and_save())
    assert file.read_bytes() == before


def test_server_starts_at_the_root_and_calls_nobody():
    config = server_config()
    assert config.ServerApp.root_dir == str(ROOT)
    assert config.LabApp.news_url is None
    assert "token" not in config.get("IdentityProvider", {})
    assert "allow_root" not in config.ServerApp


@pytest.mark.pipeline
def test_real_server_accepts_the_config(tmp_path):
    code = (
        "import sys; from jupyterlab.labapp import LabApp\n"
        "app = LabApp.initialize_server(argv=['--config=jupyter_server_config.py', '--no-browser', '--port=0',"
        " '--allow-root'])\n"
        "manager = app.contents_manager\n"
        "print(manager.pre_save_hook.__name__, manager.root_dir)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=90,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["strip_on_save", str(ROOT)], done.stderr
    assert "Warning" not in done.stderr
