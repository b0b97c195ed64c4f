"""How the heart beats: a volume-time curve, and a contraction that keeps the volume of the muscle.

Each material ring of the left ventricle, at reference height z and angle θ, has at end-diastole an inner radius R_en
and an outer radius R_ep. At time t it is shortened along the axis by λ (the apex stays, the valve plane descends) and
its inner radius is s·R_en. Muscle does not compress, so the area of the ring's wall grows by 1/λ:

    ρ² = s² R_en² + (R² - R_en²) / λ       for R >= R_en          (1)

With s = 1 - u·m(θ, z), m = 1 in healthy muscle and near 0 in an akinetic segment, the cavity's volume is a quadratic
in u, solved in closed form for the volume that the curve asks for.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

Grid = Float[np.ndarray, "#levels #angles"]
SMALLEST_STRETCH = 0.22  # of the inner radius: a cavity never closes fully


@dataclass(frozen=True)
class Beat:
    """Timing and size of one heart beat; `end_systole` is a share of RR."""

    end_systole: float
    shortening: float  # 1 - λ at end-systole
    twist_base: float  # radians at end-systole
    twist_apex: float


def emptying(phase: Float[np.ndarray, "*shape"], end_systole: float) -> Float[np.ndarray, "*shape"]:
    """How far the ventricle has emptied, 0 at end-diastole and 1 at end-systole, at a phase of RR (periodic).

    Ejection, early filling, diastasis and the atrial kick, as a monotone spline through knots. Raises ValueError for
    an end-systole outside 0.2–0.6.
    """
    if not 0.2 <= end_systole <= 0.6:
        raise ValueError(f"end_systole must lie in 0.2–0.6 of RR, got {end_systole}.")
    rest = 1 - end_systole
    knots = [0, 0.3, 0.7, 1]
    times = [k * end_systole for k in knots] + [end_systole + rest * k for k in (0.1, 0.35, 0.55, 0.8, 1.0)]
    values = [0, 0.3, 0.86, 1, 0.97, 0.36, 0.2, 0.14, 0]
    return np.asarray(np.clip(PchipInterpolator(times, values)(np.mod(phase, 1.0)), 0, 1))


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
