"""The hospital: what it writes to disk, the same bytes every time, DICOM that says where its pixels lie, reports."""

import hashlib
import io
import multiprocessing
import re
import zipfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
import pydicom
import pytest

from cmr_lib import labels, params
from cmr_lib.labels import Diagnosis
from cmr_lib.simulate import cohort, dicom
from cmr_lib.simulate.latents import draw_latents, number_of_studies
from cmr_lib.simulate.protocol import draw_exam, plan_study
from cmr_lib.simulate.reading import read_study
from cmr_lib.simulate.report import INVENTED, STYLES, findings, write_report
from cmr_lib.simulate.scanner import acquire, stored_values
from cmr_lib.types import Sequence, View

SMALL = {
    "out_dir": "unused",
    "data_dir": "unused",
    "seed": 11,
    "source": "simulated",
    "hospital": {"n_patients": 4, "repeat_share": 0.5, "no_report_share": 0.2, "orphan_report_share": 0.3},
    "diagnoses": {"NOR": 0.2, "DCM": 0.2, "HCM": 0.2, "ICM": 0.2, "ARV": 0.2},
    "image": {
        "matrix_px": 64,
        "spacing_mm": 3.0,
        "sax_slices": 3,
        "phases": 4,
        "lge_slices": 2,
        "thickness_mm": 8.0,
    },
    "scanner": {"snr": [15.0, 30.0], "shift_mm": 2.0},
    "reader": {"lvef_points": 2.5, "volume_ml": 5.0, "omission_share": 0.15},
    "workers": 1,
}


def settings(**changes):
    return params.check("simulate", params.merge(SMALL, changes))


def folder_digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    table = cohort.write_hospital(settings(data_dir=str(folder)), progress=False)
    return folder, table


def vendor_study(code):
    """One study of the wanted maker: (settings, phantom, exam, shots, datasets)."""
    chosen = settings()
    for patient in range(60):
        latents = draw_latents(chosen.seed, patient, 1, chosen.diagnoses)
        exam = draw_exam(chosen, latents)
        if exam.vendor.code == code:
            break
    phantom = cohort.phantom_of(chosen, patient, 1)
    with zipfile.ZipFile(io.BytesIO(cohort.archive_of(chosen, phantom, exam))) as archive:
        files = [pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()]
    return chosen, phantom, exam, plan_study(chosen, latents, phantom.shape), files


def test_bytes_do_not_depend_on_the_number_of_workers(hospital, tmp_path):
    # One process is asked for in a fresh one, since pytest may have loaded NumPy before the instruction set was capped.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(cohort.write_hospital, settings(data_dir=str(tmp_path / "one")), progress=False).result()
    cohort.write_hospital(settings(data_dir=str(tmp_path / "two"), workers=2), progress=False)
    one, two = folder_digest(tmp_path / "one"), folder_digest(tmp_path / "two")
    assert one == two
    assert one.keys() == folder_digest(hospital[0]).keys()


def test_tables_and_archives_tell_the_same_story(hospital):
    folder, table = hospital
    reports = pd.read_csv(folder / "reports.csv")
    archives = {path.stem for path in (folder / "studies").glob("*.zip")}
    assert archives == set(table.accession[table.has_images == 1])
    assert set(reports.accession) == set(table.accession[table.has_report == 1])
    assert table.accession.is_unique
    assert (table.has_images == 0).any()  # an orphan report
    assert list(pd.read_csv(folder / "truth.csv").columns) == list(table.columns) == list(cohort.TRUTH_COLUMNS)


def test_some_studies_stay_without_a_report():
    planned = cohort.visits(settings(hospital={"n_patients": 400, "no_report_share": 0.1}))
    seen = [visit for visit in planned if visit.has_images]
    assert 0.05 < np.mean([not visit.has_report for visit in seen]) < 0.16
    assert all(visit.has_report for visit in planned if not visit.has_images)


def test_repeat_studies_share_the_patient_and_not_the_accession(hospital):
    _, table = hospital
    repeated = table[table.duplicated("patient_id", keep=False)]
    assert len(repeated) >= 2
    assert repeated.groupby("patient_id").sex.nunique().max() == 1
    assert repeated.groupby("patient_id").lvef.nunique().min() >= 2
    assert sum(number_of_studies(1, patient, 0.15) > 1 for patient in range(1000)) == pytest.approx(150, abs=35)


def test_truth_findings_follow_the_cut_points(hospital):
    _, table = hospital
    for row in table.itertuples():
        assert row.lv_dysfunction == int(row.lvef < 55)
        assert row.rv_dysfunction == int(row.rvef < 50)
        assert row.lv_dilation == int(row.lvedvi >= labels.LVEDVI_CUTS[row.sex][0])
        assert row.rv_dilation == int(row.rvedvi >= labels.RVEDVI_CUTS[row.sex][0])
        assert row.lv_hypertrophy == int(row.wall_mm >= labels.WALL_CUTS[row.sex][0])
        assert row.lge == int(row.lge_pattern != "none")
        assert row.lvef == pytest.approx(100 * (1 - row.lvesv_ml / row.lvedv_ml), abs=0.01)
        assert row.lvedvi == pytest.approx(row.lvedv_ml / row.bsa_m2, abs=0.01)


