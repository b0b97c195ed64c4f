"""The phantom's heart: volumes, views that agree, contraction that keeps the muscle."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from cmr_lib import params
from cmr_lib.labels import Diagnosis
from cmr_lib.simulate import aha, motion
from cmr_lib.simulate.anatomy import TISSUES
from cmr_lib.simulate.diseases import Disease
from cmr_lib.simulate.latents import Latents, Person, Targets, draw_latents
from cmr_lib.simulate.phantom import Phantom
from cmr_lib.simulate.plane import Plane, centred_plane
from cmr_lib.simulate.protocol import Shot, draw_exam, lax_plane, sax_plane
from cmr_lib.simulate.scanner import image_shot
from cmr_lib.simulate.truth import stack_volume_ml, volumes_ml, wall_profile_mm
from cmr_lib.types import Sequence, View

ROOT = Path(__file__).resolve().parents[1]
MAN = Person("M", 50, 178.0, 80.0)
SHARES = {code.value: 0.125 for code in Diagnosis}


def phantom(targets=None, disease=None, seed=5):
    targets = targets or Targets(156.0, 62.0, 9.5, 160.0, 60.0)
    return Phantom(Latents(0, 1, MAN, disease or Disease(Diagnosis.NOR), targets, 66.0, seed, site="Riverside"))


def demo():
    """The demo's settings."""
    return params.read_yaml(ROOT / "params" / "demo" / "simulate.yaml") | {"out_dir": "unused", "data_dir": "unused"}


def infarct(contraction=0.0, **changes):
    segments = aha.TERRITORIES["LCx"]
    fields = {"scar_segments": segments, "scar_depth": 1.0, "weak_segments": segments, "contraction": contraction}
    return Disease(Diagnosis.ICM, lge_pattern="transmural", territory="LCx", **(fields | changes))


@pytest.mark.parametrize(
    "targets",
    [
        Targets(156.0, 62.0, 9.5, 160.0, 60.0),
        Targets(250.0, 25.0, 8.0, 190.0, 40.0),
        Targets(130.0, 70.0, 10.0, 250.0, 35.0),
    ],
)
def test_rasterised_volumes_meet_their_targets(targets):
    heart = phantom(targets)
    diastole, systole = volumes_ml(heart, 0.0, 2.5, 2.0), volumes_ml(heart, heart.systole, 2.5, 2.0)
    assert diastole["lv"] == pytest.approx(targets.lvedv_ml, rel=0.03)
    assert diastole["rv"] == pytest.approx(targets.rvedv_ml, rel=0.05)
    assert 100 * (1 - systole["lv"] / diastole["lv"]) == pytest.approx(targets.lvef, abs=3)
    assert 100 * (1 - systole["rv"] / diastole["rv"]) == pytest.approx(targets.rvef, abs=4)


def test_truth_is_the_disc_sum_of_the_labels():
    heart = phantom()
    truth, fine = heart.truth, volumes_ml(heart, 0.0, 2.0, 1.5)
    assert truth["lvedv_ml"] == pytest.approx(fine["lv"], rel=0.02)
    assert truth["lv_mass_g"] == pytest.approx(1.05 * fine["muscle"], rel=0.03)


def test_muscle_volume_is_kept_over_the_cycle():
    heart = phantom()
    muscle = [volumes_ml(heart, phase, 1.0, 1.5)["muscle"] for phase in (0.0, 0.15, heart.systole, 0.6, 0.9)]
    assert max(muscle) / min(muscle) < 1.03


def test_cavity_is_largest_at_end_diastole_and_smallest_at_end_systole():
    heart = phantom()
    volumes = [volumes_ml(heart, k / 20, 4.0, 2.5)["lv"] for k in range(20)]
    assert int(np.argmax(volumes)) == 0
    assert abs(int(np.argmin(volumes)) / 20 - heart.systole) <= 0.05
    assert 0.3 <= heart.systole <= 0.4


