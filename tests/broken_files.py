"""Broken and odd DICOM files by the dozen, made from a seed: a table of classes, each with the code it must end with.

The numbers are those of the classes of malformed input that the reader answers for; classes 23–25, 31–33, 35 and 36
are about folders, archives, studies and reports, and are made in test_faults_studies.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import dicom_maker as maker
import enhanced_maker
import numpy as np
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

SIZE = 32
PLANE = maker.plane(size=SIZE)
PIXELS = b"\xe0\x7f\x10\x00"
EXPLICIT, IMPLICIT = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
Random = np.random.Generator


@dataclass(frozen=True)
class Case:
    """One way to be broken. `code` is "" for a file that must be read without a remark."""

    number: int
    name: str
    code: str
    make: Callable[[Random], bytes]


def good(random: Random, **changes: object) -> bytes:
    """An image that nothing is wrong with."""
    pixels = random.integers(0, 2000, (SIZE, SIZE)).astype(np.uint16)
    changes = {"SOPInstanceUID": f"1.2.3.{random.integers(10**9)}", "PatientName": "Canary^Name", **changes}
    return maker.encode(maker.dataset(PLANE, pixels, **changes))


def other_syntax(random: Random, syntax: str, **changes: object) -> bytes:
    """The same, compressed."""
    ds = dcmread(io.BytesIO(good(random, **changes)))
    ds.compress(syntax, generate_instance_uid=False)
    buffer = io.BytesIO()
    dcmwrite(buffer, ds)
    return buffer.getvalue()


def multi_frame(random: Random) -> bytes:
    """A compressed multi-frame object that lost one of its four frames."""
    pixels = random.integers(0, 2000, (4, SIZE, SIZE)).astype(np.uint16)
    ds = enhanced_maker.native([PLANE], phases=4, pixels=pixels)
    packed = dcmread(io.BytesIO(maker.encode(ds)))
    packed.compress(RLELossless, generate_instance_uid=False)
    packed.PixelData = encapsulate(list(generate_frames(packed.PixelData, number_of_frames=4))[:3])
    packed["PixelData"].is_undefined_length = True
    buffer = io.BytesIO()
    dcmwrite(buffer, packed)
    return buffer.getvalue()


def before_pixels(data: bytes, more: bytes) -> bytes:
    """A file with more bytes in front of its pixel data."""
    at = data.rindex(PIXELS + b"O")
    return data[:at] + more + data[at:]


def without(random: Random, keyword: str) -> bytes:
    return good(random, **{keyword: None})


def with_bytes(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) >= 1, old
    assert len(old) == len(new)
    return data.replace(old, new)


def spacing(random: Random, text: bytes) -> bytes:
    return with_bytes(good(random, PixelSpacing=["1.25", "1.5"]), b"1.25\\1.5", text.ljust(8))


def with_text_rows(random: Random) -> bytes:
    data = good(random)
    return with_bytes(data, b"\x28\0\x10\0US\x02\0" + struct.pack("<H", SIZE), b"\x28\0\x10\0LO\x02\0" + b"32")


def tiny(random: Random, syntax: str) -> bytes:
    """A few compressed bytes that declare 65,535 × 65,535 pixels."""
    data = other_syntax(random, syntax)
    rows = b"\x28\0\x10\0US\x02\0"
    data = with_bytes(data, rows + struct.pack("<H", SIZE), rows + b"\xff\xff")
    cols = b"\x28\0\x11\0US\x02\0"
    return with_bytes(data, cols + struct.pack("<H", SIZE), cols + b"\xff\xff")


def greedy_stream(random: Random) -> bytes:
    """A JPEG 2000 stream that claims more pixels than the header does."""
    data = other_syntax(random, JPEG2000Lossless)
    at = data.index(b"\xff\x4f\xff\x51") + 8
    return data[:at] + struct.pack(">II", 65535, 65535) + data[at + 8 :]


def deflated(body: bytes, random: Random) -> bytes:
    """A file whose deflated data set is `body`."""
    whole = maker.encode(dcmread(io.BytesIO(good(random))), DeflatedExplicitVRLittleEndian)
    meta = whole[: 132 + 12 + struct.unpack_from("<I", whole, 140)[0]]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return meta + packer.compress(body) + packer.flush()


def big_endian(random: Random) -> bytes:
    ds = maker.dataset(PLANE, random.integers(0, 2000, (SIZE, SIZE)).astype(">u2"))
    ds["PixelData"].VR = "OW"
    return maker.encode(ds, ExplicitVRBigEndian)


def nested(random: Random, depth: int, *, known: bool) -> bytes:
    """Sequences in sequences, of undefined or of known length."""
    tag = b"\x40\0\x30\xa7SQ\0\0"
    body = b""
    for _ in range(depth):
        if known:
            item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(body)) + body
            body = tag + struct.pack("<I", len(item)) + item
        else:
            break
    if not known:
        body = (tag + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4) * depth
        body += (b"\xfe\xff\x0d\xe0\0\0\0\0" + SEQUENCE_END) * depth
    return before_pixels(good(random), body)


def lying_name(random: Random) -> bytes:
    """A patient's name whose length swallows the rest of the file."""
    data = good(random)
    at = data.index(b"\x10\0\x10\0PN") + 6
    return data[:at] + struct.pack("<H", min(65534, len(data) - at - 2)) + data[at + 2 :]


