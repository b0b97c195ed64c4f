"""CMRformer: a study and its report, as two unit vectors that point the same way.

After Qiu, Huang, Nakashima et al. 2023 (arXiv 2304.07675), as far as its abstract and its declared base, Frozen in
Time, say. Each tower ends in a linear projection (after a batch norm where asked for; without the ReLU that the
successor's code puts in front of it: it would delete the negative half of the features), normalised to length 1. The
temperature is learned in the log and 1 / temperature is held at 100 or below, as in CLIP (Radford et al. 2021).
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor, nn

from cmr_lib import params, project
from cmr_lib.models import video
from cmr_lib.models.study import StudyImages
from cmr_lib.models.text import TextEncoder
from cmr_lib.models.towers import image_tower
from cmr_lib.models.video import VideoConfig

LARGEST_SCALE = 100.0
FIRST_BIAS = -10.0  # of the sigmoid loss (Zhai et al. 2023)
LATER: dict[str, Any] = {
    "logit_bias": None,
    "projection": "linear",
    "text_pool": "mean",
}  # options that older folders do not name


@dataclass(frozen=True)
class CMRformerConfig:
    """Everything that is needed to build the model again; `text` is a transformers config as a mapping."""

    video: VideoConfig
    text: dict[str, Any]
    embed_dim: int = 256
    projection_norm: Literal["none", "batch"] = "none"
    temperature: float = 0.07
    max_tokens: int = 512
    logit_bias: float | None = None
    projection: Literal["linear", "relu"] = "linear"
    text_pool: Literal["mean", "cls"] = "mean"

    @classmethod
    def of(cls, settings: params.Pretrain, text: dict[str, Any]) -> "CMRformerConfig":
        """From the parameters of stage pretrain and a text config (`text.small_config` or a pretrained one's)."""
        sizes = settings.video.model_dump(exclude={"weights"})
        vendors = len(settings.frames.vendors)
        sizes |= {"film": sizes["film"] and tuple(sizes["film"]), "vendors": vendors}
        sizes["drop_vendor"] *= vendors > 0
        return cls(
            video=VideoConfig(image_px=settings.frames.crop_px, **sizes),
            text=text,
            embed_dim=settings.embed_dim,
            projection_norm=settings.projection_norm,
            temperature=settings.temperature,
            max_tokens=settings.text.max_tokens,
            text_pool=settings.text.pool,
            logit_bias=FIRST_BIAS if settings.optim.loss == "sigmoid" else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain mapping for config.json; an option that came later is left out where it is not used."""
        values = asdict(self)
        values["video"] = _named(values["video"], video.LATER)
        return _named(values, LATER)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CMRformerConfig":
        """The inverse of `to_dict`. Raises TypeError for unknown keys."""
        video = values["video"] | {"film": tuple(values["video"].get("film") or ()) or None}
        return cls(**{**values, "video": VideoConfig(**video)})


def _named(values: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Without the options that came later, where they are not used: an old folder keeps its bytes."""
    return {name: value for name, value in values.items() if name not in later or value != later[name]}


def projection(kind: Literal["linear", "relu"], width: int, embed_dim: int) -> nn.Module:
    """From a tower's features to the shared space; "relu" is CMR-CLIP's, with its ReLU in front and its bias."""
    if kind == "relu":
        return nn.Sequential(nn.ReLU(), nn.Linear(width, embed_dim))
    return nn.Linear(width, embed_dim, bias=False)


def feature_norm(kind: Literal["none", "batch"], width: int) -> nn.Module:
    """What stands between the features of a tower and its projection.

    At the start a tower gives nearly the same vector for every study, and the contrastive loss stays at log B for
    epochs. "batch" takes the mean of the features away and scales each to variance 1 (batch norm without weights:
    running averages in evaluation), so that what differs between studies is all that is left from the first step.
    """
    return nn.BatchNorm1d(width, affine=False) if kind == "batch" else nn.Identity()


class CMRformer(nn.Module):
    """Two towers, two projections, one temperature."""

    def __init__(self, config: CMRformerConfig, text_body: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.video = image_tower(config.video)
        self.text = TextEncoder(config.text, text_body, config.text_pool)
        self.video_norm = feature_norm(config.projection_norm, self.video.width)
        self.text_norm = feature_norm(config.projection_norm, self.text.width)
        self.video_projection = projection(config.projection, self.video.width, config.embed_dim)
        self.text_projection = projection(config.projection, self.text.width, config.embed_dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / config.temperature)))
        if config.logit_bias is not None:  # of the sigmoid loss; learned
            self.logit_bias = nn.Parameter(torch.tensor(config.logit_bias))

    def want_bias(self) -> None:
        """Give the model the bias of the sigmoid loss, if it was trained with another loss and has none."""
        if self.config.logit_bias is None:
            self.config = replace(self.config, logit_bias=FIRST_BIAS)
            self.logit_bias = nn.Parameter(torch.tensor(FIRST_BIAS, device=self.log_scale.device))

    @property
    def logit_scale(self) -> Float32[Tensor, ""]:
        """1 / temperature, at most 100."""
        return self.log_scale.clamp(max=math.log(LARGEST_SCALE)).exp()

    def encode_study(self, images: StudyImages) -> Float[Tensor, "b embed"]:
        """Unit vectors of studies."""
        return self.project_study(self.video(images).float())

    def project_study(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b embed"]:
        """Unit vectors from the image tower's features; in training, batch norm wants the whole batch at once."""
        return nn.functional.normalize(self.video_projection(self.video_norm(features)).float(), dim=-1)

    def encode_text(
        self, input_ids: Int64[Tensor, "b tokens"], attention_mask: Bool[Tensor, "b tokens"]
    ) -> Float[Tensor, "b embed"]:
        """Unit vectors of reports, from token numbers and where they are no padding (True)."""
        return self.project_text(self.text(input_ids, attention_mask).float())

    def project_text(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b embed"]:
        """Unit vectors from the report tower's features."""
        return nn.functional.normalize(self.text_projection(self.text_norm(features)).float(), dim=-1)


def build(config: CMRformerConfig, seed: int, text_body: nn.Module | None = None) -> CMRformer:
    """A model whose initial weights are a function of the seed alone; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(project.seed_for(seed, "weights"))
        return CMRformer(config, text_body)
