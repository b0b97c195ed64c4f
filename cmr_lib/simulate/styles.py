"""The readers: four of the first hospital, who read for all of its sites, and the one of the second.

The first hospital's readers share a reading room, so that neither site nor scanner tells who wrote a report.
"""

from dataclasses import dataclass

from cmr_lib.simulate.identity import SECOND_SITE, SITES
from cmr_lib.simulate.voices import Voice
from cmr_lib.simulate.wording_brief import BRIEF, LABELLED
from cmr_lib.simulate.wording_north import NORTH
from cmr_lib.simulate.wording_prose import PROSE


@dataclass(frozen=True)
class Style:
    """One reader's habits."""

    name: str
    sites: tuple[str, ...]
    voice: Voice
    habit: int  # which of the voice's forms are his favourites
    headers: tuple[str, str, str, str, str]  # indication, technique, findings, measurements, impression
    behind_header: str  # what stands between a header and its text
    order: tuple[str, ...]  # of the topics in the findings
    measures: tuple[str, ...]  # the measurements, each a form with numbers
    between_measures: str
    normal_findings: str  # the ready-made text for a normal study, and its impression
    normal_impression: str
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()  # findings by part of the heart: label, topics
    bullet: str = ""  # in front of each sentence of the findings
    numbering: str = ""  # in front of each line of the impression, with {} for its number; empty: running text
    measures_first: bool = False  # measurements before the findings
    names_diagnosis: float = 0.85  # how often the impression says what it is

    @property
    def shouts(self) -> bool:
        """Whether headers are in capitals."""
        return self.headers[0].isupper()


