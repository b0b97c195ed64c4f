"""From words for places in the left ventricle to the 17 segments (Cerqueira 2002, doi 10.1161/hc0402.102975)."""

import re
from collections.abc import Sequence

from cmr_lib.reports.tagging import Tag

WALLS = {  # wall: its segment at the basal, mid and apical level (0: the wall does not reach that level)
    "anterior": (1, 7, 13), "anteroseptal": (2, 8, 14), "inferoseptal": (3, 9, 14), "inferior": (4, 10, 15),
    "inferolateral": (5, 11, 16), "anterolateral": (6, 12, 16),
}  # fmt: skip
LEVELS = ("basal", "mid", "apical")
_ALL_LEVELS = {  # a wall named without a level
    "anterior": (1, 7, 13), "anteroseptal": (2, 8), "inferoseptal": (3, 9), "inferior": (4, 10, 15),
    "inferolateral": (5, 11), "anterolateral": (6, 12), "septal": (2, 3, 8, 9, 14), "lateral": (5, 6, 11, 12, 16),
}  # fmt: skip
_PARTS = {"septal": ("anteroseptal", "inferoseptal"), "lateral": ("inferolateral", "anterolateral")}
TERRITORIES = {  # the usual supply (same source)
    "LAD": (1, 2, 7, 8, 13, 14, 17), "RCA": (3, 4, 9, 10, 15), "LCX": (5, 6, 11, 12, 16),
}  # fmt: skip


def _at(wall: str, levels: Sequence[str]) -> set[int]:
    if not levels:
        return set(_ALL_LEVELS[wall])
    places = [LEVELS.index(level) for level in levels if level in LEVELS]
    found = {WALLS[part][place] for part in _PARTS.get(wall, (wall,)) for place in places}
    return found | ({17} if "apex" in levels else set())


def _ranged(tags: Sequence[Tag], text: str) -> list[Tag]:
    """The same tags, with the levels between "base to apex" or "basal to apical" put in."""
    full: list[Tag] = []
    for tag in tags:
        if tag.kind == "level" and full and full[-1].kind == "level":
            between = text[full[-1].end : tag.start].strip(" -")
            ends = [LEVELS.index("apical" if name == "apex" else name) for name in (full[-1].value, tag.value)]
            if between in ("to", "to the", "through to") and tag.value == "apex":
                tag = Tag("level", "apical", tag.start, tag.end)
            if between in ("to", "to the", "through to") and max(ends) - min(ends) == 2:
                full.append(Tag("level", "mid", tag.start, tag.start))
        full.append(tag)
    return full


def _numbered(text: str) -> set[int]:
    """Segments given by number: "segments 4, 10 and 15", "segments 7 to 9"."""
    found = {int(number) for number in re.findall(r"\d+", text)}
    for first, last in re.findall(r"(\d+)(?:-| to )(\d+)", text):
        found |= set(range(int(first), int(last) + 1))
    return {number for number in found if 1 <= number <= 17}


def segments_of(tags: Sequence[Tag], text: str) -> tuple[int, ...]:
    """Segments named by a run of level, wall and numbered tags, sorted. Levels hold for the walls that follow them.

    A level behind its wall ("the septum at basal level") holds for the walls before it.
    """
    found: set[int] = set()
    walls: list[str] = []
    levels: list[str] = []

    def close() -> None:
        if walls:
            found.update(*(_at(wall, levels) for wall in walls))
        elif levels:
            found.update({13, 14, 15, 16} if "apical" in levels else (), {17} if "apex" in levels else ())
        walls.clear()
        levels.clear()

    places = _ranged([tag for tag in tags if tag.kind in ("level", "wall", "numbered")], text)
    for number, tag in enumerate(places):
        if tag.kind == "numbered":
            found |= _numbered(text[tag.start : tag.end])
        elif tag.kind == "wall":
            walls.append(tag.value)
        else:
            more_walls = any(later.kind == "wall" for later in places[number + 1 :])
            if walls and (levels or more_walls):
                close()
            levels.append(tag.value)
    close()
    return tuple(sorted(found))
