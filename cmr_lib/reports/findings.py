"""Findings of a report: what is said to be there, absent, doubtful or past, how severe, and where.

A pure function of the text. Rules and not a library: NegEx (negspacy) needs findings as phrases, but here they are a
chamber and a property with many words between, and "normal in size" denies without a negation; what it reaches on the
same sentences stands beside ours in the committed table of `tools.measure_reports`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from cmr_lib.reports.assertion import Status, status_of
from cmr_lib.reports.attributes import RUN, owners_of, pattern_of, severity_of, side_of
from cmr_lib.reports.heads import Head, heads_of
from cmr_lib.reports.segments import segments_of
from cmr_lib.reports.sentences import sentences
from cmr_lib.reports.tagging import Tag, read

MORE_FINDINGS = ("la_dilation", "ra_dilation", "pleural_effusion", "NICM")  # beside labels.FINDINGS and diagnoses
_REGIONAL = frozenset({"lge", "wall_motion_abnormality"})
_SUPPLIED = _REGIONAL | {"ICM"}
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


def _status(tags: Sequence[Tag], head: Head, text: str) -> Status | None:
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


def _without_labels(tags: Sequence[Tag], heads: Sequence[Head]) -> list[Head]:
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
    heads = [head for head in heads_of(tags, context) if head.place < _relatives(tags)]
    heads = _without_labels(tags, heads)
    regions = owners_of(tags, heads, RUN | {"form"})
    supply = owners_of(tags, [head for head in heads if head.name in _SUPPLIED], frozenset({"territory"}))
    found = []
    for head in heads:
        if (status := _status(tags, head, text)) is not None:
            where = regions.get(head.place, [])
            found.append(_described_finding(tags, head, status, where, supply.get(head.place, []), text))
    return tuple(_merged(found))


def _described_finding(
    tags: Sequence[Tag], head: Head, status: Status, where: Sequence[Tag], supply: Sequence[Tag], text: str
) -> Finding:
    """A head with its attributes."""
    return Finding(
        name=head.name,
        status=status,
        severity=severity_of(tags, head),
        pattern=pattern_of(tags, head, where) if status is not A or head.name == "lge" else (),
        territory=tuple(sorted({tag.value for tag in supply})) if head.name in _SUPPLIED else (),
        segments=segments_of(where, text) if head.name in _REGIONAL else (),
        side=side_of(tags, head),
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
