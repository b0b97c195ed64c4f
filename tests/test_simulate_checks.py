"""The checks that notebook 01 prints: they agree with the promises, and they notice a heart or a hospital that lies."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from test_simulate_heart import demo, phantom

from cmr_lib import params
from cmr_lib.labels import Diagnosis
from cmr_lib.simulate import checks, surfaces
from cmr_lib.types import View


@pytest.fixture(scope="module")
def settings():
    return params.check("simulate", demo())


def test_full_stacks_measure_what_was_asked_for_and_short_ones_less_exactly(settings):
    errors = checks.check_volumes(settings, range(6))
    assert errors.full_ef_points.abs().max() < 3
    assert errors.full_edv_percent.abs().max() < 5
    assert errors.protocol_edv_percent.abs().mean() > errors.full_edv_percent.abs().mean()


def test_a_heart_that_holds_less_than_it_says_is_noticed(settings):
    heart = phantom()
    honest, _ = checks.disc_errors(heart, checks.full_stack(heart))
    targets = dataclasses.replace(heart.latents.targets, lvedv_ml=1.3 * heart.latents.targets.lvedv_ml)
    heart.latents = dataclasses.replace(heart.latents, targets=targets)
    lying, _ = checks.disc_errors(heart, checks.full_stack(heart))
    assert abs(honest) < 5 < 15 < abs(lying)


def test_muscle_keeps_its_volume_within_three_percent():
    assert checks.muscle_spread(phantom()) < 0.03


def test_planes_of_one_heart_agree_and_planes_of_two_do_not(settings):
    own = checks.crossing(settings, 0, View.LAX_2CH)
    assert own.correlation > 0.9
    other = checks.crossing(settings, 3, View.LAX_2CH)
    assert np.corrcoef(own.lines[0], other.lines[1])[0, 1] < own.correlation - 0.05


def cohort(dependence):
    """Rows of a truth table in which the maker follows the diagnosis to the given share."""
    random = np.random.default_rng(0)
    codes = random.choice([code.value for code in Diagnosis], 600)
    vendor = random.choice(["A", "B"], 600)
    told = random.random(600) < dependence
    vendor[told] = np.where(codes[told] < "I", "A", "B")
    return pd.DataFrame(
        {
            "study_number": 1, "diagnosis": codes, "vendor": vendor, "site": random.choice(["x", "y", "z"], 600),
            "field_strength_t": random.choice([1.5, 3.0], 600), "spacing_mm": random.choice([1.9, 2.0], 600),
            "snr": random.uniform(12, 35, 600), "artefact": random.choice(["none", "ghost"], 600),
            "year": random.integers(2010, 2019, 600), "full_size": (random.random(600) < 0.02).astype(int),
        }
    )  # fmt: skip


def test_a_maker_that_tells_the_diagnosis_is_noticed_and_an_innocent_one_is_not():
    assert checks.nuisance_p(cohort(0.0), permutations=199) > 0.05
    assert checks.nuisance_p(cohort(0.3), permutations=199) < 0.01


def test_surfaces_hold_the_volume_that_the_truth_tells():
    """The cavity's sheet, integrated as rings, against the disc sum of labels."""
    heart = phantom()
    for phase in (0.0, heart.systole):
        found = {surface.name: surface for surface in surfaces.heart_surfaces(heart, phase)}
        cavity = found["left ventricle, cavity"]
        radius2 = np.nan_to_num(cavity.x**2 + cavity.y**2)[:, :-1].mean(axis=1)
        volume = np.pi * np.trapezoid(radius2, cavity.z[:, 0]) / 1000
        wanted = heart.truth["lvedv_ml"] if phase == 0 else heart.truth["lvesv_ml"]
        assert volume == pytest.approx(wanted, rel=0.08)
        assert np.nanmax(found["left atrium"].z) <= heart.frame(phase).base
