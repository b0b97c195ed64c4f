"""The 17 segments of the left ventricle (AHA, Cerqueira 2002, doi 10.1161/hc0402.102975) as smooth fields.

Angles are about the long axis, in radians: 0 points to the middle of the septum, +π/2 to the anterior wall, π to the
lateral and -π/2 to the inferior wall. `level` runs from 0 at the base to 1 at the apex.
"""

import numpy as np
from jaxtyping import Float

Field = Float[np.ndarray, "*#shape"]

# Coronary territories (Cerqueira 2002, figure 5).
TERRITORIES: dict[str, tuple[int, ...]] = {
    "LAD": (1, 2, 7, 8, 13, 14, 17),
    "RCA": (3, 4, 9, 10, 15),
    "LCx": (5, 6, 11, 12, 16),
}
NAMES: dict[int, str] = {
    1: "basal anterior",
    2: "basal anteroseptal",
    3: "basal inferoseptal",
    4: "basal inferior",
    5: "basal inferolateral",
    6: "basal anterolateral",
    7: "mid anterior",
    8: "mid anteroseptal",
    9: "mid inferoseptal",
    10: "mid inferior",
    11: "mid inferolateral",
    12: "mid anterolateral",
    13: "apical anterior",
    14: "apical septal",
    15: "apical inferior",
    16: "apical lateral",
    17: "apex",
}
LEVELS = {"basal": (-0.2, 0.35), "mid": (0.35, 0.68), "apical": (0.68, 0.92), "apex": (0.92, 1.3)}
EDGE_ANGLE = np.deg2rad(9.0)  # half width of the border between two segments
EDGE_LEVEL = 0.035


def wrap(angle: Field) -> Field:
    """The angle in [-π, π)."""
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def centre_of(segment: int) -> tuple[float, float, str]:
    """Middle angle, half width (radians) and level name of a segment; raises ValueError outside 1–17."""
    if not 1 <= segment <= 17:
        raise ValueError(f"AHA segments are 1 to 17, got {segment}.")
    if segment == 17:
        return 0.0, 2 * np.pi, "apex"
    if segment >= 13:
        return float(wrap(np.array(np.pi / 2 - (segment - 13) * np.pi / 2))), np.pi / 4, "apical"
    level = "basal" if segment <= 6 else "mid"
    return float(wrap(np.array(np.pi / 2 - ((segment - 1) % 6) * np.pi / 3))), np.pi / 6, level


def _ramp(value: Field, edge: float) -> Field:
    """0 below -edge, 1 above +edge, straight between."""
    return np.clip(0.5 + value / (2 * edge), 0, 1)


def segment_weight(segment: int, angle: Field, level: Field) -> Field:
    """How much a place belongs to a segment: 1 inside, 0 outside, linear across the borders."""
    centre, half, name = centre_of(segment)
    low, high = LEVELS[name]
    longitudinal = _ramp(level - low, EDGE_LEVEL) * _ramp(high - level, EDGE_LEVEL)
    if segment == 17:
        return longitudinal
    return longitudinal * _ramp(half - np.abs(wrap(angle - centre)), EDGE_ANGLE)


def segments_weight(segments: tuple[int, ...], angle: Field, level: Field) -> Field:
    """The same for a set of segments (their weights add up to 1 across common borders)."""
    total = np.zeros(np.broadcast_shapes(angle.shape, level.shape), dtype=angle.dtype)
    for segment in segments:
        total = total + segment_weight(segment, angle, level)
    return np.minimum(total, 1)
