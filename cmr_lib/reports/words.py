"""A report's words in one spelling: abbreviations written out, typing errors mended, chambers by their short names.

Only the extractor reads this spelling. The text that a model sees and that people read is never changed by it.
"""

import re
import unicodedata
from functools import lru_cache

from cmr_lib.reports.lexicon import LEXICON

# What typing errors are mended to. Words that differ from these by a slip of the fingers, and are not ordinary words.
_TARGETS_TEXT = """
left right ventricle ventricles ventricular atrium atrial atria biventricular biatrial chamber chambers cavity heart
cardiac aorta aortic root ascending pericardium pericardial pleural septum septal anteroseptal inferoseptal
inferolateral anterolateral lateral anterior inferior basal apical apex wall walls segment segments territory
dilated dilatation dilation enlarged enlargement hypertrophy hypertrophic hypertrophied thickness thickened
concentric asymmetric function systolic dysfunction impaired impairment reduced depressed preserved normal
contraction ejection fraction size calibre dimensions volume volumes motion abnormality abnormalities abnormal
regional global hypokinesis hypokinesia hypokinetic akinesis akinesia akinetic dyskinesis dyskinesia dyskinetic late
delayed gadolinium enhancement hyperenhancement enhances fibrosis scar subendocardial transmural intramural
subepicardial epicardial midwall patchy diffuse insertion infarct infarction ischaemic ischemic myocardial
myocardium myocarditis cardiomyopathy amyloid amyloidosis arrhythmogenic effusion effusions effusive fluid thrombus
thrombi mild mildly moderate moderately severe severely marked markedly small large trivial without evidence
possible possibly probable probably likely unlikely suspected suspicious suggestive consistent cannot exclude
excluded history known previous previously unchanged resolved native extracellular
"""
_TARGETS = _TARGETS_TEXT.split()
# Ordinary words that look like a slip in one of the above, and are none.
_ORDINARY_TEXT = """
excludes exclusion reduces normally abnormally ischemia ischaemia infarcts suggests suggested suggesting dilates
segmental myocyte septa apically anteriorly inferiorly laterally interior enhance enhanced enhancing contractile
contractility contract contracts contracting infarcted hypertension hypertensive hypertrophies functional functions
functioning sized sizes walled resolve resolves resolving knows evident consists consisting histories marked marker
markers scare scarred scarring scars motions latter later plate cardiology rooted roots smaller larger moderated
regionally globally mildness severity impairs fluids volumetric fractions contractions flow severed cannon fibrotic
fibrous diastolic pulmonary systole diastole aortas thickening thinning thinned presented presents injection
systemic moderator pericarditis thrombosis thrombotic lately delay delays delaying intramyocardial mesocardial
"""
_ORDINARY = _ORDINARY_TEXT.split()
# Whole words of the lexicon are meant as they stand.
_LISTED = {word for _, _, pattern in LEXICON for word in re.findall(r"(?<![\\\w])[a-z]{4,}(?![\w?])", pattern)}
_KNOWN = frozenset(_TARGETS) | frozenset(_ORDINARY) | frozenset(_LISTED)
_BY_LETTER: dict[str, list[str]] = {}
for _word in _TARGETS:
    _BY_LETTER.setdefault(_word[0], []).append(_word)

