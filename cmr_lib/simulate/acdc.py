"""A labelled cohort in the exact layout of ACDC, so that the real one can be put in its place.

ACDC (Bernard et al. 2018, doi 10.1109/TMI.2018.2837502): short-axis cine stacks of five groups of patients, with the
ventricles drawn at end-diastole and at end-systole. This one is a synthetic phantom; its images are smaller (120 pixels
a side and 12–16 frames instead of about 216 × 256 and 30), its order of patients, names, orientation and labels are
ACDC's. The masks are the phantom's own tissue on the imaged planes, moved as the breath-hold moved the slice.
"""

import gzip
from dataclasses import dataclass, replace
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float, Int16, UInt8

from cmr_lib import project
from cmr_lib.labels import DIAGNOSES
from cmr_lib.params import Simulate
from cmr_lib.simulate.anatomy import TISSUES, HeartShape
from cmr_lib.simulate.identity import ACDC_COHORT
from cmr_lib.simulate.latents import Latents, latents_of
from cmr_lib.simulate.phantom import Phantom
from cmr_lib.simulate.plane import Plane
from cmr_lib.simulate.protocol import Exam, Shot, draw_exam, sax_plane
from cmr_lib.simulate.scanner import heart_phase, image_shot, stored_values
from cmr_lib.simulate.vendors import vendor_of
from cmr_lib.types import Sequence, View

Volumes = Int16[np.ndarray, "cols rows slices frames"]
Mask = UInt8[np.ndarray, "cols rows slices"]

GROUPS = ("DCM", "HCM", "MINF", "NOR", "RV")  # in the order of ACDC's training folder: 001–020, 021–040, …
DIAGNOSIS_OF = {row.acdc: code for code, row in DIAGNOSES.items() if row.acdc}
MOST = 999  # patients: the folders have three digits
# ACDC's values. Its readers count papillary muscles, and what else lies in the cavity, as cavity; the truth tables
# count papillary muscles as wall, which puts the LVEF of these masks a few points below.
RIGHT, MUSCLE, LEFT = 1, 2, 3
LABEL_OF = np.zeros(len(TISSUES), dtype=np.uint8)
LABEL_OF[TISSUES.RV_BLOOD] = RIGHT
LABEL_OF[[TISSUES.LV_WALL, TISSUES.SCAR]] = MUSCLE
LABEL_OF[[TISSUES.LV_BLOOD, TISSUES.PAPILLARY, TISSUES.THROMBUS]] = LEFT
MATRIX_PX, PITCHES_MM, FRAMES = 120, (8.0, 9.0, 10.0), (12, 16)
SPACING_MM = (1.4, 1.7)  # ACDC: 1.37–1.68
TOWARDS_RIGHT_MM = 20.0  # from the centre of a clinical slice to the middle of both ventricles: no mask is cut off
TO_RAS = np.diag([-1.0, -1.0, 1.0])  # DICOM's axes point left and back, NIfTI's right and front
NOTE = "synthetic phantom, no patient"
TRUTH_COLUMNS = (
    *("patient", "folder", "group", "diagnosis", "sex", "age", "bsa_m2", "lvef", "lvedv_ml", "lvesv_ml", "lv_mass_g"),
    *("rvef", "rvedv_ml", "wall_mm", "lvedvi", "rvedvi", "field_strength_t", "snr", "spacing_mm", "pitch_mm", "frames"),
    *("ed_frame", "es_frame", "note"),
)
README = """# A synthetic phantom in the layout of ACDC

Nobody's heart: every image and every mask below `database/` is a synthetic phantom. Layout, names and labels (1 right
ventricle, 2 muscle of the left, 3 left cavity with its papillary muscles) are those of the *Automated Cardiac Diagnosis
Challenge*, so that the real `database/` can be put in the place of this one. Images are smaller than ACDC's (120 × 120
pixels, 12–16 frames), slices lie 8–10 mm apart without gaps in the count, and group limits overlap more than ACDC's.
`truth.csv` holds what each phantom was built to show, with papillary muscles counted as wall.

Whoever uses the real data must cite: O. Bernard, A. Lalande, C. Zotti, F. Cervenansky, et al. Deep learning techniques
for automatic MRI cardiac multi-structures segmentation and diagnosis: is the problem solved? IEEE Transactions on
Medical Imaging 37(11), 2514–2525, 2018, doi 10.1109/TMI.2018.2837502. They are shared under CC BY-NC-SA 4.0.
"""


