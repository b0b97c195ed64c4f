"""From drawings to numbers: volumes by disc summation, ejection fractions, mass, and the findings that follow.

LVEF = 100 (EDV − ESV) / EDV; mass = 1.05 g/mL × muscle at end-diastole; indices by the body surface of Mosteller 1987
(doi 10.1056/NEJM198710223171717): sqrt(height in cm × weight in kg / 3600) m². What lies in the cavity (papillary
muscles) is counted as the set's readers drew it: a cut-point of `labels` means a slightly different heart in every set.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from cmr_lib import labels
from cmr_lib.ingest.public.record import Labels
from cmr_lib.ingest.rejects import Refused

MUSCLE_G_PER_ML = 1.05


class Codes(NamedTuple):
    """Which value of a mask is what."""

    left: int  # cavity of the left ventricle
    muscle: int
    right: int


def from_volumes(edv_ml: float, esv_ml: float, prefix: str) -> Labels:
    """Volumes and ejection fraction of one ventricle. Raises Refused E_LAYOUT where they cannot be a beat."""
    if not 0 <= esv_ml <= edv_ml or edv_ml == 0:
        raise Refused("E_LAYOUT", "volumes")
    fraction = 100 * (edv_ml - esv_ml) / edv_ml
    return {f"{prefix}edv_ml": edv_ml, f"{prefix}esv_ml": esv_ml, f"{prefix}ef": fraction}


def from_masks(
    diastole: Integer[np.ndarray, "cols rows slices"],
    systole: Integer[np.ndarray, "cols rows slices"],
    codes: Codes,
    voxel_ml: float,
) -> Labels:
    """lvedv_ml, lvesv_ml, lvef, lv_mass_g, rvedv_ml, rvef of one patient."""
    full, empty = (
        {name: float((mask == code).sum()) * voxel_ml for name, code in codes._asdict().items()}
        for mask in (diastole, systole)
    )
    found = from_volumes(full["left"], empty["left"], "lv") | from_volumes(full["right"], empty["right"], "rv")
    found.pop("rvesv_ml")  # not a label of this project
    return found | {"lv_mass_g": MUSCLE_G_PER_ML * full["muscle"]}


def indexed(found: Labels, height_cm: float, weight_kg: float) -> Labels:
    """Volumes over body surface, mL/m²; nothing where height or weight is unknown or no adult's."""
    if not (50 < height_cm < 250 and 10 < weight_kg < 300):
        return {}
    surface = float(np.sqrt(height_cm * weight_kg / 3600))
    return {f"{side}vedvi": float(found[f"{side}vedv_ml"]) / surface for side in "lr" if f"{side}vedv_ml" in found}


def findings(found: Labels) -> Labels:
    """0 or 1 for the findings that the numbers decide (labels' cut-points); dilation only where the sex is known."""
    graded = {}
    for side, cuts in (("l", labels.LVEF_CUTS), ("r", labels.RVEF_CUTS)):
        if f"{side}vef" in found:
            graded[f"{side}v_dysfunction"] = labels.severity_below(float(found[f"{side}vef"]), cuts)
    for side, limits in (("l", labels.LVEDVI_CUTS), ("r", labels.RVEDVI_CUTS)):
        if f"{side}vedvi" in found and found.get("sex") in limits:
            graded[f"{side}v_dilation"] = labels.severity_above(float(found[f"{side}vedvi"]), limits[str(found["sex"])])
    return {name: int(grade != "normal") for name, grade in graded.items()}
