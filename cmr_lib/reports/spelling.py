"""One spelling for a report's text and for what is looked for in it: without accents, capitals and marks."""

import unicodedata
from functools import lru_cache

_SPECIAL = {"ß": "ss", "ø": "o", "ł": "l", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
_DIGRAPHS = {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"}


@lru_cache(maxsize=4096)
def folded(text: str) -> str:
    """Text without accents and capitals; special letters by their usual substitutes."""
    spelled = "".join(_SPECIAL.get(character, character) for character in text.lower())
    return "".join(part for part in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(part))


def spellings(text: str) -> set[str]:
    """The folded spellings of a name: without accents, and with digraphs for umlauts (Müller, Mueller)."""
    digraphs = "".join(_DIGRAPHS.get(character, character) for character in unicodedata.normalize("NFC", text.lower()))
    return {folded(text), folded(digraphs)}


@lru_cache(maxsize=4096)
def squeezed(text: str) -> str:
    """Letters and digits of the folded text alone."""
    return "".join(character for character in folded(text) if character.isalnum())


@lru_cache(maxsize=4)
def bare_text(text: str) -> str:
    """The text with every letter bare, so that places stay the same."""
    return "".join(map(bare, text))


@lru_cache(maxsize=4096)
def bare(character: str) -> str:
    """A letter without its accent, capital or not; anything else as it is, always one character."""
    base = unicodedata.normalize("NFKD", character)[0]
    return base if len(base) == 1 and base.isalpha() else character
