"""Which plane of the heart an image shows, from geometry; the series description is a tie-break at most.

1. The largest group of parallel cine planes that is oblique and looks along the left ventricle is the short axis; its
   normal is the long axis. Every other plane parallel to it is short-axis too, late enhancement included.
2. A plane that contains the long axis and passes through the left ventricle is a long-axis view; which one is told
   by its rotation about the long axis. The 4-, 2- and 3-chamber planes lie about 60 degrees apart (as the probe
   rotation in echocardiography); the frame is the patient's left, corrected by one rotation fitted to all planes.
3. A plane beside the left ventricle, on the right, shows the right ventricle; only the text can say which view.
Anything else is unknown: a wrong name is worse than none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from cmr_lib.ingest import heart
from cmr_lib.types import Sequence as Kind
from cmr_lib.types import Stack, View

MIN_SAX = 3  # parallel planes that make a short axis
SAX_CONE_DEG = 50.0  # of the short-axis normal about the nominal long axis
LONE_CONE_DEG = 25.0  # the same where there are fewer planes than MIN_SAX
EXACT_DEG = 3.0  # closer than this to a patient axis: an axial, coronal or sagittal stack
SAME_DEG = 15.0  # planes this parallel to the short axis are short-axis
LONG_DEG = 20.0  # a long-axis plane is at most this far from containing the long axis
THROUGH_MM = 18.0  # and passes the left ventricle's axis within this distance
RIGHT_MM = 80.0  # planes further to the right than this do not show the right ventricle
MARGIN_DEG = 8.0  # nearer than this to the border between two views: the text decides, or nobody
# Rotation about the long axis of the line in which the plane cuts the short axis: from the patient's left (lateral
# wall) towards the anterior wall. The spacing is anatomy's (60 degrees); the start is a nominal patient's.
NOMINAL_DEG = {View.LAX_4CH: 5.0, View.LAX_2CH: 65.0, View.LAX_3CH: 125.0}
PATTERNS = {
    View.RVOT: r"rvot|rv[ _-]?out",
    View.RV_2CH: r"rv[ _-]?(2|two|vla|lax)",
    View.LAX_4CH: r"4[ _-]?ch|4[ _-]?kammer|four|hla|4cv",
    View.LAX_3CH: r"3[ _-]?ch|three|lvot|lv[ _-]?out|3cv",
    View.LAX_2CH: r"2[ _-]?ch|2[ _-]?kammer|two|vla|2cv",
    View.SAX: r"sax|short|(^|[ _-])(sa|kurz|ka)([ _-]|$)",
}


@dataclass(frozen=True)
class Scene:
    """What the views are told by: the long axis (base to apex) and a point on it (None: no short-axis cine)."""

    axis: Float[np.ndarray, "3"]
    left_ventricle: Float[np.ndarray, "3"] | None


def hint(description: str) -> View:
    """The view that a series description claims; descriptions lie, so this only ever breaks ties."""
    for view, pattern in PATTERNS.items():
        if re.search(pattern, description.lower()):
            return view
    return View.UNKNOWN


def angle_deg(first: Float[np.ndarray, "3"], second: Float[np.ndarray, "3"]) -> float:
    """Angle between two lines (signs do not matter), 0 to 90 degrees."""
    return float(np.rad2deg(np.arccos(min(1.0, abs(float(first @ second))))))


def _turn(angle: float, target: float) -> float:
    """Signed difference of two directions of a line, -90 to 90 degrees."""
    return (angle - target + 90.0) % 180.0 - 90.0


# --- short axis -------------------------------------------------------------------------------------------------
def _could_be_short(stack: Stack, cone_deg: float) -> bool:
    oblique = all(angle_deg(stack.normal, axis) > EXACT_DEG for axis in np.eye(3))
    return stack.sequence == Kind.CINE and oblique and angle_deg(stack.normal, heart.NOMINAL_AXIS) < cone_deg


def find_short_axis(stacks: Sequence[Stack], hints: Sequence[View]) -> list[int]:
    """Indices of the stacks in the largest group of parallel planes that can be the short axis; may be empty.

    Ties: the group whose description says short axis, then the one nearer to the nominal long axis. Fewer planes than
    MIN_SAX count only near the nominal axis.
    """
    best: tuple = (0,)
    chosen: list[int] = []
    for index, stack in enumerate(stacks):
        group = [
            other
            for other, rival in enumerate(stacks)
            if _could_be_short(rival, SAX_CONE_DEG) and angle_deg(rival.normal, stack.normal) < SAME_DEG / 2
        ]
        planes = sum(len(stacks[other].pixels) for other in group)
        if index not in group or (planes < MIN_SAX and not _could_be_short(stack, LONE_CONE_DEG)):
            continue
        named = any(hints[other] == View.SAX for other in group)
        score = (planes, named, -angle_deg(stack.normal, heart.NOMINAL_AXIS))
        if score > best:
            best, chosen = score, group
    return chosen


def base_to_apex(stack: Stack) -> Stack:
    """The stack with its slices in order from base to apex: the apex lies to the left, the front and the feet."""
    along = stack.origins_mm @ heart.towards_apex(stack.normal)
    order = np.argsort(along, kind="stable")
    if (order == np.arange(len(order))).all():
        return stack
    return replace(
        stack, pixels=stack.pixels[order], origins_mm=stack.origins_mm[order], trigger_ms=stack.trigger_ms[order]
    )


def find_scene(stacks: Sequence[Stack], short: Sequence[int]) -> Scene:
    """The long axis and the left ventricle, from the largest short-axis cine; else the nominal axis."""
    if not short:
        return Scene(heart.NOMINAL_AXIS, None)
    largest = max(short, key=lambda index: len(stacks[index].pixels))
    alone = all(index in short for index in range(len(stacks)))  # without other planes nobody asks for the point
    point = None if alone else heart.left_ventricle(stacks[largest])
    return Scene(heart.towards_apex(stacks[largest].normal), point)


# --- long axis --------------------------------------------------------------------------------------------------
def rotation_deg(normal: Float[np.ndarray, "3"], axis: Float[np.ndarray, "3"]) -> float:
    """Where the plane cuts the short axis: 0 = towards the left (lateral), 90 = anterior; modulo 180 degrees."""
    lateral, anterior = heart.axis_frame(axis)
    line = np.cross(axis, normal)
    return float(np.rad2deg(np.arctan2(line @ anterior, line @ lateral)) % 180.0)


def fit_rotation(angles_deg: Sequence[float]) -> float:
    """One turn of the heart about its axis that brings all planes nearest to nominal ones, in degrees.

    Least squares with a scatter of 10 degrees for a plane and of 20 for the patient, on a grid of 1 degree.
    """

    def cost(turn: int) -> float:
        misfit = [min(abs(_turn(angle - turn, nominal)) for nominal in NOMINAL_DEG.values()) for angle in angles_deg]
        return sum((value / 10.0) ** 2 for value in misfit) + (turn / 20.0) ** 2

    return float(min(range(-30, 31), key=lambda turn: (cost(turn), abs(turn))))


def _through(stack: Stack, scene: Scene) -> float:
    """Signed distance (mm) of the middle slice's plane from the left ventricle, to the patient's right = positive."""
    if scene.left_ventricle is None:
        return 0.0
    normal = stack.normal if stack.normal[0] < 0 else -stack.normal
    return float((stack.origins_mm[len(stack.origins_mm) // 2] - scene.left_ventricle) @ normal)


def _is_long(stack: Stack, scene: Scene) -> bool:
    contains = 90.0 - angle_deg(stack.normal, scene.axis) < LONG_DEG
    return contains and abs(_through(stack, scene)) < THROUGH_MM


def name_long_axis(angle: float, claimed: View) -> View:
    """The long-axis view at this (corrected) rotation; near the border of two views the text decides, or nobody."""
    distance = {view: abs(_turn(angle, nominal)) for view, nominal in NOMINAL_DEG.items()}
    first, second = sorted(distance, key=lambda view: distance[view])[:2]
    if distance[second] - distance[first] > 2 * MARGIN_DEG:
        return first
    return claimed if claimed in (first, second) else View.UNKNOWN


def name_other(stack: Stack, scene: Scene, claimed: View) -> View:
    """A plane that is neither short-axis nor through the left ventricle: the right ventricle's, or unknown."""
    beside = THROUGH_MM <= _through(stack, scene) < RIGHT_MM
    if scene.left_ventricle is None or not beside or angle_deg(stack.normal, scene.axis) < 45.0:
        return View.UNKNOWN
    if claimed in (View.RVOT, View.RV_2CH):
        return claimed
    return View.RV_2CH if claimed == View.LAX_2CH else View.UNKNOWN


