"""True DICOM: classic MR Image Storage objects, one file a frame, one zip a study.

Only pydicom encodes. A series is encoded once with place-holders of fixed width, and each of its files is that text
with the place-holders overwritten, which is some twenty times faster than encoding every file anew.
"""

import datetime
import hashlib
import io
import struct
import zipfile
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from cmr_lib import project
from cmr_lib.simulate.latents import Latents
from cmr_lib.simulate.protocol import Exam, Shot
from cmr_lib.simulate.scanner import Stored
from cmr_lib.types import Sequence

ZIP_DATE = (1980, 1, 1, 0, 0, 0)
IMPLEMENTATION = "2.25.164052871365218379523471823458712340001"
NOTE = "synthetic phantom: invented patient, no clinical data"
# Place-holders of fixed width; DICOM pads text with trailing blanks anyway (PS3.5 6.2).
HOLDERS = {
    "SOPInstanceUID": b"2.25.10000000000000000000000000000000000001",
    "InstanceNumber": b"000000000001",
    "TriggerTime": b"0000000000000001",
    "ImagePositionPatient": b"0000000000000001\\0000000000000002\\000000000000003",
    "SliceLocation": b"0000000000000004",
    "TemporalPositionIdentifier": b"000000000002",
    "AcquisitionNumber": b"000000000003",
    "NominalInterval": b"000000000004",
    "AcquisitionTime": b"000000.000001",
}


def uid(*where: int | str) -> str:
    """A UID below 2.25 (PS3.5 B.2) that depends on its arguments only; always 43 characters long."""
    text = "\0".join(str(part) for part in where).encode()
    number = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "big")
    return f"2.25.{10**37 + number % (9 * 10**37)}"


def accession(patient: int, study: int) -> str:
    """The accession number of a study: unique, and the name of its file."""
    return f"A{patient:06d}{study:02d}"


def patient_id(patient: int) -> str:
    """The hospital number of an invented patient."""
    return f"SYN{patient:06d}"


def invented_name(seed: int, patient: int) -> str:
    """A name that nobody bears, in DICOM's form."""
    random = project.rng(seed, "name", patient)
    syllables = ("zor", "mek", "til", "vash", "quon", "dree", "pliv", "xan", "olt", "bru", "nyx", "fep")
    words = ["".join(random.choice(syllables, 2)) for _ in range(2)]
    return f"{words[0].capitalize()}^{words[1].capitalize()}"


def study_date(seed: int, latents: Latents) -> datetime.date:
    """The invented day of a study; later studies of a patient lie later."""
    first = int(project.rng(seed, "date", latents.patient).integers(0, 3000))
    return datetime.date(2010, 1, 4) + datetime.timedelta(days=first + latents.days_after_first)


def _decimal(value: float, width: int = 16) -> bytes:
    """A decimal string of exactly `width` characters."""
    return f"{value:.6f}"[:width].ljust(width).encode()


def patient_dataset(seed: int, latents: Latents) -> Dataset:
    """Patient and study attributes (PS3.3 C.7.1 and C.7.2)."""
    person, day = latents.person, study_date(seed, latents)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName = invented_name(seed, latents.patient)
    ds.PatientID = patient_id(latents.patient)
    ds.PatientBirthDate = f"{day.year - person.age:04d}0101"
    ds.PatientSex = person.sex
    ds.PatientAge = f"{person.age:03d}Y"
    ds.PatientSize = f"{person.height_cm / 100:.3f}"
    ds.PatientWeight = f"{person.weight_kg:.1f}"
    ds.StudyInstanceUID = uid(seed, "study", latents.patient, latents.study)
    ds.FrameOfReferenceUID = uid(seed, "frame", latents.patient, latents.study)
    ds.StudyID = str(latents.study)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = day.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "101500"
    ds.AccessionNumber = accession(latents.patient, latents.study)
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "MRI Heart with contrast"
    ds.ImageComments = NOTE
    ds.PositionReferenceIndicator = ""
    ds.PatientPosition = "HFS"
    return ds


