"""Hiding sentences of reports in training, so that a pair is not recognised by one memorised phrase.

What is hidden is a function of (seed, epoch, study) alone; evaluation reads whole reports.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmr_lib import project

BREAK = re.compile(r"(?<=[.!?])\s+|\n+")  # a decimal point has no space after it


@dataclass(frozen=True)
class Tokens:
    """Token numbers of one report, and the sentence each belongs to (-1: a special token, never hidden)."""

    ids: list[int]
    sentence: list[int]


def encode(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[Tokens]:
    """Token numbers as `models.text.encode` gives them, with their sentences; wants a fast tokenizer."""
    coded = tokenizer(
        list(texts), truncation=True, max_length=max_tokens, add_special_tokens=True, return_offsets_mapping=True
    )
    found = []
    for text, ids, spans in zip(texts, coded["input_ids"], coded["offset_mapping"], strict=True):
        ends = [match.end() for match in BREAK.finditer(text)]
        sentence = [-1 if last == first else int(np.searchsorted(ends, first, "right")) for first, last in spans]
        found.append(Tokens(ids, sentence))
    return found


def hide(tokens: Tokens, share: float, seed: int, epoch: int, study_key: str) -> list[int]:
    """The token numbers without a random share of the sentences; a report never loses all of them."""
    numbers = sorted(set(tokens.sentence) - {-1})
    if share == 0 or len(numbers) < 2:
        return tokens.ids
    draws = project.rng(seed, "sentences", epoch, study_key).random(len(numbers))
    kept = {number for number, draw in zip(numbers, draws, strict=True) if draw >= share}
    kept = kept or {numbers[int(draws.argmax())]}
    return [number for number, place in zip(tokens.ids, tokens.sentence, strict=True) if place == -1 or place in kept]
