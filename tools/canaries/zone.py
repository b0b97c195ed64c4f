"""The restricted zone: the only places where an identifier may stand, and why. Everything else is searched.

It is what a clinic must guard as it guards its archive: mode 0700, no backup to others, no DVC remote that others read.
Reports as they were written stay in the memory of the stage preprocess, so no output is listed here. Scrubbed reports
(reports.parquet) are searched like everything else; they are text all the same and not for others to read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CLINIC, KEY, COPY, ROOT = "clinic", "key", "copy", "root"  # what a place is relative to


@dataclass(frozen=True)
class Place:
    """A place in the zone: a path relative to the clinic's export, the key, the profile's copy or the repository."""

    within: str
    path: str
    why: str


ZONE: tuple[Place, ...] = (
    Place(CLINIC, ".", "the input itself: studies, report table, and the names of their files and folders"),
    Place(KEY, ".", "the naming key: with it, keyed names can be linked to patients again"),
    Place(ROOT, "params/clinic/local.yaml", "names the clinic's folders; ignored by git"),
    Place(COPY, "params/clinic/local.yaml", "the copy's own local.yaml"),
    Place(COPY, ".dvc/cache", "the clinic's own cache: every version of its outputs, those of older code too"),
    Place(COPY, ".dvc/site", "the clinic's own site cache: DVC keeps names and hashes of files there"),
)


@dataclass(frozen=True)
class Grounds:
    """Where the four roots of the zone lie on this machine."""

    clinic: Path
    key: Path
    copy: Path
    root: Path

    def zone(self) -> Iterator[Path]:
        """Every place of the zone."""
        roots = {CLINIC: self.clinic, KEY: self.key, COPY: self.copy, ROOT: self.root}
        yield from (roots[place.within] / place.path for place in ZONE)

    def is_restricted(self, path: Path) -> bool:
        """Whether a path is a place of the zone, or below one."""
        return any(path == place or place in path.parents for place in self.zone())
