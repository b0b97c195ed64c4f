"""One study as the bytes of a zip, and the list of what it holds: a row a series, and one for every spoiled file."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmr_lib.params import Simulate
from cmr_lib.simulate import dicom, headers
from cmr_lib.simulate.enhanced import Storage, enhanced_file, screenshot_file, storage_of, stored_as
from cmr_lib.simulate.identity import identity_of
from cmr_lib.simulate.mess import OUTCOMES, pick, spoiled
from cmr_lib.simulate.phantom import Phantom
from cmr_lib.simulate.pictures import Scans, scale_of, screenshot
from cmr_lib.simulate.plan import Series, plan_series
from cmr_lib.simulate.protocol import Exam
from cmr_lib.simulate.scanner import Stored

CONTENTS_COLUMNS = ("accession", "series_number", "files", "kind", "view", "trick", "outcome")
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
LEVEL = 1  # of deflate: half the time of the usual level, and noise does not pack better
BREATH_S = 21.0  # from one breath-hold to the next
NOTE_TEXT = b"synthetic phantom: exported by the archive, do not delete\r\n"
Row = dict[str, Any]
File = tuple[str, bytes]  # name in the zip, content


@dataclass
class _Writer:
    """Encodes the series of one study; the day's clock runs on from one to the next."""

    settings: Simulate
    phantom: Phantom
    exam: Exam
    storage: Storage

    def __post_init__(self) -> None:
        latents, seed = self.phantom.latents, self.settings.seed
        self.study = headers.study_dataset(seed, latents, self.exam)
        self.start = headers.study_start(seed, latents)
        self.who = identity_of(seed, latents.patient, latents.person.age)
        self.scans = Scans(self.phantom, self.exam, seed)
        self.seconds = 3600.0 * self.start.hour + 60.0 * self.start.minute + 40.0
        self.picture = np.zeros((8, 8), dtype=np.float32)  # what a screenshot will show
        self._study_elements = dicom.encoded(self.study)
        self._kinds: dict[tuple, dicom.Elements] = {}

    def path(self, series: Series, number: int, instance: int) -> str:
        """Where a file lies in the zip, by the maker's habit."""
        name = "".join(letter if letter.isalnum() else "_" for letter in series.name)
        family = self.who.family_name.upper()
        return self.exam.vendor.path.format(name=name, number=number, instance=instance, family=family)

    def _elements(self, series: Series, number: int) -> dicom.Elements:
        """All elements of a series; those of a kind of series are encoded once a study."""
        plane, phases = series.shots[0].plane, len(series.shots[0].phases)
        key = (series.kind, plane.rows, plane.cols, plane.spacing_mm, phases)
        if key not in self._kinds:
            kind = dicom.kind_dataset(self.exam, series, scale_of(self.exam, series))
            self._kinds[key] = dicom.encoded(kind)
        own = dicom.series_dataset(str(self.study.StudyInstanceUID), self.exam, series, number, headers.NOTE)
        return self._study_elements | self._kinds[key] | dicom.encoded(own)

    def _classic(self, series: Series, number: int, stored: list[Stored]) -> Iterator[bytes]:
        """One file a frame, slice by slice."""
        plane = series.shots[0].plane
        encoder = dicom.SeriesEncoder(self._elements(series, number), 2 * plane.rows * plane.cols)
        series_uid = dicom.uid(str(self.study.StudyInstanceUID), "series", number)
        instance = 0
        for slot, (shot, frames) in enumerate(zip(series.shots, stored, strict=True)):
            self.seconds += BREATH_S
            place = dicom.slice_values(shot, slot, self.seconds)
            for phase, frame in enumerate(np.ascontiguousarray(frames)):
                instance += 1
                values = place | dicom.frame_values(series_uid, shot, phase, instance)
                yield stored_as(encoder.file(values, frame.tobytes()), self.storage.syntax)

    def files(self, series: Series, number: int) -> list[File]:
        """The files of a series as the scanner made them."""
        if series.kind == "screenshot":
            pixels = screenshot(self.picture, self.who, str(self.study.StudyDate))
            return [(self.path(series, number, 1), screenshot_file(self.study, series, number, pixels))]
        stored = self.scans.series(series)
        if series.kind == "cine" and series.outcome == "used":
            self.picture = stored[0][0].astype(np.float32)
        if self.storage.enhanced and series.kind in ("cine", "lge", "psir"):
            self.seconds += BREATH_S * len(stored)
            scale = scale_of(self.exam, series)
            contents = [enhanced_file(self.study, self.exam, series, number, stored, scale, self.seconds, self.storage)]
        else:
            contents = list(self._classic(series, number, stored))
        return [(self.path(series, number, index + 1), data) for index, data in enumerate(contents)]


def _row(accession: str, number: int, files: int, series: Series, **other: str) -> Row:
    """A row of the contents."""
    known = {"kind": series.kind, "view": series.view.value, "trick": series.trick, "outcome": series.outcome}
    return {"accession": accession, "series_number": number, "files": files} | known | other


def _spoil(writer: _Writer, series: Series, number: int, files: list[File]) -> tuple[list[File], int]:
    """The files with one of them spoiled or doubled, and how many of them are as the scanner made them."""
    if not series.spoil:
        return files, len(files)
    at = pick(len(files), series.spoil_at)
    name, data = files[at]
    if series.spoil == "duplicate":
        return [*files, (writer.path(series, number, len(files) + 1), data)], len(files)
    return [*files[:at], (name, spoiled(data, series.spoil, series.spoil_at)), *files[at + 1 :]], len(files) - 1


def _zipped(files: list[File]) -> bytes:
    """A zip with fixed dates and rights: the same files are the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for name, data in files:
            entry = zipfile.ZipInfo(name, ZIP_DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, data, compresslevel=LEVEL)
    return buffer.getvalue()


def study_archive(settings: Simulate, phantom: Phantom, exam: Exam) -> tuple[bytes, list[Row]]:
    """The zip of a study and its contents, rows of CONTENTS_COLUMNS.

    `files` is the number of files a row speaks of (0: what is missing); `trick` is what is odd about them; `outcome`
    is what a careful reader must do: use, ignore, reject or repair them (absent: there is nothing to read). The
    phase-sensitive image of a pair is used and its magnitude ignored.
    """
    storage = storage_of(settings, phantom.latents, exam)
    writer = _Writer(settings, phantom, exam, storage)
    accession = str(writer.study.AccessionNumber)
    rows: list[Row] = []
    files: list[File] = []
    planned = plan_series(settings, phantom.latents, phantom.shape, exam, single_frame=not storage.enhanced)
    for index, series in enumerate(one for one in planned if one.images):
        number = exam.vendor.series_number(index)
        made, whole = _spoil(writer, series, number, writer.files(series, number))
        files += made
        rows.append(_row(accession, number, whole, series))
        if series.spoil:
            rows.append(_row(accession, number, 1, series, trick=series.spoil, outcome=OUTCOMES[series.spoil]))
    for series in (one for one in planned if not one.images):
        if series.kind == "not_dicom":
            files.append(("README.TXT", NOTE_TEXT))
        rows.append(_row(accession, 0, int(series.kind == "not_dicom"), series))
    return _zipped(files), rows