_SYMBOLS = str.maketrans(
    {"–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-", "’": "'", "²": "2", "\u00a0": " ", "µ": "u"}
)
# Abbreviations, each as a pattern of whole words; longer ones first.
_SHORT: tuple[tuple[str, str], ...] = (
    (r"w/o", "without"),
    (r"c/w", "consistent with"),
    (r"i\.?k\.?w\.?", "in keeping with"),
    (r"s/p", "status post"),
    (r"h/o|hx of", "history of"),
    (r"fhx|fh|fam(?:ily)? hx", "family history"),
    (r"(?:pm)?hx", "history"),
    (r"r/o", "rule out"),
    (r"d\.?dx?", "differential"),
    (r"b/l", "bilateral"),
    (r"w/", "with "),
    (r"cf\.?", "compared with"),
    (r"nad", "normal"),
    (r"lvsd", "lv systolic dysfunction"),
    (r"rvsd", "rv systolic dysfunction"),
    (r"([lr]v)sf", r"\1 systolic function"),
    (r"([lr]v)ef", r"\1 ejection fraction"),
    (r"ef", "ejection fraction"),
    (r"lvh", "lv hypertrophy"),
    (r"rvh", "rv hypertrophy"),
    (r"ash", "asymmetric septal hypertrophy"),
    (r"rwmas?|wmas?", "regional wall motion abnormality"),
    (r"lge|dhe|mde|de", "late enhancement"),
    (r"biv", "biventricular"),
    (r"fxn|fx|fn|fct|fcn", "function"),
    (r"dysfxn|dysfx|dysfn", "dysfunction"),
    (r"nl|nml|norm", "normal"),
    (r"wnl", "within normal limits"),
    (r"mod\.?", "moderate"),
    (r"sev\.?", "severe"),
    (r"dil\.?", "dilated"),
    (r"syst?\.?", "systolic"),
    (r"diast?\.?", "diastolic"),
    (r"neg\.?", "negative"),
    (r"poss\.?", "possible"),
    (r"prob\.?", "probable"),
    (r"asc\.?", "ascending"),
    (r"ao\.?", "aorta"),
    (r"thr", "thrombus"),
    (r"eff\.?", "effusion"),
    (r"peric\.?", "pericardial"),
    (r"subendo", "subendocardial"),
    (r"subepi", "subepicardial"),
    (r"epi", "epicardial"),
    (r"hypok\.?", "hypokinesis"),
    (r"ak", "akinesis"),
    (r"inf\.?", "inferior"),
    (r"ant\.?", "anterior"),
    (r"lat\.?", "lateral"),
    (r"sept\.?", "septal"),
    (r"prev\.?", "previous"),
    (r"terr\.?", "territory"),
)
_SHORTS = [
    (re.compile(rf"(?<![\w/])(?:{pattern})(?![\w/])" if pattern != "w/" else r"(?<!\w)w/(?=\s*\w)"), full)
    for pattern, full in _SHORT
]
_ANY_SHORT = re.compile("|".join(pattern.pattern for pattern, _ in _SHORTS))
_PE = re.compile(r"\bPE\b")
_CHAMBERS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), short)
    for pattern, short in (
        (r"\bthat of the (left|right)\b(?= (?:is|was)\b)", r"that of the \1 ventricle"),
        (r"(\bpleural\b.*)\bthe (left|right) one\b", r"\1the \2 pleural effusion"),
        (r"\bsub-(?=endo|epi)", "sub"),
        (r"\bperi-(?=card)", "peri"),
        (r"\bhyper-(?=enh|trop)", "hyper"),
        (r"\bnon[- ](?=isch|dilat|enlarg|hypertr|infarct)", "non"),
        (
            r"\bmid[- ]?(?:wall|myocardial|"
            r"mural)\b",
            "midwall",
        ),
        (r"\b(?:infero|inferior)[- ]?(sept)", r"infero\1"),
        (r"\b(?:antero|anterior)[- ]?(sept)", r"antero\1"),
        (r"\b(?:infero|postero|inferior|posterior)[- ]?(lateral)", r"infero\1"),
        (r"\b(?:antero|anterior)[- ]?(lateral)", r"antero\1"),
        (r"ischaem", "ischem"),
        (r"oedema", "edema"),
        (r"\bleft anterior descending(?: coronary)?(?: artery)?\b", "lad"),
        (
            r"\b(?:left )?circumflex(?: "
            r"coronary)?(?: artery)?\b",
            "lcx",
        ),
        (r"\bright coronary(?: artery)?\b", "rca"),
        (r"\b(?:left and right|right and left|both the left and right) (?:ventric\w+)", "both ventricles"),
        (r"\b(?:left and right|right and left) (?:atri\w+)", "both atria"),
        (r"\bneither ventricle\b", "none of both ventricles"),
        (r"\bneither atrium\b", "none of both atria"),
        (r"\bleft atrial appendage\b", "appendage"),
        (r"\bleft[- ]ventric(?:le|les|ular)(?:'s)?\b", "lv"),
        (r"\bright[- ]ventric(?:le|les|ular)(?:'s)?\b", "rv"),
        (r"\bleft[- ]atri(?:um|al)\b", "la"),
        (r"\bright[- ]atri(?:um|al)\b", "ra"),
    )
)
# "the left but not the right ventricle is enlarged": said in full.
_BUT_NOT = re.compile(r"\b(?:the )?(left|right) but not (?:the )?(lv|rv|la|ra)\b(.*)")
_OTHER = {"lv": "rv", "rv": "lv", "la": "ra", "ra": "la"}
_WORD = re.compile(r"[a-z]{4,}")
_MOVED_SPACE = re.compile(r"\b([a-z]{3,}) ([a-z])([a-z]{4,})\b")


def _slip_distance(a: str, b: str, most: int) -> int:
    """Edits between two words (insert, delete, replace, swap of neighbours), or `most + 1` where there are more."""
    if abs(len(a) - len(b)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]


@lru_cache(maxsize=65536)
def mended(word: str) -> str:
    """The word that was meant: the nearest of the targets with the same first letter, or the word itself."""
    if word in _KNOWN or len(word) < 4:
        return word
    if word.startswith("no") and word[2:] in _KNOWN:
        return f"no {word[2:]}"
    most = 2 if len(word) >= 8 else 1
    near = [
        (distance, target)
        for target in _BY_LETTER.get(word[0], ())
        if len(target) > 4 and (distance := _slip_distance(word, target, most)) <= most
    ]
    if len(word) == 4:
        near = [(distance, target) for distance, target in near if len(target) == 5]
    return min(near)[1] if near else word


def _space_back(match: re.Match[str]) -> str:
    """Two words whose blank slipped by one letter ("righ tventricle"), set right; any other two stay as they are."""
    first, letter, rest = match.groups()
    slipped = first + letter in _KNOWN and rest in _KNOWN and first not in _KNOWN
    return f"{first}{letter} {rest}" if slipped else match[0]


@lru_cache(maxsize=65536)
def plain(sentence: str) -> str:
    """One sentence in the extractor's spelling: lower case, written out, mended, chambers as lv, rv, la, ra."""
    text = unicodedata.normalize("NFKC", sentence.translate(_SYMBOLS))
    if "ulmonary" not in text and "mbol" not in text:
        text = _PE.sub("pericardial effusion", text)
    text = " ".join(text.lower().split())
    if _ANY_SHORT.search(text):  # most sentences have none
        for pattern, full in _SHORTS:
            text = pattern.sub(full, text)
    text = _WORD.sub(lambda match: mended(match[0]), _MOVED_SPACE.sub(_space_back, text))
    for pattern, short in _CHAMBERS:
        text = pattern.sub(short, text)
    return _BUT_NOT.sub(lambda m: f"the {_OTHER[m[2]]}{m[3]} but the {m[2]} is not{m[3]}", text)


def is_known(word: str) -> bool:
    """Whether a lower-case word belongs to the trade, so that it is no name by itself (Wall, Small, Root)."""
    return word in _KNOWN
