"""Hearts on the bench for lesson 7: phantoms as the model sees them, with their masks, and models half forgotten.

No DICOM and no scanner: every image is a noiseless picture of the phantom on the plane and in the orientation that the
loader would give it (`clips.prepare`), so masks lie on it exactly.
"""

import copy
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from cmr_lib import params, types
from cmr_lib.clips import augment, dataset, prepare
from cmr_lib.explain import anatomy
from cmr_lib.explain.readout import Shown
from cmr_lib.ingest import heart
from cmr_lib.models import cmrformer
from cmr_lib.models.cmrformer import CMRformer
from cmr_lib.models.study import StudyImages
from cmr_lib.simulate.phantom import NOWHERE, Phantom
from cmr_lib.simulate.plane import Plane, centred_plane
from cmr_lib.simulate.protocol import LGE_PHASE, lax_plane

SPACING_MM, THICKNESS_MM = 2.0, 8.0
BASE_MM, ABOVE_APEX_MM = 5.0, 9.0  # the first and the last short-axis slice, as the scanner plans them


def plane_of(phantom: Phantom, place: dataset.Place, size_px: int) -> Plane:
    """The crop of a place of the plan, as the loader would cut it from a perfect scan."""
    shape, axis = phantom.shape, phantom.shape.pose.axes[2]
    depth = BASE_MM + place.position * (shape.apex - ABOVE_APEX_MM - BASE_MM)
    centre = shape.pose.origin_mm + depth * axis - prepare.BESIDE_MM * heart.axis_frame(axis)[0]
    normal = axis
    if place.view is not types.View.SAX:
        whole = lax_plane(shape, place.view, SPACING_MM, size_px, THICKNESS_MM)
        normal = whole.normal
        centre = centre + ((whole.origin_mm - centre) @ normal) * normal
    return centred_plane(centre, *prepare.image_axes(normal, axis), SPACING_MM, size_px, THICKNESS_MM)


def _kind(place: dataset.Place) -> tuple[str, str]:
    return place.view.value, place.sequence.value


def pictures_of(phantom: Phantom, places: Sequence[dataset.Place], size_px: int) -> UInt8[np.ndarray, "f size size"]:
    """One heart's images, 8-bit, each kind of image in one window as the loader does it."""
    raw = np.zeros((len(places), size_px, size_px), np.float32)
    for number, place in enumerate(places):
        phase = LGE_PHASE if place.sequence is types.Sequence.LGE else place.phase
        raw[number] = phantom.render(plane_of(phantom, place, size_px), phase, place.sequence)
    found = np.zeros(raw.shape, np.uint8)
    for kind in dict.fromkeys(map(_kind, places)):
        rows = [number for number, place in enumerate(places) if _kind(place) == kind]
        found[rows] = prepare.to_uint8(raw[rows][:, None])[:, 0]
    return found


def masks_of(phantom: Phantom, places: Sequence[dataset.Place], size_px: int) -> dict[str, Bool[np.ndarray, "f s s"]]:
    """`anatomy.REGIONS` on the same images."""
    found = {name: np.zeros((len(places), size_px, size_px), bool) for name in anatomy.REGIONS}
    for number, place in enumerate(places):
        plane, late = plane_of(phantom, place, size_px), place.sequence is types.Sequence.LGE
        labels = phantom.labels(plane, LGE_PHASE if late else place.phase)
        for name, mask in anatomy.regions(labels, anatomy.septal(phantom, plane, NOWHERE), late=late).items():
            found[name][number] = mask
    return found


def on_the_bench(
    phantoms: Sequence[Phantom], plan: params.FramePlan
) -> tuple[Shown, dict[str, Bool[np.ndarray, "n f crop crop"]]]:
    """These hearts as the model is given them, and their masks. Raises ValueError for no heart."""
    if not phantoms:
        raise ValueError("No heart was put on the bench.")
    places, size = dataset.places(plan), plan.crop_px
    pictures = torch.from_numpy(np.stack([pictures_of(phantom, places, size) for phantom in phantoms]))
    masks = [masks_of(phantom, places, size) for phantom in phantoms]

    def each(values: list, kind: torch.dtype) -> torch.Tensor:
        return torch.tensor(values, dtype=kind).expand(len(phantoms), -1)

    images = StudyImages(
        frames=augment.centre_crop(pictures.unsqueeze(2), size),
        view=each([dataset.VIEWS.index(place.view) for place in places], torch.int64),
        sequence=each([dataset.SEQUENCES.index(place.sequence) for place in places], torch.int64),
        position=each([place.position for place in places], torch.float32),
        phase=each([place.phase for place in places], torch.float32),
        mask=torch.ones(len(phantoms), len(places), dtype=torch.bool),
    )
    rows = [(*_kind(place), place.position, place.phase) for place in places]
    table = pd.DataFrame(rows, columns=["view", "sequence", "position", "phase"])
    return Shown(images, pictures.numpy(), table), {name: np.stack([one[name] for one in masks]) for name in masks[0]}


def forgetting(model: CMRformer, layers: int, seed: int) -> CMRformer:
    """A copy that has forgotten its last `layers` layers, counted from the output: projection, blocks, stem.

    What is forgotten gets the weights of an untrained model (Adebayo et al. 2018, cascading randomisation). Raises
    ValueError for more layers than there are.
    """
    found, fresh = copy.deepcopy(model), cmrformer.build(model.config, seed)
    names = ["video_projection", *(f"video.blocks.{n}" for n in reversed(range(len(model.video.blocks)))), "video.stem"]
    if not 0 <= layers <= len(names):
        raise ValueError(f"The image tower has {len(names)} layers to forget, got {layers}.")
    for name in names[:layers]:
        found.get_submodule(name).load_state_dict(fresh.get_submodule(name).state_dict())
    return found.eval()


def edges(frames: UInt8[np.ndarray, "n f size size"], sigma: float = 2.0) -> Float[np.ndarray, "n f size size"]:
    """A "map" without any model: the steepness of each image, smoothed over `sigma` pixels."""
    smooth = (0, 0, sigma, sigma)
    steep = np.hypot(*(ndimage.sobel(frames.astype(float), axis=axis) for axis in (2, 3)))
    return ndimage.gaussian_filter(steep, smooth)


def grown(maps: Float[np.ndarray, "n f rows cols"], size_px: int) -> Float[np.ndarray, "n f size size"]:
    """Maps in pixels, a patch a square."""
    factor = size_px // maps.shape[-1]
    return maps.repeat(factor, axis=2).repeat(factor, axis=3)
