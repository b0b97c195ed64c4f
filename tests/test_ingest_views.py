"""Views from geometry; text breaks ties and nothing else."""

import dicom_maker as maker
import numpy as np
import pytest

from cmr_lib.ingest import heart, views
from cmr_lib.ingest.header import quiet_pydicom
from cmr_lib.ingest.reading import parse
from cmr_lib.ingest.scene import Scene
from cmr_lib.ingest.stacks import build_stacks
from cmr_lib.types import View


def stacks_of(files):
    with quiet_pydicom():
        built = build_stacks([parse(maker.encode(ds)) for ds in files], str)
    return views.assign_views(built.stacks, built.descriptions)


def short_axis(descending=False):
    offsets = np.linspace(-36, 36, 5)
    if descending:
        offsets = offsets[::-1]
    return [ds for n, offset in enumerate(offsets) for ds in maker.cine(maker.plane(offset), 6, series=f"1.2.5.{n}")]


def named(files):
    return {next(iter(stack.series_keys)): stack.view for stack in stacks_of(files)}


@pytest.mark.parametrize("descending", [False, True])
def test_short_axis_slices_run_from_base_to_apex(descending):
    stack = stacks_of(short_axis(descending))[0]
    assert stack.view == View.SAX
    along = stack.origins_mm @ maker.AXIS
    assert (np.diff(along) > 0).all()
    assert (stack.pixels[0, 0] == maker.image(maker.plane(-36.0), 0)).all()


def test_an_image_flipped_by_the_scanner_has_the_same_view_and_order():
    files = []
    for n, offset in enumerate(np.linspace(-36, 36, 5)):
        where = maker.plane(offset)
        last = where["origin"] + (where["size"] - 1) * where["spacing"] * where["row"]
        files += maker.cine({**where, "origin": last, "row": -where["row"]}, 6, series=f"1.2.5.{n}")
    stack = stacks_of(files)[0]
    assert stack.view == View.SAX
    assert (np.diff(stack.origins_mm @ maker.AXIS) > 0).all()


def test_long_axis_views_are_told_by_their_rotation_even_if_the_text_lies():
    files = short_axis()
    for name, turn in (("4ch", 10), ("2ch", 72), ("3ch", 128)):
        files += maker.cine(maker.plane(turn_deg=turn), 6, series=f"1.2.6.{name[0]}", SeriesDescription="cine 4CH")
    found = named(files)
    assert (found["1.2.6.4"], found["1.2.6.2"], found["1.2.6.3"]) == (View.LAX_4CH, View.LAX_2CH, View.LAX_3CH)


@pytest.mark.parametrize("turn", [-20, -10, 0, 10, 20])
def test_planes_turned_together_keep_their_views(turn):
    files = short_axis()
    for name, angle in (("4", 30), ("2", 90), ("3", 150)):  # the heart's right ventricle lies at 180 degrees
        files += maker.cine(maker.plane(turn_deg=angle + turn), 6, series=f"1.2.6.{name}")
    found = named(files)
    assert (found["1.2.6.4"], found["1.2.6.2"], found["1.2.6.3"]) == (View.LAX_4CH, View.LAX_2CH, View.LAX_3CH)


CH4, CH3, CH2 = View.LAX_4CH, View.LAX_3CH, View.LAX_2CH


def test_between_two_views_the_text_decides_or_nobody():
    shares = {CH4: 0.45, CH3: 0.5, CH2: 0.02}

    def decided(claimed, right=0.95, shares=shares):
        return views.decide(shares, views.with_text(shares, claimed, right))

    assert decided(CH4) == (CH4, 0.45, "text")
    assert decided(CH3) == (CH3, 0.5, "text")
    assert decided(CH4, right=0.8)[0] == View.UNKNOWN  # names that are trusted less are not enough
    assert decided(CH2)[0] == View.UNKNOWN
    assert decided(View.UNKNOWN)[0] == View.UNKNOWN
    assert decided(CH3, shares={CH4: 0.75, CH3: 0.25}) == (CH4, 0.75, "geometry")
    no_contender = {CH4: 0.6, CH3: 0.2, CH2: 0.19}
    assert views.decide(no_contender, {CH4: 0.0, CH3: 1.0, CH2: 0.0})[0] == View.UNKNOWN  # would overrule geometry


