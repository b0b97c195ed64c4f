"""The cohort in ACDC's layout: names, keys, labels and geometry are ACDC's, and its masks hold the phantom's truth."""

import gzip
import re
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK

from cmr_lib import params
from cmr_lib.labels import Diagnosis
from cmr_lib.simulate import acdc, cohort
from cmr_lib.simulate.phantom import Phantom

ROOT = Path(__file__).resolve().parents[1]


def settings(folder="unused", **changes):
    values = params.read_yaml(ROOT / "params/smoke/simulate.yaml") | {"out_dir": "unused", "data_dir": str(folder)}
    return params.check("simulate", params.merge(values, {"workers": 1, "seed": 11, **changes}))


def image_of(data):
    return nib.Nifti1Image.from_bytes(gzip.decompress(data))


def stack_ml(image, label):
    """Disc summation, as a user of ACDC does it."""
    return float((np.asarray(image.dataobj) == label).sum() * np.prod(image.header.get_zooms()[:3]) / 1000)


@pytest.fixture(scope="module")
def five():
    """One patient of every group, without breath-hold shifts: (member, files, row of truth)."""
    steady = settings(scanner={"shift_mm": 0.0})
    return [(member, *acdc.make_member(steady, member)) for member in acdc.members(5, 0)]


def test_cohort_has_acdcs_sizes_numbers_and_groups():
    everybody = acdc.members(100, 50)
    assert [member.name for member in everybody] == [f"patient{number:03d}" for number in range(1, 151)]
    assert [member.folder for member in everybody] == ["training"] * 100 + ["testing"] * 50
    for folder, count in (("training", 20), ("testing", 10)):
        groups = Counter(member.group for member in everybody if member.folder == folder)
        assert groups == {"NOR": count, "MINF": count, "DCM": count, "HCM": count, "RV": count}
    assert acdc.members(0, 0) == []


def test_groups_are_the_diagnoses_that_acdc_has():
    assert acdc.DIAGNOSIS_OF == {
        "NOR": Diagnosis.NOR,
        "MINF": Diagnosis.ICM,
        "DCM": Diagnosis.DCM,
        "HCM": Diagnosis.HCM,
        "RV": Diagnosis.ARV,
    }
    for member in acdc.members(5, 0):
        assert acdc.latents_of_member(3, member).disease.diagnosis is acdc.DIAGNOSIS_OF[member.group]


def test_folder_of_a_patient_is_laid_out_as_acdcs(five):
    for member, files, row in five:
        place = f"database/training/{member.name}/"
        systole = f"{member.name}_frame{row['es_frame']:02d}"
        names = {"Info.cfg", f"{member.name}_4d.nii.gz", f"{member.name}_frame01.nii.gz", f"{systole}.nii.gz"}
        names |= {f"{member.name}_frame01_gt.nii.gz", f"{systole}_gt.nii.gz"}
        assert set(files) == {place + name for name in names}
        info = files[place + "Info.cfg"].decode()
        number = r"\d+\.\d"
        wanted = rf"ED: 1\nES: (\d+)\nGroup: {member.group}\nHeight: {number}\nNbFrame: (\d+)\nWeight: {number}\n"
        found = re.fullmatch(wanted, info)
        assert found, info
        assert (int(found[1]), int(found[2])) == (row["es_frame"], row["frames"])
        assert 12 <= row["frames"] <= 16


def test_images_have_millimetres_seconds_and_acdcs_types(five):
    for member, files, row in five:
        stem = f"database/training/{member.name}/{member.name}"
        moving, mask = image_of(files[f"{stem}_4d.nii.gz"]), image_of(files[f"{stem}_frame01_gt.nii.gz"])
        assert moving.get_data_dtype() == np.int16
        assert mask.get_data_dtype() == np.uint8
        assert moving.shape[3] == row["frames"]
        assert mask.shape == moving.shape[:3]
        assert moving.header.get_xyzt_units() == ("mm", "sec")
        zooms = moving.header.get_zooms()
        assert zooms[:3] == pytest.approx((row["spacing_mm"], row["spacing_mm"], row["pitch_mm"]), abs=1e-3)
        assert 1.4 <= zooms[0] <= 1.7
        assert 8 <= zooms[2] <= 10
        assert 0.5 < zooms[3] * row["frames"] < 1.4  # a heart beat
        assert b"synthetic phantom" in bytes(moving.header["descrip"])
        for frame in (1, row["es_frame"]):
            still = image_of(files[f"{stem}_frame{frame:02d}.nii.gz"])
            np.testing.assert_array_equal(still.dataobj, np.asarray(moving.dataobj)[..., frame - 1])
            np.testing.assert_allclose(still.affine, mask.affine)


