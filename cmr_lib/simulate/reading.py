"""What a reader measures and sees in a study: the truth with reader noise, graded by the cut-points of `labels`.

A reading knows which segments are diseased only as far as they were seen; reports are written from it and never from
the labels, so that text and truth are related and not the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmr_lib import labels
from cmr_lib.labels import Diagnosis
from cmr_lib.params import Reader
from cmr_lib.simulate.diseases import Disease
from cmr_lib.simulate.latents import Latents

# Reader noise, one standard deviation, beside that of LVEF and volumes in the settings.
MASS_SHARE, WALL_MM, AORTA_MM, FLUID_MM, TIMING_MS = 0.05, 0.6, 0.8, 1.0, 3.0
TIMING_STEP_MS = 5  # times are read off between frames, and printed in steps
RIGHT_GAIN = 1.5  # the right ventricle is read with more noise than the left
ERRORS = {  # how often a reader errs
    "missed_scar": 0.03,
    "imagined_scar": 0.0075,
    "missed_motion": 0.06,
    "missed_thrombus": 0.10,
    "doubted_thrombus": 0.10,  # of hearts with a weak apex and no thrombus seen
    "missed_effusion": 0.15,  # of small effusions
    "mentioned_film": 0.05,  # of hearts without effusion: the normal film is called trivial fluid
    "missed_filling": 0.15,
    "missed_delay": 0.15,
    "missed_right_wall": 0.40,  # of right ventricles with a thick wall
}
FLAT_SEPTUM = 0.09  # flattening from which on it is seen
APEX = frozenset({13, 14, 17})  # where a thrombus lies
EFFUSIONS = {"mildly": "small", "moderately": "moderate", "severely": "large"}


@dataclass(frozen=True)
class Reading:
    """The numbers as they will be printed (whole mL, %, g, mm, ms) and what was seen."""

    sex: str
    site: str
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
    aorta: int
    fluid: int  # thickness of the pericardial fluid in mm, 0: none seen
    heart_rate: int
    half_filling: int  # ms after end-systole; 0: not looked at
    slow_relaxation: bool
    delay: int  # ms of the lateral behind the septal wall, below 0 the other way round
    dyssynchrony: bool
    disease: Disease
    late_imaged: bool
    scar_seen: bool
    scar_imagined: bool
    motion_seen: bool
    thrombus_seen: bool
    thrombus_doubted: bool
    right_wall_seen: bool  # a thick wall of the right ventricle

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

    @property
    def aortic_size(self) -> str:
        """Severity of the aortic root's dilation, by its printed diameter."""
        return labels.severity_above(float(self.aorta), labels.AORTA_CUTS[self.sex])

    @property
    def effusion(self) -> str:
        """none, trivial (below the first cut-point), small, moderate or large, by the printed thickness."""
        severity = labels.severity_above(float(self.fluid), labels.EFFUSION_CUTS)
        return EFFUSIONS.get(severity, "trivial" if self.fluid else "none")

    @property
    def septum_flat(self) -> bool:
        """Whether the septum is seen to be flattened."""
        return self.disease.septal_flattening > FLAT_SEPTUM

    @property
    def heart_is_normal(self) -> bool:
        """Whether size, function, walls, motion and enhancement of both ventricles are normal."""
        grades = {self.lv_size, self.lv_function, self.rv_size, self.rv_function, self.hypertrophy}
        seen = self.scar_seen or self.scar_imagined or self.motion_seen or self.septum_flat or self.right_wall_seen
        return grades == {"normal"} and not seen

    @property
    def is_normal(self) -> bool:
        """Whether nothing at all is worth a remark."""
        timing = self.slow_relaxation or self.dyssynchrony
        thrombus = self.thrombus_seen or self.thrombus_doubted
        rest = self.aortic_size == "normal" and self.effusion == "none"
        return self.heart_is_normal and rest and self.late_imaged and not timing and not thrombus


