"""What an acquisition is: told by physics and by what else was measured there, never by its name."""

import dicom_maker as maker
import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from test_ingest_stacks import build, sax

from cmr_lib.ingest.header import quiet_pydicom
from cmr_lib.ingest.reading import parse
from cmr_lib.ingest.sequences import verdict_of
from cmr_lib.ingest.stacks import build_stacks
from cmr_lib.types import ImageKind, Sequence

WHERE = maker.plane(size=16)
VELOCITY = ["ORIGINAL", "PRIMARY", "P", "ND"]


def instances(files):
    with quiet_pydicom():
        return [parse(maker.encode(ds)) for ds in files]


def verdict(files):
    return verdict_of(instances(files))


def kinds(built):
    """Kind and number of the images that were set aside."""
    found = [built.kinds[id(item)] for item, _ in built.dropped]
    return {kind: found.count(kind) for kind in set(found)}


def flow_pair(phases=4, where=WHERE, **changes):
    magnitude = maker.cine(where, phases, series="1.2.8.1", **changes)
    return magnitude + maker.cine(where, phases, series="1.2.8.2", ImageType=VELOCITY, **changes)


def still(pixels, **changes):
    return maker.dataset(WHERE, pixels, SeriesInstanceUID="1.2.8.5", SOPInstanceUID="1.2.8.5.1", **changes)


@pytest.mark.parametrize("name", ["", "flow", "cine_trufi_retro_sax"])
def test_the_magnitude_of_a_flow_pair_is_no_cine_whatever_it_is_called(name):
    built = build(flow_pair(SeriesDescription=name))
    assert not built.stacks
    assert kinds(built) == {ImageKind.FLOW_MAGNITUDE: 4, ImageKind.FLOW_VELOCITY: 4}
    assert {code for _, code in built.dropped} == {"N_OTHER_SEQUENCE"}


def test_both_images_of_a_flow_pair_may_stand_in_one_series():
    files = flow_pair()
    for number, ds in enumerate(files):
        ds.SeriesInstanceUID, ds.InstanceNumber, ds.SOPInstanceUID = "1.2.8.3", number + 1, f"1.2.8.3.{number + 1}"
    assert kinds(build(files)) == {ImageKind.FLOW_MAGNITUDE: 4, ImageKind.FLOW_VELOCITY: 4}


def test_a_cine_in_the_plane_of_a_flow_pair_stays_a_cine():
    built = build(flow_pair() + maker.cine(WHERE, 7, series="1.2.8.9"))
    assert [(stack.sequence, stack.pixels.shape[1]) for stack in built.stacks] == [(Sequence.CINE, 7)]
    assert kinds(built) == {ImageKind.FLOW_MAGNITUDE: 4, ImageKind.FLOW_VELOCITY: 4}


def test_a_flow_plane_parallel_to_the_short_axis_is_not_taken_for_a_slice_of_it():
    built = build(sax() + flow_pair(6, maker.plane(40.0, size=24, spacing=6.0)))
    assert [stack.pixels.shape[:2] for stack in built.stacks] == [(4, 6)]


def test_a_velocity_encoding_tells_flow_without_its_twin():
    built = build(maker.cine(WHERE, 5, VelocityEncodingMaximumValue=150.0))
    assert kinds(built) == {ImageKind.FLOW_MAGNITUDE: 5}
    assert [stack.sequence for stack in build(maker.cine(WHERE, 5)).stacks] == [Sequence.CINE]


@pytest.mark.parametrize(("value", "kind"), [(1050, ImageKind.T1_MAP), (52, ImageKind.T2_MAP)])
def test_a_phase_image_alone_is_a_map_told_by_its_milliseconds(value, kind):
    found = verdict([still(np.full((16, 16), value, np.uint16), ImageType=VELOCITY)])
    assert (found.kind, found.code) == (kind, "N_OTHER_SEQUENCE")


def private(creator, group, element, vr, value):
    """A cine whose maker wrote one private element, in the second block of its group."""
    files = maker.cine(WHERE, 5)
    for ds in files:
        ds.private_block(group, "SOMEBODY ELSE", create=True).add_new(element, "LO", "9999")
        ds.private_block(group, creator, create=True).add_new(element, vr, value)
    return files


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(
    ("element", "flow"),
    [
        (("GEMS_ACQU_01", 0x0019, 0xCC, "SS", 1500), True),
        (("GEMS_ACQU_01", 0x0019, 0xCC, "SS", 0), False),
        (("Philips Imaging DD 001", 0x2001, 0x1A, "FL", [0.0, 0.0, -150.0]), True),
        (("Philips Imaging DD 001", 0x2001, 0x1A, "FL", [0.0, 0.0, 0.0]), False),
        (("ANOTHER MAKER", 0x2001, 0x1A, "FL", [0.0, 0.0, 150.0]), False),
    ],
)
def test_flow_is_told_by_the_makers_own_element_and_by_no_other(element, flow, syntax):
    with quiet_pydicom():
        images = [parse(maker.encode(ds, syntax)) for ds in private(*element)]
    kinds = set(build_stacks(images, str).kinds.values())
    assert kinds == {ImageKind.FLOW_MAGNITUDE if flow else ImageKind.CINE}


