"""Clips: the heart in the middle, one orientation, one size, one number of phases."""

from dataclasses import replace

import dicom_maker as maker
import numpy as np
import pytest
from tilted import Patient

from cmr_lib.clips import prepare
from cmr_lib.ingest import heart
from cmr_lib.ingest.studies import read_study
from cmr_lib.params import ClipShape
from cmr_lib.types import Sequence, View

SHAPE = ClipShape(size_px=48, spacing_mm=3.0, phases=12)
KEY = b"a key for tests, 32 bytes or more"


def stacks_of(tmp_path, files):
    return read_study(maker.write_zip(tmp_path / "a.zip", files), KEY).stacks


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    return stacks_of(tmp_path_factory.mktemp("study"), maker.study(slices=5, phases=10))


@pytest.fixture(scope="module")
def clips(stacks):
    return prepare.clips_of(stacks, SHAPE)


def of(clips, view, sequence=Sequence.CINE):
    return [clip for clip in clips if clip.view == view and clip.sequence == sequence]


def test_every_slice_becomes_a_clip_of_the_wanted_shape(clips):
    assert len(clips) == 5 + 2 + 2
    for clip in clips:
        assert clip.frames.dtype == np.uint8
        assert clip.frames.shape == (12 if clip.sequence == Sequence.CINE else 1, 48, 48)
        assert clip.spacing_mm == 3.0


def test_positions_run_from_base_to_apex_and_late_enhancement_shares_them(clips):
    cine = [clip.position for clip in of(clips, View.SAX)]
    assert cine == pytest.approx([0, 0.25, 0.5, 0.75, 1], abs=1e-5)
    late = [clip.position for clip in of(clips, View.SAX, Sequence.LGE)]
    assert late == pytest.approx([0.25, 0.5], abs=1e-5)
    assert of(clips, View.LAX_4CH)[0].position == 0.5


