"""Thousands of mutated DICOM files through the reader: none may crash it, hang it, or be lost.

    python -m tools.fuzz_ingest --n 10000 --seed 0 --max-s 10 --max-mb 1024 --json out.json

Seeds are files made here (or those of a folder, --corpus): plain, compressed and multi-frame. A mutant is a function of
(seed, number): bits flipped, bytes set, lengths and tags exchanged, pieces cut out, doubled or filled in. Each batch is
read in a worker process under caps on time and memory, as a study is. The JSON counts outcomes by code; a mutant that
broke its worker is sought out one by one. The exit status is 1 if there was a crash, a hang, or an error that no code
names.
"""

import argparse
import hashlib
import io
import json
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from cmr_lib import project
from cmr_lib.ingest.enhanced import parse_all
from cmr_lib.ingest.header import quiet_pydicom
from cmr_lib.ingest.rejects import CODES, Refused
from cmr_lib.ingest.workers import Caps, LocalPool, in_order

BATCH = 100  # mutants a worker gets at a time
MR = "1.2.840.10008.5.1.4.1.1.4"
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
COMPRESSED = (RLELossless, JPEG2000Lossless, JPEGLSLossless)
TAGS = (  # item, ends of item and sequence, PixelData, Rows, nothing
    *(b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"\xe0\x7f\x10\x00", b"\x28\x00\x10\x00"),
    bytes(4),
)
HEAD = 132  # what lies before is the preamble, which nobody reads


# --- files to start from ----------------------------------------------------------------------------------------
def _image(sop_class: str, frames: int) -> Dataset:
    pixels = np.random.default_rng(0).integers(0, 4096, (frames, 32, 32)).astype("<u2")
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = sop_class, "1.2.3.4.5", "MR"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.9"
    ds.PatientName, ds.PatientID, ds.Manufacturer = "Synthetic^Phantom", "7", "MAKER"
    ds.ImageType, ds.ScanningSequence = ["ORIGINAL", "PRIMARY", "M"], "GR"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 32, 32, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels.tobytes()
    return ds


def _classic() -> Dataset:
    ds = _image(MR, 1)
    ds.ImagePositionPatient, ds.ImageOrientationPatient = ["1", "2", "3"], ["1", "0", "0", "0", "1", "0"]
    ds.PixelSpacing, ds.TriggerTime, ds.InstanceNumber = ["1.5", "1.5"], "20", 1
    return ds


def _item(**values: object) -> list[Dataset]:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return [ds]


def _enhanced(frames: int = 3) -> Dataset:
    ds = _image(MR + ".1", frames)
    ds.NumberOfFrames = frames
    shared = Dataset()
    shared.PixelMeasuresSequence = _item(PixelSpacing=["1.5", "1.5"], SliceThickness="8")
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=_item(ImagePositionPatient=["1", "2", "3"]),
            CardiacSynchronizationSequence=_item(NominalCardiacTriggerDelayTime=20.0 * frame),
        )[0]
        for frame in range(frames)
    ]
    return ds


def _encoded(ds: Dataset, syntax: str) -> bytes:
    ds.file_meta = FileMetaDataset()
    plain = ExplicitVRLittleEndian if syntax in COMPRESSED else syntax
    ds.file_meta.TransferSyntaxUID, ds.file_meta.MediaStorageSOPClassUID = plain, ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    if syntax not in COMPRESSED:
        return buffer.getvalue()
    packed, buffer = dcmread(io.BytesIO(buffer.getvalue())), io.BytesIO()
    packed.compress(syntax, generate_instance_uid=False)
    dcmwrite(buffer, packed)
    return buffer.getvalue()


def own_corpus() -> list[bytes]:
    """Small good files: classic and multi-frame, in every syntax that can be written."""
    return [_encoded(make(), syntax) for make in (_classic, _enhanced) for syntax in (*SYNTAXES, *COMPRESSED)]


# --- mutants ----------------------------------------------------------------------------------------------------
def _flip(data: bytearray, at: int, random: np.random.Generator) -> None:
    data[at] ^= 1 << int(random.integers(8))


def _set(data: bytearray, at: int, random: np.random.Generator) -> None:
    data[at] = int(random.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF, int(random.integers(256))]))


def _length(data: bytearray, at: int, random: np.random.Generator) -> None:
    value = int(random.choice([0, 1, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFE, 0x80000000, int(random.integers(2**16))]))
    data[at : at + 4] = value.to_bytes(4, "little")


def _tag(data: bytearray, at: int, random: np.random.Generator) -> None:
    tags = (
        b"\xfe\xff\x00\xe0",
        b"\xfe\xff\x0d\xe0",
        b"\xfe\xff\xdd\xe0",
        b"\xe0\x7f\x10\x00",
        b"\x28\x00\x10\x00",
        bytes(4),
    )
    data[at : at + 4] = tags[int(random.integers(len(tags)))]


def _cut(data: bytearray, at: int, random: np.random.Generator) -> None:
    del data[at : at + int(random.integers(1, 200))]


def _double(data: bytearray, at: int, random: np.random.Generator) -> None:
    data[at:at] = data[at : at + int(random.integers(1, 200))]


