"""Figures of the lessons: each draws, says what it is of, and shows what it was given."""

import dataclasses

import dicom_maker as maker
import numpy as np
import pandas as pd
import pytest
from test_figures import words_of

from cmr_lib.figures import lesson_evaluation, lesson_scanner, lesson_study, style
from cmr_lib.ingest import glance, orientation, studies
from cmr_lib.types import Sequence, View

KEY = b"k" * 32
RNG = np.random.default_rng(0)
IMAGE = RNG.random((20, 24))
X = np.linspace(0, 90, 30)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = maker.write_zip(tmp_path_factory.mktemp("figures") / "one.zip", maker.study(slices=4, phases=6))
    return glance.headers(path, KEY), studies.read_study(path, KEY).stacks


def long_axis(stacks):
    return {one.view.value: one for one in stacks if one.view != View.SAX and one.sequence == Sequence.CINE}


STUDY = {
    "series": lambda table, stacks: lesson_study.series_and_stacks({"a": table, "b": table}, {"a": stacks, "b": []}),
    "views": lambda _, stacks: lesson_study.views(orientation.one_of_each(stacks)),
    "planes": lambda _, stacks: lesson_study.planes_in_space(stacks),
    "times": lambda _, stacks: lesson_study.trigger_times(stacks[0]),
    "beat": lambda _, stacks: lesson_study.beat(stacks[0].pixels[1], 30, stacks[0].trigger_ms[1]),
    "cuts": lambda _, stacks: lesson_study.cuts(
        stacks[0], long_axis(stacks), {"lax_4ch": "lax_4ch", "lax_2ch": "lax_3ch"}
    ),
    "no_cuts": lambda _, stacks: lesson_study.cuts(stacks[0], {}, {}),
}
SCANNER = {
    "curves": lambda: lesson_scanner.curves(X, {"a": np.sin(X), "b": X}, {"chosen": 30.0}, ("x (ms)", "y")),
    "pictures": lambda: lesson_scanner.pictures({"one": IMAGE, "two": IMAGE}, limits=None),
    "tissues": lambda: lesson_scanner.tissues(
        np.eye(20, 24, dtype=np.uint8) * 3, {0: "air", 3: "muscle", 4: "liver"}, IMAGE
    ),
    "line": lambda: lesson_scanner.pictures_and_line({"thin": IMAGE, "thick": IMAGE}, 4, 2.0),
    "k_space": lambda: lesson_scanner.k_space(np.fft.fft2(IMAGE), np.ones_like(IMAGE)),
    "noise": lambda: lesson_scanner.noise({"air": np.abs(X), "blood": X + 300}, {"air": 0.0, "blood": 345.0}, 20.0),
    "gates": lambda: lesson_scanner.gates(X, {"beat of 900 ms": X / 90}, 0.35),
    "beating": lambda: lesson_scanner.beating(np.arange(4) / 4, np.array([4.0, 2.0, 3.0, 4.0]), 1),
    "bars": lambda: lesson_scanner.bars({"one": X[:1], "many": X}, "sum"),
}


@pytest.mark.parametrize("name", STUDY)
def test_figure_of_a_study_says_what_it_is_of(study, name):
    figure = STUDY[name](*study)
    figure.draw_without_rendering()
    assert "synthetic phantom" in words_of(figure)


@pytest.mark.parametrize("name", SCANNER)
def test_figure_of_the_scanner_says_what_it_is_of(name):
    figure = SCANNER[name]()
    figure.draw_without_rendering()
    assert "synthetic phantom" in words_of(figure)


def test_a_real_study_is_not_called_synthetic(study):
    said = words_of(lesson_study.views(study[1], note="a real study"))
    assert "a real study" in said
    assert "synthetic phantom" not in said


def test_bars_of_one_stack_share_a_colour_and_what_was_not_read_is_grey(study):
    figure = STUDY["series"](*study)
    read, unread = ([bar.get_facecolor() for bar in place.patches] for place in figure.axes[:2])
    assert len(read) == len(unread) == 7
    assert len(set(read[:4])) == 1
    assert len(set(read)) == 4
    assert len(set(unread)) == 1
    assert "not used" in words_of(figure)


def test_sides_of_the_patient_stand_at_the_edges(study):
    stack = orientation.main_cine(study[1])
    said = words_of(lesson_study.views([stack]))
    assert set(orientation.edge_letters(stack).values()) <= set(said)


