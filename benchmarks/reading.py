"""What reading costs: raw files against pydicom and against reading thrice; random clips against .npz.

`python -m benchmarks.reading --studies DIR --out reading.json` on a quiet machine; without DIR it reads phantom studies
(synthetic) of two makers. Wanted: at least 1.2 × the speed of `dcmread` + `pixel_array`, 2 × that of the pattern that
reads every file three times (for its series, for its time, for its pixels), 10 × that of .npz for random clips.

Our side is the path that preprocess takes, with all its checks: lstat, caps, every length, required elements, pixels
copied to native order. Sides take turns, in changing order, and each round gives one ratio; what is printed is the
smallest, the median and the largest. Files are read from the page cache, by one process; nobody hashes.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from benchmarks.log_line import leave
from cmr_lib import params
from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.clips.store import ClipStore, write_store
from cmr_lib.ingest.enhanced import parse_all
from cmr_lib.ingest.files import raw_files, walk
from cmr_lib.ingest.header import quiet_pydicom
from cmr_lib.simulate import cohort
from cmr_lib.types import Sequence as Kind
from cmr_lib.types import View

PHANTOMS = 2  # studies, where no folder is given


# --- the sides ----------------------------------------------------------------------------------------------------
def ours(folder: Path) -> int:
    """Every file of a study as preprocess reads it; returns the number of images."""
    with quiet_pydicom():
        return sum(len(parse_all(file.data)) for file in raw_files(folder))


def plain(folder: Path) -> int:
    """Every file by pydicom's general reader, trusted."""
    return sum(len(pydicom.dcmread(path).pixel_array.shape) > 0 for path in walk(folder))


def thrice(folder: Path) -> int:
    """Every file opened for its series, again for its time, again for its pixels."""
    paths = list(walk(folder))
    series = [path for path in paths if pydicom.dcmread(path).SeriesInstanceUID]
    ordered = sorted(series, key=lambda path: float(pydicom.dcmread(path).get("TriggerTime", 0)))
    return sum(len(pydicom.dcmread(path).pixel_array.shape) > 0 for path in ordered)


def paired(sides: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Processor seconds of each side in each round; every round starts with another side. The first is for warmth."""
    times: list[list[float]] = []
    for turn in range(rounds + 1):
        spent = [0.0] * len(sides)
        for step in range(len(sides)):
            index = (turn + step) % len(sides)
            start = time.process_time()
            sides[index]()
            spent[index] = time.process_time() - start
        times.append(spent)
    return times[1:]


def ratios(times: Sequence[Sequence[float]], other: int) -> dict[str, float]:
    """How many times faster side 0 is than another: smallest, median and largest of the rounds."""
    found = [spent[other] / spent[0] for spent in times]
    return {"min": min(found), "median": float(np.median(found)), "max": max(found)}


# --- raw files ----------------------------------------------------------------------------------------------------
def phantom_studies(folder: Path) -> list[Path]:
    """Unzipped studies of the synthetic hospital (demo size)."""
    values = params.read_yaml(Path("params/demo/simulate.yaml")) | {"out_dir": "unused", "data_dir": str(folder)}
    settings = params.check("simulate", params.merge(values, {"mess": dict.fromkeys(values["mess"], 0.0)}))
    planned = [visit for visit in cohort.visits(settings) if visit.has_images][:PHANTOMS]
    made = [cohort.make_study(settings, visit) for visit in planned]
    places = []
    for number, study in enumerate(made):
        path = folder / f"{number}.zip"
        path.write_bytes(study.archive)
        places.append(_unzipped(path, folder / str(number)))
    return places


def _unzipped(path: Path, folder: Path) -> Path:
    for number, file in enumerate(raw_files(path)):
        folder.mkdir(exist_ok=True)
        (folder / f"{number:04d}.dcm").write_bytes(file.data)
    return folder


def measure_files(folder: Path, rounds: int) -> dict[str, object]:
    """One study read by each side."""
    times = paired([lambda: ours(folder), lambda: plain(folder), lambda: thrice(folder)], rounds)
    images = ours(folder)
    return {
        "images": images,
        "ms_an_image": 1000 * float(np.median([spent[0] for spent in times])) / images,
        "against_dcmread": ratios(times, 1),
        "against_reading_thrice": ratios(times, 2),
    }


# --- clips --------------------------------------------------------------------------------------------------------
def _clip(random: np.random.Generator) -> PreparedClip:
    """A clip of smooth noise (it compresses about as well as a heart does), 30 phases of 128 pixels a side."""
    coarse = random.integers(0, 200, (30, 32, 32))
    frames = (np.kron(coarse, np.ones((1, 4, 4), int)) + random.integers(0, 12, (30, 128, 128))).astype(np.uint8)
    return PreparedClip(frames, View.SAX, Kind.CINE, 0, 0.5, float("nan"), 1.5)


def measure_clips(folder: Path, rounds: int, count: int = 200) -> dict[str, object]:
    """Random clips from the store, from one compressed .npz a clip, and from one uncompressed."""
    random = np.random.default_rng(0)
    clips = [_clip(random) for _ in range(count)]
    write_store(folder / "store", ((f"{number:016x}", [clip]) for number, clip in enumerate(clips)))
    for number, clip in enumerate(clips):
        np.savez_compressed(folder / f"{number}.npz", frames=clip.frames)
        np.savez(folder / f"{number}.plain.npz", frames=clip.frames)
    order, store = random.permutation(count).tolist(), ClipStore(folder / "store")

    def stored() -> int:
        return sum(int(np.array(store.frames(number)).size) for number in order)

    def packed(ending: str) -> int:
        total = 0
        for number in order:
            with np.load(folder / f"{number}.{ending}") as archive:
                total += archive["frames"].size
        return total

    times = paired([stored, lambda: packed("npz"), lambda: packed("plain.npz")], rounds)
    return {"clips": count, "against_npz": ratios(times, 1), "against_uncompressed_npz": ratios(times, 2)}


def _in_words(name: str, found: dict[str, Any]) -> str:
    """One result as a clause: medians, with the smallest and the largest round."""
    against = {
        key.removeprefix("against_").replace("_", " "): value for key, value in found.items() if "against" in key
    }
    speeds = ", ".join(
        f"{value['median']:.2f} ({value['min']:.2f} to {value['max']:.2f}) × {key}" for key, value in against.items()
    )
    return f"{name} {speeds}" + (f", {found['ms_an_image']:.2f} ms an image" if "ms_an_image" in found else "")


def main(words: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--studies", type=Path, nargs="*", default=[], help="folders of DICOM files, one a study")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="where the numbers go as JSON; default: to the screen only")
    chosen = parser.parse_args(words)
    warnings.simplefilter("ignore", UserWarning)  # pydicom's own, about odd values of real files, on its side
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        named = {path.name: path for path in chosen.studies}
        named = named or {f"synthetic phantom {path.name}": path for path in phantom_studies(made)}
        result = {name: measure_files(path, chosen.rounds) for name, path in named.items()}
        (made / "clips").mkdir()
        result["random clips (synthetic)"] = measure_clips(made / "clips", chosen.rounds)
    leave(result, chosen.out, _in_words)


if __name__ == "__main__":
    main()
