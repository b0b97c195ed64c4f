"""What the synthetic hospital costs: core-seconds a study, time and memory against the number of studies.

`python -m benchmarks.hospital --studies 200 2000 --out hospital.json` on a quiet machine. Wanted: 0.4 core-seconds a
demo study at most, memory flat below 1.5 GiB, ten times the studies in at most eleven times the time. Memory is the
proportional set size (shared pages counted once) of the process that writes and all its children, seen every 0.2 s.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from cmr_lib import params, project
from cmr_lib.params import Simulate
from cmr_lib.simulate import cohort

POLL_S = 0.2
FOLDERS = {"out_dir": "unused", "data_dir": "unused"}  # replaced for each run


def demo(n_patients: int, folder: Path, workers: int) -> Simulate:
    """The demo's hospital with another number of patients and no external cohort."""
    values = params.read_yaml(Path("params/demo/simulate.yaml")) | FOLDERS
    values["hospital"] |= {"n_patients": n_patients}
    values["external"] = dict.fromkeys(values["external"], 0)
    return Simulate(**values | {"data_dir": str(folder), "workers": workers})


def patients_for(studies: int) -> int:
    """The fewest patients who bring that many studies (repeats and orphan reports included)."""
    low, high = 1, studies
    while low < high:
        middle = (low + high) // 2
        enough = len(cohort.visits(demo(middle, Path("unused"), 1))) >= studies
        low, high = (low, middle) if enough else (middle + 1, high)
    return low


def core_seconds(studies: int) -> dict[str, float]:
    """Processor time a study, made in memory by one process; the first (imports, tables) is not counted."""
    settings = demo(studies + 1, Path("unused"), 1)
    planned = [visit for visit in cohort.visits(settings) if visit.has_images][: studies + 1]
    cohort.make_study(settings, planned[0])
    start, files = time.process_time(), 0
    for visit in planned[1:]:
        files += sum(row["files"] for row in cohort.make_study(settings, visit).contents)
    return {"core_s_a_study": (time.process_time() - start) / studies, "files_a_study": files / studies, "n": studies}


def _tree_bytes(process: psutil.Process) -> int:
    """Proportional set size of a process and its children; those that have just ended count nothing."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def _sizes(worker: multiprocessing.Process) -> Iterator[int]:
    """Memory of a process tree while it runs."""
    while worker.is_alive():
        try:
            yield _tree_bytes(psutil.Process(worker.pid))
        except psutil.Error:
            return
        time.sleep(POLL_S)


def _write(settings: Simulate) -> None:
    cohort.write_hospital(settings)


def whole_run(studies: int, workers: int) -> dict[str, Any]:
    """Wall time, peak memory and bytes of a hospital of `studies` studies, written in a process of its own."""
    patients = patients_for(studies)
    with tempfile.TemporaryDirectory() as folder:
        settings = demo(patients, Path(folder), workers)
        worker = multiprocessing.get_context("spawn").Process(target=_write, args=(settings,))
        start = time.perf_counter()
        worker.start()
        seen = list(_sizes(worker))
        worker.join()
        seconds = time.perf_counter() - start
        if worker.exitcode:
            raise RuntimeError(f"The run of {studies} studies ended with {worker.exitcode}.")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.zip"))
    half = len(seen) // 2
    return {
        "studies": len(cohort.visits(settings)),
        "patients": patients,
        "wall_s": seconds,
        "peak_mib": max(seen) / 2**20,
        "peak_mib_first_half": max(seen[:half]) / 2**20,
        "zips_mib": size / 2**20,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, nargs="+", default=[200, 2000], help="sizes of the hospitals to write")
    parser.add_argument("--single", type=int, default=40, help="studies made one by one for the core-seconds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    options = parser.parse_args()
    project.chdir_root()
    found = {"cores": os.cpu_count(), "workers": options.workers, "one_process": core_seconds(options.single)}
    print(json.dumps(found))
    found["runs"] = [whole_run(studies, options.workers) for studies in options.studies]
    first, last = found["runs"][0], found["runs"][-1]
    found["time_ratio"] = last["wall_s"] / first["wall_s"]
    found["studies_ratio"] = last["studies"] / first["studies"]
    print(json.dumps(found, indent=1))
    if options.out:
        project.write_json(options.out, found)


if __name__ == "__main__":
    main()
