"""A cine under one's fingers: play, phase, window, views side by side; and a heart drawn anew by sliders."""

import html
import io
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import UInt8

from cmr_lib.view.animation import Cine, Cines, cine_webp, moment, mosaic, named_cines, webp_bytes
from cmr_lib.view.live import answering, is_live, notice

MOST_VIEWS = 6  # side by side at the start; more by choice
WHITE = 255
NO_VIEW = "No view is chosen: choose one or more in the list (with Ctrl or Shift for several)."
OWN_SIZE = {"align_self": "flex-start", "max_width": "100%"}  # a box would stretch it to its own width
STILL = "One frame only: there is nothing to play."


def windowed(frame: UInt8[np.ndarray, "_ _"], low: int, high: int) -> UInt8[np.ndarray, "_ _"]:
    """Grey levels from `low` (black) to `high` (white), the rest clipped: the window of a radiologist's screen."""
    stretched = (frame.astype(np.float32) - low) * (WHITE / max(1, high - low))
    return np.clip(np.round(stretched), 0, WHITE).astype(np.uint8)


def cine_player(cines: Cines, scale: int = 3, ms_per_frame: int = 60, caption: str = "") -> Any:
    """Play button, phase and window sliders and a list of views in a live kernel (`CinePlayer`).

    In an executed copy: the animation of `cine_webp`.
    Raises ValueError for an empty mapping or a cine without frames.
    """
    named = named_cines(cines)
    if is_live():
        return CinePlayer(named, scale, ms_per_frame, caption).box
    first = dict(list(named.items())[:MOST_VIEWS])
    return cine_webp(first, scale, ms_per_frame, caption)


class CinePlayer:
    """The widgets of `cine_player`: `.box` to show, `.load` to give it other cines."""

    def __init__(self, named: Mapping[str, Cine], scale: int, ms_per_frame: int, caption: str) -> None:
        import ipywidgets as widgets

        self.scale = scale
        self.image, self.notice = widgets.Image(format="png", layout=OWN_SIZE), notice()
        self.play = widgets.Play(interval=ms_per_frame, repeat=True)
        self.phase = widgets.IntSlider(description="phase", layout={"width": "22em"})
        self.window = widgets.IntRangeSlider(
            value=(0, WHITE), max=WHITE, min=0, description="window", layout={"width": "22em"}
        )
        self.views = widgets.SelectMultiple(description="views", layout={"width": "18em"})
        self.caption = widgets.HTML()
        widgets.jslink((self.play, "value"), (self.phase, "value"))
        for knob in (self.phase, self.window, self.views):
            knob.observe(self._changed, names="value")
        knobs = [self.play, widgets.VBox([self.phase, self.window]), self.views]
        below = widgets.HBox(knobs, layout={"align_items": "center"})
        self.box = widgets.VBox([self.image, self.caption, below, self.notice])
        self.load(named, caption)

    def load(self, named: Mapping[str, Cine], caption: str = "") -> None:
        """Show other cines from their first frame on."""
        self.named = named_cines(named)
        self.moment = lru_cache(maxsize=256)(self._picture)  # a beat that plays round and round is drawn once
        first = tuple(self.named)[:MOST_VIEWS]
        with self.box.hold_sync():
            self.views.options = tuple(self.named)
            self.views.rows = min(8, len(self.named))
            self.views.layout.display = None if len(self.named) > 1 else "none"
            self.caption.value = f"<small>{html.escape(caption)}</small>"
            self.phase.value = self.play.value = 0
            self.views.value = first
        self._draw()

    def _changed(self, _: Any) -> None:
        self._draw()

    def _draw(self) -> None:
        answering(self.notice, self._drawn)

    def _drawn(self) -> str:
        """Draw the chosen views at this phase and window; returns what there is to say of them."""
        chosen = tuple(self.views.value)
        if not chosen:
            return NO_VIEW
        length = max(len(self.named[name]) for name in chosen)
        self.phase.max = self.play.max = max(1, length - 1)
        self.phase.disabled = self.play.disabled = length == 1
        self.image.value = self.moment(chosen, min(self.phase.value, length - 1), length, *self.window.value)
        left_out = len(self.named) - len(chosen)
        if length == 1:
            return STILL
        return f"{len(chosen)} of {len(self.named)} views are shown; choose others in the list." if left_out else ""

    def _picture(self, chosen: tuple[str, ...], number: int, length: int, low: int, high: int) -> bytes:
        frames = moment({name: self.named[name] for name in chosen}, number, length)
        names = {name: windowed(frame, low, high) for name, frame in frames.items()}
        buffer = io.BytesIO()
        mosaic(names, self.scale).save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()


def sliders(draw: Callable[..., Cines], ranges: Mapping[str, tuple[float, float, float]], scale: int = 2) -> Any:
    """A cine that is drawn anew when a slider moves; in an executed copy, the animation at the starting values.

    `ranges` names the arguments of `draw`, each with lowest, highest and starting value. Where `draw` refuses values
    (ValueError), its sentence stands below the picture, which stays as it was.
    """
    start = {name: first for name, (_, _, first) in ranges.items()}
    if not is_live():
        return cine_webp(draw(**start), scale, caption=", ".join(f"{name} {value:g}" for name, value in start.items()))
    import ipywidgets as widgets

    knobs = {
        name: widgets.FloatSlider(
            first, min=low, max=high, description=name, continuous_update=False,
            style={"description_width": "9em"}, layout={"width": "28em"},
        )
        for name, (low, high, first) in ranges.items()
    }  # fmt: skip
    image, line = widgets.Image(value=webp_bytes(draw(**start), scale), format="webp", layout=OWN_SIZE), notice()

    def redraw(_: Any) -> None:
        answering(line, lambda: image.set_trait("value", webp_bytes(draw(**_values(knobs)), scale)))

    for knob in knobs.values():
        knob.observe(redraw, names="value")
    return widgets.VBox([*knobs.values(), image, line])


def _values(knobs: Mapping[str, Any]) -> dict[str, float]:
    return {name: knob.value for name, knob in knobs.items()}
