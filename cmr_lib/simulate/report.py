"""The report writer: three readers with their own order, headers and abbreviations, who omit, hedge and copy forward.

A report is made from a `Reading` (noisy numbers, possibly missed findings), never from the labels, so that text and
truth are related and not the same. Everything in it is invented, and the technique section says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cmr_lib.simulate import phrases
from cmr_lib.simulate.reading import Reading

Sentence = Callable[[Reading, np.random.Generator], str]
INVENTED = "Synthetic phantom of an invented patient; not a clinical document."
COPY_SHARE = 0.5  # how often a follow-up report repeats the old sentences on parts that a reader did not look at anew


@dataclass(frozen=True)
class Style:
    """One reader's habits."""

    headers: tuple[str, str, str, str]  # indication, technique, findings, impression
    order: tuple[str, ...]
    inline: bool  # text on the header's line
    table: bool  # measurements first, as a list
    numbered: bool  # impression in numbered lines
    names_diagnosis: float  # how often the impression names the disease


STYLES: tuple[Style, ...] = (
    Style(
        headers=("INDICATION", "TECHNIQUE", "FINDINGS", "IMPRESSION"),
        order=("lv_size", "lv_function", "motion", "lv_wall", "rv", "enhancement", "negatives"),
        inline=False,
        table=False,
        numbered=True,
        names_diagnosis=0.85,
    ),
    Style(
        headers=("Indication", "Technique", "Findings", "Impression"),
        order=("lv_function", "lv_size", "lv_wall", "rv", "motion", "enhancement", "negatives"),
        inline=True,
        table=False,
        numbered=False,
        names_diagnosis=0.75,
    ),
    Style(
        headers=("CLINICAL HISTORY", "TECHNIQUE", "FINDINGS", "IMPRESSION"),
        order=("enhancement", "lv_size", "lv_wall", "lv_function", "motion", "negatives", "rv"),
        inline=False,
        table=True,
        numbered=True,
        names_diagnosis=0.9,
    ),
)
WRITERS: dict[str, Sentence] = {
    "lv_size": phrases.lv_size,
    "lv_function": phrases.lv_function,
    "lv_wall": phrases.lv_wall,
    "motion": phrases.motion,
    "rv": phrases.rv,
    "enhancement": phrases.enhancement,
    "negatives": phrases.negatives,
}
OPTIONAL = ("lv_wall", "motion", "rv", "negatives")  # a hurried reader may leave these out when they are unremarkable
REMARKABLE: dict[str, Callable[[Reading], bool]] = {
    "lv_wall": lambda reading: reading.hypertrophy != "normal",
    "motion": lambda reading: reading.motion_seen,
    "rv": lambda reading: reading.rv_size != "normal" or reading.rv_function != "normal",
    "negatives": lambda reading: False,
}


def _measurements(reading: Reading) -> str:
    """The numbers as a list, as some readers paste them."""
    return (
        f"LVEDV {reading.lvedv} mL, LVEDVi {reading.lvedvi} mL/m2, LVESV {reading.lvesv} mL, LVEF {reading.lvef} %, "
        f"LV mass {reading.mass} g, RVEDVi {reading.rvedvi} mL/m2, RVEF {reading.rvef} %, wall {reading.wall} mm."
    )


def findings(
    reading: Reading, style: Style, random: np.random.Generator, omission: float, copied: dict[str, str]
) -> dict[str, str]:
    """The sentences of the findings by topic, in the reader's order; `copied` topics keep their old wording.

    Optional sentences are left out with the chance `omission`, remarkable ones half as often.
    """
    sentences = {"table": _measurements(reading)} if style.table else {}
    for topic in style.order:
        text = copied.get(topic) or WRITERS[topic](reading, random)
        chance = omission * (0.5 if topic in OPTIONAL and REMARKABLE[topic](reading) else 1.0)
        if topic not in OPTIONAL or random.random() >= chance:
            sentences[topic] = text
    return sentences


def _function_line(reading: Reading, random: np.random.Generator) -> str:
    """Size and function of the left ventricle in one line of an impression."""
    size = phrases.grade(reading.lv_size, phrases.pick(random, "Normal LV size", "Non-dilated LV"), "dilated LV")
    word = phrases.grade(reading.lv_function, "normal", phrases.pick(random, "reduced", "impaired"))
    size = size[0].upper() + size[1:]
    return phrases.pick(
        random,
        f"{size} with {word} systolic function (LVEF {reading.lvef} %).",
        f"{size}, {word} LV function, EF {reading.lvef} %.",
    )


def impression(reading: Reading, style: Style, random: np.random.Generator) -> list[str]:
    """The lines of the impression: diagnosis where the reader names it, then what matters."""
    lines = [_function_line(reading, random)]
    if REMARKABLE["rv"](reading):
        size = phrases.grade(reading.rv_size, "normal-sized", "dilated")
        word = phrases.grade(reading.rv_function, "normal", "reduced")
        lines.append(f"{size.capitalize()} RV with {word} function (RVEF {reading.rvef} %).")
    if reading.scar_seen or random.random() < 0.5:
        lines.append(phrases.enhancement(reading, random))
    if reading.hypertrophy != "normal" and random.random() < 0.7:
        lines.append(f"LV hypertrophy up to {reading.wall} mm.")
    if random.random() < style.names_diagnosis:
        lines.insert(0 if random.random() < 0.6 else len(lines), phrases.conclusion(reading, random))
    return lines


def comparison(reading: Reading, before: Reading) -> str:
    """One sentence on what has changed since the last study."""
    change = reading.lvef - before.lvef
    if abs(change) < 4:
        return f"Compared with the previous study LVEF is unchanged ({before.lvef} % before)."
    word = "improved" if change > 0 else "deteriorated"
    return f"Compared with the previous study LVEF has {word} from {before.lvef} % to {reading.lvef} %."


def _technique(reading: Reading, random: np.random.Generator) -> str:
    """How it was scanned, and that all of it is invented."""
    dose = phrases.pick(random, "0.1 mmol/kg", "0.15 mmol/kg", "0.2 mmol/kg")
    return (
        f"Breath-held SSFP cine imaging in short and long axis; late gadolinium imaging after {dose}. "
        f"Heart rate {reading.heart_rate} bpm, BSA {reading.bsa_m2:.2f} m2. {INVENTED}"
    )


def write_report(
    reading: Reading,
    random: np.random.Generator,
    omission: float,
    before: tuple[Reading, dict[str, str]] | None = None,
) -> tuple[str, dict[str, str]]:
    """A whole report and its findings by topic (to copy forward next time).

    `before` holds the reading and the findings of the previous study, where there is one.
    """
    style = STYLES[int(random.integers(len(STYLES)))]
    copied: dict[str, str] = {}
    if before and random.random() < COPY_SHARE:
        copied = {topic: before[1][topic] for topic in ("lv_wall", "enhancement", "negatives") if topic in before[1]}
    found = findings(reading, style, random, omission, copied)
    lines = impression(reading, style, random)
    if before:
        lines.append(comparison(reading, before[0]))
    numbered = [f"{number}. {line}" for number, line in enumerate(lines, 1)]
    bodies = (
        phrases.pick(random, *phrases.INDICATIONS),
        _technique(reading, random),
        " ".join(found.values()),
        "\n".join(numbered) if style.numbered else " ".join(lines),
    )
    gap = " " if style.inline else "\n"
    sections = [f"{header}:{gap}{body}" for header, body in zip(style.headers, bodies, strict=True)]
    return "\n\n".join(sections) + "\n", found
