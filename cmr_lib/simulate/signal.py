"""From tissue to brightness: balanced SSFP (cine) and inversion recovery (late enhancement), in closed form.

Where the relaxation times come from (T1/T2 in ms):
- heart: 996/55.8 at 1.5 T, 1184/51.6 at 3 T (n 60, Granitz 2019, doi 10.1007/s00508-018-1411-3);
- blood: 1441/290 at 1.5 T, 1932/275 at 3 T in vitro (Stanisz 2005, doi 10.1002/mrm.20605); in veins T2 is shorter, by
  how much is a choice;
- muscle of the body: 1008 and 1412 in vitro (Stanisz 2005), 898/29 in vivo at 3 T (doi 10.1148/radiol.2303021331),
  which also gives liver 809/34, fat 382/68 and marrow 586/49;
- pericardial fluid at 1.5 T: 3262 in health, transudate 3337; thrombus at 3 T: 1098 fresh, 1316 old.
After gadolinium the tissues belong together. With blood at 340 ms (amyloid: 425) and a haematocrit of .42, an
extracellular volume of .25 in normal muscle, .55 in amyloid (published mean .44) and .60 in scar gives the values
below: ECV / (1 - .42) = (1/T1 late - 1/T1) of the tissue over that of blood. What is not named, and every proton
density, is the generator's choice.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from cmr_lib.simulate.anatomy import TISSUES
from cmr_lib.types import Sequence

Signals = Float32[np.ndarray, "#tissues"]
Values = Float32[np.ndarray, "*shape"]
Number = float | int


@dataclass(frozen=True)
class Relaxation:
    """One tissue: T1, T2 (ms) at 1.5 T and at 3 T, proton density (water 1), T1 (ms) ten minutes after gadolinium."""

    t1_15: Number
    t2_15: Number
    t1_3: Number
    t2_3: Number
    density: Number
    t1_late: Number


def _blood(t2_15: Number, t2_3: Number) -> Relaxation:
    return Relaxation(1441, t2_15, 1932, t2_3, 0.95, 340)


MUSCLE = Relaxation(996, 56, 1184, 52, 0.9, 500)
OXYGENATED, VENOUS = _blood(290, 275), _blood(230, 200)
RELAXATION: dict[TISSUES, Relaxation] = {
    TISSUES.AIR: Relaxation(1000, 50, 1000, 50, 0.0, 1000),
    TISSUES.LUNG: Relaxation(1200, 40, 1300, 30, 0.12, 700),
    TISSUES.FAT: Relaxation(300, 68, 382, 68, 0.85, 280),
    TISSUES.MUSCLE: Relaxation(1008, 35, 1412, 32, 0.85, 600),
    TISSUES.LIVER: Relaxation(580, 45, 800, 36, 0.8, 330),
    TISSUES.BONE: Relaxation(420, 50, 480, 45, 0.5, 320),
    TISSUES.STOMACH: Relaxation(900, 70, 1100, 60, 0.75, 500),
    TISSUES.VESSEL: VENOUS,
    TISSUES.PERICARDIUM: Relaxation(1000, 20, 1150, 18, 0.3, 700),
    TISSUES.EPICARDIAL_FAT: Relaxation(300, 68, 382, 68, 0.85, 280),
    TISSUES.ATRIAL_WALL: MUSCLE,
    TISSUES.LEFT_ATRIUM: OXYGENATED,
    TISSUES.RIGHT_ATRIUM: VENOUS,
    TISSUES.AORTA: OXYGENATED,
    TISSUES.PULMONARY_ARTERY: VENOUS,
    TISSUES.RV_WALL: MUSCLE,
    TISSUES.RV_BLOOD: VENOUS,
    TISSUES.LV_WALL: MUSCLE,
    TISSUES.LV_BLOOD: OXYGENATED,
    TISSUES.PAPILLARY: MUSCLE,
    TISSUES.SCAR: Relaxation(996, 56, 1184, 52, 0.9, 300),  # native like muscle: a cine does not show it
    TISSUES.VALVE: Relaxation(1000, 30, 1150, 27, 0.6, 420),
    TISSUES.FLUID: Relaxation(3300, 900, 3500, 700, 1.0, 2600),
    TISSUES.THROMBUS: Relaxation(1150, 60, 1300, 55, 0.85, 1050),
}
BLOOD = tuple(tissue for tissue, values in RELAXATION.items() if values in (OXYGENATED, VENOUS))
# In amyloidosis the whole muscle holds gadolinium and little is left in the blood: the muscle nulls before the blood.
AMYLOID_LATE = {tissue: 400.0 for tissue, values in RELAXATION.items() if values is MUSCLE} | dict.fromkeys(
    BLOOD, 425.0
)


@dataclass(frozen=True)
class Contrast:
    """What the scanner was set to: times in ms, flip angle in degrees."""

    repetition_ms: float
    echo_ms: float
    flip_deg: float
    inversion_ms: float  # after the inversion pulse; used by late enhancement
    rr_ms: float
    field_t: float
    inflow: float  # how much fresh blood brightens the cine, ≥ 1


def bssfp(t1: Signals, t2: Signals, density: Signals, contrast: Contrast) -> Signals:
    """Steady-state signal on resonance: M0 sin α (1 - E1) / (1 - (E1 - E2) cos α - E1 E2) · exp(-TE/T2)."""
    e1, e2 = np.exp(-contrast.repetition_ms / t1), np.exp(-contrast.repetition_ms / t2)
    flip = np.deg2rad(contrast.flip_deg)
    steady = np.sin(flip) * (1 - e1) / (1 - (e1 - e2) * np.cos(flip) - e1 * e2)
    return (density * steady * np.exp(-contrast.echo_ms / t2)).astype(np.float32)


def off_resonance(shift_hz: Values, contrast: Contrast) -> Values:
    """Balanced SSFP of heart muscle off resonance, relative to on resonance: dark bands, 1/TR apart.

    |Mxy| ∝ √(1 + E2² - 2 E2 cos β) / ((1 - E1 cos α)(1 - E2 cos β) - E2 (E1 - cos α)(E2 - cos β)) with β = 2π TR Δf + π
    for alternating pulses (Freeman and Hill 1971, doi 10.1016/0022-2364(71)90023-3).
    """
    muscle, high = MUSCLE, contrast.field_t > 2
    e1 = np.float32(np.exp(-contrast.repetition_ms / (muscle.t1_3 if high else muscle.t1_15)))
    e2 = np.float32(np.exp(-contrast.repetition_ms / (muscle.t2_3 if high else muscle.t2_15)))
    flip = np.float32(np.cos(np.deg2rad(contrast.flip_deg)))

    def profile(turn: Values) -> Values:
        return np.sqrt(1 + e2**2 - 2 * e2 * turn) / ((1 - e1 * flip) * (1 - e2 * turn) - e2 * (e1 - flip) * (e2 - turn))

    turns = np.cos(np.float32(2e-3 * np.pi * contrast.repetition_ms) * shift_hz + np.float32(np.pi))
    return (profile(turns) / profile(np.float32([-1.0]))).astype(np.float32)


def inversion_recovery(t1: Signals, density: Signals, contrast: Contrast) -> Signals:
    """Signed signal after an inversion once a beat: M0 (1 - 2 exp(-TI/T1) + exp(-RR/T1)); its size is the magnitude.

    The read-out is taken to use up the magnetisation, so that each beat starts from nothing.
    """
    recovered = 1 - 2 * np.exp(-contrast.inversion_ms / t1) + np.exp(-contrast.rr_ms / t1)
    return (density * recovered).astype(np.float32)


def nulling_time(t1: Number, rr_ms: float) -> float:
    """The inversion time (ms) at which a tissue of this T1 is black: T1 ln(2 / (1 + exp(-RR/T1)))."""
    return float(t1 * np.log(2 / (1 + np.exp(-rr_ms / t1))))


def _column(name: str) -> Signals:
    """One property of every tissue, indexed by its TISSUES value."""
    return np.array([getattr(RELAXATION[tissue], name) for tissue in TISSUES], dtype=np.float32)


def tissue_signals(sequence: Sequence, contrast: Contrast, *, amyloid: bool = False) -> Signals:
    """The brightness of every tissue, indexed by its TISSUES value; left-ventricular blood is 1 in a cine, scar in LGE.

    LGE is signed: muscle at its null is 0, what has not recovered is negative. Raises ValueError for a sequence that
    the phantom cannot make.
    """
    density = _column("density")
    if sequence is Sequence.CINE:
        field = "3" if contrast.field_t > 2 else "15"
        signals = bssfp(_column(f"t1_{field}"), _column(f"t2_{field}"), density, contrast)
        signals[list(BLOOD)] *= np.float32(contrast.inflow)
        return signals / signals[TISSUES.LV_BLOOD]
    if sequence is Sequence.LGE:
        late = _column("t1_late")
        if amyloid:
            late[list(AMYLOID_LATE)] = np.array(list(AMYLOID_LATE.values()), dtype=np.float32)
        signals = inversion_recovery(late, density, contrast)
        return signals / signals[TISSUES.SCAR]
    raise ValueError(f"The phantom renders {Sequence.CINE.value} and {Sequence.LGE.value}, not {sequence.value}.")