def told(turns, claims, right=0.7, septum_deg=40.0):
    scene = Scene(np.eye(3)[0], np.eye(3)[1], None, septum_deg, "pixels", short=(0,))
    assert scene.names_right == right
    return [views.decide(*one)[0] for one in views._beliefs(turns, scene, claims)]


@pytest.mark.parametrize("septum", [-60, -50, -40, -20, 0, 20, 40, 50, 60])
def test_with_the_septum_hidden_names_count_together_and_one_liar_names_nothing_wrongly(septum):
    turns, right = [septum - 30.0, septum + 30.0, septum + 90.0], [CH4, CH3, CH2]
    assert told(turns, [View.UNKNOWN] * 3) == [View.UNKNOWN] * 3
    assert told(turns, right) == (right if abs(septum) <= 40 else [View.UNKNOWN] * 3)  # else geometry is overruled
    for liar in range(3):
        for lie in set(right) - {right[liar]}:
            claims = [lie if number == liar else view for number, view in enumerate(right)]
            found = told(turns, claims)
            assert all(one in (view, View.UNKNOWN) for one, view in zip(found, right, strict=True))
            assert found.count(View.UNKNOWN) <= 1 or septum
            for left_out in range(3):
                some = [number for number in range(3) if number != left_out]
                found = told([turns[number] for number in some], [claims[number] for number in some])
                assert all(one in (right[number], View.UNKNOWN) for one, number in zip(found, some, strict=True))
            assert told(turns[liar : liar + 1], [lie]) == [View.UNKNOWN]


def test_a_clear_septum_hears_no_liar():
    turns, right = [-35.0, 20.0, 95.0], [CH4, CH3, CH2]
    for claims in ([CH2, CH4, CH3], [CH3, CH2, CH4], [CH2, CH2, CH2]):
        assert told(turns, claims, 0.95, 12.0) == right


def test_a_plane_beside_the_left_ventricle_is_no_left_ventricular_view():
    where = maker.plane(turn_deg=65)
    shift = -45 * maker.LATERAL
    files = short_axis() + maker.cine(
        {**where, "origin": where["origin"] + shift}, 6, series="1.2.6", SeriesDescription="2CH"
    )
    assert named(files)["1.2.6"] == View.RV_2CH
    for ds in files[-6:]:
        ds.SeriesDescription = "cine"
    assert named(files)["1.2.6"] == View.UNKNOWN


def test_an_axial_stack_larger_than_the_short_axis_is_not_the_short_axis():
    where = maker.plane()
    axial = [
        ds
        for n in range(9)
        for ds in maker.cine(
            {
                **where,
                "row": np.eye(3)[0],
                "col": np.eye(3)[1],
                "origin": maker.CENTRE + np.array([-90, -90, 10.0 * n - 40]),
            },
            6,
            series=f"1.2.6.{n}",
        )
    ]
    found = {stack.view: len(stack.pixels) for stack in stacks_of(short_axis() + axial)}
    assert found == {View.SAX: 5, View.UNKNOWN: 9}


@pytest.mark.parametrize("lean", [0, 10, -10])
def test_a_larger_stack_within_15_degrees_of_a_patient_axis_is_no_short_axis_whatever_its_pixels(lean):
    angle = np.deg2rad(lean)
    row, col = np.array([1.0, 0, 0]), np.array([0.0, np.cos(angle), np.sin(angle)])
    flat = np.full((64, 64), 100, np.uint16)  # nothing moves: these pixels contradict nothing
    files = short_axis()
    for n in range(9):
        where = maker.plane() | {"origin": maker.CENTRE + 10.0 * n * np.cross(row, col), "row": row, "col": col}
        for ds in maker.cine(where, 6, series=f"1.2.6.{n}"):
            ds.PixelData = flat.tobytes()
            files.append(ds)
    found = {stack.view: len(stack.pixels) for stack in stacks_of(files)}
    assert found == {View.SAX: 5, View.UNKNOWN: 9}


