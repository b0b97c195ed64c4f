"""The heart's own frame in one study: which stack is the short axis, and what follows from it.

Among cine planes the largest group of parallel ones that is not axial, coronal or sagittal is the short axis, unless
its pixels contradict: a ventricle cut along its axis is no circle. Without such a group three planes or fewer near
the usual direction, then late enhancement, then a usual patient stand in, with less trust at each step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cmr_lib.ingest import heart
from cmr_lib.ingest.septum import ShortAxis, is_usual, look_at
from cmr_lib.types import Sequence as Seen
from cmr_lib.types import Stack, View

MIN_SAX = 4  # parallel planes that make a short axis
LONE_CONE_DEG = 25.0  # fewer planes than that count only this near to the usual long axis
OBLIQUE_DEG = 15.0  # nearer than this to a patient axis: an axial, coronal or sagittal stack
GROUP_DEG = 7.5  # planes this parallel are one group
APART_MM = 2.0  # planes nearer than this along the normal are one plane, scanned again
ELONGATED = 0.5  # septum.ShortAxis.elongation: nearer to a tube than to a disc, which contradicts a short axis
ELONGATED_USUAL = 0.75  # the same near the usual long axis: an artefact may hide a side of the disc there
SEPTUM_DEG = (12.0, 20.0)  # error of the septum, one standard deviation: seen clearly, or unclear or only assumed
ROUND = (
    0.4  # a left ventricle is less elongated (nearly all below 0.3); beyond it, an artefact hides a side of the disc
)
HIDDEN_DEG = 40.0  # then the septum's error is this large: long-axis planes cannot be told apart by angle alone
NAMES_RIGHT = (
    0.95,
    0.7,
)  # share of names taken as right: septum seen or assumed, and hidden (then one alone settles nothing)
TRUST = {"pixels": 1.0, "still": 0.7, "few": 0.6, "usual": 0.5}  # what the frame rests on → factor of confidences

Direction = Float[np.ndarray, "3"]


@dataclass(frozen=True)
class Scene:
    """What views are told by; directions are LPS unit vectors, points LPS in mm."""

    axis: Direction  # of the left ventricle, base to apex
    septum: Direction  # across the axis, from the left to the right ventricle
    left_ventricle: Direction | None  # a point on the axis; None: not known
    septum_deg: float
    basis: str  # key of TRUST
    short: tuple[int, ...] = ()  # indices of the stacks of the short axis
    elongation: float = 0.0

    @property
    def trust(self) -> float:
        """Factor of every confidence that rests on this frame."""
        return TRUST[self.basis]

    @property
    def names_right(self) -> float:
        """Share of names that are taken as right: the less the pixels say, the more a lie could do."""
        return NAMES_RIGHT[self.septum_deg >= HIDDEN_DEG]


def angle_deg(first: Direction, second: Direction) -> float:
    """Angle between two lines (signs do not matter), 0 to 90 degrees."""
    return float(np.rad2deg(np.arccos(min(1.0, abs(float(first @ second))))))


def _planes(stacks: Sequence[Stack], group: Sequence[int]) -> int:
    """Planes of a group at different places."""
    normal = stacks[group[0]].normal
    along = np.sort(np.concatenate([stacks[index].origins_mm @ normal for index in group]))
    return 1 + int((np.diff(along) > APART_MM).sum())


def _middle(stacks: Sequence[Stack], group: Sequence[int]) -> int:
    """The stack of a group that speaks for it: the one with most slices, of equals the one nearest to the middle."""
    normal = stacks[group[0]].normal
    along = {index: float(np.mean(stacks[index].origins_mm @ normal)) for index in group}
    middle = (min(along.values()) + max(along.values())) / 2
    return max(group, key=lambda index: (len(stacks[index].pixels), -abs(along[index] - middle)))


def _groups(stacks: Sequence[Stack], hints: Sequence[View], kind: Seen) -> list[tuple[int, tuple[int, ...]]]:
    """Groups of parallel oblique planes of one sequence, each with its number of planes, largest first.

    Of equals, the one whose description says short axis, then the one nearer to the usual long axis, comes first.
    """
    able = [
        index
        for index, stack in enumerate(stacks)
        if stack.sequence == kind and all(angle_deg(stack.normal, axis) > OBLIQUE_DEG for axis in np.eye(3))
    ]
    found: dict[tuple[int, ...], tuple] = {}
    for seed in able:
        group = tuple(index for index in able if angle_deg(stacks[index].normal, stacks[seed].normal) < GROUP_DEG)
        named = any(hints[index] == View.SAX for index in group)
        found.setdefault(group, (_planes(stacks, group), named, -angle_deg(stacks[seed].normal, heart.NOMINAL_AXIS)))
    ordered = sorted(found.items(), key=lambda item: item[1], reverse=True)
    return [(rank[0], group) for group, rank in ordered]


def _usual_septum(axis: Direction) -> Direction:
    return -heart.axis_frame(axis)[0]


def _scene(stack: Stack, group: tuple[int, ...], seen: ShortAxis | None, basis: str) -> Scene:
    axis = heart.towards_apex(stack.normal)
    if seen is None:
        return Scene(axis, _usual_septum(axis), None, SEPTUM_DEG[1], basis, group)
    spread = HIDDEN_DEG if seen.elongation > ROUND else SEPTUM_DEG[0 if is_usual(seen) else 1]
    return Scene(axis, seen.septum, seen.left_ventricle, spread, basis, group, seen.elongation)


def _contradicts(seen: ShortAxis | None, off_deg: float) -> bool:
    """Whether the pixels of a group say that it is no short axis; `off_deg` is its angle from the usual axis."""
    return seen is not None and seen.elongation > (ELONGATED_USUAL if off_deg < LONE_CONE_DEG else ELONGATED)


def find_scene(stacks: Sequence[Stack], hints: Sequence[View]) -> Scene:
    """The frame of a study's heart. `hints` are the views that the descriptions claim: they break ties."""
    for kind in (Seen.CINE, Seen.LGE):
        for planes, group in _groups(stacks, hints, kind):
            stack = stacks[_middle(stacks, group)]
            off_deg, few = angle_deg(stack.normal, heart.NOMINAL_AXIS), planes < MIN_SAX
            if few and off_deg > LONE_CONE_DEG:
                continue
            seen = look_at(stack)  # None for stills
            if not _contradicts(seen, off_deg):
                return _scene(stack, group, seen, "few" if few else ("still" if seen is None else "pixels"))
    axis = heart.NOMINAL_AXIS
    return Scene(axis, _usual_septum(axis), None, SEPTUM_DEG[1], "usual")
