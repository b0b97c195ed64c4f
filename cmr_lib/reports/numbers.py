"""Numbers of a report as numbers: which quantity, what value, which unit, indexed to body surface or not.

Nothing is converted: 4.2 cm stays 4.2 cm. A report writes a quantity once in words and its volumes, index and ventricle
around it, so each number is given to the last quantity named before it, and the unit settles what is left open.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cmr_lib.reports.sentences import sentences
from cmr_lib.reports.words import plain


@dataclass(frozen=True)
class Measurement:
    """One number of a report. `high` differs from `value` where a range is written ("55-60 %")."""

    quantity: (
        str  # lvef, rvef, lvedv, lvedvi, …, wall, aorta, effusion, t1, t2, t2star, ecv, lge_extent, heart_rate, bsa
    )
    value: float
    unit: str  # %, mL, mL/m2, g, g/m2, mm, cm, ms, bpm, m2, or "" where none is written
    high: float

    @property
    def indexed(self) -> bool:
        """Whether the number is divided by body surface area."""
        return self.unit.endswith("/m2")

    def __str__(self) -> str:
        number = f"{self.value:g}" if self.high == self.value else f"{self.value:g}-{self.high:g}"
        return f"{self.quantity}={number} {self.unit}".strip()


_QUANTITIES: tuple[tuple[str, str], ...] = (
    # (name with V for the ventricle, pattern in the plain spelling); at one place the longest match wins
    ("Vef", r"(?:(?P<v>lv|rv) ?)?(?:ejection fraction|ef\b)"),
    ("Vedvi", r"(?:lv|rv)?[- ]?edvi|(?:lv |rv )?end[- ]?diastolic volume ind(?:ex|exed)|edv ?index(?:ed)?"),
    ("Vesvi", r"(?:lv|rv)?[- ]?esvi|(?:lv |rv )?end[- ]?systolic volume ind(?:ex|exed)|esv ?index(?:ed)?"),
    ("Vedv", r"(?:lv|rv)?[- ]?edv|(?:lv |rv )?end[- ]?diastolic volume"),
    ("Vesv", r"(?:lv|rv)?[- ]?esv|(?:lv |rv )?end[- ]?systolic volume"),
    ("Vsv", r"(?:lv ?|rv ?)?sv|stroke volume"), ("Vsvi", r"(?:lv ?|rv ?)?svi|stroke volume index"),
    ("lv_mass_index", r"(?:lv ?)?(?:myocardial )?mass index|lvmi|(?:lv ?)?mass ?i\b|indexed (?:lv )?mass"),
    ("lv_mass", r"lv ?mass|(?:myocardial )?mass|lvm"),
    ("wall", r"wall(?:s)?(?: thickness(?:es)?)?|wall up to|(?:antero|infero)?sept(?:al|um|um thickness)(?: "
         r"wall)?(?: thickness)?|"
     r"ivs[d]?|thickness|hypertrophy|(?:infero|antero)lateral wall|posterior wall|(?:antero|infero)septal"),
    ("t2star", r"t2 ?\*|t2 ?star"), ("t2", r"t2(?! ?\*)(?: mapping| value| time)?"),
    ("t1", r"(?:native )?(?:myocardial )?t1(?: mapping| value| time)?"),
    ("ecv", r"ecv|extracellular volume(?: fraction)?"),
    ("aorta", r"(?:ascending |thoracic )?(?:aorta|aortic)(?: root| bulb| sinus(?:es)?| annulus)?|root|"
         r"sinus(?:es)? of valsalva"),
    ("effusion", r"(?:pericardial |pleural )?(?:effusion|fluid)"),
    ("lge_extent", r"(?:late )?(?:gadolinium )?enhancement|scar(?: burden| mass)?|fibrosis|infarct size"),
    ("heart_rate", r"heart rate|hr"), ("bsa", r"bsa|body surface(?: area)?"),
    ("other", r"cardiac output|co\b|cardiac index|ci\b|height|weight|age|dose|tr\b|te\b|gradient|velocity|fps|"
         r"flip angle|"
     r"regurgitant (?:fraction|volume)|la (?:volume|area)|ra (?:volume|area)|atrial (?:area|volume)|pulmonary "
          r"artery|thrombus|"
     r"qp/?qs|inversion time|ti\b|slice"),
)  # fmt: skip
_UNIT = (
    r"(?P<unit>%|ml ?/ ?m ?\^? ?2|ml per m2|ml per square met\w+|g ?/ ?m ?\^? ?2|g per m2|ml\b|cc\b|g\b|"
    r"grams?\b|mm\b|cm\b|ms\b|msec\b|bpm\b|/min\b|m2\b|"
    r"l/min\b|t\b|mmol\S*|kg\b|years?\b|y\b|months?\b|hz\b)?"
)
_VALUE = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:[.,]\d+)?)"
_NUMBER = re.compile(
    rf"(?<![\w.,/*])(?<!\d-)(?P<value>{_VALUE})(?: ?(?:-|to|–) ?(?P<high>{_VALUE})(?=\s*(?:%|ml|g|mm|cm|ms|"
    rf"bpm)))?\s*{_UNIT}(?![\w])"
)
_WORD = [
    (name, re.compile(rf"(?<!\w)(?:{pattern})" if name == "t2star" else rf"(?<![\w-])(?:{pattern})(?![\w])"))
    for name, pattern in _QUANTITIES
]
_SIDE = re.compile(r"(?<![a-z])(lv|rv)(?=ed|es|ef|sv|m|\b)")
_ASIDE = re.compile(
    r"(?:normal|reference|ref\.?|nl|previous(?:ly)?|prior|before|[(,;] ?was|from|cut-?off|>|<|<=|>=|≥|"
    r"≤)\s*(?:range|values?|up to|of|:|-)?\s*$"
)
_INDEX = {
    "lvedv": "lvedvi",
    "lvesv": "lvesvi",
    "rvedv": "rvedvi",
    "rvesv": "rvesvi",
    "lvsv": "lvsvi",
    "rvsv": "rvsvi",
    "lv_mass": "lv_mass_index",
}
_UNITS = {  # units that a quantity may have; another unit means that the number is of something else
    "lvef": "%", "rvef": "%", "ecv": "%", "lge_extent": "%", "t1": "ms", "t2": "ms", "t2star": "ms", "wall": "mm cm",
    "aorta": "mm cm", "effusion": "mm cm", "heart_rate": "bpm", "bsa": "m2", "lv_mass": "g", "lv_mass_index": "g/m2",
}  # fmt: skip
_NEEDS_UNIT = frozenset({"wall", "aorta", "effusion", "lge_extent", "t2", "t2star"})


def _unit(words: str | None) -> str:
    text = (words or "").replace(" per ", "/").replace(" ", "").replace("^", "")
    names = {"ml": "mL", "cc": "mL", "ml/m2": "mL/m2", "msec": "ms", "/min": "bpm", "gram": "g", "grams": "g"}
    return names.get(text, text)


def _value(text: str) -> float:
    """A number with a decimal point or comma, or with commas between thousands."""
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+", text):
        return float(text.replace(",", ""))
    return float(text.replace(",", "."))


@dataclass(frozen=True)
class _Word:
    name: str
    start: int
    end: int


def _quantities(text: str, side: str) -> list[_Word]:
    """Quantities named in a plain sentence, in order, without overlaps; V is the last ventricle named."""
    found = [_Word(name, match.start(), match.end()) for name, pattern in _WORD for match in pattern.finditer(text)]
    found.sort(key=lambda word: (word.start, -word.end))
    kept: list[_Word] = []
    for word in found:
        if kept and word.start < kept[-1].end:
            continue
        name = word.name
        if name.startswith("V"):
            named = [match for match in _SIDE.finditer(text) if match.start() < word.end]
            after = re.match(r" of (?:the )?(lv|rv)\b", text[word.end :])
            name = (after[1] if after else named[-1][1] if named else side or "lv") + name[1:]
        kept.append(_Word(name, word.start, word.end))
    return kept


def _named(words: Sequence[_Word], text: str, number: re.Match[str], used: Sequence[int]) -> str:
    """The quantity of a number: the last one before it, or the one right behind it, or with "A/B: x/y" its own."""
    before = [word for word in words if word.end <= number.start()]
    after = next((word for word in words if word.start >= number.end()), None)
    if len(before) > 1 and text[before[-2].end : before[-1].start].strip() == "/":
        pair = re.match(rf"[\s:=]*(?P<one>{_VALUE}) ?/ ?(?P<two>{_VALUE})", text[before[-1].end :])
        if pair and number.start() - before[-1].end == pair.start("one"):
            return before[-2].name
    if after and re.fullmatch(r"(?: |-)?(?:thick )?", text[number.end() : after.start]) and (not before or used):
        return after.name
    return before[-1].name if before else ""


def _accepted(name: str, unit: str) -> str:
    """The name under which the number is kept, its index settled by the unit; "" if it is of something else."""
    if unit in ("mL/m2", "g/m2"):
        name = _INDEX.get(name, name)
        return name if name.endswith(("i", "_index")) else ""
    if name.endswith("i") and unit == "mL":
        name = name[:-1]
    if name in _UNITS and unit and unit not in _UNITS[name].split():
        return ""
    if name[2:] in ("edv", "esv", "sv", "edvi", "esvi", "svi") and unit not in ("", "mL"):
        return ""
    return "" if name == "other" or (not unit and name in _NEEDS_UNIT) else name


_PAIR = re.compile(rf"(?P<one>{_VALUE}) ?/ ?(?P<two>{_VALUE})(?=\s*(?:ml|%|g|$|[,;.)]))")


@lru_cache(maxsize=65536)
def sentence_numbers(sentence: str, side: str = "") -> tuple[Measurement, ...]:
    """Measurements of one sentence; `side` (lv or rv) is the ventricle where the sentence names none."""
    text = plain(sentence)
    words = _quantities(text, side)
    found: list[Measurement] = []
    spoken: dict[int, int] = {}
    for number in _NUMBER.finditer(_PAIR.sub(_spread, text)):
        name = _named(words, text, number, list(spoken.values()))
        if not name or _ASIDE.search(text[: number.start()]):
            continue
        unit = _unit(number["unit"] or _unit_of_pair(text, number.start()))
        if kept := _accepted(name, unit):
            value = _value(number["value"])
            found.append(Measurement(kept, value, unit, _value(number["high"]) if number["high"] else value))
            spoken[number.start()] = number.end()
    return tuple(_first_of_each(found, text))


def _unit_of_pair(text: str, start: int) -> str:
    """The unit behind "180/72 mL", for the first of the two."""
    pair = re.match(rf"{_VALUE} ?/ ?{_VALUE}\s*{_UNIT}", text[start:])
    return (pair["unit"] or "") if pair else ""


def _spread(match: re.Match[str]) -> str:
    """The pair "180/72" as two numbers of the same length together, so that places in the text stay."""
    return match[0].replace("/", " ")


def _first_of_each(found: Sequence[Measurement], text: str) -> list[Measurement]:
    """One value a quantity and sentence: the first, or the last where it "has fallen from 52 % to 35 %"."""
    return list({(one.quantity, one.unit): one for one in reversed(found)}.values())[::-1]


def numbers(text: str) -> list[Measurement]:
    """Measurements of a report or section, in order; pure. Reference ranges and earlier values are left out."""
    return [
        number
        for sentence in sentences(text)
        for number in sentence_numbers(
            sentence.text, next((c for c in sentence.label.split() if c in ("lv", "rv")), "")
        )
    ]
