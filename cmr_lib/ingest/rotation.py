"""Which long-axis view a plane is, from the angle about the long axis between the plane and the septum.

The segments of the American Heart Association (Cerqueira 2002, doi 10.1161/hc0402.102975) say what each plane cuts:
four-chamber the inferoseptal, three-chamber the anteroseptal, two-chamber the anterior segment, whose middles lie at
-30, 30 and 90 degrees from the middle of the septum towards the anterior wall. Technologists miss that by some 10
degrees a plane, and the septum is seen with an error that all planes of a study share; so all are judged together.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from cmr_lib.types import View

VIEWS = (View.LAX_4CH, View.LAX_3CH, View.LAX_2CH)
SEGMENT_DEG = np.array([-30.0, 30.0, 90.0])  # of VIEWS
PLANE_DEG = 10.0  # scatter of a plane about its segment, one standard deviation
ODD_SHARE = 0.05  # of the planes through the axis are none of the three
SHARED_DEG = np.arange(-60.0, 61.0, 2.0)  # errors of the septum that are considered

Turned = Float[np.ndarray, "..."]
Shares = Float[np.ndarray, "planes views"]


def between(first: Turned, second: Turned) -> Turned:
    """Signed difference of two directions of lines, -90 to 90 degrees."""
    return (first - second + 90.0) % 180.0 - 90.0


def _named_at(angles_deg: Sequence[float], plane_deg: float) -> Float[np.ndarray, "planes errors views"]:
    """Density of each plane's angle at each shared error, for each of VIEWS."""
    off = between(np.asarray(angles_deg, dtype=np.float64)[:, None, None], SHARED_DEG[:, None] + SEGMENT_DEG)
    return (1 - ODD_SHARE) / len(VIEWS) * np.exp(-0.5 * (off / plane_deg) ** 2) / (plane_deg * np.sqrt(2 * np.pi))


def _likelihood_of(claims: Sequence[View], trust: float) -> Float[np.ndarray, "planes 1 kinds"]:
    """How likely each plane's text is if the plane is one of VIEWS, or (last) none; flat where it names none."""
    told = np.full((len(claims), 1, len(VIEWS) + 1), 1 / len(VIEWS))
    for row, claim in zip(told, claims, strict=True):
        if claim in VIEWS:
            row[0, : len(VIEWS)] = (1 - trust) / (len(VIEWS) - 1)
            row[0, VIEWS.index(claim)] = trust
    return told


def name_shares(
    angles_deg: Sequence[float],
    septum_deg: float,
    plane_deg: float = PLANE_DEG,
    claims: Sequence[View] | None = None,
    trust: float = 0.0,
) -> Shares:
    """Probability of each of VIEWS for each plane; what is missing to 1 is that of none of them.

    `angles_deg` are measured from the septum towards the anterior wall, `septum_deg` is the standard deviation of the
    septum's error, which all planes share and over which the sum is taken. With `claims` (the view that each plane's
    text names), a text is taken as right with probability `trust`: texts that fit each other and the angles between
    their planes tell where the septum is, and one that contradicts them is outvoted.
    """
    named = _named_at(angles_deg, plane_deg)
    none = np.full((*named.shape[:2], 1), ODD_SHARE / 180.0)
    likely = np.concatenate([named, none], axis=2)
    if claims is not None:
        likely = likely * _likelihood_of(claims, trust)
    total = likely.sum(axis=2)
    evidence = np.log(total).sum(axis=0) - 0.5 * (SHARED_DEG / septum_deg) ** 2
    weight = np.exp(evidence - evidence.max())
    return (likely[:, :, :-1] / total[:, :, None] * (weight / weight.sum())[None, :, None]).sum(axis=1)
