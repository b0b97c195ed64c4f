"""One study before any image exists: body, disease, target sizes and timing; no single number tells the diagnosis.

The ranges are those of `ranges`, the regional patterns those of `diseases`.
"""

from dataclasses import dataclass, replace

import numpy as np

from cmr_lib import project
from cmr_lib.labels import Diagnosis
from cmr_lib.simulate import ranges
from cmr_lib.simulate.diseases import Disease, check_diagnoses, draw_disease
from cmr_lib.simulate.identity import site_of
from cmr_lib.simulate.ranges import draw


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
class Targets:
    """What one study is built to show (mL, %, mm); the truth table holds what the rasterised heart then has."""

    lvedv_ml: float
    lvef: float
    wall_mm: float
    rvedv_ml: float
    rvef: float
    aorta_mm: float = 32.0  # diameter of the root
    effusion_mm: float = 0.0  # thickness of the pericardial fluid, beyond the normal film


@dataclass(frozen=True)
class Timing:
    """What only the order of frames tells; both are drawn without looking at the diagnosis.

    `relaxation` runs from -1 (fast) to 1 (slow): time is moved from late ejection to early filling, so that every
    volume is seen as often as before. `dyssynchrony` runs from -1 to 1: above 0 the septum leads the lateral wall in
    ejection and in filling, below 0 it lags.
    """

    relaxation: float = 0.0
    dyssynchrony: float = 0.0


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
    timing: Timing = Timing()
    site: str = ""


def draw_person(random: np.random.Generator, diagnosis: Diagnosis) -> Person:
    """An invented adult; men are commoner where the clinics see more men, so sex is a weak hint at most."""
    male = random.random() < {"DCM": 0.62, "HCM": 0.6, "ICM": 0.7, "AMY": 0.65, "MYO": 0.62}.get(diagnosis.value, 0.5)
    height = random.normal(177, 7) if male else random.normal(164, 6.5)
    bmi = np.clip(random.normal(26.5, 4.2), 18, 42)
    older = {Diagnosis.ICM: 62, Diagnosis.AMY: 66, Diagnosis.MYO: 44}
    age = int(np.clip(random.normal(older.get(diagnosis, 52), 14), 18, 90))
    weight = bmi * (height / 100) ** 2
    return Person("M" if male else "F", age, round(float(height), 1), round(float(weight), 1))


def draw_targets(random: np.random.Generator, person: Person, disease: Disease) -> Targets:
    """Sizes and function that go with a body and a disease."""
    sex, bsa = person.sex, person.bsa_m2
    diagnosis = disease.seems
    if diagnosis is Diagnosis.ICM:  # the more wall is lost, the lower the LVEF and the larger the ventricle
        lost = len(disease.weak_segments) * (1 - disease.contraction)
        lvef = draw(random, (62 - 4.0 * lost, 5.5, *ranges.LVEF[diagnosis][2:]))
        larger = 0.9 * (48 - lvef)
    else:
        lvef = draw(random, ranges.LVEF[diagnosis])
        larger = {
            Diagnosis.DCM: 0.8 * (36 - lvef),
            Diagnosis.MYO: 0.6 * (54 - lvef),
            Diagnosis.NIF: 0.6 * (50 - lvef),
        }.get(diagnosis, 0.0)
    lvedvi = draw(random, ranges.LVEDVI[diagnosis][sex], larger)
    right = 0.35 * (lvef - ranges.LVEF[diagnosis][0]) if diagnosis not in (Diagnosis.NOR, Diagnosis.ARV) else 0.0
    rvef = draw(random, ranges.RVEF[diagnosis], right)
    rvedvi = draw(random, ranges.RVEDVI[diagnosis][sex], 0.35 * (lvedvi - ranges.LVEDVI[diagnosis][sex][0]))
    wall = draw(random, ranges.WALL[diagnosis][sex])
    wide = random.random() < ranges.DILATED_AORTA_SHARE
    aorta = draw(
        random, (ranges.DILATED_AORTA if wide else ranges.AORTA)[sex], 0.0 if wide else 0.05 * (person.age - 50)
    )
    fluid = random.random() < ranges.EFFUSION_SHARE[diagnosis]
    effusion = draw(random, ranges.EFFUSION) if fluid else 0.0
    return Targets(lvedvi * bsa, lvef, wall, rvedvi * bsa, rvef, aorta, effusion)


def draw_timing(random: np.random.Generator) -> Timing:
    """Relaxation (a quarter slow, a quarter fast) and dyssynchrony (an eighth each way), whatever the diagnosis."""
    slow = random.random()
    relaxation = random.uniform(0.65, 1.0) * (1 if slow < 0.25 else -1) if slow < 0.5 else random.normal(0, 0.2)
    leads = random.random()
    sign = 1 if leads < 0.125 else -1
    dyssynchrony = sign * random.uniform(0.5, 0.75) if leads < 0.25 else random.normal(0, 0.08)
    return Timing(float(np.clip(relaxation, -1, 1)), float(dyssynchrony))


def _later(random: np.random.Generator, first: Targets) -> Targets:
    """The same heart months later: function, volumes and fluid have moved, the walls have not."""
    better = random.normal(0, 4.5)
    lvef = float(np.clip(first.lvef + better, 12, 78))
    volume = float(np.clip(1 - 0.009 * better + random.normal(0, 0.03), 0.8, 1.25))
    rvef = float(np.clip(first.rvef + 0.4 * better + random.normal(0, 2), 15, 77))
    right = first.rvedv_ml * float(np.clip(random.normal(1, 0.04), 0.88, 1.12))
    aorta = first.aorta_mm + float(np.clip(random.normal(0.4, 0.4), 0, 2))
    effusion = first.effusion_mm * float(random.choice([0.0, 0.6, 1.0]))
    return Targets(first.lvedv_ml * volume, lvef, first.wall_mm, right, rvef, aorta, effusion)


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
    return latents_of(seed, patient, study, diagnosis, random)


def latents_of(seed: int, patient: int, study: int, diagnosis: Diagnosis, random: np.random.Generator) -> Latents:
    """The same for a patient whose diagnosis is settled."""
    disease = draw_disease(random, diagnosis)
    person = draw_person(random, disease.seems)
    targets = draw_targets(random, person, disease)
    rate = float(np.clip(random.normal(68, 9), 48, 98))
    timing = draw_timing(project.rng(seed, "timing", patient))
    latents = Latents(
        patient=patient,
        study=1,
        person=person,
        disease=disease,
        targets=targets,
        heart_rate=rate,
        shape_seed=project.seed_for(seed, "shape", patient),
        timing=timing,
        site=site_of(seed, patient),
    )
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
