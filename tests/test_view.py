"""Players: right number of frames, the same bytes twice, text escaped, widgets only in a live kernel."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from cmr_lib import view
from cmr_lib.types import Report
from cmr_lib.view.player import CinePlayer, windowed

KERNELLESS = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ipywidgets without a running kernel


@pytest.fixture
def beating():
    """A bright disc that shrinks: every frame differs from its neighbours."""
    y, x = np.mgrid[-1:1:24j, -1:1:32j]
    radius = np.linspace(0.9, 0.2, 9)
    return (200 * (np.hypot(y, x) < radius[:, None, None])).astype(np.uint8)


def opened(data):
    return Image.open(io.BytesIO(data))


def test_the_animation_has_every_frame_and_loops_for_ever(beating):
    picture = opened(view.webp_bytes(beating, scale=2, ms_per_frame=70))
    assert picture.n_frames == 9
    assert picture.size == (64, 48)
    assert picture.info["loop"] == 0
    durations = []
    for frame in range(9):
        picture.seek(frame)
        picture.load()
        durations.append(picture.info["duration"])
    assert durations == [70] * 9


def test_the_animation_shows_the_frames_in_order(beating):
    picture = opened(view.webp_bytes(beating, scale=1))
    for number in range(9):
        picture.seek(number)
        shown = np.asarray(picture.convert("L"), dtype=float)
        errors = [np.abs(shown - frame).mean() for frame in beating.astype(float)]
        assert errors[number] == min(errors)


def test_equal_neighbours_are_stored_once_and_shown_as_long(beating):
    picture = opened(view.webp_bytes(np.repeat(beating[:2], 2, axis=0), ms_per_frame=50))
    picture.load()
    assert picture.n_frames == 2
    assert picture.info["duration"] == 100


def test_the_same_frames_give_the_same_bytes(beating):
    assert view.webp_bytes(beating) == view.webp_bytes(beating.copy())


def test_named_cines_stand_side_by_side_with_a_caption(beating):
    pictures = view.side_by_side({"SAX": beating, "LGE": beating[:1]}, scale=2)
    assert len(pictures) == 9
    assert pictures[0].size == (64 + view.GAP_PX + 64, 48 + view.CAPTION_PX)
    right = [np.asarray(picture)[:, 64 + view.GAP_PX :] for picture in pictures]
    assert all((other == right[0]).all() for other in right)  # a still stands still
    assert np.asarray(pictures[0])[: view.CAPTION_PX].max() > 100


def test_a_still_is_a_plain_picture(beating):
    assert getattr(opened(view.webp_bytes(beating[:1])), "n_frames", 1) == 1


def test_a_cine_without_frames_is_refused(beating):
    with pytest.raises(ValueError, match="at least one frame"):
        view.webp_bytes(beating[:0])
    with pytest.raises(ValueError, match="at least one frame"):
        view.webp_bytes({})


def test_the_cell_shows_an_image_with_its_data_inside(beating):
    shown = view.cine_webp(beating, caption="<b>one & two</b>")
    data = re.search(r'src="data:image/webp;base64,([^"]+)"', shown.data)[1]
    assert base64.b64decode(data) == view.webp_bytes(beating)
    assert "&lt;b&gt;one &amp; two&lt;/b&gt;" in shown.data
    assert "<b>one" not in shown.data


def test_the_player_falls_back_to_the_animation_in_a_run(beating, monkeypatch):
    monkeypatch.setenv(view.RUN_VARIABLE, "1")
    assert view.cine_player(beating).data == view.cine_webp(beating).data


@pytest.fixture
def live(monkeypatch):
    """As in JupyterLab: no runner."""
    monkeypatch.delenv(view.RUN_VARIABLE, raising=False)


def shown(player):
    return np.asarray(opened(player.image.value).convert("L"), dtype=float)


@KERNELLESS
def test_phase_window_and_views_change_the_picture(beating, live):
    player = CinePlayer({"SAX": beating, "4CH": beating[::-1]}, 1, 60, "")
    first = shown(player)
    assert first.shape == (24 + view.CAPTION_PX, 32 + view.GAP_PX + 32)
    player.phase.value = 4
    later = shown(player)
    np.testing.assert_array_equal(later[view.CAPTION_PX :, :32], beating[4])
    np.testing.assert_array_equal(later[view.CAPTION_PX :, 36:], beating[::-1][4])
    player.window.value = (0, 100)  # 200 is above the window's top: white
    assert shown(player)[view.CAPTION_PX :].max() == 255
    player.views.value = ("4CH",)
    assert shown(player).shape[1] == 32
    assert "1 of 2 views" in player.notice.value
    assert (player.play.max, player.phase.max) == (8, 8)


def test_the_window_is_a_clipped_ramp():
    frame = np.array([[0, 50, 100, 150, 255]], dtype=np.uint8)
    assert windowed(frame, 50, 150).tolist() == [[0, 0, 128, 255, 255]]
    assert windowed(frame, 0, 255).tolist() == frame.tolist()
    assert windowed(frame, 100, 100).tolist() == [[0, 0, 0, 255, 255]]  # no division by nothing


@KERNELLESS
def test_no_view_chosen_is_a_sentence_and_the_picture_stays(beating, live):
    player = CinePlayer({"SAX": beating, "4CH": beating}, 1, 60, "")
    before = player.image.value
    player.views.value = ()
    assert "No view is chosen" in player.notice.value
    assert player.image.value == before
    player.views.value = ("SAX",)
    assert "No view is chosen" not in player.notice.value


@KERNELLESS
def test_the_caption_of_the_player_is_escaped(beating, live):
    player = CinePlayer({"SAX": beating}, 1, 60, "<b>one & two</b>")
    assert player.caption.value == "<small>&lt;b&gt;one &amp; two&lt;/b&gt;</small>"
    player.load({"SAX": beating}, "<i>other</i>")
    assert player.caption.value == "<small>&lt;i&gt;other&lt;/i&gt;</small>"


@KERNELLESS
def test_a_study_of_one_frame_says_so_and_cannot_be_played(beating, live):
    player = CinePlayer({"LGE": beating[:1]}, 1, 60, "")
    assert "One frame only" in player.notice.value
    assert player.play.disabled
    player.load({"SAX": beating})
    assert not player.play.disabled
    assert player.phase.max == 8


@KERNELLESS
def test_forty_views_open_with_six_and_all_fit_on_the_page(beating, live):
    player = CinePlayer({f"view {i}": beating for i in range(40)}, 2, 60, "")
    assert len(player.views.value) == 6
    assert "6 of 40 views" in player.notice.value
    player.views.value = player.views.options
    height, width = shown(player).shape
    assert width <= 1000
    per_row = (1000 + view.GAP_PX) // (64 + view.GAP_PX)
    rows = -(-40 // per_row)
    assert height == rows * (48 + view.CAPTION_PX) + (rows - 1) * view.GAP_PX


def test_an_executed_copy_has_the_animation_of_the_first_six(beating, monkeypatch):
    monkeypatch.setenv(view.RUN_VARIABLE, "1")
    forty = view.cine_player({f"view {i}": beating for i in range(40)}, scale=1).data
    assert forty == view.cine_webp({f"view {i}": beating for i in range(6)}, scale=1).data


@KERNELLESS
def test_values_that_cannot_be_drawn_are_a_sentence(live):
    def draw(lvef):
        if lvef > 70:
            raise ValueError("lvef 5–70 % is wanted, got more.")
        return np.full((2, 8, 8), round(lvef), dtype=np.uint8)

    bench = view.sliders(draw, {"lvef": (10.0, 80.0, 60.0)})
    knob, image, line = bench.children
    before = image.value
    knob.value = 75.0
    assert "is wanted, got more" in line.value
    assert image.value == before
    knob.value = 20.0
    assert line.value == ""
    assert image.value != before


@KERNELLESS
def test_a_slider_draws_the_heart_anew(live):
    bench = view.sliders(lambda lvef: np.full((2, 8, 8), round(lvef), dtype=np.uint8), {"lvef": (10.0, 80.0, 60.0)})
    knob, image, _ = bench.children
    first = image.value
    knob.value = 20.0
    assert image.value != first
    assert (knob.min, knob.max) == (10.0, 80.0)


def test_sliders_fall_back_to_the_animation_in_a_run(monkeypatch):
    monkeypatch.setenv(view.RUN_VARIABLE, "1")
    shown = view.sliders(lambda lvef: np.full((2, 8, 8), round(lvef), dtype=np.uint8), {"lvef": (10.0, 80.0, 60.0)})
    assert "lvef 60" in shown.data


def test_a_report_card_escapes_every_text():
    card = view.report_card(Report("<script>x</script>", "A & B", indication=" "), "<T>", {"<k>": "<v>"}).data
    assert "<script>" not in card
    assert "A &amp; B" in card
    assert "&lt;T&gt;" in card
    assert "&lt;k&gt;: &lt;v&gt;" in card
    assert "Indication" not in card
    assert "plain &lt; text" in view.report_card("plain < text").data
