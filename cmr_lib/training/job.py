"""One training as a value: what is trained, on which pairs, how. Run here (`loop.fit`), or elsewhere (`launch`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cmr_lib import params
from cmr_lib.clips.dataset import StudyDataset
from cmr_lib.models.cmrformer import CMRformer


@dataclass(frozen=True)
class Job:
    """The model is changed in place; `texts` holds a report for every study of `train` and `validation`, by key."""

    model: CMRformer
    tokenizer: Any
    train: StudyDataset
    texts: Mapping[str, str]
    validation: StudyDataset | None
    settings: params.Pretrain

    @property
    def study_keys(self) -> dict[str, list[str]]:
        """Studies to learn from, and to watch."""
        return {
            "train": self.train.study_keys,
            "validation": self.validation.study_keys if self.validation else [],
        }
