"""Signal and scanner against oracles: a Bloch simulation step by step, the Rician law, hand-made k-space."""

import dataclasses

import numpy as np
import pytest
from test_simulate_heart import demo, infarct, phantom

from cmr_lib import params
from cmr_lib.labels import Diagnosis
from cmr_lib.simulate import scanner
from cmr_lib.simulate.anatomy import TISSUES
from cmr_lib.simulate.diseases import Disease
from cmr_lib.simulate.latents import draw_latents
from cmr_lib.simulate.layers import heart_layers
from cmr_lib.simulate.phantom import Phantom, SliceRenderer, default_contrast, paint
from cmr_lib.simulate.protocol import Shot, draw_exam, lax_plane, plan_study, sax_plane
from cmr_lib.simulate.signal import (
    RELAXATION,
    Contrast,
    bssfp,
    inversion_recovery,
    nulling_time,
    off_resonance,
    tissue_signals,
)
from cmr_lib.simulate.thorax import thorax_layers
from cmr_lib.types import Sequence, View

CONTRAST = Contrast(3.4, 1.7, 55.0, 290.0, 900.0, 1.5, 1.0)
SHARES = {code.value: 0.125 for code in Diagnosis}


@pytest.fixture(scope="module")
def settings():
    return params.check("simulate", demo())


def exam_of(settings, **changes):
    return dataclasses.replace(draw_exam(settings, phantom().latents), **({"artefact": "none"} | changes))


def shot_of(heart, plane, view=View.SAX, sequence=Sequence.CINE, phases=(0.0,)):
    return Shot(view, sequence, 0, plane, phases, np.zeros(3), 60000 / heart.latents.heart_rate)


def bloch(t1, t2, contrast, hertz=0.0, pulses=3000):
    """Transverse magnetisation at the echo after many alternating pulses, one at a time."""
    e1, e2 = np.exp(-contrast.repetition_ms / t1), np.exp(-contrast.repetition_ms / t2)
    turn = 2e-3 * np.pi * hertz * contrast.repetition_ms
    rotate = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    m = np.array([0.0, 0.0, 1.0])
    for pulse in range(pulses):
        flip = np.deg2rad(contrast.flip_deg) * (1 if pulse % 2 else -1)
        c, s = np.cos(flip), np.sin(flip)
        m = np.array([[1, 0, 0], [0, c, s], [0, -s, c]]) @ m
        echo = np.hypot(m[0], m[1])
        m = np.diag([e2, e2, e1]) @ (rotate @ m) + np.array([0, 0, 1 - e1])
    return echo


@pytest.mark.parametrize("tissue", [TISSUES.LV_WALL, TISSUES.LV_BLOOD, TISSUES.FAT])
def test_steady_state_is_what_many_pulses_lead_to(tissue):
    values = RELAXATION[tissue]
    t1, t2 = np.float32([values.t1_15]), np.float32([values.t2_15])
    closed = bssfp(t1, t2, np.float32([1.0]), CONTRAST)[0]
    stepped = bloch(values.t1_15, values.t2_15, CONTRAST) * np.exp(-CONTRAST.echo_ms / values.t2_15)
    assert closed == pytest.approx(stepped, rel=0.01)


@pytest.mark.parametrize("hertz", [0.0, 60.0, 130.0, 147.0])
def test_off_resonance_darkens_as_many_pulses_do(hertz):
    muscle = RELAXATION[TISSUES.LV_WALL]
    stepped = bloch(muscle.t1_15, muscle.t2_15, CONTRAST, hertz) / bloch(muscle.t1_15, muscle.t2_15, CONTRAST)
    assert off_resonance(np.float32([hertz]), CONTRAST)[0] == pytest.approx(stepped, abs=0.02)


def test_inversion_recovery_is_what_many_beats_lead_to():
    t1 = 430.0
    m = 1.0
    for _ in range(60):
        at_reading = 1 - (1 + m) * np.exp(-CONTRAST.inversion_ms / t1)  # inverted, then recovering until the read-out
        m = 1 - np.exp(-(CONTRAST.rr_ms - CONTRAST.inversion_ms) / t1)  # which leaves nothing
    found = inversion_recovery(np.float32([t1]), np.float32([1.0]), CONTRAST)[0]
    assert found == pytest.approx(at_reading, abs=1e-3)
    null = dataclasses.replace(CONTRAST, inversion_ms=nulling_time(t1, CONTRAST.rr_ms))
    assert inversion_recovery(np.float32([t1]), np.float32([1.0]), null)[0] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("field", [1.5, 3.0])
