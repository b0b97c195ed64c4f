"""A clip store whose clips belong to other studies than they were written for, or to none."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from cmr_lib.clips import dataset


# Not in clips.dataset: its bytes are part of the key of every checkpoint (training.checkpoint.CODE).
@dataclass(frozen=True)
class Reassigned:
    """A `clips.dataset.Store` with another `study_key` in its index; rows keep their numbers and frames."""

    store: dataset.Store
    index: pd.DataFrame

    def frames(self, row_number: int) -> UInt8[np.ndarray, "frames size size"]:
        """Frames of one clip."""
        return self.store.frames(row_number)
