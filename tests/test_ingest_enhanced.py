"""Multi-frame MR, native and converted: every frame an image with its own place, time and scale."""

import io

import dicom_maker as maker
import enhanced_maker
import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filewriter import dcmwrite
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless
from test_simulate_dicom import cine_planes, multi_frame

from cmr_lib.ingest.enhanced import parse_all
from cmr_lib.ingest.header import quiet_pydicom
from cmr_lib.ingest.rejects import Refused, tally
from cmr_lib.ingest.stacks import build_stacks
from cmr_lib.ingest.studies import read_study
from cmr_lib.types import ImageKind, Sequence, View

KEY = b"a key for tests, 32 bytes or more"
OFFSETS = (-36, -12, 12, 36)
PLANES = [maker.plane(offset) for offset in OFFSETS]
SMALL = [maker.plane(offset, size=16) for offset in (-5, 5)]


def read(data):
    with quiet_pydicom():
        return parse_all(data)


def code_of(ds):
    with pytest.raises(Refused) as caught:
        read(maker.encode(ds))
    return caught.value.code, caught.value.tag


def bytes_of(ds):
    buffer = io.BytesIO()
    dcmwrite(buffer, ds)
    return buffer.getvalue()


def test_every_frame_has_its_own_place_time_and_scale():
    ds = enhanced_maker.native(SMALL, phases=3, scaled=True)
    images, stored = read(maker.encode(ds)), ds.pixel_array
    assert [image.frame for image in images] == list(range(6))
    for number, image in enumerate(images):
        plane, phase = SMALL[number % 2], number // 2
        np.testing.assert_allclose(image.origin_mm, plane["origin"], atol=1e-5)
        np.testing.assert_allclose(image.normal, np.cross(plane["row"], plane["col"]), atol=1e-6)
        np.testing.assert_array_equal(image.raw, stored[number])
        np.testing.assert_allclose(image.pixels(), stored[number] * (number + 1.0) - number)
        assert image.numbers["NominalCardiacTriggerDelayTime"] == pytest.approx(phase * 800 / 3)
        assert image.numbers["TemporalPositionIndex"] == phase + 1
        assert image.spacing_mm == (3.0, 3.0)
    assert {image.numbers["InstanceNumber"] for image in images} == {1, 2, 3, 4, 5, 6}
    assert images[0].numbers["EchoTime"] == 1.5


def test_a_native_stack_is_the_stack_of_its_single_frame_twins(tmp_path):
    singles = [ds for n, plane in enumerate(PLANES) for ds in maker.cine(plane, 6, series=f"1.2.3.4.{n}")]
    one = read_study(maker.write_zip(tmp_path / "a.zip", singles), KEY)
    other = read_study(maker.write_zip(tmp_path / "b.zip", [enhanced_maker.native(PLANES)]), KEY)
    (stack,), (twin,) = one.stacks, other.stacks
    assert (twin.view, twin.sequence) == (stack.view, stack.sequence) == (View.SAX, Sequence.CINE)
    np.testing.assert_array_equal(twin.pixels, stack.pixels)
    np.testing.assert_allclose(twin.origins_mm, stack.origins_mm)
    np.testing.assert_allclose(twin.trigger_ms, stack.trigger_ms, atol=1e-3)
    assert one.counts == {"found": 24, "accepted": 24, "rejected": 0, "ignored": 0}
    assert other.counts == {"found": 1, "accepted": 1, "rejected": 0, "ignored": 0}


def test_a_converted_stack_keeps_the_times_that_the_converter_could_not_place():
    files = maker.cine(maker.plane(size=16), 5)
    data = bytes_of(enhanced_maker.converted(files))
    keywords = {element.keyword for element in dcmread(io.BytesIO(data)).iterall()}
    assert "UnassignedPerFrameConvertedAttributesSequence" in keywords
    assert "NominalCardiacTriggerDelayTime" not in keywords
    images = read(data)
    assert [image.numbers["TriggerTime"] for image in images] == [0, 160, 320, 480, 640]
    assert {image.numbers["NominalInterval"] for image in images} == {800}
    for image, ds in zip(images, files, strict=True):
        np.testing.assert_array_equal(image.raw, ds.pixel_array)
        np.testing.assert_allclose(image.origin_mm, np.array(ds.ImagePositionPatient, dtype=float))
    (stack,) = build_stacks(images, str).stacks
    assert stack.sequence is Sequence.CINE
    assert stack.pixels.shape == (1, 5, 16, 16)