def endless_pixels(random: Random) -> bytes:
    data = good(random)
    at = data.rindex(PIXELS + b"O") + 8
    return data[:at] + struct.pack("<I", 0xFFFFFFF0) + data[at + 4 :]


def bad_fragment(random: Random, syntax: str) -> bytes:
    """A compressed image whose bytes behind the first marks are noise."""
    ds = dcmread(io.BytesIO(other_syntax(random, JPEG2000Lossless)))
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
    keep = 0 if syntax == JPEGBaseline8Bit else 60
    ds.PixelData = encapsulate([frame[:keep] + random.bytes(400)])
    ds.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    dcmwrite(buffer, ds)
    return buffer.getvalue()


def no_delimiter(random: Random) -> bytes:
    data = other_syntax(random, RLELossless)
    assert data.endswith(SEQUENCE_END)
    return data[: -len(SEQUENCE_END)]


def relabelled(random: Random, written: str, said: bytes) -> bytes:
    """A file whose transfer syntax is not the one it names (of equal length once padded)."""
    ds = dcmread(io.BytesIO(good(random)))
    data = maker.encode(ds, written)
    meta, body = data[: 132 + 12 + struct.unpack_from("<I", data, 140)[0]], None
    body = data[len(meta) :]
    at = meta.index(b"\x02\0\x10\0UI") + 6
    length = struct.unpack_from("<H", meta, at)[0]
    meta = meta[:at] + struct.pack("<H", len(said)) + said + meta[at + 2 + length :]
    group = struct.pack("<I", len(meta) - 144)
    return meta[:140] + group + meta[144:] + body


def charset(random: Random, declared: str, name: bytes) -> bytes:
    data = good(random, SpecificCharacterSet=declared)
    return with_bytes(data, b"Canary^Name ", name.ljust(12))


def cut_header(random: Random) -> bytes:
    data = good(random)
    start, end = 132 + 12 + struct.unpack_from("<I", data, 140)[0], data.rindex(PIXELS + b"O")
    return data[: int(random.integers(start + 1, end))]


def without_image(random: Random, modality: str, sop_class: str) -> bytes:
    return good(random, Modality=modality, SOPClassUID=sop_class, PixelData=None)


def directory(random: Random) -> bytes:
    """A DICOMDIR that refers to a file outside its folder."""
    ds = dcmread(io.BytesIO(good(random)))
    meta = ds.file_meta
    for element in list(ds):
        del ds[element.tag]
    record = maker.Dataset()
    record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", ["..", "..", "etc", "passwd"]
    ds.FileSetID, ds.DirectoryRecordSequence = "X", [record]
    ds.file_meta = meta
    meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    buffer = io.BytesIO()
    dcmwrite(buffer, ds)
    return buffer.getvalue()


def cut_fragment(random: Random) -> bytes:
    data = other_syntax(random, RLELossless)
    return data[: -int(random.integers(20, 200))]