def test_masks_lie_on_what_the_image_shows(five):
    """Blood is brighter than muscle, everything lies inside the frame, and the left cavity inside its muscle."""
    for member, files, _ in five:
        stem = f"database/training/{member.name}/{member.name}"
        image = np.asarray(image_of(files[f"{stem}_frame01.nii.gz"]).dataobj)
        mask = np.asarray(image_of(files[f"{stem}_frame01_gt.nii.gz"]).dataobj)
        assert set(np.unique(mask)) == {0, 1, 2, 3}
        level = {label: np.median(image[mask == label]) for label in (1, 2, 3)}
        assert min(level[1], level[3]) > 1.4 * level[2]
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()
        areas = (mask == acdc.LEFT).sum(axis=(0, 1))
        assert areas[-1] < 0.1 * areas.max(), "the last slice lies at the apex"
        cavity, beside = mask == 3, np.zeros(mask.shape, dtype=bool)
        for axis in (0, 1):
            for step in (-1, 1):
                beside |= np.roll(cavity, step, axis=axis)
        assert (mask[beside & ~cavity] == 2).mean() > 0.9


def test_disc_summation_of_the_masks_gives_the_true_function(five):
    """Papillary muscles count as cavity here and as wall in the truth, which takes about two points off the LVEF."""
    errors = []
    for member, files, row in five:
        stem = f"database/training/{member.name}/{member.name}_frame"
        first, second = (image_of(files[f"{stem}{frame:02d}_gt.nii.gz"]) for frame in (1, row["es_frame"]))
        full, empty = stack_ml(first, acdc.LEFT), stack_ml(second, acdc.LEFT)
        errors.append(100 * (1 - empty / full) - row["lvef"])
        assert full == pytest.approx(row["lvedv_ml"], rel=0.1)
        assert stack_ml(first, acdc.RIGHT) == pytest.approx(row["rvedv_ml"], rel=0.1)
        assert 1.05 * stack_ml(first, acdc.MUSCLE) == pytest.approx(row["lv_mass_g"], rel=0.15)
    assert max(abs(error) for error in errors) < 7  # a slice more or less at the base is worth some points
    assert -4 < np.mean(errors) < 0


def test_affine_puts_every_voxel_where_the_scanner_saw_it(five, tmp_path):
    member, files, row = five[0]
    steady = settings(scanner={"shift_mm": 0.0})
    shots = acdc.plan_stack(steady, Phantom(acdc.latents_of_member(steady.seed, member)))
    data = files[f"database/training/{member.name}/{member.name}_frame{row['es_frame']:02d}_gt.nii.gz"]
    affine = image_of(data).affine
    (tmp_path / "gt.nii.gz").write_bytes(data)
    other = SimpleITK.ReadImage(str(tmp_path / "gt.nii.gz"))
    for slot, col, row_ in ((0, 0, 0), (len(shots) - 1, 5, 100), (3, 60, 17)):
        plane = shots[slot].plane
        wanted = plane.origin_mm + plane.spacing_mm * (col * plane.row_dir + row_ * plane.col_dir)
        np.testing.assert_allclose(affine @ [col, row_, slot, 1], [-wanted[0], -wanted[1], wanted[2], 1], atol=1e-3)
        np.testing.assert_allclose(other.TransformIndexToPhysicalPoint((col, row_, slot)), wanted, atol=1e-3)  # LPS


def test_masks_move_with_the_breath_hold():
    member = acdc.members(5, 0)[3]
    still, moving = (settings(scanner={"shift_mm": shift}) for shift in (0.0, 6.0))
    phantom = Phantom(acdc.latents_of_member(still.seed, member))
    masks = [acdc.masks_of(phantom, acdc.plan_stack(one, phantom), 0.0) == acdc.LEFT for one in (still, moving)]
    assert masks[0].shape == masks[1].shape
    assert (masks[0] != masks[1]).sum() > 0.05 * masks[0].sum()


def test_bytes_are_a_function_of_seed_and_number(five):
    member, files, row = five[4]
    again = acdc.make_member(settings(scanner={"shift_mm": 0.0}), member)
    assert again == (files, row)
    other = acdc.make_member(settings(seed=12, scanner={"shift_mm": 0.0}), member)
    assert set(other[0].values()).isdisjoint(files.values())


def test_cohort_on_disk_says_what_it_is_and_holds_everybody(tmp_path):
    some = {"second_studies": 0, "acdc_training": 2, "acdc_testing": 1}
    cohort.write_hospital(settings(tmp_path, hospital={"n_patients": 1}, external=some), progress=False)
    truth = pd.read_csv(tmp_path / "acdc/truth.csv")
    assert tuple(truth.columns) == acdc.TRUTH_COLUMNS
    assert set(truth.note) == {acdc.NOTE}
    folders = {path.parent for path in (tmp_path / "acdc/database").rglob("*.cfg")}
    assert {f"{path.parent.name}/{path.name}" for path in folders} == set(truth.folder + "/" + truth.patient)
    assert "10.1109/TMI.2018.2837502" in (tmp_path / "acdc/README.md").read_text()
    assert pd.read_csv(tmp_path / "second/truth.csv").empty
    assert not (tmp_path / ".partial").exists()
