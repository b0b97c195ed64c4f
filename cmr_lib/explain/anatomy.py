"""Where the phantom's anatomy lies on the images that the model is given: the truth that a map is held against.

The clip store keeps no place in the patient, on purpose. So a study's archive is read again, its crops' geometry
follows from the same functions that made the crops (`clips.prepare`), and the phantom, asked for its tissues on exactly
those planes, answers without a scanner between: no noise, no edge of a pixel. What the crops show and what the phantom
says can be compared pixel by pixel (tests/test_explain_anatomy.py).

Only for phantoms: of real hearts nobody knows the truth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8

from cmr_lib import params, project, types
from cmr_lib.clips import dataset, prepare
from cmr_lib.ingest import heart
from cmr_lib.ingest.studies import read_study
from cmr_lib.simulate import cohort
from cmr_lib.simulate.anatomy import TISSUES
from cmr_lib.simulate.identity import accession
from cmr_lib.simulate.phantom import Phantom
from cmr_lib.simulate.plane import Plane
from cmr_lib.simulate.protocol import LGE_PHASE, Shot, draw_exam, plan_study
from cmr_lib.simulate.scanner import heart_phase

REGIONS = ("heart", "cavity", "septum", "scar")
HALF_SEPTUM = np.pi / 3  # the septal third of the left ventricle's wall (two of six AHA segments)
LEFT = (TISSUES.LV_WALL, TISSUES.LV_BLOOD, TISSUES.PAPILLARY, TISSUES.SCAR, TISSUES.THROMBUS)
VENTRICLES = (*LEFT, TISSUES.RV_WALL, TISSUES.RV_BLOOD)
SAME = 1e-3  # of a position between base and apex

Centre = Float[np.ndarray, "3"] | None
Masks = dict[str, Bool[np.ndarray, "frames crop crop"]]


@dataclass(frozen=True)
class Visit:
    """Which phantom a keyed study is, and where its archive lies."""

    patient: int
    study: int
    archive: Path


def visits(settings: params.Simulate, data_dir: Path | str) -> dict[str, Visit]:
    """The hospital's studies by the keyed names that the stage preprocess gives phantoms."""
    key, found = project.read_key(None), {}
    for visit in cohort.visits(settings):
        if visit.has_images:
            name = accession(visit.patient, visit.study)
            place = Path(data_dir) / "studies" / f"{name}.zip"
            found[project.keyed_name(key, "study", name)] = Visit(visit.patient, visit.study, place)
    return found


# --- geometry ---------------------------------------------------------------------------------------------------
def _foot(stack: types.Stack, index: int, centre: Centre) -> Float[np.ndarray, "3"]:
    """The crop's centre on a slice: the heart's foot, or the image's middle where that is unknown or falls outside."""
    rows, cols = stack.pixels.shape[2:]
    place = ((rows - 1) / 2, (cols - 1) / 2)
    if centre is not None:
        row, col = heart.to_pixel(stack, index, centre)
        if 0 <= row <= rows - 1 and 0 <= col <= cols - 1:
            place = (row, col)
    return heart.to_patient(stack, index, *place)


@dataclass(frozen=True)
class Crop:
    """One slice of a study as the store keeps it, and its place in the patient."""

    view: types.View
    sequence: types.Sequence
    slice_number: int
    position: float
    plane: Plane


def crops_of(stacks: Sequence[types.Stack], size_px: int, spacing_mm: float) -> list[Crop]:
    """Every crop that `prepare.clips_of` would make of a study, as a plane in patient coordinates (LPS, mm)."""
    found = heart.long_axis(stacks)
    axis = heart.NOMINAL_AXIS if found is None else found
    centre, crops = prepare.crop_centre(stacks), []
    for stack, places in zip(stacks, prepare.positions(stacks, axis), strict=True):
        right, down = prepare.image_axes(stack.normal, axis)
        for index, position in enumerate(places):
            corner = _foot(stack, index, centre) - (size_px - 1) / 2 * spacing_mm * (right + down)
            plane = Plane(corner, right, down, spacing_mm, size_px, size_px, stack.slice_spacing_mm or spacing_mm)
            crops.append(Crop(stack.view, stack.sequence, index, float(position), plane))
    return crops


