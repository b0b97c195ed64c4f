"""A study's MR images as DICOM that may be shared: each file is built anew from what `annex_e` allows.

Nothing of the old file is edited, so nothing of it can be forgotten: no private element, overlay, preamble, file meta
information or byte behind the pixels comes along. Pixels are decoded and written without compression (a compressed
stream may hold comments). What the loader refuses is refused here by the same code: burned-in text, screenshots,
other modalities, broken files, two patients in one study, a second study of one accession number.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from jaxtyping import Shaped
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian

from cmr_lib.ingest import annex_e
from cmr_lib.ingest.annex_e import Names
from cmr_lib.ingest.enhanced import parse_all
from cmr_lib.ingest.files import LIMITS, Limits, raw_files
from cmr_lib.ingest.header import READ_ERRORS, quiet_pydicom
from cmr_lib.ingest.pixels import layout_of
from cmr_lib.ingest.reading import CLASSIC_MR, ENHANCED_MR, checked
from cmr_lib.ingest.rejects import Refused, reject
from cmr_lib.ingest.studies import study_name
from cmr_lib.project import keyed_name, shift_days, write_bytes
from cmr_lib.types import Reject

UNKNOWN = "unknown patient of "  # a study without a patient's number is a patient of its own


@dataclass
class Shared:
    """What became of one study's files: found = accepted + rejected + ignored."""

    study_key: str
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("found", "accepted", "rejected", "ignored"), 0)
    )
    rejects: list[Reject] = field(default_factory=list)

    def drop(self, refused: Refused, file: str, key: bytes) -> None:
        """One file that is not shared."""
        file_key = keyed_name(key, "file", f"{self.study_key}/{file}")
        row = reject("file", refused.code, study_key=self.study_key, file_key=file_key, tag=refused.tag)
        self.rejects.append(row)
        self.counts[row.action] += 1


# --- values -----------------------------------------------------------------------------------------------------
def _texts(element: pydicom.DataElement) -> list[str]:
    values = element.value if element.VM > 1 else [element.value]
    return ["" if value is None else str(value).strip() for value in values]


def _is_number(element: pydicom.DataElement) -> bool:
    """Whether an element holds nothing but numbers that physics may have, whatever its representation promises."""
    try:
        return all(abs(float(text)) <= annex_e.LARGEST for text in _texts(element) if text)  # false for nan
    except (TypeError, ValueError):
        return False


def _changed(element: pydicom.DataElement, action: str, names: Names, start: str) -> Any:
    """The value that leaves; None where the element is removed."""
    if action == "number":
        return element.value if element.VR == "AT" or _is_number(element) else None
    texts = _texts(element)
    if action == "keyed":
        return names.study if element.keyword == "AccessionNumber" else names.patient
    each = {
        "code": annex_e.coded,
        "device": str,
        "maker": annex_e.maker,
        "class": str,
        "uid": lambda text: annex_e.new_uid(names.key, text) if text else "",
        "date": lambda text: annex_e.moved(text, names.days),
        "time": lambda text: annex_e.elapsed(text, start),
        "words": annex_e.described,
        "empty": lambda text: "",
    }[action]
    found = [each(text) for text in texts]
    return found if len(found) > 1 else found[0]


def _allowed(source: Dataset, names: Names, start: str) -> Dataset:
    """The elements of a data set that the table names, changed as it says; items of sequences likewise."""
    target = Dataset()
    for tag in source.keys():  # noqa: SIM118 (iterating a data set decodes)
        action = annex_e.ACTIONS.get(int(tag), "")
        if not action:
            continue
        try:
            element = source[tag]
        except READ_ERRORS:
            continue  # what cannot be read is not shared
        if action == "items":
            if element.VR == "SQ":
                target.add_new(tag, "SQ", Items([_allowed(item, names, start) for item in element.value]))
        elif element.VR != "SQ" and (value := _changed(element, action, names, start)) is not None:
            target.add_new(tag, pydicom.datadict.dictionary_VR(tag) if action != "number" else element.VR, value)
    return target


# --- one file ---------------------------------------------------------------------------------------------------
def _mark(target: Dataset) -> None:
    """Say that and how identifiers were removed (PS3.15 E.3, PS3.3 C.7.1.1, C.12.1)."""
    target.PatientIdentityRemoved = "YES"
    target.DeidentificationMethod = "rebuilt from an allow-list"
    target.LongitudinalTemporalInformationModified = "MODIFIED"
    codes = []
    for value, meaning in annex_e.OPTIONS.items():
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
        codes.append(code)
    target.DeidentificationMethodCodeSequence = Items(codes)


def _set_pixels(target: Dataset, frames: Shaped[np.ndarray, "frames rows cols"], stored: int) -> None:
    """The pixels alone, little-endian; bits that hold no pixel (an old place for overlays) are cleared."""
    if frames.dtype.kind == "u" and stored < 8 * frames.dtype.itemsize:
        frames = frames & frames.dtype.type((1 << stored) - 1)
    data = np.ascontiguousarray(frames, dtype=frames.dtype.newbyteorder("<")).tobytes()
    target.add_new(0x7FE00010, "OW" if frames.dtype.itemsize > 1 else "OB", data + b"\0" * (len(data) % 2))


