"""How severe a finding is, of which pattern and kind, on which side, and which words for places belong to it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from cmr_lib.reports.assertion import CONCEPTS, Status
from cmr_lib.reports.heads import Head
from cmr_lib.reports.tagging import Tag

RUN = frozenset({"level", "wall", "numbered"})
_HEADS = CONCEPTS | {"judged"}


def severity_of(tags: Sequence[Tag], head: Head) -> str:
    """The degree beside a head: before it, inside, or behind it as its predicate."""
    low, high = sorted((head.place, head.judged if head.judged >= 0 else head.place))
    for tag in tags[low : high + 1]:
        if tag.kind == "degree":
            return tag.value
    for number in range(low - 1, -1, -1):
        if tags[number].kind == "degree":
            return tags[number].value
        if tags[number].kind in {"comma", "verb", "stop", "and", "or", "denied"} | (CONCEPTS - {"size", "function"}):
            break
    return _severity_after(tags, high)


def _severity_after(tags: Sequence[Tag], place: int) -> str:
    light = {"verb", "comma", "open", "of", "place", "level", "wall", "stop"}
    for number in range(place + 1, len(tags)):
        if tags[number].kind == "degree":
            following = tags[number + 1].kind if number + 1 < len(tags) else ""
            return "" if following in _HEADS | {"place", "pattern", "form"} else tags[number].value
        if tags[number].kind not in light or (tags[number].kind == "place" and number > place + 2):
            return ""
    return ""


def _described(tags: Sequence[Tag], number: int, owned: Mapping[int, list[Tag]]) -> tuple[int, bool]:
    """The head that the region at `number` leads to, or -1; and whether as its subject ("the apex is akinetic")."""
    subject = False
    for later in range(number + 1, len(tags)):
        kind = tags[later].kind
        if later in owned:
            return later, subject
        if kind in ("and", "comma") and not subject:
            following = next(
                (tag.kind for tag in tags[later + 1 :] if tag.kind not in ("and", "pattern", "degree")), ""
            )
            if following not in RUN:
                return -1, False
        subject |= kind == "verb"
        if kind not in RUN | {"and", "comma", "degree", "pattern", "form", "place", "verb", "denied", "doubt"}:
            return -1, False
    return -1, False


def owners_of(tags: Sequence[Tag], heads: Sequence[Head], kinds: frozenset[str]) -> dict[int, list[Tag]]:
    """Tags of these kinds by the place of the head that they describe: the one they lead to, else the one before."""
    places = sorted({head.place for head in heads})
    owned: dict[int, list[Tag]] = {place: [] for place in places}
    for number, tag in enumerate(tags):
        if tag.kind not in kinds:
            continue
        following, subject = _described(tags, number, owned)
        before = [place for place in places if place < number]
        parted = bool(before) and any(near.kind in ("stop", "comma", "and") for near in tags[before[-1] : number])
        if following >= 0 and (not before or parted or not subject):
            owned[following].append(tag)
        elif before:
            owned[before[-1]].append(tag)
        elif places:
            owned[places[0]].append(tag)
    return owned


def _forms(tags: Sequence[Tag], head: Head, owned: Sequence[Tag]) -> tuple[str, ...]:
    named = {tag.value for tag in owned if tag.kind == "form"}
    named |= {"septal" for tag in owned if tag.kind == "wall" and tag.value == "septal"}
    named |= {"apical" for tag in owned if tag.kind == "level" and tag.value == "apical"}
    return tuple(sorted(named))


def pattern_of(tags: Sequence[Tag], head: Head, owned: Sequence[Tag]) -> tuple[str, ...]:
    """Pattern of enhancement, kind of motion or form of hypertrophy; `owned` are the tags for places of this head."""
    if head.name == "wall_motion_abnormality":
        tag = tags[head.place]
        kind = tag.value if tag.kind == "wma" else ""
        if tag.kind in ("thickening", "function") and head.polarity is Status.PRESENT:
            kind = "hypokinesis"
        return (kind,) if kind and kind != "abnormal" else ()
    if head.name == "lv_hypertrophy":
        return _forms(tags, head, owned)
    if head.name not in ("lge",):
        return ()
    refused = {
        after.value for tag, after in pairwise(tags) if tag.kind == "rather" and after.kind == "pattern"
    }  # "subepicardial rather than subendocardial"
    return tuple(sorted({tag.value for tag in tags if tag.kind == "pattern"} - refused))


def side_of(tags: Sequence[Tag], head: Head) -> str:
    """The side of a pleural effusion (left, right, both), "" where none is named."""
    if head.name != "pleural_effusion":
        return ""
    near = [tag for tag in tags if tag.kind == "side"]
    return min(near, key=lambda tag: abs(tag.start - tags[head.place].start)).value if near else ""
