"""Who the invented patients are: body, disease and target sizes, drawn so that no single number tells the diagnosis.

Normal ranges are those of Maceira 2006 for balanced SSFP with the papillary muscles in the mass (left ventricle:
doi 10.1080/10976640600572889; right ventricle: doi 10.1093/eurheartj/ehl336), as collected in the design notes. The
disease ranges are the generator's own choice around published definitions (ACDC class rules, HCM wall >= 15 mm), made
wide enough to overlap; they are not epidemiology.
"""

from dataclasses import dataclass, replace

import numpy as np

from cmr_lib import project
from cmr_lib.labels import FIVE_CLASSES, Diagnosis
from cmr_lib.simulate import aha

Range = tuple[float | int, float | int, float | int, float | int]  # mean, standard deviation, lowest, highest


@dataclass(frozen=True)
class Person:
    """Body of a patient: sex M or F, age in years, height in cm, weight in kg."""

    sex: str
    age: int
    height_cm: float
    weight_kg: float

    @property
    def bsa_m2(self) -> float:
        """Body surface area in m² (Mosteller 1987)."""
        return float(np.sqrt(self.height_cm * self.weight_kg / 3600))

    @property
    def bmi(self) -> float:
        """Body mass index in kg/m²."""
        return self.weight_kg / (self.height_cm / 100) ** 2


@dataclass(frozen=True)
class Disease:
    """What is wrong, and where: everything regional lives in AHA segments."""

    diagnosis: Diagnosis
    lge_pattern: str = "none"  # none, subendocardial, transmural, midwall_septal, insertion_points, patchy
    territory: str = "none"  # LAD, RCA, LCx or none
    scar_segments: tuple[int, ...] = ()
    scar_depth: float = 0.0  # share of the wall from the endocardium, for ischaemic scar
    weak_segments: tuple[int, ...] = ()  # segments that move less
    contraction: float = 1.0  # of weak segments, relative to the others: 0 akinetic, 1 normal
    thinning: float = 0.0  # of weak segments: share of the wall that is lost
    hypertrophy: str = "none"  # none, septal, apical, concentric
    septal_flattening: float = 0.0


@dataclass(frozen=True)
class Targets:
    """What one study is built to show (mL, %, mm); the truth table holds what the rasterised heart then has."""

    lvedv_ml: float
    lvef: float
    wall_mm: float
    rvedv_ml: float
    rvef: float


@dataclass(frozen=True)
class Latents:
    """One study of one patient, before any image exists."""

    patient: int
    study: int
    person: Person
    disease: Disease
    targets: Targets
    heart_rate: float
    shape_seed: int  # the same for all studies of a patient: anatomy stays
    days_after_first: int = 0


# Left-ventricular EDV index in mL/m², by sex. NOR: Maceira 2006 (80±9, 63–98; 75±9, 57–92).
LVEDVI: dict[Diagnosis, dict[str, Range]] = {
    Diagnosis.NOR: {"M": (80, 9, 63, 98), "F": (75, 9, 57, 92)},
    Diagnosis.DCM: {"M": (126, 22, 94, 200), "F": (116, 20, 88, 185)},  # ACDC: > 100 mL/m²; milder ones let in
    Diagnosis.HCM: {"M": (75, 11, 52, 100), "F": (70, 10, 48, 94)},
    Diagnosis.ICM: {"M": (98, 20, 64, 165), "F": (91, 18, 60, 150)},
    Diagnosis.ARV: {"M": (80, 12, 55, 106), "F": (75, 11, 52, 98)},
}
# LVEF in %. NOR: Maceira 2006 gives 67±4.6 (58–76); a little lower and wider here, so that it meets mild disease.
LVEF: dict[Diagnosis, Range] = {
    Diagnosis.NOR: (63.5, 4.6, 55.5, 74),
    Diagnosis.DCM: (34, 10, 13, 54),  # ACDC: < 40 %; mild ones up to 54
    Diagnosis.HCM: (67, 6, 50, 79),  # ACDC: > 55 %
    Diagnosis.ICM: (42, 9, 16, 60),  # replaced by a draw that follows the infarct's size
    Diagnosis.ARV: (60, 6, 42, 73),
}
# Largest end-diastolic wall thickness in mm; men <= 12, women <= 11 is normal; HCM >= 15 in the classical definition.
WALL: dict[Diagnosis, dict[str, Range]] = {
    Diagnosis.NOR: {"M": (9.6, 1.0, 7.2, 12.2), "F": (8.5, 0.9, 6.5, 11.2)},
    Diagnosis.DCM: {"M": (9.3, 1.3, 6.5, 12.5), "F": (8.6, 1.2, 6.2, 11.8)},
    Diagnosis.HCM: {"M": (18.0, 3.8, 12.0, 31), "F": (17.0, 3.6, 11.2, 29)},
    Diagnosis.ICM: {"M": (10.2, 1.2, 7.5, 13.5), "F": (9.3, 1.1, 7.0, 12.5)},
    Diagnosis.ARV: {"M": (9.6, 1.1, 7.0, 12.5), "F": (8.6, 1.0, 6.5, 11.5)},
}
# Right-ventricular EDV index in mL/m². NOR: Maceira 2006 (83±12, 60–106; 73±9, 55–92).
RVEDVI: dict[Diagnosis, dict[str, Range]] = {
    Diagnosis.NOR: {"M": (83, 12, 60, 106), "F": (73, 9, 55, 92)},
    Diagnosis.DCM: {"M": (92, 17, 60, 140), "F": (82, 15, 55, 125)},
    Diagnosis.HCM: {"M": (78, 11, 55, 104), "F": (70, 9, 50, 90)},
    Diagnosis.ICM: {"M": (84, 13, 58, 118), "F": (75, 11, 52, 104)},
    Diagnosis.ARV: {"M": (130, 20, 94, 190), "F": (116, 18, 84, 170)},  # ACDC: > 110 (m), > 100 (f)
}
# RVEF in %. NOR: Maceira 2006 gives 66±6 (54–78).
RVEF: dict[Diagnosis, Range] = {
    Diagnosis.NOR: (61, 5, 51, 73),
    Diagnosis.DCM: (47, 9, 20, 64),
    Diagnosis.HCM: (64, 6, 48, 77),
    Diagnosis.ICM: (55, 8, 28, 69),
    Diagnosis.ARV: (38, 8, 18, 54),  # ACDC: < 40 % or a large RV
}


