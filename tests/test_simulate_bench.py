"""The scanner on the bench: each knob does what physics says, one picture from several beats, any inversion time."""

from dataclasses import replace

import numpy as np
import pytest

from cmr_lib import params, project
from cmr_lib.simulate import bench, showcase
from cmr_lib.simulate.anatomy import TISSUES
from cmr_lib.simulate.latents import draw_latents
from cmr_lib.simulate.mess import draw_mess
from cmr_lib.simulate.protocol import draw_exam

BEATS = [900.0, 560.0, 1250.0, 700.0]


@pytest.fixture(scope="module")
def heart():
    return showcase.heart_with(lvef=50.0, scar=0.8)


@pytest.fixture(scope="module")
def plane(heart):
    return bench.middle_plane(heart)


@pytest.fixture(scope="module")
def root():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.find_root(__file__.rpartition("/")[0]))
        yield


# --- the lesson's hospital --------------------------------------------------------------------------------------
def test_lesson_studies_have_all_of_the_mess_or_none(root):
    messy, tidy = (bench.lesson_hospital(1, "x", messy=messy) for messy in (True, False))
    for patient in range(5):
        latents = draw_latents(1, patient, 1, messy.diagnoses)
        whole, none = draw_mess(messy, latents), draw_mess(tidy, latents)
        assert whole.localiser
        assert whole.t1_map
        assert whole.screenshot
        assert whole.liar is not None
        assert whole.spoil
        assert whole.missing is None
        assert not any(
            (none.localiser, none.t1_map, none.screenshot, none.liar, none.spoil, none.duplicate, none.attempt)
        )
    assert (messy.image.sax_slices, messy.full_size.share) == (5, 0)


def test_an_impossible_lesson_names_the_parameter(root):
    with pytest.raises(params.ParameterError, match="sax_slices"):
        bench.lesson_hospital(1, "x", sax_slices=0)


@pytest.mark.parametrize("maker", ["GE", "SIEMENS", "PHILIPS"])
def test_first_patient_was_scanned_by_that_maker_and_has_enhancement(root, maker):
    hospital = bench.lesson_hospital(2304, "x")
    patient = bench.first_patient(hospital, maker)
    latents = draw_latents(2304, patient, 1, hospital.diagnoses)
    assert draw_exam(hospital, latents).vendor.code == maker
    assert latents.disease.lge_pattern != "none"


def test_a_maker_that_nobody_has_is_one_sentence(root):
    with pytest.raises(ValueError, match="'ACME'; SIEMENS, GE or PHILIPS"):
        bench.first_patient(bench.lesson_hospital(1, "x"), "ACME")


# --- tissue and plane -------------------------------------------------------------------------------------------
def test_the_tissue_table_is_of_the_asked_field():
    low, high = bench.tissue_table(1.5), bench.tissue_table(3.0)
    assert (high["T1 (ms)"] > low["T1 (ms)"]).all()
    assert low.loc["muscle"].tolist() == [996, 56, 0.9, 500]
    assert low.loc["scar", "late T1 (ms)"] < low.loc["muscle", "late T1 (ms)"]


def test_blood_area_is_that_of_a_count_by_hand(heart, plane):
    labels = heart.labels(plane, 0.0)
    by_hand = sum(int(value == TISSUES.LV_BLOOD) for value in labels.ravel().tolist()) * 0.2 * 0.2
    assert bench.blood_area_cm2(heart, plane, 0.0) == pytest.approx(by_hand, rel=0.02)
    assert bench.blood_area_cm2(heart, plane, heart.systole) < 0.75 * by_hand


def test_even_pixels_are_far_from_other_tissue():
    labels = np.zeros((9, 9), dtype=np.uint8)
    labels[1:8, 1:8] = 5
    assert np.argwhere(bench.even_pixels(labels, 5, 3)).tolist() == [[4, 4]]
    assert bench.even_pixels(labels, 5, 1).sum() == 25
    assert not bench.even_pixels(labels, 7, 1).any()


# --- several beats ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("interleaved", [False, True])
def test_equal_beats_give_back_their_picture(heart, plane, interleaved):
    picture = heart.render(plane, 0.2)
    again = bench.segmented(np.stack([picture] * 5), interleaved=interleaved)
    np.testing.assert_allclose(again, picture, atol=1e-5)


@pytest.mark.parametrize("interleaved", [False, True])
def test_k_space_is_filled_column_by_column_as_a_naive_loop_does(interleaved):
    beats = np.random.default_rng(1).random((3, 8, 12)).astype(np.float32)
    spectra = [np.fft.fftshift(np.fft.fft2(beat)) for beat in beats]
    whole = np.zeros((8, 12), dtype=complex)
    for column in range(12):
        beat = column % 3 if interleaved else column // 4
        whole[:, column] = spectra[beat][:, column]
    wanted = np.abs(np.fft.ifft2(np.fft.ifftshift(whole)))
    np.testing.assert_allclose(bench.segmented(beats, interleaved=interleaved), wanted, atol=1e-5)