@pytest.mark.parametrize(("name", "flow"), [("*fl2d1_v150in", True), ("tfi2d1_12", False), ("*tfi2d1r12", False)])
def test_siemens_codes_of_the_pulse_sequence_tell_flow(name, flow):
    built = build(maker.cine(WHERE, 5, SequenceName=name))
    assert set(built.kinds.values()) == {ImageKind.FLOW_MAGNITUDE if flow else ImageKind.CINE}


def test_a_map_in_the_plane_of_a_cine_does_not_make_it_flow():
    lone = still(np.full((16, 16), 1050, np.uint16), ImageType=VELOCITY, TriggerTime="0")
    built = build([*maker.cine(WHERE, 6), lone])
    assert [stack.sequence for stack in built.stacks] == [Sequence.CINE]
    assert kinds(built) == {ImageKind.T1_MAP: 1}


def test_a_named_map_is_surer_than_one_told_by_its_values():
    values = np.full((16, 16), 48, np.uint16)
    named = verdict([still(values, ImageType=["DERIVED", "PRIMARY", "T2 MAP"])])
    guessed = verdict([still(values, ImageType=VELOCITY)])
    assert named.kind == guessed.kind == ImageKind.T2_MAP
    assert named.confidence > guessed.confidence


def test_a_perfusion_series_with_more_images_does_not_displace_the_cine_of_its_plane():
    dynamic = maker.cine(WHERE, 30, rr=3.0, series="1.2.8.4")
    built = build(maker.cine(WHERE, 6) + dynamic)
    assert [stack.pixels.shape[:2] for stack in built.stacks] == [(1, 6)]
    assert kinds(built) == {ImageKind.OTHER: 30}


def test_late_enhancement_is_magnitude_or_phase_sensitive():
    magnitude = verdict([maker.late(WHERE)])
    sensitive = verdict([maker.late(WHERE, ImageType=VELOCITY)])
    assert (magnitude.kind, sensitive.kind) == (ImageKind.LGE_MAGNITUDE, ImageKind.LGE_PSIR)
    assert verdict([maker.late(WHERE, InversionTime=None)]).confidence < magnitude.confidence


def test_a_localiser_along_the_patients_axes_is_surer_than_an_oblique_still_image():
    axial = WHERE | {"row": np.eye(3)[0], "col": np.eye(3)[1]}
    pixels = maker.image(axial, 0)
    straight = verdict([maker.dataset(axial, pixels)])
    oblique = verdict([maker.dataset(WHERE, pixels)])
    assert straight.kind == oblique.kind == ImageKind.LOCALISER
    assert straight.confidence > oblique.confidence


def test_a_cine_that_lost_its_times_is_less_sure():
    def without(*keywords):
        files = maker.cine(WHERE, 8)
        for ds in files:
            for keyword in keywords:
                delattr(ds, keyword)
        return verdict(files)

    timed, bare = without(), without("TriggerTime")
    assert timed.kind == bare.kind == ImageKind.CINE
    assert 0 < bare.confidence < timed.confidence <= 1


def test_every_stack_carries_its_kind_and_how_sure_that_is():
    for stack in build([*sax(), maker.late(maker.plane(size=24, spacing=6.0))]).stacks:
        assert ImageKind(stack.facts["kind"])
        assert 0 < stack.facts["sequence_confidence"] <= 1


@pytest.mark.parametrize("rank", ["TemporalPositionIdentifier", "InstanceNumber"])
def test_images_acquired_one_a_beat_are_perfusion_though_their_trigger_times_say_nothing(rank):
    files = maker.cine(WHERE, 12)
    for number, ds in enumerate(files):
        ds.TriggerTime, ds.AcquisitionTime = None, f"1010{0.9 * number:09.6f}"
        if rank != "InstanceNumber":
            ds.TemporalPositionIdentifier = number + 1
    assert verdict(files).kind is ImageKind.OTHER
    for number, ds in enumerate(files):  # the same, acquired within one breath-hold's seconds as a cine's frames are
        ds.AcquisitionTime = f"1010{0.04 * number:09.6f}"
    assert verdict(files).kind is ImageKind.CINE


def test_perfusion_whose_trigger_times_jitter_stays_perfusion_though_its_frames_are_ranked():
    files = maker.cine(WHERE, 12)
    for number, ds in enumerate(files):
        ds.TriggerTime, ds.TemporalPositionIdentifier = str(100 + 7 * (number % 3)), number + 1
    assert verdict(files).kind is ImageKind.OTHER


def test_a_phase_sensitive_image_is_late_enhancement_though_nothing_is_said_of_an_inversion():
    files = [maker.late(WHERE, ScanningSequence="GR", InversionTime=None, ImageType=["ORIGINAL", "PRIMARY", "PSIR"])]
    assert verdict(files).kind is ImageKind.LGE_PSIR
