"""What full-size studies and screenshots are stored as: compressed files, enhanced multi-frame MR, secondary capture.

Enhanced MR (PS3.3 A.36.2) holds a whole stack in one file: what all frames share stands once, what differs stands in
a functional group a frame. The files here have every module and macro of the standard that a reader could ask for.
"""

import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.tag import Tag
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from cmr_lib import project
from cmr_lib.params import Simulate
from cmr_lib.simulate.dicom import Scale, add_pixel_description, clock, file_meta, uid
from cmr_lib.simulate.latents import Latents
from cmr_lib.simulate.plan import Series
from cmr_lib.simulate.protocol import Exam, Shot, is_full_size
from cmr_lib.simulate.scanner import Stored

COMPRESSED = (RLELossless, JPEG2000Lossless, JPEGLSLossless)
ENHANCED_MAKERS = ("SIEMENS", "PHILIPS")


@dataclass(frozen=True)
class Storage:
    """How the files of a study are stored: transfer syntax (a UID), and whether stacks are multi-frame objects."""

    syntax: str = ExplicitVRLittleEndian
    enhanced: bool = False


def storage_of(settings: Simulate, latents: Latents, exam: Exam) -> Storage:
    """Demo studies are plain; full-size ones compressed, and half of those of new scanners enhanced."""
    if not is_full_size(settings, latents):
        return Storage()
    random = project.rng(settings.seed, "storage", latents.patient, latents.study)
    syntax = COMPRESSED[int(random.integers(len(COMPRESSED)))]
    modern = exam.vendor.code in ENHANCED_MAKERS and exam.field_t > 2
    return Storage(str(syntax), bool(modern and random.random() < 0.5))


def written(ds: Dataset, sop_class: str, sop_instance: str, syntax: str) -> bytes:
    """A data set with plain pixels as a file, compressed without loss if `syntax` asks for it."""
    ds.file_meta = file_meta(sop_class, sop_instance)
    if syntax != ExplicitVRLittleEndian:
        ds.compress(syntax, generate_instance_uid=False)
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def stored_as(data: bytes, syntax: str) -> bytes:
    """A plain file in another transfer syntax; every other element stays as it is."""
    if syntax == ExplicitVRLittleEndian:
        return data
    ds = dcmread(io.BytesIO(data))
    return written(ds, str(ds.SOPClassUID), str(ds.SOPInstanceUID), syntax)


# --- secondary capture ------------------------------------------------------------------------------------------
def screenshot_file(study: Dataset, series: Series, number: int, pixels: UInt8[np.ndarray, "rows cols 3"]) -> bytes:
    """A colour picture with text burned in (secondary capture, PS3.3 A.8.1)."""
    ds = Dataset()
    ds.update(study)
    ds.SOPClassUID, ds.Modality, ds.ConversionType = SecondaryCaptureImageStorage, "MR", "WSD"
    ds.SeriesInstanceUID = uid(str(study.StudyInstanceUID), "series", number)
    ds.SOPInstanceUID = uid(str(ds.SeriesInstanceUID), "file", 1)
    ds.SeriesNumber, ds.SeriesDescription, ds.InstanceNumber = number, series.name, 1
    ds.ImageType, ds.BurnedInAnnotation = ["DERIVED", "SECONDARY"], "YES"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = pixels.shape[0], pixels.shape[1]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OB"
    return written(ds, SecondaryCaptureImageStorage, str(ds.SOPInstanceUID), ExplicitVRLittleEndian)


# --- enhanced MR ------------------------------------------------------------------------------------------------
def _item(**values: object) -> list[Dataset]:
    """A sequence of one item."""
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return [ds]


def _frame_type(series: Series) -> dict[str, object]:
    """Attributes that say of what kind the frames are: magnitude, or the real part of a phase-sensitive image."""
    return {
        "PixelPresentation": "MONOCHROME",
        "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "NONE",
        "ComplexImageComponent": "REAL" if series.kind == "psir" else "MAGNITUDE",
        "AcquisitionContrast": "T1" if series.kind in ("lge", "psir") else "UNKNOWN",
    }


def _pitch(series: Series) -> float:
    """Distance of neighbouring slices, mm; the thickness where there is one slice."""
    first = series.shots[0].plane
    if len(series.shots) == 1:
        return first.thickness_mm
    return float(abs((series.shots[1].plane.origin_mm - first.origin_mm) @ first.normal))