def series_dataset(study: Dataset, exam: Exam, shot: Shot, name: str, number: int, heart_rate: float) -> Dataset:
    """Attributes that all files of a series share, with place-holders where they differ."""
    vendor, late = exam.vendor, shot.sequence is Sequence.LGE
    contrast = exam.late if late else exam.cine
    ds = Dataset()
    ds.update(study)
    ds.SOPClassUID = MRImageStorage
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "MR", vendor.maker, exam.model
    ds.InstitutionName = "Synthetic Hospital"
    ds.MagneticFieldStrength = f"{exam.field_t:g}"
    ds.SeriesInstanceUID = uid(str(study.StudyInstanceUID), "series", number)
    ds.SeriesNumber, ds.SeriesDescription, ds.ProtocolName = number, name, name
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"] if vendor.code == "SIEMENS" else ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.ScanningSequence, ds.SequenceVariant = (["GR", "IR"], "SK") if late else ("GR", ["SK", "SS"])
    ds.ScanOptions, ds.MRAcquisitionType, ds.SequenceName = "CG", "2D", "tfl2d" if late else "tfi2d"
    ds.RepetitionTime, ds.EchoTime = f"{contrast.repetition_ms:.3f}", f"{contrast.echo_ms:.3f}"
    ds.FlipAngle, ds.EchoTrainLength, ds.NumberOfAverages = f"{contrast.flip_deg:.0f}", 1, 1
    if late:
        ds.InversionTime = f"{contrast.inversion_ms:.0f}"
        ds.ContrastBolusAgent = "synthetic gadolinium"
    ds.HeartRate, ds.CardiacNumberOfImages = round(heart_rate), len(shot.phases)
    ds.NumberOfTemporalPositions = len(shot.phases)
    plane = shot.plane
    ds.SliceThickness, ds.PixelSpacing = f"{plane.thickness_mm:g}", [f"{plane.spacing_mm:g}"] * 2
    ds.ImageOrientationPatient = [f"{value:.9f}" for value in (*plane.row_dir, *plane.col_dir)]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored = plane.rows, plane.cols, 16, vendor.bits_stored
    ds.HighBit, ds.PixelRepresentation = vendor.bits_stored - 1, int(vendor.signed)
    if vendor.slope != 1:
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = f"{vendor.slope:g}", f"{vendor.intercept:g}", "US"
    ds.WindowCenter, ds.WindowWidth = f"{vendor.top * 0.55:.0f}", f"{vendor.top * 1.2:.0f}"
    for keyword in ("InstanceNumber", "TriggerTime", "SliceLocation", "AcquisitionNumber", "NominalInterval"):
        setattr(ds, keyword, HOLDERS[keyword].decode())
    ds.AcquisitionTime = HOLDERS["AcquisitionTime"].decode()
    ds.SOPInstanceUID = HOLDERS["SOPInstanceUID"].decode()
    ds.ImagePositionPatient = HOLDERS["ImagePositionPatient"].decode().split("\\")
    if vendor.temporal_position:
        ds.TemporalPositionIdentifier = HOLDERS["TemporalPositionIdentifier"].decode()
    ds.PixelData = bytes(2 * plane.rows * plane.cols)
    return ds


class SeriesEncoder:
    """Files of one series from one encoded template."""

    def __init__(self, template: Dataset) -> None:
        template.file_meta = FileMetaDataset()
        template.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        template.file_meta.MediaStorageSOPClassUID = template.SOPClassUID
        template.file_meta.MediaStorageSOPInstanceUID = template.SOPInstanceUID
        template.file_meta.ImplementationClassUID = IMPLEMENTATION
        buffer = io.BytesIO()
        dcmwrite(buffer, template, enforce_file_format=True)
        data = buffer.getvalue()
        self._head = data[: len(data) - len(template.PixelData)]
        self._pixel_bytes = len(template.PixelData)
        self._places = {name: self._find(name) for name in HOLDERS}
        self._places["SOPInstanceUID"] += self._find("MediaStorageSOPInstanceUID", HOLDERS["SOPInstanceUID"])

    def _find(self, keyword: str, holder: bytes | None = None) -> list[int]:
        """Where the place-holder of an element stands: behind its tag, VR and length (PS3.5 7.1.2); [] if absent."""
        holder = holder or HOLDERS[keyword]
        tag = tag_for_keyword(keyword)
        even = len(holder) + len(holder) % 2
        element = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, dictionary_VR(tag).encode(), even)
        start = self._head.find(element + holder)
        return [start + len(element)] if start >= 0 else []

    def file(self, values: Mapping[str, bytes], pixels: bytes) -> bytes:
        """One file; `values` has a text of the place-holder's width for each place-holder in the series.

        Raises ValueError for a value or pixel data of another size: a DICOM length would be wrong.
        """
        if len(pixels) != self._pixel_bytes:
            raise ValueError(f"pixels: {self._pixel_bytes} bytes are wanted, got {len(pixels)}.")
        head = bytearray(self._head)
        for name, places in self._places.items():
            for place in places:
                value = values[name]
                if len(value) != len(HOLDERS[name]):
                    raise ValueError(f"{name}: {len(HOLDERS[name])} characters are wanted, got {value!r}.")
                head[place : place + len(value)] = value
        return bytes(head) + pixels


