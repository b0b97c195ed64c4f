"""What is shown of a study beside its point on a map: its face, and what may be said of it."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from cmr_lib.types import StoredFrames


@runtime_checkable
class Faces(Protocol):
    """What is needed of a clip store (clips.store.ClipStore)."""

    def middle_cine(self, study_key: str) -> int:
        """Row of the study's middle short-axis cine, or of the middle of what there is."""
        ...

    def frames(self, row_number: int) -> StoredFrames:
        """Frames of the clip in this row."""
        ...


SAID = "said_"  # columns of the study table: findings as the report says them
Face = UInt8[np.ndarray, "height width"]


def both_kinds(
    studies: pd.DataFrame, image: Float[np.ndarray, "n embed"], text: Float[np.ndarray, "n embed"]
) -> tuple[pd.DataFrame, Float[np.ndarray, "points embed"]]:
    """All images, then the reports there are, as one table (column kind: "image" or "report") and one array."""
    written = ~np.isnan(text).any(axis=1)
    table = pd.concat([studies.assign(kind="image"), studies[written].assign(kind="report")], ignore_index=True)
    return table, np.concatenate([image, text[written]])


def face(clips: Faces, study_key: str) -> Face:
    """The first frame (full heart) of the middle short-axis cine, or of the middle of what there is."""
    return np.asarray(clips.frames(clips.middle_cine(study_key))[0])


def findings_said(studies: pd.DataFrame) -> pd.Series:
    """The findings that a study's report calls present, in words; "" where none is, or nothing was read."""
    columns = [name for name in studies.columns if name.startswith(SAID)]
    words = [name.removeprefix(SAID).replace("_", " ") for name in columns]
    present = (studies[columns] == "present").to_numpy()
    return pd.Series([", ".join(np.asarray(words)[row]) if len(words) else "" for row in present], studies.index)


def describe(
    points: pd.DataFrame, clips: Faces, texts: pd.DataFrame | None, picture: Callable[[Face], str]
) -> pd.DataFrame:
    """The points with what their card says: name, facts, text, and `picture` of their face.

    texts: reports (study_key, impression) whose words may be shown, those of phantoms; None: a real study's card
    says the findings that the parser read, and no word of its report.
    """
    faces = {key: picture(face(clips, key)) for key in points["study_key"].unique()}
    if texts is None:
        said = findings_said(points)
        name, facts, text = points["kind"], said.where(said == "", "findings said: " + said), ""
    else:
        lvef = points["lvef"].map(lambda value: "" if pd.isna(value) else f", LVEF {value:.0f} %").astype(str)
        name = points["kind"] + " · " + points["diagnosis"].astype(str)
        facts = points["split"] + ", " + points["vendor"] + lvef
        text = points["study_key"].map(dict(zip(texts["study_key"], texts["impression"], strict=True))).fillna("")
    return points.assign(name=name, facts=facts, text=text, picture=points["study_key"].map(faces))
