"""Diagnoses, findings and severity cut-points: one table for generator, reports and evaluation.

Cut-points follow common practice in CMR reporting (SCMR reporting guideline, JCMR 2022,
doi 10.1186/s12968-021-00827-z, asks for the quantities; normal ranges after Maceira 2006, SSFP, papillaries in the
mass). They name a convention; another contouring convention shifts LVEF by several points.
"""

from dataclasses import dataclass
from enum import StrEnum


class Diagnosis(StrEnum):
    """One code a study."""

    NOR = "NOR"
    DCM = "DCM"
    HCM = "HCM"
    ICM = "ICM"
    ARV = "ARV"
    AMY = "AMY"
    MYO = "MYO"
    NIF = "NIF"


@dataclass(frozen=True)
class DiagnosisRow:
    """How a diagnosis is called here and in public cohorts (None: not in that cohort)."""

    name: str
    acdc: str | None
    prompt: str  # a sentence that a reader would write; used for zero-shot classification


DIAGNOSES: dict[Diagnosis, DiagnosisRow] = {
    Diagnosis.NOR: DiagnosisRow("normal", "NOR", "Normal cardiac MRI. Normal biventricular size and function."),
    Diagnosis.DCM: DiagnosisRow("dilated cardiomyopathy", "DCM", "Findings consistent with dilated cardiomyopathy."),
    Diagnosis.HCM: DiagnosisRow(
        "hypertrophic cardiomyopathy", "HCM", "Findings consistent with hypertrophic cardiomyopathy."
    ),
    Diagnosis.ICM: DiagnosisRow(
        "ischaemic cardiomyopathy", "MINF", "Ischaemic cardiomyopathy with prior myocardial infarction."
    ),
    Diagnosis.ARV: DiagnosisRow("abnormal right ventricle", "RV", "Abnormal right ventricle, dilated and impaired."),
    Diagnosis.AMY: DiagnosisRow("cardiac amyloidosis", None, "Findings consistent with cardiac amyloidosis."),
    Diagnosis.MYO: DiagnosisRow("myocarditis", None, "Findings consistent with myocarditis."),
    Diagnosis.NIF: DiagnosisRow("other non-ischaemic fibrosis", None, "Non-ischaemic myocardial fibrosis."),
}

# Words of other public cohorts. What has no code here (hypertensive and athlete's heart, non-compaction; hypertrophy of
# any cause, which Sunnybrook defines by mass alone) gets none: a wrong label is worse than no label.
MNMS_PATHOLOGIES = {"NOR": "NOR", "DCM": "DCM", "HCM": "HCM", "ARV": "ARV", "IHD": "ICM"}
SUNNYBROOK_GROUPS = {"N": "NOR", "HF-NI": "DCM", "HF-I": "ICM"}

FIVE_CLASSES = (Diagnosis.NOR, Diagnosis.DCM, Diagnosis.HCM, Diagnosis.ICM, Diagnosis.ARV)

FINDINGS = (
    "lv_dysfunction",
    "rv_dysfunction",
    "lv_dilation",
    "rv_dilation",
    "lv_hypertrophy",
    "lge",
    "wall_motion_abnormality",
    "aortic_dilation",
    "effusion",
    "thrombus",
)

# Prompts for each finding: (present, absent). Both are used, so that negation counts. Wordings are compared on
# validation patients only (LOG.md).
FINDING_PROMPTS: dict[str, tuple[str, str]] = {
    "lv_dysfunction": (
        "Left ventricular systolic function is reduced.",
        "Left ventricular systolic function is normal.",
    ),
    "rv_dysfunction": (
        "Right ventricular systolic function is reduced.",
        "Right ventricular systolic function is normal.",
    ),
    "lv_dilation": ("The left ventricle is dilated.", "The left ventricle is normal in size."),
    "rv_dilation": ("The right ventricle is dilated.", "The right ventricle is normal in size."),
    "lv_hypertrophy": ("There is left ventricular hypertrophy.", "Left ventricular wall thickness is normal."),
    "lge": ("There is late gadolinium enhancement.", "No late gadolinium enhancement."),
    "wall_motion_abnormality": ("There is regional hypokinesis or akinesis.", "Wall motion is normal in all segments."),
    "aortic_dilation": ("The aortic root is dilated.", "The thoracic aorta is normal in calibre."),
    "effusion": ("There is a pericardial effusion.", "No pericardial effusion."),
    "thrombus": ("There is an apical left ventricular thrombus.", "No intracardiac thrombus."),
}

SEVERITIES = ("normal", "mildly", "moderately", "severely")

# (upper bounds of LVEF in % for severely, moderately, mildly reduced); at or above the last: normal.
LVEF_CUTS = (30.0, 45.0, 55.0)
RVEF_CUTS = (30.0, 40.0, 50.0)
# lower bounds of EDV index in mL/m2 for mildly, moderately, severely dilated, by sex.
LVEDVI_CUTS = {"M": (98.0, 115.0, 135.0), "F": (92.0, 108.0, 127.0)}
RVEDVI_CUTS = {"M": (106.0, 122.0, 142.0), "F": (92.0, 108.0, 127.0)}
# lower bounds of the maximal end-diastolic wall thickness in mm for mild, moderate, severe hypertrophy, by sex.
WALL_CUTS = {"M": (12.0, 15.0, 20.0), "F": (11.0, 15.0, 20.0)}
# lower bounds of the aortic root's diameter in mm for mildly, moderately, severely dilated, by sex.
AORTA_CUTS = {"M": (40.0, 45.0, 50.0), "F": (37.0, 42.0, 47.0)}
# lower bounds of the pericardial fluid's thickness in mm for a small, moderate, large effusion.
EFFUSION_CUTS = (4.0, 10.0, 20.0)
# Timing, which the order of frames alone reveals: time from end-systole to half filling, as a share of RR, from which
# on relaxation counts as slow; and delay of the lateral behind the septal wall in ms from which on (either sign) the
# contraction counts as dyssynchronous.
SLOW_FILLING_SHARE = 0.22
DELAY_MS = 40.0


def severity_below(value: float, cuts: tuple[float, float, float]) -> str:
    """Grade a quantity where low is bad (an ejection fraction, %)."""
    severe, moderate, mild = cuts
    if value < severe:
        return "severely"
    if value < moderate:
        return "moderately"
    return "mildly" if value < mild else "normal"


def severity_above(value: float, cuts: tuple[float, float, float]) -> str:
    """Grade a quantity where high is bad (a volume index, mL/m2; a wall thickness, mm)."""
    mild, moderate, severe = cuts
    if value >= severe:
        return "severely"
    if value >= moderate:
        return "moderately"
    return "mildly" if value >= mild else "normal"