def _shared(exam: Exam, series: Series) -> Dataset:
    """Functional groups that all frames of a stack share (PS3.3 C.7.6.16.2 and C.8.13.5)."""
    shot, late = series.shots[0], series.kind in ("lge", "psir")
    contrast, plane = exam.late if late else exam.cine, shot.plane
    ds = Dataset()
    ds.PixelMeasuresSequence = _item(
        PixelSpacing=[f"{plane.spacing_mm:g}"] * 2,
        SliceThickness=f"{plane.thickness_mm:g}",
        SpacingBetweenSlices=f"{_pitch(series):.6g}",
    )
    directions = [f"{value:.9f}" for value in (*plane.row_dir, *plane.col_dir)]
    ds.PlaneOrientationSequence = _item(ImageOrientationPatient=directions)
    heart = _item(CodeValue="80891009", CodingSchemeDesignator="SCT", CodeMeaning="Heart")
    ds.FrameAnatomySequence = _item(FrameLaterality="U", AnatomicRegionSequence=heart)
    kind = ["ORIGINAL", "PRIMARY", "CARDIAC", "NONE"]
    ds.MRImageFrameTypeSequence = _item(FrameType=kind, **_frame_type(series))
    ds.MRTimingAndRelatedParametersSequence = _item(
        RepetitionTime=f"{contrast.repetition_ms:.3f}",
        FlipAngle=f"{contrast.flip_deg:.0f}",
        EchoTrainLength=1,
        RFEchoTrainLength=0,
        GradientEchoTrainLength=1,
        SpecificAbsorptionRateSequence=_item(
            SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY", SpecificAbsorptionRateValue=1.2
        ),
        GradientOutputType="DB_DT",
        GradientOutput=40.0,
        OperatingModeSequence=_item(OperatingModeType="RF", OperatingMode="IEC_NORMAL"),
    )
    ds.MREchoSequence = _item(EffectiveEchoTime=float(round(contrast.echo_ms, 3)))
    inversion = {"InversionRecovery": "YES", "InversionTimes": [float(round(contrast.inversion_ms))]} if late else {}
    ds.MRModifierSequence = _item(**({"InversionRecovery": "NO"} | inversion), FlowCompensation="NONE", Spoiling="NONE")
    ds.MRAveragesSequence = _item(NumberOfAverages=1)
    ds.MRFOVGeometrySequence = _item(
        InPlanePhaseEncodingDirection="ROW",
        MRAcquisitionFrequencyEncodingSteps=plane.rows,
        MRAcquisitionPhaseEncodingStepsInPlane=round(plane.cols * exam.kept[1]),
        PercentSampling=f"{100 * exam.kept[1]:.0f}",
        PercentPhaseFieldOfView="100",
    )
    ds.FrameVOILUTSequence = _item(
        WindowCenter=f"{exam.vendor.top * 0.55:.0f}", WindowWidth=f"{exam.vendor.top * 1.2:.0f}"
    )
    return ds


def _frame(shot: Shot, phase: int, slot: int, scale: Scale, start: str) -> Dataset:
    """Functional groups of one frame: which slice and phase it is, where, when in the beat, and its scale."""
    ds = Dataset()
    ds.FrameContentSequence = _item(
        StackID="1",
        InStackPositionNumber=slot + 1,
        TemporalPositionIndex=phase + 1,
        DimensionIndexValues=[1, slot + 1, phase + 1],
        FrameAcquisitionNumber=slot + 1,
        FrameAcquisitionDateTime=start,
        FrameReferenceDateTime=start,
        FrameAcquisitionDuration=float(round(10 * shot.rr_ms)),
    )
    ds.PlanePositionSequence = _item(ImagePositionPatient=[f"{value:.6f}" for value in shot.plane.origin_mm])
    ds.CardiacSynchronizationSequence = _item(
        NominalPercentageOfCardiacPhase=float(round(100 * shot.phases[phase], 3)),
        NominalCardiacTriggerDelayTime=float(round(shot.phases[phase] * shot.rr_ms, 6)),
        RRIntervalTimeNominal=float(round(shot.rr_ms)),
    )
    slope, intercept, kind = scale
    ds.PixelValueTransformationSequence = _item(
        RescaleSlope=f"{slope:.10g}", RescaleIntercept=f"{intercept:.10g}", RescaleType=kind
    )
    return ds


def _add_dimensions(ds: Dataset) -> None:
    """Multi-frame dimension module: stack, slice, phase."""
    organisation = uid(str(ds.SOPInstanceUID), "dimensions")
    ds.DimensionOrganizationSequence = _item(DimensionOrganizationUID=organisation)
    ds.DimensionIndexSequence = [
        _item(
            DimensionOrganizationUID=organisation,
            DimensionIndexPointer=Tag(pointer),
            FunctionalGroupPointer=Tag("FrameContentSequence"),
            DimensionDescriptionLabel=pointer,
        )[0]
        for pointer in ("StackID", "InStackPositionNumber", "TemporalPositionIndex")
    ]


