"""Public sets for tests, layout-true and tiny: the beating ellipsoids of dicom_maker as M&Ms and as Sunnybrook."""

import gzip

import dicom_maker as maker
import nibabel as nib
import numpy as np

GAP, SPACING, SIZE, SLICES, PHASES = 12.0, 4.0, 40, 6, 6
LEVELS = {200: 1, 70: 2, 190: 3}  # grey value of dicom_maker.heart → M&Ms' label
CSV_NAME = "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv"
CSV_HEAD = ",External code,VendorName,Vendor,Centre,ED,ES,Age,Pathology,Sex,Height,Weight"


def offsets(slices=SLICES):
    return (np.arange(slices) - (slices - 1) / 2) * GAP


def volume():
    """Grey values (cols, rows, slices, frames) and the affine (RAS) of a short-axis cine."""
    planes = [maker.plane(offset, size=SIZE, spacing=SPACING) for offset in offsets()]
    frames = [[maker.image(where, p / PHASES).T for where in planes] for p in range(PHASES)]
    data = np.stack([np.stack(one, axis=2) for one in frames], axis=3).astype(np.int16)
    first = planes[0]
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = first["row"] * SPACING, first["col"] * SPACING
    affine[:3, 2], affine[:3, 3] = planes[1]["origin"] - first["origin"], first["origin"]
    affine[:2] *= -1  # LPS to RAS
    return data, affine


def mask_of(data):
    return sum(np.uint8(label) * (data == level) for level, label in LEVELS.items()).astype(np.uint8)


def write_nifti(path, data, affine, frame_s=0.13):
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    if data.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], frame_s))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
    return path


def write_mnms(root, people=(("A0S9V9", "Training/Labeled", "HCM", "A"),), ed=0, es=2):
    """OpenDataset with these (code, folder, pathology, vendor letter); returns its folder."""
    base, rows = root / "OpenDataset", [CSV_HEAD]
    data, affine = volume()
    for number, (code, folder, pathology, letter) in enumerate(people):
        drawn = np.zeros_like(data, dtype=np.uint8)
        if "Unlabeled" not in folder:
            for frame in (ed, es):
                drawn[..., frame] = mask_of(data[..., frame])
        write_nifti(base / folder / code / f"{code}_sa.nii.gz", data, affine)
        write_nifti(base / folder / code / f"{code}_sa_gt.nii.gz", drawn, affine)
        rows.append(f"{number},{code},Maker,{letter},1,{ed},{es},54,{pathology},F,164.0,70.0")
    (base / CSV_NAME).write_text("\n".join(rows) + "\n")
    return base


def lv_radius_mm(offset, phase, inner=True):
    """Radius of the left cavity (or outer wall) of dicom_maker.heart on a short-axis plane; 0 beyond its end."""
    squeeze = np.sin(np.pi * min(phase / 0.7, 1.0)) ** 2
    radius, length = (26.0 - 9.0 * squeeze, 55) if inner else (36.0 - 3.0 * squeeze, 65)
    return radius * np.sqrt(max(0.0, 1 - (offset / length) ** 2))


def circle(radius_mm, size=SIZE, spacing=SPACING, points=200):
    """A contour file's text: a circle about the middle of the image."""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    middle, radius = (size - 1) / 2, radius_mm / spacing
    return "".join(f"{middle + radius * np.cos(a):.4f} {middle + radius * np.sin(a):.4f}\n" for a in angles)


def write_sunnybrook(root, drawn_frames=(0, 2), numbers=(101,), group="HF-NI", original="SC-HF-NI-07"):
    """SCD folders with one patient a number: a GE-like stack in one series, contours on two frames."""
    for number in numbers:
        name = f"SCD{number:07d}"
        series = root / "SCD_IMAGES_01" / name / "CINESAX_301"
        series.mkdir(parents=True)
        for index, offset in enumerate(offsets()):
            where = maker.plane(offset, size=SIZE, spacing=SPACING)
            changes = {"PatientID": name, "Manufacturer": "GE MEDICAL SYSTEMS", "AccessionNumber": ""}
            for ds in maker.cine(where, PHASES, series="1.2.3.4.7", first=1 + index * PHASES, **changes):
                (series / f"IM-0004-{int(ds.InstanceNumber):04d}.dcm").write_bytes(maker.encode(ds))
    contours = root / "SCD_ManualContours" / f"SC-{group}-07" / "contours-manual" / "IRCCI-expert"
    contours.mkdir(parents=True)
    for index, offset in enumerate(offsets()):
        for frame in drawn_frames:
            for kind, inner in (("i", True), ("o", False)):
                text = circle(lv_radius_mm(offset, frame / PHASES, inner))
                name = f"IM-0001-{index * PHASES + frame + 1:04d}-{kind}contour-manual.txt"
                (contours / name).write_text(text)
    rows = [f"SCD{number:07d},{original},Female,61,Heart failure" for number in numbers]
    (root / "scd_patientdata.csv").write_text("PatientID,OriginalID,Gender,Age,Pathology\n" + "\n".join(rows) + "\n")
    return root
