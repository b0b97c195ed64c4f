"""A baseline without attention between images: each image by a ViT, then the mean (`video.name: frames`).

Stem, place of a patch and what is told of a frame are those of the space-time tower, so that what differs is that no
image ever sees another (Dosovitskiy et al. 2021, arXiv 2010.11929).

Shapes: b studies, f frames a study, n frames that exist in the whole batch, d width.
"""

from dataclasses import fields

from jaxtyping import Bool, Float
from torch import Tensor, nn

from cmr_lib.models.attention import DividedAttention
from cmr_lib.models.perceptron import Perceptron
from cmr_lib.models.study import StudyImages, refuse_bare
from cmr_lib.models.video import VideoConfig, VideoEncoder


class ImageBlock(nn.Module):
    """One block of a ViT: attention among the tokens of an image, then a perceptron, each after a layer norm."""

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        d = config.width
        self.norm_space, self.norm_mlp = (nn.LayerNorm(d, config.norm_eps) for _ in range(2))
        self.space = DividedAttention(d, config.heads, "space", config.dropout)
        self.mlp = Perceptron(d, config.dropout)

    def between(self, x: Float[Tensor, "n tokens d"], mask: Bool[Tensor, "n 1"]) -> Float[Tensor, "n tokens d"]:
        """What the attention reads."""
        return self.norm_space(x)

    def forward(
        self, x: Float[Tensor, "n tokens d"], mask: Bool[Tensor, "n 1"], complete: bool = False
    ) -> Float[Tensor, "n tokens d"]:
        """All tokens of each image; `complete`: the mask is all True."""
        x = x + self.space(self.norm_space(x), mask, complete)
        return x + self.mlp(self.norm_mlp(x))

    def read(
        self, x: Float[Tensor, "n tokens d"], mask: Bool[Tensor, "n 1"], complete: bool = False
    ) -> Float[Tensor, "n 1 d"]:
        """The read-out token of `forward` alone: for the last block."""
        cls = x[:, :1] + self.space.read(self.norm_space(x), mask, complete)
        return cls + self.mlp(self.norm_mlp(cls))


class FramesEncoder(VideoEncoder):
    """Images of a study → the mean of their vectors."""

    block = ImageBlock

    def forward(self, images: StudyImages) -> Float[Tensor, "b d"]:
        """Encode studies. Raises ValueError for one without any image."""
        refuse_bare(images.mask)
        each = self._encode(alone(images))
        spread = each.new_zeros(*images.mask.shape, each.shape[-1])
        spread[images.mask] = each
        return spread.sum(1) / images.mask.sum(1, keepdim=True)

    def attention_maps(
        self, images: StudyImages, block: int = -1
    ) -> tuple[Float[Tensor, "b f rows cols"], Float[Tensor, "b f"]]:
        """As `VideoEncoder.attention_maps`; every image that is there weighs the same."""
        each, _ = super().attention_maps(alone(images), block)
        share = images.mask / images.mask.sum(1, keepdim=True)
        space = each.new_zeros(*images.mask.shape, *each.shape[2:])
        space[images.mask] = each[:, 0]
        return space * share[:, :, None, None], share


def alone(images: StudyImages) -> StudyImages:
    """Every image that exists as a study of its own, in the order of the batch."""
    there = images.mask
    return StudyImages(**{field.name: getattr(images, field.name)[there].unsqueeze(1) for field in fields(images)})
