"""The whole headers of a study, for a de-identifier of its report: what names the patient there must go here too.

Restricted: they live in memory only, are turned into a list of identifiers where the study was read, and are never
written. A study's files repeat the same header thousands of times, so a header is read in full only where one of its
own identifying elements differs from those read before.
"""

import io
from collections.abc import Iterable
from pathlib import Path

import pydicom
from pydicom.datadict import tag_for_keyword

from cmr_lib.ingest.files import raw_files
from cmr_lib.ingest.header import READ_ERRORS, open_header, quiet_pydicom
from cmr_lib.ingest.rejects import Refused

MOST = 64  # headers of one study: a study that names more people than that is not read for more
# Elements that differ where another person, number or place is named (PS3.3 C.7.1, C.7.2, C.7.3, C.7.5).
_KEYWORDS = (
    "PatientID", "PatientName", "OtherPatientIDs", "OtherPatientNames", "PatientBirthDate", "PatientAddress",
    "PatientBirthName", "PatientMotherBirthName", "PatientTelephoneNumbers", "AccessionNumber", "StudyID", "StudyDate",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "NameOfPhysiciansReadingStudy",
    "PhysiciansOfRecord", "RequestingPhysician", "InstitutionName", "InstitutionAddress", "StationName", "AdmissionID",
)  # fmt: skip
_TAGS = tuple(tag for keyword in _KEYWORDS if (tag := tag_for_keyword(keyword)) is not None)


class Headers:
    """The different headers of one study, in the order of its files."""

    def __init__(self) -> None:
        self.found: list[pydicom.Dataset] = []
        self._series: set[str] = set()
        self._seen: set[tuple[bytes, ...]] = set()

    def take(self, data: bytes, series: str = "") -> None:
        """Look at a file's bytes. A `series` seen before is passed over, as is what is no DICOM: it names nobody."""
        if len(self.found) >= MOST or (series and series in self._series):
            return
        self._series.add(series)
        try:
            elements = open_header(data).elements
            named = tuple(elements.value(tag) for tag in _TAGS)
            if named not in self._seen:
                self.found.append(pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True))
                self._seen.add(named)
        except (Refused, *READ_ERRORS):
            return


def headers_of(datas: Iterable[bytes]) -> list[pydicom.Dataset]:
    """The different headers among the bytes of some files."""
    headers = Headers()
    for data in datas:
        headers.take(data)
    return headers.found


def read_headers(path: Path | str) -> list[pydicom.Dataset]:
    """The different headers of a study on disk (a .zip or a folder), without a look at its pixels; never raises."""
    try:
        with quiet_pydicom():
            return headers_of(file.data for file in raw_files(Path(path)) if not file.code)
    except (Refused, OSError):
        return []
