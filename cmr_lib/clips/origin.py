"""Whose data a cohort is: said once by the stage preprocess, read by every later stage that prints or draws it."""

import json
from dataclasses import dataclass
from pathlib import Path

from cmr_lib import project

PHANTOM = "synthetic phantom"
ORIGIN_NAME = "cohort.json"


@dataclass(frozen=True)
class Origin:
    """Written to cohort.json."""

    source: str  # as in params
    title: str
    note: str  # stands on every figure
    citation: str = ""
    licence: str = ""

    @property
    def synthetic(self) -> bool:
        """Whether the hearts are phantoms."""
        return self.note.startswith(PHANTOM)


def read_origin(folder: Path | str) -> Origin:
    """The origin that the stage preprocess wrote to `folder`. Raises FileNotFoundError with the stage that makes it."""
    path = project.require(Path(folder) / ORIGIN_NAME, "notebook 02")
    return Origin(**json.loads(path.read_text(encoding="utf-8")))
