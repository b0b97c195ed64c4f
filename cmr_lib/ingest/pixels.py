"""The pixels of one DICOM file as stored: their description checked first, then decoded, whatever the syntax.

Equal, bit for bit, to pydicom's `pixel_array`. Uncompressed pixels are taken from the file's bytes at once; compressed
ones go through pydicom's decoders (pylibjpeg-openjpeg, pyjpegls, Pillow, gdcm where it is installed), after a look at
what size the compressed stream itself claims: a decoder reserves memory by that and not by the header.
"""

import struct
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from pydicom import uid
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder

from cmr_lib.ingest.header import READ_ERRORS, Header
from cmr_lib.ingest.rejects import Refused

MAX_SIDE_PX = 4096
MAX_DECODED_BYTES = 2**30
NATIVE = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        "",
    }
)
JPEG2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
JPEG_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # markers that are followed by a size


@dataclass(frozen=True)
class Layout:
    """What the header says about the pixels."""

    frames: int
    rows: int
    cols: int
    allocated: int  # bits
    stored: int
    high: int
    signed: bool

    @property
    def size(self) -> int:
        """Bytes of all frames, decoded."""
        return self.frames * self.rows * self.cols * self.allocated // 8


def _whole(header: Header, keyword: str, default: int | None = None) -> int:
    """A count of the header. Raises Refused: E_REQUIRED_MISSING (no default), E_BAD_VR."""
    value = header.count(keyword, float("nan") if default is None else float(default))
    if not np.isfinite(value) or value < 0 or (default is None and value < 1):
        raise Refused("E_REQUIRED_MISSING", keyword)
    return int(value)


def frames_of(header: Header) -> int:
    """NumberOfFrames. Absent, or 0 (which one image then contradicts): 1. Raises Refused: E_PIXEL_META."""
    frames = header.number("NumberOfFrames", 1.0)
    if frames < 0 or frames != int(frames):
        raise Refused("E_PIXEL_META", "NumberOfFrames")
    return max(1, int(frames))


def layout_of(header: Header) -> Layout:
    """The description of the pixels, refused before anything is decoded where it cannot be or is too big."""
    rows, cols, allocated = (_whole(header, keyword) for keyword in ("Rows", "Columns", "BitsAllocated"))
    frames = frames_of(header)
    if max(rows, cols) > MAX_SIDE_PX:
        raise Refused("E_DECLARED_TOO_BIG", "Rows")
    if min(rows, cols) < 8 or allocated not in (8, 16, 32):
        raise Refused("E_PIXEL_META", "BitsAllocated" if allocated not in (8, 16, 32) else "Rows")
    stored = _whole(header, "BitsStored", allocated)
    high, signed = _whole(header, "HighBit", stored - 1), _whole(header, "PixelRepresentation", 0)
    if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise Refused("E_PIXEL_META", "BitsStored")
    layout = Layout(frames, rows, cols, allocated, stored, high, signed == 1)
    if layout.size > MAX_DECODED_BYTES:
        raise Refused("E_DECLARED_TOO_BIG", "NumberOfFrames")
    return layout


# --- uncompressed -----------------------------------------------------------------------------------------------
def _check_length(header: Header, layout: Layout) -> None:
    """Refuse pixels that the file does not hold: cut off, or of a length that no description explains."""
    held, claim = len(header.raw("PixelData")), header.elements.pixel_claim
    if header.elements.encapsulated or (held < claim and claim > layout.size + 1):
        raise Refused("E_LENGTH", "PixelData")
    if held < layout.size:
        raise Refused("E_PIXEL_SHORT", "PixelData")


