"""What the stage preprocess costs: time, memory and open files against the number of studies.

`python -m benchmarks.preprocess --studies 100 1000 --out preprocess.json` on a quiet machine (the synthetic hospital of
the demo is written first, about 0.4 core-seconds a study; it is not counted). Wanted: ten times the studies in at most
eleven times the time, memory and open files flat. The shipped path with all its checks: reading, cropping, quality,
what is kept to go on from, store, tables and data card. Memory is the proportional set size (shared pages counted once)
of the process and its children, seen every 0.2 s. A second run, which must find nothing to do, is timed too.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.log_line import say
from cmr_lib import params, project
from cmr_lib.clips import build
from cmr_lib.simulate import cohort

POLL_S = 0.2


def write_hospital(studies: int, folder: Path, workers: int) -> None:
    """A demo-like hospital of about that many studies."""
    values = params.read_yaml(Path("params/demo/simulate.yaml")) | {"out_dir": "unused", "data_dir": str(folder)}
    values["hospital"] |= {"n_patients": max(1, round(studies / 1.2))}
    values["external"] = dict.fromkeys(values["external"], 0)
    cohort.write_hospital(params.Simulate(**values | {"workers": workers}), progress=False)


def run(folder: Path, workers: int) -> None:
    """The stage, as the notebook calls it."""
    values = params.read_yaml(Path("params/demo/preprocess.yaml"))
    values |= {"out_dir": str(folder / "out"), "data_dir": str(folder / "data"), "workers": workers}
    build.preprocess(params.Preprocess(**values), progress=False)


def _now(process: psutil.Process) -> tuple[int, int]:
    """Bytes and open files of a process and its children; what has just ended counts nothing."""
    memory, files = 0, 0
    for member in [process, *process.children(recursive=True)]:
        try:
            memory += member.memory_full_info().pss
            files += member.num_fds()
        except psutil.Error:
            continue
    return memory, files


def watched(folder: Path, workers: int) -> dict[str, float]:
    """Wall seconds of one run in a process of its own, and the most memory and open files seen."""
    child = multiprocessing.get_context("spawn").Process(target=run, args=(folder, workers))
    start, most, open_files = time.perf_counter(), 0, 0
    child.start()
    while child.is_alive():
        try:
            memory, files = _now(psutil.Process(child.pid))
        except psutil.Error:
            break
        most, open_files = max(most, memory), max(open_files, files)
        child.join(POLL_S)
    child.join()
    if child.exitcode:
        raise RuntimeError(f"The stage ended with exit code {child.exitcode}.")
    return {"seconds": time.perf_counter() - start, "peak_mib": most / 2**20, "open_files": open_files}


def measure(studies: int, workers: int) -> dict[str, Any]:
    """One size: the first run, the second one, and how many studies there really were."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_hospital(studies, folder / "data", workers)
        found = len(list((folder / "data" / "studies").glob("*.zip")))
        first = watched(folder, workers)
        return {"studies": found, **first, "second_run_seconds": watched(folder, workers)["seconds"]}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.preprocess", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--studies", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the numbers go as JSON")
    args = parser.parse_args()
    rows = [measure(studies, args.workers) for studies in args.studies]
    for row in rows:
        print(", ".join(f"{name} {value:,.1f}" for name, value in row.items()))
    if args.out:
        project.write_json(args.out, {"workers": args.workers, "runs": rows})
    first, last = rows[0], rows[-1]
    grown = (
        f"{last['studies'] / first['studies']:.1f} times the studies in {last['seconds'] / first['seconds']:.1f} times"
    )
    say(
        [
            f"{grown} the time",
            *(
                f"{row['studies']} studies {row['seconds']:.0f} s, peak {row['peak_mib']:.0f} MiB, "
                f"{row['open_files']} open files, a second run {row['second_run_seconds']:.1f} s"
                for row in rows
            ),
        ]
    )


if __name__ == "__main__":
    main()
