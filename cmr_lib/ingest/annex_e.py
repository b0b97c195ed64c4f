"""What a shared DICOM file may hold: a table of elements and actions, and how each action changes a value.

PS3.15 Annex E, Basic Application Level Confidentiality Profile, with the options Retain Device Identity, Retain
Longitudinal Temporal Information with Modified Dates, and Clean Descriptors. The table is an allow-list: what is not
in it is removed, which the profile permits and which also removes what no table foresees. Text survives only as codes
and words of closed lists, numbers only as numbers.
"""

import datetime
import hashlib
import hmac
import math
import re
from dataclasses import dataclass

from pydicom.datadict import tag_for_keyword

from cmr_lib.ingest.stacks import vendor_of

OPTIONS = {  # CID 7050; what DeidentificationMethodCodeSequence says
    "113100": "Basic Application Confidentiality Profile",
    "113105": "Clean Descriptors Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113109": "Retain Device Identity Option",
}
# number: kept if it is one · code: kept if its words are in CODES · device: kept as it is · uid: a keyed UID
# date: moved with all dates of the patient · time: seconds since the study began · words: those of DESCRIPTORS
# keyed: a keyed name · empty: there, without value · items: a sequence, each item by this same table
_TABLE = {
    "number": """
        SamplesPerPixel NumberOfFrames Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
        SmallestImagePixelValue LargestImagePixelValue PixelPaddingValue WindowCenter WindowWidth RescaleSlope
        RescaleIntercept PixelSpacing ImagePositionPatient ImageOrientationPatient SliceLocation SliceThickness
        SpacingBetweenSlices RepetitionTime EchoTime EchoNumbers EchoTrainLength InversionTime FlipAngle TriggerTime
        NominalInterval LowRRValue HighRRValue IntervalsAcquired IntervalsRejected HeartRate CardiacNumberOfImages
        TemporalPositionIdentifier NumberOfTemporalPositions TemporalResolution FrameTime MagneticFieldStrength
        ImagingFrequency NumberOfAverages NumberOfPhaseEncodingSteps PercentSampling PercentPhaseFieldOfView
        PixelBandwidth AcquisitionMatrix SAR dBdt TriggerWindow ReconstructionDiameter SeriesNumber AcquisitionNumber
        InstanceNumber LossyImageCompressionRatio
        NominalCardiacTriggerDelayTime ActualCardiacTriggerDelayTime RRIntervalTimeNominal TemporalPositionIndex
        TemporalPositionTimeOffset StackID InStackPositionNumber DimensionIndexValues EffectiveEchoTime InversionTimes
        VelocityEncodingMinimumValue VelocityEncodingMaximumValue VelocityEncodingDirection FrameAcquisitionNumber
        FrameAcquisitionDuration AcquisitionDuration DimensionIndexPointer FunctionalGroupPointer
        ParallelReductionFactorInPlane
    """,
    "code": """
        ImageType FrameType Modality PhotometricInterpretation ScanningSequence SequenceVariant
        ScanOptions MRAcquisitionType InPlanePhaseEncodingDirection PatientPosition BeatRejectionFlag RescaleType
        BurnedInAnnotation LossyImageCompression VolumetricProperties VolumeBasedCalculationTechnique PixelPresentation
        ComplexImageComponent AcquisitionContrast PulseSequenceName CardiacSynchronizationTechnique InversionRecovery
        PhaseContrast ContentQualification PresentationLUTShape BodyPartExamined CardiacSignalSource
        DimensionOrganizationType
    """,
    "device": "ManufacturerModelName DeviceSerialNumber SoftwareVersions StationName",
    "maker": "Manufacturer",
    "class": "SOPClassUID",
    "uid": """
        SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID DimensionOrganizationUID ConcatenationUID
    """,
    "date": """
        StudyDate SeriesDate AcquisitionDate ContentDate AcquisitionDateTime FrameAcquisitionDateTime
        FrameReferenceDateTime
    """,
    "time": "StudyTime SeriesTime AcquisitionTime ContentTime",
    "words": "StudyDescription SeriesDescription ProtocolName SequenceName",
    "keyed": "PatientName PatientID AccessionNumber",
    "empty": "PatientBirthDate PatientSex ReferringPhysicianName StudyID Laterality PositionReferenceIndicator",
    "items": """
        SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence PixelMeasuresSequence PlanePositionSequence
        PlaneOrientationSequence FrameContentSequence CardiacSynchronizationSequence MRImageFrameTypeSequence
        PixelValueTransformationSequence MRTimingAndRelatedParametersSequence MREchoSequence MRModifierSequence
        MRVelocityEncodingSequence FrameVOILUTSequence DimensionOrganizationSequence DimensionIndexSequence
        UnassignedSharedConvertedAttributesSequence UnassignedPerFrameConvertedAttributesSequence
    """,
}
ACTIONS: dict[int, str] = {
    tag: action for action, names in _TABLE.items() for name in names.split() if (tag := tag_for_keyword(name))
}
# Terms of PS3.3 and of the makers (PS3.3 C.7.6.1.1.2, C.8.3.1, C.8.13) that say what an image is.
CODES = frozenset(
    """
    ORIGINAL DERIVED MIXED PRIMARY SECONDARY OTHER MR M P R I PS PSIR MAG MAGNITUDE PHASE REAL IMAGINARY NORM DIS2D
    DIS3D ND FM FIL MOCO RETRO NONE T1 T2 T2STAR STAR MAP T1MAP T2MAP ECV SE FFE IR GR EP RM SK MTC SS TRSS SP MP OSP
    PER RG CG PPG FC PFF PFP FS SFS GEMS ACC GATING EDR VB PHANTOM 2D 3D ROW COL COLUMN HFS HFP HFDR HFDL FFS FFP FFDR
    FFDL YES NO Y N MONOCHROME1 MONOCHROME2 00 01 VELOCITY CINE TAGGED DIFFUSION FLOW
    ENCODED PERFUSION VOLUME SAMPLED DISTORTED UNKNOWN COLOR MONOCHROME PROTON DENSITY STEADY STATE PROSPECTIVE
    RETROSPECTIVE PACED REALTIME ECG VCG PP RESEARCH PRODUCT SERVICE IDENTITY HEART CHEST CARDIAC US MS TEMPORAL INVERSE
    """.split()  # noqa: SIM905 (words, not a list of quoted ones)
)
# Words of descriptions that say what was scanned, whoever was in the scanner.
DESCRIPTORS = frozenset(
    """
    cine cines sax sa short axis ax lax la long view ch 2ch 3ch 4ch 2 3 4 two three four chamber vla hla lvot rvot rv lv
    stack retro trufi true fisp tfi tfl bssfp ssfp fiesta btfe sbtfe tfe ffe bh ipat grappa sense psir lge mde de late
    delayed enhancement enhanced gadolinium mag magnitude phase flow venc map maps t1 t2 t1map t2map molli shmolli
    sasha native post pre ecv loc localizer localiser scout survey ti tiscout haste cmr cardiac heart mr mri segmented
    kurz kammer 2kammer 4kammer ir gre epi perfusion rest stress function morphology dis2d norm
    """.split()  # noqa: SIM905 (words, not a list of quoted ones)
)
LARGEST = 1e6  # no number of an acquisition is larger; a patient's may be
_DATE, _TIME = re.compile(r"\d{8}"), re.compile(r"(\d{2})(\d{2})(\d{2}(?:\.\d{1,6})?)?")
_SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True)
class Names:
    """What a study's files are named by when they leave: all of it follows from the key and the study's own names."""

    key: bytes
    patient: str  # keyed names
    study: str
    days: int  # by how many days dates move


