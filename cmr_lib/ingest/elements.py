"""Where the elements of a DICOM file lie in its bytes (PS3.5 7, PS3.10 7), found without trust in any length.

A general reader returns normally when a length lies: half of the study is gone and nobody is told. Here every length
is held against what is left of the file, nesting is walked with a stack and a limit instead of recursion, a value
representation must be one of the standard's, and inflating stops at a cap. Only places are noted, no value is read.
"""

import struct
import zlib
from dataclasses import dataclass, field

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from cmr_lib.ingest.rejects import Refused

PIXEL_DATA = 0x7FE00010
FIRST_TAG = 0x00080000
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
DEEPEST = 32  # sequences in sequences; enhanced MR needs 4
INFLATE_RATIO, INFLATE_FLOOR, INFLATE_MOST = 200, 16 * 2**20, 256 * 2**20
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
STARTS = (b"\x02\x00", b"\x08\x00", b"\x00\x08", b"\x00\x02")  # of a file without preamble, in either byte order
EXECUTABLES = (b"MZ", b"\x7fELF", b"#!", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"PK\x03\x04", b"%PDF")

Place = tuple[bytes, int, int]  # value representation (b"" where the file names none), first byte, number of bytes


class _Cut(Exception):  # noqa: N818 (not an error: what was found so far counts)
    """The file ends before a length says so."""


@dataclass
class Elements:
    """The places of a file's elements up to and with PixelData."""

    data: bytes  # of the data set; inflated where the file is deflated
    places: dict[int, Place] = field(default_factory=dict)
    syntax: str = ""  # TransferSyntaxUID; "" where the file names none
    media_class: str = ""  # MediaStorageSOPClassUID
    little: bool = True
    remarks: list[str] = field(default_factory=list)  # codes of what is odd and can be read all the same
    encapsulated: bool = False  # PixelData is a sequence of fragments
    pixel_claim: int = 0  # length of PixelData by its own account

    def value(self, tag: int) -> bytes:
        """The bytes of an element; empty where it is absent."""
        place = self.places.get(tag)
        return b"" if place is None else self.data[place[1] : place[1] + place[2]]


class _Reader:
    """Headers of elements at a position, in one byte order, with or without value representations."""

    def __init__(self, data: bytes, *, little: bool, explicit: bool) -> None:
        order = "<" if little else ">"
        self.data, self.end, self.explicit = data, len(data), explicit
        self.short = struct.Struct(order + "HH2sH").unpack_from
        self.long = struct.Struct(order + "I").unpack_from
        self.bare = struct.Struct(order + "HHI").unpack_from
        self.switched = False  # an element without value representation among others with one

    def head(self, at: int, *, explicit: bool) -> tuple[int, bytes, int, int]:
        """Tag, value representation, length and place of the value. Raises E_BAD_VR; _Cut at the end of the file."""
        if at + 8 > self.end:
            raise _Cut
        if not explicit:
            group, element, length = self.bare(self.data, at)
            return group << 16 | element, b"", length, at + 8
        group, element, vr, length = self.short(self.data, at)
        if group == 0xFFFE:  # items have no value representation; bytes of their length may look like one
            return group << 16 | element, b"", self.long(self.data, at + 4)[0], at + 8
        if vr in SHORT_VRS:
            return group << 16 | element, vr, length, at + 8
        if vr in LONG_VRS:
            if at + 12 > self.end:
                raise _Cut
            return group << 16 | element, vr, self.long(self.data, at + 8)[0], at + 12
        return self._odd(at, group << 16 | element, vr)

    def _odd(self, at: int, tag: int, vr: bytes) -> tuple[int, bytes, int, int]:
        """What has no known value representation: some writers leave it out, anything else is refused."""
        if vr.isalpha() and vr.isupper():
            raise Refused("E_BAD_VR")
        self.switched = True
        return tag, b"", self.long(self.data, at + 4)[0], at + 8

    def after(self, start: int, length: int) -> int:
        """The end of a value of known length. Raises _Cut beyond the end of the file."""
        if start + length > self.end:
            raise _Cut
        return start + length

    def skip(self, at: int, *, explicit: bool) -> int:
        """The end of a sequence of undefined length whose value starts at `at`. Raises E_NESTING; _Cut."""
        stack = [explicit]  # of open sequences and items: whether their elements name value representations
        while stack:
            tag, vr, length, start = self.head(at, explicit=stack[-1])
            if tag in (ITEM_END, SEQUENCE_END):
                stack.pop()
                at = start
            elif length == UNDEFINED:
                stack.append(stack[-1] and vr != b"UN")  # what hides in UN is implicit (PS3.5 6.2.2)
                at = start
                if len(stack) > 2 * DEEPEST:
                    raise Refused("E_NESTING")
            else:
                at = start + length
        return at

    def check_chain(self, start: int, length: int, *, explicit: bool) -> None:
        """Raises E_NESTING for a sequence of known length whose first elements are sequences, too deep."""
        end, depth = start + length, 0
        while start + 16 <= end:
            at = start + 8  # behind the item's head
            tag, vr, _, start = self.head(at, explicit=explicit)
            is_sequence = vr == b"SQ" if explicit else self.data[start : start + 4] == self.data[at - 8 : at - 4]
            if self.bare(self.data, at - 8)[:2] != (0xFFFE, 0xE000) or tag >> 16 == 0xFFFE or not is_sequence:
                return
            depth += 1
            if depth > DEEPEST:
                raise Refused("E_NESTING")


