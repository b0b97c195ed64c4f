"""What a reader measures and sees in a study: the truth with reader noise, graded by the cut-points of `labels`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmr_lib import labels
from cmr_lib.params import Reader
from cmr_lib.simulate.latents import Disease, Latents

MASS_SHARE, WALL_MM = 0.05, 0.6  # reader noise (one standard deviation) of mass and of a calliper
RIGHT_GAIN = 1.5  # the right ventricle is read with more noise than the left
MISSED_SCAR, IMAGINED_SCAR, MISSED_MOTION = 0.03, 0.01, 0.06  # how often a reader errs


@dataclass(frozen=True)
class Reading:
    """The numbers as they will be printed (whole mL, %, g; wall in mm) and what was seen."""

    sex: str
    bsa_m2: float
    lvef: int
    lvedv: int
    lvesv: int
    lvedvi: int
    mass: int
    mass_index: int
    rvef: int
    rvedv: int
    rvedvi: int
    wall: int
    heart_rate: int
    disease: Disease
    scar_seen: bool
    scar_imagined: bool
    motion_seen: bool

    @property
    def lv_function(self) -> str:
        """Severity of the reduced LVEF, by its printed value."""
        return labels.severity_below(float(self.lvef), labels.LVEF_CUTS)

    @property
    def lv_size(self) -> str:
        """Severity of left-ventricular dilation, by the printed index."""
        return labels.severity_above(float(self.lvedvi), labels.LVEDVI_CUTS[self.sex])

    @property
    def rv_function(self) -> str:
        """Severity of the reduced RVEF, by its printed value."""
        return labels.severity_below(float(self.rvef), labels.RVEF_CUTS)

    @property
    def rv_size(self) -> str:
        """Severity of right-ventricular dilation, by the printed index."""
        return labels.severity_above(float(self.rvedvi), labels.RVEDVI_CUTS[self.sex])

    @property
    def hypertrophy(self) -> str:
        """Severity of hypertrophy, by the printed wall thickness."""
        return labels.severity_above(float(self.wall), labels.WALL_CUTS[self.sex])


def read_study(latents: Latents, truth: Mapping[str, Any], settings: Reader, random: np.random.Generator) -> Reading:
    """One reader's measurements; with zero noise in `settings` the LVEF is the true one, rounded."""
    bsa = latents.person.bsa_m2
    lvef = float(np.clip(truth["lvef"] + random.normal(0, settings.lvef_points), 5, 85))
    lvedv = max(truth["lvedv_ml"] + random.normal(0, settings.volume_ml), 30)
    rvef = float(np.clip(truth["rvef"] + random.normal(0, RIGHT_GAIN * settings.lvef_points), 5, 85))
    rvedv = max(truth["rvedv_ml"] + random.normal(0, RIGHT_GAIN * settings.volume_ml), 30)
    mass = truth["lv_mass_g"] * (1 + random.normal(0, MASS_SHARE))
    wall = max(truth["wall_mm"] + random.normal(0, WALL_MM), 4)
    scar = bool(truth["lge"])
    return Reading(
        sex=latents.person.sex,
        bsa_m2=bsa,
        lvef=round(lvef),
        lvedv=round(lvedv),
        lvesv=round(lvedv * (1 - lvef / 100)),
        lvedvi=round(lvedv / bsa),
        mass=round(mass),
        mass_index=round(mass / bsa),
        rvef=round(rvef),
        rvedv=round(rvedv),
        rvedvi=round(rvedv / bsa),
        wall=round(wall),
        heart_rate=round(latents.heart_rate),
        disease=latents.disease,
        scar_seen=scar and random.random() >= MISSED_SCAR,
        scar_imagined=not scar and random.random() < IMAGINED_SCAR,
        motion_seen=bool(latents.disease.weak_segments) and random.random() >= MISSED_MOTION,
    )
