"""What all tests share: a fixed environment, importable tools, and clear reasons for what is skipped."""

import ast
import os
import shutil
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # `pytest` alone, unlike `python -m pytest`, leaves out the root: tools/ lies there


def _reproducible_environment() -> dict[str, str]:
    """The dictionary in cmr_lib/project.py, read and not imported: importing loads NumPy, which reads it at load."""
    tree = ast.parse((ROOT / "cmr_lib" / "project.py").read_text(encoding="utf-8"))
    nodes = (node for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name))
    return next(ast.literal_eval(node.value) for node in nodes if node.target.id == "REPRODUCIBLE_ENVIRONMENT")


for _name, _value in _reproducible_environment().items():
    if _name.endswith("_NUM_THREADS"):
        os.environ.setdefault(_name, _value)  # a crowded machine may want one
    else:
        os.environ[_name] = _value
os.environ["MPLBACKEND"] = "Agg"
os.environ["DVC_NO_ANALYTICS"] = "1"
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(Path(tempfile.gettempdir()) / "cmr-hypothesis")  # not beside the code
# What tests read of toy splits is no reading of the demo's test split.
os.environ["CMR_TEST_SPLIT_LOG"] = str(Path(tempfile.gettempdir()) / f"cmr-tests-{os.getpid()}" / "readings.jsonl")


# Hypothesis tries the same examples in every run: a test that fails for one person fails for all.
hypothesis.settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("reproducible")


def real_data_folder() -> Path | None:
    """Where the real studies' archives lie: $CMR_REAL_DATA, or shared/data beside the repository."""
    named = os.environ.get("CMR_REAL_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if any(folder.glob("*.tar.*")) else None


@pytest.fixture(scope="session")
def ten_studies(tmp_path_factory) -> Path:
    """A folder with ten zipped phantom studies of ten patients, reports.csv and truth.csv: made once, never changed.

    One more report has no images. The text names nobody.
    """
    from cmr_lib import params
    from cmr_lib.simulate import cohort

    folder = tmp_path_factory.mktemp("ten_studies")
    values = params.read_yaml(ROOT / "params/smoke/simulate.yaml") | {"out_dir": str(folder), "data_dir": str(folder)}
    shares = {"repeat_share": 0.0, "no_report_share": 0.0, "orphan_report_share": 0.1}
    values |= {"hospital": {"n_patients": 10} | shares, "external": dict.fromkeys(values["external"], 0)}
    values["reader"] |= {"identifier_share": 0.0}
    cohort.write_hospital(params.check("simulate", values | {"seed": 77, "workers": 1}), progress=False)
    return folder


@pytest.fixture(scope="session")
def smoke_copy() -> Path:
    """A copy of the working files in which smoke has run from nothing, made once for all tests that need its results.

    While you work on a notebook, $CMR_SMOKE_COPY may name a copy below .ws/ that has run already: its files are
    refreshed and nothing is run.
    """
    from tools import workspace

    name = os.environ.get("CMR_SMOKE_COPY")
    if not name:
        shutil.rmtree(ROOT / ".ws" / "test-smoke", ignore_errors=True)
    copy = workspace.refresh(ROOT, "smoke", name or "test-smoke")
    assert name or workspace.reproduce(copy, ["--force"]) == 0
    return copy


@pytest.fixture
def real_data() -> Path:
    """Folder of the real studies' archives; the test is skipped where they are absent."""
    folder = real_data_folder()
    if folder is None:
        pytest.skip("real studies are not at hand: set CMR_REAL_DATA to the folder of their archives")
    return folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("real_data") and real_data_folder() is None:
        pytest.skip("real studies are not at hand: set CMR_REAL_DATA to the folder of their archives")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
    if "torch" in sys.modules:
        threads = int(os.environ["OMP_NUM_THREADS"])
        if sys.modules["torch"].get_num_threads() != threads:
            sys.modules["torch"].set_num_threads(threads)