def new_uid(key: bytes, uid: str) -> str:
    """The same new UID for the same old one, under 2.25 (PS3.5 B.2); without the key nobody can link them."""
    digest = hmac.new(key, f"uid\0{uid}".encode(), hashlib.sha256).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def moved(text: str, days: int) -> str:
    """A date (or the date of a date and time) `days` later; "" where it is none."""
    if not _DATE.match(text):
        return ""
    try:
        day = datetime.datetime.strptime(text[:8], "%Y%m%d").replace(tzinfo=datetime.UTC)
        return f"{day + datetime.timedelta(days=days):%Y%m%d}"
    except (ValueError, OverflowError):
        return ""


def _seconds(text: str) -> float:
    match = _TIME.match(text)
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3] or 0) if match else math.nan


def elapsed(text: str, start: str) -> str:
    """Time of day as time since `start` (both TM), so that the order of acquisitions stays; "" where one is none."""
    seconds = (_seconds(text) - _seconds(start)) % _SECONDS_A_DAY
    if math.isnan(seconds):
        return ""
    return f"{int(seconds // 3600):02}{int(seconds % 3600 // 60):02}{seconds % 60:06.3f}"


def coded(text: str) -> str:
    """A code whose words are all known, in capitals; "OTHER" for another one, "" for none.

    Letters of another script are no words that could be known: nothing but these words, spaces and a few signs may
    stand in a code.
    """
    capitals = text.upper()
    known = all(word in CODES for word in re.findall(r"[A-Z0-9]+", capitals))
    return capitals if known and re.fullmatch(r"[A-Z0-9_ .+\-\\]*", capitals) else "OTHER"


def described(text: str) -> str:
    """The words of a description that are of the trade, in their order."""
    return " ".join(word for word in re.findall(r"[a-z0-9]+", text.lower()) if word in DESCRIPTORS)[:64]


def maker(text: str) -> str:
    """The maker of the scanner as one of the known ones."""
    return vendor_of(text).upper()
