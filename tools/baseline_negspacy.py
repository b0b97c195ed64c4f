"""Plain NegEx on the hand-marked sentences: negspacy on a blank spaCy model with a list of phrases.

    python tools/baseline_negspacy.py dev held_out      # in an environment of its own: pip install negspacy==1.1.0

Neither library is a dependency here; the statuses it finds are committed as tests/data/report_sentences/negspacy_*.csv
and scored by `tools.measure_reports`. NegEx knows present and absent only.
"""

import csv
import sys
from pathlib import Path

FOLDER = Path("tests/data/report_sentences")
# Phrases as a user of the library would list them, from the names of the findings and their usual synonyms.
PHRASES = {
    "lv_dysfunction": "left ventricular dysfunction|left ventricular systolic dysfunction|lv dysfunction|lvsd|"
         "reduced left "
    "ventricular function|impaired left ventricular function|impaired systolic function of the left ventricle|"
         "reduced lv "
    "function|impaired lv function|reduced lvef|global hypokinesis|severely reduced systolic function",
    "rv_dysfunction": "right ventricular dysfunction|right ventricular systolic dysfunction|rv dysfunction|"
         "reduced right "
    "ventricular function|impaired right ventricular function|reduced rv function|impaired rv function|rvsd",
    "lv_dilation": "left ventricular dilatation|left ventricular dilation|left ventricular enlargement|lv "
         "dilatation|lv dilation|"
    "dilated left ventricle|dilated lv|enlarged left ventricle|left ventricle is dilated|left ventricle is "
         "enlarged|lv dilated",
    "rv_dilation": "right ventricular dilatation|right ventricular dilation|right ventricular enlargement|rv "
         "dilatation|rv dilation|"
    "dilated right ventricle|dilated rv|enlarged right ventricle|right ventricle is dilated|right ventricle is "
         "enlarged|rv dilated",
    "lv_hypertrophy": "left ventricular hypertrophy|lv hypertrophy|lvh|septal hypertrophy|concentric "
         "hypertrophy|hypertrophy",
    "lge": "late gadolinium enhancement|late enhancement|delayed enhancement|hyperenhancement|enhancement|lge|"
         "scar|fibrosis",
    "wall_motion_abnormality": "wall motion abnormality|wall motion abnormalities|rwma|hypokinesis|hypokinesia|"
         "hypokinetic|akinesis|"
    "akinesia|akinetic|dyskinesis|dyskinesia|dyskinetic",
    "aortic_dilation": "aortic dilatation|aortic dilation|dilated aorta|dilated aortic root|aortic root "
         "dilatation|dilated ascending "
    "aorta|aortic aneurysm|aortic root is dilated",
    "effusion": "pericardial effusion|effusion", "thrombus": "thrombus|thrombi|clot",
    "pleural_effusion": "pleural effusion|pleural effusions", "la_dilation": "left atrial enlargement|dilated "
         "left atrium|left atrial "
    "dilatation|left atrial dilation|left atrium is enlarged|left atrium is dilated",
    "ra_dilation": "right atrial enlargement|dilated right atrium|right atrial dilatation|right atrial dilation|"
         "right atrium is dilated",
    "DCM": "dilated cardiomyopathy|dcm", "HCM": "hypertrophic cardiomyopathy|hcm", "NICM": "non-ischaemic "
         "cardiomyopathy|nicm",
    "ICM": "ischaemic cardiomyopathy|ischemic cardiomyopathy|myocardial infarction|infarction|infarct|mi|icm",
    "ARV": "arvc|arrhythmogenic right ventricular cardiomyopathy", "AMY": "amyloidosis|amyloid", "MYO": "myocarditis",
    "NIF": "non-ischaemic fibrosis|non-ischaemic scar", "NOR": "normal study|normal cardiac mri|normal cmr|"
         "structurally normal heart",
}  # fmt: skip


def pipeline():  # noqa: ANN201 (spaCy is no dependency)
    """A blank English model with sentences, the phrases, and NegEx."""
    import spacy
    from negspacy.negation import Negex  # noqa: F401 (registers the component)

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    ruler = nlp.add_pipe("entity_ruler", config={"phrase_matcher_attr": "LOWER"})
    ruler.add_patterns(
        [{"label": name, "pattern": phrase} for name, text in PHRASES.items() for phrase in text.split("|")]
    )
    nlp.add_pipe("negex", config={"ent_types": list(PHRASES)})
    return nlp


def write(half: str) -> None:
    """Read a half, write what NegEx says of it: rows (id, finding, status)."""
    nlp = pipeline()
    with (FOLDER / f"{half}.csv").open(encoding="utf-8", newline="") as file:
        sentences = [(row["id"], row["sentence"]) for row in csv.DictReader(file)]
    with (FOLDER / f"negspacy_{half}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "finding", "status"))
        for key, sentence in sentences:
            said = {(entity.label_, "absent" if entity._.negex else "present") for entity in nlp(sentence).ents}
            writer.writerows((key, name, status) for name, status in sorted(said))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write(name)
