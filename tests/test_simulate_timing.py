"""Relaxation and dyssynchrony: told by the order of frames, and by nothing else."""

import dataclasses

import numpy as np
import pytest
from test_simulate_heart import phantom

from cmr_lib import labels
from cmr_lib.simulate import motion
from cmr_lib.simulate.latents import Timing, draw_latents
from cmr_lib.simulate.motion import Beat
from cmr_lib.simulate.phantom import Phantom
from cmr_lib.simulate.protocol import sax_plane

FINE = (np.arange(2000) + 0.5) / 2000
SHARES = {code.value: 0.125 for code in labels.Diagnosis}


def beat(relaxation=0.0, dyssynchrony=0.0, end_systole=0.355):
    return Beat(end_systole, 0.16, -0.05, 0.2, relaxation, dyssynchrony)


def excursions(one, sign):
    """How far one wall has moved at each phase: the septum (+1) or the lateral wall (-1)."""
    lead = np.array([motion.wall_lead(float(phase), one) for phase in FINE[::5]])
    return motion.emptying(FINE[::5], one) * (1 + sign * lead)


@pytest.mark.parametrize("relaxation", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("end_systole", [0.33, 0.39])
def test_emptying_rises_to_one_at_end_systole_and_falls_back(relaxation, end_systole):
    one = beat(relaxation, 0.8, end_systole)
    curve, peak = motion.emptying(FINE, one), motion.end_systole(one)
    assert curve[0] < 0.01
    assert curve[-1] < 0.01
    assert motion.emptying(np.asarray(peak), one) == pytest.approx(1.0, abs=1e-6)
    assert (np.diff(curve[peak > FINE]) > 0).all()
    assert (np.diff(curve[peak < FINE]) < 0).all()


def test_a_slow_and_a_fast_heart_show_the_same_volumes_in_another_order():
    slow, fast = (motion.emptying(FINE, beat(sign)) for sign in (1.0, -1.0))
    np.testing.assert_allclose(np.sort(slow), np.sort(fast), atol=0.005)
    assert np.abs(slow - fast).max() > 0.1
    assert motion.half_filling_share(beat(1.0)) > labels.SLOW_FILLING_SHARE > motion.half_filling_share(beat(0.2))


def test_a_leading_and_a_lagging_septum_show_the_same_walls_in_another_order():
    leads, lags = beat(0.3, 0.8), beat(0.3, -0.8)
    for sign in (1, -1):
        np.testing.assert_allclose(np.sort(excursions(leads, sign)), np.sort(excursions(lags, sign)), atol=0.02)
    assert np.abs(excursions(leads, 1) - excursions(lags, 1)).max() > 0.2
    assert motion.septal_delay_share(leads) == pytest.approx(-motion.septal_delay_share(lags), abs=0.005)
    assert motion.septal_delay_share(leads) > 0.05


def test_the_picture_of_a_heart_follows_from_its_state_not_from_its_direction():
    """Ejection and filling through the same volume draw the same image, valves included; the lead of a wall swaps."""
    heart = Phantom(dataclasses.replace(phantom().latents, timing=Timing(0.0, 0.0)))
    plane = sax_plane(heart.shape, 30.0, 2.5, 64, 8.0)
    going, peak = 0.2, heart.systole
    volume = motion.emptying(np.asarray(going), heart.shape.beat)
    after = np.linspace(peak, 1, 4001)
    coming = float(after[int(np.argmin(np.abs(motion.emptying(after, heart.shape.beat) - volume)))])
    np.testing.assert_allclose(heart.render(plane, going), heart.render(plane, coming), atol=0.02)


def test_delay_in_the_images_has_the_sign_and_size_of_the_truth():
    latents = dataclasses.replace(phantom().latents, timing=Timing(0.0, 0.75))
    heart = Phantom(latents)
    half = []
    for angle in (0.0, np.pi):
        x, y = np.meshgrid(np.linspace(0, 40, 400) * np.cos(angle), [0.0])
        radii = []
        for phase in np.linspace(0, heart.systole, 30):
            line = heart.point_labels(
                x.astype(np.float32), y.astype(np.float32), np.full_like(x, 35.0, np.float32), float(phase)
            )
            radii.append(float(np.sum(np.isin(line, (18, 19)))))
        shares = (radii[0] - np.array(radii)) / (radii[0] - radii[-1])
        half.append(np.linspace(0, heart.systole, 30)[int(np.argmax(shares >= 0.5))])
    delay = (half[1] - half[0]) * 60000 / latents.heart_rate
    assert delay == pytest.approx(heart.truth["septal_delay_ms"], abs=35)
    assert heart.truth["septal_delay_ms"] > labels.DELAY_MS


def test_timing_is_drawn_without_looking_at_the_diagnosis():
    drawn = [draw_latents(5, patient, 1, SHARES) for patient in range(800)]
    slow = np.array([item.timing.relaxation > 0.6 for item in drawn])
    leads = np.array([abs(item.timing.dyssynchrony) > 0.4 for item in drawn])
    assert slow.mean() == pytest.approx(0.25, abs=0.05)
    assert leads.mean() == pytest.approx(0.25, abs=0.05)
    for code in SHARES:
        mine = np.array([item.disease.diagnosis == code for item in drawn])
        assert abs(slow[mine].mean() - 0.25) < 0.15
        assert abs(leads[mine].mean() - 0.25) < 0.15


def test_an_impossible_end_systole_is_refused():
    with pytest.raises(ValueError, match="end_systole"):
        motion.emptying(FINE, beat(end_systole=0.9))