def _fragments_end(reader: _Reader, at: int) -> int:
    """Where the fragments of encapsulated pixels end. Raises E_REQUIRED_MISSING if nothing says where."""
    while True:
        try:
            tag, _, length, start = reader.head(at, explicit=False)
        except _Cut:
            raise Refused("E_REQUIRED_MISSING", "PixelData") from None
        if tag == SEQUENCE_END:
            return at
        if tag != ITEM or length == UNDEFINED:
            raise Refused("E_REQUIRED_MISSING", "PixelData")
        if start + length > reader.end:
            raise Refused("E_PIXEL_SHORT", "PixelData")
        at = start + length


def _note_pixels(elements: Elements, reader: _Reader, vr: bytes, length: int, start: int) -> None:
    """PixelData: its place, or as much of it as the file holds; and whether something strange follows."""
    elements.pixel_claim, elements.encapsulated = length, length == UNDEFINED
    end = _fragments_end(reader, start) if length == UNDEFINED else min(start + length, reader.end)
    elements.places[PIXEL_DATA] = (vr, start, end - start)
    behind = end + 8 if length == UNDEFINED else end
    following = reader.data[behind : behind + 4]
    if following and (len(following) < 4 or reader.bare(following + bytes(4), 0)[0] < PIXEL_DATA >> 16):
        elements.remarks.append("W_TRAILING")


def _walk(elements: Elements, at: int, *, explicit: bool) -> None:
    """Note the places of all elements from `at` on, up to PixelData, a tag that cannot be, or the end of the file."""
    reader = _Reader(elements.data, little=elements.little, explicit=explicit)
    places, head = elements.places, reader.head
    try:
        while True:
            tag, vr, length, start = head(at, explicit=explicit)
            if not FIRST_TAG <= tag < PIXEL_DATA:  # behind PixelData, or in a run of zeros, there is nothing to read
                break
            if length == UNDEFINED:
                at = reader.skip(start, explicit=explicit and vr != b"UN")
            else:
                at = reader.after(start, length)
                if length > 16 * DEEPEST and vr in (b"SQ", b""):
                    reader.check_chain(start, length, explicit=explicit)
            places[tag] = (vr, start, at - start)
        if tag == PIXEL_DATA:
            _note_pixels(elements, reader, vr, length, start)
    except _Cut:
        pass  # what is missing is missed by the check of required elements
    if reader.switched:
        elements.remarks.append("W_VR_FALLBACK")


def _inflated(data: bytes) -> bytes:
    """A deflated data set, as far as it goes. Raises E_BOMB where it grows out of proportion."""
    cap = min(INFLATE_MOST, max(INFLATE_FLOOR, INFLATE_RATIO * len(data)))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, cap)
    except zlib.error:
        raise Refused("E_DECODE", "TransferSyntaxUID") from None
    if inflater.unconsumed_tail:
        raise Refused("E_BOMB")
    return inflated


def _meta(data: bytes, at: int) -> tuple[dict[int, bytes], int]:
    """The file meta information (group 0002, always explicit and little-endian) and where it ends."""
    reader, found = _Reader(data, little=True, explicit=True), {}
    while data[at : at + 2] == b"\x02\x00":
        try:
            tag, _, length, start = reader.head(at, explicit=True)
        except _Cut:
            break
        if start + length > len(data):
            break
        found[tag] = data[start : start + length]
        at = start + length
    return found, at


def _uid(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


def find_elements(data: bytes) -> Elements:
    """The elements of a file's bytes.

    Raises Refused: N_NOT_DICOM, E_BAD_VR, E_NESTING, E_BOMB, E_DECODE, E_PIXEL_SHORT, E_REQUIRED_MISSING.
    """
    bare = data[128:132] != b"DICM"
    if bare and data[:2] not in STARTS:
        raise Refused("N_NOT_DICOM")  # a data set starts with group 0002 or 0008: only then is it worth a try
    meta, at = _meta(data, 0 if bare else 132)
    elements = Elements(data, syntax=_uid(meta.get(0x00020010, b"")), media_class=_uid(meta.get(0x00020002, b"")))
    if bare:
        elements.remarks.append("W_NO_PREAMBLE")
    elif data.startswith(EXECUTABLES):
        elements.remarks.append("W_PREAMBLE")
    if elements.syntax == DeflatedExplicitVRLittleEndian:
        elements.data, at = _inflated(data[at:]), 0
    elements.little = elements.syntax != ExplicitVRBigEndian and elements.data[at : at + 2] != b"\x00\x08"
    letters = elements.data[at + 4 : at + 6]
    explicit = letters.isalpha() and letters.isupper()
    if elements.syntax and explicit == (elements.syntax == ImplicitVRLittleEndian):
        elements.remarks.append("W_VR_FALLBACK")
    _walk(elements, at, explicit=explicit)
    return elements
