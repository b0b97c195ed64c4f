"""One DICOM file: bytes in, `Instance`s with a checked header and native pixels out, or a `Refused`.

pydicom returns normally for many broken files (a header cut mid-way, a lying length), so success is a list of
required elements that are there and plausible, never the absence of an exception. Reading stops behind PixelData:
trailing rubbish costs nothing. `parse_all` is a pure function of the bytes, so that it can be run in a child process.
Names of elements are the keywords of DICOM PS3.6; geometry is LPS, mm (PS3.3 C.7.6.2).
"""

import re
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32, Shaped
from pydicom import uid

from cmr_lib.ingest.header import Header, open_header
from cmr_lib.ingest.pixels import decode, frames_of, layout_of
from cmr_lib.ingest.rejects import Refused
from cmr_lib.ingest.velocity import VENC, encoding

CLASSIC_MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = (CLASSIC_MR + ".1", CLASSIC_MR + ".4")  # native, and converted from single-frame files
ENHANCED_COLOUR_MR = CLASSIC_MR + ".3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
UID_SHAPE = re.compile(r"[0-9.]{1,64}\Z")  # PS3.5 9.1, but for zeros that lead a part: real files have those
UIDS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True, eq=False)
class Instance:
    """One MR image: a file, or a frame of a multi-frame file. Identifiers stay in memory; what leaves is keyed."""

    sop_uid: str
    series_uid: str  # or what stands for it (`_series_of`)
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
    remarks: tuple[str, ...] = ()  # W codes of the file
    frame: int = 0  # of a multi-frame file, from 0
    study_date: str = ""  # restricted: leaves as a keyed shift only (ingest.person)
    sex: str = ""
    age: str = ""

    @property
    def normal(self) -> Float[np.ndarray, "3"]:
        """Unit vector through the image: row direction × column direction."""
        return np.cross(self.row_direction, self.col_direction)

    def values(self) -> Float32[np.ndarray, "rows cols"]:
        """Modality values: rescale slope and intercept applied."""
        values = self.raw.astype(np.float32)
        if self.slope != 1 or self.intercept != 0:
            values = values * np.float32(self.slope) + np.float32(self.intercept)
        return values

    def pixels(self) -> Float32[np.ndarray, "rows cols"]:
        """Modality values of this image alone, bright = high also for MONOCHROME1."""
        values = self.values()
        return turned(values) if self.inverted else values


OPTIONAL_NUMBERS = (
    "TriggerTime", "NominalCardiacTriggerDelayTime", "TemporalPositionIndex", "TemporalPositionIdentifier",
    "FrameTime", "InstanceNumber", "AcquisitionNumber", "NominalInterval", "HeartRate", "CardiacNumberOfImages",
    "EchoTime", "InversionTime", "MagneticFieldStrength", "SliceThickness",
)  # fmt: skip