def test_blood_is_two_to_three_times_as_bright_as_muscle_in_a_cine(field):
    signals = tissue_signals(Sequence.CINE, dataclasses.replace(CONTRAST, field_t=field))
    assert 1.9 < signals[TISSUES.LV_BLOOD] / signals[TISSUES.LV_WALL] < 3.2
    assert signals[TISSUES.SCAR] == signals[TISSUES.LV_WALL]  # a cine is blind to scar
    assert signals[TISSUES.FLUID] > signals[TISSUES.LV_BLOOD] > signals[TISSUES.LUNG]


def test_late_enhancement_shows_scar_bright_muscle_black_thrombus_dark():
    contrast = dataclasses.replace(CONTRAST, inversion_ms=nulling_time(500.0, CONTRAST.rr_ms))
    signals = tissue_signals(Sequence.LGE, contrast)
    assert signals[TISSUES.SCAR] == 1
    assert abs(signals[TISSUES.LV_WALL]) < 0.01
    assert 0.5 < signals[TISSUES.LV_BLOOD] < 0.9
    assert signals[TISSUES.THROMBUS] < -0.3  # negative in phase-sensitive images
    amyloid = tissue_signals(Sequence.LGE, contrast, amyloid=True)
    assert amyloid[TISSUES.LV_BLOOD] < amyloid[TISSUES.LV_WALL]  # muscle nulls before blood


def test_phase_sensitive_image_keeps_the_sign_that_a_magnitude_loses(settings):
    heart = phantom(disease=dataclasses.replace(infarct(), thrombus=True))
    plane = sax_plane(heart.shape, 0.86 * heart.shape.length, 2.0, 104, 8.0)
    shot = shot_of(heart, plane, sequence=Sequence.LGE, phases=(0.75,))
    exam = exam_of(settings, snr=60.0)
    magnitude, phase = scanner.image_late(heart, shot, exam, np.random.default_rng(0))
    clot = heart.labels(plane, 0.75) == TISSUES.THROMBUS
    assert clot.sum() > 15
    assert np.median(phase[0][clot]) < -0.1 < 0.1 < np.median(magnitude[0][clot])
    np.testing.assert_allclose(np.abs(phase).clip(max=magnitude.max()), np.abs(phase))
    assert (magnitude >= np.abs(phase) - 1e-5).all()


def test_a_cropped_k_space_keeps_the_middle_and_loses_the_rest():
    random = np.random.default_rng(0)
    clean = random.uniform(0, 1, (1, 48, 48)).astype(np.float32)
    found = np.fft.fft2(scanner.measure(clean, 1e-9, (1.0, 0.5), random))[0]
    wanted = np.fft.fft2(clean)[0]
    np.testing.assert_allclose(found[:18, :8], wanted[:18, :8], atol=1e-3)
    assert np.abs(found[:, 20:28]).max() < 1e-3 * np.abs(wanted[:, 20:28]).max()


def test_ghost_comes_back_half_a_field_of_view_away(settings):
    heart = phantom()
    shot = shot_of(heart, sax_plane(heart.shape, 30.0, 2.0, 104, 8.0))
    plain, ghost = (
        scanner.image_shot(
            heart, shot, exam_of(settings, artefact=name, snr=1e6, kept=(1.0, 1.0)), np.random.default_rng(0)
        )
        for name in ("none", "ghost")
    )
    np.testing.assert_allclose(ghost, plain + scanner.GHOST_SHARE * np.roll(plain, 52, axis=2), atol=0.02)


def test_bands_darken_a_three_tesla_cine_and_spare_late_enhancement(settings):
    heart = phantom()
    plane = lax_plane(heart.shape, View.LAX_4CH, 2.0, 104, 8.0)
    exam = exam_of(settings, field_t=3.0, artefact="banding", cine=dataclasses.replace(CONTRAST, field_t=3.0))
    darkening = scanner.bands(plane, heart.shape.pose.origin_mm, exam)
    assert darkening.min() < 0.5
    assert np.median(darkening) > 0.75
    late = shot_of(heart, plane, View.LAX_4CH, Sequence.LGE, (0.75,))
    spared = [
        scanner.image_shot(heart, late, dataclasses.replace(exam, artefact=name), np.random.default_rng(1))
        for name in ("none", "banding")
    ]
    np.testing.assert_array_equal(*spared)


