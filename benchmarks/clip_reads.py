"""Random reads of clips: the store's memory-mapped shards against one compressed .npz a study.

`python -m benchmarks.clip_reads --studies 300 --reads 2000 --out reads.json` on a quiet machine. Wanted: ten times the
reads a second of np.load on an .npz (what one gets from keeping a study's arrays in a file). Both hold the same clips,
answer the same random questions in the same order and copy the frames they return; rounds are interleaved, the files
are in the page cache of both, and every answer is compared once.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.log_line import say
from cmr_lib import project
from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.clips.store import ClipStore, write_store
from cmr_lib.types import Sequence, View

CLIPS, FRAMES, SIZE = 13, 12, 80  # as a study of the demo
Reader = Callable[[str, int], np.ndarray]


def study(number: int) -> list[PreparedClip]:
    """Clips that compress as images do: smooth, with noise."""
    random = project.rng(0, "benchmark", number)
    rows, cols = np.indices((SIZE, SIZE)) / SIZE
    base = 120 + 80 * np.sin(7 * rows + number) * np.cos(5 * cols)
    frames = base + random.normal(0, 6, (CLIPS, FRAMES, SIZE, SIZE))
    stored = np.clip(frames, 0, 255).astype(np.uint8)
    return [PreparedClip(one, View.SAX, Sequence.CINE, i, 0.5, 0.35, 2.0) for i, one in enumerate(stored)]


def write_both(folder: Path, studies: int) -> tuple[dict[str, Reader], list[str]]:
    """The same studies as a store, as compressed and as plain .npz; a reader of each and the studies' names."""
    names = [f"{number:016x}" for number in range(studies)]
    write_store(folder / "store", ((name, study(number)) for number, name in enumerate(names)))
    for kind, save in (("npz", np.savez_compressed), ("npz, not compressed", np.savez)):
        (folder / kind).mkdir()
        for number, name in enumerate(names):
            save(folder / kind / f"{name}.npz", **{f"c{i}": clip.frames for i, clip in enumerate(study(number))})
    store = ClipStore(folder / "store")
    first = {name: int(rows.index[0]) for name, rows in store.index.groupby("study_key")}

    def from_npz(kind: str) -> Reader:
        def read(name: str, clip: int) -> np.ndarray:
            with np.load(folder / kind / f"{name}.npz") as archive:
                return archive[f"c{clip}"]

        return read

    readers: dict[str, Reader] = {"store": lambda name, clip: np.array(store.frames(first[name] + clip))}
    return readers | {kind: from_npz(kind) for kind in ("npz", "npz, not compressed")}, names


def measure(studies: int, reads: int, rounds: int) -> dict[str, float]:
    """Reads a second of each (the median of the rounds) and how many times faster the store is."""
    with tempfile.TemporaryDirectory() as place:
        readers, names = write_both(Path(place), studies)
        random = project.rng(1, "benchmark")
        asked = [(names[int(random.integers(studies))], int(random.integers(CLIPS))) for _ in range(reads)]
        for name, clip in asked[:50]:
            answers = [read(name, clip) for read in readers.values()]
            if not all(np.array_equal(answers[0], answer) for answer in answers):
                raise RuntimeError("The readers give different frames.")
        seconds: dict[str, list[float]] = {kind: [] for kind in readers}
        for _ in range(rounds):
            for kind, read in readers.items():
                start = time.perf_counter()
                for name, clip in asked:
                    read(name, clip)
                seconds[kind].append(time.perf_counter() - start)
    rates = {f"{kind} (reads/s)": reads / float(np.median(times)) for kind, times in seconds.items()}
    ratios = [f"{kind} (reads/s)" for kind in readers if kind != "store"]
    return rates | {f"store over {name[:-10]}": rates["store (reads/s)"] / rates[name] for name in ratios}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clip_reads", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--reads", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="where the numbers go as JSON")
    args = parser.parse_args()
    found = measure(args.studies, args.reads, args.rounds)
    for name, value in found.items():
        print(f"{name}: {value:,.1f}")
    say(f"{name} {value:,.1f}" for name, value in found.items())
    if args.out:
        project.write_json(args.out, found | {"studies": args.studies, "reads": args.reads, "rounds": args.rounds})


if __name__ == "__main__":
    main()