def _clock(seconds: float) -> bytes:
    """A DICOM time (TM) of 13 characters."""
    whole = int(seconds)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{round((seconds - whole) * 1e5):06d}".encode()


def _position(origin: Float[np.ndarray, "3"]) -> bytes:
    """ImagePositionPatient in the width of its place-holder."""
    return b"\\".join((_decimal(origin[0]), _decimal(origin[1]), _decimal(origin[2], 15)))


def frame_values(study_uid: str, shot: Shot, phase: int, instance: int, slot: int, clock_s: float) -> dict[str, bytes]:
    """What one file adds to its series: names, times and place. `slot` is the slice's number in acquisition order."""
    origin, normal = shot.plane.origin_mm, shot.plane.normal
    trigger = shot.phases[phase] * shot.rr_ms
    return {
        "SOPInstanceUID": uid(study_uid, "file", instance).encode(),
        "InstanceNumber": str(instance).ljust(12).encode(),
        "TriggerTime": _decimal(trigger),
        "ImagePositionPatient": _position(origin),
        "SliceLocation": _decimal(float(origin @ normal)),
        "TemporalPositionIdentifier": str(phase + 1).ljust(12).encode(),
        "AcquisitionNumber": str(slot + 1).ljust(12).encode(),
        "NominalInterval": str(round(shot.rr_ms)).ljust(12).encode(),
        "AcquisitionTime": _clock(clock_s),
    }


def series_of(shots: list[Shot], exam: Exam) -> list[list[Shot]]:
    """The slices grouped into series as the maker does it: one a slice, or one a stack; the maker's slice order."""
    stacks: dict[tuple[str, str], list[Shot]] = {}
    for shot in shots:
        stacks.setdefault((shot.sequence.value, shot.view.value), []).append(shot)
    ordered = [stack[::-1] if exam.vendor.apex_first else stack for stack in stacks.values()]
    if exam.vendor.split == "stack":
        return ordered
    return [[shot] for stack in ordered for shot in stack]


def series_name(seed: int, latents: Latents, shot: Shot, exam: Exam) -> str:
    """SeriesDescription in the maker's dialect, one habit a study."""
    names = exam.vendor.late_names if shot.sequence is Sequence.LGE else exam.vendor.cine_names[shot.view]
    pick = int(project.rng(seed, "names", latents.patient, latents.study, shot.sequence.value).integers(len(names)))
    return names[pick]


def study_zip(seed: int, latents: Latents, exam: Exam, shots: list[Shot], pixels: dict[int, Stored]) -> bytes:
    """The whole study as the bytes of a zip; `pixels` maps the position of a shot in `shots` to its frames."""
    study = patient_dataset(seed, latents)
    place = {id(shot): index for index, shot in enumerate(shots)}
    buffer = io.BytesIO()
    instance, clock = 0, 36900.0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for index, series in enumerate(series_of(shots, exam)):
            name = series_name(seed, latents, series[0], exam)
            number = 100 * (index + 1) + 1 if exam.vendor.code == "PHILIPS" else index + 3
            encoder = SeriesEncoder(series_dataset(study, exam, series[0], name, number, latents.heart_rate))
            for slot, shot in enumerate(series):
                clock += 21.0
                frames = np.ascontiguousarray(pixels[place[id(shot)]])
                for phase in range(len(shot.phases)):
                    instance += 1
                    values = frame_values(str(study.StudyInstanceUID), shot, phase, instance, slot, clock)
                    entry = zipfile.ZipInfo(f"S{number:03d}/I{instance:04d}.dcm", ZIP_DATE)
                    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                    archive.writestr(entry, encoder.file(values, frames[phase].tobytes()), compresslevel=1)
    return buffer.getvalue()
