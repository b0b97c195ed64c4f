"""Pictures of phantoms for people: a row of planes for one patient, a beating heart, one study on disk."""

from collections.abc import Sequence as List
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32, UInt8

from cmr_lib import project
from cmr_lib.params import Simulate
from cmr_lib.simulate import cohort
from cmr_lib.simulate.plane import Plane
from cmr_lib.simulate.protocol import plan_study
from cmr_lib.types import Sequence, View


def middle_planes(settings: Simulate, patient: int, study: int = 1) -> dict[tuple[View, Sequence], Plane]:
    """The middle plane of each stack that the scanner would acquire, by view and sequence."""
    phantom = cohort.phantom_of(settings, patient, study)
    found: dict[tuple[View, Sequence], list[Plane]] = {}
    for shot in plan_study(settings, phantom.latents, phantom.shape):
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


def one_of_each(truth: pd.DataFrame, classes: List[str]) -> dict[str, int]:
    """For each diagnosis the number of the first patient who has it (patients count from 0)."""
    firsts = truth[truth["has_images"] == 1].drop_duplicates("diagnosis").set_index("diagnosis")["patient_id"]
    return {name: int(firsts[name][-6:]) for name in classes if name in firsts}


def write_one(settings: Simulate, patient: int, folder: Path | str) -> str:
    """Write the DICOM of a patient's first study as a .zip into a folder; returns its path."""
    study = cohort.make_study(settings, cohort.Visit(patient, 1, has_images=True, has_report=True))
    path = Path(folder) / f"{study.truth['accession']}.zip"
    project.write_bytes(path, study.archive or b"")
    return str(path)
