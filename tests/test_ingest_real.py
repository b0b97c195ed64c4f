"""The real studies: what is known about them must come out (see the README beside their archives)."""

import tarfile

import numpy as np
import pytest

from cmr_lib.clips.prepare import clips_of
from cmr_lib.ingest import heart
from cmr_lib.ingest.studies import find_studies, read_study
from cmr_lib.ingest.views import assign_views
from cmr_lib.params import ClipShape
from cmr_lib.types import Sequence, View

pytestmark = pytest.mark.real_data
KEY = b"a key for tests, 32 bytes or more"


def unpacked(archive, folder):
    if not archive.is_file():
        pytest.skip(f"{archive.name} is not at hand: set CMR_REAL_DATA to the folder of the archives")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return find_studies(folder)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    from conftest import real_data_folder

    folder = real_data_folder()
    found = {}
    for vendor, name in (("siemens", "siemens_3t_study"), ("ge", "ge_15t_sax")):
        paths = unpacked(folder / f"{name}.tar.xz", tmp_path_factory.mktemp(vendor))
        assert len(paths) == 1
        found[vendor] = read_study(paths[0], KEY)
    return found


@pytest.fixture(scope="module")
def clips(studies):
    return {
        vendor: clips_of(study.stacks, ClipShape(size_px=80, spacing_mm=2.0, phases=25))
        for vendor, study in studies.items()
    }


def only(study, view):
    stacks = [stack for stack in study.stacks if stack.view == view]
    assert len(stacks) == 1
    return stacks[0]


def test_every_file_is_accounted_for(studies):
    assert studies["siemens"].counts == {"found": 276, "accepted": 275, "rejected": 0, "ignored": 1}
    counts = studies["ge"].counts
    assert (counts["accepted"], counts["rejected"]) == (240, 0)
    assert counts["found"] == 240 + counts["ignored"]  # the experts' contour files


def test_siemens_gives_one_six_slice_short_axis_of_25_phases(studies):
    stack = only(studies["siemens"], View.SAX)
    assert stack.sequence == Sequence.CINE
    assert stack.pixels.shape == (6, 25, 208, 256)
    assert stack.slice_spacing_mm == pytest.approx(17.7, abs=0.05)
    assert len(stack.series_keys) == 6


SHOWN = {
    View.LAX_4CH: [0.05, 0.82, -0.57],  # tagged 4CH
    View.LAX_3CH: [-0.74, 0.26, -0.62],  # Se7, tagged 4CH too
    View.LAX_2CH: [-0.78, -0.62, -0.05],  # tagged 2CH
    View.RV_2CH: [0.65, 0.73, 0.22],  # Se9, tagged 2CH
    View.RVOT: [-0.99, -0.06, -0.13],
}


def test_siemens_long_axis_planes_are_named_by_what_they_show_not_by_their_text(studies):
    assert all(stack.pixels.shape[:2] == (1, 25) for stack in studies["siemens"].stacks if stack.view != View.SAX)
    for view, normal in SHOWN.items():
        stack = only(studies["siemens"], view)
        assert stack.normal == pytest.approx(normal, abs=0.01)
        assert stack.facts["view_source"] == "geometry"
        assert stack.facts["confidence"] > 0.7


@pytest.mark.parametrize("text", ["", "cine 4CH", "cine 2CH", "cine sax", "RVOT"])
def test_siemens_views_stand_when_descriptions_are_blanked_or_swapped(studies, text):
    stacks = studies["siemens"].stacks
    named = assign_views(stacks, [text] * len(stacks))
    assert [stack.view for stack in named] == [stack.view for stack in stacks]


def test_without_its_short_axis_the_same_study_is_named_with_low_confidence(studies):
    stacks = [stack for stack in studies["siemens"].stacks if stack.view != View.SAX]
    named = assign_views(stacks, [""] * len(stacks))
    assert max(stack.facts["confidence"] for stack in named) < 0.5
    for view in (View.LAX_4CH, View.LAX_3CH):
        stack = next(stack for stack in named if stack.normal == pytest.approx(SHOWN[view], abs=0.01))
        assert stack.view == view


