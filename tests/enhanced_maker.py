"""Multi-frame MR for tests, written with pydicom (native) and with highdicom (converted from single frames)."""

import dicom_maker as maker
import highdicom
import numpy as np
from pydicom.dataset import Dataset

ENHANCED = maker.MR + ".1"


def item(**values):
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return [ds]


def native(planes, phases=6, rr=800.0, inversion_ms=None, pixels=None, scaled=False, venc_cm_s=None, **changes):
    """A native enhanced object: phases outermost, as some scanners send them; shared orientation and spacing.

    `pixels` (frames, rows, cols) replaces the heart; `scaled` gives frame n the slope n + 1 and the intercept -n;
    `venc_cm_s` encodes velocity through the plane (C.8.13.5.14), of which this is the magnitude.
    """
    first = planes[0]
    order = [(plane, phase) for phase in range(phases) for plane in planes]
    if pixels is None:
        pixels = np.stack([maker.image(plane, phase / phases) for plane, phase in order])
    ds = maker.dataset(first, pixels[0], SOPClassUID=ENHANCED, **changes)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(ds, keyword)
    del ds.ScanningSequence
    shared = Dataset()
    shared.PixelMeasuresSequence = item(PixelSpacing=[str(first["spacing"])] * 2, SliceThickness="8")
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=[f"{v:.8f}" for v in (*first["row"], *first["col"])])
    kind = {"FrameType": ["ORIGINAL", "PRIMARY", "CARDIAC", "NONE"], "ComplexImageComponent": "MAGNITUDE"}
    shared.MRImageFrameTypeSequence = item(**kind)
    shared.MREchoSequence = item(EffectiveEchoTime=1.5)
    inverted = {"InversionRecovery": "NO"}
    if inversion_ms:
        inverted = {"InversionRecovery": "YES", "InversionTimes": [inversion_ms, inversion_ms]}
    shared.MRModifierSequence = item(**inverted)
    if venc_cm_s is not None:
        shared.MRVelocityEncodingSequence = item(
            VelocityEncodingDirection=[0.0, 0.0, 1.0],
            VelocityEncodingMinimumValue=-venc_cm_s,
            VelocityEncodingMaximumValue=venc_cm_s,
        )
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = []
    for number, (plane, phase) in enumerate(order):
        frame = Dataset()
        frame.PlanePositionSequence = item(ImagePositionPatient=[f"{v:.6f}" for v in plane["origin"]])
        frame.FrameContentSequence = item(TemporalPositionIndex=phase + 1, FrameAcquisitionNumber=1)
        frame.CardiacSynchronizationSequence = item(
            NominalCardiacTriggerDelayTime=phase * rr / phases, RRIntervalTimeNominal=rr
        )
        frame.PixelValueTransformationSequence = item(
            RescaleSlope=str(number * scaled + 1), RescaleIntercept=str(-number * scaled), RescaleType="US"
        )
        ds.PerFrameFunctionalGroupsSequence.append(frame)
    ds.NumberOfFrames = len(order)
    ds.PixelData = pixels.tobytes()
    return ds


def converted(files):
    """Single-frame files as one legacy converted enhanced object, by highdicom."""
    for ds in files:
        ds.StudyID, ds.StudyDate, ds.StudyTime, ds.PatientBirthDate, ds.PatientSex = "1", "20200101", "101010", "", "O"
        ds.SeriesNumber, ds.ReferringPhysicianName, ds.MRAcquisitionType = 1, "", "2D"
        ds.PositionReferenceIndicator, ds.InstanceCreationDate, ds.InstanceCreationTime = "", "20200101", "101010"
        ds.file_meta = None
        maker.encode(ds)
    return highdicom.legacy.LegacyConvertedEnhancedMRImage(
        legacy_datasets=files,
        series_instance_uid="1.2.3.77",
        series_number=1,
        sop_instance_uid="1.2.3.77.1",
        instance_number=1,
    )
