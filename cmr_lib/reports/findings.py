"""Findings of a report: what is said to be there, absent, doubtful or past, how severe, and where.

A pure function of the text. Rules and not a library: NegEx (negspacy) needs findings as phrases, but here they are a
chamber and a property with many words between, and "normal in size" denies without a negation; what it reaches on the
same sentences stands beside ours in the committed table of `tools.measure_reports`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from cmr_lib.reports.assertion import CONCEPTS, Status, status_of
from cmr_lib.reports.segments import segments_of
from cmr_lib.reports.sentences import sentences
from cmr_lib.reports.tagging import Tag, read

MORE_FINDINGS = ("la_dilation", "ra_dilation", "pleural_effusion", "NICM")  # beside labels.FINDINGS and diagnoses
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
_HEADS = CONCEPTS | {"judged"}
_REGIONAL = frozenset({"lge", "wall_motion_abnormality"})
_SUPPLIED = _REGIONAL | {"ICM"}
_RUN = frozenset({"level", "wall", "numbered"})
_GRADES = ("", "trivial", "mildly", "moderately", "severely")
P, A = Status.PRESENT, Status.ABSENT


@dataclass(frozen=True)
class Finding:
    """One finding as a report states it; `start` and `end` frame its sentence, in characters of the text given."""

    name: str  # one of labels.FINDINGS, of MORE_FINDINGS, or a diagnosis code
    status: Status
    severity: str = ""  # "", trivial, mildly, moderately, severely
    pattern: tuple[str, ...] = ()  # of enhancement, of motion, or of hypertrophy
    territory: tuple[str, ...] = ()  # LAD, LCX, RCA
    segments: tuple[int, ...] = ()  # of 17
    side: str = ""  # of a pleural effusion: left, right, both
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class _Head:
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
def _dilation_heads(tags: Sequence[Tag], place: int, context: str) -> Iterator[_Head]:
    tag, judged = tags[place], -1
    polarity = A if tag.value == "absent" else P
    if tag.kind == "size":
        judged = _judgement(tags, place)
        if judged < 0:
            return
        polarity = A if tags[judged].value == "normal" else P
    for chamber in _places(tags, place, frozenset(_DILATION), context):
        yield _Head(_DILATION[chamber], place, polarity, judged)


def _function_heads(tags: Sequence[Tag], place: int, context: str) -> Iterator[_Head]:
    judged, polarity = -1, P
    if tags[place].kind != "weak":
        judged = _judgement(tags, place)
        if judged < 0:
            return
        polarity = P if tags[judged].value == "bad" else A
        if _is_regional(tags, place, judged):
            yield _Head("wall_motion_abnormality", place, polarity, judged)
            return
    for chamber in _places(tags, place, frozenset(_FUNCTION), context) or ("lv",):
        yield _Head(_FUNCTION[chamber], place, polarity, judged)


def _is_regional(tags: Sequence[Tag], place: int, judged: int) -> bool:
    """Whether a function or contraction is that of a wall: no chamber, but a wall beside it."""
    low, high = min(place, judged), max(place, judged)
    near = tags[max(low - 3, 0) : high + 1]
    return any(tag.kind == "wall" for tag in near) and not any(tag.kind == "place" for tag in tags[low : high + 1])


def _wall_heads(tags: Sequence[Tag], place: int, context: str) -> Iterator[_Head]:
    tag = tags[place]
    if tag.kind == "hypertrophy":
        if _places(tags, place, frozenset({"lv", "rv"}), context) != ("rv",):
            yield _Head("lv_hypertrophy", place, A if tag.value == "absent" else P)
        return
    judged = _judgement(tags, place)
    if judged < 0:
        return
    bad = tags[judged].value != "normal"
    if tag.kind == "thickness":
        yield _Head("lv_hypertrophy", place, P if tags[judged].value == "high" else A, judged)
    else:
        yield _Head("wall_motion_abnormality", place, P if bad else A, judged)


def _segment_heads(tags: Sequence[Tag], place: int, context: str) -> Iterator[_Head]:
    judged = _judgement_after(tags, place)
    if judged >= 0 and tags[judged].value == "normal" and not any(tag.kind in _NOUNS for tag in tags[:place]):
        yield _Head("wall_motion_abnormality", place, A, judged)


def _fluid_heads(tags: Sequence[Tag], place: int, context: str) -> Iterator[_Head]:
    names = {"pericardium": "effusion", "pleura": "pleural_effusion"}
    near = [tag for tag in tags[max(place - 6, 0) : place + 4] if tag.kind == "place" and tag.value in names]
    before = [tag for tag in near if tag.start <= tags[place].start]
    between = [tag.kind for tag in tags if before and before[0].end <= tag.start < before[-1].start]
    joined = bool({"or", "and"} & set(between)) and not CONCEPTS & set(between)  # "pericardial or pleural effusion"
    chosen = before if joined else (before[-1:] or near[:1])
    for tag in chosen:
        yield _Head(names[tag.value], place, P)
    if not chosen:
        sided = any(tag.kind == "side" for tag in tags[max(place - 2, 0) : place])
        yield _Head("pleural_effusion" if sided else "effusion", place, P)


def _judged_heads(tags: Sequence[Tag], place: int, claimed: set[int], context: str) -> Iterator[_Head]:
    """A chamber that is simply "normal", or a ventricle that is simply "impaired"."""
    if place in claimed:
        return
    chambers = _places(tags, place, frozenset({*_DILATION, "pericardium"}), context)
    subject = _predicate_of(tags, place)
    if tags[place].value == "bad":
        for chamber in chambers:
            if chamber in _FUNCTION and subject:
                yield _Head(_FUNCTION[chamber], place, P)
    if tags[place].value == "normal" and subject:
        for chamber in chambers:
            if chamber in _DILATION:
                yield _Head(_DILATION[chamber], place, A)
            if chamber in _FUNCTION:
                yield _Head(_FUNCTION[chamber], place, A)
            if chamber == "pericardium":
                yield _Head("effusion", place, A)


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


def _simple_heads(tags: Sequence[Tag], place: int) -> Iterator[_Head]:
    tag = tags[place]
    if tag.kind == "diagnosis":
        yield _Head(tag.value, place, P)
    elif tag.kind == "normalstudy":
        yield _Head("NOR", place, P)
    elif tag.kind == "thrombus":
        yield _Head("thrombus", place, P)
    elif tag.kind == "wma":
        yield _Head("wall_motion_abnormality", place, P)
    elif tag.kind == "lge":
        yield _Head("lge", place, A if tag.value == "absent" else P)
        if any(near.kind == "nonischemic" for near in tags[max(place - 4, 0) : place]):
            yield _Head("NIF", place, P)


_BY_KIND = {
    "dilated": _dilation_heads, "size": _dilation_heads, "function": _function_heads, "weak": _function_heads,
    "that_of": _function_heads, "hypertrophy": _wall_heads, "thickness": _wall_heads, "thickening": _wall_heads,
    "motion": _wall_heads, "segmentwise": _segment_heads, "effusion": _fluid_heads,
}  # fmt: skip


def _heads(tags: Sequence[Tag], context: str) -> list[_Head]:
    found: list[_Head] = []
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


# --- attributes --------------------------------------------------------------------------------------------------
def _severity(tags: Sequence[Tag], head: _Head) -> str:
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
            if following not in _RUN:
                return -1, False
        subject |= kind == "verb"
        if kind not in _RUN | {"and", "comma", "degree", "pattern", "form", "place", "verb", "denied", "doubt"}:
            return -1, False
    return -1, False


def _owners(tags: Sequence[Tag], heads: Sequence[_Head], kinds: frozenset[str]) -> dict[int, list[Tag]]:
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


def _forms(tags: Sequence[Tag], head: _Head, owned: Sequence[Tag]) -> tuple[str, ...]:
    named = {tag.value for tag in owned if tag.kind == "form"}
    named |= {"septal" for tag in owned if tag.kind == "wall" and tag.value == "septal"}
    named |= {"apical" for tag in owned if tag.kind == "level" and tag.value == "apical"}
    return tuple(sorted(named))


def _pattern(tags: Sequence[Tag], head: _Head, owned: Sequence[Tag]) -> tuple[str, ...]:
    if head.name == "wall_motion_abnormality":
        tag = tags[head.place]
        kind = tag.value if tag.kind == "wma" else ""
        if tag.kind in ("thickening", "function") and head.polarity is P:
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


def _side(tags: Sequence[Tag], head: _Head) -> str:
    if head.name != "pleural_effusion":
        return ""
    near = [tag for tag in tags if tag.kind == "side"]
    return min(near, key=lambda tag: abs(tag.start - tags[head.place].start)).value if near else ""


# --- a sentence --------------------------------------------------------------------------------------------------
def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """One finding a name, side and status: what is present outweighs what is absent elsewhere in the sentence."""
    by_name: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        by_name.setdefault((finding.name, finding.side), []).append(finding)
    kept: list[Finding] = []
    for group in by_name.values():
        statuses = {finding.status for finding in group}
        if P in statuses:
            statuses = {P}
        elif Status.UNCERTAIN in statuses:
            statuses = {Status.UNCERTAIN}
        for status in sorted(statuses):
            kept.append(_joined([finding for finding in group if finding.status is status]))
    return kept


def _joined(group: Sequence[Finding]) -> Finding:
    """Several mentions as one: the worst severity, all patterns and places."""
    return replace(
        group[0],
        severity=max((finding.severity for finding in group), key=_GRADES.index),
        pattern=tuple(sorted({name for finding in group for name in finding.pattern})),
        territory=tuple(sorted({name for finding in group for name in finding.territory})),
        segments=tuple(sorted({number for finding in group for number in finding.segments})),
    )


def _status(tags: Sequence[Tag], head: _Head, text: str) -> Status | None:
    """Its status; None where "not a normal ventricle" says that something is wrong and not what."""
    status = status_of(head.name, tags, max(head.place, head.judged), head.polarity, text)
    return None if tags[head.place].kind == "judged" and head.polarity is A and status is P else status


# What must stand behind "Late enhancement:" for the label itself to be the finding.
_SAYS = frozenset(
    [
        "degree",
        "pattern",
        "level",
        "wall",
        "numbered",
        "territory",
        "denied",
        "denied_after",
        "doubt",
        "doubt_after",
        "gone",
        "stays",
    ]
)


def _without_labels(tags: Sequence[Tag], heads: Sequence[_Head]) -> list[_Head]:
    """Heads without those that only name the topic: "Late enhancement: no scar" speaks of the scar."""
    colon = next((number for number, tag in enumerate(tags) if tag.kind == "colon"), -1)
    if colon < 0 and not any(tag.kind == "denied_after" for tag in tags):
        return list(heads)
    behind = {head.name for head in heads if head.place > colon}
    said = any(tag.kind in _SAYS for tag in tags[colon + 1 :]) and not any(tag.kind == "unassessed" for tag in tags)
    return [head for head in heads if head.place > colon or head.judged > colon or (head.name not in behind and said)]


def _relatives(tags: Sequence[Tag]) -> int:
    """From which tag on a sentence speaks of relatives."""
    return next((number for number, tag in enumerate(tags) if tag.kind == "relative"), len(tags))


@lru_cache(maxsize=65536)
def sentence_findings(sentence: str, context: str = "") -> tuple[Finding, ...]:
    """Findings of one sentence; `context` names the chamber that it speaks of where it names none (lv, rv, aorta …)."""
    text, tags = read(sentence)
    heads = [head for head in _heads(tags, context) if head.place < _relatives(tags)]
    heads = _without_labels(tags, heads)
    regions = _owners(tags, heads, _RUN | {"form"})
    supply = _owners(tags, [head for head in heads if head.name in _SUPPLIED], frozenset({"territory"}))
    found = []
    for head in heads:
        if (status := _status(tags, head, text)) is not None:
            where = regions.get(head.place, [])
            found.append(_described_finding(tags, head, status, where, supply.get(head.place, []), text))
    return tuple(_merged(found))


def _described_finding(
    tags: Sequence[Tag], head: _Head, status: Status, where: Sequence[Tag], supply: Sequence[Tag], text: str
) -> Finding:
    """A head with its attributes."""
    return Finding(
        name=head.name,
        status=status,
        severity=_severity(tags, head),
        pattern=_pattern(tags, head, where) if status is not A or head.name == "lge" else (),
        territory=tuple(sorted({tag.value for tag in supply})) if head.name in _SUPPLIED else (),
        segments=segments_of(where, text) if head.name in _REGIONAL else (),
        side=_side(tags, head),
    )


# --- a report ----------------------------------------------------------------------------------------------------
def findings(text: str) -> list[Finding]:
    """Findings of a report or section, sentence by sentence, in order.

    Pure: the same text gives the same findings. A label ("Right ventricle: …") is the subject of what stands behind it.
    """
    found: list[Finding] = []
    for sentence in sentences(text):
        found += [replace(finding, start=sentence.start, end=sentence.end)
                  for finding in sentence_findings(sentence.text, sentence.label)]  # fmt: skip
    return found
