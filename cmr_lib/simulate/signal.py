"""From tissue to brightness: balanced SSFP (cine) and inversion recovery (late enhancement), in closed form."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from cmr_lib.simulate.anatomy import TISSUES
from cmr_lib.types import Sequence

Signals = Float32[np.ndarray, "#tissues"]

# T1 ms, T2 ms at 1.5 T, proton density, and T1 ms ten minutes after gadolinium. Native values: myocardium 1000/50,
# blood 1500/200 (oxygenated 250, venous 120), fat 300/60, liver 580/45, muscle 1000/35 and lung of low density as
# collected in the design notes (section 6); after contrast: remote muscle about 430, scar 270, blood 340.
RELAXATION: dict[TISSUES, tuple[float, float, float, float]] = {
    TISSUES.AIR: (1000, 50, 0.0, 1000),
    TISSUES.LUNG: (1200, 40, 0.12, 700),
    TISSUES.FAT: (300, 60, 0.85, 235),
    TISSUES.MUSCLE: (1000, 35, 0.85, 520),
    TISSUES.LIVER: (580, 45, 0.8, 330),
    TISSUES.BONE: (420, 50, 0.5, 320),
    TISSUES.STOMACH: (900, 70, 0.75, 500),
    TISSUES.VESSEL: (1500, 200, 0.95, 340),
    TISSUES.PERICARDIUM: (1000, 20, 0.3, 700),
    TISSUES.EPICARDIAL_FAT: (300, 60, 0.85, 235),
    TISSUES.ATRIAL_WALL: (1000, 48, 0.9, 420),
    TISSUES.LEFT_ATRIUM: (1500, 240, 0.95, 340),
    TISSUES.RIGHT_ATRIUM: (1500, 190, 0.95, 340),
    TISSUES.AORTA: (1500, 240, 0.95, 340),
    TISSUES.PULMONARY_ARTERY: (1500, 190, 0.95, 340),
    TISSUES.RV_WALL: (1000, 48, 0.9, 420),
    TISSUES.RV_BLOOD: (1500, 190, 0.95, 340),
    TISSUES.LV_WALL: (1000, 48, 0.9, 430),
    TISSUES.LV_BLOOD: (1500, 230, 0.95, 340),
    TISSUES.PAPILLARY: (1000, 48, 0.9, 430),
    TISSUES.SCAR: (1000, 48, 0.9, 262),
    TISSUES.VALVE: (1000, 30, 0.6, 420),
}
ORDER = tuple(TISSUES)
BLOOD = (
    TISSUES.VESSEL,
    TISSUES.LEFT_ATRIUM,
    TISSUES.RIGHT_ATRIUM,
    TISSUES.AORTA,
    TISSUES.PULMONARY_ARTERY,
    TISSUES.RV_BLOOD,
    TISSUES.LV_BLOOD,
)
T1_GAIN_3T, T2_LOSS_3T = 1.15, 0.9  # relaxation at 3 T relative to 1.5 T, about


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


def inversion_recovery(t1: Signals, density: Signals, contrast: Contrast) -> Signals:
    """Magnitude after an inversion once a beat: M0 |1 - 2 exp(-TI/T1) + exp(-RR/T1)|."""
    recovered = 1 - 2 * np.exp(-contrast.inversion_ms / t1) + np.exp(-contrast.rr_ms / t1)
    return (density * np.abs(recovered)).astype(np.float32)


def nulling_time(t1: float, rr_ms: float) -> float:
    """The inversion time (ms) at which a tissue of this T1 is black: T1 ln(2 / (1 + exp(-RR/T1)))."""
    return float(t1 * np.log(2 / (1 + np.exp(-rr_ms / t1))))


def tissue_signals(sequence: Sequence, contrast: Contrast) -> Signals:
    """The brightness of every tissue, indexed by its TISSUES value; left-ventricular blood is 1 in a cine, scar in LGE.

    Raises ValueError for a sequence that the phantom cannot make.
    """
    table = np.array([RELAXATION[tissue] for tissue in ORDER], dtype=np.float32).T
    t1, t2, density, enhanced = table
    if sequence is Sequence.CINE:
        high = contrast.field_t > 2
        signals = bssfp(t1 * (T1_GAIN_3T if high else 1), t2 * (T2_LOSS_3T if high else 1), density, contrast)
        signals[list(BLOOD)] *= np.float32(contrast.inflow)
        return signals / signals[TISSUES.LV_BLOOD]
    if sequence is Sequence.LGE:
        signals = inversion_recovery(enhanced, density, contrast)
        return signals / signals[TISSUES.SCAR]
    raise ValueError(f"The phantom renders {Sequence.CINE.value} and {Sequence.LGE.value}, not {sequence.value}.")
