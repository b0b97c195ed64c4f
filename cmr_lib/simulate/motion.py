"""How the heart beats: a volume-time curve, and a contraction that keeps the volume of the muscle.

Each material ring of the left ventricle, at reference height z and angle θ, has at end-diastole an inner radius R_en
and an outer radius R_ep. At time t it is shortened along the axis by λ (the apex stays, the valve plane descends) and
its inner radius is s·R_en. Muscle does not compress, so the area of the ring's wall grows by 1/λ:

    ρ² = s² R_en² + (R² - R_en²) / λ       for R >= R_en          (1)

With s = 1 - u·m(θ, z), m = 1 in healthy muscle and near 0 in an akinetic segment, the cavity's volume is a quadratic
in u, solved in closed form for the volume that the curve asks for.

Two things can be told by the order of frames alone. Let v be how far the ventricle has emptied, T(v) the time since
end-diastole at which v is reached in ejection and F(v) the time before the next end-diastole at which it is passed in
filling. The heart spends dT + dF at each v. *Relaxation* r moves time from late ejection to early filling,

    T(v) = T₀(v) - r K(v),  F(v) = F₀(v) + r K(v),                  (2)

which leaves dT + dF, and so the frames as a set, as they are. *Dyssynchrony* d lets the septum (θ = 0) run ahead of the
lateral wall in ejection and in filling: m is multiplied by 1 + d h(v) cos θ in ejection and by 1 - d h(v) cos θ in
filling; where h is not 0, dT₀ = dF₀ and K is flat, so that -d shows the same frames as d, in the other order.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

Grid = Float[np.ndarray, "#levels #angles"]
Values = Float[np.ndarray, "*shape"]
SMALLEST_STRETCH = 0.22  # of the inner radius: a cavity never closes fully
LOW, HIGH = 0.3, 0.75  # emptied shares between which the two walls may differ
RELAXATION_SHARE = 0.045  # of RR that a relaxation of ±1 moves
_EMPTIED = np.linspace(0, 1, 201)


@dataclass(frozen=True)
class Beat:
    """Timing and size of one heart beat; `end_systole` is a share of RR at normal relaxation."""

    end_systole: float
    shortening: float  # 1 - λ at end-systole
    twist_base: float  # radians at end-systole
    twist_apex: float
    relaxation: float = 0.0  # r of equation (2), -1 to 1
    dyssynchrony: float = 0.0  # d, -1 to 1


@lru_cache(maxsize=64)
def _branches(beat: Beat) -> tuple[Values, Values]:
    """T and F of equation (2) on 201 values of v; raises ValueError for an end-systole outside 0.32–0.5."""
    if not 0.32 <= beat.end_systole <= 0.5:
        raise ValueError(f"end_systole must lie in 0.32–0.5 of RR, got {beat.end_systole}.")
    both = 0.3 * (HIGH - LOW)  # the same time in ejection and in filling, hence T₀' = F₀' between LOW and HIGH
    systole, diastole = beat.end_systole - both, 1 - beat.end_systole - both
    early, rest = 0.5 * systole, diastole - 0.12
    # The knots near 1 are isovolumic relaxation, those below LOW the start of ejection, diastasis and the atrial kick.
    ejection = {
        0: 0,
        0.03: 0.3 * early,
        LOW: early,
        HIGH: early + both,
        0.97: systole + both - 0.035,
        1: systole + both,
    }
    filling = {0: 0, 0.03: 0.1 * rest, 0.14: 0.28 * rest, 0.2: 0.68 * rest, LOW: rest, HIGH: rest + both}
    filling |= {0.97: diastole + both - 0.04, 1: diastole + both}
    moved = beat.relaxation * RELAXATION_SHARE * np.clip((_EMPTIED - HIGH) / (0.97 - HIGH), 0, 1)
    ejected, filled = (np.interp(_EMPTIED, list(knots), list(knots.values())) for knots in (ejection, filling))
    return ejected - moved, filled + moved


def end_systole(beat: Beat) -> float:
    """The phase of RR at which the ventricle is smallest."""
    return float(_branches(beat)[0][-1])


def emptying(phase: Values, beat: Beat) -> Values:
    """How far the ventricle has emptied, 0 at end-diastole and 1 at end-systole, at a phase of RR (periodic)."""
    ejected, filled = _branches(beat)
    turn = np.mod(phase, 1.0)
    out = np.interp(turn, ejected, _EMPTIED)
    back = np.interp(1 - turn, filled, _EMPTIED)
    return np.asarray(np.where(turn <= ejected[-1], out, back))


def wall_lead(phase: float, beat: Beat) -> float:
    """By which share the septum contracts more at a phase than it would with the others; the lateral wall, less."""
    emptied = float(emptying(np.asarray(phase), beat))
    share = (emptied - LOW) / (HIGH - LOW)
    if not 0 < share < 1:
        return 0.0
    ejecting = phase % 1 <= end_systole(beat)
    return beat.dyssynchrony * float(np.sin(np.pi * share)) ** 2 * (1 if ejecting else -1)


def half_filling_share(beat: Beat) -> float:
    """Time from end-systole until half of the stroke volume is back, as a share of RR."""
    filled = _branches(beat)[1]
    return float(filled[-1] - np.interp(0.5, _EMPTIED, filled))


def septal_delay_share(beat: Beat) -> float:
    """How much later than the septum the lateral wall is half contracted, as a share of RR (negative: earlier)."""
    ejected = _branches(beat)[0]
    lead = np.sin(np.pi * np.clip((_EMPTIED - LOW) / (HIGH - LOW), 0, 1)) ** 2 * beat.dyssynchrony
    times = []
    for sign in (1, -1):
        excursion = np.maximum.accumulate(_EMPTIED * (1 + sign * lead))
        times.append(ejected[int(np.argmax(excursion >= 0.5))])
    return float(times[1] - times[0])


def inner_stretch(radius2: Grid, ability: Grid, cells: Grid, length: float, volume_mm3: float) -> tuple[Grid, float]:
    """The stretch s(θ, z) of the inner radius for which the cavity holds `volume_mm3`, and the u that gave it.

    `radius2` is R_en² (mm²), `ability` is m, `cells` are dθ·dz (rad·mm) and `length` is λ. When the healthy muscle
    cannot reach the volume, s stops at its smallest value and the volume stays larger.
    """
    weights = 0.5 * length * cells * radius2
    moments = [float(np.sum(weights * ability**power)) for power in range(3)]
    # moments[2] u² - 2 moments[1] u + moments[0] - volume = 0, smaller root
    root = moments[1] ** 2 - moments[2] * (moments[0] - volume_mm3)
    u = (moments[1] - np.sqrt(max(root, 0.0))) / moments[2]
    return np.maximum(1 - u * ability, SMALLEST_STRETCH), float(u)


def outer_radius2(inner2: Grid, reference_inner2: Grid, reference_outer2: Grid, length: float) -> Grid:
    """Squared outer radius by equation (1): the wall's area grows as its length shrinks."""
    return inner2 + (reference_outer2 - reference_inner2) / length


def crescent_scale(inner: Grid, height: Grid, cells: Grid, length: float, volume_mm3: float) -> float:
    """The k for which a crescent of thickness k·height on top of radius `inner` holds `volume_mm3`.

    Volume = λ ∫∫ [(inner + k h)² - inner²] / 2 dθ dz = k A + k² B, so k is a root of a quadratic.
    """
    first = float(np.sum(length * cells * inner * height))
    second = float(np.sum(0.5 * length * cells * height**2))
    return (-first + np.sqrt(first**2 + 4 * second * volume_mm3)) / (2 * second)