@pytest.mark.parametrize("vendor", ["siemens", "ge"])
def test_real_cines_are_known_as_cines(studies, vendor):
    for stack in studies[vendor].stacks:
        assert stack.facts["kind"] == "cine"
        assert stack.facts["sequence_confidence"] > 0.9


def test_the_three_long_axis_planes_meet_in_the_left_ventricle_that_was_found(studies):
    study = studies["siemens"]
    point = heart.left_ventricle(only(study, View.SAX))
    for view in (View.LAX_2CH, View.LAX_3CH, View.LAX_4CH):
        stack = only(study, view)
        assert abs((point - stack.origins_mm[0]) @ stack.normal) < 8


def test_ge_gives_one_twelve_slice_stack_ten_millimetres_apart(studies):
    assert len(studies["ge"].stacks) == 1
    stack = only(studies["ge"], View.SAX)
    assert stack.pixels.shape == (12, 20, 256, 256)
    assert np.abs(np.diff(stack.origins_mm @ stack.normal)) == pytest.approx(np.full(11, 10.0), abs=0.01)
    assert studies["ge"].facts == {"vendor": "ge", "field_strength_t": 1.5}


def test_ge_left_ventricle_lies_where_the_experts_drew_it(studies):
    stack = only(studies["ge"], View.SAX)
    row, col = heart.to_pixel(stack, 6, heart.left_ventricle(stack))
    assert np.hypot(row - 138.8, col - 131.2) * stack.spacing_mm[0] < 8  # mean of the endocardial contours


@pytest.mark.parametrize("vendor", ["siemens", "ge"])
def test_phases_are_in_the_order_of_trigger_times_within_each_slice(studies, vendor):
    for stack in studies[vendor].stacks:
        assert (np.diff(stack.trigger_ms, axis=1) > 0).all()
    if vendor == "ge":  # the RR interval differs by slice, so times across slices do not line up
        assert np.ptp(only(studies["ge"], View.SAX).trigger_ms[:, -1]) > 50


@pytest.mark.parametrize("vendor", ["siemens", "ge"])
def test_slices_run_from_base_to_apex(studies, vendor):
    stack = only(studies[vendor], View.SAX)
    along = stack.origins_mm @ heart.NOMINAL_AXIS
    assert (np.diff(along) > 0).all()
    # what moves is widest at the base: atria, both ventricles and great vessels against one small apex
    motion = stack.pixels.std(axis=1)
    area = (motion > 0.25 * np.percentile(motion, 99.9)).sum(axis=(1, 2))
    assert area[: len(area) // 2].sum() > area[len(area) // 2 :].sum()


@pytest.mark.parametrize(("vendor", "frame", "count"), [("siemens", 9, 25), ("ge", 7, 20)])
def test_end_systole_is_found_within_two_frames(clips, vendor, frame, count):
    phases = {clip.phase_of_es for clip in clips[vendor] if clip.view == View.SAX}
    assert len(phases) == 1
    assert phases.pop() * count == pytest.approx(frame, abs=2)


@pytest.mark.parametrize("vendor", ["siemens", "ge"])
def test_the_heart_is_in_the_middle_of_the_clips(clips, vendor):
    for clip in clips[vendor]:
        if clip.view == View.SAX and 0.1 < clip.position < 0.7:
            motion = clip.frames.astype(float).std(axis=0)
            rows, cols = np.indices(motion.shape)
            weight = motion * (motion > np.percentile(motion, 90))
            assert abs((rows * weight).sum() / weight.sum() - 39.5) < 13
            assert abs((cols * weight).sum() / weight.sum() - 39.5) < 13


def test_no_identifier_is_in_anything_that_leaves(studies):
    for study in studies.values():
        text = " ".join(str(row) for row in study.rejects) + str([stack.facts for stack in study.stacks])
        assert not any(word in text for word in ("patient1", "SCD0000101", "1.3.12", "1.2.826", "cine_trufi"))
