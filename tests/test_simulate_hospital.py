"""The hospital on disk: tables and archives that agree, the same bytes always, scanners that know no diagnosis."""

import errno
import hashlib
import multiprocessing
import os
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmr_lib import labels, params
from cmr_lib.simulate import checks, cohort, study
from cmr_lib.simulate.archive import CONTENTS_COLUMNS
from cmr_lib.simulate.identity import SECOND_SITE, SITES
from cmr_lib.simulate.latents import draw_latents, number_of_studies
from cmr_lib.simulate.protocol import draw_exam

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "seed": 11,
    "hospital": {"n_patients": 3, "repeat_share": 0.5, "no_report_share": 0.2, "orphan_report_share": 0.3},
    "external": {"second_studies": 2, "acdc_training": 1, "acdc_testing": 0},
    "image": {"matrix_px": 64, "spacing_mm": 3.0, "sax_slices": 3, "phases": 4, "lge_slices": 2},
    "full_size": {"share": 0.0},
    "mess": {"wrong_name": 0.4, "repeat": 0.4, "corrupt": 0.4, "missing_view": 0.4},
    "workers": 1,
}


def settings(folder="unused", **changes):
    values = params.read_yaml(ROOT / "params/smoke/simulate.yaml") | {"out_dir": "unused", "data_dir": str(folder)}
    return params.check("simulate", params.merge(params.merge(values, TINY), changes))


def folder_digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    table = cohort.write_hospital(settings(folder), progress=False)
    return folder, table


# --- the same bytes ---------------------------------------------------------------------------------------------
def test_bytes_do_not_depend_on_the_number_of_workers(hospital, tmp_path):
    # One process is asked for in a fresh one, since pytest may have loaded NumPy before the instruction set was capped.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(cohort.write_hospital, settings(tmp_path / "one"), progress=False).result()
    cohort.write_hospital(settings(tmp_path / "two", workers=2), progress=False)
    one, two = folder_digest(tmp_path / "one"), folder_digest(tmp_path / "two")
    assert one == two
    assert one.keys() == folder_digest(hospital[0]).keys()


def test_a_study_made_alone_is_the_one_of_the_hospital(hospital):
    folder, table = hospital
    planned = cohort.visits(settings())
    for place in (len(planned) - 3, 1):  # in another order, and without those before
        made = cohort.make_study(settings(), planned[place])
        row = table.iloc[place]
        assert made.truth["accession"] == row.accession
        assert made.truth["lvef"] == row.lvef
        if made.archive is not None:
            assert (folder / f"studies/{row.accession}.zip").read_bytes() == made.archive


def test_nothing_of_the_first_hospital_hangs_on_what_else_is_asked_for(hospital, tmp_path):
    alone = {"second_studies": 0, "acdc_training": 0, "acdc_testing": 0}
    cohort.write_hospital(settings(tmp_path, hospital={"n_patients": 2}, external=alone), progress=False)
    both = folder_digest(hospital[0])
    few = folder_digest(tmp_path / "studies")
    assert few
    assert all(both[f"studies/{name}"] == digest for name, digest in few.items())


# --- interrupted ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("reason", ["killed", "full disk"])
def test_an_interrupted_hospital_goes_on_and_ends_in_the_same_bytes(hospital, tmp_path, monkeypatch, reason):
    class Killed(BaseException):
        """Nothing catches it, as nothing catches SIGKILL."""

    fail = Killed() if reason == "killed" else OSError(errno.ENOSPC, "No space left on device")
    real, written = os.fsync, []

    def fsync(handle):
        written.append(handle)
        if len(written) == 8:  # after three studies and some of their records
            raise fail
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(type(fail)) as caught:
            cohort.write_hospital(settings(tmp_path), progress=False)
    if reason == "full disk":
        assert "disk is full" in str(caught.value)
        assert "goes on from there" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [".partial"], "no half hospital looks whole"
    for path in tmp_path.rglob("*.zip"):
        assert zipfile.ZipFile(path).testzip() is None
    records = {path.name for path in tmp_path.rglob("study-*.json")}
    assert records
    made = []
    monkeypatch.setattr(cohort, "make_study", lambda *given: made.append(given[1]) or study.make_study(*given))
    cohort.write_hospital(settings(tmp_path), progress=False)
    again = {f"study-{visit.patient:06d}-{visit.study:02d}.json" for visit in made}
    assert again.isdisjoint(records)
    assert len(again | records) == len(cohort.visits(settings())) + 2
    assert folder_digest(tmp_path) == folder_digest(hospital[0])


