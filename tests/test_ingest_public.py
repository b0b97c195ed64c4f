"""Public sets: layouts as they come, labels and measures as independent readers find them, faults in a sentence."""

import gzip
import shutil
import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import public_maker as public
import pytest
import SimpleITK

from cmr_lib import params, project
from cmr_lib.ingest import heart
from cmr_lib.ingest.public import acdc, catalogue, measure, mnms, nifti, sunnybrook
from cmr_lib.ingest.rejects import CODES, Refused
from cmr_lib.simulate import acdc as simulated
from cmr_lib.types import Split, View

ROOT = Path(__file__).resolve().parents[1]
KEY = b"a key for tests, 32 bytes or more"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Five training patients and one for testing, one of each group, written by the simulator; and their truth."""
    root = tmp_path_factory.mktemp("acdc")
    values = params.read_yaml(ROOT / "params/smoke/simulate.yaml") | {"out_dir": "unused", "data_dir": "unused"}
    settings = params.check("simulate", params.merge(values, {"workers": 1, "seed": 11}))
    rows = []
    for member in simulated.members(5, 1):
        files, row = simulated.make_member(settings, member)
        for name, data in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        rows.append(row)
    return root, pd.DataFrame(rows).set_index("patient")


@pytest.fixture
def one(database, tmp_path):
    """A copy of the first patient, to break."""
    target = tmp_path / "database" / "training" / "patient001"
    shutil.copytree(database[0] / "database" / "training" / "patient001", target)
    return target


def read_all(source, root):
    return {case.name: catalogue.read_case(case, KEY) for case in catalogue.find_cases(source, root)}


def naive_ml(path, label):
    """Volume of a label, one voxel after the other."""
    image = nib.load(path)
    voxels = np.asarray(image.dataobj)
    count = sum(1 for value in voxels.ravel().tolist() if value == label)
    return count * abs(np.linalg.det(image.affine[:3, :3])) / 1000


# --- ACDC -------------------------------------------------------------------------------------------------------
def test_acdc_patients_are_found_from_any_of_its_folders_with_their_official_split(database):
    root, _ = database
    for start in (root, root / "database"):
        cases = catalogue.find_cases("acdc", start)
        assert [case.name for case in cases] == [f"patient{n:03d}" for n in range(1, 7)]
        assert [case.split for case in cases] == [Split.TRAIN] * 5 + [Split.TEST]
    assert len(catalogue.find_cases("acdc", root / "database" / "testing")) == 1


def test_acdc_groups_become_this_projects_diagnoses(database):
    root, truth = database
    found = {name: study.labels["diagnosis"] for name, study in read_all("acdc", root).items()}
    assert found == truth.diagnosis.to_dict()
    assert set(found.values()) == {"NOR", "DCM", "HCM", "ICM", "ARV"}


def test_acdc_measures_are_those_of_counting_voxels(database):
    root, truth = database
    for name, study in read_all("acdc", root).items():
        folder = root / "database" / truth.folder[name] / name
        frames = [folder / f"{name}_frame{int(truth[key][name]):02d}_gt.nii.gz" for key in ("ed_frame", "es_frame")]
        (full, empty), (right, squeezed) = ([naive_ml(path, label) for path in frames] for label in (3, 1))
        assert study.labels["lvedv_ml"] == pytest.approx(full, rel=1e-4)
        assert study.labels["lvef"] == pytest.approx(100 * (1 - empty / full), abs=0.01)
        assert study.labels["rvedv_ml"] == pytest.approx(right, rel=1e-4)
        assert study.labels["rvef"] == pytest.approx(100 * (1 - squeezed / right), abs=0.01)
        assert study.labels["lv_mass_g"] == pytest.approx(1.05 * naive_ml(frames[0], 2), rel=1e-4)
        assert study.labels["lvef"] == pytest.approx(truth.lvef[name], abs=7)  # papillary muscles count otherwise
        assert study.labels["lvedvi"] == pytest.approx(truth.lvedvi[name], rel=0.12)
        assert study.labels["ed_phase"] == 0
        assert study.labels["es_phase"] == (truth.es_frame[name] - 1) / truth.frames[name]  # frames count from 1
        assert study.labels["lv_dysfunction"] == int(study.labels["lvef"] < 55)


def test_every_voxel_of_a_nifti_lies_where_simpleitk_puts_it(database):
    root, _ = database
    for name, study in list(read_all("acdc", root).items())[:2]:
        path = next((root / "database").rglob(f"{name}_frame01.nii.gz"))
        still, stack = SimpleITK.ReadImage(str(path)), study.stacks[0]
        voxels = SimpleITK.GetArrayFromImage(still)  # slice, row, column
        for slice_number, row, col in ((0, 0, 0), (1, 7, 30), (len(stack.pixels) - 1, 100, 60)):
            point = heart.to_patient(
                stack, slice_number, float(row), float(col)
            )  # SimpleITK's world is LPS, as DICOM's
            col_, row_, slice_ = (
                round(value) for value in still.TransformPhysicalPointToContinuousIndex(point.tolist())
            )
            assert (row_, col_) == (row, col)
            assert stack.pixels[slice_number, 0, row, col] == voxels[slice_, row_, col_]


def test_slices_of_a_nifti_run_from_base_to_apex_and_the_beat_has_its_length(database):
    root, truth = database
    for name, study in read_all("acdc", root).items():
        stack = study.stacks[0]
        assert stack.view == View.SAX
        assert (np.diff(stack.origins_mm @ heart.towards_apex(stack.normal)) > 0).all()
        assert stack.trigger_ms.shape == stack.pixels.shape[:2]
        assert 500 < stack.trigger_ms[0, 1] * truth.frames[name] < 1400


def test_files_of_a_case_are_all_accounted_for(database):
    for study in read_all("acdc", database[0]).values():
        assert study.counts == {"found": 6, "accepted": 4, "rejected": 0, "ignored": 2}  # two frames again
        assert [row.code for row in study.rejects] == ["N_NOT_NEEDED"] * 2
        assert study.study_key == project.keyed_name(KEY, "study", study.accession)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("mirrored", [1, -1])
def test_where_the_affine_is_a_bare_table_position_the_drawings_tell_base_from_apex(flipped, mirrored):
    data, _ = public.volume()
    ventricles = public.mask_of(data[..., 0]).copy()
    ventricles[..., 4:] = 0  # near the apex nothing is drawn
    order = slice(None, None, -1 if flipped else 1)
    affine = np.diag([-4.0, -4.0, 12.0 * mirrored, 1.0])
    image = nib.Nifti1Image(data[:, :, order], affine)
    stack = nifti.short_axis(image, ventricles[:, :, order], "siemens", "x")
    np.testing.assert_array_equal(stack.pixels[0, 0], data[:, :, 0, 0].T)
    np.testing.assert_array_equal(stack.pixels[-1, 0], data[:, :, -1, 0].T)
    assert (np.diff(stack.origins_mm @ heart.towards_apex(stack.normal)) > 0).all()


# --- M&Ms -------------------------------------------------------------------------------------------------------
PEOPLE = (
    ("A0S9V9", "Training/Labeled", "HCM", "A"),
    ("B1T0W0", "Training/Unlabeled", "DCM", "C"),
    ("C2U1X1", "Validation", "IHD", "B"),
    ("D3V2Y2", "Testing", "HHD", "D"),
)


@pytest.fixture(scope="module")
def open_dataset(tmp_path_factory):
    return public.write_mnms(tmp_path_factory.mktemp("mnms"), PEOPLE)


def test_mnms_patients_have_their_official_split_maker_and_diagnosis(open_dataset):
    for start in (open_dataset, open_dataset.parent):
        studies = read_all("mnms", start)
        assert [study.split for study in studies.values()] == ["train", "train", "validation", "test"]
        assert [study.facts["vendor"] for study in studies.values()] == ["siemens", "ge", "philips", "canon"]
        diagnoses = [study.labels["diagnosis"] for study in studies.values()]
        assert diagnoses == ["HCM", "DCM", "ICM", ""]  # hypertensive heart disease has no code here
        assert {(study.labels["sex"], study.labels["age_years"]) for study in studies.values()} == {("F", 54.0)}


def test_mnms_labels_and_frames_are_its_own_not_acdcs(open_dataset):
    """Labels 1 left cavity, 3 right; frames count from 0."""
    study = read_all("mnms", open_dataset)["A0S9V9"]
    data, _ = public.volume()
    voxel_ml = public.SPACING**2 * public.GAP / 1000
    left, right = ((data == level).sum(axis=(0, 1, 2)) * voxel_ml for level in (200, 190))
    assert study.labels["lvedv_ml"] == pytest.approx(left[0], rel=1e-5)
    assert study.labels["lvef"] == pytest.approx(100 * (1 - left[2] / left[0]), abs=1e-3)
    assert study.labels["rvedv_ml"] == pytest.approx(right[0], rel=1e-5)
    assert study.labels["es_phase"] == 2 / 6
    assert study.labels["lvedvi"] == pytest.approx(left[0] / np.sqrt(164 * 70 / 3600), rel=1e-5)
    assert study.labels["lv_dilation"] == int(study.labels["lvedvi"] >= 92)  # her sex is known


def test_mnms_case_without_drawings_has_no_measures_and_its_dummy_is_ignored(open_dataset):
    study = read_all("mnms", open_dataset)["B1T0W0"]
    assert "lvef" not in study.labels
    assert study.counts == {"found": 2, "accepted": 1, "rejected": 0, "ignored": 1}
    assert len(study.stacks) == 1


def test_mnms_case_that_the_table_does_not_know_is_refused(open_dataset, tmp_path):
    copy = shutil.copytree(open_dataset, tmp_path / "OpenDataset")
    table = copy / public.CSV_NAME
    table.write_text("\n".join(line for line in table.read_text().splitlines() if "A0S9V9" not in line))
    (row,) = read_all("mnms", copy)["A0S9V9"].rejects
    assert (row.code, row.tag, row.level) == ("E_LAYOUT", "csv row", "study")


# --- Sunnybrook -------------------------------------------------------------------------------------------------
def test_sunnybrook_volumes_are_those_of_the_circles_that_were_drawn(tmp_path):
    (study,) = read_all("sunnybrook", public.write_sunnybrook(tmp_path)).values()
    discs = {
        (frame, inner): sum(
            np.pi * public.lv_radius_mm(offset, frame / public.PHASES, inner) ** 2 * public.GAP / 1000
            for offset in public.offsets()
        )
        for frame in (0, 2)
        for inner in (True, False)
    }
    assert study.labels["lvedv_ml"] == pytest.approx(discs[0, True], rel=2e-3)
    assert study.labels["lvesv_ml"] == pytest.approx(discs[2, True], rel=2e-3)
    assert study.labels["lvef"] == pytest.approx(100 * (1 - discs[2, True] / discs[0, True]), abs=0.1)
    assert study.labels["lv_mass_g"] == pytest.approx(1.05 * (discs[0, False] - discs[0, True]), rel=5e-3)
    assert (study.labels["ed_phase"], study.labels["es_phase"]) == (0, 2 / 6)


def test_sunnybrook_end_diastole_is_the_fuller_drawn_frame_not_the_first(tmp_path):
    (study,) = read_all("sunnybrook", public.write_sunnybrook(tmp_path, drawn_frames=(2, 5))).values()
    assert (study.labels["ed_phase"], study.labels["es_phase"]) == (5 / 6, 2 / 6)
    assert study.labels["lvef"] > 20


def test_sunnybrook_diagnosis_comes_from_the_original_name_and_contours_however_it_is_written(tmp_path):
    root = public.write_sunnybrook(tmp_path, original="SC-HF-NI-7")  # the folder says SC-HF-NI-07
    (study,) = read_all("sunnybrook", root).values()
    assert study.labels["diagnosis"] == "DCM"
    assert study.labels["sex"] == "F"
    assert study.counts == {"found": 36 + 24, "accepted": 36 + 24, "rejected": 0, "ignored": 0}


def test_sunnybrook_patient_without_contours_keeps_images_and_diagnosis(tmp_path):
    root = public.write_sunnybrook(tmp_path)
    shutil.rmtree(root / "SCD_ManualContours")
    (study,) = read_all("sunnybrook", root).values()
    assert study.labels["diagnosis"] == "DCM"
    assert "lvef" not in study.labels
    assert study.stacks


@pytest.mark.parametrize(
    ("text", "fault"),
    [("1 2\n3 4\n", "contour"), ("a b\n" * 9, "contour"), ("1 2 3\n" * 9, "contour"), ("nan 1\n" * 9, "contour")],
)
def test_sunnybrook_contour_without_sense_is_refused(tmp_path, text, fault):
    root = public.write_sunnybrook(tmp_path)
    next(root.rglob("*icontour*")).write_text(text)
    (study,) = read_all("sunnybrook", root).values()
    assert [(row.code, row.tag) for row in study.rejects] == [("E_LAYOUT", fault)]
    assert study.counts["found"] == study.counts["rejected"]


def test_area_of_a_square_is_its_sides():
    square = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 3.0], [1.0, 3.0]])
    assert sunnybrook.area_px(square) == 6.0
    assert sunnybrook.area_px(square[::-1]) == 6.0


@pytest.mark.real_data
def test_contours_of_the_real_ge_study_give_the_known_ejection_fraction(real_data, tmp_path):
    archive = real_data / "ge_15t_sax.tar.xz"
    if not archive.is_file():
        pytest.skip("the GE study is not at hand")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "raw", filter="data")
    series = tmp_path / "scd" / "SCD_IMAGES_05" / "SCD0000101" / "CINESAX_301"
    drawn = tmp_path / "scd" / "SCD_ManualContours" / "SC-HF-I-01" / "contours-manual" / "IRCCI-expert"
    for folder, pattern in ((series, "*.dcm"), (drawn, "*contour-manual.txt")):
        folder.mkdir(parents=True)
        for path in (tmp_path / "raw").rglob(pattern):
            shutil.copy(path, folder / path.name)
    head, row = "PatientID,OriginalID,Gender,Age,Pathology", "SCD0000101,SC-HF-I-1,Male,60,Heart failure"
    (tmp_path / "scd" / "scd_patientdata.csv").write_text(f"{head}\n{row}\n")
    (study,) = read_all("sunnybrook", tmp_path / "scd").values()
    assert study.labels["lvef"] == pytest.approx(26, abs=1)
    assert study.labels["lvedv_ml"] == pytest.approx(191, abs=3)
    assert study.labels["lvesv_ml"] == pytest.approx(141, abs=3)
    assert study.labels["lv_mass_g"] == pytest.approx(117, abs=3)
    assert study.labels["ed_phase"] * 20 == pytest.approx(18)
    assert study.labels["es_phase"] * 20 == pytest.approx(7)
    assert study.labels["diagnosis"] == "ICM"


# --- faults -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", catalogue.SETS)
def test_a_folder_of_another_layout_is_refused_in_one_sentence_that_names_what_is_wanted(tmp_path, source):
    (tmp_path / "something" / "else").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"below cohort\.studies .*wanted ") as caught:
        catalogue.find_cases(source, tmp_path)
    assert catalogue.SETS[source].layout in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"cohort\.studies: no folder"):
        catalogue.find_cases(source, tmp_path / "absent")


@pytest.mark.parametrize("source", catalogue.SETS)
def test_every_set_states_layout_citation_and_licence(source):
    known = catalogue.SETS[source]
    assert "(" in known.citation or "," in known.citation
    assert "20" in known.citation
    assert known.licence
    assert known.title


def _without(key):
    return lambda text: "".join(line for line in text.splitlines(keepends=True) if not line.startswith(key))


@pytest.mark.parametrize(
    ("change", "tag"),
    [
        (_without("Group"), "Info.cfg Group"),
        (_without("ES"), "Info.cfg ES"),
        (lambda text: text.replace("DCM", "XYZ"), "Info.cfg Group"),
        (lambda text: text.replace("ED: 1", "ED: 0"), "Info.cfg ED/ES"),
        (lambda text: text.replace("ED: 1", "ED: one"), "Info.cfg ED"),
    ],
)
def test_an_info_file_that_lacks_a_key_is_named_by_file_and_key(one, change, tag):
    path = one / "Info.cfg"
    path.write_text(change(path.read_text()))
    (study,) = read_all("acdc", one.parent).values()
    assert [(row.code, row.tag) for row in study.rejects] == [("E_LAYOUT", tag)]
    assert study.stacks == []
    assert study.counts == {"found": 6, "accepted": 0, "rejected": 6, "ignored": 0}


@pytest.mark.parametrize(
    ("pattern", "tag"),
    [
        ("Info.cfg", "Info.cfg"),
        ("*_4d.nii.gz", "4d.nii.gz"),
        ("*_frame01_gt.nii.gz", "frame ED gt.nii.gz"),
    ],
)
def test_a_file_that_is_missing_is_named(one, pattern, tag):
    next(one.glob(pattern)).unlink()
    (study,) = read_all("acdc", one.parent).values()
    assert [(row.code, row.tag) for row in study.rejects] == [("E_LAYOUT", tag)]


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "cut inside"])
def test_a_broken_nifti_is_a_row_not_a_crash(one, damage):
    path = next(one.glob("*_4d.nii.gz"))
    data = path.read_bytes()
    inside = gzip.compress(gzip.decompress(data)[:-1000])
    path.write_bytes({"cut": data[:-500], "text": b"no image", "empty": b"", "cut inside": inside}[damage])
    (study,) = read_all("acdc", one.parent).values()
    assert [(row.code, row.tag) for row in study.rejects] == [("E_DECODE", "4d.nii.gz")]


def test_masks_that_cannot_be_a_beat_are_refused(one):
    """The emptier frame cannot be the larger one."""
    first, second = sorted(one.glob("*_gt.nii.gz"))
    full, empty = first.read_bytes(), second.read_bytes()
    first.write_bytes(empty)
    second.write_bytes(full)
    (study,) = read_all("acdc", one.parent).values()
    assert [(row.code, row.tag) for row in study.rejects] == [("E_LAYOUT", "volumes")]


def test_a_gzip_bomb_is_refused_under_a_cap(monkeypatch):
    monkeypatch.setattr(nifti, "MOST_BYTES", 10_000)
    with pytest.raises(Refused, match="E_TOO_BIG"):
        nifti.load(gzip.compress(bytes(1_000_000)), "x")


def test_links_are_not_followed(one, tmp_path):
    (tmp_path / "database" / "training" / "patient777").symlink_to(one)
    assert len(catalogue.find_cases("acdc", tmp_path / "database")) == 1


def test_codes_of_the_adapters_are_in_the_closed_list():
    assert {"E_LAYOUT", "N_NOT_NEEDED"} <= set(CODES)
    assert set(acdc.DIAGNOSIS.values()) == {"NOR", "DCM", "HCM", "ICM", "ARV"}
    assert mnms.CODES != acdc.CODES


def test_findings_need_what_decides_them():
    assert measure.findings({"lvef": 54.9}) == {"lv_dysfunction": 1}
    assert measure.findings({"lvef": 55.0, "rvef": 49.0}) == {"lv_dysfunction": 0, "rv_dysfunction": 1}
    assert measure.findings({"lvedvi": 100.0}) == {}  # without the sex nobody can say
    assert measure.findings({"lvedvi": 97.0, "sex": "M"}) == {"lv_dilation": 0}
    assert measure.findings({"lvedvi": 97.0, "sex": "F"}) == {"lv_dilation": 1}
    assert measure.indexed({"lvedv_ml": 100.0}, 180.0, float("nan")) == {}
