"""Players for notebooks: a beating heart that plays wherever the notebook is read, and a report as a card.

The animation is WebP made by Pillow, as an HTML image with its data inside: it plays without JavaScript in
JupyterLab, in exported HTML and on code-hosting sites. A live kernel may use `cine_player` (widgets) instead; in an
executed copy (environment variable CMR_RUN set by the runner) that falls back to the animation, because widgets do not
survive without a kernel.
"""

import base64
import html
import io
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from IPython.display import HTML, Markdown
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from cmr_lib.types import Report

Cine = UInt8[np.ndarray, "frames height width"]
Cines = Cine | Mapping[str, Cine]
RUN_VARIABLE = "CMR_RUN"
QUALITY = 80
CAPTION_PX = 18
GAP_PX = 4


def side_by_side(cines: Cines, scale: int = 3) -> list[Image.Image]:
    """Pictures of the animation: cines next to each other, `scale` times enlarged, with their names above.

    Each cine is stretched in time to the longest one, so that all start and end together (a still stands still).
    Raises ValueError for an empty mapping or a cine without frames.
    """
    named = dict(cines) if isinstance(cines, Mapping) else {"": cines}
    if not named or not all(len(frames) for frames in named.values()):
        raise ValueError("A cine needs at least one frame.")
    length = max(len(frames) for frames in named.values())
    top = CAPTION_PX if any(named) else 0
    width = sum(frames.shape[2] * scale + GAP_PX for frames in named.values()) - GAP_PX
    height = top + max(frames.shape[1] for frames in named.values()) * scale
    font = ImageFont.load_default(size=12)
    pictures = []
    for number in range(length):
        picture = Image.new("L", (width, height))
        left = 0
        for name, frames in named.items():
            frame = Image.fromarray(frames[number * len(frames) // length])
            size = (frame.width * scale, frame.height * scale)
            picture.paste(frame.resize(size, Image.Resampling.BICUBIC), (left, top))
            ImageDraw.Draw(picture).text((left + 2, 2), name, fill=255, font=font)
            left += size[0] + GAP_PX
        pictures.append(picture.convert("RGB"))
    return pictures


def webp_bytes(cines: Cines, scale: int = 3, ms_per_frame: int = 60) -> bytes:
    """The animation as WebP, looping for ever; the same frames give the same bytes.

    Neighbouring frames that are equal are stored once with a longer duration.
    """
    pictures = side_by_side(cines, scale)
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": pictures[1:], "duration": ms_per_frame, "loop": 0}
    pictures[0].save(buffer, format="WEBP", lossless=False, quality=QUALITY, method=4, **(more if pictures[1:] else {}))
    return buffer.getvalue()


def cine_webp(cines: Cines, scale: int = 3, ms_per_frame: int = 60, caption: str = "") -> HTML:
    """An animation to show as a cell's result. cines: uint8 frames, or a mapping name → frames, side by side.

    HTML because exported notebooks do not show the image/webp type by itself.
    """
    return _animation(webp_bytes(cines, scale, ms_per_frame), caption)


def _animation(webp: bytes, caption: str) -> HTML:
    data = base64.b64encode(webp).decode("ascii")
    text = html.escape(caption, quote=True)
    below = f"<br><small>{text}</small>" if caption else ""
    return HTML(f'<img src="data:image/webp;base64,{data}" alt="{text or "cine"}">{below}')


def colour_webp(
    frames: list[Float[np.ndarray, "height width 3"]], scale: int = 3, ms_per_frame: int = 60, caption: str = ""
) -> HTML:
    """An animation of colour frames (RGB, 0 to 1), such as a cine tinted by an attention map."""
    pictures = []
    for frame in frames:
        picture = Image.fromarray((np.clip(frame, 0, 1) * 255).astype(np.uint8))
        pictures.append(picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC))
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": pictures[1:], "duration": ms_per_frame, "loop": 0}
    pictures[0].save(buffer, format="WEBP", lossless=False, quality=QUALITY, method=4, **(more if pictures[1:] else {}))
    return _animation(buffer.getvalue(), caption)


def say(text: str) -> Markdown:
    """A sentence with its numbers, as Markdown, for the last line of a cell."""
    return Markdown(text)


def cine_player(cines: Cines, scale: int = 3, ms_per_frame: int = 60, caption: str = "") -> Any:
    """Play button and frame slider in a live kernel; the animation of `cine_webp` in an executed copy."""
    if os.environ.get(RUN_VARIABLE):
        return cine_webp(cines, scale, ms_per_frame, caption)
    import ipywidgets as widgets

    pictures = []
    for picture in side_by_side(cines, scale):
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG")
        pictures.append(buffer.getvalue())
    image = widgets.Image(value=pictures[0], format="png")
    last = len(pictures) - 1
    play = widgets.Play(min=0, max=last, interval=ms_per_frame, repeat=True)
    slider = widgets.IntSlider(min=0, max=last, description="frame")
    widgets.jslink((play, "value"), (slider, "value"))
    slider.observe(lambda change: setattr(image, "value", pictures[change["new"]]), names="value")
    return widgets.VBox([image, widgets.HBox([play, slider]), widgets.Label(caption)])


def sliders(draw: Callable[..., Cines], ranges: Mapping[str, tuple[float, float, float]], scale: int = 2) -> Any:
    """A cine that is drawn anew when a slider moves; in an executed copy, the animation at the starting values.

    `ranges` names the arguments of `draw`, each with lowest, highest and starting value.
    """
    start = {name: first for name, (_, _, first) in ranges.items()}
    if os.environ.get(RUN_VARIABLE):
        return cine_webp(draw(**start), scale, caption=", ".join(f"{name} {value:g}" for name, value in start.items()))
    import ipywidgets as widgets

    knobs = {
        name: widgets.FloatSlider(first, min=low, max=high, description=name, continuous_update=False)
        for name, (low, high, first) in ranges.items()
    }
    image = widgets.Image(value=webp_bytes(draw(**start), scale), format="webp")

    def redraw(_: Any) -> None:
        image.value = webp_bytes(draw(**{name: knob.value for name, knob in knobs.items()}), scale)

    for knob in knobs.values():
        knob.observe(redraw, names="value")
    return widgets.VBox([*knobs.values(), image])


def report_card(report: Report | str, title: str = "", facts: Mapping[str, Any] | None = None) -> HTML:
    """A report (all its sections, or plain text) on a card, with a line of facts. All text is escaped."""
    sections = {"": report} if isinstance(report, str) else vars(report)
    body = "".join(
        f"<p><b>{html.escape(name.capitalize())}</b> {html.escape(text.strip())}</p>"
        for name, text in sections.items()
        if text.strip()
    )
    line = " · ".join(f"{html.escape(str(name))}: {html.escape(str(value))}" for name, value in (facts or {}).items())
    head = f"<h4 style='margin:0'>{html.escape(title)}</h4>" if title else ""
    style = "border:1px solid #bbb;border-radius:6px;padding:8px 12px;max-width:42em;line-height:1.35"
    return HTML(f'<div style="{style}">{head}<small>{line}</small>{body}</div>')
