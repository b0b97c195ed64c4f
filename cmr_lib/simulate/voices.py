"""How readers put things: sentence forms and words by key, and a speaker who chooses among them.

A form is a template whose {names} are facts on a reading or words of the voice. The keys are the same in every voice,
so that what is said is decided once (`phrases`) and said in many ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

HABIT_SHARE = 0.5  # how often a reader uses his favourite form; else any of them


@dataclass(frozen=True)
class Voice:
    """A vocabulary. `degrees` and `nouns` are keyed by labels.SEVERITIES without normal: mildly, mild and so on."""

    degrees: Mapping[str, str]
    nouns: Mapping[str, str]
    words: Mapping[str, tuple[str, ...]]
    lines: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Speaker:
    """A reader who dictates: a voice, his favourite forms (`habit`) and chance."""

    voice: Voice
    habit: int
    random: np.random.Generator

    def choose(self, options: tuple[str, ...]) -> str:
        """The favourite among the options, or any."""
        if self.random.random() < HABIT_SHARE:
            return options[self.habit % len(options)]
        return options[int(self.random.integers(len(options)))]

    def word(self, key: str) -> str:
        """A word of the voice; raises KeyError for one that it lacks."""
        return self.choose(self.voice.words[key])

    def grade(self, severity: str, kind: str) -> str:
        """`mildly dilated`, or a word for normal; kinds are size, function and calibre."""
        if severity == "normal":
            return self.word(f"{kind}_normal")
        return f"{self.voice.degrees[severity]} {self.word(f'{kind}_bad')}"

    def phrase(self, key: str, facts: Mapping[str, Any]) -> str:
        """A part of a sentence filled from `facts`; raises KeyError for a key or a fact that there is not."""
        return self.choose(self.voice.lines[key]).format_map(facts)

    def say(self, key: str, facts: Mapping[str, Any]) -> str:
        """A sentence, its first letter a capital."""
        text = self.phrase(key, facts)
        return text[:1].upper() + text[1:]
