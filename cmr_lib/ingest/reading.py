"""One DICOM file: bytes in, an `Instance` with a checked header and native pixels out, or a `Refused`.

pydicom returns normally for many broken files (a header cut mid-way, a lying length), so success is a list of
required elements that are there and plausible, never the absence of an exception. Reading stops behind PixelData:
trailing rubbish costs nothing. `parse` is a pure function of the bytes, so that it can be run in a child process.
Names of elements are the keywords of DICOM PS3.6; geometry is LPS, mm (PS3.3 C.7.6.2).
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32, Shaped
from pydicom import uid

from cmr_lib.ingest.header import READ_ERRORS, Header, open_header
from cmr_lib.ingest.rejects import Refused

MAX_SIDE_PX = 4096
NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian)
CLASSIC_MR = "1.2.840.10008.5.1.4.1.1.4"
MULTI_FRAME_MR = (CLASSIC_MR + ".1", CLASSIC_MR + ".3", CLASSIC_MR + ".4")
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True, eq=False)
class Instance:
    """One single-frame MR image. Identifiers stay in memory; what leaves is keyed."""

    sop_uid: str
    series_uid: str
    study_uid: str
    frame_of_reference: str
    patient_id: str
    accession: str
    raw: Shaped[np.ndarray, "rows cols"]
    slope: float
    intercept: float
    inverted: bool  # MONOCHROME1
    origin_mm: Float[np.ndarray, "3"]
    row_direction: Float[np.ndarray, "3"]
    col_direction: Float[np.ndarray, "3"]
    spacing_mm: tuple[float, float]
    numbers: dict[str, float] = field(default_factory=dict)  # optional quantities; NaN where absent
    acquired: str = ""  # AcquisitionTime: orders repeats, never leaves
    image_type: tuple[str, ...] = ()
    scanning: tuple[str, ...] = ()
    manufacturer: str = ""
    description: str = ""  # restricted; a tie-break for the view, never more
    no_preamble: bool = False
    study_date: str = ""  # restricted: leaves as a keyed shift only (ingest.person)
    sex: str = ""
    age: str = ""

    @property
    def normal(self) -> Float[np.ndarray, "3"]:
        """Unit vector through the image: row direction × column direction."""
        return np.cross(self.row_direction, self.col_direction)

    def pixels(self) -> Float32[np.ndarray, "rows cols"]:
        """Modality values (rescale slope and intercept applied), bright = high also for MONOCHROME1."""
        values = self.raw.astype(np.float32)
        if self.slope != 1 or self.intercept != 0:
            values = values * np.float32(self.slope) + np.float32(self.intercept)
        return values.max() + values.min() - values if self.inverted else values


OPTIONAL_NUMBERS = (
    "TriggerTime", "NominalCardiacTriggerDelayTime", "TemporalPositionIndex", "TemporalPositionIdentifier",
    "FrameTime", "InstanceNumber", "AcquisitionNumber", "NominalInterval", "HeartRate", "CardiacNumberOfImages",
    "EchoTime", "InversionTime", "MagneticFieldStrength", "SliceThickness",
)  # fmt: skip


# --- checks -----------------------------------------------------------------------------------------------------
def _check_kind(header: Header) -> None:
    """Refuse what is not a single-frame MR image. SOP class and modality decide, then the presence of pixels."""
    sop_class, modality = header.text("SOPClassUID"), header.text("Modality").upper()
    has_pixels = "PixelData" in header
    if sop_class.startswith(SECONDARY_CAPTURE):
        raise Refused("N_DERIVED", "SOPClassUID")
    if modality and modality != "MR":
        raise Refused("N_NOT_MR" if has_pixels else "N_NOT_IMAGE", "Modality")
    if sop_class in MULTI_FRAME_MR or header.number("NumberOfFrames", 1.0) > 1:
        raise Refused("E_ENHANCED_UNSUPPORTED", "SOPClassUID")
    if sop_class != CLASSIC_MR and sop_class in uid.UID_dictionary and not has_pixels:  # a cut UID is in no dictionary
        raise Refused("N_NOT_IMAGE", "SOPClassUID")
    for keyword in ("Modality", "SOPInstanceUID", "SeriesInstanceUID", "PixelData"):
        if keyword not in header or (keyword != "PixelData" and not header.text(keyword)):
            raise Refused("E_REQUIRED_MISSING", keyword)


def _check_original(header: Header) -> None:
    """Refuse screenshots: colour, burned-in text, or ImageType SECONDARY or DERIVED without geometry of its own."""
    if header.number("SamplesPerPixel", 1.0) != 1:
        raise Refused("N_DERIVED", "SamplesPerPixel")
    if header.text("BurnedInAnnotation").upper() == "YES":
        raise Refused("N_DERIVED", "BurnedInAnnotation")
    image_type = header.words("ImageType")
    screenshot = any("SCREEN" in word or word in ("SECONDARY", "OVERLAY", "RESULTS") for word in image_type)
    if screenshot and image_type[:1] == ("DERIVED",):
        raise Refused("N_DERIVED", "ImageType")


def _shape(header: Header) -> tuple[int, int, int]:
    """Rows, columns and bits, checked before anything is decoded."""
    sizes = [header.number(keyword) for keyword in ("Rows", "Columns", "BitsAllocated")]
    for keyword, size in zip(("Rows", "Columns", "BitsAllocated"), sizes, strict=True):
        if not np.isfinite(size) or size < 1:
            raise Refused("E_REQUIRED_MISSING", keyword)
    rows, cols, bits = (int(size) for size in sizes)
    if max(rows, cols) > MAX_SIDE_PX:
        raise Refused("E_TOO_BIG", "Rows")
    if min(rows, cols) < 8 or bits not in (8, 16, 32):
        raise Refused("E_PIXEL_META", "BitsAllocated" if bits not in (8, 16, 32) else "Rows")
    return rows, cols, bits


def _geometry(header: Header) -> dict[str, np.ndarray | tuple[float, float]]:
    """Position, unit directions and spacing. Raises Refused for anything not finite, orthogonal or plausible."""
    spacing = header.numbers("PixelSpacing", 2)
    if spacing.min() < 0.1 or spacing.max() > 10:
        raise Refused("E_GEOMETRY", "PixelSpacing")
    row, col = header.numbers("ImageOrientationPatient", 6).reshape(2, 3)
    lengths = np.linalg.norm(row), np.linalg.norm(col)
    if abs(lengths[0] - 1) > 0.02 or abs(lengths[1] - 1) > 0.02 or abs(row @ col) > 0.02:
        raise Refused("E_GEOMETRY", "ImageOrientationPatient")
    origin = header.numbers("ImagePositionPatient", 3)
    if np.abs(origin).max() > 5000:
        raise Refused("E_GEOMETRY", "ImagePositionPatient")
    row = row / lengths[0]
    col = col - (col @ row) * row
    return {
        "origin_mm": origin,
        "row_direction": row,
        "col_direction": col / np.linalg.norm(col),
        "spacing_mm": (float(spacing[0]), float(spacing[1])),
    }


# --- pixels -----------------------------------------------------------------------------------------------------
def _native_pixels(header: Header, shape: tuple[int, int], bits: int, order: str) -> Shaped[np.ndarray, "r c"]:
    """Uncompressed pixels: unused high bits are cleared, the sign is extended from the highest stored bit."""
    stored = int(header.number("BitsStored", float(bits)))
    high = int(header.number("HighBit", float(stored - 1)))
    if not 1 <= stored <= bits or not stored - 1 <= high < bits:
        raise Refused("E_PIXEL_META", "BitsStored")
    data, count = header.raw("PixelData"), shape[0] * shape[1]
    if len(data) < count * bits // 8:
        raise Refused("E_PIXEL_SHORT", "PixelData")
    kind = "i" if header.number("PixelRepresentation", 0.0) == 1 else "u"
    values = np.frombuffer(data, dtype=f"{order}{kind}{bits // 8}", count=count).astype(f"{kind}{bits // 8}")
    if stored < bits:  # left, then (arithmetically) right: clears or sign-extends what is above the high bit
        values = (values << (bits - 1 - high)) >> (bits - stored)
    return values.reshape(shape)


def _decode(header: Header, shape: tuple[int, int], bits: int) -> Shaped[np.ndarray, "rows cols"]:
    """Pixels as stored. Raises Refused: E_TRANSFER_SYNTAX, E_PIXEL_META, E_PIXEL_SHORT, E_DECODE."""
    syntax = uid.UID(str(header.dataset.file_meta.get("TransferSyntaxUID", "") or uid.ImplicitVRLittleEndian))
    if syntax.is_private or syntax not in uid.AllTransferSyntaxes:
        raise Refused("E_TRANSFER_SYNTAX", "TransferSyntaxUID")
    if syntax in NATIVE or syntax == uid.ExplicitVRBigEndian:
        return _native_pixels(header, shape, bits, ">" if syntax == uid.ExplicitVRBigEndian else "<")
    try:
        pixels = header.dataset.pixel_array
    except READ_ERRORS:
        raise Refused("E_DECODE", "PixelData") from None
    if pixels.shape != shape:
        raise Refused("E_PIXEL_META", "PixelData")
    return np.ascontiguousarray(pixels)


def parse(data: bytes) -> Instance:
    """One file's bytes as an Instance; call inside `quiet_pydicom`. Raises Refused with the code and the keyword."""
    header, bare = open_header(data)
    _check_kind(header)
    _check_original(header)
    rows, cols, bits = _shape(header)
    geometry = _geometry(header)
    slope, intercept = header.number("RescaleSlope", 1.0), header.number("RescaleIntercept", 0.0)
    if slope == 0:
        raise Refused("E_PIXEL_META", "RescaleSlope")
    return Instance(
        sop_uid=header.text("SOPInstanceUID"),
        series_uid=header.text("SeriesInstanceUID"),
        study_uid=header.text("StudyInstanceUID"),
        frame_of_reference=header.text("FrameOfReferenceUID"),
        patient_id=header.text("PatientID"),
        accession=header.text("AccessionNumber"),
        raw=_decode(header, (rows, cols), bits),
        slope=slope,
        intercept=intercept,
        inverted=header.text("PhotometricInterpretation") == "MONOCHROME1",
        numbers={name: header.number(name) for name in OPTIONAL_NUMBERS if name in header},
        acquired=header.text("AcquisitionTime"),
        image_type=header.words("ImageType"),
        scanning=header.words("ScanningSequence"),
        manufacturer=header.text("Manufacturer"),
        description=header.text("SeriesDescription"),
        no_preamble=bare,
        study_date=header.text("StudyDate"),
        sex=header.text("PatientSex"),
        age=header.text("PatientAge"),
        **geometry,
    )
