"""M&Ms: short-axis cines of six hospitals and four makers, drawn at end-diastole and end-systole.

OpenDataset/{Training/{Labeled,Unlabeled},Validation,Testing}/<code>/
    <code>_sa.nii.gz       the cine
    <code>_sa_gt.nii.gz    the same size; drawings on frames ED and ES, zero elsewhere: 1 left cavity, 2 muscle,
                           3 right cavity (in Unlabeled: a dummy)
211230_M&Ms_Dataset_information_diagnosis_opendataset.csv    a column of row numbers without a name, External code,
                           VendorName, Vendor, Centre, ED, ES (frames, counted from 0), Age, Pathology, Sex, Height (cm)
                           and Weight (kg; the last two may be empty)

No copy of the set was at hand. Folders, columns, labels and the count from 0 agree with a public loader
(github.com/mathpluscode/CineMA at 4a08b0e, cinema/data/mnms/README.md and preprocess.py; the pairing of letters A to D
with makers is that of the challenge's paper). Its licence stands in neither, so the card names the set's own terms.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cmr_lib.ingest.files import LIMITS, Limits
from cmr_lib.ingest.public import measure, nifti
from cmr_lib.ingest.public.record import Case, Content, Labels, PublicSet, folders_below, read_named
from cmr_lib.ingest.rejects import Refused
from cmr_lib.ingest.stacks import vendor_of
from cmr_lib.labels import MNMS_PATHOLOGIES
from cmr_lib.types import Split

SPLITS = {"Training": Split.TRAIN, "Validation": Split.VALIDATION, "Testing": Split.TEST}  # official
MAKERS = {"A": "siemens", "B": "philips", "C": "ge", "D": "canon"}
CODES = measure.Codes(left=1, muscle=2, right=3)
CODE = "External code"


def table_of(root: Path) -> dict[str, dict[str, str]]:
    """The rows of the set's own table, by code; {} where there is none."""
    tables = [path for folder in folders_below(root, 1) for path in sorted(folder.glob("*.csv"))]
    for path in tables:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig", errors="replace"))))
        if rows and CODE in rows[0]:
            return {row[CODE].strip(): {str(k): str(v or "").strip() for k, v in row.items()} for row in rows}
    return {}


def _official(folder: Path, root: Path) -> Split | None:
    parts = folder.relative_to(root.parent).parts
    return next((SPLITS[part] for part in reversed(parts) if part in SPLITS), None)


def find(root: Path) -> list[Case]:
    """Patients below `root` (OpenDataset or its parent), sorted by code."""
    rows = table_of(root)
    folders = [path for path in folders_below(root, 4) if (path / f"{path.name}_sa.nii.gz").is_file()]
    cases = [Case("mnms", path.name, path, _official(path, root), rows.get(path.name, {})) for path in folders]
    return sorted(cases, key=lambda case: case.name)


def _number(row: Mapping[str, str], name: str) -> float:
    try:
        return float(row.get(name, "") or "nan")
    except ValueError:
        return float("nan")


def _told(row: Mapping[str, str]) -> Labels:
    """What the table says of the patient. A pathology that this project has no code for is an empty diagnosis."""
    sex = row.get("Sex", "").upper()
    found: Labels = {"diagnosis": MNMS_PATHOLOGIES.get(row.get("Pathology", "").upper(), "")}
    found |= {"sex": sex} if sex in ("F", "M") else {}
    age = _number(row, "Age")
    return found | ({"age_years": age} if 0 < age < 120 else {})


def _drawn(case: Case, frames: int, name: str, limits: Limits) -> tuple[Labels, np.ndarray | None]:
    """Measures and the mask at end-diastole; nothing where a case is officially without drawings."""
    tags = ("sa_gt.nii.gz", "csv ED/ES")
    if "Unlabeled" in case.folder.parts:
        return {}, None
    image = nifti.load(read_named(case.folder, name, tags[0], limits), tags[0])
    masks = nifti.values(image, 4, tags[0])
    moments = [_number(case.row, key) for key in ("ED", "ES")]
    if not all(moment in range(frames) for moment in moments):
        raise Refused("E_LAYOUT", tags[1])
    if masks.shape[3] != frames:
        raise Refused("E_LAYOUT", "sa_gt of another shape than sa")
    full, empty = (np.rint(masks[..., int(moment)]).astype(np.uint8) for moment in moments)
    found = measure.from_masks(full, empty, CODES, nifti.voxel_ml(image))
    return found | {"ed_phase": moments[0] / frames, "es_phase": moments[1] / frames}, full


def read(case: Case, _key: bytes, limits: Limits = LIMITS) -> Content:
    """The cine and what table and drawings say. Raises Refused, naming the part of the layout that is missing."""
    if not case.row:
        raise Refused("E_LAYOUT", "csv row")
    names = [f"{case.name}_sa.nii.gz", f"{case.name}_sa_gt.nii.gz"]
    moving = nifti.load(read_named(case.folder, names[0], "sa.nii.gz", limits), "sa.nii.gz")
    measured, full = _drawn(case, nifti.values(moving, 4, "sa.nii.gz").shape[3], names[1], limits)
    found = _told(case.row) | measured
    found |= measure.indexed(found, _number(case.row, "Height"), _number(case.row, "Weight"))
    maker = MAKERS.get(case.row.get("Vendor", "").upper()) or vendor_of(case.row.get("VendorName", ""))
    stack = nifti.short_axis(moving, full, maker, "sa.nii.gz")
    facts = {"vendor": maker, "field_strength_t": float("nan"), "synthetic": int(nifti.is_phantom(moving))}
    used = frozenset(names if measured else names[:1])
    return Content([stack], found | measure.findings(found), facts, used)


MNMS = PublicSet(
    title="M&Ms, Multi-Centre, Multi-Vendor and Multi-Disease Cardiac Segmentation Challenge",
    layout="OpenDataset/{Training/{Labeled,Unlabeled},Validation,Testing}/<code>/<code>_sa.nii.gz, <code>_sa_gt.nii.gz "
    "and the table of diagnoses beside them (.csv with the column External code)",
    citation="V. M. Campello, P. Gkontra, C. Izquierdo, et al. Multi-Centre, Multi-Vendor and Multi-Disease Cardiac "
    "Segmentation: The M&Ms Challenge. IEEE Transactions on Medical Imaging 40(12), 3543–3554, 2021, "
    "doi 10.1109/TMI.2021.3090082",
    licence="by the set's own terms of use, which we could not read: see www.ub.edu/mnms before any use",
    find=find,
    read=read,
)