@dataclass(frozen=True)
class Member:
    """A patient of the cohort: number from 1, `training` or `testing`, group as ACDC writes it."""

    number: int
    folder: str
    group: str

    @property
    def name(self) -> str:
        """Folder and prefix of its files."""
        return f"patient{self.number:03d}"


def members(training: int, testing: int) -> list[Member]:
    """Everybody in order: training in blocks of a group, testing mixed; groups as equal as the counts allow."""
    first = [Member(1 + place, "training", GROUPS[len(GROUPS) * place // training]) for place in range(training)]
    rest = [Member(1 + training + place, "testing", GROUPS[place % len(GROUPS)]) for place in range(testing)]
    return first + rest


def latents_of_member(seed: int, member: Member) -> Latents:
    """The latents of a member: a function of (seed, number, group) alone."""
    patient = ACDC_COHORT + member.number
    diagnosis = DIAGNOSIS_OF[member.group]
    return latents_of(seed, patient, 1, diagnosis, project.rng(seed, "patient", patient))


def heights_of(shape: HeartShape, pitch_mm: float, start: float) -> list[float]:
    """Heights of slices a pitch apart from the valve plane to past the apex; the first lies `start` pitches below."""
    count = int(np.ceil(shape.apex / pitch_mm - start + 0.5))
    return [pitch_mm * (start + index) for index in range(count)]


def plan_stack(settings: Simulate, phantom: Phantom) -> list[Shot]:
    """The short-axis stack of a member, base first: every slice in a breath-hold of its own."""
    latents, shape = phantom.latents, phantom.shape
    random = project.rng(settings.seed, "acdc", latents.patient)
    pitch = float(random.choice(PITCHES_MM))
    spacing = round(float(random.uniform(*SPACING_MM)), 3)
    frames = int(random.integers(FRAMES[0], FRAMES[1] + 1))
    aim = TOWARDS_RIGHT_MM * shape.pose.axes[0] + random.uniform(-3, 3, 3)
    phases = tuple(index / frames for index in range(frames))
    shots = []
    for number, height in enumerate(heights_of(shape, pitch, float(random.uniform(0.3, 0.7)))):
        plane = sax_plane(shape, height, spacing, MATRIX_PX, min(pitch, settings.image.thickness_mm)).shifted(0.0, aim)
        breath = settings.scanner.shift_mm * random.normal(0, 1) * np.array([0.15, 0.35, 0.92])
        shots.append(Shot(View.SAX, Sequence.CINE, number, plane, phases, breath, 60000 / latents.heart_rate))
    return shots


def times_of(phantom: Phantom, shots: list[Shot]) -> list[float]:
    """The heart's phase in every frame of a stack at the study's own heart rate."""
    return [heart_phase(phase, 1.0, phantom.systole) for phase in shots[0].phases]


def end_systolic_frame(phantom: Phantom, times: list[float]) -> int:
    """Which frame (from 0) shows the emptiest left ventricle."""
    return int(np.argmax([phantom.frame(time).emptied for time in times]))


def masks_of(phantom: Phantom, shots: list[Shot], time: float) -> Mask:
    """ACDC's labels of a whole stack at a phase of the heart."""
    slices = [LABEL_OF[phantom.labels(shot.plane, time, shot.offset_mm)].T for shot in shots]
    return np.stack(slices, axis=2)


def volumes_of(settings: Simulate, phantom: Phantom, shots: list[Shot], exam: Exam) -> Volumes:
    """The imaged stack as stored integers."""
    latents, slices = phantom.latents, []
    for index, shot in enumerate(shots):
        random = project.rng(settings.seed, "noise", latents.patient, latents.study, index)
        stored = stored_values(image_shot(phantom, shot, exam, random), exam, Sequence.CINE)
        slices.append(stored.astype(np.int16).transpose(2, 1, 0))
    return np.stack(slices, axis=2)


def affine_of(planes: list[Plane]) -> Float[np.ndarray, "4 4"]:
    """From (column, row, slice) to millimetres right, front and up (RAS+), as NIfTI wants it."""
    first = planes[0]
    affine = np.eye(4)
    affine[:3, 0] = TO_RAS @ first.row_dir * first.spacing_mm
    affine[:3, 1] = TO_RAS @ first.col_dir * first.spacing_mm
    affine[:3, 2] = TO_RAS @ (planes[1].origin_mm - first.origin_mm)
    affine[:3, 3] = TO_RAS @ first.origin_mm
    return affine


def nifti(data: np.ndarray, affine: Float[np.ndarray, "4 4"], frame_s: float | None = None) -> bytes:
    """A .nii.gz whose bytes depend on its content only; `frame_s` is the time between frames of a 4-D image."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    if frame_s is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], frame_s))
    image.header["descrip"] = NOTE.encode()
    return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def info_of(member: Member, latents: Latents, frames: int, systole: int) -> str:
    """The text of Info.cfg: frames count from 1, height in cm, weight in kg."""
    values = {
        "ED": 1,
        "ES": systole + 1,
        "Group": member.group,
        "Height": f"{latents.person.height_cm:.1f}",
        "NbFrame": frames,
        "Weight": f"{latents.person.weight_kg:.1f}",
    }
    return "".join(f"{key}: {value}\n" for key, value in values.items())


def truth_of(member: Member, phantom: Phantom, exam: Exam, shots: list[Shot], systole: int) -> dict[str, Any]:
    """The member's row of truth.csv."""
    person, plane = phantom.latents.person, shots[0].plane
    row = phantom.truth | {
        "patient": member.name,
        "folder": member.folder,
        "group": member.group,
        "diagnosis": phantom.latents.disease.diagnosis.value,
        "sex": person.sex,
        "age": person.age,
        "bsa_m2": person.bsa_m2,
        "field_strength_t": exam.field_t,
        "snr": exam.snr,
        "spacing_mm": plane.spacing_mm,
        "pitch_mm": round(float(np.linalg.norm(shots[1].plane.origin_mm - plane.origin_mm)), 3),
        "frames": len(shots[0].phases),
        "ed_frame": 1,
        "es_frame": systole + 1,
        "note": NOTE,
    }
    return {name: row[name] for name in TRUTH_COLUMNS}


def make_member(settings: Simulate, member: Member) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of one member, by path below the cohort's folder, and its row of the truth table."""
    phantom = Phantom(latents_of_member(settings.seed, member))
    exam = replace(draw_exam(settings, phantom.latents), vendor=vendor_of("SIEMENS"))  # the maker of ACDC's scanners
    shots = plan_stack(settings, phantom)
    times = times_of(phantom, shots)
    systole = end_systolic_frame(phantom, times)
    images, affine = volumes_of(settings, phantom, shots, exam), affine_of([shot.plane for shot in shots])
    files = {
        "Info.cfg": info_of(member, phantom.latents, len(times), systole).encode(),
        f"{member.name}_4d.nii.gz": nifti(images, affine, shots[0].rr_ms / 1000 / len(times)),
    }
    for frame in (0, systole):
        stem = f"{member.name}_frame{frame + 1:02d}"
        files[f"{stem}.nii.gz"] = nifti(np.ascontiguousarray(images[..., frame]), affine)
        files[f"{stem}_gt.nii.gz"] = nifti(masks_of(phantom, shots, times[frame]), affine)
    place = f"database/{member.folder}/{member.name}"
    return {f"{place}/{name}": data for name, data in files.items()}, truth_of(member, phantom, exam, shots, systole)
