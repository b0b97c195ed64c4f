"""Everything that the first cohort's probes meet elsewhere, in one table: other cohorts, and a maker they never saw.

The second hospital and ACDC's layout are judged by the first cohort's probes (`cohorts`), ACDC's official split also by
a probe of its own, and the first cohort itself by probes that were fitted without one maker (`makers`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from cmr_lib import labels, params, project
from cmr_lib.clips.store import ClipStore
from cmr_lib.evaluation import cohorts, makers
from cmr_lib.evaluation.cohorts import OWN, Judges
from cmr_lib.evaluation.external import Cohort, external

__all__ = ["OWN", "Abroad", "Cohort", "Judges", "judge", "visit"]


@dataclass(frozen=True)
class Abroad:
    """table: every number (`cohorts.COLUMNS`). side_by_side: those of whole cohorts, each once, to be drawn."""

    table: pd.DataFrame
    side_by_side: pd.DataFrame

    @property
    def brief(self) -> pd.DataFrame:
        """The rows on diagnosis, means and volumes: single findings and single diagnoses are left to the file."""
        single = self.table["task"].isin(labels.FINDINGS) | self.table["task"].str.contains("every ")
        return self.table[~single].drop(columns=["n_patients"]).round(3)

    @property
    def metrics(self) -> dict[str, dict[str, float | int]]:
        """Entries of metrics.json (`cohorts.cohort_metrics`)."""
        return cohorts.cohort_metrics(self.table)

    @property
    def in_words(self) -> str:
        """What is lost, in sentences; "" without another cohort."""
        return cohorts.in_words(self.table)


def visit(source: Path, model: Any, tokenizer: Any, settings: params.Classification) -> list[Cohort]:
    """Read and embed the cohorts that the settings ask for, as the first one was.

    source: outputs/<profile>. Raises FileNotFoundError with the stage that makes what is missing.
    """
    chosen = project.require(source / "pretrain" / "frames.json", "the stage pretrain")
    plan = params.FramePlan(**json.loads(chosen.read_text(encoding="utf-8")))
    return external(settings, ClipStore(source / "preprocess" / "store"), model, tokenizer, plan)


def judge(
    own: Cohort,
    test: Int[np.ndarray, " rows"],
    visited: Sequence[Cohort],
    judges: Judges,
    settings: params.Classification,
) -> Abroad:
    """Every comparison that the cohorts allow. own: the first cohort, all splits; test: its test rows."""
    transferred = [cohorts.transfer_table(own.part(test), other, judges, settings) for other in visited]
    official = [cohorts.official_table(other, settings) for other in visited if other.name.startswith("ACDC")]
    left_out = makers.leave_one_vendor_out(own, judges.diagnosis, settings)
    tables = [pd.DataFrame(columns=cohorts.COLUMNS), *transferred, *official, left_out]
    table = pd.concat(tables, ignore_index=True)
    whole = table[table["cohort"].isin([own.name, *(other.name for other in visited)])]
    return Abroad(table, whole.drop_duplicates(["cohort", "task", "metric"]))
