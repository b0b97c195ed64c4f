"""A table of embeddings on disk: studies.csv, image.npy, text.npy.

(n, d) float32 of unit rows; a study without a report has a row of NaN in text.npy. Embeddings of patients can be linked
to them: they stay in the restricted zone. Nothing heavy is imported here: most stages only read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32

from cmr_lib import project

UNKNOWN = {"diagnosis": "", "lvef": float("nan")}  # labels that a cohort need not have


@dataclass(frozen=True)
class EmbeddingTable:
    """Rows of the three belong together."""

    studies: pd.DataFrame
    image: Float32[np.ndarray, "n d"]
    text: Float32[np.ndarray, "n d"]


def write_embeddings(
    folder: Path | str, studies: pd.DataFrame, image: Float32[np.ndarray, "n d"], text: Float32[np.ndarray, "texts d"]
) -> None:
    """Write the three files. Raises ValueError when rows do not match or NaN rows and `has_report` disagree."""
    folder = Path(folder)
    if not len(studies) == len(image) == len(text):
        raise ValueError(f"{len(studies)} studies, {len(image)} image and {len(text)} text embeddings do not match.")
    if not np.array_equal(studies["has_report"].to_numpy(bool), ~np.isnan(text).any(axis=1)):
        raise ValueError("Text embeddings must be NaN exactly where has_report is false.")
    project.write_table(folder / "studies.csv", studies[["study_key", "split", "has_report"]])
    project.write_array(folder / "image.npy", image)
    project.write_array(folder / "text.npy", text)


def read_embeddings(folder: Path | str) -> EmbeddingTable:
    """Read what `write_embeddings` wrote. Raises FileNotFoundError with the stage that makes it."""
    folder = project.require(folder, "stage pretrain")
    studies = pd.read_csv(folder / "studies.csv", dtype={"study_key": str, "split": str})
    image, text = (np.load(folder / name, allow_pickle=False) for name in ("image.npy", "text.npy"))
    return EmbeddingTable(studies, image, text)


def read_studies(path: Path | str, study_keys: Iterable[str]) -> pd.DataFrame:
    """The study table of stage preprocess in the order of these keys.

    Where a cohort has no diagnoses or no ejection fractions (a clinic's), the columns are there: "" and NaN.
    """
    studies = pd.read_parquet(path).set_index("study_key").loc[list(study_keys)].reset_index()
    for name, empty in UNKNOWN.items():
        studies[name] = studies.get(name, empty)
    return studies.assign(diagnosis=studies["diagnosis"].fillna(""))