def test_maximal_wall_thickness_is_the_target():
    assert phantom().truth["wall_mm"] == pytest.approx(9.5, abs=1.0)
    thick = phantom(Targets(140.0, 66.0, 20.0, 140.0, 60.0), Disease(Diagnosis.HCM, hypertrophy="septal"))
    assert thick.truth["wall_mm"] == pytest.approx(20.0, abs=2.0)
    profile = wall_profile_mm(thick)
    septum, lateral = profile[2, [47, 0, 1, 2, 3]].mean(), profile[2, 22:27].mean()
    assert septum > 1.3 * lateral


@pytest.mark.parametrize("number", range(8))
def test_disc_summation_of_a_full_stack_gives_the_volumes_that_were_asked_for(number):
    """Pitch 10 mm from above the base to past the apex, no misregistration: EF within 3 points, EDV within 5 %."""
    latents = draw_latents(7, number, 1, SHARES)
    heart = Phantom(latents)
    planes = [sax_plane(heart.shape, float(z), 1.6, 128, 10.0) for z in np.arange(-18, heart.shape.apex + 10, 10.0)]
    full, empty = (stack_volume_ml(heart, planes, phase) for phase in (0.0, heart.systole))
    assert full == pytest.approx(latents.targets.lvedv_ml, rel=0.05)
    assert 100 * (1 - empty / full) == pytest.approx(latents.targets.lvef, abs=3)


def line_of(image, plane, points):
    """Brightness of an image at points in the patient (mm), cubic."""
    away = points - plane.origin_mm
    where = np.stack([away @ plane.col_dir, away @ plane.row_dir]) / plane.spacing_mm
    return ndimage.map_coordinates(image, where, order=1)


@pytest.mark.parametrize("view", [View.LAX_4CH, View.LAX_2CH, View.LAX_3CH])
def test_short_and_long_axis_images_agree_where_they_cross(view):
    heart = phantom(disease=infarct())
    exam = draw_exam(params.check("simulate", demo()), heart.latents)
    long = lax_plane(heart.shape, view, 2.0, 104, 8.0)
    lines = []
    for height in (20.0, 35.0, 50.0):
        short = sax_plane(heart.shape, height, 2.0, 104, 8.0)
        along = np.cross(short.normal, long.normal)
        middle = heart.shape.pose.origin_mm + height * heart.shape.pose.axes[2]
        points = middle + np.linspace(-55, 55, 90)[:, None] * along / np.linalg.norm(along)
        images = []
        for plane, kind in ((short, View.SAX), (long, view)):
            shot = Shot(kind, Sequence.CINE, 0, plane, (0.0,), np.zeros(3), 60000 / heart.latents.heart_rate)
            images.append(image_shot(heart, shot, exam, np.random.default_rng(3))[0])
        lines.append([line_of(image, plane, points) for image, plane in zip(images, (short, long), strict=True)])
    lines = np.concatenate(lines, axis=1)
    assert np.corrcoef(lines)[0, 1] >= 0.9


def test_three_chamber_plane_shows_the_outflow_tract():
    heart = phantom()
    labels = heart.labels(lax_plane(heart.shape, View.LAX_3CH, 2.0, 104, 8.0), heart.systole)
    wanted = {TISSUES.LV_BLOOD, TISSUES.LEFT_ATRIUM, TISSUES.AORTA, TISSUES.RV_BLOOD}
    assert wanted <= set(np.unique(labels))
    base = np.nonzero(labels == TISSUES.LV_BLOOD)[0].max()  # the apex points up, so the base is the lowest row
    columns = {tissue: np.nonzero(labels[base + 1 : base + 5] == tissue)[1] for tissue in wanted}
    cavity = np.nonzero(labels[base - 2] == TISSUES.LV_BLOOD)[0]
    for tissue in (TISSUES.AORTA, TISSUES.LEFT_ATRIUM):  # both open into the cavity
        assert np.intersect1d(columns[tissue], cavity).size > 3
    assert columns[TISSUES.AORTA].mean() > columns[TISSUES.LEFT_ATRIUM].mean()  # the aorta on the septal side