@pytest.mark.parametrize(("slices", "least", "most"), [(5, 0.8, 1.0), (3, 0.3, 0.6)])
def test_three_short_axis_slices_stand_in_for_a_short_axis_with_less_confidence(slices, least, most):
    files = [
        ds
        for n, offset in enumerate(np.linspace(-24, 24, slices))
        for ds in maker.cine(maker.plane(offset), 6, series=f"1.2.5.{n}")
    ]
    files += maker.cine(maker.plane(turn_deg=30), 6, series="1.2.6.4")
    stacks = {stack.view: stack for stack in stacks_of(files)}
    assert set(stacks) == {View.SAX, View.LAX_4CH}
    assert all(least < stack.facts["confidence"] <= most for stack in stacks.values())


def test_the_same_plane_scanned_four_times_is_no_stack_of_four():
    files = []
    for number, offset in enumerate((0.0, 0.6, 1.2, 1.8)):
        files += maker.cine(maker.plane(offset, turn_deg=30), 6, series=f"1.2.6.{number}")
    assert View.SAX not in {stack.view for stack in stacks_of(files)}


def test_late_enhancement_parallel_to_the_short_axis_is_short_axis():
    found = named(short_axis() + [maker.late(maker.plane(offset), n) for n, offset in enumerate((-10, 10))])
    assert found["1.2.3.4.50"] == View.SAX


def test_without_a_short_axis_views_follow_the_scanners_frame_with_low_confidence():
    long = [("4", 30), ("2", 90), ("3", 150)]
    files = [ds for name, turn in long for ds in maker.cine(maker.plane(turn_deg=turn), 6, series=f"1.2.6.{name}")]
    alone = {stack.series_keys[0]: stack for stack in stacks_of(files)}
    assert [alone[f"1.2.6.{name}"].view for name in "423"] == [View.LAX_4CH, View.LAX_2CH, View.LAX_3CH]
    beside = {stack.series_keys[0]: stack for stack in stacks_of(short_axis() + files)}
    for key, stack in alone.items():
        assert 0 < stack.facts["confidence"] <= 0.5 < beside[key].facts["confidence"]


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("tf2d12_retro_iPAT_sa", View.SAX), ("sBTFE_BH_3CH", View.LAX_3CH), ("FIESTA CINE SA", View.SAX),
        ("CINE_segmented_LAX_4Ch", View.LAX_4CH), ("cine_trufi_retro RVOT", View.RVOT), ("HLA", View.LAX_4CH),
        ("cine LVOT", View.LAX_3CH), ("cine VLA", View.LAX_2CH), ("t1_map", View.UNKNOWN),
    ],
)  # fmt: skip
def test_hints_read_the_dialects_of_scanners(text, view):
    assert views.hint(text) == view


# --- the heart --------------------------------------------------------------------------------------------------
def test_the_hearts_centre_and_the_left_ventricle_are_found():
    stack = stacks_of(short_axis())[0]
    point = heart.left_ventricle(stack) - maker.CENTRE
    assert np.linalg.norm(point - (point @ maker.AXIS) * maker.AXIS) < 6
    centre = heart.heart_centre([stack]) - maker.CENTRE
    assert np.linalg.norm(centre - (centre @ maker.AXIS) * maker.AXIS) < 25
    assert abs(centre @ maker.AXIS) < 15


def test_a_still_stack_has_no_centre():
    files = maker.cine(maker.plane(), 6)
    for ds in files:
        ds.PixelData = files[0].PixelData
    stack = stacks_of(files)[0]
    assert heart.stack_centre(stack) is None
    assert heart.left_ventricle(stack) is None
    assert heart.heart_centre([stack]) is None


def test_pixel_and_patient_coordinates_invert_each_other():
    stack = stacks_of(short_axis())[0]
    assert np.allclose(heart.to_pixel(stack, 2, heart.to_patient(stack, 2, 10.5, 40.25)), (10.5, 40.25))
