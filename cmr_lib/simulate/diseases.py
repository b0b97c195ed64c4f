"""What is wrong in one patient, and where: eight generators, everything regional in AHA segments.

Shares cite a publication where one was found; every other one is the generator's choice.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cmr_lib.labels import Diagnosis
from cmr_lib.simulate import aha, ranges

SEPTUM, LATERAL = (2, 3, 8, 9), (5, 6, 11, 12)


@dataclass(frozen=True)
class Disease:
    """What is wrong, and where: everything regional lives in AHA segments.

    Patterns of enhancement: none; subendocardial, transmural (coronary); midwall_septal, midwall_lateral,
    insertion_points, patchy, subepicardial, diffuse.
    """

    diagnosis: Diagnosis
    lge_pattern: str = "none"
    territory: str = "none"  # LAD, RCA, LCx or none
    scar_segments: tuple[int, ...] = ()
    scar_depth: float = 0.0  # share of the wall from the endocardium, for ischaemic scar
    weak_segments: tuple[int, ...] = ()  # segments that move less
    contraction: float = 1.0  # of weak segments, relative to the others: 0 akinetic, 1 normal
    thinning: float = 0.0  # of weak segments: share of the wall that is lost
    hypertrophy: str = "none"  # none, septal, apical, concentric
    septal_flattening: float = 0.0
    thrombus: bool = False  # at the apex of the left ventricle
    silent: bool = False  # body, size, function and fluid drawn as if normal: only enhancement tells

    @property
    def seems(self) -> Diagnosis:
        """The diagnosis that all but late enhancement is drawn from."""
        return Diagnosis.NOR if self.silent else self.diagnosis


def check_diagnoses(shares: dict[str, float]) -> None:
    """Raise ValueError, in one sentence, when the settings ask for a diagnosis that no generator exists for."""
    known = [item.value for item in MAKERS]
    wrong = [name for name in shares if name not in known]
    if wrong:
        raise ValueError(f"diagnoses: no generator for {', '.join(wrong)}; this hospital knows {', '.join(known)}.")


def _normal(random: np.random.Generator) -> Disease:
    """Nothing."""
    return Disease(Diagnosis.NOR)


def _infarct(random: np.random.Generator) -> Disease:
    """An old infarct: a run of segments of one territory (now and then two), thin, weak and enhanced.

    Anterior: 207 of 392 (doi 10.1148/radiol.2017161898). Depth: of 1,178 scarred segments that move badly 53 % reach at
    most half of the wall, 47 % deeper (doi 10.1186/1532-429X-13-53). Thrombus: 6.3 % of all, 12.2 % of anterior, 19.2 %
    of anterior infarcts with an LVEF below 50 % (doi 10.1186/s12968-018-0494-3).
    """
    territory = str(random.choice(["LAD", "RCA", "LCx"], p=[0.53, 0.28, 0.19]))
    pool = aha.TERRITORIES[territory]
    count = int(random.integers(2, len(pool) + 1))
    start = int(random.integers(0, len(pool) - count + 1))
    segments = set(pool[start : start + count])
    if random.random() < 0.18:
        other = str(random.choice([name for name in aha.TERRITORIES if name != territory]))
        segments |= set(aha.TERRITORIES[other][:3])
    depth = float(random.uniform(0.15, 1.0))
    pattern = "transmural" if depth > 0.7 else "subendocardial"
    return Disease(
        Diagnosis.ICM,
        lge_pattern=pattern,
        territory=territory,
        scar_segments=tuple(sorted(segments)),
        scar_depth=depth if pattern == "subendocardial" else 1.0,
        weak_segments=tuple(sorted(segments)),
        contraction=float(np.clip(random.normal(0.52 - 0.52 * depth, 0.1), 0.0, 0.5)),
        thinning=float(np.clip(random.normal(0.6 * depth - 0.15, 0.1), 0.0, 0.55)),
        thrombus=bool(segments & {13, 14, 17}) and random.random() < 0.3,
    )


def _dilated(random: np.random.Generator) -> Disease:
    """Dilated cardiomyopathy: a mid-wall septal stripe in 40 %, a weak wall without scar in some.

    Enhancement: 34 of 85 (doi 10.1016/j.jcmg.2020.11.006); septal stripe: 55 of 118 (doi 10.1186/s12968-016-0300-z).
    """
    scar = random.random() < 0.4
    weak: tuple[int, ...] = ()
    if random.random() < 0.12:
        weak = ((4, 10), (3, 9, 14), (5, 11))[int(random.integers(3))]
    return Disease(
        Diagnosis.DCM,
        lge_pattern="midwall_septal" if scar else "none",
        scar_segments=SEPTUM if scar else (),
        weak_segments=weak,
        contraction=0.35 if weak else 1.0,
        thrombus=random.random() < 0.04,
    )


def _hypertrophic(random: np.random.Generator) -> Disease:
    """Hypertrophic cardiomyopathy: septal, apical or concentric; enhancement in about 60 % (PMC3309929).

    Asymmetric septal: 46 of 74 (J Clin Imaging Sci 2021;11:14).
    """
    form = str(random.choice(["septal", "apical", "concentric"], p=[0.62, 0.16, 0.22]))
    thick = {"septal": SEPTUM, "apical": (13, 14, 15, 16, 17), "concentric": (*SEPTUM, 11, 12)}[form]
    if random.random() >= 0.6:
        return Disease(Diagnosis.HCM, hypertrophy=form)
    insertion = form != "apical" and random.random() < 0.45
    return Disease(
        Diagnosis.HCM,
        lge_pattern="insertion_points" if insertion else "patchy",
        scar_segments=SEPTUM if insertion else thick,
        hypertrophy=form,
    )


def _right(random: np.random.Generator) -> Disease:
    """An abnormal right ventricle: septal flattening in many, and then insertion-point enhancement in half.

    In pulmonary hypertension 40 of 58 had such enhancement (doi 10.1186/1532-429X-14-11); others here hardly have.
    """
    flat = float(random.uniform(0.05, 0.2)) if random.random() < 0.6 else 0.0
    scar = random.random() < (0.55 if flat else 0.1)
    return Disease(
        Diagnosis.ARV,
        lge_pattern="insertion_points" if scar else "none",
        scar_segments=SEPTUM if scar else (),
        septal_flattening=flat,
    )


def _amyloid(random: np.random.Generator) -> Disease:
    """Amyloid: concentric thickening of both ventricles; diffuse subendocardial enhancement in 85 %, from the base.

    None, subendocardial, transmural: three steps of the same disease (n 250, PMC4606985).
    """
    scar = random.random() < 0.85
    reach = int(random.integers(6, 17))  # amyloid starts at the base
    return Disease(
        Diagnosis.AMY,
        lge_pattern="diffuse" if scar else "none",
        scar_segments=tuple(range(1, reach + 1)) if scar else (),
        scar_depth=float(random.uniform(0.35, 0.75)) if scar else 0.0,
        hypertrophy="concentric",
    )


def _inflamed(random: np.random.Generator) -> Disease:
    """Myocarditis: subepicardial enhancement of the lateral or inferior wall; half of the hearts otherwise normal.

    All have enhancement, which defines the class here; of 183 proven by biopsy 101 had (PMC7660832).
    """
    where = ((5, 11), (5, 6, 11, 12), (4, 5, 10, 11), (5, 11, 16))[int(random.integers(4))]
    silent = random.random() < ranges.SILENT_SHARE
    weak = where if not silent and random.random() < 0.35 else ()
    return Disease(
        Diagnosis.MYO,
        lge_pattern="subepicardial",
        scar_segments=where,
        weak_segments=weak,
        contraction=0.5 if weak else 1.0,
        silent=silent,
    )


def _fibrosis(random: np.random.Generator) -> Disease:
    """Other non-ischaemic fibrosis: patches or a mid-wall stripe, not coronary; half of the hearts otherwise normal."""
    silent = random.random() < ranges.SILENT_SHARE
    stripe = random.random() < 0.45
    where = (
        ((5, 11), (5, 6))[int(random.integers(2))]
        if stripe
        else ((2, 3, 5), (1, 6, 7), (3, 4, 9))[int(random.integers(3))]
    )
    weak = where if not silent and random.random() < 0.3 else ()
    return Disease(
        Diagnosis.NIF,
        lge_pattern="midwall_lateral" if stripe else "patchy",
        scar_segments=where,
        weak_segments=weak,
        contraction=0.45 if weak else 1.0,
        silent=silent,
    )


MAKERS: dict[Diagnosis, Callable[[np.random.Generator], Disease]] = {
    Diagnosis.NOR: _normal,
    Diagnosis.DCM: _dilated,
    Diagnosis.HCM: _hypertrophic,
    Diagnosis.ICM: _infarct,
    Diagnosis.ARV: _right,
    Diagnosis.AMY: _amyloid,
    Diagnosis.MYO: _inflamed,
    Diagnosis.NIF: _fibrosis,
}


def draw_disease(random: np.random.Generator, diagnosis: Diagnosis) -> Disease:
    """What is wrong in one patient of a diagnosis."""
    return MAKERS[diagnosis](random)