def test_fluid_thrombus_and_a_wide_aorta_are_in_the_picture():
    usual = phantom()
    heart = phantom(
        Targets(156.0, 62.0, 9.5, 160.0, 60.0, aorta_mm=46.0, effusion_mm=10.0),
        dataclasses.replace(infarct(), thrombus=True),
    )
    short = [sax_plane(heart.shape, height, 2.0, 104, 8.0) for height in (30.0, 0.86 * heart.shape.length)]
    assert TISSUES.FLUID in heart.labels(short[0], 0.0)
    assert TISSUES.THROMBUS in heart.labels(short[1], 0.0)
    assert TISSUES.FLUID not in usual.labels(short[0], 0.0)
    above = sax_plane(heart.shape, -45.0, 2.0, 104, 8.0)
    wide, plain = (4.0 * float(np.sum(one.labels(above, 0.0) == TISSUES.AORTA)) for one in (heart, usual))
    assert wide == pytest.approx(np.pi * 23**2, rel=0.25)
    assert plain < 0.7 * wide
    assert heart.truth["effusion"] == heart.truth["aortic_dilation"] == heart.truth["thrombus"] == 1
    assert usual.truth["effusion"] == usual.truth["aortic_dilation"] == usual.truth["thrombus"] == 0


def test_short_and_long_axis_labels_agree_on_their_common_line():
    heart = phantom(disease=infarct())
    axes, origin = heart.shape.pose.axes, heart.shape.pose.origin_mm
    turn = np.deg2rad(-25.0)
    across = np.cos(turn) * axes[0] + np.sin(turn) * axes[1]
    for height in (-20.0, 12.0, 30.0, 55.0):
        start = origin + height * axes[2] - 60 * across
        other = np.cross(across, axes[2])
        in_sax = Plane(start, across, other, 1.0, 1, 120, 1.0)
        in_lax = Plane(start, across, axes[2], 1.0, 1, 120, 1.0)
        tall = Plane(start - 40 * axes[2], across, axes[2], 1.0, 80, 120, 1.0)
        for phase in (0.0, 0.35):
            line = heart.labels(in_sax, phase)[0]
            np.testing.assert_array_equal(line, heart.labels(in_lax, phase)[0])
            crossing = heart.labels(tall, phase)[40]  # the same points, reached by another path of the code
            assert np.mean(line != crossing) < 0.02


def test_four_chamber_plane_shows_four_chambers_and_two_chamber_plane_two():
    heart = phantom()
    chambers = {TISSUES.LV_BLOOD, TISSUES.RV_BLOOD, TISSUES.LEFT_ATRIUM, TISSUES.RIGHT_ATRIUM}
    four = set(np.unique(heart.labels(lax_plane(heart.shape, View.LAX_4CH, 2.0, 104, 8.0), 0.0)))
    assert chambers <= four
    two = heart.labels(lax_plane(heart.shape, View.LAX_2CH, 2.0, 104, 8.0), 0.0)
    counts = {tissue: int(np.sum(two == tissue)) for tissue in chambers}
    assert counts[TISSUES.LV_BLOOD] > 300
    assert counts[TISSUES.LEFT_ATRIUM] > 100
    assert counts[TISSUES.RIGHT_ATRIUM] < 30


def test_short_axis_image_has_right_ventricle_left_and_lung_dark():
    heart = phantom()
    plane = sax_plane(heart.shape, 30.0, 2.0, 104, 8.0)
    labels = heart.labels(plane, 0.0)
    columns = {tissue: np.nonzero(labels == tissue)[1].mean() for tissue in (TISSUES.RV_BLOOD, TISSUES.LV_BLOOD)}
    assert columns[TISSUES.RV_BLOOD] < columns[TISSUES.LV_BLOOD]
    image = heart.render(plane, 0.0)
    blood, wall, lung = (
        float(np.median(image[labels == t])) for t in (TISSUES.LV_BLOOD, TISSUES.LV_WALL, TISSUES.LUNG)
    )
    assert blood > 2 * wall > 4 * lung


