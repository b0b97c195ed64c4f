"""What there is to say: for each topic of a report, which sentence a reading calls for, and the facts that go in it.

How it is put is the voice's affair. A denial is made only of what was not seen, a number is printed only if it was
measured.
"""

from collections.abc import Callable
from typing import Any

from cmr_lib.simulate import aha
from cmr_lib.simulate.reading import Reading
from cmr_lib.simulate.voices import Speaker

Writer = Callable[[Reading, Speaker], str]
LEVELS = ("basal", "mid", "apical")
TERRITORIES = {"LAD": "left anterior descending", "RCA": "right coronary artery", "LCx": "left circumflex"}
NUMBERS = (
    *("lvef", "lvedv", "lvesv", "lvedvi", "mass", "mass_index", "rvef", "rvedv", "rvedvi", "wall", "aorta", "fluid"),
    *("heart_rate", "half_filling", "effusion"),
)
AKINETIC, VERY_WEAK = 0.16, 0.3  # contraction below which a segment is called akinetic, or severely hypokinetic
THIN = 0.25  # share of the wall that is lost, above which it is seen
HYPERDYNAMIC = 72  # LVEF in %
PROBABLE_SHARE = 0.08  # of seen scars: called probable
MASS_SHARE, FILLING_SHARE = 0.5, 0.65  # how often mass and a normal filling are mentioned where they may be


# --- places -----------------------------------------------------------------------------------------------------
def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _span(levels: list[str]) -> str:
    """`basal to mid`; levels that do not touch are joined by `and`."""
    ordered = [level for level in LEVELS if level in levels]
    if len(ordered) == 1:
        return ordered[0]
    return " and ".join(ordered) if ordered == ["basal", "apical"] else f"{ordered[0]} to {ordered[-1]}"


def place(segments: tuple[int, ...]) -> str:
    """Segments in words, levels of one wall joined: `basal to mid inferior and mid inferoseptal segments`."""
    if not segments:
        return ""
    levels: dict[str, list[str]] = {}
    for segment in sorted(set(segments) - {17}):
        level, wall = aha.NAMES[segment].split(" ")
        levels.setdefault(wall, []).append(level)
    parts = [f"{_span(found)} {wall}" for wall, found in levels.items()]
    if not parts:
        return "apex"
    one = len(set(segments) - {17}) == 1
    return f"{_joined(parts)} segment{'' if one else 's'}{' and the apex' if 17 in segments else ''}"


def territories(segments: tuple[int, ...]) -> list[str]:
    """Coronary territories in which segments lie, the one with most of them first."""
    shares = {name: len(set(pool) & set(segments)) for name, pool in aha.TERRITORIES.items()}
    return sorted((name for name, share in shares.items() if share), key=lambda name: -shares[name])


def _territory(segments: tuple[int, ...], long: bool = False) -> str:
    """`LAD territory`, `LAD and RCA territories`, or in full."""
    names = [TERRITORIES[name] if long else name for name in territories(segments)]
    return f"{_joined(names)} territor{'y' if len(names) == 1 else 'ies'}" if names else ""


# --- facts ------------------------------------------------------------------------------------------------------
def _kind(reading: Reading, speaker: Speaker) -> str:
    """How badly the weak segments move."""
    contraction = reading.disease.contraction
    return speaker.word(
        f"kind_{'absent' if contraction < AKINETIC else 'severe' if contraction < VERY_WEAK else 'weak'}"
    )


def _extent(reading: Reading, _speaker: Speaker) -> str:
    """How much of the wall an ischaemic scar takes, in quarters."""
    quarter = min(int(reading.disease.scar_depth * 4) * 25, 75)
    return f"more than {quarter} %" if quarter >= 50 else f"{quarter} to {quarter + 25} %"


def _function(reading: Reading, speaker: Speaker) -> str:
    """Systolic function of the left ventricle; a high LVEF has a word of its own."""
    high = reading.lvef >= HYPERDYNAMIC
    return speaker.word("function_high") if high else speaker.grade(reading.lv_function, "function")