def test_a_name_that_lies_is_bold(study):
    titles = {
        title.get_text(): title.get_fontweight()
        for title in (place._left_title for place in STUDY["cuts"](*study).axes)
    }
    assert titles["lax_2ch\nname says lax_3ch"] == "bold"
    assert titles["lax_4ch\nname says lax_4ch"] == "normal"


def test_the_m_mode_shows_the_line_twice(study):
    stack = orientation.main_cine(study[1])
    shown = lesson_study.beat(stack.pixels[1], 30, stack.trigger_ms[1]).axes[2].images[0].get_array()
    assert (shown[:, :6] == stack.pixels[1][:, 30].T).all()
    assert (shown[:, 6:] == shown[:, :6]).all()


def test_cines_for_the_player_are_small_eight_bit_and_in_order(study):
    stack = orientation.main_cine(study[1])
    big = np.repeat(stack.pixels, 6, axis=1).repeat(4, axis=2).repeat(4, axis=3)
    times = np.repeat(stack.trigger_ms, 6, axis=1)
    played = lesson_study.playable([dataclasses.replace(stack, pixels=big, trigger_ms=times)])["sax"]
    assert played.dtype == np.uint8
    assert played.shape[0] <= lesson_study.PLAYED_FRAMES
    assert max(played.shape[1:]) <= 1.5 * lesson_study.PLAYED_PX
    same = lesson_study.playable([stack])["sax"]
    assert same.shape == stack.pixels.shape[1:]
    np.testing.assert_allclose(
        same[3], np.minimum(stack.pixels[2, 3] / np.percentile(stack.pixels[2], 99.5), 1) * 255, atol=1
    )


def test_pictures_share_one_grey_scale():
    figure = lesson_scanner.pictures({"dark": 0.1 * IMAGE, "bright": IMAGE}, (0.0, 1.0))
    assert {place.images[0].get_clim() for place in figure.axes} == {(0.0, 1.0)}
    apart = lesson_scanner.pictures({"dark": 0.1 * IMAGE, "bright": IMAGE}, limits=None)
    assert len({place.images[0].get_clim() for place in apart.axes}) == 2


def test_only_tissues_that_are_there_and_have_a_name_are_in_the_legend():
    said = words_of(SCANNER["tissues"]())
    assert {"air", "muscle"} <= set(said)
    assert "liver" not in said


def test_the_curve_of_noise_is_a_density():
    line = lesson_scanner.noise({"air": RNG.rayleigh(2.0, 500)}, {"air": 0.0}, 2.0).axes[0].lines[0]
    x, density = line.get_data()
    assert np.trapezoid(density, x) == pytest.approx(1, abs=0.02)
    assert x[density.argmax()] == pytest.approx(2.0, abs=0.1)  # Rayleigh's peak is at sigma


def test_colours_are_those_of_the_house():
    assert lesson_study.LOOKS["sax cine"][0] == style.BLUE


def test_bars_beside_each_other_carry_their_numbers_intervals_and_chance():
    table = pd.DataFrame({"group": ["a", "a", "b"], "way": ["wrong", "right", "wrong"], "value": [0.9, 0.5, 186.0]})
    figure = lesson_evaluation.beside(table.assign(low=[0.8, 0.4, 180.0], high=[1.0, 0.6, 190.0]), "score", chance=0.5)
    figure.draw_without_rendering()
    said = words_of(figure)
    assert {"0.90", "0.50", "186", "chance", "wrong", "right"} <= set(said)
    assert "invented numbers" in " ".join(said)
    heights = [bar.get_height() for bar in figure.axes[0].patches if np.isfinite(bar.get_height())]
    assert sorted(heights) == [0.5, 0.9, 186.0]


def test_histograms_of_luck_share_bins_and_hold_every_draw():
    draws = {"one": RNG.normal(size=200), "two": RNG.normal(2, 1, size=100)}
    figure = lesson_evaluation.luck(draws, ("score", "draws"), marks={"chance": 0.0})
    figure.draw_without_rendering()
    assert {"one", "two", "chance"} <= set(words_of(figure))
    top = [np.ptp(patch.get_xy()[:, 1]) for patch in figure.axes[0].patches]
    assert max(top) <= 200