def draw(random: np.random.Generator, limits: Range, shift: float = 0.0) -> float:
    """A normal draw, moved by `shift`, folded back into its range."""
    mean, deviation, low, high = limits
    return float(np.clip(random.normal(mean + shift, deviation), low, high))


def check_diagnoses(shares: dict[str, float]) -> None:
    """Raise ValueError, in one sentence, when the settings ask for a diagnosis that no generator exists for."""
    known = [item.value for item in FIVE_CLASSES]
    wrong = [name for name in shares if name not in known]
    if wrong:
        raise ValueError(f"diagnoses: no generator for {', '.join(wrong)}; this hospital knows {', '.join(known)}.")


def draw_person(random: np.random.Generator, diagnosis: Diagnosis) -> Person:
    """An invented adult; men are commoner where the clinics see more men, so sex is a weak hint at most."""
    male = random.random() < {"DCM": 0.62, "HCM": 0.6, "ICM": 0.7}.get(diagnosis.value, 0.5)
    height = random.normal(177, 7) if male else random.normal(164, 6.5)
    bmi = np.clip(random.normal(26.5, 4.2), 18, 42)
    age = int(np.clip(random.normal(62 if diagnosis is Diagnosis.ICM else 52, 14), 18, 90))
    weight = bmi * (height / 100) ** 2
    return Person("M" if male else "F", age, round(float(height), 1), round(float(weight), 1))


def _infarct(random: np.random.Generator) -> Disease:
    """An old infarct: a run of segments of one territory (now and then two), thin, weak and enhanced."""
    territory = str(random.choice(["LAD", "RCA", "LCx"], p=[0.45, 0.33, 0.22]))
    pool = aha.TERRITORIES[territory]
    count = int(random.integers(2, len(pool) + 1))
    start = int(random.integers(0, len(pool) - count + 1))
    segments = set(pool[start : start + count])
    if random.random() < 0.18:
        other = str(random.choice([name for name in aha.TERRITORIES if name != territory]))
        segments |= set(aha.TERRITORIES[other][:3])
    depth = float(random.uniform(0.4, 1.0))
    pattern = "transmural" if depth > 0.7 else "subendocardial"
    return Disease(
        Diagnosis.ICM,
        lge_pattern=pattern,
        territory=territory,
        scar_segments=tuple(sorted(segments)),
        scar_depth=depth if pattern == "subendocardial" else 1.0,
        weak_segments=tuple(sorted(segments)),
        contraction=float(np.clip(random.normal(0.42 - 0.4 * depth, 0.1), 0.0, 0.5)),
        thinning=float(np.clip(random.normal(0.6 * depth - 0.15, 0.1), 0.0, 0.55)),
    )


def _dilated(random: np.random.Generator) -> Disease:
    """Dilated cardiomyopathy: a mid-wall septal stripe in about 35 %, a weak wall without scar in some."""
    scar = random.random() < 0.35
    weak: tuple[int, ...] = ()
    if random.random() < 0.12:
        weak = ((4, 10), (3, 9, 14), (5, 11))[int(random.integers(3))]
    return Disease(
        Diagnosis.DCM,
        lge_pattern="midwall_septal" if scar else "none",
        scar_segments=(2, 3, 8, 9) if scar else (),
        weak_segments=weak,
        contraction=0.35 if weak else 1.0,
    )


def _hypertrophic(random: np.random.Generator) -> Disease:
    """Hypertrophic cardiomyopathy: septal, apical or concentric; enhancement in about 60 %."""
    form = str(random.choice(["septal", "apical", "concentric"], p=[0.62, 0.16, 0.22]))
    thick = {"septal": (2, 3, 8, 9), "apical": (13, 14, 15, 16, 17), "concentric": (2, 3, 8, 9, 11, 12)}[form]
    if random.random() >= 0.6:
        return Disease(Diagnosis.HCM, hypertrophy=form)
    insertion = form != "apical" and random.random() < 0.45
    return Disease(
        Diagnosis.HCM,
        lge_pattern="insertion_points" if insertion else "patchy",
        scar_segments=(2, 3, 8, 9) if insertion else thick,
        hypertrophy=form,
    )


