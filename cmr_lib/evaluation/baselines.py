"""Does the model see more than simple things do? Baselines without a network, read by the same probes.

- `bag_of_pixels`: of every kind of clip that the model is given, a histogram of the grey values of all phases, averaged
  over slices. Neither place nor order counts.
- `small_images`: of the same clips two small images, the mean and the spread over all phases, averaged over slices.
  Place counts, order does not. It sees every phase of a clip, the model only those of its plan.
- `single_frame`: the end-diastolic image of the middle short-axis slice, averaged to a small image, as principal
  components (of the training studies).
- `full_one_frame`: the trained model, given that one image and nothing else.
- `report_only`: TF-IDF of the report's words. No image baseline but an upper reference, since the text says the label.
- `full`: the trained model's embeddings.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from tqdm import tqdm

from cmr_lib import params
from cmr_lib.clips import dataset
from cmr_lib.evaluation import embed, harness, statistics
from cmr_lib.evaluation.harness import MINUS, Answers, Features, Target
from cmr_lib.evaluation.material import Material, Settings
from cmr_lib.models import pretrained
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.types import Split

NAME = "baselines"
IMAGE_BASELINES = ("bag_of_pixels", "small_images", "single_frame", "full_one_frame")
GREYS = 256
Describe = Callable[[UInt8[np.ndarray, "f size size"]], Float[np.ndarray, " _"]]
RARE = 5  # a word in fewer training reports than this does not count


# --- pixels ------------------------------------------------------------------------------------------------------
def small(frames: UInt8[np.ndarray, "f size size"], grid_px: int) -> Float[np.ndarray, "f grid grid"]:
    """Means over square blocks, in [0, 1]. Rows and columns that do not fill a block are cut off around the centre."""
    block = frames.shape[-1] // grid_px
    if not block:
        raise ValueError(f"Images of {frames.shape[-1]} px cannot be averaged to {grid_px} px.")
    edge = (frames.shape[-1] - block * grid_px) // 2
    middle = frames[:, edge : edge + block * grid_px, edge : edge + block * grid_px]
    return middle.reshape(len(frames), grid_px, block, grid_px, block).mean(axis=(2, 4)) / (GREYS - 1)


def histogram(frames: UInt8[np.ndarray, "f size size"], bins: int) -> Float[np.ndarray, " bins"]:
    """Shares of the grey values, over all frames."""
    return np.bincount((frames.astype(np.uint16) * bins // GREYS).ravel(), minlength=bins) / frames.size


def mean_and_spread(frames: UInt8[np.ndarray, "f size size"], grid_px: int) -> Float[np.ndarray, " pixels"]:
    """The small image's mean over the frames, then its standard deviation."""
    images = small(frames, grid_px).reshape(len(frames), -1)
    return np.concatenate([images.mean(axis=0), images.std(axis=0)])


def centre(frames: UInt8[np.ndarray, "f size size"], crop_px: int) -> UInt8[np.ndarray, "f crop crop"]:
    """What the model is given of stored frames."""
    edge = (frames.shape[-1] - crop_px) // 2
    return frames[:, edge : edge + crop_px, edge : edge + crop_px]


def clip_features(
    store: dataset.Store, keys: Sequence[str], plan: params.FramePlan, describe: Mapping[str, Describe]
) -> dict[str, Features]:
    """What each `describe` says of a study's clips, averaged over those of a kind (view, sequence); NaN without any.

    By name of `describe`: the kinds side by side, one row a study.
    """
    clips = dataset.by_kind(store.index)
    kinds = list(dict.fromkeys((place.view.value, place.sequence.value) for place in dataset.places(plan)))
    blank = np.zeros((1, plan.crop_px, plan.crop_px), dtype=np.uint8)
    found = {name: np.full((len(keys), len(kinds), len(each(blank))), np.nan) for name, each in describe.items()}
    for study, key in enumerate(tqdm(keys, "pixels", unit="study", disable=None)):
        for kind, place in enumerate(kinds):
            shown = [centre(np.asarray(store.frames(row)), plan.crop_px) for row, _, _ in clips.get((key, *place), [])]
            for name, each in describe.items() if shown else ():
                found[name][study, kind] = np.mean([each(frames) for frames in shown], axis=0)
    return {name: values.reshape(len(keys), -1) for name, values in found.items()}


# --- one frame ---------------------------------------------------------------------------------------------------
def one_frame_plan(plan: params.FramePlan) -> params.FramePlan:
    """The model's plan with all masked but the end-diastolic image of the middle short-axis slice."""
    only = {"sax_positions": [0.5], "sax_phases": [0.0], "lax_views": [], "lax_phases": [], "lge_positions": []}
    return params.FramePlan(**{**plan.model_dump(), **only})