def _checked_pixels(data: bytes) -> tuple[Shaped[np.ndarray, "frames rows cols"], int]:
    """Pixels and bits stored of a file that passes all checks of the loader. Raises Refused."""
    frames = np.stack([image.raw for image in parse_all(data)])
    header = checked(data)
    layout = layout_of(header)
    if header.sop_class not in (CLASSIC_MR, *ENHANCED_MR):
        raise Refused("N_NOT_IMAGE", "SOPClassUID")
    if len(frames) != layout.frames:
        raise Refused("E_ENHANCED_UNSUPPORTED", "NumberOfFrames")
    return frames, layout.stored


def shared_file(data: bytes, names: Names) -> tuple[str, bytes]:
    """The new SOPInstanceUID and the bytes of one shared file. Raises Refused as the loader does."""
    frames, stored = _checked_pixels(data)
    try:
        source = pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)
        target = _allowed(source, names, str(source.get("StudyTime", "") or ""))
    except READ_ERRORS:
        raise Refused("E_REQUIRED_MISSING") from None
    target.SpecificCharacterSet = "ISO_IR 192"
    target.PatientName = target.PatientID = names.patient
    target.AccessionNumber = names.study
    _mark(target)
    _set_pixels(target, frames, stored)
    return str(target.SOPInstanceUID), _written(target)


def _written(target: Dataset) -> bytes:
    """The file: new meta information, and a preamble of zeros."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = target.SOPClassUID, target.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    target.file_meta, target.preamble = meta, b"\0" * 128
    out = io.BytesIO()
    pydicom.dcmwrite(out, target, enforce_file_format=True)
    return out.getvalue()


# --- one study --------------------------------------------------------------------------------------------------
def _identity(path: Path, limits: Limits) -> tuple[str, str]:
    """Patient's number and accession number of a study's MR images.

    Raises Refused where there are two of either, or two studies that no accession number holds together.
    """
    found: dict[str, set[str]] = {"PatientID": set(), "AccessionNumber": set(), "StudyInstanceUID": set()}
    for file in raw_files(path, limits):
        try:
            header = checked(file.data) if not file.code else None
        except Refused:
            continue
        for keyword, values in found.items():
            values |= {header.text(keyword)} - {""} if header else set()
    if len(found["PatientID"]) > 1:
        raise Refused("E_IDENTITY_CONFLICT", "PatientID")
    if len(found["AccessionNumber"]) > 1:
        raise Refused("E_SEVERAL_STUDIES", "AccessionNumber")
    if not found["AccessionNumber"] and len(found["StudyInstanceUID"]) > 1:
        raise Refused("E_SEVERAL_STUDIES", "StudyInstanceUID")
    return next(iter(found["PatientID"]), ""), next(iter(found["AccessionNumber"]), "")


def _first_of_its_name(folder: Path) -> None:
    """Of several studies of one accession number the first is shared. Raises Refused."""
    if folder.exists():
        raise Refused("E_DUP_STUDY", "AccessionNumber")


def _files(path: Path, names: Names, done: Shared, limits: Limits) -> Iterator[tuple[str, bytes]]:
    """The new files one by one; what is not shared goes into `done`."""
    for file in raw_files(path, limits):
        done.counts["found"] += 1
        if file.code:
            done.drop(Refused(file.code), file.name, names.key)
            continue
        try:
            shared = shared_file(file.data, names)
        except Refused as refused:
            done.drop(refused, file.name, names.key)
            continue
        done.counts["accepted"] += 1
        yield shared


def share_study(path: Path | str, out: Path | str, key: bytes, limits: Limits = LIMITS) -> Shared:
    """Write the shareable files of one study (a .zip or folder) below `out`, one folder a study, all names keyed.

    Dates move as those of `make embed` with the same key. `out` holds nothing of these studies yet. A study
    that is refused as a whole has one row of level "study" and no file. Raises FileNotFoundError and OSError of the
    disk; never for what files hold.
    """
    path = Path(path)
    path.lstat()
    done = Shared(keyed_name(key, "study", study_name(path)))
    try:
        with quiet_pydicom():
            patient, accession = _identity(path, limits)
            done.study_key = keyed_name(key, "study", accession or study_name(path))
            _first_of_its_name(Path(out) / done.study_key)
            patient_key = keyed_name(key, "patient", patient or f"{UNKNOWN}{done.study_key}")
            names = Names(key, patient_key, done.study_key, -shift_days(key, patient_key))
            for uid, data in _files(path, names, done, limits):
                write_bytes(Path(out) / done.study_key / f"{uid}.dcm", data, durable=False)
    except Refused as refused:
        done.rejects.append(reject("study", refused.code, study_key=done.study_key, tag=refused.tag))
        done.counts = dict.fromkeys(done.counts, 0) | {"found": 1, "rejected": 1}
    return done
