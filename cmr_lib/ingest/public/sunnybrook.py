"""Sunnybrook Cardiac Data (SCD): 45 DICOM studies from Toronto with contours of the left ventricle.

    SCD_IMAGES_0N/SCD00000NN/<series folders>/*.dcm
    SCD_ManualContours/SC-{HF-I,HF-NI,HYP,N}-NN/contours-manual/IRCCI-expert/
        IM-0001-NNNN-{i,o}contour-manual.txt     inner and outer wall, one "x y" pixel pair a line
    scd_patientdata.csv                          PatientID, OriginalID, Gender, Age, Pathology

The columns agree with public loaders, in whatever order; OriginalID may lack the zero of the folder's name (SC-HF-I-1).
Licence and reference: cardiacatlas.org, Sunnybrook Cardiac Data (CC0 1.0). Some patients have several CINESAX folders:
the largest short-axis stack counts.

NNNN is the InstanceNumber of the image in the short-axis series, which counts the frames of a slice, then the next
slice. So with p frames a slice, image n shows frame (n − 1) mod p. Of the two frames with most contours, the fuller is
end-diastole (it need not be the first by trigger time).
"""

import csv
import io
import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cmr_lib.ingest.files import LIMITS, Limits, read_regular
from cmr_lib.ingest.public import measure
from cmr_lib.ingest.public.record import Case, Labels, PublicSet, PublicStudy, folders_below
from cmr_lib.ingest.rejects import Refused, reject
from cmr_lib.ingest.studies import read_study
from cmr_lib.labels import SUNNYBROOK_GROUPS
from cmr_lib.project import keyed_name
from cmr_lib.types import Sequence, Stack, View

CONTOUR = re.compile(r"IM-\d{4}-(\d{4})-([io])contour-manual\.txt")
GROUP = re.compile(r"SC-(HF-NI|HF-I|HYP|N)-0*(\d+)")
DEPTH = 5

Contour = Float[np.ndarray, "points 2"]


def _original(text: str) -> tuple[str, int] | None:
    """Group and number of a name such as SC-HF-I-01 (also written SC-HF-I-1); None for another name."""
    found = GROUP.fullmatch(text.strip())
    return (found[1], int(found[2])) if found else None


def find(root: Path) -> list[Case]:
    """Patients that have images, with their contours where there are any; sorted by PatientID."""
    folders = list(folders_below(root, DEPTH))
    tables = [folder / "scd_patientdata.csv" for folder in folders if (folder / "scd_patientdata.csv").is_file()]
    rows = [row for path in tables for row in csv.DictReader(io.StringIO(path.read_text("utf-8-sig", "replace")))]
    by_id = {str(row.get("PatientID", "")).strip(): {str(k): str(v or "") for k, v in row.items()} for row in rows}
    drawn = {name: folder for folder in folders if (name := _original(folder.name))}
    cases = []
    for folder in folders:
        if re.fullmatch(r"SCD\d{7}", folder.name):
            row = by_id.get(folder.name, {})
            extra = drawn.get(_original(row.get("OriginalID", "")) or ("", 0))
            cases.append(Case("sunnybrook", folder.name, folder, None, row, extra))
    return sorted(cases, key=lambda case: case.name)


def parse_contour(data: bytes) -> Contour:
    """Points (x, y) in pixels. Raises Refused E_LAYOUT where the file is not pairs of numbers, three or more."""
    try:
        points = np.array(
            [[float(part) for part in line.split()] for line in data.decode("ascii").splitlines() if line]
        )
    except ValueError:
        raise Refused("E_LAYOUT", "contour") from None
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise Refused("E_LAYOUT", "contour")
    return points


def area_px(contour: Contour) -> float:
    """Area of a closed polygon in pixels (the shoelace formula)."""
    x, y = contour.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def disc_ml(stack: Stack) -> float:
    """Volume in mL of one pixel of one slice: pixel area × distance between slices."""
    return stack.spacing_mm[0] * stack.spacing_mm[1] * stack.slice_spacing_mm / 1000


