"""NIfTI into stacks: from (column, row, slice, frame) and right-front-up to (slice, phase, row, column) and LPS.

NIfTI's world axes point to the patient's right, front and head (RAS+), DICOM's to the left, back and head (LPS), so
x and y change their sign and z does not. The first voxel axis is the column index, the second the row index.
"""

import gzip
import io
import zlib

import nibabel as nib
import numpy as np
from jaxtyping import Float, Integer, Num
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from cmr_lib.ingest import heart
from cmr_lib.ingest.files import LIMITS
from cmr_lib.ingest.rejects import Refused
from cmr_lib.ingest.views import base_to_apex
from cmr_lib.types import Sequence, Stack, View

TO_LPS = np.array([-1.0, -1.0, 1.0])
MOST_BYTES = 4 * LIMITS.file_bytes  # unpacked
BEAT_MS = (300.0, 2500.0)  # a frame time that gives another beat is none; then the beat counts as 1000 ms
BROKEN = (
    *(ImageFileError, HeaderDataError, WrapStructError, ValueError, TypeError, EOFError, OSError, zlib.error),
    OverflowError,
)
PHANTOM = b"synthetic phantom"  # what our own files in a public layout say of themselves

Volume = Num[np.ndarray, "cols rows slices frames"]


def load(data: bytes, tag: str) -> nib.Nifti1Image:
    """A .nii or .nii.gz from its bytes, unpacked under a cap. Raises Refused: E_TOO_BIG, E_DECODE."""
    try:
        if data[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise Refused("E_TOO_BIG", tag)
        return nib.Nifti1Image.from_bytes(data)
    except BROKEN:
        raise Refused("E_DECODE", tag) from None


def values(image: nib.Nifti1Image, dimensions: int, tag: str) -> np.ndarray:
    """The voxels, with `dimensions` axes. Raises Refused: E_DECODE (cut short), E_PIXEL_META (other axes)."""
    try:
        array = np.asanyarray(image.dataobj)
    except BROKEN:
        raise Refused("E_DECODE", tag) from None
    if array.ndim != dimensions or 0 in array.shape:
        raise Refused("E_PIXEL_META", tag)
    return array


def voxel_ml(image: nib.Nifti1Image) -> float:
    """Volume of a voxel; header lengths are mm."""
    return float(np.prod([abs(float(size)) for size in image.header.get_zooms()[:3]])) / 1000


def is_phantom(image: nib.Nifti1Image) -> bool:
    """Whether the file calls itself a synthetic phantom."""
    return bytes(image.header["descrip"]).startswith(PHANTOM)


def _frame_times(image: nib.Nifti1Image, count: int) -> Float[np.ndarray, " frames"]:
    """Times of the frames after the first, ms: evenly spread over one beat, as NIfTI has one frame time for all."""
    step = float(image.header.get_zooms()[3]) * {"msec": 1.0, "usec": 1e-3}.get(image.header.get_xyzt_units()[1], 1e3)
    beat = step * count
    return np.arange(count) * (beat if BEAT_MS[0] <= beat <= BEAT_MS[1] else 1000.0) / count


def _directions(affine: Float[np.ndarray, "4 4"]) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Unit vectors along columns and rows (LPS) and the lengths (rows, columns) in mm. Raises Refused E_GEOMETRY."""
    along, down = TO_LPS * affine[:3, 0], TO_LPS * affine[:3, 1]
    lengths = float(np.linalg.norm(along)), float(np.linalg.norm(down))
    if not (min(lengths) >= 0.1 and max(lengths) <= 10):
        raise Refused("E_GEOMETRY", "affine")
    along, down = along / lengths[0], down / lengths[1]
    if abs(float(along @ down)) > 0.02 or not np.linalg.norm(affine[:3, 2]) > 0.1:
        raise Refused("E_GEOMETRY", "affine")
    return along, down, (lengths[1], lengths[0])


def short_axis(
    image: nib.Nifti1Image, cavity: Integer[np.ndarray, "cols rows slices"] | None, vendor: str, tag: str
) -> Stack:
    """A short-axis cine, slices from base to apex.

    Where the affine is a bare table position along the scanner's axes (no short axis is), it does not tell the base
    from the apex; then the ventricles' drawn area does (`cavity`: not 0 in either ventricle; None: geometry as it is).
    """
    voxels, affine = values(image, 4, tag), np.asarray(image.affine, dtype=np.float64)
    row, col, spacing = _directions(affine)
    slices, frames = voxels.shape[2:]
    origins = (affine[:3, 3] + np.outer(np.arange(slices), affine[:3, 2])) * TO_LPS
    if np.abs(np.cross(row, col)).max() > 0.9998 and cavity is not None:
        area = (cavity != 0).sum(axis=(0, 1))
        apex = heart.towards_apex(np.cross(row, col))
        if (area[: slices // 2].sum() >= area[-(slices // 2) :].sum()) != ((origins[-1] - origins[0]) @ apex >= 0):
            origins = origins[::-1]
    return base_to_apex(
        Stack(
            sequence=Sequence.CINE,
            view=View.SAX,
            pixels=np.ascontiguousarray(voxels.transpose(2, 3, 1, 0), dtype=np.float32),
            origins_mm=origins,
            row_direction=row,
            col_direction=col,
            spacing_mm=spacing,
            trigger_ms=np.tile(_frame_times(image, frames), (slices, 1)),
            facts={"vendor": vendor, "field_strength_t": float("nan")},
        )
    )
