"""Series → stacks: by geometry and physics, whatever the scanner called things and in whatever order files come."""

import dicom_maker as maker
import numpy as np
import pytest

from cmr_lib.ingest.header import quiet_pydicom
from cmr_lib.ingest.phases import beat_ms, resample_phases
from cmr_lib.ingest.reading import parse
from cmr_lib.ingest.stacks import build_stacks
from cmr_lib.types import Sequence

OFFSETS = (-24.0, -8.0, 8.0, 24.0)


def build(files):
    with quiet_pydicom():
        instances = [parse(maker.encode(ds)) for ds in files]
    built = build_stacks(instances, lambda uid: f"k{uid}")
    assert sum(map(len, built.used)) + len(built.dropped) == len(files)  # nothing lost
    return built


def sax(phases=6, one_series=True, **changes):
    """A four-slice short-axis cine, in one series (GE) or in one a slice (Siemens)."""
    return [
        ds
        for index, offset in enumerate(OFFSETS)
        for ds in maker.cine(
            maker.plane(offset, size=24, spacing=6.0),
            phases,
            series="1.2.9" if one_series else f"1.2.9.{index}",
            first=1 + index * phases,
            **changes,
        )
    ]


def shuffled(items, seed):
    return [items[index] for index in np.random.default_rng(seed).permutation(len(items))]