def single_frame(store: dataset.Store, keys: Sequence[str], plan: params.FramePlan, frame_px: int) -> Features:
    """The image of `one_frame_plan`, averaged to frame_px × frame_px and unrolled; NaN where a study has none."""
    alone = one_frame_plan(plan)
    having = set(dataset.with_any_image(store, keys, alone))
    studies = dataset.StudyDataset(store, [key for key in keys if key in having], alone)
    found = np.full((len(keys), frame_px**2), np.nan)
    found[[key in having for key in keys]] = [
        small(centre(study["frames"][0], plan.crop_px), frame_px).ravel() for study in studies
    ]
    return found


def components(features: Features, train: np.ndarray, n: int) -> Float[np.ndarray, "studies n"]:
    """Principal components of the training studies' features; all-NaN rows stay so."""
    known = np.isfinite(features).all(axis=1)
    rows = train[known[train]]
    model = PCA(min(n, len(rows), features.shape[1]), svd_solver="full").fit(features[rows])
    found = np.full((len(features), model.n_components_), np.nan)
    found[known] = model.transform(features[known])
    return found


def embedded(
    model: CMRformer, store: dataset.Store, keys: Sequence[str], plan: params.FramePlan, progress: bool = True
) -> Features:
    """The model's embeddings of studies seen through a plan; NaN for a study without any image of it."""
    having = set(dataset.with_any_image(store, keys, plan))
    studies = dataset.StudyDataset(store, [key for key in keys if key in having], plan)
    found = np.full((len(keys), model.config.embed_dim), np.nan)
    found[[key in having for key in keys]] = embed.embed_studies(model, studies, plan.crop_px, progress=progress)
    return found


# --- words -------------------------------------------------------------------------------------------------------
def report_only(texts: Sequence[str], train: np.ndarray, words: int) -> Features:
    """TF-IDF of words and pairs of words, counted in the training reports; NaN where there is no report."""
    reader = TfidfVectorizer(ngram_range=(1, 2), min_df=RARE, max_features=words, sublinear_tf=True)
    reader.fit([texts[row] for row in train if texts[row]])
    found = reader.transform(texts).toarray().astype(float)
    found[[not text for text in texts]] = np.nan
    return found


# --- the experiment ----------------------------------------------------------------------------------------------
def inputs(material: Material, settings: Settings) -> dict[str, Features]:
    """Features of every study by the model's name."""
    keys, plan, sizes = material.studies["study_key"].tolist(), material.plan, settings.baselines
    train = material.rows(Split.TRAIN)
    model, _ = pretrained.from_pretrained(material.root / "pretrain" / "model")
    describe = {
        "bag_of_pixels": partial(histogram, bins=sizes.bins),
        "small_images": partial(mean_and_spread, grid_px=sizes.grid_px),
    }
    frame = single_frame(material.clips, keys, plan, sizes.frame_px)
    return {
        "full": material.image,
        **clip_features(material.clips, keys, plan, describe),
        "single_frame": components(frame, train, sizes.components),
        "full_one_frame": embedded(model, material.clips, keys, one_frame_plan(plan)),
        "report_only": report_only(material.texts, train, sizes.words),
    }


def compare(
    studies: pd.DataFrame, features: Mapping[str, Features], asked: Iterable[Target], settings: Settings
) -> pd.DataFrame:
    """Every target by every input, the mean over findings, and `full` minus each image baseline."""
    rows, findings = [], []
    asked = list(asked)
    for target in tqdm(asked, "probes", unit="target", disable=None):
        found = {
            model: harness.answers(target, values, studies["split"], settings.probe)
            for model, values in features.items()
        }
        where = {"target": target.name, "stratum": target.stratum, "metric": target.metric, "chance": target.chance}
        rows += _rows(where, found, studies["patient_key"], target.statistic, settings)
        if target.kind == "finding" and all(harness.common(one) for one in found.values()):
            findings.append(found)
    if findings:
        joined = {model: np.concatenate([found[model] for found in findings], axis=1) for model in features}
        where = {"target": "findings_mean", "stratum": "all", "metric": "auroc", "chance": 0.5}
        rows += _rows(where, joined, studies["patient_key"], harness.mean_auroc, settings)
    return harness.table(NAME, rows)


def _rows(
    where: dict, found: Mapping[str, Answers], patients: pd.Series, statistic: statistics.Statistic, settings: Settings
) -> list[dict]:
    rows = [harness.row({**where, "model": name}, one, patients, statistic, settings) for name, one in found.items()]
    for name in (name for name in IMAGE_BASELINES if name in found):
        place = {**where, "model": f"full{MINUS}{name}"}
        rows.append(harness.difference_row(place, found["full"], found[name], patients, statistic, settings))
    return rows


def run(material: Material, settings: Settings) -> pd.DataFrame:
    """The experiment: a tidy table (harness.COLUMNS)."""
    return compare(material.studies, inputs(material, settings), harness.targets(material.studies), settings)
