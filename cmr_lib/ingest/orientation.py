"""Where a slice lies, for people: letters at the edges of the picture, its corners, and where another plane cuts it.

Directions are LPS (PS3.3 C.7.6.2.1.1): x to the patient's left, y to the back, z to the head.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from cmr_lib.types import Sequence, Stack, View

Vector = Float[np.ndarray, "3"]
LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))  # towards plus and minus of x, y, z
WORTH = 0.38  # a direction's component from here on (22 degrees off the axes) earns a letter


def letters(direction: Vector) -> str:
    """The patient's sides that a unit vector points to, at most two, the strongest first: "L" or "HA"."""
    order = np.argsort(-np.abs(direction), kind="stable")[:2]
    return "".join(LETTERS[axis][int(direction[axis] < 0)] for axis in order if abs(direction[axis]) >= WORTH)


def edge_letters(stack: Stack) -> dict[str, str]:
    """The patient's side at each edge (left, right, top, bottom) of a stack's pictures."""
    across, down = stack.row_direction, stack.col_direction
    return {
        "left": letters(-across),
        "right": letters(across),
        "top": letters(-down),
        "bottom": letters(down),
    }


def corners_mm(stack: Stack, index: int) -> Float[np.ndarray, "4 3"]:
    """The centres of a slice's corner pixels in the patient (mm), one after the other around the picture."""
    rows, cols = (size - 1 for size in stack.pixels.shape[2:])
    down, across = stack.spacing_mm[0] * stack.col_direction, stack.spacing_mm[1] * stack.row_direction
    ends = np.array([[0, 0], [0, cols], [rows, cols], [rows, 0]], dtype=float)
    return stack.origins_mm[index] + ends[:, :1] * down + ends[:, 1:] * across


def angle_deg(first: Stack, second: Stack) -> float:
    """Angle between the planes of two stacks, 0 to 90 degrees."""
    return float(np.rad2deg(np.arccos(min(1.0, abs(float(first.normal @ second.normal))))))


def cut_line(stack: Stack, index: int, other: Stack) -> Float[np.ndarray, "points 2"] | None:
    """The pixels (row, col; fractions) of a slice that lie in the plane of another stack's middle slice.

    About one a pixel, from edge to edge; None where the plane does not meet the picture or is parallel to it.
    """
    rows, cols = stack.pixels.shape[2:]
    middle = np.array([rows - 1, cols - 1]) / 2
    steps = np.array(
        [
            stack.spacing_mm[0] * float(stack.col_direction @ other.normal),
            stack.spacing_mm[1] * float(stack.row_direction @ other.normal),
        ]
    )  # by how many mm one pixel down, or one to the right, leaves the other plane
    length = float(np.hypot(*steps))
    if length < 1e-3:
        return None
    away = float((stack.origins_mm[index] - other.origins_mm[len(other.origins_mm) // 2]) @ other.normal)
    nearest = middle - (away + steps @ middle) / length**2 * steps
    reach = np.arange(-(rows + cols), rows + cols + 1.0)[:, None]
    line = nearest + reach * np.array([-steps[1], steps[0]]) / length
    inside = ((line >= 0) & (line <= [rows - 1, cols - 1])).all(axis=1)
    return line[inside] if inside.sum() > 1 else None


def one_of_each(stacks: Iterable[Stack]) -> list[Stack]:
    """One stack a view and sequence (that with the most slices): short axis first, late enhancement last."""
    best: dict[tuple[View, Sequence], Stack] = {}
    for stack in stacks:
        key = (stack.view, stack.sequence)
        if key not in best or len(stack.pixels) > len(best[key].pixels):
            best[key] = stack
    return sorted(best.values(), key=lambda one: (one.sequence != Sequence.CINE, one.view != View.SAX, one.view))


def main_cine(stacks: Iterable[Stack]) -> Stack:
    """The short-axis cine with the most slices, else the largest other cine. Raises ValueError without any."""
    cines = [stack for stack in stacks if stack.sequence == Sequence.CINE]
    if not cines:
        raise ValueError(
            "This study holds no cine that could be read; its table of rejects says what became of its files."
        )
    return max(cines, key=lambda stack: (stack.view == View.SAX, len(stack.pixels)))