@pytest.mark.parametrize("one_series", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_one_series_or_one_a_slice_give_the_same_stack(one_series, seed):
    stack = build(shuffled(sax(one_series=one_series), seed)).stacks[0]
    assert stack.pixels.shape == (4, 6, 24, 24)
    assert stack.sequence == Sequence.CINE
    assert stack.slice_spacing_mm == pytest.approx(16.0, abs=1e-3)
    for index, position in enumerate(np.argsort([maker.AXIS @ origin for origin in stack.origins_mm])):
        where = maker.plane(OFFSETS[index], size=24, spacing=6.0)
        for phase in range(6):
            assert (stack.pixels[position, phase] == maker.image(where, phase / 6)).all()


def test_phases_follow_the_rank_of_trigger_times_within_a_slice_not_across_slices():
    files = []
    for index, (offset, rr) in enumerate(zip(OFFSETS, (700, 760, 820, 880), strict=True)):
        files += maker.cine(maker.plane(offset, size=16), 5, rr=rr, series="1.2.9", first=1 + 5 * index)
    stack = build(shuffled(files, 3)).stacks[0]
    assert stack.pixels.shape[:2] == (4, 5)
    assert (np.diff(stack.trigger_ms, axis=1) > 0).all()
    assert sorted(np.round(stack.trigger_ms[:, -1] * 5 / 4)) == [700, 760, 820, 880]


def test_slices_lie_along_the_normal_even_if_slice_location_says_otherwise():
    files = sax()
    for ds in files:
        ds.SliceLocation = "0"
    assert build(files).stacks[0].slice_spacing_mm == pytest.approx(16.0, abs=1e-3)


@pytest.mark.parametrize("keyword", ["TemporalPositionIdentifier", "InstanceNumber"])
def test_without_trigger_times_phases_follow_position_or_instance_number(keyword):
    files = sax()
    for ds in files:
        del ds.TriggerTime
        number = ds.InstanceNumber
        if keyword == "TemporalPositionIdentifier":
            ds.TemporalPositionIdentifier, ds.InstanceNumber = (number - 1) % 6 + 1, 100 - number
    stack = build(shuffled(files, 1)).stacks[0]
    assert stack.sequence == Sequence.CINE
    where = maker.plane(OFFSETS[0], size=24, spacing=6.0)
    first = int(np.argmin(stack.origins_mm @ maker.AXIS))
    assert all((stack.pixels[first, phase] == maker.image(where, phase / 6)).all() for phase in range(6))


def test_a_repeated_slice_uses_the_latest_complete_acquisition():
    files = sax(one_series=False, AcquisitionTime="100000")
    again = maker.cine(maker.plane(OFFSETS[1], size=24, spacing=6.0), 6, series="1.2.9.77", AcquisitionTime="101500")
    aborted = maker.cine(maker.plane(OFFSETS[2], size=24, spacing=6.0), 6, series="1.2.9.78", AcquisitionTime="102000")
    built = build(files + again + aborted[:3])
    assert built.stacks[0].pixels.shape[:2] == (4, 6)
    assert {item.series_uid for item, code in built.dropped if code == "N_REPEAT"} == {"1.2.9.1", "1.2.9.78"}
    assert "k1.2.9.77" in built.stacks[0].series_keys


@pytest.mark.parametrize("told_by", ["AcquisitionNumber", "AcquisitionTime", "InstanceNumber"])
def test_repeats_inside_one_series_are_told_apart(told_by):
    where = maker.plane(size=16)
    first = maker.cine(where, 5, rr=800, CardiacNumberOfImages=5)
    second = maker.cine(where, 5, rr=830, first=6, CardiacNumberOfImages=5)
    for number, run in enumerate((first, second), start=1):
        for ds in run:
            if told_by == "AcquisitionNumber":
                ds.AcquisitionNumber = number
            elif told_by == "AcquisitionTime":
                ds.AcquisitionTime = f"10000{number}"
    built = build(shuffled(first + second, 2))
    assert built.stacks[0].pixels.shape[:2] == (1, 5)
    assert built.stacks[0].trigger_ms[0, -1] == pytest.approx(664.0)


def test_an_acquisition_number_that_counts_phases_is_no_repeat():
    files = maker.cine(maker.plane(size=16), 6, CardiacNumberOfImages=6)
    for ds in files:
        ds.AcquisitionNumber = ds.InstanceNumber
    assert build(files).stacks[0].pixels.shape[:2] == (1, 6)


def test_unequal_numbers_of_phases_are_resampled_to_the_median_and_said_so():
    files = sax(8)[:-8] + maker.cine(maker.plane(OFFSETS[3], size=24, spacing=6.0), 11, series="1.2.9", first=90)
    built = build(files)
    assert built.stacks[0].pixels.shape[:2] == (4, 8)
    assert built.resampled == [0]
    assert (np.diff(built.stacks[0].trigger_ms, axis=1) > 0).all()


def test_inversion_recovery_still_images_are_late_enhancement():
    built = build(
        sax() + [maker.late(maker.plane(offset, size=24, spacing=6.0), n) for n, offset in enumerate(OFFSETS)]
    )
    kinds = [(stack.sequence, stack.pixels.shape[:2]) for stack in built.stacks]
    assert sorted(kinds) == [(Sequence.CINE, (4, 6)), (Sequence.LGE, (4, 1))]


def test_late_enhancement_without_an_inversion_time_is_known_by_its_scanning_sequence():
    built = build([maker.late(maker.plane(size=16), InversionTime=None)])
    assert [stack.sequence for stack in built.stacks] == [Sequence.LGE]


def test_a_phase_sensitive_image_replaces_its_magnitude():
    where = maker.plane(size=16)
    magnitude = maker.late(where, 1, series="1.2.7.1")
    sensitive = maker.late(where, 1, series="1.2.7.2", ImageType=["ORIGINAL", "PRIMARY", "P", "PSIR"])
    built = build([magnitude, sensitive])
    assert [stack.facts["contrast"] for stack in built.stacks] == ["psir"]
    assert [code for _, code in built.dropped] == ["N_REPEAT"]


def test_localisers_maps_flow_and_scouts_are_set_aside_by_name():
    where = maker.plane(size=16)
    localiser = maker.dataset(where, maker.image(where, 0), SeriesInstanceUID="1.2.8.1", SOPInstanceUID="1.2.8.1.1")
    flow = maker.cine(where, 4, series="1.2.8.2", ImageType=["ORIGINAL", "PRIMARY", "P", "VELOCITY"])
    scout = [maker.late(where, n, series="1.2.8.3", InversionTime=str(200 + 20 * n)) for n in range(6)]
    dynamic = maker.cine(where, 4, rr=2.0, series="1.2.8.4")
    echoes = [ds for n in range(4) for ds in maker.cine(where, 1, first=1 + n, EchoTime=str(2 + 2 * n))]
    assert {code for _, code in build(echoes).dropped} == {"N_OTHER_SEQUENCE"}
    for files, code in (([localiser], "N_LOCALISER"), (flow, "N_OTHER_SEQUENCE"), (scout, "N_OTHER_SEQUENCE")):
        built = build(files)
        assert not built.stacks
        assert {code for _, code in built.dropped} == {code}
    assert {code for _, code in build(dynamic).dropped} == {"N_OTHER_SEQUENCE"}


def test_planes_of_one_series_with_different_orientations_are_separate_stacks():
    files = maker.cine(maker.plane(turn_deg=5, size=16), 4) + maker.cine(maker.plane(turn_deg=65, size=16), 4, first=5)
    assert [stack.pixels.shape[:2] for stack in build(files).stacks] == [(1, 4), (1, 4)]


def test_parallel_planes_far_apart_do_not_become_a_stack_but_a_missing_slice_splits_none():
    pair = maker.cine(maker.plane(0, size=16), 4) + maker.cine(maker.plane(60, size=16), 4, first=5)
    assert len(build(pair).stacks) == 2
    gap = [
        ds
        for n, offset in enumerate((-40, -20, 20, 40, 60))
        for ds in maker.cine(maker.plane(offset, size=16), 4, first=1 + 4 * n)
    ]
    assert [stack.pixels.shape[0] for stack in build(gap).stacks] == [5]


def test_frames_of_reference_that_differ_inside_a_series_mean_nothing():
    files = sax()
    for number, ds in enumerate(files):
        ds.FrameOfReferenceUID = f"1.2.{number}"
    assert build(files).stacks[0].pixels.shape[:2] == (4, 6)


def test_a_new_frame_of_reference_for_every_series_means_nothing_and_two_mean_two_positions():
    files = sax(one_series=False)
    for ds in files:
        ds.FrameOfReferenceUID = f"1.9.{ds.SeriesInstanceUID}"
    assert [stack.pixels.shape[:2] for stack in build(files).stacks] == [(4, 6)]
    series = sorted({ds.SeriesInstanceUID for ds in files})
    for ds in files:
        ds.FrameOfReferenceUID = f"1.9.{series.index(ds.SeriesInstanceUID) // 2}"
    assert [stack.pixels.shape[:2] for stack in build(files).stacks] == [(2, 6), (2, 6)]


def test_a_cine_whose_images_are_each_a_series_is_one_cine():
    files = sax()
    for number, ds in enumerate(files):
        ds.SeriesInstanceUID = f"1.2.3.4.{number}.9"
    assert [stack.pixels.shape[:2] for stack in build(files).stacks] == [(4, 6)]


def test_a_trigger_time_that_hardly_changes_yields_to_the_rank_of_the_frames():
    files = sax()
    for ds in files:
        rank = round(float(ds.TriggerTime) / 800 * 6)
        ds.TemporalPositionIdentifier = rank + 1
        ds.TriggerTime = "500" if rank == 5 else "0"
    (stack,) = build(files).stacks
    assert stack.pixels.shape[:2] == (4, 6)
    np.testing.assert_array_equal(stack.pixels, build(sax()).stacks[0].pixels)


def test_a_cine_stored_dark_for_bright_is_turned_as_a_whole_so_that_a_spot_makes_no_frame_flicker():
    plain, dark = sax(), sax(PhotometricInterpretation="MONOCHROME1")
    for ds in (plain[3], dark[3]):
        ds.PixelData = np.uint16(3000).tobytes() + ds.PixelData[2:]
    (stack,), (other,) = build(plain).stacks, build(dark).stacks
    np.testing.assert_array_equal(other.pixels, stack.pixels.max() + stack.pixels.min() - stack.pixels)


def test_a_real_time_cine_of_several_beats_gives_the_first():
    files = maker.cine(maker.plane(size=24, spacing=6.0), 24, rr=2400.0)  # three beats of 800 ms, eight frames each
    for ds in files:
        ds.NominalInterval = "800"
    built = build(files)
    (stack,) = built.stacks
    np.testing.assert_allclose(stack.trigger_ms[0], 100.0 * np.arange(8), atol=1e-3)
    assert stack.facts["rr_ms"] == pytest.approx(800.0)
    assert [code for _, code in built.dropped] == ["N_REPEAT"] * 16


# --- time -------------------------------------------------------------------------------------------------------
def test_the_beat_is_what_frames_cover_unless_they_stop_early():
    assert beat_ms(np.arange(10) * 80.0, 810.0) == pytest.approx(800.0)
    assert beat_ms(np.arange(10) * 60.0, 1000.0) == 1000.0
    assert beat_ms(np.arange(10) * 80.0, float("nan")) == pytest.approx(800.0)


def test_resampling_is_exact_for_a_signal_that_is_linear_in_time():
    times = np.array([0.0, 100.0, 300.0, 600.0, 800.0])
    frames = np.interp(times, [0, 500, 1000], [0, 10, 0]).astype(np.float32)[:, None, None] * np.ones(
        (1, 2, 2), np.float32
    )
    naive = np.interp(np.arange(8) / 8 * 1000, np.r_[times, 1000.0], np.r_[frames[:, 0, 0], frames[0, 0, 0]])
    assert np.allclose(resample_phases(frames, times, 1000.0, 8)[:, 0, 0], naive, atol=1e-5)


def test_resampling_to_the_same_even_phases_changes_nothing():
    frames = np.random.default_rng(0).random((7, 3, 3)).astype(np.float32)
    again = resample_phases(frames, np.arange(7) * 100.0, 700.0, 7)
    assert np.allclose(again, frames, atol=1e-6)