# --- tables and archives ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("place", ["", "second"])
def test_tables_and_archives_tell_the_same_story(hospital, place):
    folder = hospital[0] / place
    truth, reports = pd.read_csv(folder / "truth.csv"), pd.read_csv(folder / "reports.csv")
    archives = {path.stem for path in (folder / "studies").glob("*.zip")}
    assert archives == set(truth.accession[truth.has_images == 1])
    assert set(reports.accession) == set(truth.accession[truth.has_report == 1])
    assert truth.accession.is_unique
    assert list(truth.columns) == list(cohort.TRUTH_COLUMNS)
    assert reports.report.str.contains("[Ss]ynthetic").all()


@pytest.mark.parametrize("place", ["", "second"])
def test_contents_count_every_file_of_every_archive(hospital, place):
    folder = hospital[0] / place
    truth, contents = pd.read_csv(folder / "truth.csv"), pd.read_csv(folder / "contents.csv")
    assert tuple(contents.columns) == CONTENTS_COLUMNS
    seen = truth[truth.has_images == 1]
    assert list(contents.accession.unique()) == list(seen.accession), "in the order of the studies"
    listed = contents.groupby("accession").files.sum()
    for row in seen.itertuples():
        with zipfile.ZipFile(folder / f"studies/{row.accession}.zip") as archive:
            names = archive.namelist()
        assert listed[row.accession] == row.n_files == len(names) == len(set(names))
    assert (truth.n_files[truth.has_images == 0] == 0).all()
    assert contents.trick.nunique() > 2, "there is a mess in it"


def test_returned_table_is_the_one_on_disk(hospital):
    folder, table = hospital
    assert list(table.columns) == list(cohort.TRUTH_COLUMNS)
    assert (table.has_images == 0).any(), "an orphan report"
    pd.testing.assert_frame_equal(pd.read_csv(folder / "truth.csv"), table.round(4), check_dtype=False)


def test_some_studies_stay_without_a_report():
    planned = cohort.visits(settings(hospital={"n_patients": 400, "no_report_share": 0.1}))
    seen = [visit for visit in planned if visit.has_images]
    assert 0.05 < np.mean([not visit.has_report for visit in seen]) < 0.16
    assert all(visit.has_report for visit in planned if not visit.has_images)


def test_repeat_studies_share_the_patient_and_not_the_accession(hospital):
    _, table = hospital
    repeated = table[table.duplicated("patient_id", keep=False)]
    assert len(repeated) >= 2
    by_patient = repeated.groupby("patient_id")
    assert by_patient.sex.nunique().max() == by_patient.site.nunique().max() == 1
    assert by_patient.lvef.nunique().min() >= 2
    assert by_patient.year.apply(lambda years: years.is_monotonic_increasing).all()
    assert sum(number_of_studies(1, patient, 0.15) > 1 for patient in range(1000)) == pytest.approx(150, abs=35)


