"""The sentences that stand for a diagnosis or a finding in zero-shot classification and in search by text.

A class is the mean direction of its wordings (a prompt ensemble: Radford 2021, arXiv 2103.00020, section 3.1.4), so
that no single phrase decides. The first wording of each is that of `labels`; the others say the same in other words.
Written once, before any number of theirs was seen; nothing here is chosen by a result.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from cmr_lib import labels
from cmr_lib.evaluation import embed
from cmr_lib.labels import Diagnosis

Wordings = tuple[str, ...]
PRESENT, ABSENT = 0, 1

_DIAGNOSES: dict[Diagnosis, Wordings] = {
    Diagnosis.NOR: ("Normal study.", "No evidence of cardiomyopathy. Normal cardiac MRI."),
    Diagnosis.DCM: ("Dilated cardiomyopathy with reduced systolic function.", "Non-ischaemic dilated cardiomyopathy."),
    Diagnosis.HCM: ("Hypertrophic cardiomyopathy.", "Left ventricular hypertrophy, in keeping with hypertrophic "
                    "cardiomyopathy."),
    Diagnosis.ICM: ("Prior myocardial infarction with subendocardial late enhancement.", "Ischaemic cardiomyopathy."),
    Diagnosis.ARV: ("Dilated right ventricle with reduced function.", "Right ventricular cardiomyopathy."),
    Diagnosis.AMY: ("Cardiac amyloidosis.", "Diffuse late enhancement with wall thickening, suggesting amyloidosis."),
    Diagnosis.MYO: ("Myocarditis.", "Subepicardial late enhancement, in keeping with myocarditis."),
    Diagnosis.NIF: ("Non-ischaemic pattern of late enhancement.", "Mid-wall fibrosis of non-ischaemic origin."),
}  # fmt: skip

_FINDINGS: dict[str, tuple[Wordings, Wordings]] = {
    "lv_dysfunction": (
        ("Reduced left ventricular ejection fraction.", "Left ventricular systolic dysfunction."),
        ("Normal left ventricular ejection fraction.", "No left ventricular systolic dysfunction."),
    ),
    "rv_dysfunction": (
        ("Reduced right ventricular ejection fraction.", "Right ventricular systolic dysfunction."),
        ("Normal right ventricular ejection fraction.", "No right ventricular systolic dysfunction."),
    ),
    "lv_dilation": (
        ("Dilated left ventricle.", "The left ventricular cavity is enlarged."),
        ("Normal left ventricular size.", "The left ventricle is not dilated."),
    ),
    "rv_dilation": (
        ("Dilated right ventricle.", "The right ventricular cavity is enlarged."),
        ("Normal right ventricular size.", "The right ventricle is not dilated."),
    ),
    "lv_hypertrophy": (
        ("Left ventricular hypertrophy.", "The left ventricular wall is thickened."),
        ("Normal left ventricular wall thickness.", "No left ventricular hypertrophy."),
    ),
    "lge": (
        ("Late gadolinium enhancement is present.", "There is myocardial scar on late enhancement imaging."),
        ("There is no late gadolinium enhancement.", "No myocardial scar on late enhancement imaging."),
    ),
    "wall_motion_abnormality": (
        ("Regional wall motion abnormality.", "Regional hypokinesis."),
        ("No regional wall motion abnormality.", "Normal wall motion."),
    ),
    "aortic_dilation": (
        ("Dilated ascending aorta.", "The aorta is dilated."),
        ("The aorta is normal in calibre.", "No dilation of the aorta."),
    ),
    "effusion": (
        ("Pericardial effusion.", "Pericardial effusion is present."),
        ("There is no pericardial effusion.", "The pericardium is normal, without effusion."),
    ),
    "thrombus": (
        ("Left ventricular thrombus.", "Thrombus at the left ventricular apex."),
        ("There is no intracardiac thrombus.", "No left ventricular thrombus."),
    ),
}


def diagnosis_wordings(code: str) -> Wordings:
    """The sentences of a diagnosis, that of `labels.DIAGNOSES` first. Raises ValueError for an unknown code."""
    diagnosis = Diagnosis(code)
    return (labels.DIAGNOSES[diagnosis].prompt, *_DIAGNOSES[diagnosis])


def finding_wordings(name: str, which: int = PRESENT) -> Wordings:
    """The sentences of a finding, present or absent, that of `labels.FINDING_PROMPTS` first."""
    return (labels.FINDING_PROMPTS[name][which], *_FINDINGS[name][which])


def ensembles(model: Any, tokenizer: Any, wordings: Sequence[Wordings]) -> Float[np.ndarray, "classes embed"]:
    """The mean direction of each class's wordings, as a unit vector."""
    sentences = [sentence for several in wordings for sentence in several]
    rows, found, start = embed.embed_texts(model, tokenizer, sentences).astype(float), [], 0
    for several in wordings:
        mean = rows[start : start + len(several)].mean(axis=0)
        found.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
        start += len(several)
    return np.stack(found) if found else np.zeros((0, model.config.embed_dim))
