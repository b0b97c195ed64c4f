"""The search for many identifiers at once in bytes, whatever the spelling.

Bytes are looked at twice. *Plain*: capitals made small, zero bytes dropped (UTF-16 and UTF-32 then read as Latin-1).
*Folded*: beside that nothing but letters, digits and bytes above 127 is kept, so that letters apart, hyphens at line
ends and groups of digits close up. Each identifier is searched in all its spellings: with and without accents, composed
or not, umlauts written out, backwards. A table of the first eight bytes of all of them makes one pass enough.
"""

import string
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tools.canaries.forms import digraphs, plain
from tools.canaries.mint import Canary

HEAD = 8  # bytes that are compared first
BITS = 20  # of the table of heads
MIX = np.uint64(0x9E3779B97F4A7C15)
SMALL = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
KEPT = frozenset(string.ascii_letters.encode() + string.digits.encode())
DROPPED = bytes(byte for byte in range(128) if byte not in KEPT)
ENCODINGS = ("utf-8", "latin-1")


def plain_view(data: bytes) -> bytes:
    """Small letters, no zero bytes."""
    return data.translate(SMALL, b"\0")


def folded_view(data: bytes) -> bytes:
    """Small letters, digits and bytes above 127 only."""
    return data.translate(SMALL, DROPPED)


def _encoded(text: str) -> Iterator[bytes]:
    for written in {text, text.lower(), text.upper()}:
        for form in ("NFC", "NFD"):
            for encoding in ENCODINGS:
                try:
                    yield unicodedata.normalize(form, written).encode(encoding)
                except UnicodeEncodeError:
                    continue


def spellings(canary: Canary) -> set[bytes]:
    """What is searched for an identifier, in the plain view if it is exact, else in the folded one."""
    if canary.exact:
        return {plain_view(data) for data in _encoded(canary.value)}
    written = {canary.value, plain(canary.value), digraphs(canary.value)}
    written |= {text[::-1] for text in written}
    return {folded_view(data) for text in written for data in _encoded(text)}


class _Index:
    """Needles of one view by their first eight bytes; shorter ones are searched one by one."""

    def __init__(self, needles: dict[bytes, set[int]]) -> None:
        self.short = {needle: found for needle, found in needles.items() if len(needle) < HEAD}
        self.by_head: dict[int, list[tuple[bytes, set[int]]]] = defaultdict(list)
        for needle, found in needles.items():
            if len(needle) >= HEAD:
                self.by_head[int.from_bytes(needle[:HEAD], "little")].append((needle, found))
        self.heads = np.array(sorted(self.by_head), dtype=np.uint64)
        self.table = np.zeros(1 << BITS, dtype=bool)
        self.table[self._slots(self.heads)] = True

    @staticmethod
    def _slots(words: np.ndarray) -> np.ndarray:
        return (words * MIX) >> np.uint64(64 - BITS)

    def _places(self, view: bytes) -> Iterator[tuple[int, int]]:
        """(place, head) of everything that begins like a needle."""
        for offset in range(min(HEAD, len(view) - HEAD + 1)):
            count = (len(view) - offset) // HEAD
            words = np.frombuffer(view, dtype="<u8", count=count, offset=offset)
            for index in np.flatnonzero(self.table[self._slots(words)]).tolist():
                yield offset + HEAD * index, int(words[index])

    def search(self, view: bytes) -> set[int]:
        found: set[int] = set()
        for place, head in self._places(view):
            for needle, canaries in self.by_head.get(head, ()):
                if view.startswith(needle, place) and _stands_alone(view, place, needle):
                    found |= canaries
        for needle, canaries in self.short.items():
            if needle in view:
                found |= canaries
        return found


def _stands_alone(view: bytes, place: int, needle: bytes) -> bool:
    """Eight digits are a date only where no letter or digit touches them: hashes are full of digits."""
    if len(needle) > HEAD or not needle.isdigit():
        return True
    around = view[max(0, place - 1) : place] + view[place + len(needle) : place + len(needle) + 1]
    return not any(byte in KEPT for byte in around)


class Hunt:
    """A search for a list of identifiers."""

    def __init__(self, canaries: Sequence[Canary]) -> None:
        self.canaries = list(canaries)
        needles: dict[bool, dict[bytes, set[int]]] = {True: defaultdict(set), False: defaultdict(set)}
        for number, canary in enumerate(self.canaries):
            for spelling in spellings(canary):
                needles[canary.exact][spelling].add(number)
        if short := [needle for needle in needles[False] if len(needle) < HEAD]:
            raise ValueError(f"{len(short)} identifiers are shorter than {HEAD} letters: mark them as exact.")
        self._plain, self._folded = _Index(needles[True]), _Index(needles[False])

    def search(self, data: bytes) -> set[int]:
        """Numbers of the identifiers that stand in the bytes, in their order of `canaries`."""
        return self._plain.search(plain_view(data)) | self._folded.search(folded_view(data))

    def named(self, numbers: Iterable[int]) -> list[Canary]:
        """The identifiers with these numbers."""
        return [self.canaries[number] for number in sorted(numbers)]
