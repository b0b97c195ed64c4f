"""What may hide text: archives, compressed files, tables, notebooks, pictures' metadata, encodings. Each is opened.

`inside(name, data)` yields what a file holds beside its own bytes; the search opens that again, level by level. What
cannot be opened is searched as the bytes it is.
"""

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import quopri
import re
import sqlite3
import tarfile
import tempfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cmr_lib.ingest.header import READ_ERRORS, quiet_pydicom

Inside = Iterator[tuple[str, bytes]]
MOST = 64 * 2**20  # bytes that one layer may grow to
LONG_TEXT = 8 * 2**20  # longer texts are not searched for encodings
UNREADABLE = (*READ_ERRORS, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, sqlite3.Error)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){8,}")
_ESCAPED = re.compile(rb"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
_PDF_TEXT = re.compile(rb"\(((?:\\.|[^()\\])*)\)")
_WORDS = re.compile(rb"[\x20-\x7e]{16,}")
_TAG = re.compile(rb"<[^>]*>")


# --- files ------------------------------------------------------------------------------------------------------
def _zip(data: bytes) -> Inside:
    """Zip, npz, xlsx, torch: names, comments and members."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        yield from _zip_pieces(data)
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        names = b"\n".join(
            entry.filename.encode("utf-8", "surrogateescape") + entry.comment + entry.extra for entry in entries
        )
        yield "names", names + archive.comment
        for entry in entries:
            with archive.open(entry) as member:
                yield entry.filename, member.read(MOST)


def _zip_pieces(data: bytes) -> Inside:
    """What stands behind each local header of a zip (APPNOTE 4.3.7): one that was cut off has no table of contents."""
    for match in re.finditer(rb"PK\x03\x04", data):
        header = data[match.start() : match.start() + 30]
        if len(header) < 30 or header[8:10] != b"\x08\x00":  # what is stored without compression is searched as it is
            continue
        start = match.start() + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        try:
            yield "piece of a zip", zlib.decompressobj(-15).decompress(data[start:], MOST)
        except zlib.error:
            continue


def _tar(data: bytes) -> Inside:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for entry in archive:
            yield "name", f"{entry.name}\n{entry.linkname}".encode("utf-8", "surrogateescape")
            member = archive.extractfile(entry) if entry.isfile() else None
            if member is not None:
                yield entry.name, member.read(MOST)


def _gzip(data: bytes) -> Inside:
    with gzip.open(io.BytesIO(data)) as file:
        yield "gzip", file.read(MOST)


def _bz2(data: bytes) -> Inside:
    yield "bz2", bz2.BZ2Decompressor().decompress(data, MOST)


def _xz(data: bytes) -> Inside:
    yield "xz", lzma.LZMADecompressor().decompress(data, MOST)


def _zlib(data: bytes) -> Inside:
    """A zlib stream: loose objects of git, compressed pickles."""
    yield "zlib", zlib.decompressobj().decompress(data, MOST)


def _zstd(data: bytes) -> Inside:
    import pyarrow

    with pyarrow.CompressedInputStream(pyarrow.BufferReader(data), "zstd") as stream:
        yield "zstd", stream.read(MOST)


def _npy(data: bytes) -> Inside:
    """Texts of an array: each on a line, so that padding between them does not join them."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype.kind in "US":
        yield "texts", "\n".join(map(str, array.ravel().tolist())).encode("utf-8", "replace")


def _flat(value: Any) -> Iterator[bytes]:
    """Every text and key in nested values, encoded."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(key)
            yield from _flat(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _flat(item)
    elif isinstance(value, bytes):
        yield value
    elif value is not None:
        yield str(value).encode("utf-8", "replace")


def _parquet(data: bytes) -> Inside:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(io.BytesIO(data))
    except pyarrow.ArrowException as error:
        raise ValueError("no Parquet") from error
    for name in table.column_names:
        yield name, b"\n".join(_flat(table[name].to_pylist()))
    yield "metadata", b"\n".join([*_flat(table.column_names), *_flat(table.schema.metadata or {})])
    for field in table.schema:
        yield "metadata of a column", b"\n".join(_flat(field.metadata or {}))


def _json(data: bytes) -> Inside:
    """Texts of JSON and notebooks without escapes, keys too; long ones once more by themselves, as what they encode."""
    texts = list(_flat(json.loads(data)))
    yield "texts", b"\n".join(texts)
    yield "texts in one", b"".join(texts)
    for text in texts:
        if len(text) > 1024:
            yield "text", text


def _json_lines(data: bytes) -> Inside:
    for line in data.splitlines():
        yield from _json(line)


def _xml(data: bytes) -> Inside:
    """Texts between the tags of XML: each on a line, and all in one, for a workbook may split a word by its format."""
    texts = [part for part in _TAG.split(data) if part.strip()]
    yield "texts", b"\n".join(texts)
    yield "texts in one", b"".join(texts)


def _sqlite(data: bytes) -> Inside:
    """Every value of every table, large ones too, which the file keeps in pieces."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy"
        path.write_bytes(data)
        with sqlite3.connect(path) as base:
            base.text_factory = bytes
            names = [row[0].decode() for row in base.execute("SELECT name FROM sqlite_master WHERE type='table'")]
            for name in names:
                quoted = name.replace('"', '""')
                rows = base.execute(f'SELECT * FROM "{quoted}"').fetchall()  # noqa: S608 (the file's own table names)
                values = list(_flat(rows))
                yield name, b"\n".join(values)
                yield from ((name, value) for value in values if len(value) > 64)


def _image(data: bytes) -> Inside:
    """Metadata of a picture: text chunks (compressed ones too), Exif, XMP, comments."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        yield "metadata", b"\n".join([*_flat(dict(picture.info)), *_flat(dict(picture.getexif()))])


def _pdf(data: bytes) -> Inside:
    """Streams of a PDF, and the text in them without the kerning between letters."""
    for match in _STREAM.finditer(data):
        try:
            stream = zlib.decompressobj().decompress(match[1], MOST)
        except zlib.error:
            stream = match[1]
        yield "stream", stream
        yield "text", b"".join(_PDF_TEXT.findall(stream))


def _dicom(data: bytes) -> Inside:
    """Values of a DICOM file, each on a line: in the file the next tag may touch a value like another digit."""
    import pydicom

    with quiet_pydicom():
        image = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True)
        yield "values", b"\n".join(_flat([element.value for element in image.iterall() if element.VR != "SQ"]))


MAGIC: tuple[tuple[bytes, int, Callable[[bytes], Inside]], ...] = (
    (b"PK\x03\x04", 0, _zip), (b"PK\x05\x06", 0, _zip), (b"ustar", 257, _tar), (b"\x1f\x8b", 0, _gzip),
    (b"BZh", 0, _bz2), (b"\xfd7zXZ\0", 0, _xz), (b"\x28\xb5\x2f\xfd", 0, _zstd), (b"x\x01", 0, _zlib),
    (b"x\x5e", 0, _zlib), (b"x\x9c", 0, _zlib), (b"x\xda", 0, _zlib), (b"\x93NUMPY", 0, _npy), (b"PAR1", 0, _parquet),
    (b"SQLite format 3\0", 0, _sqlite), (b"\x89PNG", 0, _image), (b"\xff\xd8\xff", 0, _image), (b"GIF8", 0, _image),
    (b"WEBP", 8, _image), (b"II*\0", 0, _image), (b"MM\0*", 0, _image), (b"%PDF", 0, _pdf),
    (b"DICM", 128, _dicom), (b"<?xml", 0, _xml), (b"\xef\xbb\xbf<?xml", 0, _xml), (b"<worksheet", 0, _xml),
)  # fmt: skip


# --- encodings --------------------------------------------------------------------------------------------------
def _runs64(data: bytes) -> Iterator[bytes]:
    """What runs of Base64 letters encode, from each of the four places where a group may begin, if they are short."""
    for run in _BASE64.findall(data):
        run = run.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        for start in range(4 if len(run) < 4096 else 1):
            part = run[start : start + (len(run) - start) // 4 * 4] if start else run
            yield (
                base64.b64decode(part + b"=" * (-len(part) % 4)) if len(part) % 4 != 1 else base64.b64decode(part[:-1])
            )


def _unescaped(data: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: chr(int(match[1] or match[2], 16)).encode("utf-8", "replace"), data)


def encodings(data: bytes) -> Inside:
    """A text once more without its percent signs, entities, escapes, hexadecimal and Base64."""
    if b"%" in data:
        yield "percent", urllib.parse.unquote_to_bytes(data)
    if b"&" in data:
        yield "entities", html.unescape(data.decode("utf-8", "replace")).encode("utf-8", "replace")
    if b"\\" in data:
        yield "escapes", _unescaped(data)
    if re.search(rb"=[0-9A-F]{2}|=\r?\n", data):
        yield "quoted-printable", quopri.decodestring(data)
    if runs := _HEX.findall(data):
        yield "hexadecimal", b"\xff".join(bytes.fromhex(run.decode()) for run in runs)
    decoded = [part for part in _runs64(data) if part]
    yield from (("base64", part) for part in decoded if len(part) >= 4096)
    yield "base64, short", b"\xff".join(part for part in decoded if len(part) < 4096)


OF_NOISE = ", of noise"  # decoded from words between binary numbers: not decoded once more, of which there is no end


def is_text(data: bytes) -> bool:
    """Whether bytes are text, of one or two bytes a letter, at their beginning, in their middle and at their end."""
    places = (0, len(data) // 2, max(0, len(data) - 4096))
    parts = [data[place : place + 4096].replace(b"\0", b"") for place in places]
    return all(part and sum(byte < 9 or 13 < byte < 32 for byte in part) < 0.02 * len(part) for part in parts)


def _openers(name: str, data: bytes) -> Iterator[Callable[[bytes], Inside]]:
    yield from (opener for magic, at, opener in MAGIC if data[at : at + len(magic)] == magic)
    if name.endswith((".json", ".ipynb")) or data[:1] in (b"{", b"["):
        yield _json_lines if name.endswith(".jsonl") else _json


def inside(name: str, data: bytes) -> Inside:
    """Everything that a file, or a part of one, holds beside its own bytes: (name of the part, its bytes)."""
    for opener in _openers(name, data):
        try:
            yield from opener(data)
        except UNREADABLE:
            continue  # it is not what it looks like: its bytes are searched all the same
    if len(data) > LONG_TEXT or name.endswith(OF_NOISE):
        return
    if is_text(data):
        yield from encodings(data.replace(b"\0", b""))
    elif words := b"\n".join(_WORDS.findall(data)):
        yield from ((f"{part}{OF_NOISE}", content) for part, content in encodings(words))