def test_late_enhancement_is_told_by_the_inversion_of_its_modifier():
    images = read(maker.encode(enhanced_maker.native(SMALL, phases=1, inversion_ms=300.0)))
    assert {image.numbers["InversionTime"] for image in images} == {300}
    assert all("IR" in image.scanning for image in images)
    (stack,) = build_stacks(images, str).stacks
    assert stack.sequence is Sequence.LGE
    assert stack.pixels.shape == (2, 1, 16, 16)


def flow_of(**how):
    """What becomes of a multi-frame cine of one plane: kinds of its frames, and its stacks."""
    ds = enhanced_maker.native(SMALL[:1], phases=5, **{name: value for name, value in how.items() if name != "group"})
    for name, value in how.get("group", {}).items():
        setattr(ds.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence[0], name, value)
    images = read(maker.encode(ds))
    built = build_stacks(images, str)
    return images, set(built.kinds.values()), built.stacks


@pytest.mark.parametrize(
    "how", [{"venc_cm_s": 150.0}, {"group": {"AcquisitionContrast": "FLOW_ENCODED"}}, {"PhaseContrast": "YES"}]
)
def test_a_velocity_encoded_multi_frame_is_flow_and_no_cine(how):
    images, kinds, stacks = flow_of(**how)
    assert (kinds, stacks) == ({ImageKind.FLOW_MAGNITUDE}, [])
    assert {image.numbers.get("VelocityEncodingMaximumValue") for image in images} == {how.get("venc_cm_s")}
    _, kinds, _ = flow_of(**how | {"group": {**how.get("group", {}), "ComplexImageComponent": "PHASE"}})
    assert kinds == {ImageKind.FLOW_VELOCITY}


def test_a_tagged_multi_frame_is_no_cine():
    ds = enhanced_maker.native(SMALL[:1], phases=5)
    ds.SharedFunctionalGroupsSequence[0].MRModifierSequence[0].Tagging = "GRID"
    built = build_stacks(read(maker.encode(ds)), str)
    assert (set(built.kinds.values()), built.stacks) == ({ImageKind.OTHER}, [])


@pytest.mark.parametrize("how", [{}, {"venc_cm_s": 0.0}, {"PhaseContrast": "NO"}])
def test_a_multi_frame_without_velocity_encoding_stays_a_cine(how):
    assert flow_of(**how)[1] == {ImageKind.CINE}


@pytest.mark.parametrize("code", ["SIEMENS", "PHILIPS"])
def test_frames_of_a_scanner_lie_where_highdicom_says(code):
    made = multi_frame(code)
    for series, ds in cine_planes(made):
        images = read(bytes_of(ds))
        geometry = highdicom.Image.from_dataset(ds).get_volume_geometry(allow_missing_positions=False)
        places = {tuple(np.round(image.origin_mm, 3) + 0.0) for image in images}
        ends = [geometry.map_indices_to_reference(np.array([[n, 0, 0]]))[0] for n in range(geometry.spatial_shape[0])]
        np.testing.assert_allclose(sorted(places), sorted(tuple(end) for end in ends), atol=2e-3)
        axes = np.stack(geometry.unit_vectors())
        for image in images:
            np.testing.assert_allclose([image.col_direction, image.row_direction], axes[1:], atol=1e-6)
            assert image.spacing_mm == pytest.approx(geometry.spacing[1:])
        np.testing.assert_array_equal(
            [image.raw for image in images], ds.pixel_array.reshape(len(images), *images[0].raw.shape)
        )
        assert len(images) == series.images


@pytest.mark.parametrize("code", ["SIEMENS", "PHILIPS"])
def test_a_scanners_multi_frame_study_is_read_as_its_contents_say(code, tmp_path):
    made = multi_frame(code)
    path = tmp_path / "a.zip"
    path.write_bytes(made.zip)
    study = read_study(path, KEY)
    wanted = {"used": 0, "ignored": 0}
    for row in made.rows:
        wanted[row["outcome"]] += row["files"]
    assert study.counts["accepted"] == wanted["used"]
    assert study.counts["ignored"] == wanted["ignored"]
    views = {stack.view for stack in study.stacks if stack.sequence is Sequence.CINE}
    assert views == {View(row["view"]) for row in made.rows if row["kind"] == "cine"}


