"""What the headers of a study's files say, file by file, before any of it is believed: a table for people to look at.

Read with pydicom's general reader, not with the pipeline's own (`header`): a second pair of eyes, slower, for lessons
and for a study that was not read as expected. Numbers, codes and keyed names only; the descriptions, which may name a
patient, come on request.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom

from cmr_lib.ingest.files import RawFile, raw_files
from cmr_lib.ingest.header import READ_ERRORS, quiet_pydicom
from cmr_lib.ingest.views import hint
from cmr_lib.project import keyed_name

MR = "1.2.840.10008.5.1.4.1.1.4"
KINDS = {MR: "MR image", "1.2.840.10008.5.1.4.1.1.7": "screenshot"} | dict.fromkeys(
    (f"{MR}.1", f"{MR}.3", f"{MR}.4"), "multi-frame MR"
)
NUMBERS = {
    "instance": "InstanceNumber",
    "trigger_ms": "TriggerTime",
    "rr_ms": "NominalInterval",
    "slice_location_mm": "SliceLocation",
    "inversion_ms": "InversionTime",
    "rows": "Rows",
    "cols": "Columns",
}
COLUMNS = ("file", "series", "series_key", "kind", "says", *NUMBERS, "spacing_mm", "position_mm")
TAGS = [
    *("SOPClassUID", "SeriesInstanceUID", "SeriesDescription", "PixelSpacing"),
    *("ImagePositionPatient", "ImageOrientationPatient", *NUMBERS.values()),
]


def _dataset(file: RawFile) -> pydicom.Dataset | None:
    """The header of one file without its pixels; None for what is no DICOM."""
    try:
        found = pydicom.dcmread(BytesIO(file.data), stop_before_pixels=True, force=True, specific_tags=TAGS)
    except READ_ERRORS:
        return None
    return found if "SOPClassUID" in found else None


def _numbers(header: pydicom.Dataset, keyword: str) -> list[float]:
    """The numbers of an element; [] where it is absent or holds none."""
    try:
        value = header.get(keyword)
        parts = value if isinstance(value, pydicom.multival.MultiValue) else [value]
        return [] if value in (None, "") else [float(part) for part in parts]
    except READ_ERRORS:
        return []


def _position_mm(header: pydicom.Dataset) -> float:
    """ImagePositionPatient along the image's own normal: where the slice lies, whatever SliceLocation says."""
    place, directions = _numbers(header, "ImagePositionPatient"), _numbers(header, "ImageOrientationPatient")
    if len(place) != 3 or len(directions) != 6:
        return float("nan")
    return float(np.cross(directions[:3], directions[3:]) @ np.array(place))


def _row(header: pydicom.Dataset, key: bytes, *, descriptions: bool) -> dict[str, Any]:
    """What one file says about itself."""
    uid, description = str(header.get("SeriesInstanceUID", "")), str(header.get("SeriesDescription", ""))
    numbers = {name: next(iter(_numbers(header, keyword)), float("nan")) for name, keyword in NUMBERS.items()}
    return {
        "series_key": keyed_name(key, "series", uid) if uid else "",
        "kind": KINDS.get(str(header.SOPClassUID), "other DICOM"),
        "says": hint(description).value,
        **numbers,
        "spacing_mm": next(iter(_numbers(header, "PixelSpacing")), float("nan")),
        "position_mm": _position_mm(header),
    } | ({"description": description} if descriptions else {})


def headers(path: Path | str, key: bytes, *, descriptions: bool = False) -> pd.DataFrame:
    """A row a file of one study (a .zip or a folder), in order of name; columns COLUMNS, NaN where nothing is said.

    `series` counts the series from 1 as they come, 0 for none; `series_key` is the name that `read_study` gives it with
    the same key; `says` is the view that the description claims. `descriptions` adds the description itself, for
    phantoms: a real one may name a patient. Raises FileNotFoundError, and Refused for a broken archive.
    """
    rows, order = [], {"": 0}
    with quiet_pydicom():
        for number, file in enumerate(raw_files(Path(path)), start=1):
            header = _dataset(file)
            row = {"kind": "not DICOM"} if header is None else _row(header, key, descriptions=descriptions)
            series = order.setdefault(row.get("series_key", ""), len(order))
            rows.append({"file": number, "series": series, **row})
    return pd.DataFrame(rows, columns=[*COLUMNS, *(["description"] if descriptions else [])])
