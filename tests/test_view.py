"""Players: right number of frames, the same bytes twice, text escaped, widgets only in a live kernel."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from cmr_lib import view
from cmr_lib.types import Report


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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ipywidgets without a running kernel
def test_the_slider_changes_the_picture_in_a_live_kernel(beating, monkeypatch):
    monkeypatch.delenv(view.RUN_VARIABLE, raising=False)
    player = view.cine_player(beating)
    image, (play, slider) = player.children[0], player.children[1].children
    first = image.value
    slider.value = 4
    assert image.value != first
    assert (play.max, slider.max) == (8, 8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ipywidgets without a running kernel
def test_a_slider_draws_the_heart_anew(monkeypatch):
    monkeypatch.delenv(view.RUN_VARIABLE, raising=False)
    bench = view.sliders(lambda lvef: np.full((2, 8, 8), round(lvef), dtype=np.uint8), {"lvef": (10.0, 80.0, 60.0)})
    knob, image = bench.children
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