def test_zip_entries_have_a_fixed_date_and_a_series_folder(hospital):
    folder, _ = hospital
    for path in (folder / "studies").glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert all(re.fullmatch(r"S\d{3}/I\d{4}\.dcm", name) for name in archive.namelist())
            assert len(archive.namelist()) == (3 + 2) * 4 + 2


@pytest.mark.parametrize("code", ["SIEMENS", "GE", "PHILIPS"])
def test_dicom_geometry_and_times_are_those_of_the_planned_planes(code):
    _, phantom, _, shots, files = vendor_study(code)
    by_place = defaultdict(list)
    for ds in files:
        key = (bool(ds.get("InversionTime")), *np.round([*ds.ImagePositionPatient, *ds.ImageOrientationPatient], 3))
        by_place[key].append(ds)
        assert "InversionTime" in ds or ds.CardiacNumberOfImages == 4
        assert ds.PixelSpacing == [3.0, 3.0]
        assert ds.SliceThickness == 8
    assert len(by_place) == len(shots)
    for shot in shots:
        plane = shot.plane
        key = (shot.sequence is Sequence.LGE, *np.round([*plane.origin_mm, *plane.row_dir, *plane.col_dir], 3))
        same = sorted(by_place[key], key=lambda ds: ds.InstanceNumber)
        times = [float(ds.TriggerTime) for ds in same]
        assert len(times) == len(shot.phases)
        assert times == sorted(set(times))
        assert times[-1] < float(same[0].NominalInterval)
    normal = shots[0].plane.normal
    assert abs(normal @ phantom.shape.pose.axes[2]) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("code", "series", "signed"), [("SIEMENS", 3 + 2 + 2, 0), ("GE", 1 + 2 + 1, 1), ("PHILIPS", 1 + 2 + 1, 0)]
)
def test_each_maker_has_its_own_dialect(code, series, signed):
    _, _, exam, _, files = vendor_study(code)
    assert len({ds.SeriesInstanceUID for ds in files}) == series
    assert len({ds.SOPInstanceUID for ds in files}) == len(files)
    assert len({ds.StudyInstanceUID for ds in files}) == 1
    assert {ds.PixelRepresentation for ds in files} == {signed}
    assert {ds.Manufacturer for ds in files} == {exam.vendor.maker}
    assert all(("TemporalPositionIdentifier" in ds) == (code == "PHILIPS") for ds in files)
    assert all(("RescaleSlope" in ds) == (code == "PHILIPS") for ds in files)
    assert all("synthetic" in ds.ImageComments for ds in files)
    assert all(ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID for ds in files)
    pixels = np.stack([ds.pixel_array for ds in files])
    assert pixels.min() >= 0
    assert pixels.max() < 2 ** (files[0].BitsStored - signed)


def test_a_decoded_file_holds_the_pixels_that_were_scanned():
    chosen, phantom, exam, shots, files = vendor_study("PHILIPS")
    random = cohort.project.rng(chosen.seed, "noise", phantom.latents.patient, phantom.latents.study, 0)
    wanted = stored_values(cohort.image_shot(phantom, shots[0], exam, random), exam, Sequence.CINE)
    found = [ds for ds in files if np.allclose(ds.ImagePositionPatient, shots[0].plane.origin_mm, atol=1e-3)]
    assert shots[0].view is View.SAX
    np.testing.assert_array_equal(found[2].pixel_array, wanted[2])


def test_written_elements_are_valid_dicom():
    _, _, _, _, files = vendor_study("GE")
    with pydicom.config.strict_reading():  # warnings are errors here, and this raises on a bad value
        for ds in files[:2]:
            assert len(str(ds).splitlines()) > 50


def test_noise_has_the_asked_level_and_magnitude_is_rician():
    flat = np.full((4, 64, 64), 1.0, dtype=np.float32)
    noisy = acquire(flat, 0.05, (0.9, 0.8), np.random.default_rng(0))
    assert noisy.std() == pytest.approx(0.05, rel=0.1)
    dark = acquire(np.zeros_like(flat), 0.05, (1.0, 1.0), np.random.default_rng(0))
    assert dark.mean() == pytest.approx(0.05 * np.sqrt(np.pi / 2), rel=0.05)  # Rayleigh


def test_encoder_refuses_values_of_another_size():
    chosen, phantom, exam, shots, _ = vendor_study("GE")
    study = dicom.patient_dataset(chosen.seed, phantom.latents)
    encoder = dicom.SeriesEncoder(dicom.series_dataset(study, exam, shots[0], "x", 1, 60.0))
    values = dicom.frame_values("2.25.1", shots[0], 0, 1, 0, 1.0)
    with pytest.raises(ValueError, match="InstanceNumber"):
        encoder.file(values | {"InstanceNumber": b"1"}, bytes(2 * 64 * 64))
    with pytest.raises(ValueError, match="pixels"):
        encoder.file(values, b"short")


