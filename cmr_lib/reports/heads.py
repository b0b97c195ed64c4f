"""Which words of a sentence make a finding: a property, the judgement on it, and the chamber that it belongs to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cmr_lib.reports.assertion import CONCEPTS, Status
from cmr_lib.reports.tagging import Tag

_DILATION = {
    "lv": "lv_dilation",
    "rv": "rv_dilation",
    "la": "la_dilation",
    "ra": "ra_dilation",
    "aorta": "aortic_dilation",
}
_FUNCTION = {"lv": "lv_dysfunction", "rv": "rv_dysfunction"}
_NOUNS = frozenset({"size", "function", "thickness", "thickening", "motion"})
_PROPERTIES = frozenset({"weak", "hypertrophy", "dilated", "judged"})
P, A = Status.PRESENT, Status.ABSENT


@dataclass(frozen=True)
class Head:
    """A finding before its cues are read: the place of its tag, and of the judgement that it rests on."""

    name: str
    place: int
    polarity: Status
    judged: int = -1


# --- which judgement and which chamber belong to a word ----------------------------------------------------------
def _judgement(tags: Sequence[Tag], place: int) -> int:
    """Index of the judgement ("normal", "reduced") on the noun at `place`, or -1."""
    if tags[place].kind != "that_of":
        for number in range(place - 1, -1, -1):
            kind = tags[number].kind
            if kind == "judged":
                return number
            joined = kind == "and" and number and tags[number - 1].kind in _NOUNS | {"place"}
            if kind not in {"place", "degree", "of", "form"} | _NOUNS and not joined:
                break
    return _judgement_after(tags, place)


def _judgement_after(tags: Sequence[Tag], place: int) -> int:
    for number in range(place + 1, len(tags)):
        kind = tags[number].kind
        if kind == "judged":
            return number if not _belongs_to_next(tags, number) else -1
        if kind == "comma" and not _bare_judgement_follows(tags, number):
            return -1
        if kind in _NOUNS and tags[number - 1].kind != "and":
            return -1
        if kind in ("stop", "or") or kind in CONCEPTS - _NOUNS or (kind == "and" and not _joins(tags, number)):
            return -1
    return -1


def _joins(tags: Sequence[Tag], number: int) -> bool:
    """Whether an "and" joins nouns, chambers or places, not sentences."""
    after = tags[number + 1].kind if number + 1 < len(tags) else ""
    return after in _NOUNS | {"place", "degree", "verb", "level", "wall"}


def _belongs_to_next(tags: Sequence[Tag], judged: int) -> bool:
    """Whether a noun follows the judgement at once, behind a comma: "LV dilated, reduced RV function"."""
    if judged and tags[judged - 1].kind not in ("comma", "and"):
        return False
    rest = [tag.kind for tag in tags[judged + 1 : judged + 3]]
    return bool(rest) and (rest[0] in _NOUNS or (rest[0] == "place" and len(rest) > 1 and rest[1] in _NOUNS))


def _bare_judgement_follows(tags: Sequence[Tag], comma: int) -> bool:
    for number in range(comma + 1, len(tags)):
        if tags[number].kind == "judged":
            return not _belongs_to_next(tags, number) and tags[number - 1].kind in ("comma", "degree")
        if tags[number].kind != "degree":
            return False
    return False


def _places(tags: Sequence[Tag], place: int, allowed: frozenset[str], last: str) -> tuple[str, ...]:
    """Chambers or vessels that the word at `place` speaks of: those that follow at once, else the nearest before."""
    for number in range(place + 1, len(tags)):
        kind = tags[number].kind
        if kind == "place":
            return _named(tags, number, allowed)
        following = tags[number + 1].kind if number + 1 < len(tags) else ""
        property_follows = kind in ("comma", "and") and following in _PROPERTIES
        if kind not in {"of", "degree", "form", "size", "function", "weak", "judged", "side"} and not property_follows:
            break
    for number in range(place - 1, -1, -1):
        if tags[number].kind == "place":
            named = _named(tags, number, allowed)
            if named or tags[number].value == "other":
                return named
    return tuple(name for name in last.split() if name in allowed)


def _named(tags: Sequence[Tag], number: int, allowed: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in tags[number].value.split() if name in allowed)


# --- heads: one function a kind of word --------------------------------------------------------------------------
def _dilation_heads(tags: Sequence[Tag], place: int, context: str) -> Iterator[Head]:
    tag, judged = tags[place], -1
    polarity = A if tag.value == "absent" else P
    if tag.kind == "size":
        judged = _judgement(tags, place)
        if judged < 0:
            return
        polarity = A if tags[judged].value == "normal" else P
    for chamber in _places(tags, place, frozenset(_DILATION), context):
        yield Head(_DILATION[chamber], place, polarity, judged)


def _function_heads(tags: Sequence[Tag], place: int, context: str) -> Iterator[Head]:
    judged, polarity = -1, P
    if tags[place].kind != "weak":
        judged = _judgement(tags, place)
        if judged < 0:
            return
        polarity = P if tags[judged].value == "bad" else A
        if _is_regional(tags, place, judged):
            yield Head("wall_motion_abnormality", place, polarity, judged)
            return
    for chamber in _places(tags, place, frozenset(_FUNCTION), context) or ("lv",):
        yield Head(_FUNCTION[chamber], place, polarity, judged)


def _is_regional(tags: Sequence[Tag], place: int, judged: int) -> bool:
    """Whether a function or contraction is that of a wall: no chamber, but a wall beside it."""
    low, high = min(place, judged), max(place, judged)
    near = tags[max(low - 3, 0) : high + 1]
    return any(tag.kind == "wall" for tag in near) and not any(tag.kind == "place" for tag in tags[low : high + 1])


def _wall_heads(tags: Sequence[Tag], place: int, context: str) -> Iterator[Head]:
    tag = tags[place]
    if tag.kind == "hypertrophy":
        if _places(tags, place, frozenset({"lv", "rv"}), context) != ("rv",):
            yield Head("lv_hypertrophy", place, A if tag.value == "absent" else P)
        return
    judged = _judgement(tags, place)
    if judged < 0:
        return
    bad = tags[judged].value != "normal"
    if tag.kind == "thickness":
        yield Head("lv_hypertrophy", place, P if tags[judged].value == "high" else A, judged)
    else:
        yield Head("wall_motion_abnormality", place, P if bad else A, judged)


def _segment_heads(tags: Sequence[Tag], place: int, context: str) -> Iterator[Head]:
    judged = _judgement_after(tags, place)
    if judged >= 0 and tags[judged].value == "normal" and not any(tag.kind in _NOUNS for tag in tags[:place]):
        yield Head("wall_motion_abnormality", place, A, judged)


def _fluid_heads(tags: Sequence[Tag], place: int, context: str) -> Iterator[Head]:
    names = {"pericardium": "effusion", "pleura": "pleural_effusion"}
    near = [tag for tag in tags[max(place - 6, 0) : place + 4] if tag.kind == "place" and tag.value in names]
    before = [tag for tag in near if tag.start <= tags[place].start]
    between = [tag.kind for tag in tags if before and before[0].end <= tag.start < before[-1].start]
    joined = bool({"or", "and"} & set(between)) and not CONCEPTS & set(between)  # "pericardial or pleural effusion"
    chosen = before if joined else (before[-1:] or near[:1])
    for tag in chosen:
        yield Head(names[tag.value], place, P)
    if not chosen:
        sided = any(tag.kind == "side" for tag in tags[max(place - 2, 0) : place])
        yield Head("pleural_effusion" if sided else "effusion", place, P)


def _judged_heads(tags: Sequence[Tag], place: int, claimed: set[int], context: str) -> Iterator[Head]:
    """A chamber that is simply "normal", or a ventricle that is simply "impaired"."""
    if place in claimed:
        return
    chambers = _places(tags, place, frozenset({*_DILATION, "pericardium"}), context)
    subject = _predicate_of(tags, place)
    if tags[place].value == "bad":
        for chamber in chambers:
            if chamber in _FUNCTION and subject:
                yield Head(_FUNCTION[chamber], place, P)
    if tags[place].value == "normal" and subject:
        for chamber in chambers:
            if chamber in _DILATION:
                yield Head(_DILATION[chamber], place, A)
            if chamber in _FUNCTION:
                yield Head(_FUNCTION[chamber], place, A)
            if chamber == "pericardium":
                yield Head("effusion", place, A)


def _predicate_of(tags: Sequence[Tag], place: int) -> bool:
    """Whether the judgement stands beside a chamber, with at most verbs, degrees and denials between."""
    light = {"verb", "degree", "denied", "and", "comma", "side", "doubt", "stays", "open", "of"}
    for number in range(place - 1, -1, -1):
        if tags[number].kind == "place":
            return True
        if tags[number].kind not in light:
            break
    after = tags[place + 1].kind if place + 1 < len(tags) else ""
    return after == "place"


def _simple_heads(tags: Sequence[Tag], place: int) -> Iterator[Head]:
    tag = tags[place]
    if tag.kind == "diagnosis":
        yield Head(tag.value, place, P)
    elif tag.kind == "normalstudy":
        yield Head("NOR", place, P)
    elif tag.kind == "thrombus":
        yield Head("thrombus", place, P)
    elif tag.kind == "wma":
        yield Head("wall_motion_abnormality", place, P)
    elif tag.kind == "lge":
        yield Head("lge", place, A if tag.value == "absent" else P)
        if any(near.kind == "nonischemic" for near in tags[max(place - 4, 0) : place]):
            yield Head("NIF", place, P)


_BY_KIND = {
    "dilated": _dilation_heads, "size": _dilation_heads, "function": _function_heads, "weak": _function_heads,
    "that_of": _function_heads, "hypertrophy": _wall_heads, "thickness": _wall_heads, "thickening": _wall_heads,
    "motion": _wall_heads, "segmentwise": _segment_heads, "effusion": _fluid_heads,
}  # fmt: skip


def heads_of(tags: Sequence[Tag], context: str) -> list[Head]:
    """Every finding that a sentence's tags speak of; `context` names the chamber where the sentence names none."""
    found: list[Head] = []
    for place, tag in enumerate(tags):
        if tag.kind in _BY_KIND:
            found.extend(_BY_KIND[tag.kind](tags, place, context))
        else:
            found.extend(_simple_heads(tags, place))
    claimed = {head.judged for head in found}
    for place, tag in enumerate(tags):
        if tag.kind == "judged":
            found.extend(_judged_heads(tags, place, claimed, context))
    return found
