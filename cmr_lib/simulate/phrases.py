"""Sentences of cardiac reports. Each function returns one sentence in the reader's own wording, from a `Reading`.

The vocabulary follows the items that the SCMR reporting guideline asks for (JCMR 2022,
doi 10.1186/s12968-021-00827-z); the sentences are our own.
"""

import numpy as np

from cmr_lib.labels import Diagnosis
from cmr_lib.simulate import aha
from cmr_lib.simulate.reading import Reading

LEVEL_ORDER = ("basal", "mid", "apical")
TERRITORY_WORDS = {
    "LAD": ("left anterior descending", "LAD"),
    "RCA": ("right coronary artery", "RCA"),
    "LCx": ("left circumflex", "LCx"),
}
INDICATIONS = (
    "Dyspnoea on exertion.",
    "Chest pain.",
    "Palpitations.",
    "Abnormal ECG.",
    "Assessment of ventricular function and viability.",
    "Suspected cardiomyopathy.",
    "Family history of sudden death.",
    "Inconclusive echocardiogram.",
    "Syncope.",
    "Ventricular ectopy on Holter monitoring.",
)


def pick(random: np.random.Generator, *options: str) -> str:
    """One of the options."""
    return options[int(random.integers(len(options)))]


def walls(segments: tuple[int, ...]) -> str:
    """Segments in words, levels of the same wall joined: `basal to mid inferior and mid inferoseptal`."""
    levels: dict[str, list[str]] = {}
    for segment in segments:
        if segment != 17:
            level, wall = aha.NAMES[segment].split(" ")
            levels.setdefault(wall, []).append(level)
    parts = []
    for wall, found in levels.items():
        ordered = [level for level in LEVEL_ORDER if level in found]
        parts.append(f"{ordered[0] if len(ordered) == 1 else f'{ordered[0]} to {ordered[-1]}'} {wall}")
    if 17 in segments:
        parts.append("apex")
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def grade(severity: str, normal: str, bad: str) -> str:
    """`mildly dilated`, or the word for normal."""
    return normal if severity == "normal" else f"{severity} {bad}"


def lv_size(reading: Reading, random: np.random.Generator) -> str:
    """Size of the left ventricle with its volume and index."""
    size = grade(reading.lv_size, pick(random, "normal in size", "of normal size", "not dilated"), "dilated")
    return pick(
        random,
        f"The left ventricle is {size} (LVEDV {reading.lvedv} mL, LVEDVi {reading.lvedvi} mL/m2).",
        f"LV is {size}, EDV {reading.lvedv} mL, indexed {reading.lvedvi} mL/m2, ESV {reading.lvesv} mL.",
        f"Left ventricle {size} with an end-diastolic volume index of {reading.lvedvi} mL/m2.",
    )


def lv_function(reading: Reading, random: np.random.Generator) -> str:
    """Systolic function of the left ventricle with LVEF."""
    if reading.lvef >= 72:
        word = pick(random, "hyperdynamic", "normal to hyperdynamic")
    else:
        word = grade(reading.lv_function, pick(random, "normal", "preserved"), pick(random, "reduced", "impaired"))
    return pick(
        random,
        f"Left ventricular systolic function is {word}, LVEF {reading.lvef} %.",
        f"Global LV systolic function {word} with an EF of {reading.lvef} %.",
        f"LVEF is {reading.lvef} % ({word}).",
    )


def lv_wall(reading: Reading, random: np.random.Generator) -> str:
    """Wall thickness and mass; the form of hypertrophy where there is one."""
    mass = pick(
        random, f" LV mass {reading.mass} g ({reading.mass_index} g/m2).", f" Mass index {reading.mass_index} g/m2.", ""
    )
    if reading.hypertrophy == "normal":
        plain = (
            f"Wall thickness is normal (maximum {reading.wall} mm).",
            f"Normal LV wall thickness, up to {reading.wall} mm.",
            f"No left ventricular hypertrophy, maximal wall thickness {reading.wall} mm.",
        )
        return pick(random, *plain) + mass
    form = {
        "septal": pick(random, "asymmetric septal hypertrophy", "asymmetric hypertrophy of the septum"),
        "apical": pick(random, "apical hypertrophy", "hypertrophy confined to the apical segments"),
        "concentric": pick(random, "concentric left ventricular hypertrophy", "concentric LVH"),
    }.get(reading.disease.hypertrophy, pick(random, "left ventricular hypertrophy", "thickening of the LV wall"))
    degree = {"mildly": "mild", "moderately": "moderate", "severely": "severe"}[reading.hypertrophy]
    return (
        pick(
            random,
            f"There is {degree} {form}, maximum {reading.wall} mm.",
            f"{degree.capitalize()} {form} with a maximal end-diastolic thickness of {reading.wall} mm.",
        )
        + mass
    )


def motion(reading: Reading, random: np.random.Generator) -> str:
    """Regional wall motion: weak segments in words, or their absence."""
    disease = reading.disease
    if not reading.motion_seen:
        if reading.lv_function in ("moderately", "severely"):
            return pick(random, "Global hypokinesis.", "Diffuse hypokinesis without a regional pattern.")
        return pick(
            random,
            "No regional wall motion abnormality.",
            "There is no regional wall motion abnormality.",
            "Wall motion is normal in all segments.",
        )
    kind = (
        "akinesis"
        if disease.contraction < 0.16
        else "severe hypokinesis"
        if disease.contraction < 0.3
        else "hypokinesis"
    )
    thin = " with wall thinning" if disease.thinning > 0.25 else ""
    return pick(
        random,
        f"There is {kind} of the {walls(disease.weak_segments)} segments{thin}.",
        f"Regional wall motion abnormality: {kind} of the {walls(disease.weak_segments)} wall{thin}.",
        f"{kind.capitalize()} of {walls(disease.weak_segments)} segments{thin}.",
    )