def test_the_maker_says_nothing_about_the_diagnosis():
    chosen = settings()
    pairs = []
    for patient in range(500):
        latents = draw_latents(chosen.seed, patient, 1, chosen.diagnoses)
        pairs.append((latents.disease.diagnosis.value, draw_exam(chosen, latents).vendor.code))
    table = pd.crosstab(*[pd.Series(column) for column in zip(*pairs, strict=True)])
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.to_numpy().sum()
    chi2 = float(((table.to_numpy() - expected) ** 2 / expected).sum())
    assert chi2 < 26.1  # 99.9th percentile of chi-squared with 8 degrees of freedom


def reading_of(patient, seed=0, **noise):
    chosen = settings(reader=noise)
    phantom = cohort.phantom_of(chosen, patient)
    return phantom, read_study(phantom.latents, phantom.truth, chosen.reader, np.random.default_rng(seed))


def test_a_noiseless_reader_prints_the_true_numbers():
    phantom, reading = reading_of(0, lvef_points=0.0, volume_ml=0.0)
    assert reading.lvef == round(phantom.truth["lvef"])
    assert reading.lvedv == round(phantom.truth["lvedv_ml"])
    assert reading.rvef == round(phantom.truth["rvef"])


def test_reader_noise_is_of_the_asked_size():
    chosen = settings(reader={"lvef_points": 3.0})
    phantom = cohort.phantom_of(chosen, 0)
    random = np.random.default_rng(1)
    errors = [
        read_study(phantom.latents, phantom.truth, chosen.reader, random).lvef - phantom.truth["lvef"]
        for _ in range(400)
    ]
    assert np.std(errors) == pytest.approx(3.0, rel=0.15)


def test_reports_print_an_ejection_fraction_and_the_words_that_go_with_it(hospital):
    folder, table = hospital
    truth = table.set_index("accession")
    for row in pd.read_csv(folder / "reports.csv").itertuples():
        body = re.split(r"findings:", row.report, flags=re.IGNORECASE)[1]
        printed = int(re.search(r"(?:LVEF(?: is)?|EF of) (\d+) %", body)[1])
        assert abs(printed - truth.lvef[row.accession]) < 12
        reduced = re.search(r"(mildly|moderately|severely) (?:reduced|impaired)", body.split("ight ventric")[0])
        if printed < 30:
            assert "severely" in body
        elif printed < 45:
            assert "moderately" in body
        elif printed < 55:
            assert "mildly" in body
        elif reduced and "RV" not in body:
            pytest.fail(f"LVEF {printed} % called {reduced[0]}")
        assert INVENTED in row.report
        assert row.patient_id not in row.report


def test_the_same_reading_can_be_written_in_many_ways():
    _, reading = reading_of(0)
    texts = {write_report(reading, np.random.default_rng(seed), 0.15)[0] for seed in range(40)}
    assert len(texts) == 40
    assert len({text.split(":")[0] for text in texts}) == len(STYLES) == 3


def test_omission_leaves_out_optional_sentences_only():
    _, reading = reading_of(0)
    style = STYLES[0]
    everything = findings(reading, style, np.random.default_rng(0), 0.0, {})
    little = findings(reading, style, np.random.default_rng(0), 1.0, {})
    assert set(everything) == set(style.order)
    assert {"lv_size", "lv_function", "enhancement"} <= set(little) < set(everything)


def test_follow_up_reports_compare_with_the_study_before():
    chosen = settings()
    for patient in range(5):
        text, _ = cohort.report_of(chosen, cohort.phantom_of(chosen, patient, 2))
        assert "Compared with the previous study" in text
    again, _ = cohort.report_of(chosen, cohort.phantom_of(chosen, 4, 2))
    assert again == text


def test_reports_of_scars_name_them_and_reports_without_deny_them():
    chosen = settings()
    seen = set()
    for patient in range(24):
        phantom = cohort.phantom_of(chosen, patient)
        reading, random = cohort._read(chosen, phantom)
        text, _ = write_report(reading, random, 0.0)
        body = text.lower()
        denied = re.search(r"no late gadolinium|no lge|no evidence of myocardial scar", body)
        if not reading.scar_imagined:
            assert bool(denied) == (not reading.scar_seen)
        seen.add((phantom.latents.disease.diagnosis, reading.scar_seen))
    assert (Diagnosis.ICM, True) in seen
    assert (Diagnosis.NOR, True) not in seen


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"diagnoses": {"NOR": 0.2, "DCM": 0.2, "HCM": 0.2, "ICM": 0.2, "ARV": 0.1, "AMY": 0.1}}, "AMY"),
        ({"image": {"matrix_px": 48, "spacing_mm": 1.0}}, "matrix_px"),
        ({"image": {"sax_slices": 30, "thickness_mm": 10.0}}, "sax_slices"),
        ({"scanner": {"snr": [30.0, 10.0]}}, "scanner.snr"),
        ({"source": "acdc"}, "source"),
    ],
)
def test_impossible_hospitals_are_refused_by_name(changes, named, tmp_path):
    with pytest.raises(ValueError, match=named):
        cohort.write_hospital(settings(data_dir=str(tmp_path), **changes), progress=False)
    assert not list(tmp_path.iterdir())
