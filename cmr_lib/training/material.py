"""What pretraining reads of the stage preprocess: clips, reports, and which studies learn from what."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cmr_lib import params, project
from cmr_lib.clips import dataset
from cmr_lib.clips.store import ClipStore
from cmr_lib.training import start
from cmr_lib.types import Split


@dataclass(frozen=True)
class Material:
    """studies: those with an image of the frame plan, in the table's order; texts: chosen sections by study key.

    settings: as asked for, or `start.without_pairs` where no training study has a report. left_out: studies without an
    image of the plan. wordless: reports without a word in the chosen sections, which are no report to learn from.
    """

    settings: params.Pretrain
    clips: ClipStore
    studies: pd.DataFrame
    texts: dict[str, str]
    impressions: pd.Series  # by study key
    left_out: int
    wordless: int

    @classmethod
    def read(cls, source: Path, settings: params.Pretrain) -> "Material":
        """Read outputs/<profile>/preprocess. Raises FileNotFoundError with the stage that makes what is missing."""
        clips = ClipStore(project.require(source / "store", "notebook 02"))
        studies = pd.read_parquet(project.require(source / "studies.parquet", "notebook 02"))
        reports = pd.read_parquet(project.require(source / "reports.parquet", "notebook 02"))
        reports = reports.fillna("").set_index("study_key")
        texts = {key: " ".join(parts) for key, *parts in reports[settings.text.sections].itertuples(name=None)}
        worded = [key for key, words in texts.items() if words.strip()]
        if not studies["study_key"][studies["split"] == Split.TRAIN.value].isin(worded).any():
            settings = start.without_pairs(settings)
        usable = studies["study_key"].isin(
            dataset.with_any_image(clips, studies["study_key"].tolist(), settings.frames)
        )
        kept = studies[usable].reset_index(drop=True)
        return cls(settings, clips, kept, texts, reports["impression"], int((~usable).sum()), len(texts) - len(worded))

    def keys(self, split: Split) -> list[str]:
        """Studies of a split that have a report with a word to learn from, too."""
        own = self.studies["study_key"][self.studies["split"] == split.value]
        return [key for key in own if self.texts.get(key, "").strip()]

    def patients(self, keys: Sequence[str]) -> list[str]:
        """Whose these studies are."""
        return self.studies.set_index("study_key")["patient_key"][list(keys)].tolist()

    def pairs(self, split: Split) -> dataset.StudyDataset:
        """Images of `keys`; their reports are in `texts`."""
        return dataset.StudyDataset(self.clips, self.keys(split), self.settings.frames)

    @property
    def everyone(self) -> dataset.StudyDataset:
        """Images of all studies, with and without a report."""
        return dataset.StudyDataset(self.clips, self.studies["study_key"].tolist(), self.settings.frames)

    def in_words(self) -> str:
        """How many pairs there are, and one impression; n = 0 where there is none."""
        train, validation = (self.keys(split) for split in (Split.TRAIN, Split.VALIDATION))
        counted = (
            f"**{len(train)}** pairs to learn from, **{len(validation)}** to watch; {self.left_out} studies have "
            "none of the chosen images"
        )
        if self.wordless:
            sections = " and ".join(self.settings.text.sections)
            counted += f", {self.wordless} reports no word of {sections}"
        if train:
            return f"{counted} and are left out. One impression: \n\n> {self.impressions[train[0]]}"
        mode, init = self.settings.mode, self.settings.init
        return f"{counted}. n = 0 studies have a report to learn from: nothing is trained (mode {mode}, init {init})."
