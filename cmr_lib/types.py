"""The vocabulary of the project: views, sequences, array shapes and record classes.

Axis order, once and for all: a clip at the encoder's door is (batch, frames, channels, height, width); a clip on
disk is uint8 (frames, height, width); a stack is (slices, phases, rows, cols). Lengths are in mm in the patient
coordinate system of DICOM (LPS: x to the left, y to the back, z to the head; PS3.3 C.7.6.2.1.1), times in ms.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from jaxtyping import Float, Float32, UInt8


class View(StrEnum):
    """What plane of the heart an image shows."""

    SAX = "sax"
    LAX_2CH = "lax_2ch"
    LAX_3CH = "lax_3ch"
    LAX_4CH = "lax_4ch"
    RVOT = "rvot"
    RV_2CH = "rv_2ch"
    UNKNOWN = "unknown"


class Sequence(StrEnum):
    """How the image was made: moving (cine) or still, late after gadolinium (LGE)."""

    CINE = "cine"
    LGE = "lge"
    OTHER = "other"


class ImageKind(StrEnum):
    """What an acquisition is, finer than `Sequence`: what a data card counts. Only the first three become stacks."""

    CINE = "cine"
    LGE_MAGNITUDE = "lge_magnitude"
    LGE_PSIR = "lge_psir"  # phase-sensitive inversion recovery
    T1_MAP = "t1_map"
    T2_MAP = "t2_map"
    MAP = "map"  # another map, or one that does not say of what
    FLOW_MAGNITUDE = "flow_magnitude"  # of a phase-contrast pair
    FLOW_VELOCITY = "flow_velocity"
    LOCALISER = "localiser"
    SCREENSHOT = "screenshot"
    OTHER = "other"  # perfusion, inversion-time scout, several echoes


class Split(StrEnum):
    """Which part of the cohort a patient, with all studies, belongs to."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


StackPixels = Float32[np.ndarray, "slices phases rows cols"]
StoredFrames = UInt8[np.ndarray, "frames height width"]


@dataclass(frozen=True)
class Stack:
    """Parallel slices of one sequence, each with the same number of phases, ordered in space and in time.

    Slices are ordered along `normal`, phases by time after the R wave. A single long-axis cine is a stack of one
    slice, an LGE stack has one phase.
    """

    sequence: Sequence
    view: View
    pixels: StackPixels
    origins_mm: Float[np.ndarray, "slices 3"]  # centre of the first pixel of each slice (ImagePositionPatient)
    row_direction: Float[np.ndarray, "3"]  # unit vector along increasing column index (first triple of IOP)
    col_direction: Float[np.ndarray, "3"]  # unit vector along increasing row index (second triple of IOP)
    spacing_mm: tuple[float, float]  # (between rows, between columns), as PixelSpacing
    trigger_ms: Float[np.ndarray, "slices phases"]
    series_keys: tuple[str, ...] = ()  # keyed names of the series it was built from
    facts: dict[str, float | int | str] = field(default_factory=dict)  # allow-listed: vendor code, confidences, ...

    @property
    def normal(self) -> Float[np.ndarray, "3"]:
        """Unit vector through the slices: row direction × column direction."""
        return np.cross(self.row_direction, self.col_direction)

    @property
    def slice_spacing_mm(self) -> float:
        """Median distance between neighbouring slices along the normal; 0.0 for one slice."""
        if len(self.origins_mm) < 2:
            return 0.0
        return float(np.median(np.abs(np.diff(self.origins_mm @ self.normal))))


@dataclass(frozen=True)
class Report:
    """A cardiologist's report, by section. Empty sections are empty strings."""

    findings: str
    impression: str
    indication: str = ""
    technique: str = ""

    def text(self, sections: tuple[str, ...] = ("findings", "impression")) -> str:
        """The chosen sections, in order, joined by a blank."""
        return " ".join(part for name in sections if (part := getattr(self, name).strip()))


@dataclass(frozen=True)
class Reject:
    """One input that did not become an output, named by key and code only: never a raw value or a path."""

    level: str  # file | series | study | report
    code: str  # one of ingest.rejects.CODES
    action: str  # rejected | repaired | ignored
    study_key: str = ""
    series_key: str = ""
    file_key: str = ""
    tag: str = ""  # DICOM keyword, column name, or ImageKind of an image that is set aside
    stage: str = "preprocess"