def test_akinetic_segments_move_less_and_carry_the_scar():
    heart = phantom(Targets(170.0, 45.0, 9.5, 150.0, 58.0), infarct(0.05, thinning=0.3))
    before, after = wall_profile_mm(heart, 0.0), wall_profile_mm(heart, heart.systole)
    thickening = (after / np.maximum(before, 1) - 1)[1:3]
    sick, well = thickening[:, 20:29].mean(), thickening[:, [46, 47, 0, 1, 2, 3]].mean()  # lateral and septal rays
    assert sick < 0.5 * well
    plane = sax_plane(heart.shape, 35.0, 2.0, 104, 8.0)
    labels = heart.labels(plane, 0.75)
    image = heart.render(plane, 0.75, Sequence.LGE)
    scar, remote, blood = (
        float(np.median(image[labels == t])) for t in (TISSUES.SCAR, TISSUES.LV_WALL, TISSUES.LV_BLOOD)
    )
    assert scar > 1.2 * blood > 2.4 * remote
    assert np.nonzero(labels == TISSUES.SCAR)[1].mean() > np.nonzero(labels == TISSUES.LV_BLOOD)[1].mean()


def test_a_heart_without_scar_shows_none():
    heart = phantom()
    for height in (15.0, 40.0, 65.0):
        assert TISSUES.SCAR not in heart.labels(sax_plane(heart.shape, height, 2.0, 104, 8.0), 0.75)


def test_inner_stretch_reaches_the_volume_it_was_asked_for():
    random = np.random.default_rng(0)
    radius2, ability = random.uniform(300, 700, (20, 32)), random.uniform(0.4, 1.0, (20, 32))
    cells = np.full((20, 32), 0.8)
    full = 0.5 * np.sum(cells * radius2)
    stretch, _ = motion.inner_stretch(radius2, ability, cells, 0.9, 0.6 * full)
    by_hand = sum(0.5 * 0.9 * cells[i, j] * stretch[i, j] ** 2 * radius2[i, j] for i in range(20) for j in range(32))
    assert by_hand == pytest.approx(0.6 * full, rel=1e-9)


def test_the_seventeen_segments_tile_the_wall_once():
    angle = np.linspace(-np.pi, np.pi, 181)[None, :]
    level = np.linspace(0, 1, 60)[:, None]
    total = sum(aha.segment_weight(segment, angle, level) for segment in range(1, 18))
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert sorted(sum(aha.TERRITORIES.values(), ())) == list(range(1, 18))
    with pytest.raises(ValueError, match="1 to 17"):
        aha.segment_weight(18, angle, level)


def test_repeat_studies_keep_the_anatomy_and_change_the_function():
    first, second = (draw_latents(3, 4, study, SHARES) for study in (1, 2))
    assert first.person == second.person
    assert first.disease == second.disease
    assert first.shape_seed == second.shape_seed
    assert first.targets.lvef != second.targets.lvef
    assert second.days_after_first > 0


def test_impossible_requests_are_refused_by_name():
    with pytest.raises(ValueError, match="ABC"):
        draw_latents(1, 0, 1, {"NOR": 0.5, "ABC": 0.5})
    with pytest.raises(ValueError, match="study"):
        draw_latents(1, 0, 0, SHARES)
    plane = sax_plane(phantom().shape, 30.0, 2.0, 64, 8.0)
    with pytest.raises(ValueError, match="samples"):
        phantom().render(plane, 0.0, samples=0)
    with pytest.raises(ValueError, match="other"):
        phantom().render(plane, 0.0, Sequence.OTHER)
    with pytest.raises(ValueError, match="row_dir"):
        dataclasses.replace(plane, row_dir=2 * plane.row_dir)
    with pytest.raises(ValueError, match="rows"):
        dataclasses.replace(plane, rows=0)


def test_centred_plane_has_its_centre_in_the_middle():
    centre = np.array([10.0, -20.0, 5.0])
    plane = centred_plane(centre, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), 1.5, 11, 8.0)
    x, y, z = plane.points(np.zeros(3), np.eye(3))
    np.testing.assert_allclose([x[5, 5], y[5, 5], z[5, 5]], centre, atol=1e-5)
    assert x[0, 1] - x[0, 0] == pytest.approx(1.5, abs=1e-5)
