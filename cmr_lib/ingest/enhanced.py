"""Enhanced MR: one multi-frame file as several `Instance`s (PS3.3 A.36.2 native, A.70 converted from single frames).

What a classic file says once, a multi-frame file says in functional groups: first those that all frames share, then
each frame's own, then what a converter could not place (Unassigned… and …ConvertedAttributes). Everything is looked up
in that order, by the keyword of the group's sequence and of the element in it.
"""

import math
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Float
from pydicom import dcmread
from pydicom.dataset import Dataset

from cmr_lib.ingest.header import READ_ERRORS, Header
from cmr_lib.ingest.pixels import decode, layout_of
from cmr_lib.ingest.reading import ENHANCED_MR, Instance, checked, checked_geometry, identity_of, single_frame
from cmr_lib.ingest.rejects import Refused
from cmr_lib.ingest.sequences import TAGGED

SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
UNPLACED = (
    "UnassignedPerFrameConvertedAttributesSequence",
    "UnassignedSharedConvertedAttributesSequence",
    "SharedConvertedAttributesSequence",
)
# Optional quantities: where each may stand, as (sequence, keyword), the first that is there wins.
PLACES: dict[str, tuple[tuple[str, str], ...]] = {
    "NominalCardiacTriggerDelayTime": (
        ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
        ("CardiacSynchronizationSequence", "ActualCardiacTriggerDelayTime"),
    ),
    "NominalInterval": (("CardiacSynchronizationSequence", "RRIntervalTimeNominal"),),
    "TemporalPositionIndex": (("FrameContentSequence", "TemporalPositionIndex"),),
    "AcquisitionNumber": (("FrameContentSequence", "FrameAcquisitionNumber"),),
    "EchoTime": (("MREchoSequence", "EffectiveEchoTime"),),
    "InversionTime": (("MRModifierSequence", "InversionTimes"),),
    "SliceThickness": (("PixelMeasuresSequence", "SliceThickness"),),
    "VelocityEncodingMaximumValue": (("MRVelocityEncodingSequence", "VelocityEncodingMaximumValue"),),
}
LOOSE = (  # of a converted file: they keep their classic names
    "TriggerTime", "TemporalPositionIdentifier", "FrameTime", "InstanceNumber", "AcquisitionNumber", "NominalInterval",
    "HeartRate", "CardiacNumberOfImages", "EchoTime", "InversionTime", "MagneticFieldStrength", "SliceThickness",
)  # fmt: skip
COMPONENTS = {"MAGNITUDE": "M", "PHASE": "P", "REAL": "R", "IMAGINARY": "I"}


class _Frame:
    """The functional groups of one frame, and the data set around them."""

    def __init__(self, whole: Dataset, groups: Sequence[Dataset]) -> None:
        self.whole = whole
        self.items = {item.keyword: item.value[0] for group in reversed(groups) for item in group if _has_item(item)}

    def find(self, sequence: str, keyword: str) -> Any:
        """A value of a functional group, or None."""
        item = self.items.get(sequence)
        return None if item is None else item.get(keyword)

    def loose(self, keyword: str) -> Any:
        """What stands in no functional group of its own: left unplaced by a converter, or beside all groups."""
        found = (self.find(sequence, keyword) for sequence in UNPLACED)
        beside = None if keyword == "InstanceNumber" else self.whole.get(keyword)  # that one numbers files
        return next((value for value in found if value is not None), beside)

    def array(self, sequence: str, keyword: str, count: int) -> Float[np.ndarray, " count"]:
        """Required finite numbers of the geometry. Raises Refused: E_GEOMETRY."""
        value = self.find(sequence, keyword)
        numbers = np.array([] if value is None else [float(part) for part in value], dtype=np.float64)
        if numbers.shape != (count,) or not np.isfinite(numbers).all():
            raise Refused("E_GEOMETRY", keyword)
        return numbers


def _has_item(element: Any) -> bool:
    return element.VR == "SQ" and len(element.value) > 0


def _number(value: Any) -> float:
    """A value, or the first of several, as a number; NaN for anything else."""
    try:
        return float(value if isinstance(value, int | float | str) else value[0])
    except (TypeError, ValueError, LookupError):
        return math.nan


def _numbers(frame: _Frame, index: int) -> dict[str, float]:
    """The optional quantities of a frame under their classic names; InstanceNumber counts the frames by default."""
    found = {"InstanceNumber": index + 1.0}
    loose = ((name, _number(frame.loose(name))) for name in LOOSE)
    placed = ((name, _number(frame.find(*place))) for name, places in PLACES.items() for place in reversed(places))
    found |= {name: value for name, value in (*loose, *placed) if math.isfinite(value)}
    return found


