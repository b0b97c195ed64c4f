"""The search through folders: every byte, every name, everything inside, but for the restricted zone."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from tools.canaries import carriers
from tools.canaries.hunt import Hunt
from tools.canaries.mint import Canary

DEEPEST = 6  # layers: a zip in a notebook in a zip has three


def _digest(name: str, data: bytes) -> bytes:
    """What stands for bytes that are opened as the ending of their name says."""
    return hashlib.blake2b(os.fsencode(Path(name).suffix) + b"\0" + data).digest()


@dataclass(frozen=True)
class Hit:
    """An identifier where none may be."""

    path: Path
    part: str  # where in the file: names of its layers
    canary: Canary

    def __str__(self) -> str:
        return f"{self.path} [{self.part}]: {self.canary.carrier}, study {self.canary.study}"


def digest_of(path: Path) -> bytes:
    """What stands for a file's content."""
    return hashlib.blake2b(path.read_bytes()).digest()


class Scan:
    """A search for identifiers; equal contents are opened once, and those in `innocent` never (`digest_of`).

    The repository's own files were there before anything was planted: as long as no byte of one has changed, nothing
    can have leaked into it. Its name is searched all the same.
    """

    def __init__(self, hunt: Hunt, innocent: Set[bytes] = frozenset()) -> None:
        self.hunt = hunt
        self.files = self.bytes = 0  # looked at, without what was unpacked
        self._known: dict[bytes, dict[int, str]] = {}
        self._innocent = innocent

    def _open(self, name: str, data: bytes) -> dict[int, str]:
        """Numbers of the identifiers in some bytes and in all that they hold, and in which part.

        Layer by layer, and equal contents once: unwrapping two encodings in either order often gives the same bytes.
        """
        found: dict[int, str] = {}
        layers, seen = [(name, data, "content")], {_digest(name, data)}
        for _ in range(DEEPEST + 1):
            below = []
            for title, content, part in layers:
                for number in self.hunt.search(content):
                    found.setdefault(number, part)
                for inner, held in carriers.inside(title, content):
                    if held and (digest := _digest(inner, held)) not in seen:
                        seen.add(digest)
                        below.append((inner, held, f"{part} > {inner}"[:200]))
            layers = below
        return found

    def content(self, name: str, data: bytes) -> dict[int, str]:
        """Numbers of the identifiers in some bytes, and in which part."""
        digest = _digest(name, data)
        if digest not in self._known:
            self._known[digest] = self._open(name, data)
        return self._known[digest]

    def path(self, path: Path) -> Iterator[Hit]:
        """Identifiers in the name of a file or folder, in where a link points, and in a file's content."""
        named = os.fsencode(path.name)
        yield from (Hit(path, "name", self.hunt.canaries[number]) for number in self.hunt.search(named))
        if path.is_symlink():
            target = os.fsencode(path.readlink())
            yield from (Hit(path, "link", self.hunt.canaries[number]) for number in self.hunt.search(target))
        elif path.is_file():
            data = path.read_bytes()
            if self._innocent and hashlib.blake2b(data).digest() in self._innocent:
                return
            self.files, self.bytes = self.files + 1, self.bytes + len(data)
            for number, part in self.content(path.name, data).items():
                yield Hit(path, part, self.hunt.canaries[number])

    def folder(self, root: Path, leave_out: Callable[[Path], bool] = lambda _: False) -> Iterator[Hit]:
        """Identifiers below a folder, but for what `leave_out` says; links are not followed."""
        for folder, folders, names in os.walk(root):
            here = Path(folder)
            folders[:] = sorted(name for name in folders if not leave_out(here / name))
            for name in [*folders, *sorted(names)]:
                if not leave_out(here / name):
                    yield from self.path(here / name)


def by_carrier(hits: Iterable[Hit]) -> dict[str, int]:
    """How many identifiers of each carrier were found."""
    return dict(sorted(Counter(hit.canary.carrier for hit in hits).items()))


def by_file(hits: Iterable[Hit], root: Path) -> dict[str, int]:
    """How many identifiers each file holds."""
    names = (hit.path.relative_to(root).as_posix() if hit.path.is_relative_to(root) else str(hit.path) for hit in hits)
    return dict(sorted(Counter(names).items()))
