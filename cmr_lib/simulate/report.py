"""The report writer: five readers with their own headers, order and words, who omit, hedge, mistype and copy forward.

A report is made from a `Reading` (noisy numbers, possibly missed findings), never from the labels, so that text and
truth are related and not the same. A normal first study is, at a stated rate, the reader's ready-made text, equal word
for word. Everything in a report is invented, and the technique section says so.
"""

from dataclasses import dataclass, field

import numpy as np

from cmr_lib.params import Reader
from cmr_lib.simulate.letterhead import Letterhead, Marks, draw_marks
from cmr_lib.simulate.opinion import conclusion
from cmr_lib.simulate.phrases import CLAIMS, REMARKABLE, WRITERS, Facts, enhancement, remark
from cmr_lib.simulate.reading import Reading
from cmr_lib.simulate.slips import with_typo
from cmr_lib.simulate.styles import STYLES, Style, styles_of
from cmr_lib.simulate.voices import Speaker

__all__ = ["INVENTED", "STYLES", "Letterhead", "findings", "impression", "styles_of", "write_report"]
INVENTED = "Synthetic phantom of an invented patient; not a clinical document."
COPY_SHARE = 0.5  # how often a follow-up report repeats old sentences on parts that the reader did not look at anew
SIDE_TOPICS = ("timing", "aorta", "pericardium", "negatives")  # left out SIDE times as often where unremarkable
SIDE, REMARKED = 3.0, 0.5
MOST_LINES = 6  # of an impression
SAME_LVEF = 4  # points between two studies that count as no change
GRADES = ("none", "trivial", "small", "moderate", "large")
Before = tuple[Reading, dict[str, str]]


@dataclass(frozen=True)
class Body:
    """The medical part of a report; `found` is the findings by topic, to be copied next time."""

    findings: str
    measurements: str
    impression: str
    addendum: str = ""
    found: dict[str, str] = field(default_factory=dict)


# --- findings and measurements ----------------------------------------------------------------------------------
def _left_out(topic: str, reading: Reading, omission: float, random: np.random.Generator) -> bool:
    """Whether the reader says nothing on a topic; what is remarkable is left out more rarely."""
    if topic not in REMARKABLE:
        return False
    factor = REMARKED if REMARKABLE[topic](reading) else SIDE if topic in SIDE_TOPICS else 1.0
    return bool(random.random() < omission * factor)


def findings(
    reading: Reading, style: Style, speaker: Speaker, omission: float, before: Before | None = None
) -> dict[str, str]:
    """The sentences of the findings by topic, in the reader's order.

    Optional topics are left out with a chance that follows `omission`. In half of the follow-ups, sentences whose
    claims still hold are taken over from `before`, old numbers and all.
    """
    copies = before is not None and speaker.random.random() < COPY_SHARE
    sentences = {}
    for topic in style.order:
        if _left_out(topic, reading, omission, speaker.random):
            continue
        old = before[1].get(topic) if before and copies and topic in CLAIMS else None
        holds = old is not None and before is not None and CLAIMS[topic](reading) == CLAIMS[topic](before[0])
        sentences[topic] = old if old is not None and holds else WRITERS[topic](reading, speaker)
    return sentences


def _laid_out(found: dict[str, str], style: Style) -> str:
    """Findings as running text, a list, or behind labels."""
    if style.labels:
        parts = [(label, [found[topic] for topic in topics if topic in found]) for label, topics in style.labels]
        return "\n".join(f"{label}: {' '.join(texts)}" for label, texts in parts if texts)
    if style.bullet:
        return "\n".join(style.bullet + text for text in found.values())
    return " ".join(found.values())


def _measurements(reading: Reading, style: Style, speaker: Speaker, omission: float) -> str:
    """The numbers as this reader pastes them, some left out, LVEF never."""
    kept = [form for form in style.measures if "{lvef}" in form or speaker.random.random() >= omission]
    return style.between_measures.join(form.format_map(Facts(reading, speaker)) for form in kept)


# --- impression -------------------------------------------------------------------------------------------------
def _changes(reading: Reading, before: Reading, speaker: Speaker) -> str:
    """What has changed since the last study."""
    change = reading.lvef - before.lvef
    key = "change_same" if abs(change) < SAME_LVEF else "change_up" if change > 0 else "change_down"
    texts = [remark(key, reading, speaker, before=before.lvef)]
    now, then = GRADES.index(reading.effusion), GRADES.index(before.effusion)
    if then >= 2 > now:
        texts.append(remark("fluid_gone", reading, speaker))
    elif then > now >= 2:
        texts.append(remark("fluid_less", reading, speaker))
    elif now >= 2 and then == 0:
        texts.append(remark("fluid_new", reading, speaker))
    return " ".join(texts)


