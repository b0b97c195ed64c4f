"""One model a stage, strict, with a unit and a meaning for every key that needs them.

A file in params/<profile>/<stage>.yaml, the `parameters` cell of the stage's notebook and the model here hold the
same keys; a test compares them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PROFILES = ("smoke", "demo", "paper", "clinic")
Source = Literal["simulated", "dicom", "acdc", "mnms", "sunnybrook"]
PUBLIC_SOURCES = ("acdc", "mnms", "sunnybrook")  # sets that anybody can have: names are pseudonyms, no reports
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


class External(_Strict):
    """Cohorts beside the hospital's own: studies of a second hospital, phantoms in the layout of ACDC."""

    second_studies: Count  # unseen maker, unseen reader
    acdc_training: Count  # patients below database/training
    acdc_testing: Count  # patients below database/testing


class FullSize(_Strict):
    """A sample of studies as large as clinical ones: compressed, some of them enhanced multi-frame."""

    share: Share  # of the studies
    matrix_px: Annotated[int, Field(ge=96, le=512)]
    spacing_mm: Annotated[float, Field(ge=0.5, le=3)]
    sax_slices: Annotated[int, Field(ge=3, le=30)]
    phases: Annotated[list[Annotated[int, Field(ge=8, le=60)]], Field(min_length=2, max_length=2)]  # fewest and most


class Mess(_Strict):
    """What a hospital's export also holds: shares of the studies, whatever the diagnosis."""

    localiser: Share  # three planes along the patient's axes
    flow: Share  # a phase-contrast pair through the aorta
    t1_map: Share
    screenshot: Share  # secondary capture with text burned in
    repeat: Share  # a slice that was scanned twice
    missing_view: Share  # a long-axis view or all late enhancement never acquired
    missing_slice: Share  # a short-axis slice lost
    wrong_name: Share  # a SeriesDescription that lies about the view
    corrupt: Share  # a file cut short, empty, or not DICOM
    artefact: Share  # ghosting, banding or a gate that missed


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
    template_share: Share  # of normal readings: dictated as the reader's ready-made normal text, without numbers
    typo_share: Share  # of the reports: one word misspelt
    addendum_share: Share  # of the reports: a line added later
    identifier_share: Share  # of the reports: a letterhead and sentences that name the invented patient


class Simulate(_Strict):
    """Stage simulate."""

    out_dir: str
    data_dir: str
    seed: Count
    source: Source
    hospital: Hospital
    external: External
    diagnoses: dict[str, Share]
    image: PhantomImage
    full_size: FullSize
    mess: Mess
    scanner: Scanner
    reader: Reader
    workers: Positive
    real_image: str | None  # path of one real DICOM cine image to look at beside the phantom; never saved

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

    studies: str | None  # folder of zips or folders, one a study, or of a public set; null: the simulated hospital's
    reports: str | None  # table (.csv, .tsv, .jsonl, .xlsx) or folder of .txt; null: the simulated hospital's
    columns: ReportColumns
    several_reports: Literal["refuse", "join", "last"] = "refuse"  # different ones of a study, addenda apart
    day_first: bool = True  # 03/09/2015 in a report is 3 September, where nothing in it or in the header settles it
    max_studies: Positive | None  # take only the first N by name; null: all
    max_reject_share: Share  # the stage stops when more of the studies than this are rejected


class Identity(_Strict):
    """How identifiers become names."""

    key_file: str | None  # naming key outside the repository, mode 0600; null only for synthetic phantoms
    text_model: str | None = None  # folder of a spaCy model for Presidio, beside the rules; null: not used


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
        own = self.cohort.studies is not None and self.source not in PUBLIC_SOURCES
        if self.identity.key_file is None and own:
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
    min_patients: Positive = 5  # a word in the reports of fewer patients than this is spelled by its parts
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
    max_steps: Positive | None  # stop early; null: all epochs


class Augment(_Strict):
    """Never a flip: reports say left and right."""

    rotate_deg: Annotated[float, Field(ge=0, le=45)]
    scale: Annotated[float, Field(ge=0, le=0.5)]
    shift_px: Annotated[float, Field(ge=0, le=64)]
    intensity: Annotated[float, Field(ge=0, le=0.5)]
    drop_view: Share  # chance that a whole view is hidden in training
    drop_sentence: Share  # chance that a sentence of the report is hidden in training


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
    projection_norm: Literal["none", "batch"]
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
