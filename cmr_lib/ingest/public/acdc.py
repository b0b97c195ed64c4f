"""ACDC: 150 short-axis cines from Dijon in five groups, with both ventricles drawn at end-diastole and end-systole.

database/{training,testing}/patientNNN/
    Info.cfg                        ED, ES (frames, counted from 1), Group, Height (cm), NbFrame, Weight (kg)
    patientNNN_4d.nii.gz            the cine
    patientNNN_frameEE_gt.nii.gz    drawings at ED and ES: 1 right cavity, 2 muscle, 3 left cavity
    patientNNN_frameEE.nii.gz       frame EE of the cine again (not needed)

Layout, keys of Info.cfg and labels agree with public loaders (github.com/mathpluscode/CineMA at 74aa033,
cinema/data/acdc/README.md), the licence with a redistribution's card (huggingface.co/datasets/YongchengYAO/ACDC).
MANDATORY_CITATION.md beside the files is not needed here. Affines of this set may hold a bare table position:
`nifti.short_axis` says what happens then.
"""

import re
from pathlib import Path

from cmr_lib.ingest.files import LIMITS, Limits
from cmr_lib.ingest.public import measure, nifti
from cmr_lib.ingest.public.record import Case, Content, Labels, PublicSet, folders_below, read_named
from cmr_lib.ingest.rejects import Refused
from cmr_lib.labels import DIAGNOSES
from cmr_lib.types import Split

SPLITS = {"training": Split.TRAIN, "testing": Split.TEST}  # official: patients 001-100 and 101-150
CODES = measure.Codes(right=1, muscle=2, left=3)
DIAGNOSIS = {row.acdc: code.value for code, row in DIAGNOSES.items() if row.acdc}
KEYS = ("ED", "ES", "Group", "NbFrame")


def find(root: Path) -> list[Case]:
    """Patients below `root`, which is `database`, its parent, or one of its two folders; sorted by number."""
    folders = [path for path in folders_below(root, 4) if re.fullmatch(r"patient\d{3}", path.name)]
    cases = [Case("acdc", path.name, path, SPLITS.get(path.parent.name)) for path in folders]
    return sorted(cases, key=lambda case: case.name)


def info_of(text: str) -> dict[str, str]:
    """The pairs of an Info.cfg. Raises Refused E_LAYOUT, naming a key that is missing or has no sense."""
    pairs = (line.partition(":") for line in text.splitlines())
    info = {key.strip(): value.strip() for key, _, value in pairs if value.strip()}
    for key in KEYS:
        if key not in info or (key != "Group" and not info[key].isdecimal()):
            raise Refused("E_LAYOUT", f"Info.cfg {key}")
    if info["Group"] not in DIAGNOSIS:
        raise Refused("E_LAYOUT", "Info.cfg Group")
    if not all(1 <= int(info[key]) <= int(info["NbFrame"]) for key in ("ED", "ES")):
        raise Refused("E_LAYOUT", "Info.cfg ED/ES")
    return info


def _size(info: dict[str, str], key: str) -> float:
    try:
        return float(info.get(key, "nan"))
    except ValueError:
        return float("nan")


def read(case: Case, _key: bytes, limits: Limits = LIMITS) -> Content:
    """The cine and what the drawings measure. Raises Refused, naming the part of the layout that is missing."""
    info = info_of(read_named(case.folder, "Info.cfg", "Info.cfg", limits).decode("latin-1"))
    names = [f"{case.name}_4d.nii.gz", *(f"{case.name}_frame{int(info[key]):02d}_gt.nii.gz" for key in ("ED", "ES"))]
    tags = ("4d.nii.gz", "frame ED gt.nii.gz", "frame ES gt.nii.gz")
    moving, *drawn = (
        nifti.load(read_named(case.folder, name, tag, limits), tag) for name, tag in zip(names, tags, strict=True)
    )
    full, empty = (nifti.values(image, 3, tag) for image, tag in zip(drawn, tags[1:], strict=True))
    if not full.shape == empty.shape == moving.shape[:3]:
        raise Refused("E_LAYOUT", "gt of another shape than 4d")
    found: Labels = {"diagnosis": DIAGNOSIS[info["Group"]]}
    found |= measure.from_masks(full, empty, CODES, nifti.voxel_ml(drawn[0]))
    found |= measure.indexed(found, _size(info, "Height"), _size(info, "Weight"))
    count = moving.shape[3]
    phases = {f"{key.lower()}_phase": (int(info[key]) - 1) / count for key in ("ED", "ES")}
    stack = nifti.short_axis(moving, full, "siemens", tags[0])
    facts = {"vendor": "siemens", "field_strength_t": float("nan"), "synthetic": int(nifti.is_phantom(moving))}
    return Content([stack], found | measure.findings(found) | phases, facts, frozenset(["Info.cfg", *names]))


ACDC = PublicSet(
    title="ACDC, Automated Cardiac Diagnosis Challenge",
    layout="database/{training,testing}/patientNNN/{Info.cfg, patientNNN_4d.nii.gz, patientNNN_frameEE_gt.nii.gz}",
    citation="O. Bernard, A. Lalande, C. Zotti, F. Cervenansky, et al. Deep learning techniques for automatic MRI "
    "cardiac multi-structures segmentation and diagnosis: is the problem solved? IEEE Transactions on Medical Imaging "
    "37(11), 2514–2525, 2018, doi 10.1109/TMI.2018.2837502",
    licence="CC BY-NC-SA 4.0: not for commercial use, share alike",
    find=find,
    read=read,
)
