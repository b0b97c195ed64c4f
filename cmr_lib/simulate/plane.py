"""An imaging plane in the patient's coordinates, and its samples in the heart's own frame."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32

Vector = Float[np.ndarray, "3"]
Samples = Float32[np.ndarray, "*shape"]


def unit(vector: Vector) -> Vector:
    """The vector at length 1; raises ValueError for a zero vector."""
    length = float(np.linalg.norm(vector))
    if length == 0:
        raise ValueError("A direction of length 0 has no unit vector.")
    return np.asarray(vector, dtype=np.float64) / length


@dataclass(frozen=True)
class Plane:
    """A slice as DICOM describes it (PS3.3 C.7.6.2.1.1): lengths in mm, patient coordinates LPS.

    `origin_mm` is the centre of the first pixel, `row_dir` points along increasing column index, `col_dir` along
    increasing row index. Raises ValueError, naming the field, for directions that are not orthogonal unit vectors
    or sizes that are not positive.
    """

    origin_mm: Vector
    row_dir: Vector
    col_dir: Vector
    spacing_mm: float
    rows: int
    cols: int
    thickness_mm: float

    def __post_init__(self) -> None:
        for name in ("row_dir", "col_dir"):
            if abs(float(np.linalg.norm(getattr(self, name))) - 1) > 1e-5:
                raise ValueError(f"Plane.{name} must be a unit vector, got {getattr(self, name).tolist()}.")
        if abs(float(self.row_dir @ self.col_dir)) > 1e-5:
            raise ValueError("Plane.row_dir and Plane.col_dir must be orthogonal.")
        for name in ("spacing_mm", "rows", "cols", "thickness_mm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"Plane.{name} must be positive, got {getattr(self, name)!r}.")

    @cached_property
    def normal(self) -> Vector:
        """Unit vector through the slice: row direction × column direction."""
        return np.cross(self.row_dir, self.col_dir)

    def shifted(self, along_normal_mm: float, offset_mm: Vector | None = None) -> "Plane":
        """The same plane moved along its normal, and by a free offset in patient coordinates."""
        move = along_normal_mm * self.normal + (np.zeros(3) if offset_mm is None else offset_mm)
        return Plane(
            self.origin_mm + move, self.row_dir, self.col_dir, self.spacing_mm, self.rows, self.cols, self.thickness_mm
        )

    def cropped(self, rows: slice, cols: slice) -> "Plane":
        """The part of the plane at these rows and columns (plain slices with start and stop)."""
        origin = self.origin_mm + self.spacing_mm * (cols.start * self.row_dir + rows.start * self.col_dir)
        return Plane(
            origin,
            self.row_dir,
            self.col_dir,
            self.spacing_mm,
            rows.stop - rows.start,
            cols.stop - cols.start,
            self.thickness_mm,
        )

    def points(self, origin: Vector, axes: Float[np.ndarray, "3 3"]) -> tuple[Samples, Samples, Samples]:
        """Coordinates of every pixel centre along three axes (rows of `axes`) from `origin`, each (rows, cols), mm."""
        down, right = np.arange(self.rows) * self.spacing_mm, np.arange(self.cols) * self.spacing_mm
        start = self.origin_mm - origin
        grids = []
        for axis in axes:
            grid = (start @ axis) + (down * (self.col_dir @ axis))[:, None] + (right * (self.row_dir @ axis))[None, :]
            grids.append(grid.astype(np.float32))
        return grids[0], grids[1], grids[2]


def centred_plane(
    centre: Vector, row_dir: Vector, col_dir: Vector, spacing_mm: float, matrix: int, thickness_mm: float
) -> Plane:
    """A square plane whose middle lies at `centre` (patient coordinates, mm)."""
    half = (matrix - 1) / 2 * spacing_mm
    origin = np.asarray(centre, dtype=np.float64) - half * (row_dir + col_dir)
    return Plane(origin, row_dir, col_dir, spacing_mm, matrix, matrix, thickness_mm)