def _same(crop: Crop, clip: pd.Series) -> bool:
    kind = (crop.view.value, crop.sequence.value, crop.slice_number) == (clip["view"], clip["sequence"], clip["slice"])
    return kind and bool(abs(crop.position - clip["position"]) < SAME)


def _shot_of(crop: Crop, shots: Sequence[Shot]) -> Shot:
    """The planned slice that a crop was cut from: of its kind, the nearest along the normal."""
    kind = [shot for shot in shots if (shot.view, shot.sequence) == (crop.view, crop.sequence)]
    return min(kind, key=lambda shot: abs(float((shot.plane.origin_mm - crop.plane.origin_mm) @ shot.plane.normal)))


# --- tissues ----------------------------------------------------------------------------------------------------
def septal(phantom: Phantom, plane: Plane, offset_mm: np.ndarray) -> Bool[np.ndarray, "rows cols"]:
    """Pixels on the septal side of the left ventricle: within 60° of the middle of the septum about the long axis."""
    pose = phantom.shape.pose
    x, y, _ = plane.points(pose.origin_mm + offset_mm, pose.axes)
    return np.abs(np.arctan2(y, x)) < HALF_SEPTUM


def regions(
    labels: UInt8[np.ndarray, "rows cols"], septum_side: Bool[np.ndarray, "rows cols"], *, late: bool
) -> dict[str, Bool[np.ndarray, "rows cols"]]:
    """REGIONS of a label image; scar counts only where it can be seen, in late enhancement."""
    wall = np.isin(labels, (TISSUES.LV_WALL, TISSUES.SCAR))
    return {
        "heart": np.isin(labels, VENTRICLES),
        "cavity": np.isin(labels, (TISSUES.LV_BLOOD, TISSUES.PAPILLARY)),
        "septum": wall & septum_side,
        "scar": (labels == TISSUES.SCAR) & late,
    }


def _chosen(
    clips: pd.DataFrame, crops: Sequence[Crop], plan: params.FramePlan
) -> Iterator[tuple[int, dataset.Pick, Crop]]:
    """For every place of the plan that the study fills: its number, the image chosen, and that image's crop."""
    table = clips.reset_index(drop=True)
    kinds = {(view, sequence): found for (_, view, sequence), found in dataset.by_kind(table).items()}
    for number, place in enumerate(dataset.places(plan)):
        pick = dataset.pick(place, kinds.get((place.view.value, place.sequence.value), []))
        if pick is None:
            continue
        crop = next((crop for crop in crops if _same(crop, table.iloc[pick.row])), None)
        if crop is None:
            raise ValueError("Archive and clip store do not match: run the stages simulate and preprocess again.")
        yield number, pick, crop


def masks(settings: params.Simulate, visit: Visit, clips: pd.DataFrame, plan: params.FramePlan, size_px: int) -> Masks:
    """REGIONS of one study on the centre crops of every place of the plan, all False where the study has no image.

    clips: the study's rows of the store's index; size_px: edge of the stored crops. Raises ValueError where the archive
    no longer gives the crops that the store holds: one of the two was made by other code or other settings.
    """
    phantom = cohort.phantom_of(settings, visit.patient, visit.study)
    latents = phantom.latents
    shots = plan_study(settings, latents, phantom.shape, draw_exam(settings, latents))
    stacks = read_study(visit.archive, project.read_key(None)).stacks
    crops = crops_of(stacks, size_px, float(clips["spacing_mm"].iloc[0]))
    edge = slice((size_px - plan.crop_px) // 2, (size_px + plan.crop_px) // 2)
    found: Masks = {name: np.zeros((len(dataset.places(plan)), plan.crop_px, plan.crop_px), bool) for name in REGIONS}
    for number, pick, crop in _chosen(clips, crops, plan):
        shot, late = _shot_of(crop, shots), crop.sequence is types.Sequence.LGE
        share = shot.rr_ms * latents.heart_rate / 60000
        phase = heart_phase(LGE_PHASE if late else pick.phase, share, phantom.systole)
        plane = crop.plane.cropped(edge, edge)
        labels = phantom.labels(plane, phase, shot.offset_mm)
        for name, mask in regions(labels, septal(phantom, plane, shot.offset_mm), late=late).items():
            found[name][number] = mask
    return found