def _words(value: Any) -> tuple[str, ...]:
    """One or several coded values as capitals."""
    values = [] if value is None else [value] if isinstance(value, str) else list(value)
    return tuple(str(word).strip().upper() for word in values)


def _image_type(frame: _Frame) -> tuple[str, ...]:
    """ImageType as a classic file would have it: the frame's type, the complex component as M, P, R or I, PCA for flow.

    PhaseContrast is said once for the whole pulse sequence (C.8.13.4), AcquisitionContrast for each frame (C.8.13.5.1).
    """
    sequence = "MRImageFrameTypeSequence"
    kind = _words(frame.find(sequence, "FrameType")) or _words(frame.loose("ImageType"))
    component = frame.find(sequence, "ComplexImageComponent") or frame.whole.get("ComplexImageComponent")
    contrast = _words(frame.find(sequence, "AcquisitionContrast") or frame.whole.get("AcquisitionContrast"))
    tagged = bool(set(_words(frame.find("MRModifierSequence", "Tagging"))) - {"NONE"})
    flow = "FLOW_ENCODED" in contrast or _words(frame.whole.get("PhaseContrast")) == ("YES",)
    parts = tuple(COMPONENTS[word] for word in _words(component) if word in COMPONENTS)
    return kind + parts + ("PCA",) * flow + (TAGGED,) * tagged


def _scanning(frame: _Frame) -> tuple[str, ...]:
    """ScanningSequence as a classic file would have it: IR where an inversion prepared the contrast."""
    inverted = str(frame.find("MRModifierSequence", "InversionRecovery") or "").upper() == "YES"
    return _words(frame.loose("ScanningSequence")) + ("IR",) * inverted


def _scale(frame: _Frame) -> tuple[float, float]:
    """Slope and intercept of a frame, 1 and 0 where absent. Raises Refused: E_PIXEL_META."""
    values = []
    for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        stated = frame.find("PixelValueTransformationSequence", keyword)
        value = frame.loose(keyword) if stated is None else stated
        values.append(default if value is None else _number(value))
        if not math.isfinite(values[-1]) or (keyword == "RescaleSlope" and values[-1] == 0):
            raise Refused("E_PIXEL_META", keyword)
    return values[0], values[1]


def _acquired(frame: _Frame) -> str:
    """When a frame was acquired, as text that sorts; orders repeats, never leaves."""
    moment = frame.find("FrameContentSequence", "FrameAcquisitionDateTime") or frame.loose("AcquisitionTime")
    return str(moment or frame.whole.get("AcquisitionDateTime") or "")


def _frames(data: bytes, count: int) -> Iterator[_Frame]:
    """The frames of a file, in order. Raises Refused: E_ENHANCED_UNSUPPORTED where there are no groups for each."""
    whole = dcmread(BytesIO(data), stop_before_pixels=True, force=True)
    own = whole.get(PER_FRAME)
    if own is None or len(own) != count:
        raise Refused("E_ENHANCED_UNSUPPORTED", PER_FRAME)
    shared = list(whole.get(SHARED) or [])[:1]
    for groups in own:
        yield _Frame(whole, [*shared, groups])


def _instance(header: Header, frame: _Frame, index: int, raw: np.ndarray) -> Instance:
    slope, intercept = _scale(frame)
    return Instance(
        raw=raw,
        slope=slope,
        intercept=intercept,
        numbers=_numbers(frame, index),
        acquired=_acquired(frame),
        image_type=_image_type(frame),
        scanning=_scanning(frame),
        frame=index,
        **identity_of(header),
        **checked_geometry(
            frame.array("PixelMeasuresSequence", "PixelSpacing", 2),
            frame.array("PlaneOrientationSequence", "ImageOrientationPatient", 6),
            frame.array("PlanePositionSequence", "ImagePositionPatient", 3),
        ),
    )


def parse_all(data: bytes) -> list[Instance]:
    """The images of a file's bytes, one a frame; call inside `quiet_pydicom`. Raises Refused with code and keyword."""
    header = checked(data)
    if header.sop_class not in ENHANCED_MR:
        return [single_frame(header)]
    layout = layout_of(header)
    try:
        frames = list(_frames(data, layout.frames))
        pixels = decode(header, layout)
        return [_instance(header, frame, index, pixels[index]) for index, frame in enumerate(frames)]
    except MemoryError:
        raise Refused("E_DECLARED_TOO_BIG", PER_FRAME) from None
    except RecursionError:
        raise Refused("E_NESTING") from None
    except READ_ERRORS:
        raise Refused("E_REQUIRED_MISSING", PER_FRAME) from None
