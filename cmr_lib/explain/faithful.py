"""Did the model use what the map marks? Images are spoiled in the map's order, and the model is asked again.

Deletion and insertion (Petsiuk et al. 2018, arXiv 1806.07421): patches are blurred away from the most to the least
marked, or brought back in that order, and the similarity with the target is followed. A map that knows what counts lets
the deletion curve fall early (small area) and the insertion curve rise early (large area). A patch is replaced by the
same place of its image blurred with SIGMA pixels: brightness stays, structure goes.

Leaving out works without any map: a kind of image is hidden by the mask, and the change says what it was worth.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from cmr_lib.explain import capture
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.models.study import StudyImages

SIGMA = 8.0  # pixels
AT_ONCE = 4  # studies given to a tower that may read films of 30 frames and 224 pixels: it needs a GB for each
SHARES = (0.0, 0.1, 0.2, 0.4, 0.7, 1.0)  # denser where curves bend
Target = Float[Tensor, "b embed"]
Space = Float[np.ndarray, "b f rows cols"]
Curve = Float[np.ndarray, "b steps"]


def blurred(frames: Float[Tensor, "b f 1 height width"], sigma: float = SIGMA) -> Float[Tensor, "b f 1 height width"]:
    """Every frame smoothed in its plane."""
    return torch.from_numpy(ndimage.gaussian_filter(frames.numpy(), (0, 0, 0, sigma, sigma), mode="nearest"))


def ranks(maps: Space, present: Bool[np.ndarray, "b f"]) -> Float[np.ndarray, "b f rows cols"]:
    """Place of each patch in its study's order as a share: near 0 the most marked, 1 the least; absent patches NaN.

    Ties keep the order of the frames.
    """
    there = np.broadcast_to(present[:, :, None, None], maps.shape).reshape(len(maps), -1)
    values = np.where(there, maps.reshape(len(maps), -1), -np.inf)
    order = np.argsort(-values, axis=1, kind="stable")
    place = np.empty(order.shape)
    np.put_along_axis(place, order, np.arange(order.shape[1], dtype=float)[None], axis=1)
    place = (place + 1) / np.maximum(there.sum(axis=1, keepdims=True), 1)
    return np.where(there, place, np.nan).reshape(maps.shape)


@torch.no_grad()
def vectors(model: CMRformer, images: StudyImages) -> Float[Tensor, "b embed"]:
    """Unit vectors of studies, also of none; a tower without maps, such as one that reads films, gets few at a time."""
    count = len(images.mask)
    step = AT_ONCE if capture.no_maps(model.video) else max(count, 1)
    parts = [model.encode_study(images.part(slice(at, at + step))) for at in range(0, count, step)]
    return torch.cat(parts) if parts else torch.zeros(0, model.config.embed_dim)


def similarity(model: CMRformer, images: StudyImages, target: Target) -> Float[np.ndarray, " b"]:
    """Cosine of each study with its target."""
    return (vectors(model, images) * target).sum(-1).numpy()


def spoil_curves(
    model: CMRformer, images: StudyImages, maps: Space, target: Target, shares: Sequence[int | float] = SHARES
) -> dict[str, Curve]:
    """Similarity with the target after the map's first `share` of patches was deleted, or alone brought back.

    Without any study, curves of (0, steps).
    """
    model.eval()
    if not len(maps):
        return {name: np.zeros((0, len(shares)), np.float32) for name in ("deletion", "insertion")}
    place = torch.from_numpy(ranks(maps, images.mask.numpy()))
    patch = images.frames.shape[-1] // maps.shape[-1]
    order = place.repeat_interleave(patch, 2).repeat_interleave(patch, 3).unsqueeze(2)
    smooth = blurred(images.frames)
    found: dict[str, list[np.ndarray]] = {"deletion": [], "insertion": []}
    for share in shares:
        first = order <= share + 1e-9
        for name, kept, lost in (("deletion", images.frames, smooth), ("insertion", smooth, images.frames)):
            spoiled = StudyImages(**{**vars(images), "frames": torch.where(first, lost, kept)})
            found[name].append(similarity(model, spoiled, target))
    return {name: np.stack(rows, axis=1) for name, rows in found.items()}


def area(curve: Curve, shares: Sequence[int | float] = SHARES) -> Float[np.ndarray, " b"]:
    """Area under each curve by the trapezoidal rule, in units of similarity."""
    return np.trapezoid(curve, np.asarray(shares), axis=1)


def gain(curves: Mapping[str, Curve], shares: Sequence[int | float] = SHARES) -> Float[np.ndarray, " b"]:
    """Insertion area minus deletion area: larger is better; about 0 for an order that knows nothing."""
    return area(curves["insertion"], shares) - area(curves["deletion"], shares)


def leave_out(model: CMRformer, images: StudyImages, kinds: Sequence[str], target: Target) -> pd.DataFrame:
    """How far the similarity with the target falls when all images of a kind are hidden; a column a kind.

    kinds: the name of each place's kind. NaN where the study has no image of the kind, or nothing else.
    """
    model.eval()
    whole, names = similarity(model, images, target), np.asarray(kinds)
    fall = {}
    for kind in dict.fromkeys(kinds):
        chosen = torch.from_numpy(names == kind)
        left = images.mask & ~chosen
        usable = ((images.mask & chosen).any(1) & left.any(1)).numpy()
        part = StudyImages(**{**vars(images), "mask": torch.where(left.any(1, keepdim=True), left, images.mask)})
        fall[kind] = np.where(usable, whole - similarity(model, part, target), np.nan)
    return pd.DataFrame(fall)
