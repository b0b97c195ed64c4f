"""What the words of a sentence stand for: chambers, properties, degrees, places, and cues of denial, doubt and past.

A finding is seldom one phrase; it is a chamber and a property ("dilatation … of the right ventricle"). So words are
tagged first, and `findings` puts them together.
"""

import re
from dataclasses import dataclass

from cmr_lib.reports.lexicon import LEXICON
from cmr_lib.reports.words import plain


@dataclass(frozen=True)
class Tag:
    """One or several words that stand for something; `start` and `end` count characters of the plain sentence."""

    kind: str
    value: str
    start: int
    end: int


def _pattern(kind: str, pattern: str) -> str:
    if kind in ("comma", "open", "close"):
        return f"(?:{pattern})"
    return rf"(?<![\w])(?:{pattern})(?![\w])" if pattern[0].isalnum() or pattern[0] in "(" else rf"(?:{pattern})"


_COMPILED = [(kind, value, re.compile(_pattern(kind, pattern))) for kind, value, pattern in LEXICON]


def tagged(text: str) -> list[Tag]:
    """The tags of a plain sentence from left to right, without overlaps."""
    found = [
        Tag(kind, value, match.start(), match.end())
        for kind, value, pattern in _COMPILED
        for match in pattern.finditer(text)
        if match.end() > match.start()
    ]
    found.sort(key=lambda tag: (tag.start, tag.start - tag.end))
    kept: list[Tag] = []
    for tag in found:
        if not kept or tag.start >= kept[-1].end:
            kept.append(tag)
    return kept


def read(sentence: str) -> tuple[str, list[Tag]]:
    """The plain spelling of a sentence and its tags."""
    text = plain(sentence)
    return text, tagged(text)