def test_irregular_beats_agree_in_systole_and_part_in_filling(heart, plane):
    exam = bench.settings_of()
    early, late = (bench.beats_at(heart, plane, exam, delay, BEATS) for delay in (200.0, 500.0))
    assert np.abs(early - early[0]).max() < 1e-5
    assert np.abs(late - late[0])[:, 20:60, 20:60].mean() > 0.02


def test_a_delay_that_a_beat_does_not_reach_is_refused(heart, plane):
    with pytest.raises(ValueError, match=r"shortest beat \(560\), got 600"):
        bench.beats_at(heart, plane, bench.settings_of(), 600.0, BEATS)


# --- any inversion time -----------------------------------------------------------------------------------------
def test_late_signals_are_the_formula_on_one_scale():
    """Oracle: the recovery written out for muscle and scar; at its null a tissue is 0, before it negative."""
    for wait in (120.0, 270.0, 600.0):
        seen = bench.late_signals(bench.settings_of(inversion_ms=wait))
        for tissue, t1 in ((TISSUES.LV_WALL, 500), (TISSUES.SCAR, 300)):
            assert seen[tissue] == pytest.approx(1 - 2 * np.exp(-wait / t1) + np.exp(-900 / t1), abs=1e-5)
    usual = bench.late_signals(bench.settings_of())
    assert usual[TISSUES.LV_WALL] == pytest.approx(0, abs=1e-5)
    assert usual[TISSUES.SCAR] > 0.2
    amyloid = bench.late_signals(bench.settings_of(), amyloid=True)
    assert amyloid[TISSUES.LV_WALL] > amyloid[TISSUES.LV_BLOOD] > 0


def test_a_short_inversion_time_turns_magnitude_over_but_not_phase(heart, plane):
    labels = heart.labels(plane, 0.75)
    scar, muscle = (bench.even_pixels(labels, tissue, 1) for tissue in (TISSUES.SCAR, TISSUES.LV_WALL))
    for wait, sign in ((170.0, -1), (270.0, 1)):
        exam = bench.settings_of(inversion_ms=wait, snr=60.0)
        magnitude, signed = bench.late_images(heart, plane, exam, project.rng(1, "late"))
        assert sign * (magnitude[scar].mean() - magnitude[muscle].mean()) > 0.05
        assert signed[scar].mean() - signed[muscle].mean() > 0.1
        np.testing.assert_array_less(np.abs(signed), magnitude + 1e-5)


# --- knobs ------------------------------------------------------------------------------------------------------
def test_each_knob_of_the_scanner_moves_what_it_should():
    usual = bench.scan()
    assert {name: shown.shape for name, shown in usual.items()} == dict.fromkeys(usual, (10, 80, 80))
    clean, measured = (shown.astype(float) for shown in usual.values())
    noisy = bench.scan(snr=5.0)["as measured"].astype(float)
    assert np.abs(noisy - measured).mean() > 10
    assert (bench.scan(snr=5.0)["noiseless"] == usual["noiseless"]).all()
    sharp = np.abs(np.diff(clean, axis=1)).mean()
    assert np.abs(np.diff(bench.scan(thickness_mm=28.0)["noiseless"].astype(float), axis=1)).mean() < 0.95 * sharp
    quiet, coarse = (bench.scan(snr=1000.0, kept=kept)["as measured"].astype(float) for kept in (1.0, 0.25))
    assert np.abs(np.diff(coarse, axis=1)).mean() < 0.8 * np.abs(np.diff(quiet, axis=1)).mean()
    low = bench.scan(flip_deg=15.0)["noiseless"].astype(float)
    assert low[0, 40, 25:45].min() > clean[0, 40, 25:45].min()  # less contrast: the septum is less dark


def test_the_slider_of_the_inversion_time_shows_both_pictures():
    shown = bench.late(270.0)
    assert set(shown) == {"magnitude", "PSIR"}
    assert all(frames.shape == (1, 80, 80) for frames in shown.values())
    assert (bench.late(180.0)["PSIR"] != shown["PSIR"]).any()


def test_a_bench_without_an_inversion_time_nulls_the_muscle_at_any_rate():
    for rr in (700.0, 1100.0):
        exam = bench.settings_of(rr_ms=rr)
        assert exam.late.inversion_ms == pytest.approx(500 * np.log(2 / (1 + np.exp(-rr / 500))))
        assert replace(exam, snr=1.0).cine.rr_ms == rr
