"""What every file of a study says of the patient and the visit: the identifiers that a de-identifier must find.

They stand in standard elements (PS3.3 C.7.1, C.7.2, C.7.5), in private ones, inside sequences, and as dates of value
representations DA and DT. All of it is invented (`identity`), and ImageComments says so in every file.
"""

import datetime

from pydicom.dataset import Dataset

from cmr_lib import project
from cmr_lib.simulate.dicom import uid
from cmr_lib.simulate.identity import Identity, accession, first_date, identity_of
from cmr_lib.simulate.latents import Latents
from cmr_lib.simulate.protocol import Exam

NOTE = "synthetic phantom: invented patient, no clinical data"
PRIVATE_ELEMENT = 0xE1  # of the blocks that the makers reserve; in none of pydicom's private dictionaries


def study_start(seed: int, latents: Latents) -> datetime.datetime:
    """When the first image of a study was taken; an invented working day."""
    day = first_date(seed, latents.patient) + datetime.timedelta(days=latents.days_after_first)
    minutes = int(project.rng(seed, "clock", latents.patient, latents.study).integers(7 * 60, 18 * 60))
    return datetime.datetime.combine(day, datetime.time(minutes // 60, minutes % 60))


def _patient(ds: Dataset, latents: Latents, who: Identity) -> None:
    """Patient and patient study modules; some hospitals keep a second number inside a sequence."""
    person = latents.person
    ds.PatientName, ds.PatientID = who.dicom_name, who.patient_id
    ds.PatientBirthDate = who.birth_date.strftime("%Y%m%d")
    ds.PatientSex, ds.PatientAge = person.sex, f"{person.age:03d}Y"
    ds.PatientSize, ds.PatientWeight = f"{person.height_cm / 100:.3f}", f"{person.weight_kg:.1f}"
    ds.PatientAddress, ds.PatientTelephoneNumbers = who.address, who.telephone
    if latents.patient % 3 == 0:
        other = Dataset()
        other.PatientID, other.IssuerOfPatientID, other.TypeOfPatientID = f"W-{who.patient_id}", "WARD", "TEXT"
        ds.OtherPatientIDsSequence = [other]
    elif latents.patient % 3 == 1:
        ds.OtherPatientIDs = f"W-{who.patient_id}"


def _visit(ds: Dataset, seed: int, latents: Latents, start: datetime.datetime, who: Identity) -> None:
    """Study and series modules: numbers, people, and the same day under many names."""
    day, time = start.strftime("%Y%m%d"), start.strftime("%H%M%S")
    ds.StudyInstanceUID = uid(seed, "study", latents.patient, latents.study)
    ds.FrameOfReferenceUID = uid(seed, "frame", latents.patient, latents.study)
    ds.StudyID, ds.AccessionNumber = str(latents.study), accession(latents.patient, latents.study)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = ds.InstanceCreationDate = day
    ds.PerformedProcedureStepStartDate = day
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.InstanceCreationTime = ds.PerformedProcedureStepStartTime = time
    ds.AcquisitionDateTime = f"{day}{time}"
    ds.ReferringPhysicianName = f"{who.referring}^Dr"
    ds.PerformingPhysicianName = f"{who.reader}^Dr"
    ds.OperatorsName = f"{who.reader[::-1].capitalize()}^RT"
    ds.StudyDescription = "MRI Heart with contrast"
    request = Dataset()
    request.RequestedProcedureID = ds.AccessionNumber
    request.RequestedProcedureDescription = f"MRI heart, {who.given_name} {who.family_name}"
    request.ScheduledProcedureStepDescription = f"cardiac MR of {who.patient_id}"
    ds.RequestAttributesSequence = [request]


def _equipment(ds: Dataset, seed: int, latents: Latents, exam: Exam) -> None:
    """Where and on what: an institution and a serial number tell as much as a name."""
    site = latents.site or "Nowhere"
    ds.Manufacturer, ds.ManufacturerModelName = exam.vendor.maker, exam.model
    ds.InstitutionName = f"{site} Synthetic Hospital"
    ds.InstitutionAddress = f"1 Phantom Road, {site}"
    ds.StationName = f"{site[:4].upper()}MR{exam.field_t:.0f}"
    ds.DeviceSerialNumber = str(10_000 + project.seed_for(seed, "serial", site, exam.vendor.code, exam.model) % 90_000)
    ds.SoftwareVersions = "synthetic phantom 1"


def _private(ds: Dataset, exam: Exam, start: datetime.datetime, who: Identity) -> None:
    """A name, a date and a date with time in blocks that only the maker could explain."""
    (first, creator), (second, other) = exam.vendor.private
    block = ds.private_block(first, creator, create=True)
    block.add_new(PRIVATE_ELEMENT, "LO", f"{who.family_name}, {who.given_name}")
    block = ds.private_block(second, other, create=True)
    block.add_new(PRIVATE_ELEMENT, "DA", start.strftime("%Y%m%d"))
    block.add_new(PRIVATE_ELEMENT + 1, "DT", start.strftime("%Y%m%d%H%M%S"))


def study_dataset(seed: int, latents: Latents, exam: Exam) -> Dataset:
    """Elements that all files of a study share."""
    who = identity_of(seed, latents.patient, latents.person.age)
    start = study_start(seed, latents)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    _patient(ds, latents, who)
    _visit(ds, seed, latents, start, who)
    _equipment(ds, seed, latents, exam)
    _private(ds, exam, start, who)
    ds.ImageComments = NOTE
    ds.PositionReferenceIndicator, ds.PatientPosition = "", "HFS"
    return ds