FACTS: dict[str, Writer] = {
    "bsa": lambda reading, _: f"{reading.bsa_m2:.2f}",
    "delay": lambda reading, _: str(abs(reading.delay)),
    "lv_size": lambda reading, speaker: speaker.grade(reading.lv_size, "size"),
    "lv_noun": lambda reading, speaker: speaker.grade(reading.lv_size, "lv_noun"),
    "lv_function": _function,
    "lv_function_plain": lambda reading, speaker: speaker.grade(reading.lv_function, "function"),
    "rv_size": lambda reading, speaker: speaker.grade(reading.rv_size, "size"),
    "rv_noun": lambda reading, speaker: speaker.grade(reading.rv_size, "rv_noun"),
    "rv_function": lambda reading, speaker: speaker.grade(reading.rv_function, "function"),
    "aortic_size": lambda reading, speaker: speaker.grade(reading.aortic_size, "calibre"),
    "degree": lambda reading, speaker: speaker.voice.nouns[reading.hypertrophy],
    "form": lambda reading, speaker: speaker.word(f"form_{reading.disease.hypertrophy}"),
    "hcm": lambda reading, speaker: speaker.word(f"name_{reading.disease.hypertrophy}"),
    "kind": _kind,
    "thin": lambda reading, speaker: speaker.word("thinned") if reading.disease.thinning > THIN else "",
    "weak": lambda reading, _: place(reading.disease.weak_segments),
    "weak_territory": lambda reading, _: _territory(reading.disease.weak_segments),
    "where": lambda reading, _: place(reading.disease.scar_segments),
    "extent": _extent,
    "territory": lambda reading, _: _territory(reading.disease.scar_segments),
    "long_territory": lambda reading, _: _territory(reading.disease.scar_segments, long=True),
    "leads": lambda reading, speaker: speaker.word("leads_septum" if reading.delay > 0 else "leads_lateral"),
    "lags": lambda reading, speaker: speaker.word("lags_lateral" if reading.delay > 0 else "lags_septum"),
}


class Facts(dict[str, Any]):
    """What a sentence on a reading may be filled with, in the speaker's words; made when it is asked for."""

    def __init__(self, reading: Reading, speaker: Speaker, **more: Any) -> None:
        super().__init__(more)
        self._reading, self._speaker = reading, speaker

    def __missing__(self, name: str) -> Any:
        if name in NUMBERS:
            return getattr(self._reading, name)
        return FACTS[name](self._reading, self._speaker) if name in FACTS else self._speaker.word(name)


def remark(key: str, reading: Reading, speaker: Speaker, **more: Any) -> str:
    """The sentence of a key on a reading; raises KeyError for a key that no voice has."""
    return speaker.say(key, Facts(reading, speaker, **more))


def _scar(reading: Reading, speaker: Speaker, short: bool) -> str:
    """A scar that was seen as one phrase; in an impression (`short`) an infarct is told by its territory alone."""
    key = f"short_{reading.disease.lge_pattern}"
    key = key if short and key in speaker.voice.lines else f"scar_{reading.disease.lge_pattern}"
    return speaker.phrase(key, Facts(reading, speaker))


# --- topics of the findings -------------------------------------------------------------------------------------
def lv_size(reading: Reading, speaker: Speaker) -> str:
    """Size of the left ventricle with its volume or index."""
    return remark("lv_size", reading, speaker)


def lv_function(reading: Reading, speaker: Speaker) -> str:
    """Systolic function of the left ventricle with LVEF."""
    return remark("lv_function", reading, speaker)


def lv_wall(reading: Reading, speaker: Speaker) -> str:
    """Wall thickness, the form of hypertrophy where there is one, and now and then the mass."""
    text = remark("wall_normal" if reading.hypertrophy == "normal" else "wall_thick", reading, speaker)
    return text + (" " + remark("mass", reading, speaker) if speaker.random.random() < MASS_SHARE else "")


def motion(reading: Reading, speaker: Speaker) -> str:
    """Regional wall motion: weak segments in words, or their absence."""
    if reading.motion_seen:
        return remark("motion_regional", reading, speaker)
    key = {"normal": "motion_normal", "mildly": "motion_even"}.get(reading.lv_function, "motion_global")
    return remark(key, reading, speaker)


