"""The runner: refuses wrong parameters, gives the same copy twice, leaves no ruins when a cell raises."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from cmr_lib import params
from cmr_lib.run import __main__ as runner
from cmr_lib.run import executed as executed_copy
from cmr_lib.run import kernel, source

OTHERS = {"data_dir": "d", "judged": 3, "sweep": {"draws": 1, "neighbours": [5]}, "hearts": 3, "second": 0,
          "study": None, "bootstrap": 9}  # fmt: skip
UMAP_CELL = 'out_dir = "o"\nin_root = "i"\nseed = 0\nneighbours = 3\nmin_dist = 0.5\nmetric = "cosine"' + "".join(
    f"\n{name} = {value!r}" for name, value in OTHERS.items()
)
UMAP_FILE = "seed: 1\nneighbours: 5\nmin_dist: 1e-1\nmetric: cosine\n" + "".join(
    f"{name}: {json.dumps(value)}\n" for name, value in OTHERS.items()
)
BUSY = """
import sys, time
from tqdm import tqdm
print("threads", os.environ["OMP_NUM_THREADS"], os.environ["CMR_RUN"])
for step in tqdm(range(3)):
    print("step", step, min_dist, flush=True)
    print("no" + "ise", file=sys.stderr, flush=True)
    time.sleep(0.05)
if seed == 13:
    raise ValueError("unlucky seed in " + in_root)
if seed == 14:
    open("started", "w").close()
    time.sleep(60)
