"""The traps that two real studies set, each as a test on files made for it.

1 descriptions lie · 2 a series is neither a slice nor a stack · 3 the RR interval differs by slice · 4 trigger times
interleave over a folder · 5 SliceLocation is not the geometry · 6 invalid identifiers and dates · 7 no preamble ·
8 dates in many elements · 9 the heart rate hides · 10 rows and columns swap. (Trap 8 is that of what may leave:
tests of the allow-list.)
"""

import warnings

import dicom_maker as maker
import numpy as np
import pytest
from test_ingest_stacks import OFFSETS, build, sax, shuffled

from cmr_lib.ingest.header import quiet_pydicom
from cmr_lib.ingest.reading import parse
from cmr_lib.ingest.views import assign_views
from cmr_lib.types import View

SMALL = {"size": 24, "spacing": 6.0}


def four_d(rates=(700, 731, 762, 793), phases=6):
    """A GE-like series: all slices, numbered through, every slice with its own RR interval."""
    files = []
    for index, (offset, rr) in enumerate(zip(OFFSETS, rates, strict=True)):
        files += maker.cine(maker.plane(offset, **SMALL), phases, rr=rr, series="1.2.9", first=1 + index * phases)
    return files


def test_trap_1_one_description_for_every_slice_and_a_wrong_one_for_a_long_axis_change_nothing():
    offsets = np.linspace(-36, 36, 6)
    files = [ds for n, offset in enumerate(offsets) for ds in maker.cine(maker.plane(offset), 6, series=f"1.2.5.{n}")]
    files += maker.cine(maker.plane(turn_deg=150), 6, series="1.2.6.1")
    told = {}
    for text in ("cine_trufi_retro", "4CH", "cine SAX", ""):
        for ds in files:
            ds.SeriesDescription = text
        built = build(files)
        told[text] = [(one.view, len(one.pixels)) for one in assign_views(built.stacks, built.descriptions)]
    assert all(found == [(View.SAX, 6), (View.LAX_3CH, 1)] for found in told.values()), told


def test_trap_2_series_that_hold_a_slice_each_or_all_slices_mix_in_one_study():
    files = sax(one_series=True) + [
        ds
        for n in range(3)
        for ds in maker.cine(maker.plane(n * 10.0 - 10, turn_deg=30, **SMALL), 6, series=f"1.2.7.{n}")
    ]
    assert sorted(stack.pixels.shape[:2] for stack in build(shuffled(files, 5)).stacks) == [(3, 6), (4, 6)]


@pytest.mark.parametrize("seed", [0, 1])
def test_traps_3_and_4_a_series_whose_trigger_times_interleave_is_ordered_slice_by_slice(seed):
    files = four_d()
    by_time = sorted(files, key=lambda ds: float(ds.TriggerTime))[:6]  # what a loader of one folder a slice takes
    assert len({tuple(ds.ImagePositionPatient) for ds in by_time}) == 4
    stack = build(shuffled(files, seed)).stacks[0]
    order = np.argsort(np.argsort([maker.AXIS @ maker.plane(offset, **SMALL)["origin"] for offset in OFFSETS]))
    along = np.argsort(stack.origins_mm @ maker.AXIS)
    for index, offset in enumerate(OFFSETS):
        for phase in range(6):
            expected = maker.image(maker.plane(offset, **SMALL), phase / 6)
            assert (stack.pixels[along[order[index]], phase] == expected).all()


def test_trap_5_slice_location_may_run_another_way_and_at_another_pitch():
    files = sax()
    for number, ds in enumerate(files):
        ds.SliceLocation = f"{-6.72 * (number // 6):.2f}"
        ds.SpacingBetweenSlices = "6.72"
    stack = build(files).stacks[0]
    assert stack.slice_spacing_mm == pytest.approx(16.0, abs=1e-3)


def test_trap_6_invalid_identifiers_and_dates_cost_neither_a_warning_nor_the_image():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = sax()
        for ds in files:
            ds.StudyInstanceUID, ds.StudyDate, ds.StudyTime = "1.02.003", "20251399", "997799"
        data = [maker.encode(ds) for ds in files]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with quiet_pydicom():
            found = [parse(one) for one in data]
    assert len(found) == 24
    assert not said


def test_trap_7_a_file_without_preamble_is_read_like_the_others():
    data = maker.encode(maker.cine(maker.plane(**SMALL), 1)[0])
    with quiet_pydicom():
        whole, bare = parse(data), parse(data[132:])
    assert (whole.raw == bare.raw).all()