def timing(reading: Reading, speaker: Speaker) -> str:
    """Relaxation and synchrony; what is normal is said by some."""
    texts = []
    if reading.slow_relaxation or (reading.half_filling and speaker.random.random() < FILLING_SHARE):
        texts.append(remark("filling_slow" if reading.slow_relaxation else "filling_normal", reading, speaker))
    if reading.dyssynchrony or not texts:
        texts.append(remark("delay_seen" if reading.dyssynchrony else "delay_none", reading, speaker))
    return " ".join(texts)


def rv(reading: Reading, speaker: Speaker) -> str:
    """Size and function of the right ventricle, its wall, and the septum's curvature."""
    texts = [remark("rv", reading, speaker)]
    texts += [remark("septum_flat", reading, speaker)] if reading.septum_flat else []
    if reading.right_wall_seen:
        texts.append(remark("right_wall" if reading.hypertrophy == "normal" else "both_walls", reading, speaker))
    return " ".join(texts)


def enhancement(reading: Reading, speaker: Speaker, short: bool = False) -> str:
    """Late gadolinium enhancement: pattern and place, doubt, or absence; `short` in an impression."""
    if not reading.late_imaged:
        return remark("late_missing", reading, speaker)
    if reading.scar_seen:
        key = "late_probable" if speaker.random.random() < PROBABLE_SHARE else "late_seen"
        return remark(key, reading, speaker, scar=_scar(reading, speaker, short))
    return remark("late_doubt" if reading.scar_imagined else "late_none", reading, speaker)


def aorta(reading: Reading, speaker: Speaker) -> str:
    """The aortic root."""
    return remark("aorta_normal" if reading.aortic_size == "normal" else "aorta_wide", reading, speaker)


def pericardium(reading: Reading, speaker: Speaker) -> str:
    """Pericardial fluid, or its absence."""
    key = reading.effusion if reading.effusion in ("none", "trivial") else "effusion"
    return remark(f"pericardium_{key}", reading, speaker)


def negatives(reading: Reading, speaker: Speaker) -> str:
    """A thrombus or a doubt about one; else a pertinent negative."""
    if reading.thrombus_seen or reading.thrombus_doubted:
        return remark("thrombus_seen" if reading.thrombus_seen else "thrombus_doubt", reading, speaker)
    return remark("thrombus_none" if speaker.random.random() < 0.5 else "negatives", reading, speaker)


WRITERS: dict[str, Writer] = {
    "lv_size": lv_size,
    "lv_function": lv_function,
    "lv_wall": lv_wall,
    "motion": motion,
    "timing": timing,
    "rv": rv,
    "enhancement": enhancement,
    "aorta": aorta,
    "pericardium": pericardium,
    "negatives": negatives,
}
REMARKABLE: dict[str, Callable[[Reading], bool]] = {  # the topics that may be left out, and when they are remarkable
    "lv_wall": lambda reading: reading.hypertrophy != "normal",
    "motion": lambda reading: reading.motion_seen,
    "timing": lambda reading: reading.slow_relaxation or reading.dyssynchrony,
    "rv": lambda reading: reading.rv_size != "normal" or reading.rv_function != "normal" or reading.septum_flat,
    "aorta": lambda reading: reading.aortic_size != "normal",
    "pericardium": lambda reading: reading.effusion not in ("none", "trivial"),
    "negatives": lambda reading: reading.thrombus_seen or reading.thrombus_doubted,
}
# What a copied sentence claims in words: where the readings differ in it, the sentence must be written anew.
CLAIMS: dict[str, Callable[[Reading], tuple[Any, ...]]] = {
    "lv_wall": lambda reading: (reading.hypertrophy,),
    "enhancement": lambda reading: (reading.late_imaged, reading.scar_seen, reading.scar_imagined),
    "aorta": lambda reading: (reading.aortic_size,),
    "pericardium": lambda reading: (reading.effusion,),
    "negatives": lambda reading: (reading.thrombus_seen, reading.thrombus_doubted),
}