def _native(header: Header, layout: Layout) -> Shaped[np.ndarray, "frames rows cols"]:
    """Uncompressed pixels: unused high bits are cleared, the sign is extended from the highest stored bit."""
    _check_length(header, layout)
    elements, kind, size = header.elements, "i" if layout.signed else "u", layout.allocated // 8
    start, count = elements.places[0x7FE00010][1], layout.frames * layout.rows * layout.cols
    order = "<" if elements.little else ">"
    values = np.frombuffer(elements.data, f"{order}{kind}{size}", count, start).astype(f"{kind}{size}")
    spare = layout.allocated - layout.stored
    if spare:
        whole = (values << spare) >> spare  # arithmetic where signed
        if layout.high != layout.stored - 1 and not np.array_equal(whole, values):
            raise Refused("E_PIXEL_META", "HighBit")  # left-aligned, or overlays in the upper bits
        values = whole
    return values.reshape(layout.frames, layout.rows, layout.cols)


# --- compressed -------------------------------------------------------------------------------------------------
def _jpeg2000_sides(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns by a JPEG 2000 code stream (ISO 15444-1 A.5.1), None where it has no SIZ marker at its start."""
    at = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
    if at < 0 or len(frame) < at + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", frame, at + 8)
    return bottom - top, right - left


def _jpeg_sides(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns by a JPEG (ISO 10918-1 B.2.2) or JPEG-LS (ISO 14495-1 C.2.2) stream, None if it has none."""
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        if frame[at + 1] in JPEG_FRAME:
            rows, cols = struct.unpack_from(">HH", frame, at + 5)
            return rows, cols
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None


def _check_streams(raw: bytes, syntax: str, layout: Layout) -> None:
    """Refuse a compressed stream that claims other sides than the header, before a decoder believes it."""
    if syntax == uid.RLELossless:
        return
    sides_of = _jpeg2000_sides if syntax in JPEG2000 else _jpeg_sides
    for frame in generate_frames(raw, number_of_frames=layout.frames):
        sides = sides_of(frame)
        if sides is None:
            raise Refused("E_DECODE", "PixelData")
        if sides != (layout.rows, layout.cols):
            raise Refused("E_PIXEL_META", "PixelData")


def _compressed(header: Header, layout: Layout, syntax: str) -> Shaped[np.ndarray, "frames rows cols"]:
    """Pixels that pydicom's decoders unpack. Raises Refused: E_PIXEL_META, E_NO_DECODER, E_DECODE."""
    raw = header.raw("PixelData")
    try:
        decoder = get_decoder(uid.UID(syntax))
        if not decoder.is_available:
            raise Refused("E_NO_DECODER", "TransferSyntaxUID")
        _check_streams(raw, syntax, layout)
        pixels, _ = decoder.as_array(
            raw,
            rows=layout.rows,
            columns=layout.cols,
            number_of_frames=layout.frames,
            samples_per_pixel=1,
            photometric_interpretation=header.text("PhotometricInterpretation") or "MONOCHROME2",
            bits_allocated=layout.allocated,
            bits_stored=layout.stored,
            pixel_representation=int(layout.signed),
            pixel_keyword="PixelData",
        )
    except MemoryError:
        raise Refused("E_DECLARED_TOO_BIG", "PixelData") from None
    except (*READ_ERRORS, NotImplementedError):
        raise Refused("E_DECODE", "PixelData") from None
    if pixels.size != layout.frames * layout.rows * layout.cols:
        raise Refused("E_PIXEL_META", "PixelData")
    return np.ascontiguousarray(pixels).reshape(layout.frames, layout.rows, layout.cols)


def decode(header: Header, layout: Layout) -> Shaped[np.ndarray, "frames rows cols"]:
    """Pixels as stored, in native byte order.

    Raises Refused: E_TRANSFER_SYNTAX, E_NO_DECODER, E_LENGTH, E_PIXEL_META, E_PIXEL_SHORT, E_DECODE,
    E_DECLARED_TOO_BIG.
    """
    syntax = header.elements.syntax
    if syntax in NATIVE:
        return _native(header, layout)
    known = uid.UID(syntax)
    if known.is_private or known not in uid.AllTransferSyntaxes:
        raise Refused("E_TRANSFER_SYNTAX", "TransferSyntaxUID")
    return _compressed(header, layout, syntax)
