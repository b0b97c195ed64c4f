"""What an interrupted run keeps, so that the next one goes on: a file a finished study, and a note of a finished run.

A study's file is named by a keyed hash of what decides its content: parameters and code, and the names, sizes and times
of its files. Another parameter or another file gives another name, so that an old result is never taken for a new one.
All of it lies in `.resume/` beside the outputs, is ignored by git, and goes when the run ends, but for the note, which
lets a run with the same inputs return at once. Dates in it are shifted by the naming key.
"""

import datetime
import importlib.metadata
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from cmr_lib import project
from cmr_lib.clips.cohort import StudyResult
from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.ingest.files import walk
from cmr_lib.types import Reject, Split, View
from cmr_lib.types import Sequence as Kind

FOLDER, NOTE = ".resume", "finished.json"
CODE = ("ingest/**/*.py", "clips/*.py", "params/*.py", "types.py", "labels.py", "project.py", "reports/*.py")
LIBRARIES = ("numpy", "scipy", "pydicom", "pylibjpeg", "pyjpegls", "nibabel", "pandas", "pyarrow")
KEPT = ("study_key", "patient_key", "patient_named", "counts", "facts", "labels", "quality")
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


# --- fingerprints -----------------------------------------------------------------------------------------------
def code_stamp() -> str:
    """A hash of the code that reads studies and of the libraries it uses."""
    return project.code_digest(CODE, *(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES))


def _lines(place: Path) -> Iterator[str]:
    """Name, size and time of every file at or below a place; links are not followed."""
    for path in walk(place) if place.is_dir() and not place.is_symlink() else [place]:
        facts = path.lstat()
        yield f"{os.fsencode(path.relative_to(place.parent))!r}\0{facts.st_size}\0{facts.st_mtime_ns}"


def fingerprint(places: Sequence[Path], *told: str) -> str:
    """One text that changes when a file below the places, or what is told beside, does. Restricted: hash it keyed."""
    return "\n".join([*told, *(line for place in places for line in _lines(Path(place)))])


# --- finished studies -------------------------------------------------------------------------------------------
def pack(result: StudyResult, key: bytes) -> bytes:
    """A result as one .npz without pickles: the frames of its clips behind one another, and everything else as JSON."""
    record: dict[str, Any] = {name: getattr(result, name) for name in KEPT}
    record["rejects"] = [asdict(row) for row in result.rejects]
    record["split"] = result.split.value if result.split else None
    record["day"] = result.day.toordinal() - project.shift_days(key, result.study_key) if result.day else None
    names = [field.name for field in fields(PreparedClip) if field.name != "frames"]
    record["clips"] = [{name: getattr(clip, name) for name in names} | {"n": len(clip.frames)} for clip in result.clips]
    frames = np.concatenate([clip.frames for clip in result.clips]) if result.clips else np.zeros((0, 1, 1), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, frames=frames, record=np.frombuffer(json.dumps(record).encode(), np.uint8))
    return buffer.getvalue()


def unpack(data: bytes, key: bytes) -> StudyResult:
    """What `pack` packed. Raises one of UNREADABLE for anything else."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        frames, record = archive["frames"], json.loads(archive["record"].tobytes())
    result = StudyResult(**{name: record[name] for name in KEPT})
    result.rejects = [Reject(**row) for row in record["rejects"]]
    result.split = Split(record["split"]) if record["split"] else None
    if record["day"] is not None:
        result.day = datetime.date.fromordinal(record["day"] + project.shift_days(key, result.study_key))
    start = 0
    for facts in record["clips"]:
        count = facts.pop("n")
        facts |= {"view": View(facts["view"]), "sequence": Kind(facts["sequence"])}
        result.clips.append(PreparedClip(frames=frames[start : start + count], **facts))
        start += count
    return result


@dataclass(frozen=True)
class Kept:
    """The folder of finished studies of one run; `stamp` hashes what is the same for all of them."""

    folder: Path
    key: bytes
    stamp: str

    def path(self, places: Sequence[Path], *told: str) -> Path:
        """Where the result of a study with these files is kept."""
        return self.folder / f"{project.keyed_name(self.key, 'resume', fingerprint(places, self.stamp, *told))}.npz"

    def get(self, path: Path) -> StudyResult | None:
        """The result kept there; None where there is none, or none that can be read (then the study is read anew)."""
        try:
            return unpack(path.read_bytes(), self.key)
        except UNREADABLE:
            return None

    def put(self, path: Path, result: StudyResult) -> None:
        """Keep a result, whole or not at all; a zip's own checksum tells a torn file."""
        project.write_bytes(path, pack(result, self.key), durable=False)


# --- finished runs ----------------------------------------------------------------------------------------------
def _hashes(out: Path, names: Sequence[str]) -> dict[str, str]:
    return {name: project.sha256_file(out / name) if (out / name).is_file() else "" for name in names}


def _outputs(out: Path, names: Sequence[str]) -> list[str]:
    """The named files, and those of named folders, relative to `out`."""
    below = [path for name in names if (out / name).is_dir() for path in sorted((out / name).rglob("*"))]
    return sorted(
        {*(name for name in names if not (out / name).is_dir()), *(str(path.relative_to(out)) for path in below)}
    )


def finished(out: Path, inputs: str, names: Sequence[str]) -> dict[str, Any] | None:
    """The counts of a run with these inputs whose outputs stand untouched in `out`; None if there was none."""
    try:
        note = json.loads((out / FOLDER / NOTE).read_text(encoding="utf-8"))
        same = note["inputs"] == inputs and note["outputs"] == _hashes(out, _outputs(out, names))
        return note["counts"] if same else None
    except UNREADABLE:
        return None


def note_finished(out: Path, inputs: str, names: Sequence[str], counts: dict[str, Any]) -> None:
    """Remove what was kept of single studies and note that the run is done."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    note = {"inputs": inputs, "outputs": _hashes(out, _outputs(out, names)), "counts": counts}
    project.write_json(out / FOLDER / NOTE, note)