"""
PICTURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2], label=in_root);"


@pytest.fixture
def repository(tmp_path):
    """A small repository with one notebook of the umap stage."""
    nb = new_notebook(metadata={"kernelspec": executed_copy.KERNELSPEC})
    nb.cells = [
        new_markdown_cell("# A map"),
        new_code_cell(UMAP_CELL, metadata={"tags": ["parameters"]}),
        new_code_cell("import os" + BUSY),
        new_code_cell(PICTURE),
    ]
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "umap.yaml").write_text(UMAP_FILE)
    nbformat.write(nb, tmp_path / "notebooks" / "06_umap.ipynb")
    return tmp_path


def command(out: str, *settings: str) -> list[str]:
    places = ("out_dir=out", "in_root=/somewhere/private", *settings)
    flags = [flag for setting in places for flag in ("-s", setting)]
    return [sys.executable, "-m", "cmr_lib.run", "notebooks/06_umap.ipynb", out, "-f", "umap.yaml", *flags]


def call(folder: Path, out: str, *settings: str) -> subprocess.CompletedProcess:
    return subprocess.run(command(out, *settings), cwd=folder, capture_output=True, text=True, timeout=120)


# --- parameters -------------------------------------------------------------------------------------------------
def refused(capsys, monkeypatch, folder: Path, *settings: str) -> str:
    """What the runner says, in this process; nothing may have been written and no kernel started."""
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    assert runner.main(command("out/copy.ipynb", *settings)[3:]) == 2
    assert sorted(folder.rglob("*")) == before
    return capsys.readouterr().err


def test_unknown_parameter_is_refused_with_the_right_name(repository, capsys, monkeypatch):
    said = refused(capsys, monkeypatch, repository, "neighbors=4")
    assert said == "umap: unknown parameter neighbors; did you mean neighbours?\n"


def test_mistyped_parameter_is_refused(repository, capsys, monkeypatch):
    said = refused(capsys, monkeypatch, repository, "neighbours=many")
    assert "neighbours" in said
    assert "integer" in said
    assert "'many'" in said


def test_unreadable_setting_is_refused(repository, capsys, monkeypatch):
    assert "not YAML" in refused(capsys, monkeypatch, repository, "neighbours=[")
    assert "key.sub=value" in refused(capsys, monkeypatch, repository, "neighbours")


def test_parameter_that_the_notebook_does_not_define_is_refused(repository, capsys, monkeypatch):
    file = repository / "notebooks" / "06_umap.ipynb"
    nb = nbformat.read(file, as_version=4)
    nb.cells[1].source = nb.cells[1].source.replace("metric", "measure")
    nbformat.write(nb, file)
    assert "does not define metric" in refused(capsys, monkeypatch, repository)


def test_missing_notebook_is_a_sentence(repository, capsys, monkeypatch):
    monkeypatch.chdir(repository)
    assert runner.main(["notebooks/07_nothing.ipynb", "out/copy.ipynb"]) == 1
    assert capsys.readouterr().err.endswith("07_nothing.ipynb not found.\n")


def test_outside_a_clone_is_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runner.main(["a.ipynb", "b.ipynb"]) == 1
    assert "No dvc.yaml here or above" in capsys.readouterr().err


def test_powers_of_ten_in_yaml_are_numbers(repository):
    nb = nbformat.read(repository / "notebooks" / "06_umap.ipynb", as_version=4)
    values = source.collect(nb, "umap", [repository / "umap.yaml"], ["out_dir=o", "in_root=i", "min_dist=1e-3"])
    assert values["min_dist"] == 0.001


def test_defaults_of_the_cell_apply_only_without_a_file(repository):
    nb = nbformat.read(repository / "notebooks" / "06_umap.ipynb", as_version=4)
    assert source.collect(nb, "umap", [], ["seed=9"]) | {"seed": 0} == source.collect(nb, "umap", [], [])
    with pytest.raises(params.ParameterError, match="out_dir is missing"):
        source.collect(nb, "umap", [repository / "umap.yaml"], ["in_root=i"])


def test_local_section_wins_over_the_file_for_its_stage_only(repository):
    (repository / "local.yaml").write_text("umap:\n  neighbours: 7\nretrieval:\n  seed: 5\n")
    nb = nbformat.read(repository / "notebooks" / "06_umap.ipynb", as_version=4)
    values = source.collect(nb, "umap", [repository / "umap.yaml"], ["out_dir=o", "in_root=i"])
    assert (values["neighbours"], values["seed"]) == (7, 1)
    (repository / "local.yaml").write_text("umpa: {}\n")
    with pytest.raises(params.ParameterError, match="unknown stage umpa"):
        source.collect(nb, "umap", [repository / "umap.yaml"], [])


@pytest.mark.parametrize(
    ("notebook", "files", "stage"),
    [
        ("06_umap.ipynb", [], "umap"),
        ("06_umap.ipynb", ["params/demo/retrieval.yaml", "more.yaml"], "retrieval"),
        ("00_tour.ipynb", [], None),
    ],
)
def test_stage_is_named_by_the_first_file_then_by_the_notebook(notebook, files, stage):
    assert source.stage_of(Path(notebook), files) == stage


def test_parameters_cell_must_be_one_and_plain():
    cell = new_code_cell("a = 1\nb: float = 2.5\nc = undefined()", metadata={"tags": ["parameters"]})
    found = source.parameters_cell(new_notebook(cells=[cell]))
    assert found == {"a": 1, "b": 2.5, "c": source.NO_DEFAULT}
    with pytest.raises(source.RunError, match="found 0"):
        source.parameters_cell(new_notebook())
    cell.source = "%load_ext autoreload"
    with pytest.raises(source.RunError, match="not plain Python"):
        source.parameters_cell(new_notebook(cells=[cell]))


# --- the copy ---------------------------------------------------------------------------------------------------
def executed(*outputs) -> nbformat.NotebookNode:
    return new_notebook(cells=[new_code_cell("show()", outputs=list(outputs))], metadata={"papermill": {"start": 1}})


def stream(name: str, text: str):
    return new_output("stream", name=name, text=text)


def test_normalised_copy_does_not_depend_on_how_stdout_arrived():
    whole = executed(stream("stdout", "one\ntwo\n"))
    pieces = executed(stream("stdout", "one\n"), stream("stderr", "50%"), stream("stdout", "two\n"))
    assert nbformat.writes(executed_copy.normalise(whole)) == nbformat.writes(executed_copy.normalise(pieces))


def test_normalised_copy_keeps_tags_and_results_only():
    nb = executed(
        new_output("display_data", {"text/plain": "42"}), new_output("display_data", {executed_copy.WIDGET: {}})
    )
    nb.cells[0].metadata = {"tags": ["parameters"], "execution": {"iopub": 1}, "papermill": {"duration": 2}}
    clean = executed_copy.normalise(nb)
    assert dict(clean.metadata) == {"kernelspec": executed_copy.KERNELSPEC}
    assert dict(clean.cells[0].metadata) == {"tags": ["parameters"]}
    assert [output.data for output in clean.cells[0].outputs] == [{"text/plain": "42"}]
    assert "papermill" in nb.metadata, "the raw notebook is left as it was"


def test_private_paths_are_named_and_not_shown():
    values = {"out_dir": "outputs/x", "cohort": {"studies": "/mnt/hospital", "reports": "/mnt/hospital/r.csv"}}
    private = dict(executed_copy.private_paths(values))
    assert private == {"/mnt/hospital": "cohort.studies", "/mnt/hospital/r.csv": "cohort.reports"}
    assert dict(executed_copy.private_paths({"studies": "../hospital/Name"})) == {"../hospital/Name": "studies"}
    clean = executed_copy.normalise(executed(stream("stdout", "read /mnt/hospital/r.csv of /mnt/hospital\n")), private)
    assert clean.cells[0].outputs[0].text == "read <cohort.reports> of <cohort.studies>\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("saved {cwd}/outputs", "path of this machine"),
        ("{home}/x", "path of this machine"),
        ("<Axes at 0x7f12ab34cd56>", "memory address"),
        ("x" * 1_100_000, "larger than 1 MB; heaviest: cell 1 1.10 MB"),
        ("outputs/demo/x.png 0x10 https://example.org/a", None),
    ],
)
def test_copy_with_machine_facts_is_refused(text, fault, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/some/body")
    text = text.format(cwd=Path.cwd(), home=Path.home())
    found = executed_copy.complaints(executed_copy.normalise(executed(stream("stdout", text))))
    assert (fault in found[0]) if fault else not found


# --- whole runs -------------------------------------------------------------------------------------------------
@pytest.mark.pipeline
def test_two_runs_give_equal_bytes_and_leave_no_partial_copy(repository):
    for name in ("first", "second"):
        done = call(repository, f"{name}/06_umap.ipynb")
        assert done.returncode == 0, done.stderr
    first, second = (repository / name / "06_umap.ipynb" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    text = first.read_text()
    assert "step" in text
    assert "0.1" in text
    assert "image/png" in text
    assert "/somewhere" not in text
    assert "<in_root>" in text
    assert "noise" not in text
    assert list((repository / "outputs/.run").iterdir()) == []
    assert json.loads((repository / "first/run.json").read_text())["seconds"] > 0
    assert "cell 5 of 5" in done.stderr
    assert "encryption" not in done.stderr


@pytest.mark.pipeline
def test_failing_cell_is_named_and_leaves_the_output_alone(repository):
    out = repository / "out" / "06_umap.ipynb"
    out.parent.mkdir()
    out.write_text("the last good copy")
    done = call(repository, "out/06_umap.ipynb", "seed=13")
    assert done.returncode == 1
    assert "cell 4 raised ValueError: unlucky seed" in done.stderr
    assert "outputs/.run/06_umap.ipynb" in done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_text() == "the last good copy"
    partial = (repository / "outputs/.run/06_umap.ipynb").read_text()
    assert "unlucky seed" in partial
    assert "<in_root>" in partial
    assert "/somewhere/private" not in partial + done.stderr


@pytest.mark.pipeline
def test_termination_ends_the_kernel_too(repository):
    process = subprocess.Popen(command("out/copy.ipynb", "seed=14"), cwd=repository, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (repository / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    import psutil

    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert not (repository / "out").exists()


def test_the_grace_after_sigterm_can_be_lengthened_and_is_a_number(monkeypatch):
    monkeypatch.delenv("CMR_GRACE_S", raising=False)
    assert kernel.grace_s() == 30
    monkeypatch.setenv("CMR_GRACE_S", "150")
    assert kernel.grace_s() == 150
    for wrong in ("long", "-1", "nan"):
        monkeypatch.setenv("CMR_GRACE_S", wrong)
        with pytest.raises(params.ParameterError, match=f"CMR_GRACE_S='{wrong}'"):
            kernel.fix_environment()  # before anything is started


def test_help_answers_without_heavy_libraries():
    heavy = ("torch", "papermill", "nbformat", "pandas", "matplotlib", "transformers")
    code = (
        "import sys\ntry:\n    from cmr_lib.run.__main__ import main; main(['--help'])\nexcept SystemExit as stop:\n"
        f"    print(stop.code, [name for name in {heavy} if name in sys.modules])"
    )
    took = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        took.append(time.perf_counter() - started)
        assert done.stdout.splitlines()[-1] == "0 []"
    assert min(took) < 1.0