def test_the_ventricle_is_in_the_middle_of_every_plane(clips):
    for view in (View.SAX, View.LAX_4CH, View.LAX_2CH):
        clip = of(clips, view)[len(of(clips, view)) // 2]
        rows, cols = np.nonzero(clip.frames[0] > 200)  # both blood pools at end-diastole
        assert abs(rows.mean() - 23.5) < 8
        assert abs(cols.mean() - 23.5) < 8


def beside_the_ventricle(centre, patient):
    """Where the true axis of the left ventricle lies from a point, across it: mm to the patient's left, mm forwards."""
    lateral, anterior = heart.axis_frame(patient.z)
    away = patient.centre - centre
    return np.array([away @ lateral, away @ anterior])


def test_the_ventricle_lies_in_the_same_place_of_every_patients_crop():
    patients = [Patient(seed, number) for seed in (11, 12) for number in range(4)]
    short = [replace(patient.short_axis(), view=View.SAX) for patient in patients]
    at = [beside_the_ventricle(prepare.crop_centre([one]), who) for one, who in zip(short, patients, strict=True)]
    assert np.abs(np.array(at) - [prepare.BESIDE_MM, 0.0]).max() < 8  # of motion alone: 30 mm
    moving = [beside_the_ventricle(heart.heart_centre([one]), who) for one, who in zip(short, patients, strict=True)]
    assert np.std(at, axis=0).max() < 0.5 * np.std(moving, axis=0).max()


def test_without_a_clear_ventricle_the_crop_is_about_what_moves():
    stack = Patient(11, 0).short_axis()
    assert np.array_equal(prepare.crop_centre([stack]), heart.heart_centre([stack]))  # of an unknown view
    still = replace(stack, view=View.SAX, pixels=stack.pixels[:, :1], trigger_ms=stack.trigger_ms[:, :1])
    assert prepare.crop_centre([still]) is None


def test_end_systole_is_found_where_the_ventricle_is_smallest(clips):
    assert of(clips, View.SAX)[0].phase_of_es == pytest.approx(0.35, abs=0.04)
    assert np.isnan(of(clips, View.SAX, Sequence.LGE)[0].phase_of_es)


def test_end_systole_is_unclear_where_nothing_moves_or_all_is_noise():
    noise = np.random.default_rng(0).normal(100, 10, (3, 12, 48, 48)).astype(np.float32)
    assert np.isnan(prepare.phase_of_end_systole(noise))
    assert np.isnan(prepare.phase_of_end_systole(np.ones((1, 12, 48, 48), np.float32)))
    assert np.isnan(prepare.phase_of_end_systole(noise[:, :1]))


def _turned(where, quarter, mirror):
    """The same plane with its pixel grid turned by quarters, and mirrored: as another scanner would store it."""
    side = (where["size"] - 1) * where["spacing"]
    origin, row, col = where["origin"], where["row"], where["col"]
    for _ in range(quarter):
        origin, row, col = origin + side * row, col, -row
    if mirror:
        origin, row = origin + side * row, -row
    return {**where, "origin": origin, "row": row, "col": col}


@pytest.mark.parametrize(("quarter", "mirror"), [(1, False), (2, False), (3, True), (0, True)])
def test_the_orientation_does_not_depend_on_the_scanners_grid(tmp_path, clips, quarter, mirror):
    files = []
    for n, offset in enumerate(np.linspace(-36, 36, 5)):
        files += maker.cine(_turned(maker.plane(offset), quarter, mirror), 10, series=f"1.2.5.{n}")
    for n, turn in ((6, 5), (7, 65)):
        files += maker.cine(_turned(maker.plane(turn_deg=turn), quarter, mirror), 10, series=f"1.2.5.{n}")
    other = prepare.clips_of(stacks_of(tmp_path, files), SHAPE)
    for view in (View.SAX, View.LAX_4CH, View.LAX_2CH):
        for one, two in zip(of(clips, view), of(other, view), strict=True):
            difference = np.abs(one.frames.astype(int) - two.frames)
            assert np.percentile(difference, 97) <= 4  # edges may differ by a fraction of a pixel


def test_the_right_ventricle_is_on_the_left_of_the_image(clips):
    for view in (View.SAX, View.LAX_4CH):
        frame = of(clips, view)[len(of(clips, view)) // 2].frames[0].astype(float)
        centre = (frame[:, 24:] > 200).sum()
        # the toy's right ventricle reaches further to the right of the patient than the left one to the left
        assert (frame[:, :8] > 150).sum() > (frame[:, -8:] > 150).sum()
        assert centre > 0


def test_axes_of_the_image_are_those_promised():
    right, down = prepare.image_axes(maker.AXIS, maker.AXIS)
    assert right @ heart.LEFT > 0.5
    assert np.allclose(np.cross(right, down), -maker.AXIS)  # seen from the apex
    for turn, side in ((5, maker.LATERAL), (65, -maker.ANTERIOR)):
        where = maker.plane(turn_deg=turn)
        for sign in (1, -1):
            right, down = prepare.image_axes(sign * np.cross(where["row"], where["col"]), maker.AXIS)
            assert np.allclose(down, -maker.AXIS)  # the apex is at the top
            assert right @ side > 0.5


def test_cropping_agrees_with_a_naive_loop(stacks):
    stack = next(one for one in stacks if one.view == View.SAX and one.sequence == Sequence.CINE)
    shape = ClipShape(size_px=32, spacing_mm=3.0, phases=4)
    axes = prepare.image_axes(stack.normal, maker.AXIS)
    centre = heart.to_patient(stack, 1, 30.3, 33.6)
    crop = prepare.crop_slice(stack, 1, centre, axes, shape)
    for i, j in ((0, 0), (5, 9), (16, 16), (31, 2)):
        point = centre + 3.0 * ((j - 15.5) * axes[0] + (i - 15.5) * axes[1])
        row, col = heart.to_pixel(stack, 1, point)
        r, c = int(np.floor(row)), int(np.floor(col))
        dr, dc = row - r, col - c
        image = stack.pixels[1, 2]
        want = (
            image[r, c] * (1 - dr) * (1 - dc) + image[r + 1, c] * dr * (1 - dc)
            + image[r, c + 1] * (1 - dr) * dc + image[r + 1, c + 1] * dr * dc
        )  # fmt: skip
        assert crop[2, i, j] == pytest.approx(want, abs=1e-2)


def test_outside_the_image_is_black(stacks):
    big = ClipShape(size_px=128, spacing_mm=5.0, phases=4)
    frames = prepare.clips_of(stacks, big)[0].frames
    assert frames[:, 0, 0].max() == 0


def test_the_window_is_that_of_the_middle_and_flat_images_are_black():
    cropped = np.zeros((1, 1, 40, 40), np.float32)
    cropped[..., 10:30, 10:30] = np.linspace(100, 200, 400).reshape(20, 20)
    cropped[..., 0, 0] = 1e6  # fat in a corner does not count
    image = prepare.to_uint8(cropped)[0, 0]
    assert image[0, 0] == 255
    assert 200 < image[28, 20] <= 255
    assert prepare.to_uint8(np.full((1, 2, 40, 40), 7, np.float32)).max() == 0


def test_without_cine_the_image_centre_is_the_centre(tmp_path):
    stacks = stacks_of(tmp_path, [maker.late(maker.plane(offset), n) for n, offset in enumerate((-8, 0, 8))])
    clips = prepare.clips_of(stacks, SHAPE)
    # the toy's left ventricle lies in the middle of the image: a bright disc of 26 mm radius, less at mid-diastole
    bright = clips[1].frames[0][24 - 4 : 24 + 4, 24 - 4 : 24 + 4]
    assert bright.min() > 200


def test_no_stacks_give_no_clips():
    assert prepare.clips_of([], SHAPE) == []