def _minor(reading: Reading, speaker: Speaker, omission: float) -> list[str]:
    """Keys of the lines that a reader may forget in an impression."""
    minor = {
        "sum_wall": reading.hypertrophy != "normal",
        "sum_aorta": reading.aortic_size != "normal",
        "sum_effusion": reading.effusion == "small",
        "sum_filling": reading.slow_relaxation,
        "sum_delay": reading.dyssynchrony,
        "sum_thrombus_doubt": reading.thrombus_doubted,
    }
    return [key for key, there in minor.items() if there and speaker.random.random() >= 2 * omission]


def impression(
    reading: Reading, style: Style, speaker: Speaker, omission: float, before: Reading | None = None
) -> list[str]:
    """The lines of the impression: what it is where the reader says so, then what matters; at most six."""
    random = speaker.random
    lines = [remark("sum_lv", reading, speaker)]
    if random.random() < style.names_diagnosis:
        lines.insert(int(random.random() < 0.4), conclusion(reading, speaker))
    if reading.thrombus_seen:
        lines.append(remark("sum_thrombus", reading, speaker))
    if reading.scar_seen or (reading.late_imaged and random.random() < 0.4):
        lines.append(enhancement(reading, speaker, short=True))
    if REMARKABLE["rv"](reading):
        lines.append(remark("sum_rv", reading, speaker))
    if reading.effusion in ("moderate", "large"):
        lines.append(remark("sum_effusion", reading, speaker))
    lines += [remark(key, reading, speaker) for key in _minor(reading, speaker, omission)]
    if before is None:
        return lines[:MOST_LINES]
    return [*lines[: MOST_LINES - 1], _changes(reading, before, speaker)]


def _numbered(lines: list[str], numbering: str) -> str:
    """The impression as numbered lines or running text."""
    if not numbering:
        return " ".join(lines)
    return "\n".join(numbering.format(number) + line for number, line in enumerate(lines, 1))


# --- the whole --------------------------------------------------------------------------------------------------
def _dictated(reading: Reading, style: Style, speaker: Speaker, settings: Reader, before: Before | None) -> Body:
    """Findings, measurements and impression made for this study."""
    omission = settings.omission_share
    found = findings(reading, style, speaker, omission, before)
    lines = impression(reading, style, speaker, omission, before[0] if before else None)
    added = speaker.random.random() < settings.addendum_share
    return Body(
        findings=_laid_out(found, style),
        measurements=_measurements(reading, style, speaker, omission),
        impression=_numbered(lines, style.numbering),
        addendum=remark("addendum", reading, speaker) if added else "",
        found=found,
    )


def _technique(reading: Reading, speaker: Speaker) -> str:
    """How it was scanned, and that all of it is invented."""
    return f"{remark('technique' if reading.late_imaged else 'technique_bare', reading, speaker)} {INVENTED}"


def _assembled(style: Style, marks: Marks | None, indication: str, technique: str, body: Body) -> str:
    """All sections under this reader's headers, with what names the patient where it may stand."""
    bodies = [indication, technique, body.findings, body.measurements, body.impression]
    sections = [f"{name}{style.behind_header}{text}" for name, text in zip(style.headers, bodies, strict=True)]
    order = (0, 1, 3, 2, 4) if style.measures_first else (0, 1, 2, 3, 4)
    blocks = [sections[place] for place in order if bodies[place]]
    if marks is not None:
        if marks.comparison:
            blocks.insert(2, f"{'COMPARISON' if style.shouts else 'Comparison'}: {marks.comparison}")
        blocks = [marks.top, *blocks, marks.signature]
    if body.addendum:
        blocks.append(f"ADDENDUM: {body.addendum}")
    return "\n\n".join(blocks) + "\n"


def write_report(
    reading: Reading,
    random: np.random.Generator,
    settings: Reader,
    before: Before | None = None,
    letterhead: Letterhead | None = None,
) -> tuple[str, dict[str, str]]:
    """A whole report and its findings by topic (to copy forward next time).

    `before` holds the reading and the findings of the previous study, where there is one; a follow-up is never
    ready-made, since it compares. `letterhead` names the patient, which a share of the reports does. Ready-made texts
    get no addendum, and a typing error at most in their indication. Raises ValueError for a site without readers.
    """
    styles = styles_of(reading.site)
    style = styles[int(random.integers(len(styles)))]
    speaker = Speaker(style.voice, style.habit, random)
    named = letterhead is not None and random.random() < settings.identifier_share
    marks = draw_marks(letterhead, reading.site, reading.sex, random) if letterhead is not None and named else None
    ready = before is None and reading.is_normal and random.random() < settings.template_share
    body = (
        Body(style.normal_findings, "", style.normal_impression)
        if ready
        else _dictated(reading, style, speaker, settings, before)
    )
    indication = " ".join(filter(None, (marks.referral if marks else "", speaker.say("indication", {}))))
    technique = _technique(reading, speaker)
    typed = [indication] if ready else [indication, body.findings, body.impression]
    if random.random() < settings.typo_share:
        typed = with_typo(typed, random)
    if not ready:
        body = Body(typed[1], body.measurements, typed[2], body.addendum, body.found)
    return _assembled(style, marks, typed[0], technique, body), body.found