@pytest.mark.parametrize(
    ("changes", "beat"),
    [
        ({"ImageComments": "RR 860 +/- 25; 7 heartbeats", "NominalInterval": "860"}, 860.0),
        ({"HeartRate": "75", "NominalInterval": None}, 800.0),
    ],
)
def test_trap_9_the_beat_of_a_triggered_cine_comes_from_interval_or_rate_never_from_comments(changes, beat):
    files = maker.cine(maker.plane(**SMALL), 8)
    for number, ds in enumerate(files):
        ds.TriggerTime = f"{50 * number}"  # half the beat only
        for keyword, value in changes.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)
    assert build(files).stacks[0].facts["rr_ms"] == pytest.approx(beat)


def test_trap_10_rows_and_columns_may_swap_between_the_series_of_a_study():
    def cut(files, rows, cols):
        for ds in files:
            pixels = np.frombuffer(ds.PixelData, np.uint16).reshape(ds.Rows, ds.Columns)[:rows, :cols]
            ds.Rows, ds.Columns, ds.PixelData = rows, cols, pixels.tobytes()
        return files

    wide = cut(maker.cine(maker.plane(turn_deg=30, **SMALL), 4, series="1.2.6.1"), 16, 24)
    tall = cut(maker.cine(maker.plane(turn_deg=90, **SMALL), 4, series="1.2.6.2"), 24, 16)
    assert sorted(stack.pixels.shape[2:] for stack in build(wide + tall).stacks) == [(16, 24), (24, 16)]


def test_a_series_of_localisers_and_long_axes_is_cut_by_orientation_not_by_series():
    """Older UK Biobank exports hold all long-axis cines in one series; localisers mix three planes."""
    files = []
    for number, turn in enumerate((30, 90, 150)):
        files += maker.cine(maker.plane(turn_deg=turn, **SMALL), 5, series="1.2.6", first=1 + 5 * number)
    for number, axes in enumerate(((0, 1), (0, 2), (1, 2))):
        where = maker.plane(**SMALL) | {"row": np.eye(3)[axes[0]], "col": np.eye(3)[axes[1]]}
        files.append(
            maker.dataset(
                where,
                maker.image(where, 0),
                SeriesInstanceUID="1.2.6",
                SOPInstanceUID=f"1.2.6.{90 + number}",
                InstanceNumber=90 + number,
            )
        )
    built = build(shuffled(files, 4))
    assert [stack.pixels.shape[:2] for stack in built.stacks] == [(1, 5)] * 3
    assert [code for _, code in built.dropped] == ["N_LOCALISER"] * 3


def test_slices_with_25_and_30_phases_share_the_share_of_the_beat_not_the_number():
    """A slice of 30 phases and one of 25, RR 700 and 900 ms: after resampling both move with the normalised beat."""
    files = []
    for index, (offset, phases, rr) in enumerate(zip(OFFSETS, (25, 30, 25, 25), (700, 900, 700, 760), strict=True)):
        where = maker.plane(offset, **SMALL)
        files += maker.cine(where, phases, rr=rr, series=f"1.2.9.{index}")
    built = build(files)
    stack = built.stacks[0]
    assert stack.pixels.shape[:2] == (4, 25)
    assert built.resampled == [0]
    index = int(
        np.argmin(np.abs(stack.origins_mm @ maker.AXIS - maker.plane(OFFSETS[1], **SMALL)["origin"] @ maker.AXIS))
    )
    centre = np.abs(stack.pixels[index].std(axis=0)).argmax()  # the pixel that moves most
    times = np.arange(30) / 30
    source = np.stack([maker.image(maker.plane(OFFSETS[1], **SMALL), time) for time in times]).reshape(30, -1)[
        :, centre
    ]
    naive = np.interp(np.arange(25) / 25, np.r_[times, 1.0], np.r_[source, source[0]].astype(float))
    assert np.allclose(stack.pixels[index].reshape(25, -1)[:, centre], naive, atol=1e-3)
    assert stack.trigger_ms[index, -1] == pytest.approx(900 * 24 / 25)


def test_two_images_of_one_slice_and_time_are_one_phase_and_the_other_is_counted():
    files = maker.cine(maker.plane(**SMALL), 6)
    files[3].TriggerTime = files[2].TriggerTime
    built = build(files)
    assert built.stacks[0].pixels.shape[:2] == (1, 5)
    assert [code for _, code in built.dropped] == ["N_REPEAT"]
