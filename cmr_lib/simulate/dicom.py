"""True DICOM: classic MR Image Storage objects, one file a frame.

Only pydicom encodes. An element is encoded once for all files that share it: those of the study, those of one kind of
series, those of a series. What differs between the files of a series has place-holders of fixed width, and each file
is the encoded text with the place-holders overwritten, some fifty times faster than encoding every file anew.
"""

import hashlib
import io
import struct
from collections.abc import Mapping
from functools import cache

import numpy as np
from jaxtyping import Float
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from cmr_lib.simulate.plan import Series
from cmr_lib.simulate.protocol import Exam, Shot

IMPLEMENTATION = "2.25.164052871365218379523471823458712340001"
PIXEL_DATA = 0x7FE00010
# Place-holders of fixed width; DICOM pads text with trailing blanks anyway (PS3.5 6.2).
HOLDERS = {
    "SOPInstanceUID": b"2.25.10000000000000000000000000000000000001",
    "InstanceNumber": b"000000000001",
    "TriggerTime": b"0000000000000001",
    "ImagePositionPatient": b"0000000000000001\\0000000000000002\\000000000000003",
    "ImageOrientationPatient": b"\\".join(b"00000000001%d" % axis for axis in range(6)),
    "SliceLocation": b"0000000000000004",
    "TemporalPositionIdentifier": b"000000000002",
    "AcquisitionNumber": b"000000000003",
    "NominalInterval": b"000000000004",
    "AcquisitionTime": b"000000.000001",
}
GATED = ("TriggerTime", "NominalInterval")
# ScanningSequence, SequenceVariant and SequenceName by kind of series (PS3.3 C.8.3.1).
PULSES: dict[str, tuple[list[str], list[str], str]] = {
    "cine": (["GR"], ["SK", "SS"], "tfi2d1_12"),
    "lge": (["GR", "IR"], ["SK"], "tfl2d1_25"),
    "psir": (["GR", "IR"], ["SK"], "tfl2d1_25"),
    "localiser": (["GR"], ["SK", "SS"], "tfi2d1_90"),
    "flow_magnitude": (["GR"], ["SP"], "fl2d1_v{venc:.0f}in"),
    "flow_phase": (["GR"], ["SP"], "fl2d1_v{venc:.0f}in"),
    "t1_map": (["GR"], ["SK", "SP"], "tfi2d1r2"),
}
Elements = dict[int, bytes]
Scale = tuple[float, float, str]


def uid(*where: int | str) -> str:
    """A UID below 2.25 (PS3.5 B.2) that depends on its arguments only; always 43 characters long."""
    text = "\0".join(str(part) for part in where).encode()
    number = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "big")
    return f"2.25.{10**37 + number % (9 * 10**37)}"


# --- elements ---------------------------------------------------------------------------------------------------
def add_pulse(ds: Dataset, exam: Exam, series: Series) -> None:
    """How the images were made: MR image module (PS3.3 C.8.3.1) and contrast agent."""
    late = series.kind in ("lge", "psir")
    contrast = exam.late if late else exam.cine
    ds.MagneticFieldStrength = f"{exam.field_t:g}"
    ds.ImageType = list(exam.vendor.image_types[series.kind])
    scanning, variant, name = PULSES[series.kind]
    ds.ScanningSequence, ds.SequenceVariant = scanning, variant
    ds.SequenceName, ds.MRAcquisitionType = name.format(venc=series.venc_cm_s), "2D"
    ds.ScanOptions = "" if series.kind == "localiser" else "CG"
    ds.RepetitionTime, ds.EchoTime = f"{contrast.repetition_ms:.3f}", f"{contrast.echo_ms:.3f}"
    ds.FlipAngle, ds.EchoTrainLength, ds.NumberOfAverages = f"{contrast.flip_deg:.0f}", 1, 1
    if late:
        ds.InversionTime = f"{contrast.inversion_ms:.0f}"
        ds.ContrastBolusAgent = "synthetic gadolinium"


def add_pixel_description(ds: Dataset, exam: Exam, scale: Scale | None) -> None:
    """Bits, sign, rescaling and a window."""
    vendor = exam.vendor
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, vendor.bits_stored, vendor.bits_stored - 1
    ds.PixelRepresentation = int(vendor.signed)
    if scale is not None:
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = f"{scale[0]:.10g}", f"{scale[1]:.10g}", scale[2]
    ds.WindowCenter, ds.WindowWidth = f"{vendor.top * 0.55:.0f}", f"{vendor.top * 1.2:.0f}"


def kind_dataset(exam: Exam, series: Series, scale: Scale | None) -> Dataset:
    """Elements that all series of one kind and grid share, with place-holders for what differs by file."""
    plane, phases = series.shots[0].plane, len(series.shots[0].phases)
    ds = Dataset()
    ds.SOPClassUID, ds.Modality = MRImageStorage, "MR"
    add_pulse(ds, exam, series)
    add_pixel_description(ds, exam, scale)
    ds.SliceThickness, ds.PixelSpacing = f"{plane.thickness_mm:g}", [f"{plane.spacing_mm:g}"] * 2
    ds.Rows, ds.Columns = plane.rows, plane.cols
    absent = set(GATED) if series.kind == "localiser" else set()
    if series.kind != "localiser":
        ds.CardiacNumberOfImages, ds.NumberOfTemporalPositions = phases, phases
    if not exam.vendor.temporal_position or series.kind == "localiser":
        absent.add("TemporalPositionIdentifier")
    for keyword in set(HOLDERS) - absent:
        values = HOLDERS[keyword].decode().split("\\")
        setattr(ds, keyword, values if len(values) > 1 else values[0])
    ds.PixelData = bytes(2 * plane.rows * plane.cols)
    ds["PixelData"].VR = "OW"
    return ds


