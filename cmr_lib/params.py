"""The schema of params/: one model a stage, strict, with a unit and a meaning for every key.

A file in params/<profile>/<stage>.yaml, the `parameters` cell of the stage's notebook and the model here hold the
same keys; a test compares them. Unknown keys, missing keys and values of the wrong type are refused by name. YAML is
read as version 1.2, as DVC does: `1e-3` is a number and `yes` is a word.
"""

import types
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PROFILES = ("smoke", "demo", "paper", "clinic")
Source = Literal["simulated", "dicom", "acdc", "mnms"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# --- simulate ---------------------------------------------------------------------------------------------------
class Hospital(_Strict):
    """Who comes to the synthetic hospital."""

    n_patients: Positive
    repeat_share: Share  # patients with two or three studies
    no_report_share: Share  # studies whose report never came
    orphan_report_share: Share  # reports whose images never came


class PhantomImage(_Strict):
    """Geometry of the simulated series."""

    matrix_px: Annotated[int, Field(ge=48, le=512)]
    spacing_mm: Annotated[float, Field(ge=0.5, le=5)]
    sax_slices: Annotated[int, Field(ge=3, le=30)]
    phases: Annotated[int, Field(ge=4, le=60)]
    lge_slices: Annotated[int, Field(ge=1, le=30)]
    thickness_mm: Annotated[float, Field(ge=2, le=15)]


class Scanner(_Strict):
    """What the simulated scanners do to the signal."""

    snr: Annotated[list[Amount], Field(min_length=2, max_length=2)]  # lowest and highest blood SNR
    shift_mm: Annotated[float, Field(ge=0, le=15)]  # breath-hold misregistration of a slice, one standard deviation


class Reader(_Strict):
    """How exact and how complete the simulated readers are."""

    lvef_points: Annotated[float, Field(ge=0, le=20)]  # reader noise, one standard deviation
    volume_ml: Annotated[float, Field(ge=0, le=50)]
    omission_share: Share  # chance that a reader leaves out an optional sentence


class Simulate(_Strict):
    """Stage simulate."""

    out_dir: str
    data_dir: str
    seed: Count
    source: Source
    hospital: Hospital
    diagnoses: dict[str, Share]
    image: PhantomImage
    scanner: Scanner
    reader: Reader
    workers: Positive

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> Any:
        total = sum(self.diagnoses.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"diagnoses: the shares sum to {total:g}, 1 is wanted")
        return self


# --- preprocess -------------------------------------------------------------------------------------------------
class ReportColumns(_Strict):
    """Which columns of the report table hold what."""

    patient: str
    accession: str
    text: str


class Cohort(_Strict):
    """Where the studies and reports come from."""

    studies: str | None  # folder of zips or folders, one a study; null: the simulated hospital's
    reports: str | None  # table of reports (.csv, .tsv); null: the simulated hospital's
    columns: ReportColumns
    max_studies: Positive | None  # take only the first N by name; null: all
    max_reject_share: Share  # the stage stops when more of the studies than this are rejected


class Identity(_Strict):
    """How identifiers become names."""

    key_file: str | None  # naming key outside the repository, mode 0600; null only for synthetic phantoms


class SplitShares(_Strict):
    """Shares of the patients in each split."""

    train: Share
    validation: Share
    test: Share

    @model_validator(mode="after")
    def _sum_to_one(self) -> Any:
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            raise ValueError("split: the three shares must sum to 1")
        return self


class ClipShape(_Strict):
    """What a stored clip looks like."""

    size_px: Annotated[int, Field(ge=32, le=512)]
    spacing_mm: Annotated[float, Field(ge=0.5, le=5)]
    phases: Annotated[int, Field(ge=2, le=64)]  # cine clips are resampled on the RR interval to this many


class Preprocess(_Strict):
    """Stage preprocess."""

    out_dir: str
    data_dir: str
    seed: Count
    source: Source
    cohort: Cohort
    identity: Identity
    split: SplitShares
    clip: ClipShape
    workers: Positive

    @model_validator(mode="after")
    def _patients_need_a_key(self) -> Any:
        if self.source == "dicom" and self.identity.key_file is None and self.cohort.studies is not None:
            raise ValueError("identity.key_file: a clinic's studies need a key file outside the repository")
        return self


# --- pretrain ---------------------------------------------------------------------------------------------------
class FramePlan(_Strict):
    """Which images of a study the model sees; absent ones are masked."""

    sax_positions: list[Share]  # 0 = base, 1 = apex
    sax_phases: list[Share]  # share of the RR interval after the R wave
    lax_views: list[Literal["lax_2ch", "lax_3ch", "lax_4ch"]]
    lax_phases: list[Share]
    lge_positions: list[Share]
    crop_px: Annotated[int, Field(ge=16, le=512)]


class VideoEncoder(_Strict):
    """The space-time transformer."""

    stem: Literal["patch", "conv"]  # conv: small strided convolutions in front of the patches (early convolutions)
    patch_px: Annotated[int, Field(ge=4, le=64)]
    width: Positive
    depth: Positive
    heads: Positive
    temporal_init: Literal["frozen_in_time", "zero_output"]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class TextEncoder(_Strict):
    """The report encoder."""

    pretrained: str | None  # a transformers name or a local folder; null: a small one from the numbers below
    vocabulary: Positive
    width: Positive
    depth: Positive
    heads: Positive
    max_tokens: Annotated[int, Field(ge=8, le=512)]
    sections: list[Literal["findings", "impression"]]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Optimiser(_Strict):
    """How the weights move."""

    epochs: Positive
    batch_studies: Annotated[int, Field(ge=2)]
    learning_rate: Amount
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_share: Share
    clip_norm: Amount
    max_steps: Positive | None  # stop early (tests, the `paper` trial); null: all epochs


class Augment(_Strict):
    """Never a flip: reports say left and right."""

    rotate_deg: Annotated[float, Field(ge=0, le=45)]
    scale: Annotated[float, Field(ge=0, le=0.5)]
    shift_px: Annotated[float, Field(ge=0, le=64)]
    intensity: Annotated[float, Field(ge=0, le=0.5)]
    drop_view: Share  # chance that a whole view is hidden in training


class Pretrain(_Strict):
    """Stage pretrain."""

    out_dir: str
    in_root: str
    seed: Count
    mode: Literal["train", "finetune", "frozen"]
    init: str  # scratch | released | a folder written by save_pretrained
    frames: FramePlan
    video: VideoEncoder
    text: TextEncoder
    embed_dim: Positive
    temperature: Amount  # initial; 1 / logit_scale, learned in the log
    optim: Optimiser
    augment: Augment
    device: Literal["cpu", "cuda", "auto"]
    precision: Literal["fp32", "bf16"]
    checkpoint_epochs: Positive


# --- the stages that read embeddings ----------------------------------------------------------------------------
class Retrieval(_Strict):
    """Stage retrieval."""

    out_dir: str
    in_root: str
    seed: Count
    recall_at: list[Positive]
    gallery_size: Positive  # studies in a sub-gallery
    gallery_draws: Positive
    bootstrap: Positive


class Probe(_Strict):
    """Candidates among which the validation split chooses."""

    strengths: list[Amount]  # inverse regularisation C of the logistic probe, chosen on validation
    ridge: list[Amount]  # ridge penalties of the LVEF probe, chosen on validation


class Classification(_Strict):
    """Stage classification."""

    out_dir: str
    in_root: str
    seed: Count
    classes: list[str]
    probe: Probe
    bootstrap: Positive


class Umap(_Strict):
    """Stage umap."""

    out_dir: str
    in_root: str
    seed: Count
    neighbours: Annotated[int, Field(ge=2)]
    min_dist: Share
    metric: Literal["cosine", "euclidean"]


class Attention(_Strict):
    """Stage attention."""

    out_dir: str
    in_root: str
    seed: Count
    studies: Positive


class Results(_Strict):
    """Stage results."""

    out_dir: str
    in_root: str


STAGES: dict[str, type[_Strict]] = {
    "simulate": Simulate,
    "preprocess": Preprocess,
    "pretrain": Pretrain,
    "retrieval": Retrieval,
    "classification": Classification,
    "umap": Umap,
    "attention": Attention,
    "results": Results,
}
# Set by the runner's caller (dvc.yaml), not by a params file: where a stage reads and writes.
PATH_KEYS = ("out_dir", "in_root", "data_dir")


class ParameterError(ValueError):
    """A parameter that is unknown, missing or of the wrong kind; the message is one sentence a mistake."""


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read a YAML 1.2 mapping; raises ParameterError when the file is absent or not a mapping."""
    from ruamel.yaml import YAML, YAMLError

    path = Path(path)
    if not path.is_file():
        raise ParameterError(f"Parameter file {path} not found.")
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise ParameterError(f"Parameter file {path} is not valid YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(content, dict):
        raise ParameterError(f"Parameter file {path} must hold `key: value` pairs, got {type(content).__name__}.")
    return content


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, mapping by mapping."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def override(values: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Apply `key.sub=value` settings; values are read as YAML 1.2."""
    from ruamel.yaml import YAML

    merged = dict(values)
    for setting in settings:
        dotted, equals, text = setting.partition("=")
        if not equals or not dotted:
            raise ParameterError(f"-s {setting!r}: `key.sub=value` is wanted.")
        value: Any = YAML(typ="safe", pure=True).load(text) if text else None
        for key in reversed(dotted.split(".")):
            value = {key: value}
        merged = merge(merged, value)
    return merged


def _known(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """Names that would have been right at this place of the schema."""
    for part in location:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def _sentence(stage: str, model: type[BaseModel], error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _known(model, error["loc"][:-1])
        close = get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}."
        return f"{stage}: unknown parameter {place}; {hint}"
    if error["type"] == "missing":
        return f"{stage}: parameter {place} is missing."
    if not place:
        return f"{stage}: {error['msg'].removeprefix('Value error, ')}."
    return f"{stage}: parameter {place}: {error['msg'].removeprefix('Value error, ')}, got {error['input']!r}."


def check(stage: str, values: Mapping[str, Any]) -> Any:
    """The stage's parameters as a frozen, typed object; raises ParameterError naming every mistake."""
    if stage not in STAGES:
        raise ParameterError(f"Unknown stage {stage!r}; known: {', '.join(STAGES)}.")
    model = STAGES[stage]
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ParameterError("\n".join(_sentence(stage, model, item) for item in error.errors())) from None


def from_notebook(stage: str, namespace: Mapping[str, Any]) -> Any:
    """The parameters that a notebook's `parameters` cell (or the runner) defined: call it with globals()."""
    names = STAGES[stage].model_fields
    found = {name: namespace[name] for name in names if name in namespace}
    return check(stage, {name: value for name, value in found.items() if not isinstance(value, types.ModuleType)})