def volumes(contours: dict[tuple[str, int], Contour], stack: Stack) -> Labels:
    """LV volumes, LVEF and mass by disc summation; contours by (i or o, InstanceNumber).

    Mass counts the slices at end-diastole that have both contours. Raises Refused E_LAYOUT without two frames drawn,
    or with numbers beyond the stack.
    """
    slices, frames = stack.pixels.shape[:2]
    if not contours or max(number for _, number in contours) > slices * frames:
        raise Refused("E_LAYOUT", "contour numbers")
    inner: dict[int, float] = defaultdict(float)
    counts = Counter((number - 1) % frames for kind, number in contours if kind == "i")
    for (kind, number), contour in sorted(contours.items()):
        if kind == "i":
            inner[(number - 1) % frames] += area_px(contour) * disc_ml(stack)
    if len(counts) < 2:
        raise Refused("E_LAYOUT", "contour frames")
    most = sorted(counts, key=lambda frame: (-counts[frame], frame))[:2]
    diastole, systole = sorted(most, key=lambda frame: -inner[frame])
    both = [n for kind, n in contours if kind == "o" and (n - 1) % frames == diastole and ("i", n) in contours]
    muscle = sum(area_px(contours["o", n]) - area_px(contours["i", n]) for n in both) * disc_ml(stack)
    found = measure.from_volumes(inner[diastole], inner[systole], "lv")
    found |= {"lv_mass_g": measure.MUSCLE_G_PER_ML * muscle} if both else {}
    return found | {"ed_phase": diastole / frames, "es_phase": systole / frames}


def _told(case: Case) -> Labels:
    """Diagnosis by the group in the set's own name; sex and age where the table has them."""
    name = _original(case.row.get("OriginalID", ""))
    sex, age = case.row.get("Gender", "").strip().upper()[:1], case.row.get("Age", "").strip()
    found: Labels = {"diagnosis": SUNNYBROOK_GROUPS.get(name[0], "") if name else ""}
    found |= {"sex": sex} if sex in ("F", "M") else {}
    return found | ({"age_years": float(age)} if age.isdecimal() and 0 < int(age) < 120 else {})


def _contours(folder: Path) -> dict[tuple[str, int], Contour]:
    matches = [(path, CONTOUR.fullmatch(path.name)) for path in sorted(folder.rglob("*.txt"))]
    return {(found[2], int(found[1])): parse_contour(read_regular(path)) for path, found in matches if found}


def read(case: Case, key: bytes, limits: Limits = LIMITS) -> PublicStudy:
    """The DICOM study as any other, with labels from table and contours. Raises Refused for contours without sense."""
    study = read_study(case.folder, key, limits)
    short = [one for one in study.stacks if one.view == View.SAX and one.sequence == Sequence.CINE]
    contours = _contours(case.extra) if case.extra else {}
    found = _told(case)
    if contours and short:
        found |= volumes(contours, max(short, key=lambda one: one.pixels.shape[0]))
    found |= measure.findings(found)
    study_key = keyed_name(key, "study", case.name)
    spare = sum(1 for path in case.extra.rglob("*") if path.is_file()) - len(contours) if case.extra else 0
    study.counts["found"] += len(contours) + spare
    study.counts["accepted"] += len(contours)
    study.counts["ignored"] += spare
    rows = [replace(row, study_key=study_key) for row in study.rejects]
    rows += [reject("file", "N_NOT_NEEDED", study_key=study_key) for _ in range(spare)]
    return PublicStudy(
        study_key=study_key,
        patient_id=case.name,
        accession=case.name,
        stacks=study.stacks,
        rejects=rows,
        counts=study.counts,
        facts=study.facts,
        day=study.day,
        labels=found,
    )


SUNNYBROOK = PublicSet(
    title="Sunnybrook Cardiac Data",
    layout="SCD_IMAGES_0N/SCD00000NN/…/*.dcm, SCD_ManualContours/SC-*-NN/contours-manual/IRCCI-expert/*.txt and "
    "scd_patientdata.csv",
    citation="P. Radau, Y. Lu, K. Connelly, G. Paul, A. J. Dick, G. A. Wright. Evaluation framework for algorithms "
    "segmenting short axis cardiac MRI. The MIDAS Journal, 2009, hdl.handle.net/10380/3070",
    licence="CC0 1.0: public domain",
    find=find,
    read=read,
)