def test_a_missed_gate_mixes_neighbouring_frames(settings):
    heart = phantom()
    shot = shot_of(heart, sax_plane(heart.shape, 30.0, 2.0, 104, 8.0), phases=tuple(k / 10 for k in range(10)))
    sharp, mixed = (
        scanner.image_shot(heart, shot, exam_of(settings, artefact=name, snr=1e6), np.random.default_rng(0))
        for name in ("none", "gating")
    )
    assert np.abs(np.diff(mixed, axis=0)).mean() < 0.8 * np.abs(np.diff(sharp, axis=0)).mean()


def test_a_longer_beat_lengthens_diastole_and_leaves_systole(settings):
    systole = 0.36
    assert scanner.heart_phase(systole / 1.2, 1.2, systole) == pytest.approx(systole, abs=0.01)
    assert scanner.heart_phase(0.15, 1.2, systole) == pytest.approx(0.18, abs=0.01)
    assert scanner.heart_phase(0.9, 1.2, systole) < 0.91
    same = [scanner.heart_phase(k / 10, 1.0, systole) for k in range(10)]
    np.testing.assert_allclose(same, np.arange(10) / 10, atol=0.005)


def test_brightness_differs_between_makers_sites_and_fields_not_between_diseases(settings):
    exams = [draw_exam(settings, draw_latents(3, patient, 1, SHARES)) for patient in range(200)]
    assert {exam.vendor.code for exam in exams} == {"SIEMENS", "GE", "PHILIPS"}
    assert {exam.field_t for exam in exams} == {1.5, 3.0}
    assert {exam.artefact for exam in exams} == {"none", "ghost", "banding", "gating"}
    assert np.mean([exam.artefact != "none" for exam in exams]) == pytest.approx(settings.mess.artefact, abs=0.06)


def test_demo_study_holds_at_most_110_images_of_at_most_112_pixels(settings):
    for patient in range(40):
        latents = draw_latents(settings.seed, patient, 1, settings.diagnoses)
        shots = plan_study(
            settings, latents, phantom(disease=Disease(Diagnosis.NOR)).shape, draw_exam(settings, latents)
        )
        if max(shot.plane.rows for shot in shots) > 112:  # of the full-size sample
            assert max(len(shot.phases) for shot in shots) >= 20
            continue
        assert sum(len(shot.phases) for shot in shots) <= 110
        views = {shot.view for shot in shots if shot.sequence is Sequence.CINE}
        assert views == {View.SAX, View.LAX_4CH, View.LAX_2CH, View.LAX_3CH}


def test_thin_slices_solved_together_give_the_picture_of_each_alone():
    """Bit for bit, at the base (where only some reach the valve plane), in the middle and along the axis."""
    heart = Phantom(draw_latents(11, 3, 1, {code.value: 0.125 for code in Diagnosis}))
    signals = heart.signals(Sequence.CINE, default_contrast())
    for plane in (
        sax_plane(heart.shape, 13.0, 2.0, 64, 8.0),
        sax_plane(heart.shape, 40.0, 2.0, 64, 8.0),
        lax_plane(heart.shape, View.LAX_4CH, 2.0, 64, 8.0),
    ):
        together = SliceRenderer(heart, plane, 3)
        frame, texture = heart.frame(0.3), together.texture
        total = np.zeros((64, 64), dtype=np.float32)
        for thin, weight in zip(together.thin, together.weights, strict=True):
            image = np.zeros((64, 64), dtype=np.float32)
            paint(image, list(thorax_layers(heart.thorax, *thin.points(np.zeros(3), np.eye(3)))), signals, 2.0)
            rays = heart.rays(thin.cropped(*together.box))
            image[together.box] = paint(
                image[together.box].copy(), list(heart_layers(frame, rays, False)), signals, 2.0
            )
            total += image * weight
        np.testing.assert_array_equal(together.image(0.3, signals, False), total * texture)
