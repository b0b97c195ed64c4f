"""Tiny DICOM studies for tests: a beating heart of three ellipsoids, on any plane, written with pydicom alone."""

import io
import zipfile
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

MR = "1.2.840.10008.5.1.4.1.1.4"
CENTRE = np.array([20.0, -40.0, 30.0])
AXIS = np.array([0.62, -0.6, -0.5]) / np.linalg.norm([0.62, -0.6, -0.5])  # base to apex
LATERAL = np.array([1.0, 0, 0]) - AXIS[0] * AXIS
LATERAL = LATERAL / np.linalg.norm(LATERAL)
ANTERIOR = np.cross(AXIS, LATERAL)


def heart(points: np.ndarray, phase: float) -> np.ndarray:
    """Grey values at points (…, 3): left ventricle (round), right ventricle (to the right), wall, body, air."""
    squeeze = np.sin(np.pi * min(phase / 0.7, 1.0)) ** 2  # end-systole at 0.35
    along, left, front = ((points - CENTRE) @ axis for axis in (AXIS, LATERAL, ANTERIOR))
    inner, outer = 26.0 - 9.0 * squeeze, 36.0 - 3.0 * squeeze

    def inside(radius: float, length: float, shift: float = 0.0, flat: float = 1.0) -> np.ndarray:
        return ((left - shift) / (radius * flat)) ** 2 + (front / radius) ** 2 + (along / length) ** 2 < 1

    image = np.where(np.abs(points[..., 1] + 20) < 110, 40.0, 5.0)
    image = np.where(inside(38 - 4 * squeeze, 62, shift=-32), 190.0, image)
    image = np.where(inside(outer, 65), 70.0, image)
    return np.where(inside(inner, 55), 200.0, image)


def plane(offset_mm: float = 0.0, turn_deg: float | None = None, size: int = 64, spacing: float = 3.0) -> dict:
    """Position, directions and spacing: a short-axis plane at `offset_mm` towards the apex, or a long-axis plane.

    A long-axis plane contains the axis and the direction `turn_deg` from lateral (0) towards anterior (90).
    """
    if turn_deg is None:
        row, col = LATERAL, -ANTERIOR
    else:
        turn = np.deg2rad(turn_deg)
        row, col = np.cos(turn) * LATERAL + np.sin(turn) * ANTERIOR, -AXIS
    middle = CENTRE + offset_mm * (AXIS if turn_deg is None else np.cross(row, col))
    origin = middle - (size - 1) / 2 * spacing * (row + col)
    return {"origin": origin, "row": row, "col": col, "spacing": spacing, "size": size}


def image(where: dict, phase: float) -> np.ndarray:
    """The heart on a plane, as uint16."""
    steps = np.arange(where["size"]) * where["spacing"]
    points = where["origin"] + steps[:, None, None] * where["col"] + steps[None, :, None] * where["row"]
    return heart(points, phase).astype(np.uint16)


def dataset(where: dict, pixels: np.ndarray, **changes: object) -> Dataset:
    """One MR image; `changes` are DICOM keywords, None removes one."""
    ds = Dataset()
    ds.SOPClassUID, ds.Modality, ds.Manufacturer = MR, "MR", "SIEMENS"
    ds.SOPInstanceUID = f"1.2.3.{abs(hash((changes.get('InstanceNumber', 1), changes.get('SeriesInstanceUID'))))}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.3.4", "1.2.3.4.1", "1.2.3.4.9"
    ds.PatientID, ds.PatientName, ds.AccessionNumber = "MRN-Secret-77", "Secret^Name", "ACC-Secret-1"
    ds.ImageType, ds.ScanningSequence = ["ORIGINAL", "PRIMARY", "M"], "GR"
    ds.ImagePositionPatient = [f"{value:.6f}" for value in where["origin"]]
    ds.ImageOrientationPatient = [f"{value:.8f}" for value in (*where["row"], *where["col"])]
    ds.PixelSpacing, ds.SliceThickness = [str(where["spacing"])] * 2, "8"
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.dtype.itemsize
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(pixels.dtype.kind == "i")
    ds.MagneticFieldStrength, ds.InstanceNumber = "1.5", 1
    ds.PixelData = pixels.tobytes()
    for keyword, value in changes.items():
        if value is None and keyword in ds:
            delattr(ds, keyword)
        elif value is not None:
            setattr(ds, keyword, value)
    return ds


def encode(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The bytes of a DICOM file."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def cine(
    where: dict, phases: int = 8, rr: float = 800.0, series: str = "1.2.3.4.1", **changes: object
) -> list[Dataset]:
    """A cine of one plane, phases in order."""
    first = int(changes.pop("first", 1))
    return [
        dataset(
            where,
            image(where, phase / phases),
            SeriesInstanceUID=series,
            InstanceNumber=first + phase,
            SOPInstanceUID=f"{series}.{first + phase}",
            TriggerTime=f"{phase * rr / phases:.3f}",
            NominalInterval=str(int(rr)),
            **changes,
        )
        for phase in range(phases)
    ]


def late(where: dict, number: int = 1, series: str = "1.2.3.4.50", **changes: object) -> Dataset:
    """A late-enhancement image of one plane."""
    changes = {"ScanningSequence": ["GR", "IR"], "InversionTime": "300", "TriggerTime": "600", **changes}
    return dataset(
        where,
        image(where, 0.75),
        SeriesInstanceUID=series,
        InstanceNumber=number,
        SOPInstanceUID=f"{series}.{number}",
        **changes,
    )


def study(slices: int = 4, phases: int = 8, **changes: object) -> list[Dataset]:
    """A short-axis cine (one series a slice), two long-axis cines, two late-enhancement slices."""
    offsets = np.linspace(-36, 36, slices)
    files = []
    for index, offset in enumerate(offsets):
        files += cine(plane(offset), phases, series=f"1.2.3.4.{10 + index}", **changes)
    files += cine(plane(turn_deg=5), phases, series="1.2.3.4.30", SeriesDescription="cine 4ch", **changes)
    files += cine(plane(turn_deg=65), phases, series="1.2.3.4.31", SeriesDescription="cine 2ch", **changes)
    return files + [late(plane(offset), number, **changes) for number, offset in enumerate(offsets[1:3], start=1)]


def write_zip(path: Path, files: list[Dataset] | dict[str, bytes]) -> Path:
    """A study as a .zip; a dict gives names and bytes."""
    named = files if isinstance(files, dict) else {f"S/I{i:04d}.dcm": encode(ds) for i, ds in enumerate(files)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in named.items():
            archive.writestr(name, data)
    return path
