"""Whether a finding is present, absent, uncertain or of the past, from the cues around it.

Rules in the manner of NegEx (Chapman 2001, doi 10.1006/jbin.2001.1029) and ConText (Harkema 2009): a cue reaches from
its
place to a stop. Added: cues of persistence ("no change in …"), of double negation, and verbs as stops.
"""

from collections.abc import Sequence
from enum import StrEnum

from cmr_lib.reports.tagging import Tag

CONCEPTS = frozenset(
    [
        "dilated",
        "size",
        "function",
        "weak",
        "hypertrophy",
        "thickness",
        "thickening",
        "lge",
        "motion",
        "wma",
        "segmentwise",
        "effusion",
        "thrombus",
        "diagnosis",
        "normalstudy",
    ]
)
BEFORE = frozenset(["denied", "no_longer", "stays", "untrue", "doubt", "doubt_both", "past", "rather", "mark"])
AFTER = frozenset(["denied_after", "unassessed", "gone", "no_longer", "stays", "doubt_after", "doubt_both", "past"])
# An old infarct, scar or myocarditis that is asserted is a present finding.
_LASTING = frozenset({"ICM", "MYO", "lge"})


class Status(StrEnum):
    """What a report says of a finding."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    HISTORICAL = "historical"


def _list_goes_on(tags: Sequence[Tag], place: int) -> bool:
    """Whether the concept at `place` stands in a list that ends in "or …": "no A, B or C"."""
    for tag in tags[place:]:
        if tag.kind in ("or", "denied"):
            return tag.kind == "or"
        if tag.kind in ("stop", "verb", "judged"):
            return False
    return any(tag.kind == "or" for tag in tags[:place])


def _comma_blocks(tags: Sequence[Tag], cue: int, comma: int, place: int) -> bool:
    if not any(tag.kind in CONCEPTS for tag in tags[cue:comma]):
        return False
    if comma + 1 < len(tags) and tags[comma + 1].kind == "and":
        return True
    return not _list_goes_on(tags, place)


def _reaches_forward(tags: Sequence[Tag], cue: int, place: int) -> bool:
    """Whether the cue before a concept governs it."""
    seen_concept = False
    for number in range(cue + 1, place):
        kind = tags[number].kind
        if kind == "stop":
            return False
        if kind == "verb" and seen_concept:
            return False
        if kind == "comma" and _comma_blocks(tags, cue, number, place):
            return False
        follows = tags[number + 1].kind if number + 1 < len(tags) else ""
        if kind == "and" and seen_concept and follows in ("degree", "judged"):
            return False
        if kind in ("denied_after", "gone", "doubt_after") and seen_concept:
            return False
        seen_concept |= kind in CONCEPTS
    return True


def _cues_before(tags: Sequence[Tag], place: int) -> list[Tag]:
    return [tags[cue] for cue in range(place) if tags[cue].kind in BEFORE and _reaches_forward(tags, cue, place)]


def _cues_after(tags: Sequence[Tag], place: int) -> list[Tag]:
    """Cues behind the concept, up to a stop, a comma that starts something new, or a verb of something else."""
    found: list[Tag] = []
    for number in range(place + 1, len(tags)):
        kind, following = tags[number].kind, tags[number + 1].kind if number + 1 < len(tags) else ""
        if (
            (kind in AFTER and not (kind == "doubt_both" and _governs_something_else(tags, number)))
            or (kind == "doubt" and not any(tag.kind in CONCEPTS for tag in tags[number:]))
            or (kind == "mark" and number == len(tags) - 1)
            or kind == "versus"
        ):
            found.append(tags[number])
        elif (
            kind == "stop"
            or (kind == "comma" and following not in AFTER)
            or kind in ("denied", "doubt")
            or (kind == "verb" and following not in AFTER | {"doubt", "judged", "degree", "and", "verb"})
        ):
            break
    return found


def _governs_something_else(tags: Sequence[Tag], cue: int) -> bool:
    """Whether "cannot exclude" is followed by what it speaks of."""
    return any(tag.kind in CONCEPTS for tag in tags[cue + 1 :])


def _ignored(cue: Tag, tags: Sequence[Tag], place: int, name: str, text: str) -> bool:
    """Cues that mean something else here: a prior infarct is there now; "rather than" a pattern, not a finding."""
    number = tags.index(cue)
    if cue.kind == "past" and name in _LASTING and number < place:
        words = text[cue.start : cue.end]
        return words in ("prior", "previous", "former") and all(
            tag.kind in ("degree", "wall", "level", "place", "territory", "pattern") for tag in tags[number + 1 : place]
        )
    if cue.kind == "rather":
        return tags[number + 1].kind == "pattern"
    return False


def _asserted(name: str, tags: Sequence[Tag], place: int, polarity: Status, text: str) -> Status | None:
    before = [cue.kind for cue in _cues_before(tags, place) if not _ignored(cue, tags, place, name, text)]
    after = [cue.kind for cue in _cues_after(tags, place) if not _ignored(cue, tags, place, name, text)]
    kinds = {*before, *after}
    flipped = Status.ABSENT if polarity is Status.PRESENT else Status.PRESENT
    if "unassessed" in kinds:
        return None
    if "doubt_both" in kinds:
        return Status.UNCERTAIN
    if "gone" in kinds:
        return Status.ABSENT
    if kinds & {"no_longer", "untrue"}:
        return flipped
    if kinds & {"doubt_after"} and polarity is Status.PRESENT and "denied" not in kinds:
        return Status.UNCERTAIN
    if "stays" in kinds and "denied_after" not in kinds and before.count("denied") == 0:
        return polarity
    if kinds & {"denied", "denied_after", "rather"}:
        return flipped
    if kinds & {"doubt", "mark", "versus"}:
        return Status.UNCERTAIN
    return Status.HISTORICAL if "past" in kinds else polarity


def status_of(name: str, tags: Sequence[Tag], place: int, polarity: Status, text: str) -> Status | None:
    """Status of the finding whose head is `tags[place]`; `polarity` is what the words say without any cue.

    None for what was not looked at.
    """
    return _asserted(name, tags, place, polarity, text)
