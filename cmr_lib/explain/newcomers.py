"""Studies that nobody trained on, read from their files and embedded, to be placed on a map that stays as it is."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32

from cmr_lib import params
from cmr_lib.clips import dataset, prepare, store
from cmr_lib.explain import readout
from cmr_lib.explain.projection import Names
from cmr_lib.ingest.studies import find_studies, read_study
from cmr_lib.models.cmrformer import CMRformer


@dataclass(frozen=True)
class Newcomers:
    """Those that could be embedded, by keyed name; `refused` counts the others."""

    study_keys: list[str]
    image: Float32[np.ndarray, "n embed"]
    refused: int


def studies_in(folder: Path | str, most: int) -> list[Path]:
    """The first studies of a hospital's folder, by name: none where `most` is 0 or there is no such folder."""
    return sorted(find_studies(folder))[:most] if most and Path(folder).is_dir() else []


@torch.inference_mode()
def embed(
    model: CMRformer, plan: params.FramePlan, shape: params.ClipShape, paths: Sequence[Path], key: bytes
) -> Newcomers:
    """Read studies (.zip or folder of DICOM) as the stage preprocess does, and embed them in evaluation mode.

    What is read stays in a temporary folder that is removed. A study without any image of the plan is counted as
    refused. Nothing is drawn at random.
    """
    model.eval()
    with tempfile.TemporaryDirectory() as place:
        read = [read_study(path, key) for path in paths]
        store.write_store(place, [(study.study_key, prepare.clips_of(study.stacks, shape)) for study in read])
        clips = store.ClipStore(place)
        names = dataset.with_any_image(clips, [study.study_key for study in read], plan)
        if not names:
            return Newcomers([], np.zeros((0, model.config.embed_dim), np.float32), len(paths))
        image = model.encode_study(readout.show(clips, names, plan).images)
    return Newcomers(names, image.numpy(), len(paths) - len(names))


def agreement(
    old: Float[np.ndarray, "studies axes"],
    labels: Names,
    new: Float[np.ndarray, "newcomers axes"],
    names: Names,
    settings: params.Umap,
    metric: str = "",
) -> Float[np.ndarray, " known"]:
    """For each newcomer with a label, the share of its settings.judged nearest old studies that carry it.

    metric: the settings' where none is given. Old studies without a label count as others.
    """
    from scipy.spatial.distance import cdist

    there, here = (np.asarray([str(label) for label in given], dtype=str) for given in (names, labels))
    known = there != ""
    if not known.any() or not len(old):
        return np.zeros(0)
    distance = cdist(new[known].astype(float), old.astype(float), metric or settings.metric)
    near = np.argsort(distance, axis=1, kind="stable")[:, : settings.judged]
    return (here[near] == there[known][:, None]).mean(axis=1)
