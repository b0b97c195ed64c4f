"""Pictures of phantoms for people: a row of planes for one patient, a beating heart, one study on disk."""

from collections.abc import Sequence as List
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from jaxtyping import Float32, UInt8

from cmr_lib import project
from cmr_lib.labels import DIAGNOSES, FINDINGS, Diagnosis
from cmr_lib.params import Simulate
from cmr_lib.simulate import aha, cohort
from cmr_lib.simulate.diseases import Disease
from cmr_lib.simulate.latents import Latents, Person, Targets
from cmr_lib.simulate.phantom import Phantom
from cmr_lib.simulate.plane import Plane
from cmr_lib.simulate.protocol import draw_exam, lax_plane, plan_study, sax_plane
from cmr_lib.simulate.scanner import image_shot
from cmr_lib.types import Sequence, View


def middle_planes(settings: Simulate, patient: int, study: int = 1) -> dict[tuple[View, Sequence], Plane]:
    """The middle plane of each stack that the scanner would acquire, by view and sequence."""
    phantom = cohort.phantom_of(settings, patient, study)
    found: dict[tuple[View, Sequence], list[Plane]] = {}
    for shot in plan_study(settings, phantom.latents, phantom.shape, draw_exam(settings, phantom.latents)):
        found.setdefault((shot.view, shot.sequence), []).append(shot.plane)
    return {kind: planes[len(planes) // 2] for kind, planes in found.items()}


def pictures_of(settings: Simulate, patient: int, study: int = 1) -> dict[str, Float32[np.ndarray, "rows cols"]]:
    """Noiseless pictures of one patient, named "SAX ED", "SAX ES", "4CH ED", … and "LGE"."""
    phantom = cohort.phantom_of(settings, patient, study)
    pictures = {}
    for (view, sequence), plane in middle_planes(settings, patient, study).items():
        if sequence is Sequence.LGE:
            pictures["LGE"] = phantom.render(plane, 0.7, sequence)
            continue
        name = view.value.removeprefix("lax_").upper()
        pictures[f"{name} ED"] = phantom.render(plane, 0.0, sequence)
        pictures[f"{name} ES"] = phantom.render(plane, phantom.systole, sequence)
    return {name: pictures[name] for name in sorted(pictures, key=lambda name: (name == "LGE", name[:1] != "S", name))}


def beating(
    settings: Simulate, patient: int, view: View = View.SAX, frames: int = 20, study: int = 1
) -> UInt8[np.ndarray, "frames rows cols"]:
    """One heart beat on the middle plane of a view, noiseless, as 8-bit frames."""
    phantom = cohort.phantom_of(settings, patient, study)
    plane = middle_planes(settings, patient, study)[view, Sequence.CINE]
    images = np.stack([phantom.render(plane, k / frames, Sequence.CINE) for k in range(frames)])
    return (np.clip(images / np.percentile(images, 99.5), 0, 1) * 255).astype(np.uint8)


def heart_with(lvef: float = 60.0, wall_mm: float = 9.5, scar: float = 0.0) -> Phantom:
    """A man's heart with this LVEF (%), wall (mm) and depth of a lateral infarct (0 none, 1 transmural).

    Raises ValueError for values of no living heart.
    """
    if not (5 <= lvef <= 85 and 4 <= wall_mm <= 35 and 0 <= scar <= 1):
        raise ValueError(f"lvef 5–85 %, wall_mm 4–35 and scar 0–1 are wanted, got {lvef:g}, {wall_mm:g} and {scar:g}.")
    segments = aha.TERRITORIES["LCx"] if scar > 0 else ()
    disease = Disease(
        Diagnosis.ICM if scar else Diagnosis.NOR,
        lge_pattern="subendocardial" if scar else "none",
        scar_segments=segments,
        scar_depth=scar,
        weak_segments=segments,
        contraction=1 - 0.9 * scar,
        thinning=0.4 * scar,
    )
    targets = Targets(155.0 + 1.5 * max(0.0, 60 - lvef), lvef, wall_mm, 160.0, 60.0)
    return Phantom(Latents(0, 1, Person("M", 50, 178.0, 80.0), disease, targets, 66.0, shape_seed=5))


def heart_of(lvef: float = 60.0, wall_mm: float = 9.5, scar: float = 0.0) -> dict[str, UInt8[np.ndarray, "frames _ _"]]:
    """The heart of `heart_with`, beating in short axis and four chambers, still in late enhancement; noiseless."""
    phantom = heart_with(lvef, wall_mm, scar)
    short = sax_plane(phantom.shape, 0.4 * phantom.shape.length, 2.0, 104, 8.0)
    planes = {"SAX": short, "4CH": lax_plane(phantom.shape, View.LAX_4CH, 2.0, 104, 8.0)}
    images = {name: np.stack([phantom.render(plane, k / 12) for k in range(12)]) for name, plane in planes.items()}
    images["LGE"] = phantom.render(short, 0.75, Sequence.LGE)[None]
    return {name: (np.clip(shown / 1.2, 0, 1) * 255).astype(np.uint8) for name, shown in images.items()}


def one_of_each(truth: pd.DataFrame, classes: List[str]) -> dict[str, int]:
    """For each diagnosis the number of the first patient who has it (patients count from 0)."""
    firsts = truth[truth["has_images"] == 1].drop_duplicates("diagnosis").set_index("diagnosis")["patient_id"]
    return {name: int(firsts[name][-6:]) for name in classes if name in firsts}


def cohort_table(truth: pd.DataFrame) -> pd.DataFrame:
    """A row a diagnosis: studies, share of women, means of age and of what was measured, shares of findings."""
    groups = truth.assign(women=truth["sex"] == "F").groupby("diagnosis", sort=False)
    means = groups[["women", "age", "lvef", "lvedvi", "lv_mass_g", "wall_mm", "rvef", "rvedvi", *FINDINGS]].mean()
    order = [code.value for code in DIAGNOSES if code.value in means.index]
    return pd.concat([groups.size().rename("studies"), means], axis=1).loc[order]


def scanned_frame(settings: Simulate, patient: int) -> Float32[np.ndarray, "rows cols"]:
    """The middle short-axis slice of a patient at end-diastole as the scanner measured it, noise and all."""
    phantom = cohort.phantom_of(settings, patient)
    exam = draw_exam(settings, phantom.latents)
    shots = plan_study(settings, phantom.latents, phantom.shape, exam)
    short = [shot for shot in shots if shot.view is View.SAX and shot.sequence is Sequence.CINE]
    return image_shot(phantom, short[len(short) // 2], exam, project.rng(settings.seed, "showcase", patient))[0]


def real_frame(path: Path | str) -> Float32[np.ndarray, "rows cols"]:
    """The pixels of one DICOM image of your own. Raises FileNotFoundError or ValueError, without naming a patient."""
    image = pydicom.dcmread(project.require(path, "you: real_image is the path of one DICOM file"), force=True)
    if "PixelData" not in image or int(image.get("NumberOfFrames", 1)) != 1 or image.get("SamplesPerPixel", 1) != 1:
        raise ValueError("real_image: one grey single-frame DICOM image is wanted, this file holds something else.")
    return image.pixel_array.astype(np.float32)


def write_one(settings: Simulate, patient: int, folder: Path | str) -> str:
    """Write the DICOM of a patient's first study as a .zip into a folder; returns its path."""
    study = cohort.make_study(settings, cohort.Visit(patient, 1, has_images=True, has_report=True))
    path = Path(folder) / f"{study.truth['accession']}.zip"
    project.write_bytes(path, study.archive or b"")
    return str(path)