def test_truth_findings_follow_the_cut_points(hospital):
    _, table = hospital
    for row in table.itertuples():
        assert row.lv_dysfunction == int(row.lvef < 55)
        assert row.rv_dysfunction == int(row.rvef < 50)
        assert row.lv_dilation == int(row.lvedvi >= labels.LVEDVI_CUTS[row.sex][0])
        assert row.rv_dilation == int(row.rvedvi >= labels.RVEDVI_CUTS[row.sex][0])
        assert row.lv_hypertrophy == int(row.wall_mm >= labels.WALL_CUTS[row.sex][0])
        assert row.aortic_dilation == int(row.aorta_mm >= labels.AORTA_CUTS[row.sex][0])
        assert row.effusion == int(row.effusion_mm >= labels.EFFUSION_CUTS[0])
        assert row.lge == int(row.lge_pattern != "none")
        assert row.lvef == pytest.approx(100 * (1 - row.lvesv_ml / row.lvedv_ml), abs=0.01)
        assert row.lvedvi == pytest.approx(row.lvedv_ml / row.bsa_m2, abs=0.01)
        assert row.half_filling_ms == pytest.approx(row.half_filling_share * 60000 / row.heart_rate, rel=1e-6)


# --- who and where ----------------------------------------------------------------------------------------------
def test_second_hospital_has_its_own_patients_place_and_maker(hospital):
    first, second = hospital[1], pd.read_csv(hospital[0] / "second/truth.csv")
    assert len(second) == 2
    assert set(first.site) <= set(SITES)
    assert set(second.site) == {SECOND_SITE}
    assert set(second.vendor) == {"CANON"}
    assert "CANON" not in set(first.vendor)
    assert set(first.patient_id).isdisjoint(second.patient_id)


def test_second_hospital_has_as_many_studies_as_asked_for_and_patients_come_again():
    for count in (0, 1, 200):
        planned = cohort.second_visits(settings(external={"second_studies": count}, hospital={"repeat_share": 0.15}))
        assert len(planned) == len(set(planned)) == count
    assert len({visit.patient for visit in planned}) == pytest.approx(170, abs=15)
    assert all(visit.has_images for visit in planned)


def nuisances(chosen, patients=1500):
    """What a scanner wrote down of the first study of many patients, beside their diagnosis; nothing is rendered."""
    rows = []
    for patient in range(patients):
        latents = draw_latents(chosen.seed, patient, 1, chosen.diagnoses)
        facts = study.scan_facts(chosen, latents, draw_exam(chosen, latents))
        rows.append(facts | {"diagnosis": latents.disease.diagnosis.value, "study_number": 1})
    return pd.DataFrame(rows)


def test_scanner_site_and_year_predict_the_diagnosis_no_better_than_chance():
    table = nuisances(settings(full_size={"share": 0.05}))
    assert set(checks.NUISANCES) <= set(table.columns)
    assert table.nunique()[list(checks.NUISANCES)].min() >= 2, "each of them varies"
    assert checks.nuisance_p(table, permutations=199) > 0.01
    planted = table.copy()
    planted.loc[planted.diagnosis == "HCM", "snr"] *= 0.85
    assert checks.nuisance_p(planted, permutations=199) < 0.01


# --- impossible -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"diagnoses": {"NOR": 0.12, "XYZ": 0.12}}, "XYZ"),
        ({"image": {"matrix_px": 48, "spacing_mm": 1.0}}, "matrix_px"),
        ({"image": {"spacing_mm": -1.0}}, "image.spacing_mm"),
        ({"image": {"sax_slices": 30, "thickness_mm": 10.0}}, "sax_slices"),
        ({"scanner": {"snr": [30.0, 10.0]}}, "scanner.snr"),
        ({"hospital": {"n_patients": 0}}, "hospital.n_patients"),
        ({"hospital": {"n_patients": 400_000}}, "hospital.n_patients"),
        ({"external": {"second_studies": -1}}, "external.second_studies"),
        ({"external": {"acdc_training": 900, "acdc_testing": 100}}, "external.acdc_training"),
        ({"source": "acdc"}, "source"),
    ],
)
def test_impossible_hospitals_are_refused_by_name(changes, named, tmp_path):
    with pytest.raises(ValueError, match=named):
        cohort.write_hospital(settings(tmp_path, **changes), progress=False)
    assert not list(tmp_path.iterdir())
