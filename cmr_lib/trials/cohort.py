"""The demo's studies as a trial sees them: some or all views, some or all sections of the report."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from cmr_lib import params, project
from cmr_lib.clips import dataset
from cmr_lib.clips.reassigned import Reassigned
from cmr_lib.clips.store import ClipStore
from cmr_lib.evaluation import held_out
from cmr_lib.types import Split

USED = ["study_key", "patient_key", "split", "diagnosis", "lvef", "lge"]  # columns that decide a trial
NOBODY = ""  # the study of a clip that is hidden


def without_views(store: dataset.Store, share: float, seed: int) -> dataset.Store:
    """The store in which each kind of clip (view and sequence) of a study is missing with chance `share`.

    Drawn by study and kind alone: a larger share hides what a smaller one hides, and more. A study keeps the kind with
    the luckiest draw, so none is left empty.
    """
    if share == 0:
        return store
    kinds = store.index[["study_key", "view", "sequence"]].drop_duplicates()
    draws = [project.rng(seed, "missing", *kind).random() for kind in kinds.itertuples(index=False, name=None)]
    kinds = kinds.assign(draw=draws)
    best = kinds.groupby("study_key")["draw"].transform("max")
    gone = kinds[(kinds["draw"] < share) & (kinds["draw"] < best)]
    hidden = pd.MultiIndex.from_frame(store.index[["study_key", "view", "sequence"]]).isin(
        pd.MultiIndex.from_frame(gone[["study_key", "view", "sequence"]])
    )
    return Reassigned(store, store.index.assign(study_key=store.index["study_key"].where(~hidden, NOBODY)))


@dataclass(frozen=True)
class Cohort:
    """Clips, the table of studies, and reports by study key with a column a section."""

    store: dataset.Store
    studies: pd.DataFrame
    reports: pd.DataFrame

    @classmethod
    def read(cls, root: Path | str) -> "Cohort":
        """Read outputs/<profile>/preprocess. Raises FileNotFoundError with the stage that makes what is missing."""
        folder = Path(root) / "preprocess"
        studies = pd.read_parquet(project.require(folder / "studies.parquet", "the stage preprocess"))
        reports = pd.read_parquet(project.require(folder / "reports.parquet", "the stage preprocess"))
        return cls(ClipStore(folder / "store"), studies, reports.fillna("").set_index("study_key"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that a trial may see of the cohort."""
        found = hashlib.sha256(self.studies[USED].to_csv(index=False).encode())
        found.update(self.reports[["findings", "impression"]].to_csv().encode())
        found.update(self.store.index.to_csv().encode())
        for path in sorted(Path(self.store.folder).glob("*.npy")):
            found.update(project.sha256_file(path).encode())
        return found.hexdigest()

    def missing(self, share: float, seed: int) -> "Cohort":
        """The cohort with views missing (`without_views`)."""
        return replace(self, store=without_views(self.store, share, seed))

    def texts(self, sections: list[str]) -> dict[str, str]:
        """The report's chosen sections by study."""
        return {key: " ".join(parts) for key, *parts in self.reports[sections].itertuples(name=None)}

    def seen(self, plan: params.FramePlan, split: Split, *, with_report: bool) -> dataset.StudyDataset:
        """Studies of a split that have an image of the plan; `with_report`: and a report."""
        rows = held_out.rows_of(split, self.studies["split"], "trials: studies of a training")
        keys = [key for key in self.studies["study_key"].iloc[rows] if key in self.reports.index or not with_report]
        return dataset.StudyDataset(self.store, dataset.with_any_image(self.store, keys, plan), plan)