def assign_views(stacks: Sequence[Stack], descriptions: Sequence[str]) -> list[Stack]:
    """The stacks with their views; short-axis ones in order from base to apex. Same order, none lost.

    `facts["view_source"]` says geometry, text (a tie was broken by the description) or none (unknown).
    """
    claims = [hint(text) for text in descriptions]
    short = find_short_axis(stacks, claims)
    scene = find_scene(stacks, short)
    parallel = [bool(short) and angle_deg(one.normal, scene.axis) < SAME_DEG for one in stacks]
    long = [not flat and _is_long(one, scene) for one, flat in zip(stacks, parallel, strict=True)]
    angles = [rotation_deg(one.normal, scene.axis) if yes else 0.0 for one, yes in zip(stacks, long, strict=True)]
    turn = fit_rotation([angle for angle, yes in zip(angles, long, strict=True) if yes])
    named = []
    for index, stack in enumerate(stacks):
        if parallel[index]:
            view = View.SAX
        elif long[index]:
            view = name_long_axis(angles[index] - turn, claims[index])
            if not short and view != claims[index]:  # on a nominal axis geometry alone is a guess
                view = View.UNKNOWN
        else:
            view = name_other(stack, scene, claims[index])
        by_text = view in (View.RVOT, View.RV_2CH) or (
            long[index] and name_long_axis(angles[index] - turn, View.UNKNOWN) != view
        )
        source = "none" if view == View.UNKNOWN else ("text" if by_text else "geometry")
        stack = replace(stack, view=view, facts={**stack.facts, "view_source": source})
        named.append(base_to_apex(stack) if view == View.SAX else stack)
    return named
