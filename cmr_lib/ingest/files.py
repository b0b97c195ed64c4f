"""The bytes of a study, from a folder or a .zip, without trust in either.

Only regular files are opened (lstat first, O_NOFOLLOW, so that no link is followed and no pipe waits for ever);
archive entries are read one by one under caps and never written to disk. What is refused is yielded too, with its
code: nothing disappears.
"""

import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cmr_lib.ingest.rejects import Refused


@dataclass(frozen=True)
class Limits:
    """Caps on one study. The defaults serve lessons and tools; the stage preprocess takes those of params (caps)."""

    files: int = 50_000
    file_bytes: int = 256 * 2**20
    study_bytes: int = 16 * 2**30
    ratio: int = 200  # bytes out of an archive entry for each byte in
    depth: int = 16  # folders below the study's own


LIMITS = Limits()
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError, OverflowError)


@dataclass(frozen=True)
class RawFile:
    """One file of a study: its bytes, or the code that says why there are none."""

    name: str  # relative to the study: restricted, may hold a patient's name
    data: bytes = b""
    code: str = ""


def safe_name(name: str) -> str:
    """A name as valid text: bytes that are none (another encoding on disk) are written as hexadecimal."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_zip(path: Path) -> bool:
    """Whether this is a regular file called .zip (links are not followed)."""
    return path.suffix.lower() == ".zip" and stat.S_ISREG(path.lstat().st_mode)


def _check_status(status: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Refused("N_NOT_REGULAR")
    if status.st_size > limit:
        raise Refused("E_TOO_BIG")


def read_regular(path: Path, limit: int = LIMITS.file_bytes) -> bytes:
    """The bytes of a regular file. Raises Refused: N_NOT_REGULAR, E_TOO_BIG, E_IO."""
    try:
        _check_status(path.lstat(), limit)
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            _check_status(os.fstat(handle), limit)  # it may have been exchanged since
            return file.read(limit)
    except OSError as error:
        raise Refused("E_IO") from error


def walk(folder: Path, depth: int = LIMITS.depth) -> Iterator[Path]:
    """Everything below a folder that is not a folder, sorted by name; links are listed, not followed."""
    for entry in sorted(os.scandir(folder), key=lambda item: item.name):
        if entry.is_dir(follow_symlinks=False) and depth > 0:
            yield from walk(Path(entry.path), depth - 1)
        else:
            yield Path(entry.path)


def _from_folder(folder: Path, limits: Limits) -> Iterator[RawFile]:
    total = 0
    for number, path in enumerate(walk(folder, limits.depth)):
        name = safe_name(path.relative_to(folder).as_posix())
        if number >= limits.files or total > limits.study_bytes:
            yield RawFile(name, code="E_TOO_BIG")
            continue
        try:
            data = read_regular(path, limits.file_bytes)
        except Refused as refused:
            yield RawFile(name, code=refused.code)
            continue
        total += len(data)
        yield RawFile(name, data)


def _unsafe(entry: zipfile.ZipInfo, limits: Limits) -> bool:
    """Whether an entry points outside the archive, is no regular file, is encrypted, or is a bomb by its header."""
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    outside = name.is_absolute() or ".." in name.parts or ":" in entry.filename
    irregular = kind not in (0, stat.S_IFREG) or bool(entry.flag_bits & 0x1)
    bomb = entry.file_size > max(2**20, limits.ratio * entry.compress_size)
    return outside or irregular or bomb


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: Limits, doubled: set[str]) -> RawFile:
    nested = entry.filename.lower().endswith(".zip")  # an archive in an archive is never opened
    if nested or entry.filename in doubled or _unsafe(entry, limits):
        return RawFile(entry.filename, code="E_ARCHIVE")
    if entry.file_size > limits.file_bytes:
        return RawFile(entry.filename, code="E_TOO_BIG")
    try:
        with archive.open(entry) as file:
            data = file.read(entry.file_size + 1)  # a header that lies about the size must not cost memory
    except ZIP_ERRORS:
        return RawFile(entry.filename, code="E_ARCHIVE")
    if len(data) != entry.file_size:
        return RawFile(entry.filename, code="E_ARCHIVE")
    return RawFile(entry.filename, data)


def _from_zip(path: Path, limits: Limits) -> Iterator[RawFile]:
    try:
        archive = zipfile.ZipFile(path)
    except ZIP_ERRORS as error:
        raise Refused("E_ARCHIVE") from error
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(entries) > limits.files or sum(entry.file_size for entry in entries) > limits.study_bytes:
            raise Refused("E_ARCHIVE")
        times = Counter(entry.filename for entry in entries)
        doubled = {name for name, count in times.items() if count > 1}  # which one is meant, nobody knows
        for entry in sorted(entries, key=lambda item: item.filename):
            yield _entry(archive, entry, limits, doubled)


def raw_files(path: Path, limits: Limits = LIMITS) -> Iterator[RawFile]:
    """The files of one study, in order of name: a folder's, or those of a .zip. Raises Refused for the whole."""
    path = Path(path)
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        return _from_folder(path, limits)
    if stat.S_ISREG(mode) and path.suffix.lower() == ".zip":
        return _from_zip(path, limits)
    raise Refused("N_NOT_REGULAR")
