"""Pictures that play without a kernel: animated WebP, as HTML with their data inside.

The animation is made by Pillow and plays without JavaScript in JupyterLab, in exported HTML and on code-hosting sites.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np
from IPython.display import HTML
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

Cine = UInt8[np.ndarray, "frames height width"]
Cines = Cine | Mapping[str, Cine]
QUALITY = 80
CAPTION_PX = 18
GAP_PX = 4
WIDEST_PX = 1000  # cines that are wider together go on in the next row


def named_cines(cines: Cines) -> dict[str, Cine]:
    """Cines by name (a single one has the name ""). Raises ValueError for an empty mapping or a cine without frames."""
    named = dict(cines) if isinstance(cines, Mapping) else {"": cines}
    if not named or not all(len(frames) for frames in named.values()):
        raise ValueError("A cine needs at least one frame.")
    return named


def _places(sizes: Sequence[tuple[int, int]], top: int) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Where each picture (width, height) goes, row by row, and the size of the whole; `top`: room for a name."""
    places, left, upper, deepest, right = [], 0, 0, 0, 0
    for width, height in sizes:
        if left and left + width > WIDEST_PX:
            left, upper, deepest = 0, upper + deepest + GAP_PX, 0
        places.append((left, upper))
        left, right, deepest = left + width + GAP_PX, max(right, left + width), max(deepest, top + height)
    return places, (right, upper + deepest)


def mosaic(named: Mapping[str, UInt8[np.ndarray, "_ _"]], scale: int) -> Image.Image:
    """Single frames next to each other, `scale` times enlarged, with their names above."""
    top = CAPTION_PX if any(named) else 0
    sizes = [(frame.shape[1] * scale, frame.shape[0] * scale) for frame in named.values()]
    places, whole = _places(sizes, top)
    picture, font = Image.new("L", whole), ImageFont.load_default(size=12)
    for (name, frame), size, (left, upper) in zip(named.items(), sizes, places, strict=True):
        large = Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)
        picture.paste(large, (left, upper + top))
        ImageDraw.Draw(picture).text((left + 2, upper + 2), name, fill=255, font=font)
    return picture


def moment(named: Mapping[str, Cine], number: int, length: int) -> dict[str, UInt8[np.ndarray, "_ _"]]:
    """The frame of each cine at step `number` of `length`: shorter cines are stretched, a still stands still."""
    return {name: frames[number * len(frames) // length] for name, frames in named.items()}


def side_by_side(cines: Cines, scale: int = 3) -> list[Image.Image]:
    """Pictures of the animation: cines next to each other, `scale` times enlarged, with their names above.

    Each cine is stretched in time to the longest one, so that all start and end together (a still stands still).
    Raises ValueError for an empty mapping or a cine without frames.
    """
    named = named_cines(cines)
    length = max(len(frames) for frames in named.values())
    return [mosaic(moment(named, number, length), scale).convert("RGB") for number in range(length)]


def _webp(pictures: Sequence[Image.Image], ms_per_frame: int) -> bytes:
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": pictures[1:], "duration": ms_per_frame, "loop": 0}
    pictures[0].save(buffer, format="WEBP", lossless=False, quality=QUALITY, method=4, **(more if pictures[1:] else {}))
    return buffer.getvalue()


def webp_bytes(cines: Cines, scale: int = 3, ms_per_frame: int = 60) -> bytes:
    """The animation as WebP, looping for ever; the same frames give the same bytes.

    Neighbouring frames that are equal are stored once with a longer duration.
    """
    return _webp(side_by_side(cines, scale), ms_per_frame)


def cine_webp(cines: Cines, scale: int = 3, ms_per_frame: int = 60, caption: str = "") -> HTML:
    """An animation to show as a cell's result. cines: uint8 frames, or a mapping name → frames, side by side.

    HTML because exported notebooks do not show the image/webp type by itself.
    """
    return picture_html(webp_bytes(cines, scale, ms_per_frame), caption)


def picture_html(webp: bytes, caption: str = "") -> HTML:
    """An image with its data inside and a line of text below."""
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
    return picture_html(_webp(pictures, ms_per_frame), caption)