def _noise(data: bytearray, at: int, random: np.random.Generator) -> None:
    piece = random.bytes(int(random.integers(1, 40)))
    data[at : at + len(piece)] = piece


def _end(data: bytearray, at: int, random: np.random.Generator) -> None:
    del data[at:]


def _vr(data: bytearray, at: int, random: np.random.Generator) -> None:
    names = (b"SQ", b"UN", b"OB", b"US", b"LO", b"ZZ", b"\0\0")
    data[at : at + 2] = names[int(random.integers(len(names)))]


WAYS = (_flip, _flip, _set, _set, _length, _tag, _cut, _double, _noise, _end, _vr)


def mutant(corpus: list[bytes], seed: int, number: int) -> bytes:
    """Mutant `number`: one to four changes to one of the corpus's files, most of them in its header."""
    random = project.rng(seed, "mutant", number)
    data = bytearray(corpus[int(random.integers(len(corpus)))])
    for _ in range(int(random.integers(1, 5))):
        header = random.random() < 0.8
        last = min(len(data), 1400) if header else len(data)
        WAYS[int(random.integers(len(WAYS)))](data, int(random.integers(HEAD, max(HEAD + 1, last - 4))), random)
        if len(data) < HEAD + 8:
            break
    return bytes(data)


# --- running ----------------------------------------------------------------------------------------------------
def outcome_of(data: bytes) -> str:
    """Code of a file, "read" for one without a remark, or the name of an error that should not have come out."""
    try:
        with quiet_pydicom():
            images = parse_all(data)
            pixels = [image.pixels() for image in images]
    except Refused as refused:
        return refused.code if refused.code in CODES else f"unknown code {refused.code}"
    except Exception as error:  # noqa: BLE001 (this is what the tool looks for)
        return f"error {type(error).__name__}"
    finite = all(np.isfinite(image).all() for image in pixels)
    return (" ".join(images[0].remarks) or "read") if finite else "not finite"


def outcomes(numbers: range, corpus: list[bytes], seed: int) -> list[tuple[str, str]]:
    """Outcome and digest of the mutants of a batch."""
    made = [mutant(corpus, seed, number) for number in numbers]
    return [(outcome_of(data), hashlib.sha256(data).hexdigest()) for data in made]


def fuzz(corpus: list[bytes], count: int, seed: int, workers: int, caps: Caps) -> dict[str, object]:
    """Counts of outcomes, and the numbers of mutants that broke a worker or came out with an error no code names."""
    batches = [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]
    found, seen, broken = Counter(), set(), {}
    with LocalPool(partial(outcomes, corpus=corpus, seed=seed), workers, caps, preload=[__name__]) as pool:
        again: list[range] = []
        for numbers, answer in in_order(pool, batches, 4 * workers):
            if isinstance(answer, Refused):
                again += [range(number, number + 1) for number in numbers]
            else:
                _note(numbers, answer, found, seen, broken)
        for numbers, answer in in_order(pool, again, 4 * workers):
            if isinstance(answer, Refused):
                broken[numbers[0]] = answer.code
                found[answer.code] += 1
            else:
                _note(numbers, answer, found, seen, broken)
    return {
        "n": count,
        "seed": seed,
        "files": len(corpus),
        "different": len(seen),
        "outcomes": dict(sorted(found.items())),
        "crashes": found["E_WORKER_DIED"],
        "hangs": found["E_TIMEOUT"],
        "out_of_memory": found["E_MEMORY"],
        "errors": sum(number for name, number in found.items() if name.startswith(("error", "unknown", "not finite"))),
        "lost": count - sum(found.values()),
        "broken": {str(number): code for number, code in sorted(broken.items())},
    }


def _note(
    numbers: range, answer: list[tuple[str, str]], found: Counter, seen: set[str], broken: dict[int, str]
) -> None:
    for number, (outcome, digest) in zip(numbers, answer, strict=True):
        found[outcome] += 1
        seen.add(digest)
        if outcome.startswith(("error", "unknown", "not finite")):
            broken[number] = outcome


def main(words: list[str] | None = None) -> int:
    """The command line; 1 if anything came out that should not."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--n", type=int, default=10_000, help="mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-s", type=float, default=10.0, help="seconds for a mutant")
    parser.add_argument("--max-mb", type=int, default=1024, help="memory of a worker beyond what it starts with, MiB")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--corpus", type=Path, help="folder of DICOM files to mutate; default: files made here")
    parser.add_argument("--json", type=Path, help="where the counts go; default: to the screen")
    chosen = parser.parse_args(words)
    corpus = own_corpus()
    if chosen.corpus:
        corpus = [path.read_bytes() for path in sorted(chosen.corpus.rglob("*")) if path.is_file()]
    caps = Caps(seconds=chosen.max_s, memory_bytes=chosen.max_mb * 2**20)
    result = fuzz(corpus, chosen.n, chosen.seed, chosen.workers, caps)
    if chosen.json:
        project.write_json(chosen.json, result)
    print(json.dumps(result, indent=1))
    return int(any(result[name] for name in ("crashes", "hangs", "out_of_memory", "errors", "lost")))


if __name__ == "__main__":
    sys.exit(main())