SR, PR, KO = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.88.59"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
CASES = (
    Case(1, "pixels cut", "E_PIXEL_SHORT", lambda r: good(r)[: -int(r.integers(1, 1500))]),
    Case(1, "compressed pixels cut", "E_PIXEL_SHORT", cut_fragment),
    Case(2, "header cut", "E_REQUIRED_MISSING", cut_header),
    Case(3, "empty", "N_NOT_DICOM", lambda r: b""),
    Case(3, "picture", "N_NOT_DICOM", lambda r: b"\xff\xd8\xff\xe0" + r.bytes(500)),
    Case(3, "text", "N_NOT_DICOM", lambda r: b"Canary^Name " * int(r.integers(1, 99))),
    Case(3, "gzip", "N_NOT_DICOM", lambda r: gzip.compress(good(r))),
    Case(4, "no preamble", "W_NO_PREAMBLE", lambda r: good(r)[132:]),
    Case(4, "nothing in front of the data set", "W_NO_PREAMBLE",
         lambda r: (data := good(r))[132 + 12 + struct.unpack_from("<I", data, 140)[0] :]),
    Case(5, "program in the preamble", "W_PREAMBLE", lambda r: b"MZ" + good(r)[2:]),
    Case(5, "another program in the preamble", "W_PREAMBLE", lambda r: b"\x7fELF" + good(r)[4:]),
    Case(6, "no spacing", "E_GEOMETRY", lambda r: without(r, "PixelSpacing")),
    Case(6, "spacing is text", "E_GEOMETRY", lambda r: spacing(r, b"abc\\1,5")),
    Case(6, "spacing is not a number", "E_GEOMETRY", lambda r: spacing(r, b"nan\\1.5")),
    Case(6, "spacing is zero", "E_GEOMETRY", lambda r: spacing(r, b"0\\1.5")),
    Case(7, "no rows", "E_REQUIRED_MISSING", lambda r: without(r, "Rows")),
    Case(7, "rows as text", "E_BAD_VR", with_text_rows),
    Case(8, "65,535 rows", "E_DECLARED_TOO_BIG", lambda r: good(r, Rows=65535, Columns=65535)),
    Case(8, "a billion frames", "E_DECLARED_TOO_BIG", lambda r: good(r, NumberOfFrames=10**9)),
    Case(9, "tiny run lengths", "E_DECLARED_TOO_BIG", lambda r: tiny(r, RLELossless)),
    Case(9, "tiny JPEG 2000", "E_DECLARED_TOO_BIG", lambda r: tiny(r, JPEG2000Lossless)),
    Case(9, "greedy JPEG 2000", "E_PIXEL_META", greedy_stream),
    Case(10, "no frames", "W_FRAME_COUNT", lambda r: good(r, NumberOfFrames=0)),
    Case(11, "unknown value representation", "E_BAD_VR",
         lambda r: before_pixels(good(r), b"\x40\0\x00\x01ZZ\x04\0abcd")),
    Case(12, "deflated", "", lambda r: maker.encode(dcmread(io.BytesIO(good(r))), DeflatedExplicitVRLittleEndian)),
    Case(13, "deflated bomb", "E_BOMB", lambda r: deflated(bytes(60 * 2**20), r)),
    Case(14, "big-endian", "", big_endian),
    Case(15, "500 sequences deep", "E_NESTING", lambda r: nested(r, 500, known=False)),
    Case(15, "20,000 sequences deep", "E_NESTING", lambda r: nested(r, 20_000, known=False)),
    Case(15, "500 deep, lengths known", "E_NESTING", lambda r: nested(r, 500, known=True)),
    Case(16, "lying length of a name", "E_REQUIRED_MISSING", lying_name),
    Case(17, "4 GB of pixels", "E_LENGTH", endless_pixels),
    Case(18, "noise for JPEG 2000", "E_DECODE", lambda r: bad_fragment(r, JPEG2000Lossless)),
    Case(18, "noise for JPEG", "E_DECODE", lambda r: bad_fragment(r, JPEGBaseline8Bit)),
    Case(18, "fewer fragments than frames", "E_DECODE", multi_frame),
    Case(19, "no delimiter", "E_REQUIRED_MISSING", no_delimiter),
    Case(20, "unknown transfer syntax", "E_TRANSFER_SYNTAX",
         lambda r: with_bytes(good(r), EXPLICIT, b"1.2.840.10008.9.9.9\0")),
    Case(21, "implicit said to be explicit", "W_VR_FALLBACK",
         lambda r: relabelled(r, ImplicitVRLittleEndian, EXPLICIT)),
    Case(21, "explicit said to be implicit", "W_VR_FALLBACK",
         lambda r: relabelled(r, "1.2.840.10008.1.2.1", IMPLICIT)),
    Case(22, "unknown character set", "W_CHARSET", lambda r: with_bytes(good(r, SpecificCharacterSet="ISO_IR 100"),
                                                                       b"ISO_IR 100", b"ISO_NO 999")),
    Case(22, "bytes outside the character set", "W_CHARSET", lambda r: charset(r, "ISO_IR 192", b"Can\xff\xfe^Name")),
    Case(26, "12 bits allocated", "E_PIXEL_META", lambda r: good(r, BitsAllocated=12)),
    Case(26, "more bits stored than allocated", "E_PIXEL_META", lambda r: good(r, BitsStored=20, HighBit=19)),
    Case(26, "colour with grey bytes", "E_PIXEL_META",
         lambda r: good(r, SamplesPerPixel=3, PhotometricInterpretation="RGB", PixelData=bytes(SIZE * SIZE * 2))),
    Case(27, "slope is zero", "E_PIXEL_META", lambda r: good(r, RescaleSlope="0")),
    Case(27, "orientation is zero", "E_GEOMETRY", lambda r: good(r, ImageOrientationPatient=["0"] * 6)),
    Case(28, "structured report", "N_NOT_IMAGE", lambda r: without_image(r, "SR", SR)),
    Case(28, "presentation state", "N_NOT_IMAGE", lambda r: without_image(r, "PR", PR)),
    Case(28, "key objects", "N_NOT_IMAGE", lambda r: without_image(r, "KO", KO)),
    Case(28, "document", "N_NOT_IMAGE", lambda r: without_image(r, "DOC", PDF)),
    Case(29, "path for an identifier", "E_BAD_UID",
         lambda r: with_bytes(good(r, SOPInstanceUID="1.2.3.4.5.6.7.8.9"), b"1.2.3.4.5.6.7.8.9", b"../../etc/passwd1")),
    Case(30, "garbage behind the pixels", "W_TRAILING", lambda r: good(r) + b"\x01\x02" + r.bytes(500)),
    Case(30, "zeros behind the pixels", "W_TRAILING", lambda r: good(r) + bytes(int(r.integers(2**20, 2**24)))),
    Case(34, "directory with a path", "N_NOT_IMAGE", directory),
)  # fmt: skip
