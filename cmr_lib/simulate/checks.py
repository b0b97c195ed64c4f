"""Is the phantom what it says? Volumes by disc summation, planes that agree, scanners that know no diagnosis.

Each check compares what is drawn with what was asked for, along another path than the drawing took.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32
from scipy import ndimage, stats

from cmr_lib import project
from cmr_lib.params import Simulate
from cmr_lib.simulate.latents import draw_latents
from cmr_lib.simulate.phantom import NOWHERE, Phantom
from cmr_lib.simulate.plane import Plane
from cmr_lib.simulate.protocol import Shot, draw_exam, plan_study, sax_plane
from cmr_lib.simulate.scanner import image_shot
from cmr_lib.simulate.truth import stack_volume_ml, volumes_ml
from cmr_lib.types import Sequence as Kind
from cmr_lib.types import View

NUISANCES = ("site", "vendor", "field_strength_t", "spacing_mm", "snr", "artefact", "year", "full_size")
PERMUTATIONS = 199


def full_stack(phantom: Phantom, pitch_mm: float = 10.0) -> list[Plane]:
    """Short-axis planes from above the base to past the apex."""
    heights = np.arange(-18, phantom.shape.apex + pitch_mm, pitch_mm)
    return [sax_plane(phantom.shape, float(height), 1.6, 128, pitch_mm) for height in heights]


def disc_errors(phantom: Phantom, planes: Sequence[Plane]) -> tuple[float, float]:
    """What disc summation over a stack gets wrong against the targets: EDV in %, EF in points."""
    targets = phantom.latents.targets
    full, empty = (stack_volume_ml(phantom, planes, phase) for phase in (0.0, phantom.systole))
    return 100 * (full / targets.lvedv_ml - 1), 100 * (1 - empty / full) - targets.lvef


def muscle_spread(phantom: Phantom, phases: Sequence[float] = (0.0, 0.15, 0.3, 0.45, 0.6, 0.9)) -> float:
    """Largest over smallest volume of the left-ventricular muscle in a beat, less 1: muscle does not compress."""
    volumes = [volumes_ml(phantom, phase, 1.0, 1.5)["muscle"] for phase in phases]
    return max(volumes) / min(volumes) - 1


def check_volumes(settings: Simulate, patients: Sequence[int]) -> pd.DataFrame:
    """A row a patient: errors of disc summation over a full stack (pitch 10 mm) and over the stack of the protocol.

    And by how many percent the volume of the muscle changes in a beat.
    """
    rows = []
    for patient in patients:
        latents = draw_latents(settings.seed, patient, 1, settings.diagnoses)
        phantom = Phantom(latents)
        shots = plan_study(settings, latents, phantom.shape, draw_exam(settings, latents))
        protocol = [shot.plane for shot in shots if shot.view is View.SAX and shot.sequence is Kind.CINE]
        full, own = disc_errors(phantom, full_stack(phantom)), disc_errors(phantom, protocol)
        names = ("full_edv_percent", "full_ef_points", "protocol_edv_percent", "protocol_ef_points")
        errors = dict(zip(names, (*full, *own), strict=True))
        rows.append({"patient": patient, **errors, "muscle_percent": 100 * muscle_spread(phantom)})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Crossing:
    """Two images of one heart, the line in which their planes meet (mm in the patient), and the brightness along it."""

    images: tuple[Float32[np.ndarray, "rows cols"], Float32[np.ndarray, "rows cols"]]
    pixels: tuple[Float[np.ndarray, "points 2"], Float[np.ndarray, "points 2"]]  # (row, column) in each image
    lines: tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]

    @property
    def correlation(self) -> float:
        """Pearson's correlation of the two lines."""
        return float(np.corrcoef(*self.lines)[0, 1])


def _along(plane: Plane, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 2"]:
    """Row and column (fractional) of points in the patient."""
    away = points - plane.origin_mm
    return np.stack([away @ plane.col_dir, away @ plane.row_dir], axis=1) / plane.spacing_mm


def crossing(settings: Simulate, patient: int, view: View = View.LAX_4CH, height_mm: float = 30.0) -> Crossing:
    """One short-axis and one long-axis cine frame of a patient at end-diastole, without misregistration."""
    latents = draw_latents(settings.seed, patient, 1, settings.diagnoses)
    phantom = Phantom(latents)
    exam = replace(draw_exam(settings, latents), artefact="none")
    shots = plan_study(settings, latents, phantom.shape, exam)
    long = next(shot for shot in shots if shot.view is view)
    short = sax_plane(phantom.shape, height_mm, long.plane.spacing_mm, long.plane.rows, long.plane.thickness_mm)
    direction = np.cross(short.normal, long.plane.normal)
    direction /= np.linalg.norm(direction)
    middle = phantom.shape.pose.origin_mm + height_mm * phantom.shape.pose.axes[2]
    middle = middle - ((middle - long.plane.origin_mm) @ long.plane.normal) * long.plane.normal
    points = middle + np.linspace(-60, 60, 121)[:, None] * direction
    images, pixels, lines = [], [], []
    for name, plane in ((View.SAX, short), (view, long.plane)):
        shot = Shot(name, Kind.CINE, 0, plane, (0.0,), NOWHERE, 60000 / latents.heart_rate)
        images.append(image_shot(phantom, shot, exam, project.rng(settings.seed, "crossing", patient, name.value))[0])
        pixels.append(_along(plane, points))
        lines.append(ndimage.map_coordinates(images[-1], pixels[-1].T, order=1).astype(np.float64))
    return Crossing((images[0], images[1]), (pixels[0], pixels[1]), (lines[0], lines[1]))


def _dependence(values: pd.Series, diagnosis: Float[np.ndarray, " rows"] | np.ndarray) -> float:
    """How strongly a nuisance goes with the diagnosis: chi-square or Kruskal's H, per degree of freedom."""
    if values.nunique() < 2:
        return 0.0
    if pd.api.types.is_float_dtype(values) and values.nunique() > 20:
        groups = [values[diagnosis == code] for code in np.unique(diagnosis)]
        return float(stats.kruskal(*groups).statistic) / (len(groups) - 1)
    table = pd.crosstab(values.to_numpy(), diagnosis)
    found = stats.chi2_contingency(table.to_numpy(), correction=False)
    return float(found.statistic) / found.dof


def nuisance_p(truth: pd.DataFrame, seed: int = 0, permutations: int = PERMUTATIONS) -> float:
    """The p-value of one omnibus permutation test: that site, maker, field, spacing, SNR, … go with the diagnosis.

    First studies only, so that a patient counts once; the statistic is the sum of dependences over NUISANCES.
    """
    first = truth[truth["study_number"] == 1]
    diagnosis = first["diagnosis"].to_numpy()
    random = project.rng(seed, "nuisance")

    def statistic(codes: np.ndarray) -> float:
        return sum(_dependence(first[name], codes) for name in NUISANCES)

    own = statistic(diagnosis)
    others = [statistic(random.permutation(diagnosis)) for _ in range(permutations)]
    return (1 + sum(other >= own for other in others)) / (1 + permutations)