def series_dataset(study_uid: str, exam: Exam, series: Series, number: int, note: str) -> Dataset:
    """Elements of one series. Where HeartRate is not written, the rate hides in the comment, as in real files."""
    rr = series.shots[0].rr_ms
    ds = Dataset()
    ds.SeriesInstanceUID = uid(study_uid, "series", number)
    ds.SeriesNumber, ds.SeriesDescription, ds.ProtocolName = number, series.name, series.name
    if series.kind == "localiser":
        return ds
    if exam.vendor.heart_rate:
        ds.HeartRate = round(60000 / rr)
    else:
        ds.ImageComments = f"{note}; RR {rr:.0f} +/- {8 + round(rr) % 30}; {4 + round(rr) % 7} heartbeats"
    return ds


def encoded(ds: Dataset) -> Elements:
    """Every element of a data set as explicit little-endian bytes, by tag (PS3.5 7.1.2)."""
    buffer, places = io.BytesIO(), []
    writer = DicomIO(buffer)
    writer.is_little_endian, writer.is_implicit_VR = True, False
    for element in ds:
        places.append((int(element.tag), buffer.tell()))
        write_data_element(writer, element, ["latin_1"])
    data, ends = buffer.getvalue(), [start for _, start in places[1:]] + [buffer.tell()]
    return {tag: data[start:end] for (tag, start), end in zip(places, ends, strict=True)}


def file_meta(sop_class: str, sop_instance: str, syntax: str = ExplicitVRLittleEndian) -> FileMetaDataset:
    """The file meta information group (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.ImplementationClassUID = syntax, IMPLEMENTATION
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, sop_instance
    return meta


@cache
def _preamble() -> bytes:
    """What stands before the data set of every classic file (PS3.10 7.1), with the place-holder of its name."""
    buffer = io.BytesIO(bytes(128) + b"DICM")
    buffer.seek(132)
    write_file_meta_info(buffer, file_meta(MRImageStorage, HOLDERS["SOPInstanceUID"].decode()))
    return buffer.getvalue()


# --- files ------------------------------------------------------------------------------------------------------
class SeriesEncoder:
    """Files of one series from elements that were encoded once; `elements` hold place-holders and empty pixels."""

    def __init__(self, elements: Elements, pixel_bytes: int) -> None:
        ordered = b"".join(elements[tag] for tag in sorted(elements))
        self._head = (_preamble() + ordered)[:-pixel_bytes]
        self._pixel_bytes = pixel_bytes
        self._places = {name: self._find(name) for name in HOLDERS}
        self._places["SOPInstanceUID"] += self._find("MediaStorageSOPInstanceUID", HOLDERS["SOPInstanceUID"])

    def _find(self, keyword: str, holder: bytes | None = None) -> list[int]:
        """Where the place-holder of an element stands: behind its tag, VR and length (PS3.5 7.1.2); [] if absent."""
        holder = holder or HOLDERS[keyword]
        tag = tag_for_keyword(keyword)
        even = len(holder) + len(holder) % 2
        element = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, dictionary_VR(tag).encode(), even)
        start = self._head.find(element + holder)
        return [start + len(element)] if start >= 0 else []

    def file(self, values: Mapping[str, bytes], pixels: bytes) -> bytes:
        """One file; `values` has a text of the place-holder's width for each place-holder in the series.

        Raises ValueError for a value or pixel data of another size: a DICOM length would be wrong.
        """
        if len(pixels) != self._pixel_bytes:
            raise ValueError(f"pixels: {self._pixel_bytes} bytes are wanted, got {len(pixels)}.")
        head = bytearray(self._head)
        for name, places in self._places.items():
            for place in places:
                value = values[name]
                if len(value) != len(HOLDERS[name]):
                    raise ValueError(f"{name}: {len(HOLDERS[name])} characters are wanted, got {value!r}.")
                head[place : place + len(value)] = value
        return bytes(head) + pixels


def _decimal(value: float, width: int = 16) -> bytes:
    """A decimal string of exactly `width` characters."""
    return f"{value:.6f}"[:width].ljust(width).encode()


def clock(seconds: float) -> bytes:
    """A DICOM time (TM) of 13 characters, from seconds since midnight."""
    whole = int(seconds)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{round((seconds - whole) * 1e5):06d}".encode()


def _position(origin: Float[np.ndarray, "3"]) -> bytes:
    """ImagePositionPatient in the width of its place-holder."""
    return b"\\".join((_decimal(origin[0]), _decimal(origin[1]), _decimal(origin[2], 15)))


def slice_values(shot: Shot, slot: int, seconds: float) -> dict[str, bytes]:
    """What the files of one slice add to their series; `slot` is the slice's number in the order of acquisition."""
    origin, directions = shot.plane.origin_mm, (*shot.plane.row_dir, *shot.plane.col_dir)
    return {
        "ImagePositionPatient": _position(origin),
        "ImageOrientationPatient": b"\\".join(f"{value:12.9f}".encode() for value in directions),
        "SliceLocation": _decimal(float(origin @ shot.plane.normal)),
        "AcquisitionNumber": str(slot + 1).ljust(12).encode(),
        "NominalInterval": str(round(shot.rr_ms)).ljust(12).encode(),
        "AcquisitionTime": clock(seconds),
    }


def frame_values(series_uid: str, shot: Shot, phase: int, instance: int) -> dict[str, bytes]:
    """What one file adds to its slice: its name and its time."""
    return {
        "SOPInstanceUID": uid(series_uid, "file", instance).encode(),
        "InstanceNumber": str(instance).ljust(12).encode(),
        "TriggerTime": _decimal(shot.phases[phase] * shot.rr_ms),
        "TemporalPositionIdentifier": str(phase + 1).ljust(12).encode(),
    }