def _volumes(truth: Mapping[str, Any], bsa: float, settings: Reader, random: np.random.Generator) -> dict[str, int]:
    """Volumes, ejection fractions, mass, wall and aorta as measured."""
    lvef = float(np.clip(truth["lvef"] + random.normal(0, settings.lvef_points), 5, 85))
    lvedv = max(truth["lvedv_ml"] + random.normal(0, settings.volume_ml), 30)
    rvef = float(np.clip(truth["rvef"] + random.normal(0, RIGHT_GAIN * settings.lvef_points), 5, 85))
    rvedv = max(truth["rvedv_ml"] + random.normal(0, RIGHT_GAIN * settings.volume_ml), 30)
    mass = truth["lv_mass_g"] * (1 + random.normal(0, MASS_SHARE))
    measured = {
        "lvef": lvef,
        "lvedv": lvedv,
        "lvesv": lvedv * (1 - lvef / 100),
        "lvedvi": lvedv / bsa,
        "mass": mass,
        "mass_index": mass / bsa,
        "rvef": rvef,
        "rvedv": rvedv,
        "rvedvi": rvedv / bsa,
        "wall": max(truth["wall_mm"] + random.normal(0, WALL_MM), 4),
        "aorta": truth["aorta_mm"] + random.normal(0, AORTA_MM),
    }
    return {name: round(value) for name, value in measured.items()}


def _stepped(value_ms: float, random: np.random.Generator) -> int:
    """A time as read, in steps of `TIMING_STEP_MS`."""
    return TIMING_STEP_MS * round((value_ms + random.normal(0, TIMING_MS)) / TIMING_STEP_MS)


def _timing(
    truth: Mapping[str, Any], heart_rate: int, errs: Mapping[str, bool], random: np.random.Generator
) -> dict[str, int | bool]:
    """Half filling and delay, judged by their printed values; what was not looked at has no number."""
    filling, delay = (_stepped(float(truth[name]), random) for name in ("half_filling_ms", "septal_delay_ms"))
    slow = filling * heart_rate / 60000 >= labels.SLOW_FILLING_SHARE
    apart = abs(delay) >= labels.DELAY_MS
    return {
        "half_filling": 0 if slow and errs["missed_filling"] else filling,
        "slow_relaxation": slow and not errs["missed_filling"],
        "delay": 0 if apart and errs["missed_delay"] else delay,
        "dyssynchrony": apart and not errs["missed_delay"],
    }


def _fluid(effusion_mm: float, errs: Mapping[str, bool], random: np.random.Generator) -> int:
    """Thickness of pericardial fluid as measured (mm); small effusions are missed now and then."""
    if effusion_mm < 1:
        return 2 if errs["mentioned_film"] else 0
    if errs["missed_effusion"] and effusion_mm < labels.EFFUSION_CUTS[1]:
        return 0
    return max(round(effusion_mm + random.normal(0, FLUID_MM)), 2)


def _seen(latents: Latents, truth: Mapping[str, Any], late_imaged: bool, errs: Mapping[str, bool]) -> dict[str, bool]:
    """Scar, wall motion, thrombus and the wall of the right ventricle: seen, missed, imagined or doubted."""
    weak = set(latents.disease.weak_segments)
    scar, clot = bool(truth["lge"]), bool(truth["thrombus"]) and not errs["missed_thrombus"]
    return {
        "late_imaged": late_imaged,
        "scar_seen": late_imaged and scar and not errs["missed_scar"],
        "scar_imagined": late_imaged and not scar and errs["imagined_scar"],
        "motion_seen": bool(weak) and not errs["missed_motion"],
        "thrombus_seen": clot,
        "thrombus_doubted": not clot and bool(weak & APEX) and errs["doubted_thrombus"],
        "right_wall_seen": latents.disease.diagnosis is Diagnosis.AMY and not errs["missed_right_wall"],
    }


def read_study(
    latents: Latents,
    truth: Mapping[str, Any],
    settings: Reader,
    random: np.random.Generator,
    late_imaged: bool = True,
) -> Reading:
    """One reader's measurements; with zero noise in `settings` the LVEF is the true one, rounded.

    `late_imaged` is False where no late enhancement was acquired: nothing is then seen of it.
    """
    bsa, heart_rate = latents.person.bsa_m2, round(latents.heart_rate)
    errs = {name: bool(random.random() < share) for name, share in ERRORS.items()}
    return Reading(
        sex=latents.person.sex,
        site=latents.site,
        bsa_m2=bsa,
        heart_rate=heart_rate,
        disease=latents.disease,
        fluid=_fluid(float(truth["effusion_mm"]), errs, random),
        **_volumes(truth, bsa, settings, random),
        **_timing(truth, heart_rate, errs, random),
        **_seen(latents, truth, late_imaged, errs),
    )