def _add_pulse(ds: Dataset, exam: Exam, series: Series) -> None:
    """MR pulse sequence, cardiac synchronisation and enhanced MR image modules (PS3.3 C.8.13.4, C.7.6.18, C.8.13.1)."""
    late = series.kind in ("lge", "psir")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "CARDIAC", "NONE"]
    for keyword, value in _frame_type(series).items():
        setattr(ds, keyword, value)
    ds.MagneticFieldStrength, ds.ResonantNucleus, ds.KSpaceFiltering = float(exam.field_t), "1H", "NONE"
    ds.ApplicableSafetyStandardAgency, ds.ContentQualification = "IEC", "RESEARCH"
    ds.PulseSequenceName, ds.MRAcquisitionType = "tfl2d1_25" if late else "tfi2d1_12", "2D"
    ds.EchoPulseSequence, ds.MultipleSpinEcho, ds.MultiPlanarExcitation = "GRADIENT", "NO", "NO"
    ds.PhaseContrast, ds.TimeOfFlightContrast = "NO", "NO"
    ds.SteadyStatePulseSequence = "NONE" if late else "FREE_PRECESSION"
    ds.EchoPlanarPulseSequence, ds.SaturationRecovery, ds.SpectrallySelectedSuppression = "NO", "NO", "NONE"
    ds.OversamplingPhase, ds.GeometryOfKSpaceTraversal = "2D", "RECTILINEAR"
    ds.SegmentedKSpaceTraversal, ds.RectilinearPhaseEncodeReordering = "PARTIAL", "LINEAR"
    ds.NumberOfKSpaceTrajectories = 1
    ds.CardiacSynchronizationTechnique = "RETROSPECTIVE"
    ds.CardiacSignalSource, ds.CardiacBeatRejectionTechnique = "ECG", "NONE"
    if late:
        ds.ContrastBolusAgent = "synthetic gadolinium"


def enhanced_file(
    study: Dataset,
    exam: Exam,
    series: Series,
    number: int,
    stored: list[Stored],
    scale: Scale | None,
    seconds: float,
    storage: Storage,
) -> bytes:
    """A stack as one enhanced MR object: slices outermost, but phases outermost at one maker's."""
    plane = series.shots[0].plane
    ds = Dataset()
    ds.update(study)
    ds.SOPClassUID, ds.Modality = EnhancedMRImageStorage, "MR"
    ds.SeriesInstanceUID = uid(str(study.StudyInstanceUID), "series", number)
    ds.SOPInstanceUID = uid(str(ds.SeriesInstanceUID), "file", 1)
    ds.SeriesNumber, ds.SeriesDescription, ds.ProtocolName = number, series.name, series.name
    ds.InstanceNumber, ds.AcquisitionNumber = 1, 1
    ds.AcquisitionDateTime = start = f"{study.StudyDate}{clock(seconds).decode()}"
    ds.AcquisitionDuration = float(round(sum(10 * shot.rr_ms for shot in series.shots)))
    _add_pulse(ds, exam, series)
    ds.BurnedInAnnotation, ds.LossyImageCompression, ds.PresentationLUTShape = "NO", "00", "IDENTITY"
    ds.AcquisitionContextSequence = []
    _add_dimensions(ds)
    add_pixel_description(ds, exam, None)
    for keyword in ("WindowCenter", "WindowWidth"):  # they stand in a functional group
        del ds[keyword]
    ds.Rows, ds.Columns = plane.rows, plane.cols
    order = [(slot, phase) for slot, shot in enumerate(series.shots) for phase in range(len(shot.phases))]
    if exam.vendor.code == "PHILIPS":
        order.sort(key=lambda place: place[::-1])
    ds.NumberOfFrames = len(order)
    ds.SharedFunctionalGroupsSequence = [_shared(exam, series)]
    unit = scale or (1.0, 0.0, "US")
    ds.PerFrameFunctionalGroupsSequence = [
        _frame(series.shots[slot], phase, slot, unit, start) for slot, phase in order
    ]
    ds.PixelData = b"".join(stored[slot][phase].tobytes() for slot, phase in order)
    ds["PixelData"].VR = "OW"
    return written(ds, EnhancedMRImageStorage, str(ds.SOPInstanceUID), storage.syntax)
