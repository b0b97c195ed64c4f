"""Stage pretrain: the two towers, what they see of a study, and how they are trained."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer, model_validator

from cmr_lib.params.values import Amount, Count, Positive, Share, Strict


class FramePlan(Strict):
    """Which images of a study the model sees; absent ones are masked."""

    sax_positions: list[Share]  # 0 = base, 1 = apex
    sax_phases: list[Share]  # share of the RR interval after the R wave
    lax_views: list[Literal["lax_2ch", "lax_3ch", "lax_4ch"]]
    lax_phases: list[Share]
    lge_positions: list[Share]
    crop_px: Annotated[int, Field(ge=16, le=512)]
    vendors: list[str] = Field(default=[])  # makers of scanners that are told apart; any other is one more; []: none

    @model_serializer(mode="wrap")
    def _as_before(self, handler: Any) -> dict[str, Any]:
        """Without `vendors` where there are none: the plan beside older weights keeps its bytes."""
        return {name: value for name, value in handler(self).items() if name != "vendors" or value}


class VideoEncoder(Strict):
    """The space-time transformer."""

    stem: Literal["patch", "conv"]  # conv: small strided convolutions in front of the patches (early convolutions)
    patch_px: Annotated[int, Field(ge=4, le=64)]
    width: Positive
    depth: Positive
    heads: Positive
    temporal_init: Literal["frozen_in_time", "zero_output"]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    residual: Literal["input", "time"]  # what space attention's output is added to: published | with the time output
    study: Literal["concat", "set"]  # all images as one clip (published) | clip by clip, then pooled
    cls: Literal["study", "frames"] = "study"  # what the read-out token attends to: published | TimeSformer's
    drop_vendor: Share = 0.0  # chance that the maker of a study's scanner is hidden in training
    name: Literal["divided_space_time", "frames", "r3d_18", "mvit_v2_s", "swin3d_t"] = "divided_space_time"
    film: Annotated[list[Positive], Field(min_length=2, max_length=2)] | None = None  # frames, px of a torchvision body
    weights: str | None = None  # to start from: a ViT by transformers name or folder, a torchvision body's file


class TextEncoder(Strict):
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
    pool: Literal["mean", "cls"]


class Optimiser(Strict):
    """How the weights move."""

    epochs: Positive
    batch_studies: Annotated[int, Field(ge=2)]
    learning_rate: Amount
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_share: Share
    clip_norm: Amount
    max_steps: Positive | None  # stop early; null: all epochs
    loss: Literal["info_nce", "streaming", "norm_softmax", "sigmoid", "multi_positive"]
    accumulate: Positive  # batches whose gradients are averaged before a step
    micro_batch: Positive | None  # studies embedded at once (gradient caching); null: the whole batch
    recompute: bool  # activations of the image tower anew in the backward pass: less memory, more time
    compile: bool  # the blocks of both towers by torch.compile
    frozen: list[Literal["image", "text"]]  # towers that keep their weights
    patience: Positive | None  # epochs without a better validation loss before it ends; the best are kept


class Launch(Strict):
    """Where training runs."""

    how: Literal["inline", "torchrun", "slurm"]
    processes: Positive  # a node; the batch is shared among all
    nodes: Positive  # slurm only
    slurm: list[str]  # further options of sbatch, such as --partition=gpu

    @model_validator(mode="after")
    def _fits(self) -> Any:
        if self.how == "inline" and self.processes * self.nodes > 1:
            raise ValueError("launch: inline is one process; torchrun or slurm starts more")
        if self.how != "slurm" and self.nodes > 1:
            raise ValueError("launch: several nodes want slurm")
        return self


class Augment(Strict):
    """Never a flip: reports say left and right."""

    rotate_deg: Annotated[float, Field(ge=0, le=45)]
    scale: Annotated[float, Field(ge=0, le=0.5)]
    shift_px: Annotated[float, Field(ge=0, le=64)]
    intensity: Annotated[float, Field(ge=0, le=0.5)]
    drop_view: Share  # chance that a whole view is hidden in training
    hide_cines: Share  # chance that all cines of a study are hidden in training, so that late enhancement speaks alone
    drop_sentence: Share  # chance that a sentence of the report is hidden in training


WHOLE_FILMS = ("r3d_18", "mvit_v2_s", "swin3d_t")


class Pretrain(Strict):
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
    launch: Launch

    @model_validator(mode="after")
    def _fits_the_tower(self) -> Any:
        """What a baseline cannot do is refused, not passed over."""
        name, video, optim = self.video.name, self.video, self.optim
        if name != "divided_space_time" and (video.study == "set" or self.frames.vendors):
            raise ValueError(f"video.name: {name} takes neither video.study: set nor frames.vendors")
        if name in WHOLE_FILMS and optim.compile:
            raise ValueError(f"optim.compile: the blocks of {name} are not compiled; set it to false")
        if name == "r3d_18" and (optim.micro_batch or optim.recompute or self.launch.processes * self.launch.nodes > 1):
            raise ValueError(
                "video.name: r3d_18 has batch norm, which wants a whole batch at once: set optim.micro_batch to null, "
                "optim.recompute to false and launch to one process"
            )
        return self