NARRATOR = Style(
    name="narrator",
    sites=SITES,
    voice=PROSE,
    habit=0,
    headers=("INDICATION", "TECHNIQUE", "FINDINGS", "MEASUREMENTS", "IMPRESSION"),
    behind_header=":\n",
    order=(
        *("lv_size", "lv_function", "motion", "lv_wall", "timing", "rv", "enhancement", "aorta", "pericardium"),
        "negatives",
    ),
    measures=(
        *("LVEDV {lvedv} mL", "LVESV {lvesv} mL", "LVEF {lvef} %", "LV mass {mass} g", "RVEDVi {rvedvi} mL/m2"),
        "RVEF {rvef} %",
    ),
    between_measures=", ",
    normal_findings=(
        "The left ventricle is normal in size with normal wall thickness and normal systolic function. No regional "
        "wall motion abnormality. The right ventricle is normal in size and function. No late gadolinium enhancement. "
        "The thoracic aorta is normal in calibre. No pericardial effusion. No intracardiac thrombus."
    ),
    normal_impression="Normal cardiac MRI. Normal biventricular size and function, no late gadolinium enhancement.",
    numbering="{}. ",
)
DICTATOR = Style(
    name="dictator",
    sites=SITES,
    voice=PROSE,
    habit=1,
    headers=("Clinical history", "Technique", "Findings", "Measurements", "Impression"),
    behind_header=": ",
    order=(
        *("lv_function", "lv_size", "lv_wall", "rv", "motion", "enhancement", "timing", "pericardium", "negatives"),
        "aorta",
    ),
    measures=("EDV {lvedv} mL ({lvedvi} mL/m2)", "ESV {lvesv} mL", "EF {lvef} %", "mass {mass} g", "RVEF {rvef} %"),
    between_measures="; ",
    normal_findings=(
        "Normal left ventricular volumes and preserved systolic function without regional wall motion abnormality. No "
        "hypertrophy. Normal right ventricle. There is no late gadolinium enhancement to suggest scar or fibrosis. "
        "There is no pericardial effusion. Aortic root not dilated."
    ),
    normal_impression="Normal study. No evidence of cardiomyopathy, scar or fibrosis.",
    names_diagnosis=0.75,
)
LISTER = Style(
    name="lister",
    sites=SITES,
    voice=LABELLED,
    habit=0,
    headers=("CLINICAL INFORMATION", "PROTOCOL", "OBSERVATIONS", "MEASUREMENTS", "SUMMARY"),
    behind_header=":\n",
    order=(
        *("lv_size", "lv_function", "lv_wall", "motion", "timing", "rv", "enhancement", "aorta", "pericardium"),
        "negatives",
    ),
    measures=(
        *("LVEDV {lvedv} mL", "LVEDVi {lvedvi} mL/m2", "LVESV {lvesv} mL", "LVEF {lvef} %", "Mass {mass} g"),
        *("RVEDV {rvedv} mL", "RVEF {rvef} %", "Wall {wall} mm", "Aortic root {aorta} mm"),
    ),
    between_measures="\n",
    normal_findings=(
        "Left ventricle: Normal size, wall thickness and systolic function.\nWall motion: No regional abnormality.\n"
        "Right ventricle: Normal size and function.\nLate enhancement: None.\nGreat vessels: Aortic root normal.\n"
        "Pericardium: No effusion.\nOther: No thrombus."
    ),
    normal_impression="Normal CMR study.",
    labels=(
        ("Left ventricle", ("lv_size", "lv_function", "lv_wall")),
        ("Wall motion", ("motion",)),
        ("Timing", ("timing",)),
        ("Right ventricle", ("rv",)),
        ("Late enhancement", ("enhancement",)),
        ("Great vessels", ("aorta",)),
        ("Pericardium", ("pericardium",)),
        ("Other", ("negatives",)),
    ),
    numbering="{}) ",
    measures_first=True,
    names_diagnosis=0.9,
)
HURRIED = Style(
    name="hurried",
    sites=SITES,
    voice=BRIEF,
    habit=0,
    headers=("Clinical details", "Procedure", "Report", "Measurements", "Opinion"),
    behind_header=": ",
    order=(
        *("enhancement", "lv_size", "lv_wall", "lv_function", "motion", "negatives", "rv", "timing", "pericardium"),
        "aorta",
    ),
    measures=("EDV {lvedv}", "ESV {lvesv}", "EF {lvef}", "mass {mass}", "RVEDV {rvedv}", "RVEF {rvef}"),
    between_measures=" / ",
    normal_findings=(
        "No LGE. LV normal size, no LVH, normal function, no RWMA. No thrombus. RV normal. No effusion. Ao root normal."
    ),
    normal_impression="Normal CMR.",
    names_diagnosis=0.8,
)
NORTHERNER = Style(
    name="northerner",
    sites=(SECOND_SITE,),
    voice=NORTH,
    habit=0,
    headers=("CLINICAL QUESTION", "SEQUENCES", "RESULTS", "MEASUREMENTS", "CONCLUSION"),
    behind_header="\n",
    order=(
        *("pericardium", "aorta", "rv", "lv_size", "lv_wall", "lv_function", "motion", "timing", "enhancement"),
        "negatives",
    ),
    measures=(
        "EDV {lvedv} ml",
        "ESV {lvesv} ml",
        "EF {lvef} %",
        "RVEDV {rvedv} ml",
        "RVEF {rvef} %",
        "bulb {aorta} mm",
    ),
    between_measures="; ",
    normal_findings=(
        "- Pericardium dry.\n- Right and left cavity not enlarged, walls not thickened.\n- Good pump function on both "
        "sides, kinetics regular everywhere.\n- Delayed images without hyperenhancement.\n- Cavities free of clot."
    ),
    normal_impression="Heart without pathology.",
    bullet="- ",
    numbering="- ",
)
STYLES: tuple[Style, ...] = (NARRATOR, DICTATOR, LISTER, HURRIED, NORTHERNER)


def styles_of(site: str) -> tuple[Style, ...]:
    """Who reads for a site; raises ValueError for a site that nobody reads for."""
    found = tuple(style for style in STYLES if site in style.sites)
    if not found:
        raise ValueError(f"Nobody reads for site {site!r}; known are {', '.join((*SITES, SECOND_SITE))}.")
    return found