def turned(values: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """Bright for dark, over the same range; for all frames of a stack at once, or a spot would make them flicker."""
    return values.max() + values.min() - values


# --- checks -----------------------------------------------------------------------------------------------------
def _check_kind(header: Header) -> None:
    """Refuse what is not an MR image. SOP class and modality decide, then the presence of pixels."""
    sop_class, modality = header.sop_class, header.text("Modality").upper()
    has_pixels = "PixelData" in header
    if sop_class.startswith(SECONDARY_CAPTURE) or sop_class == ENHANCED_COLOUR_MR:
        raise Refused("N_DERIVED", "SOPClassUID")
    if modality and modality != "MR":
        raise Refused("N_NOT_MR" if has_pixels else "N_NOT_IMAGE", "Modality")
    images = (CLASSIC_MR, *ENHANCED_MR)
    if sop_class not in images and sop_class in uid.UID_dictionary and not has_pixels:  # a cut UID is in no dictionary
        raise Refused("N_NOT_IMAGE", "SOPClassUID")
    for keyword in ("Modality", "SOPInstanceUID", "PixelData"):
        if keyword not in header or (keyword != "PixelData" and not header.text(keyword)):
            raise Refused("E_REQUIRED_MISSING", keyword)
    for keyword in UIDS:
        if (text := header.text(keyword)) and not UID_SHAPE.match(text):
            raise Refused("E_BAD_UID", keyword)


def _check_original(header: Header) -> None:
    """Refuse screenshots: colour, burned-in text, or ImageType SECONDARY or DERIVED without geometry of its own."""
    samples = header.count("SamplesPerPixel", 1.0)
    if samples != 1:
        sides = header.number("Rows", 0.0) * header.number("Columns", 0.0) * frames_of(header)
        if not header.elements.encapsulated and len(header.raw("PixelData")) < samples * sides:
            raise Refused("E_PIXEL_META", "SamplesPerPixel")  # colour by its word, grey by its bytes
        raise Refused("N_DERIVED", "SamplesPerPixel")
    if header.text("BurnedInAnnotation").upper() == "YES":
        raise Refused("N_DERIVED", "BurnedInAnnotation")
    image_type = header.words("ImageType")
    screenshot = any("SCREEN" in word or word in ("SECONDARY", "OVERLAY", "RESULTS") for word in image_type)
    if screenshot and image_type[:1] == ("DERIVED",):
        raise Refused("N_DERIVED", "ImageType")


def checked_geometry(
    spacing: Float[np.ndarray, "2"], orientation: Float[np.ndarray, "6"], origin: Float[np.ndarray, "3"]
) -> dict[str, np.ndarray | tuple[float, float]]:
    """Position, unit directions and spacing. Raises Refused for anything not orthogonal or plausible."""
    if spacing.min() < 0.1 or spacing.max() > 10:
        raise Refused("E_GEOMETRY", "PixelSpacing")
    row, col = orientation.reshape(2, 3)
    lengths = float(np.sqrt(row @ row)), float(np.sqrt(col @ col))
    if abs(lengths[0] - 1) > 0.02 or abs(lengths[1] - 1) > 0.02 or abs(row @ col) > 0.02:
        raise Refused("E_GEOMETRY", "ImageOrientationPatient")
    if np.abs(origin).max() > 5000:
        raise Refused("E_GEOMETRY", "ImagePositionPatient")
    row = row / lengths[0]
    col = col - (col @ row) * row
    return {
        "origin_mm": origin,
        "row_direction": row,
        "col_direction": col / np.sqrt(col @ col),
        "spacing_mm": (float(spacing[0]), float(spacing[1])),
    }


def _rescale(header: Header) -> tuple[float, float]:
    """Slope and intercept, 1 and 0 where absent. Raises Refused: E_PIXEL_META."""
    slope, intercept = header.number("RescaleSlope", 1.0), header.number("RescaleIntercept", 0.0)
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        if header.text(keyword) and not np.isfinite(header.number(keyword)):
            raise Refused("E_PIXEL_META", keyword)
    if slope == 0:
        raise Refused("E_PIXEL_META", "RescaleSlope")
    return slope, intercept


def checked(data: bytes) -> Header:
    """The header of a file that is an MR image by all it says. Raises Refused."""
    header = open_header(data)
    _check_kind(header)
    _check_original(header)
    return header


def _series_of(header: Header) -> str:
    """What images of one series share: SeriesInstanceUID, or where an exporter lost it the study, number and name.

    Such files are no worse than others (some of the Kaggle Data Science Bowl 2016 are so): a series only tells repeats
    of a slice apart, everything else is told by place, time and contrast.
    """
    names = ("StudyInstanceUID", "SeriesNumber", "SeriesDescription")
    return header.text("SeriesInstanceUID") or "\0".join(["no UID", *map(header.text, names)])


def identity_of(header: Header) -> dict[str, object]:
    """The fields of an `Instance` that all frames of a file share."""
    return {
        "sop_uid": header.text("SOPInstanceUID"),
        "series_uid": _series_of(header),
        "study_uid": header.text("StudyInstanceUID"),
        "frame_of_reference": header.text("FrameOfReferenceUID"),
        "patient_id": header.text("PatientID"),
        "accession": header.text("AccessionNumber"),
        "inverted": header.text("PhotometricInterpretation") == "MONOCHROME1",
        "manufacturer": header.text("Manufacturer"),
        "description": header.text("SeriesDescription"),
        "remarks": header.remarks(),
        "study_date": header.text("StudyDate"),
        "sex": header.text("PatientSex"),
        "age": header.text("PatientAge"),
    }


def single_frame(header: Header) -> Instance:
    """A classic MR image as an Instance. Raises Refused with the code and the keyword."""
    layout = layout_of(header)
    if layout.frames > 1:
        raise Refused("E_ENHANCED_UNSUPPORTED", "NumberOfFrames")  # frames without places of their own
    geometry = checked_geometry(
        header.numbers("PixelSpacing", 2),
        header.numbers("ImageOrientationPatient", 6),
        header.numbers("ImagePositionPatient", 3),
    )
    slope, intercept = _rescale(header)
    return Instance(
        raw=decode(header, layout)[0],
        slope=slope,
        intercept=intercept,
        numbers={name: header.number(name) for name in OPTIONAL_NUMBERS if name in header} | {VENC: encoding(header)},
        acquired=header.text("AcquisitionTime"),
        image_type=header.words("ImageType"),
        scanning=header.words("ScanningSequence"),
        **identity_of(header),
        **geometry,
    )


def parse(data: bytes) -> Instance:
    """The bytes of a single-frame file as an Instance. Raises Refused with the code and the keyword."""
    return single_frame(checked(data))
