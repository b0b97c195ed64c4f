"""The header of one DICOM file: the elements that are wanted, read from their raw bytes and judged by value.

pydicom finds the elements; their values are decoded here, from the bytes, by what each keyword must be (PS3.6). That
costs a tenth of pydicom's general conversion, and a wrong value is a missing one instead of one of ten exceptions.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from jaxtyping import Float
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial

from cmr_lib.ingest.rejects import Refused

# What bad input makes pydicom and its decoders raise (measured on 58 broken files and 6,000 mutants).
READ_ERRORS = (
    AttributeError, ArithmeticError, AssertionError, BytesLengthException, EOFError, InvalidDicomError, LookupError,
    MemoryError, OSError, RuntimeError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
WANTED = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType", "PatientID", "AccessionNumber", "Rows", "Columns", "PixelSpacing", "ImageOrientationPatient",
    "ImagePositionPatient", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "RescaleSlope", "RescaleIntercept",
    "BurnedInAnnotation", "TriggerTime", "NominalCardiacTriggerDelayTime", "TemporalPositionIndex",
    "TemporalPositionIdentifier", "FrameTime", "InstanceNumber", "AcquisitionNumber", "AcquisitionTime",
    "NominalInterval", "HeartRate", "CardiacNumberOfImages", "EchoTime", "InversionTime", "ScanningSequence",
    "VelocityEncodingMaximumValue",
    "Manufacturer", "MagneticFieldStrength", "SliceThickness", "SeriesDescription", "PixelData",
)  # fmt: skip
TAGS = {name: tag for name in WANTED if (tag := tag_for_keyword(name)) is not None}
BINARY = {"US": "H", "UL": "I", "FD": "d", "SS": "h", "FL": "f"}  # value representations that are not text
FORMATS = {name: BINARY.get(dictionary_VR(tag).split(" ")[0], "") for name, tag in TAGS.items()}
PIXEL_DATA = 0x7FE00010
FIRST_TAG = 0x00080000


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom's one-warning-an-element about invalid UIDs, dates and text.

    Deliberate: what matters is checked here by value, the rest is never used; and a message may hold a raw value.
    """
    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        config.settings.reading_validation_mode = before


def _stop(tag: int, _vr: str | None, _length: int) -> bool:
    """Behind PixelData, or in a run of zeros, there is nothing to read."""
    return not FIRST_TAG <= int(tag) <= PIXEL_DATA


class Header:
    """The wanted elements of a file. Values that cannot be decoded count as absent."""

    def __init__(self, data: bytes, *, force: bool = False) -> None:
        self.dataset: FileDataset = read_partial(BytesIO(data), _stop, force=force, specific_tags=list(TAGS.values()))
        self.little = self.dataset.original_encoding[1] is not False
        self._elements = {int(tag): element for tag, element in self.dataset.items()}

    def __contains__(self, keyword: str) -> bool:
        return TAGS[keyword] in self._elements

    def raw(self, keyword: str) -> bytes:
        """The bytes of an element; empty where it is absent."""
        element = self._elements.get(TAGS[keyword])
        value = None if element is None else element.value
        if isinstance(value, bytes) or value is None:
            return value or b""
        return str(value).encode("latin-1", "replace")

    def text(self, keyword: str) -> str:
        """Text without padding; "" where it is absent. Names are only compared, so Latin-1 does for any charset."""
        return self.raw(keyword).decode("latin-1").strip(" \0")

    def words(self, keyword: str) -> tuple[str, ...]:
        """The values of a coded text, in capitals."""
        text = self.text(keyword)
        return tuple(word.strip().upper() for word in text.split("\\")) if text else ()

    def values(self, keyword: str) -> list[float]:
        """The numbers of an element; [] where it is absent or not all of it is numbers."""
        raw, code = self.raw(keyword), FORMATS[keyword]
        try:
            if not code:
                return [float(part) for part in raw.decode("ascii").strip(" \0").split("\\")] if raw else []
            count = len(raw) // struct.calcsize(code)
            return [float(value) for value in struct.unpack(f"{'<' if self.little else '>'}{count}{code}", raw)]
        except (ValueError, struct.error):
            return []

    def number(self, keyword: str, default: float = float("nan")) -> float:
        """The first number of an element, or `default` where there is none that is finite."""
        values = self.values(keyword)
        return values[0] if values and np.isfinite(values[0]) else default

    def numbers(self, keyword: str, count: int) -> Float[np.ndarray, " count"]:
        """Required finite numbers. Raises Refused: E_REQUIRED_MISSING if absent, E_GEOMETRY if not such numbers."""
        if not self.raw(keyword):
            raise Refused("E_REQUIRED_MISSING", keyword)
        array = np.array(self.values(keyword), dtype=np.float64)
        if array.shape != (count,) or not np.isfinite(array).all():
            raise Refused("E_GEOMETRY", keyword)
        return array


def open_header(data: bytes) -> tuple[Header, bool]:
    """The header of a file's bytes and whether its preamble is missing. Raises N_NOT_DICOM, E_REQUIRED_MISSING."""
    bare = data[128:132] != b"DICM"
    if bare and data[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08", b"\x00\x02"):
        raise Refused("N_NOT_DICOM")  # a bare data set starts with group 0002 or 0008: only then is force worth it
    try:
        header = Header(data, force=bare)
    except READ_ERRORS:
        raise Refused("N_NOT_DICOM" if bare else "E_REQUIRED_MISSING") from None
    if bare and not header.text("SOPClassUID"):
        raise Refused("N_NOT_DICOM")
    return header, bare


def study_uid_of(data: bytes) -> str:
    """StudyInstanceUID of a file's bytes, or an empty string; never raises."""
    try:
        with quiet_pydicom():
            return open_header(data)[0].text("StudyInstanceUID")
    except Refused:
        return ""
