"""Reading against the number of studies: tenfold studies in at most eleven times the time, memory and open files flat.

`python -m benchmarks.many_studies --studies 100 1000 --out many.json` on a quiet machine. The studies are tiny
synthetic ones (one cine slice), so that what does not belong to a study shows. Memory is the sum over this process and
its workers, shared pages counted more than once.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.log_line import say
from benchmarks.reading import phantom_studies
from cmr_lib import params, project
from cmr_lib.clips.build import read_all
from cmr_lib.clips.resume import Kept
from cmr_lib.clips.work import Work
from cmr_lib.ingest.files import walk

POLL_S = 0.2
SHAPE = params.ClipShape(size_px=64, spacing_mm=2.0, phases=8)


def copies(source: Path, folder: Path, count: int) -> list[Path]:
    """Folders that hold the same images of one slice under names of their own."""
    files = [path.read_bytes() for path in list(walk(source))[:12]]
    places = [folder / f"{number:05d}" for number in range(count)]
    for place in places:
        place.mkdir()
        for number, data in enumerate(files):
            (place / f"{number}.dcm").write_bytes(data)
    return places


class Watch(threading.Thread):
    """Sees the memory and open files of this process and its children, five times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[int, int]] = []
        self.over = threading.Event()

    def run(self) -> None:
        """Watch until `over` is set."""
        me = psutil.Process()
        while not self.over.wait(POLL_S):
            size, files = 0, me.num_fds()
            for process in [me, *me.children(recursive=True)]:
                try:
                    size += process.memory_info().rss
                except psutil.Error:  # it has just ended
                    continue
            self.seen.append((size, files))


def measure(places: list[Path], workers: int, kept: Path) -> dict[str, float]:
    """Seconds for all studies; largest memory (MiB) and open files of the second tenth of the run and of its last."""
    watch = Watch()
    watch.start()
    key = project.PUBLIC_DEMO_KEY
    start, read = time.perf_counter(), 0
    for study in read_all(places, Work(key, SHAPE, Kept(kept, key, "benchmark")), workers, progress=False):
        read += bool(study.clips)
    seconds = time.perf_counter() - start
    watch.over.set()
    watch.join()
    tenth = max(1, len(watch.seen) // 10)
    early, late = watch.seen[tenth : 2 * tenth] or watch.seen, watch.seen[-tenth:]
    return {
        "studies": len(places),
        "read": read,
        "seconds": seconds,
        "early_mib": max(size for size, _ in early) / 2**20,
        "late_mib": max(size for size, _ in late) / 2**20,
        "early_files": max(files for _, files in early),
        "late_files": max(files for _, files in late),
    }


def main(words: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--studies", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the numbers go as JSON; default: to the screen only")
    chosen = parser.parse_args(words)
    result: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        source = phantom_studies(Path(scratch))[0]
        for count in chosen.studies:
            folder = Path(scratch) / f"of {count}"
            folder.mkdir()
            result.append(measure(copies(source, folder, count), chosen.workers, Path(scratch) / f"kept of {count}"))
    if chosen.out:
        project.write_json(chosen.out, result)
    print(json.dumps(project.rounded(result), indent=1))
    first, last = result[0], result[-1]
    more, longer = last["studies"] / first["studies"], last["seconds"] / first["seconds"]
    say(
        [
            f"{more:.1f} times the studies in {longer:.1f} times the time",
            *(
                f"{row['studies']} tiny studies {row['seconds']:.1f} s, memory {row['early_mib']:.0f} MiB early and "
                f"{row['late_mib']:.0f} late, open files {row['early_files']} and {row['late_files']}"
                for row in result
            ),
        ]
    )


if __name__ == "__main__":
    main()