def rv(reading: Reading, random: np.random.Generator) -> str:
    """Size and function of the right ventricle."""
    size = grade(reading.rv_size, pick(random, "normal in size", "of normal size"), "dilated")
    word = grade(reading.rv_function, pick(random, "normal", "preserved"), pick(random, "reduced", "impaired"))
    flat = " The interventricular septum is flattened." if reading.disease.septal_flattening > 0.09 else ""
    return (
        pick(
            random,
            f"The right ventricle is {size} (RVEDVi {reading.rvedvi} mL/m2) with {word} systolic function, "
            f"RVEF {reading.rvef} %.",
            f"RV {size}, EDV {reading.rvedv} mL, indexed {reading.rvedvi} mL/m2. RVEF {reading.rvef} % ({word}).",
            f"Right ventricle {size}; RV systolic function {word} with an RVEF of {reading.rvef} %.",
        )
        + flat
    )


def _scar_pattern(reading: Reading, random: np.random.Generator) -> str:
    """The pattern of enhancement in words."""
    disease = reading.disease
    where = walls(disease.scar_segments)
    if disease.lge_pattern in ("subendocardial", "transmural"):
        full, short = TERRITORY_WORDS[disease.territory]
        depth = min(int(disease.scar_depth * 4) * 25, 75)
        extent = f"more than {depth} %" if depth >= 50 else f"{depth} to {depth + 25} %"
        word = "transmural" if disease.lge_pattern == "transmural" else "subendocardial"
        return pick(
            random,
            f"{word} late gadolinium enhancement ({extent} of wall thickness) of the {where} segments in the {short} "
            "territory",
            f"{word} LGE in the {where} wall, {full} territory",
            f"{word} LGE involving {where} segments, {extent} transmurality, {short} territory",
        )
    return {
        "midwall_septal": pick(
            random, "mid-wall septal late gadolinium enhancement", "a linear mid-wall stripe of LGE in the septum"
        ),
        "insertion_points": pick(
            random, "late gadolinium enhancement at the RV insertion points", "LGE confined to the RV insertion points"
        ),
        "patchy": pick(
            random,
            f"patchy mid-wall late gadolinium enhancement of the {where} segments",
            "patchy LGE in the hypertrophied segments",
        ),
    }[disease.lge_pattern]


def enhancement(reading: Reading, random: np.random.Generator) -> str:
    """Late gadolinium enhancement: pattern and place, doubt, or absence."""
    if reading.scar_imagined:
        return pick(
            random, "Possible faint LGE at the inferior RV insertion point.", "Subtle septal LGE cannot be excluded."
        )
    if not reading.scar_seen:
        return pick(
            random,
            "No late gadolinium enhancement.",
            "There is no late gadolinium enhancement to suggest scar or fibrosis.",
            "No LGE.",
            "No evidence of myocardial scar on late gadolinium imaging.",
        )
    pattern = _scar_pattern(reading, random)
    if random.random() < 0.08:
        return f"Probable {pattern}."
    return pick(random, f"There is {pattern}.", f"{pattern[0].upper()}{pattern[1:]}.", f"Late imaging shows {pattern}.")


def negatives(reading: Reading, random: np.random.Generator) -> str:
    """A pertinent negative that is true of every phantom."""
    return pick(
        random,
        "No pericardial effusion.",
        "No intracardiac thrombus.",
        "No pericardial effusion. No thrombus.",
        "No significant valve disease.",
        "The thoracic aorta is normal in calibre.",
        "No significant extracardiac finding.",
    )


def conclusion(reading: Reading, random: np.random.Generator) -> str:
    """The diagnosis as an impression, hedged now and then; never a plain code."""
    disease = reading.disease
    hedge = pick(random, "Findings consistent with", "Appearances in keeping with", "Likely", "Findings suggest")
    if disease.diagnosis is Diagnosis.NOR:
        if "normal" == reading.lv_size == reading.lv_function == reading.hypertrophy:
            return pick(random, "Normal cardiac MRI.", "Normal study.", "No evidence of cardiomyopathy.")
        return pick(random, "No specific cardiomyopathy identified.", "Borderline findings of uncertain significance.")
    if disease.diagnosis is Diagnosis.ICM:
        full, short = TERRITORY_WORDS[disease.territory]
        return pick(
            random,
            f"Prior myocardial infarction in the {short} territory.",
            f"{hedge} ischaemic cardiomyopathy, {full} territory.",
            f"Ischaemic cardiomyopathy with an old {short} infarct.",
        )
    if disease.diagnosis is Diagnosis.HCM:
        form = {"septal": "asymmetric septal ", "apical": "apical ", "concentric": "concentric "}[disease.hypertrophy]
        return f"{hedge} {pick(random, form, '')}hypertrophic cardiomyopathy{pick(random, '', ' (HCM)')}."
    if disease.diagnosis is Diagnosis.DCM:
        name = pick(random, "dilated cardiomyopathy", "non-ischaemic dilated cardiomyopathy", "DCM")
        return f"{hedge} {name}."
    return pick(
        random,
        f"{hedge} right ventricular cardiomyopathy or pressure overload.",
        "Abnormal right ventricle, dilated and impaired.",
        f"{hedge} right heart disease; pulmonary hypertension or ARVC should be considered.",
    )
