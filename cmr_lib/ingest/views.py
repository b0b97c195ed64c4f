"""Which plane of the heart an image shows, from geometry and pixels, with a confidence; text is a tie-break at most.

1. The short axis gives the heart's own frame (`scene`): its long axis, a point in the left ventricle, the septum.
   Every plane parallel to it, over the same stretch of the heart, is short-axis too, late enhancement included.
2. A plane that contains the long axis and passes through the left ventricle is a long-axis view; which one is told by
   its angle from the septum, for all planes of the study together (`rotation`).
3. A plane about parallel to the septum that misses the left ventricle on the septum's side shows the right ventricle.
   The ventricles share the apex, so its two-chamber plane comes nearer to the left ventricle's axis towards the apex;
   the outflow tract crosses in front of the aorta, so its plane comes nearer towards the base.
Anything else is unknown: a wrong name is worse than none.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from cmr_lib.ingest import heart, rotation
from cmr_lib.ingest.scene import ELONGATED, Scene, angle_deg, find_scene
from cmr_lib.types import Stack, View

SAME_DEG = 15.0  # planes this parallel to the short axis are short-axis
BEYOND_MM = 30.0  # as long as they lie no further than this beyond its slices
LONG_DEG = 30.0  # a long-axis plane is at most this far from containing the long axis
THROUGH_MM = 18.0  # and passes the left ventricle's axis within this distance, less than its radius
RIGHT_MM = 80.0  # planes further away than this on the septum's side do not show the right ventricle
BESIDE_DEG = 50.0  # nor do those further than this from parallel to the septum
RIGHT_TILT_DEG = 15.0  # how much the right ventricle's planes lean to the left one's axis, at the apex or the base
TILT_SPREAD_DEG = 12.0  # one standard deviation of that
SURE = 0.7  # share of belief from which geometry decides
TIE = 0.5  # share of the best one's belief from which on another view is a contender: then texts may decide
SURE_TOLD = 0.9  # share of belief from which they do
BLIND_SHARE = 0.6  # of planes parallel to the septum that pass the left ventricle, not the right one
USUAL_PLANE_DEG = 15.0  # scatter of planes about their segment where the axis is only assumed
PATTERNS = {
    View.RVOT: r"rvot|rv[ _-]?out",
    View.RV_2CH: r"rv[ _-]?(2|two|vla|lax)",
    View.LAX_4CH: r"4[ _-]?ch|4[ _-]?kammer|four|hla|4cv",
    View.LAX_3CH: r"3[ _-]?ch|three|lvot|lv[ _-]?out|3cv",
    View.LAX_2CH: r"2[ _-]?ch|2[ _-]?kammer|two|vla|2cv",
    View.SAX: r"sax|short|(^|[ _-])(sa|kurz|ka)([ _-]|$)",
}
RIGHT_VIEWS = (View.RV_2CH, View.RVOT)

Named = tuple[View, float, str]  # view, confidence, and what told it: geometry, text or none
UNNAMED: Named = (View.UNKNOWN, 0.0, "none")


def hint(description: str) -> View:
    """The view that a series description claims; descriptions lie, so this only ever breaks ties."""
    for view, pattern in PATTERNS.items():
        if re.search(pattern, description.lower()):
            return view
    return View.UNKNOWN


def decide(shares: dict[View, float], told: dict[View, float]) -> Named:
    """The view that has most of the belief, or of the contenders the one that the texts make sure, or none.

    `shares` are beliefs from geometry alone, `told` the same with the texts of the study's planes as evidence.
    """
    best, best_told = max(shares, key=lambda view: shares[view]), max(told, key=lambda view: told[view])
    if shares[best] >= SURE:
        return best, shares[best], "geometry"
    if told[best_told] >= SURE_TOLD and shares[best_told] >= TIE * shares[best] > 0:
        return best_told, shares[best_told], "text"
    return UNNAMED


def with_text(shares: dict[View, float], claimed: View, right: float) -> dict[View, float]:
    """Beliefs about one plane by itself, once its text is heard, which is taken as right with probability `right`."""
    if claimed not in shares:
        return shares
    wrong = (1 - right) / (len(shares) - 1)
    told = {view: share * (right if view == claimed else wrong) for view, share in shares.items()}
    return {view: share / sum(told.values()) for view, share in told.items()}


def _fading(value: float, spread: float) -> float:
    """1 at 0, less with distance (a Gaussian)."""
    return float(np.exp(-0.5 * (value / spread) ** 2))


def base_to_apex(stack: Stack) -> Stack:
    """The stack with its slices in order from base to apex: the apex lies to the left, the front and the feet."""
    along = stack.origins_mm @ heart.towards_apex(stack.normal)
    order = np.argsort(along, kind="stable")
    if (order == np.arange(len(order))).all():
        return stack
    return replace(
        stack, pixels=stack.pixels[order], origins_mm=stack.origins_mm[order], trigger_ms=stack.trigger_ms[order]
    )


# --- short axis -------------------------------------------------------------------------------------------------
def _is_short(stack: Stack, scene: Scene, stacks: Sequence[Stack]) -> bool:
    """Whether a plane is parallel to the short axis and lies along the same stretch of the heart."""
    if not scene.short or angle_deg(stack.normal, scene.axis) >= SAME_DEG:
        return False
    extent = np.concatenate([stacks[index].origins_mm @ scene.axis for index in scene.short])
    middle = float(np.median(stack.origins_mm @ scene.axis))
    return bool(extent.min() - BEYOND_MM < middle < extent.max() + BEYOND_MM)


def _short(stack: Stack, scene: Scene) -> Named:
    lean = _fading(angle_deg(stack.normal, scene.axis), 2 * SAME_DEG)
    return View.SAX, 0.98 * scene.trust * lean * _fading(scene.elongation, ELONGATED), "geometry"


# --- long axis --------------------------------------------------------------------------------------------------
def turn_deg(normal: Float[np.ndarray, "3"], scene: Scene) -> float:
    """Angle about the axis from the septum towards the anterior wall at which a plane cuts the short axis, mod 180."""
    line = np.cross(scene.axis, normal)
    anterior = -np.cross(scene.axis, scene.septum)  # the septum lies opposite to lateral
    return float(np.rad2deg(np.arctan2(line @ anterior, line @ scene.septum)) % 180.0)


def _lean_deg(stack: Stack, scene: Scene) -> float:
    """How far a plane is from containing the long axis, 0 to 90 degrees."""
    return 90.0 - angle_deg(stack.normal, scene.axis)


def _beside_mm(stack: Stack, scene: Scene) -> float:
    """Distance of the middle slice's plane from the left ventricle, positive on the septum's side; 0 if not known."""
    if scene.left_ventricle is None:
        return 0.0
    normal = stack.normal if stack.normal @ scene.septum > 0 else -stack.normal
    return float((stack.origins_mm[len(stack.origins_mm) // 2] - scene.left_ventricle) @ normal)


def _is_long(stack: Stack, scene: Scene) -> bool:
    return _lean_deg(stack, scene) < LONG_DEG and abs(_beside_mm(stack, scene)) < THROUGH_MM


def _beliefs(
    turns: Sequence[float], scene: Scene, claims: Sequence[View]
) -> list[tuple[dict[View, float], dict[View, float]]]:
    """For each plane through the axis, beliefs from the angles alone, and with the texts of all of them."""
    scatter = rotation.PLANE_DEG if scene.short else USUAL_PLANE_DEG
    alone = rotation.name_shares(turns, scene.septum_deg, scatter)
    told = rotation.name_shares(turns, scene.septum_deg, scatter, claims, scene.names_right)
    return [
        (dict(zip(rotation.VIEWS, one, strict=True)), dict(zip(rotation.VIEWS, other, strict=True)))
        for one, other in zip(alone.tolist(), told.tolist(), strict=True)
    ]


def _long(stack: Stack, scene: Scene, beliefs: tuple[dict[View, float], dict[View, float]], claimed: View) -> Named:
    """A plane through the axis. Without a point in the left ventricle, two chambers may be those of the right one."""
    view, share, source = decide(*beliefs)
    if scene.left_ventricle is None and view == View.LAX_2CH:
        share *= BLIND_SHARE
        view, source = (claimed, "text") if claimed in RIGHT_VIEWS else (view, source)
    clear = _fading(_lean_deg(stack, scene), 1.5 * LONG_DEG) * _fading(_beside_mm(stack, scene), 2 * THROUGH_MM)
    return view, share * clear * scene.trust, source


# --- right ventricle --------------------------------------------------------------------------------------------
def _right(stack: Stack, scene: Scene, claimed: View) -> Named:
    """A plane that misses the left ventricle: the right one's, or unknown."""
    beside = THROUGH_MM <= _beside_mm(stack, scene) < RIGHT_MM
    across = angle_deg(stack.normal, scene.septum)
    if scene.left_ventricle is None or not beside or across > BESIDE_DEG or _lean_deg(stack, scene) > 45.0:
        return UNNAMED
    normal = stack.normal if stack.normal @ scene.septum > 0 else -stack.normal
    to_apex = float(np.rad2deg(np.arcsin(np.clip(normal @ scene.axis, -1, 1))))
    two = 1 / (1 + float(np.exp(-2 * RIGHT_TILT_DEG * to_apex / TILT_SPREAD_DEG**2)))
    claimed = View.RV_2CH if claimed == View.LAX_2CH else claimed
    shares = {View.RV_2CH: two, View.RVOT: 1 - two}
    view, share, source = decide(shares, with_text(shares, claimed, scene.names_right))
    return view, share * _fading(across, BESIDE_DEG) * scene.trust, source