# --- accounts ---------------------------------------------------------------------------------------------------
def test_a_multi_frame_file_counts_once_however_many_of_its_frames_are_used(tmp_path):
    whole, other = enhanced_maker.native(PLANES), enhanced_maker.native(PLANES[:2], SOPInstanceUID="1.2.3.9")
    other.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = ["0", "0", "300"]
    for frame in other.PerFrameFunctionalGroupsSequence[1:]:
        frame.PlanePositionSequence[0].ImagePositionPatient = list(map(str, np.round(maker.plane(60)["origin"], 6)))
    other.SeriesInstanceUID = "1.2.3.4.2"
    study = read_study(maker.write_zip(tmp_path / "a.zip", [whole, other]), KEY)
    assert study.counts == {"found": 2, "accepted": 2, "rejected": 0, "ignored": 0}
    assert tally(study.rejects, "file") == {"W_FRAMES_UNUSED": 1}


def test_the_same_multi_frame_file_twice_is_a_duplicate_and_another_one_a_conflict(tmp_path):
    ds = enhanced_maker.native(PLANES)
    twice = read_study(maker.write_zip(tmp_path / "a.zip", [ds, ds]), KEY)
    assert tally(twice.rejects, "file") == {"N_DUPLICATE": 1}
    assert twice.counts == {"found": 2, "accepted": 1, "rejected": 0, "ignored": 1}
    pixels = ds.pixel_array.copy()
    pixels[5, 3, 3] += 1
    conflict = read_study(maker.write_zip(tmp_path / "b.zip", [ds, enhanced_maker.native(PLANES, pixels=pixels)]), KEY)
    assert tally(conflict.rejects, "file") == {"E_DUP_CONFLICT": 2}


# --- bad ones ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sequence", "keyword", "value"),
    [
        ("PlanePositionSequence", "ImagePositionPatient", ["1", "nan", "2"]),
        ("PlanePositionSequence", "ImagePositionPatient", ["1", "2"]),
        ("PlanePositionSequence", None, None),
        ("PixelValueTransformationSequence", "RescaleSlope", "0"),
    ],
)
def test_one_frame_without_a_place_or_scale_refuses_the_file(sequence, keyword, value):
    ds = enhanced_maker.native(SMALL, phases=2)
    frame = ds.PerFrameFunctionalGroupsSequence[3]
    if keyword is None:
        delattr(frame, sequence)
    else:
        with quiet_pydicom():
            setattr(getattr(frame, sequence)[0], keyword, value)
            code, tag = code_of(ds)
        assert (code, tag) == ("E_PIXEL_META" if keyword == "RescaleSlope" else "E_GEOMETRY", keyword)
        return
    assert code_of(ds) == ("E_GEOMETRY", "ImagePositionPatient")


def test_fewer_groups_or_pixels_than_frames_are_refused():
    ds = enhanced_maker.native(SMALL, phases=2)
    ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:3]
    assert code_of(ds)[0] == "E_ENHANCED_UNSUPPORTED"
    ds = enhanced_maker.native(SMALL, phases=2)
    ds.PixelData = ds.PixelData[:-512]
    assert code_of(ds)[0] == "E_PIXEL_SHORT"
    ds = enhanced_maker.native(SMALL, phases=2)
    ds.NumberOfFrames = 10**9
    assert code_of(ds)[0] == "E_DECLARED_TOO_BIG"


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_frames_are_equal_to_pydicoms(syntax):
    random = np.random.default_rng(2)
    pixels = random.integers(0, 4096, (4, 64, 64)).astype(np.uint16)
    data = maker.encode(enhanced_maker.native(PLANES[:2], phases=2, pixels=pixels, BitsStored=12, HighBit=11))
    ds = dcmread(io.BytesIO(data))
    ds.compress(syntax, generate_instance_uid=False)
    packed = bytes_of(ds)
    images = read(packed)
    np.testing.assert_array_equal([image.raw for image in images], dcmread(io.BytesIO(packed)).pixel_array)
    np.testing.assert_array_equal([image.raw for image in images], pixels)
