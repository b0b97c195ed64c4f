"""The phantom's heart: volumes, views that agree, contraction that keeps the muscle."""

import dataclasses

import numpy as np
import pytest

from cmr_lib.labels import Diagnosis
from cmr_lib.simulate import aha, motion
from cmr_lib.simulate.anatomy import TISSUES
from cmr_lib.simulate.latents import Disease, Latents, Person, Targets, draw_latents
from cmr_lib.simulate.phantom import Phantom
from cmr_lib.simulate.plane import Plane, centred_plane
from cmr_lib.simulate.protocol import lax_plane, sax_plane
from cmr_lib.simulate.truth import volumes_ml, wall_profile_mm
from cmr_lib.types import Sequence, View

MAN = Person("M", 50, 178.0, 80.0)
SHARES = {"NOR": 0.3, "DCM": 0.19, "HCM": 0.17, "ICM": 0.22, "ARV": 0.12}


def phantom(targets=None, disease=None, seed=5):
    targets = targets or Targets(156.0, 62.0, 9.5, 160.0, 60.0)
    return Phantom(Latents(0, 1, MAN, disease or Disease(Diagnosis.NOR), targets, 66.0, seed))


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
    muscle = [volumes_ml(heart, phase, 2.5, 2.0)["muscle"] for phase in (0.0, 0.15, heart.systole, 0.6, 0.9)]
    assert max(muscle) / min(muscle) < 1.05


def test_cavity_is_largest_at_end_diastole_and_smallest_at_end_systole():
    heart = phantom()
    volumes = [volumes_ml(heart, k / 10, 4.0, 2.5)["lv"] for k in range(10)]
    assert int(np.argmax(volumes)) == 0
    assert int(np.argmin(volumes)) == round(heart.systole * 10)
    assert 0.3 <= heart.systole <= 0.4


def test_maximal_wall_thickness_is_the_target():
    assert phantom().truth["wall_mm"] == pytest.approx(9.5, abs=1.0)
    thick = phantom(Targets(140.0, 66.0, 20.0, 140.0, 60.0), Disease(Diagnosis.HCM, hypertrophy="septal"))
    assert thick.truth["wall_mm"] == pytest.approx(20.0, abs=2.0)
    profile = wall_profile_mm(thick)
    septum, lateral = profile[2, [47, 0, 1, 2, 3]].mean(), profile[2, 22:27].mean()
    assert septum > 1.3 * lateral


def test_short_and_long_axis_labels_agree_on_their_common_line():
    heart = phantom(disease=infarct())
    axes, origin = heart.shape.pose.axes, heart.shape.pose.origin_mm
    turn = np.deg2rad(-20.0)
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
    assert scar > 1.4 * blood > 1.4 * remote
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


def test_emptying_starts_and_ends_at_zero_and_peaks_at_end_systole():
    phases = np.linspace(0, 1, 201)
    curve = motion.emptying(phases, 0.35)
    assert curve[0] == 0
    assert curve[-1] == 0
    assert phases[int(np.argmax(curve))] == pytest.approx(0.35, abs=0.01)
    with pytest.raises(ValueError, match="end_systole"):
        motion.emptying(phases, 0.9)


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


def test_no_single_number_separates_the_diagnoses():
    drawn = [draw_latents(1, patient, 1, SHARES) for patient in range(400)]
    by = {code: [item for item in drawn if item.disease.diagnosis == code] for code in SHARES}
    assert min(len(items) for items in by.values()) > 20
    lvef = {code: [item.targets.lvef for item in items] for code, items in by.items()}
    assert max(lvef["ICM"]) > min(lvef["NOR"])
    assert max(lvef["DCM"]) > min(lvef["ICM"])
    assert {item.disease.lge_pattern for item in by["NOR"]} == {"none"}
    scarred = np.mean([item.disease.lge_pattern != "none" for item in by["DCM"]])
    assert 0.15 < scarred < 0.55


def test_impossible_requests_are_refused_by_name():
    with pytest.raises(ValueError, match="AMY"):
        draw_latents(1, 0, 1, {"NOR": 0.5, "AMY": 0.5})
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