def assign_views(stacks: Sequence[Stack], descriptions: Sequence[str]) -> list[Stack]:
    """The stacks with their views; short-axis ones in order from base to apex. Same order, none lost.

    `facts["confidence"]` (0 to 1; 0 for unknown) says how sure the view is, `facts["view_source"]` by what it was
    told: geometry, text (a tie was broken by the description) or none (unknown).
    """
    claims = [hint(text) for text in descriptions]
    scene = find_scene(stacks, claims)
    short = [_is_short(stack, scene, stacks) for stack in stacks]
    long = [index for index, stack in enumerate(stacks) if not short[index] and _is_long(stack, scene)]
    turns = [turn_deg(stacks[index].normal, scene) for index in long]
    told = _beliefs(turns, scene, [claims[index] for index in long]) if long else []
    beliefs = dict(zip(long, told, strict=True))
    found = []
    for index, stack in enumerate(stacks):
        if short[index]:
            named = _short(stack, scene)
        elif index in beliefs:
            named = _long(stack, scene, beliefs[index], claims[index])
        else:
            named = _right(stack, scene, claims[index])
        view, confidence, source = named
        facts = {**stack.facts, "view_source": source, "confidence": round(confidence, 3)}
        stack = replace(stack, view=view, facts=facts)
        found.append(base_to_apex(stack) if view == View.SAX else stack)
    return found
