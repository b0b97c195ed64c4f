"""Typing errors: one word of a text misspelt, never a number, a name, a header or a word that denies."""

import re
from collections.abc import Sequence

import numpy as np

# Lower-case words of five letters or more that stand alone: no names, abbreviations, units or parts of numbers.
_WORD = re.compile(r"(?<![\w/-])[a-z]{5,}(?![\w/-])")
DENYING = frozenset({
    *("without", "cannot", "never", "neither", "absent", "absence", "denied", "exclude", "excluded", "ruled"),
    *("unremarkable", "unchanged", "resolved", "negative"),
})  # fmt: skip


def _misspelt(word: str, random: np.random.Generator) -> str:
    """The word with two inner letters swapped, one dropped or one doubled; its first and last letter stay."""
    places = [place for place in range(1, len(word) - 2) if word[place] != word[place + 1]]
    place = places[int(random.integers(len(places)))]
    first, second = word[place], word[place + 1]
    changed = (second + first, second, first + first + second)[int(random.integers(3))]
    return word[:place] + changed + word[place + 2 :]


def with_typo(texts: Sequence[str], random: np.random.Generator) -> list[str]:
    """The texts with one word of one of them misspelt; unchanged where no word may be."""
    places = [
        (number, match.start(), match.group())
        for number, text in enumerate(texts)
        for match in _WORD.finditer(text)
        if match.group() not in DENYING
    ]
    changed = list(texts)
    if places:
        number, start, word = places[int(random.integers(len(places)))]
        text = changed[number]
        changed[number] = text[:start] + _misspelt(word, random) + text[start + len(word) :]
    return changed