def _right(random: np.random.Generator) -> Disease:
    """An abnormal right ventricle: septal flattening in many, insertion-point enhancement in some."""
    flat = float(random.uniform(0.05, 0.2)) if random.random() < 0.6 else 0.0
    scar = random.random() < 0.18
    return Disease(
        Diagnosis.ARV,
        lge_pattern="insertion_points" if scar else "none",
        scar_segments=(2, 3, 8, 9) if scar else (),
        septal_flattening=flat,
    )


def draw_disease(random: np.random.Generator, diagnosis: Diagnosis) -> Disease:
    """What is wrong in one patient; raises ValueError for a diagnosis without a generator."""
    makers = {
        Diagnosis.ICM: _infarct,
        Diagnosis.DCM: _dilated,
        Diagnosis.HCM: _hypertrophic,
        Diagnosis.ARV: _right,
    }
    if diagnosis is Diagnosis.NOR:
        return Disease(Diagnosis.NOR)
    if diagnosis not in makers:
        check_diagnoses({diagnosis.value: 1.0})
    return makers[diagnosis](random)


def draw_targets(random: np.random.Generator, person: Person, disease: Disease) -> Targets:
    """Sizes and function that go with a body and a disease."""
    diagnosis, sex, bsa = disease.diagnosis, person.sex, person.bsa_m2
    if diagnosis is Diagnosis.ICM:  # the more wall is lost, the lower the LVEF and the larger the ventricle
        lost = len(disease.weak_segments) * (1 - disease.contraction)
        lvef = draw(random, (62 - 4.0 * lost, 5.5, *LVEF[diagnosis][2:]))
        larger = 0.9 * (48 - lvef)
    else:
        lvef = draw(random, LVEF[diagnosis])
        larger = 0.8 * (36 - lvef) if diagnosis is Diagnosis.DCM else 0.0
    lvedvi = draw(random, LVEDVI[diagnosis][sex], larger)
    right = 0.35 * (lvef - LVEF[diagnosis][0]) if diagnosis in (Diagnosis.DCM, Diagnosis.ICM) else 0.0
    rvef = draw(random, RVEF[diagnosis], right)
    rvedvi = draw(random, RVEDVI[diagnosis][sex], 0.35 * (lvedvi - LVEDVI[diagnosis][sex][0]))
    wall = draw(random, WALL[diagnosis][sex])
    return Targets(lvedvi * bsa, lvef, wall, rvedvi * bsa, rvef)


def _later(random: np.random.Generator, first: Targets) -> Targets:
    """The same heart months later: function and volumes have moved, the walls have not."""
    better = random.normal(0, 4.5)
    lvef = float(np.clip(first.lvef + better, 12, 78))
    volume = float(np.clip(1 - 0.009 * better + random.normal(0, 0.03), 0.8, 1.25))
    rvef = float(np.clip(first.rvef + 0.4 * better + random.normal(0, 2), 15, 77))
    right = first.rvedv_ml * float(np.clip(random.normal(1, 0.04), 0.88, 1.12))
    return Targets(first.lvedv_ml * volume, lvef, first.wall_mm, right, rvef)


def number_of_studies(seed: int, patient: int, repeat_share: float) -> int:
    """How many studies this patient has: 1, or 2 to 3 for a `repeat_share` of patients."""
    random = project.rng(seed, "studies", patient)
    return 1 if random.random() >= repeat_share else 2 + int(random.random() < 0.3)


def draw_latents(seed: int, patient: int, study: int, shares: dict[str, float]) -> Latents:
    """The latents of study `study` (1, 2, …) of patient `patient` (0, 1, …): a function of these numbers alone.

    Raises ValueError for a diagnosis without a generator, a negative patient or a study below 1.
    """
    check_diagnoses(shares)
    if patient < 0 or study < 1:
        raise ValueError(f"patient counts from 0 and study from 1, got patient {patient}, study {study}.")
    random = project.rng(seed, "patient", patient)
    names = sorted(shares)
    weights = np.array([shares[name] for name in names])
    diagnosis = Diagnosis(str(random.choice(names, p=weights / weights.sum())))
    person = draw_person(random, diagnosis)
    disease = draw_disease(random, diagnosis)
    targets = draw_targets(random, person, disease)
    rate = float(np.clip(random.normal(68, 9), 48, 98))
    latents = Latents(patient, 1, person, disease, targets, rate, project.seed_for(seed, "shape", patient))
    for number in range(2, study + 1):
        again = project.rng(seed, "follow-up", patient, number)
        targets = _later(again, targets)
        latents = replace(
            latents,
            study=number,
            targets=targets,
            heart_rate=float(np.clip(rate + again.normal(0, 5), 45, 102)),
            days_after_first=latents.days_after_first + int(again.integers(150, 700)),
        )
    return latents
