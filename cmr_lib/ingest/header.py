"""The header of one DICOM file: the wanted elements, decoded from their raw bytes and judged by value.

Values are decoded by what each keyword must be (PS3.6), whatever else the file claims. That costs a tenth of a general
conversion, and a wrong value is a missing one instead of one of ten exceptions.
"""

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float
from pydicom import config
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.errors import BytesLengthException, InvalidDicomError

from cmr_lib.ingest.elements import Elements, find_elements
from cmr_lib.ingest.rejects import Refused

# What bad input makes pydicom and its decoders raise (measured on 58 broken files and 6,000 mutants).
READ_ERRORS = (
    AttributeError, ArithmeticError, AssertionError, BytesLengthException, EOFError, InvalidDicomError, LookupError,
    MemoryError, OSError, RuntimeError, StopIteration, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
WANTED = (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID",
    "FrameOfReferenceUID", "Modality", "ImageType", "PatientID", "PatientName", "AccessionNumber", "Rows", "Columns",
    "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "RescaleSlope",
    "RescaleIntercept", "BurnedInAnnotation", "TriggerTime", "NominalCardiacTriggerDelayTime", "TemporalPositionIndex",
    "TemporalPositionIdentifier", "FrameTime", "InstanceNumber", "AcquisitionNumber", "AcquisitionTime",
    "NominalInterval", "HeartRate", "CardiacNumberOfImages", "EchoTime", "InversionTime", "ScanningSequence",
    "SequenceName", "SeriesNumber", "VelocityEncodingMaximumValue",
    "Manufacturer", "MagneticFieldStrength", "SliceThickness", "SeriesDescription", "PixelData",
    "StudyDate", "PatientSex", "PatientAge",
)  # fmt: skip
TAGS = {name: tag for name in WANTED if (tag := tag_for_keyword(name)) is not None}
BINARY = {"US": "H", "UL": "I", "FD": "d", "SS": "h", "FL": "f", "SL": "i"}  # value representations that are not text
UNNAMED = (b"", b"UN")  # the file does not say what a value is: the standard does
FORMATS = {name: BINARY.get(dictionary_VR(tag).split(" ")[0], "") for name, tag in TAGS.items()}


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


class Header:
    """The wanted elements of a file. Values that cannot be decoded count as absent."""

    def __init__(self, data: bytes) -> None:
        self.elements: Elements = find_elements(data)
        self._order = "<" if self.elements.little else ">"

    def __contains__(self, keyword: str) -> bool:
        return TAGS[keyword] in self.elements.places

    def raw(self, keyword: str) -> bytes:
        """The bytes of an element; empty where it is absent."""
        return self.elements.value(TAGS[keyword])

    def text(self, keyword: str) -> str:
        """Text without padding; "" where it is absent. Names are only compared, so Latin-1 does for any charset."""
        return self.raw(keyword).decode("latin-1").strip(" \0")

    def words(self, keyword: str) -> tuple[str, ...]:
        """The values of a coded text, in capitals."""
        text = self.text(keyword)
        return tuple(word.strip().upper() for word in text.split("\\")) if text else ()

    def _format(self, keyword: str) -> str:
        """How the numbers of an element are written: a code of `struct`, or "" for text."""
        vr = self.elements.places[TAGS[keyword]][0]
        return FORMATS[keyword] if vr in UNNAMED else BINARY.get(vr.decode("latin-1"), "")

    def values(self, keyword: str) -> list[float]:
        """The numbers of an element; [] where it is absent or not all of it is numbers."""
        raw = self.raw(keyword)
        if not raw:
            return []
        code = self._format(keyword)
        try:
            if not code:
                text = raw.decode("ascii").strip(" \0")
                return [] if "_" in text else [float(part) for part in text.split("\\")]
            count = len(raw) // struct.calcsize(code)
            return [float(value) for value in struct.unpack(f"{self._order}{count}{code}", raw)]
        except (ValueError, struct.error):
            return []

    def number(self, keyword: str, default: float = math.nan) -> float:
        """The first number of an element, or `default` where there is none that is finite."""
        values = self.values(keyword)
        return values[0] if values and math.isfinite(values[0]) else default

    def count(self, keyword: str, default: float = math.nan) -> float:
        """A number that must be stored as a binary integer. Raises Refused: E_BAD_VR where it is text."""
        if keyword in self and FORMATS[keyword] and not self._format(keyword):
            raise Refused("E_BAD_VR", keyword)
        return self.number(keyword, default)

    def numbers(self, keyword: str, count: int) -> Float[np.ndarray, " count"]:
        """Required finite numbers of the geometry. Raises Refused: E_GEOMETRY if they are not there."""
        array = np.array(self.values(keyword), dtype=np.float64)
        if array.shape != (count,) or not np.isfinite(array).all():
            raise Refused("E_GEOMETRY", keyword)
        return array

    @property
    def sop_class(self) -> str:
        """SOPClassUID, or what the file meta information says where it is absent (a DICOMDIR)."""
        return self.text("SOPClassUID") or self.elements.media_class

    def remarks(self) -> tuple[str, ...]:
        """Codes of what is odd about the file and does no harm."""
        odd = [] if self._names_decode() else ["W_CHARSET"]
        odd += ["W_FRAME_COUNT"] if self.number("NumberOfFrames", 1.0) == 0 else []
        odd += ["W_NO_SERIES_UID"] if not self.text("SeriesInstanceUID") else []
        return tuple(dict.fromkeys([*self.elements.remarks, *odd]))

    def _names_decode(self) -> bool:
        """Whether the patient's name is text in the character set that the file declares."""
        name = self.raw("PatientName")
        declared = self.text("SpecificCharacterSet").split("\\")
        if any(word.strip() not in python_encoding for word in declared):
            return False
        if name.isascii():
            return True
        try:
            name.decode("ascii" if declared == [""] else python_encoding[declared[0].strip()])
        except (UnicodeDecodeError, LookupError):
            return len(declared) > 1  # code extensions (ISO 2022) switch within the name
        return True


def open_header(data: bytes) -> Header:
    """The header of a file's bytes. Raises Refused as `find_elements` does."""
    header = Header(data)
    if "W_NO_PREAMBLE" in header.elements.remarks and not header.text("SOPClassUID"):
        raise Refused("N_NOT_DICOM")
    return header


def study_uid_of(data: bytes) -> str:
    """StudyInstanceUID of a file's bytes, or an empty string; never raises."""
    try:
        return open_header(data).text("StudyInstanceUID")
    except Refused:
        return ""
