"""The stage preprocess, end to end on tiny studies."""

import hashlib
import io
import shutil
import zipfile

import dicom_maker as maker
import pandas as pd
import pytest

from cmr_lib import params, project
from cmr_lib.clips import work
from cmr_lib.clips.build import check_conservation, example, preprocess
from cmr_lib.clips.cohort import LABELS
from cmr_lib.clips.report_tables import SAID, SAME
from cmr_lib.clips.store import ClipStore
from cmr_lib.labels import FINDINGS
from cmr_lib.types import View

REPORT = "FINDINGS: LVEF 38 %, LVEDV 210 mL.\nIMPRESSION: 1. Dilated cardiomyopathy."


def settings(tmp_path, **changes):
    values = {
        "out_dir": str(tmp_path / "out"),
        "data_dir": str(tmp_path / "data"),
        "seed": 1,
        "source": "simulated",
        "cohort": {
            "studies": None, "reports": None, "max_studies": None, "max_reject_share": 0.5,
            "columns": {"patient": "patient_id", "accession": "accession", "text": "report"},
        },
        "identity": {"key_file": None},
        "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
        "clip": {"size_px": 32, "spacing_mm": 4.0, "phases": 6},
        "caps": {
            "seconds": 60.0, "memory_mib": 2048, "files": 1000, "file_mib": 16, "study_mib": 64,
            "ratio": 200, "depth": 4, "worker_studies": 100,
        },
        "workers": 1,
    }  # fmt: skip
    return params.check("preprocess", params.merge(values, changes))


def truth_row(name, patient):
    row = dict.fromkeys(LABELS, 1.5) | dict.fromkeys(FINDINGS, 1)
    row |= {"diagnosis": "DCM", "sex": "F", "lge_pattern": "none", "territory": "none", "accession": name}
    return row | {"patient_id": patient, "secret": "never copied", "lvef": 38.0}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """Four studies of three patients, and their reports; one report has no study, one study no report."""
    root = tmp_path_factory.mktemp("hospital") / "data"
    (root / "studies").mkdir(parents=True)
    patients = {"A1": "P1", "A2": "P1", "A3": "P2", "A4": "P3"}
    template = {name: maker.encode(ds) for name, ds in enumerate(maker.study(3, 5))}
    for name, patient in patients.items():
        data = {
            f"S/{number}": file.replace(b"ACC-Secret-1", name.ljust(12).encode())
            .replace(b"MRN-Secret-77", patient.ljust(13).encode())
            for number, file in template.items()
        }  # fmt: skip
        maker.write_zip(root / "studies" / f"{name}.zip", data)
    rows = [("P1", "A1", REPORT), ("P1", "A2", "no headers, EF 55"), ("P2", "A3", REPORT), ("P9", "A9", REPORT)]
    pd.DataFrame(rows, columns=["patient_id", "accession", "report"]).to_csv(root / "reports.csv", index=False)
    truth = [truth_row(name, patient) for name, patient in [*patients.items(), ("A9", "P9")]]
    pd.DataFrame(truth).to_csv(root / "truth.csv", index=False)
    return root


def tree(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def codes(out):
    rejects = pd.read_csv(out / "rejects.csv")
    return dict(rejects.groupby(["level", "code"]).size())


def test_the_stage_writes_clips_tables_and_rejects(tmp_path, hospital):
    counts = preprocess(settings(tmp_path, data_dir=str(hospital)), progress=False)
    out = tmp_path / "out"
    keys = {name: project.keyed_name(project.PUBLIC_DEMO_KEY, "study", name) for name in ("A1", "A2", "A3", "A4", "A9")}
    studies = pd.read_parquet(out / "studies.parquet")
    assert list(studies["study_key"]) == sorted(keys[name] for name in ("A1", "A2", "A3", "A4"))
    assert list(studies.columns[:8]) == [
        "study_key", "patient_key", "split", "n_clips", "n_sax_slices", "has_report", "vendor", "field_strength_t",
    ]  # fmt: skip
    assert list(studies.columns[8:11]) == ["age_band", "shifted_date", "days_since_first"]
    assert list(studies.columns[11:]) == [*LABELS, *SAME, *SAID]
    assert set(studies["n_clips"]) == {7}
    assert set(studies["n_sax_slices"]) == {3}
    by_key = studies.set_index("study_key")
    assert by_key.loc[keys["A1"], "patient_key"] == by_key.loc[keys["A2"], "patient_key"]
    assert by_key.loc[keys["A1"], "split"] == by_key.loc[keys["A2"], "split"]
    assert not by_key.loc[keys["A4"], "has_report"]
    assert by_key.loc[keys["A1"], "lvef"] == 38.0

    reports = pd.read_parquet(out / "reports.parquet").set_index("study_key")
    assert set(reports.index) == {keys["A1"], keys["A2"], keys["A3"]}
    assert reports.loc[keys["A1"], "impression"] == "1. Dilated cardiomyopathy."
    assert reports.loc[keys["A2"], "findings"] == "no headers, EF 55"
    assert codes(out) == {
        ("report", "E_NO_STUDY"): 1, ("report", "W_REPORT_NO_IMPRESSION"): 1, ("study", "W_NO_REPORT"): 1,
    }  # fmt: skip

    store = ClipStore(out / "store")
    assert store.study_keys == list(studies["study_key"])
    assert store.frames(0).shape == (6, 32, 32)
    assert counts["studies"] == {"found": 4, "accepted": 4, "rejected": 0}
    assert counts["reports"] == {"found": 4, "accepted": 3, "rejected": 1}
    assert counts["clips"]["clips"] == 28
    assert sum(counts["patients"].values()) == 3


def test_the_output_does_not_depend_on_the_number_of_workers(tmp_path, hospital):
    one, two = tmp_path / "one", tmp_path / "two"
    first = preprocess(settings(tmp_path, data_dir=str(hospital), out_dir=str(one)), progress=False)
    second = preprocess(settings(tmp_path, data_dir=str(hospital), out_dir=str(two), workers=2), progress=False)
    assert first == second
    assert tree(one) == tree(two)


def test_no_identifier_leaves_the_stage_but_in_report_text(tmp_path, hospital):
    preprocess(settings(tmp_path, data_dir=str(hospital)), progress=False)
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(word in data for word in (b"Secret", b"A1\0", b"1.2.3.4", b"never copied"))
            text = pd.read_parquet(path).to_csv() if path.suffix == ".parquet" else data.decode("latin-1")
            assert "Secret" not in text
            if path.name != "reports.parquet":
                assert "Dilated" not in text


def clinic(tmp_path, **cohort):
    key = tmp_path / "key"
    key.write_text("k" * 64)
    key.chmod(0o600)
    return settings(tmp_path, source="dicom", identity={"key_file": str(key)}, cohort=cohort)


def test_a_clinics_folder_is_read_with_its_own_key_and_columns(tmp_path, hospital):
    table = pd.read_csv(hospital / "reports.csv").rename(
        columns={"patient_id": "MRN", "accession": "Acc", "report": "Text"}
    )
    table.to_csv(tmp_path / "r.tsv", sep="\t", index=False)
    columns = {"patient": "MRN", "accession": "Acc", "text": "Text"}
    chosen = clinic(tmp_path, studies=str(hospital / "studies"), reports=str(tmp_path / "r.tsv"), columns=columns)
    preprocess(chosen, progress=False)
    studies = pd.read_parquet(tmp_path / "out" / "studies.parquet")
    assert project.keyed_name(b"k" * 64, "study", "A1") in set(studies["study_key"])
    assert "lvef" not in studies.columns


def test_without_a_report_table_every_study_is_kept(tmp_path, hospital):
    counts = preprocess(clinic(tmp_path, studies=str(hospital / "studies")), progress=False)
    assert counts["reports"] == {"found": 0, "accepted": 0, "rejected": 0}
    assert codes(tmp_path / "out") == {("study", "W_NO_REPORT"): 4}
    assert len(pd.read_parquet(tmp_path / "out" / "reports.parquet")) == 0


def test_a_report_that_names_another_patient_quarantines_both(tmp_path, hospital):
    rows = [("P1", "A1", REPORT), ("P7", "A3", REPORT), ("P1", "A2", ""), ("P3", "", REPORT)]
    pd.DataFrame(rows, columns=["patient_id", "accession", "report"]).to_csv(tmp_path / "r.csv", index=False)
    counts = preprocess(
        clinic(tmp_path, studies=str(hospital / "studies"), reports=str(tmp_path / "r.csv")), progress=False
    )
    assert codes(tmp_path / "out") == {
        ("report", "E_IDENTITY_CONFLICT"): 1, ("study", "E_IDENTITY_CONFLICT"): 1, ("report", "E_REPORT_EMPTY"): 1,
        ("report", "E_REPORT_NO_ACCESSION"): 1, ("study", "W_NO_REPORT"): 2,
    }  # fmt: skip
    assert counts["studies"] == {"found": 4, "accepted": 3, "rejected": 1}
    assert counts["files"]["rejected"] == counts["files"]["found"] // 4


def test_a_second_study_of_one_accession_is_refused(tmp_path, hospital):
    for name in ("one", "two"):
        data = (hospital / "studies" / "A1.zip").read_bytes()
        (tmp_path / "studies").mkdir(exist_ok=True)
        (tmp_path / "studies" / f"{name}.zip").write_bytes(data)
    counts = preprocess(clinic(tmp_path, studies=str(tmp_path / "studies")), progress=False)
    assert counts["studies"] == {"found": 2, "accepted": 1, "rejected": 1}
    assert codes(tmp_path / "out")["study", "E_DUP_STUDY"] == 1


def test_only_the_first_studies_are_read_when_asked(tmp_path, hospital):
    counts = preprocess(clinic(tmp_path, studies=str(hospital / "studies"), max_studies=2), progress=False)
    assert counts["studies"]["found"] == 2


# --- one clear sentence -----------------------------------------------------------------------------------------
def test_an_absent_report_table_is_told_without_its_name(hospital, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cohort\.reports") as caught:
        preprocess(
            clinic(tmp_path, studies=str(hospital / "studies"), reports=str(tmp_path / "Zormek.csv")), progress=False
        )
    assert "Zormek" not in str(caught.value)


def test_an_empty_folder_stops_the_stage_in_a_sentence(tmp_path):
    (tmp_path / "studies").mkdir()
    with pytest.raises(ValueError, match=r"No study in .*cohort.studies.*wanted one \.zip or one folder"):
        preprocess(clinic(tmp_path, studies=str(tmp_path / "studies")), progress=False)


def test_a_folder_without_mr_stops_the_stage_and_says_what_was_there(tmp_path):
    ct = maker.dataset(maker.plane(size=16), maker.image(maker.plane(size=16), 0), Modality="CT")
    (tmp_path / "studies").mkdir()
    maker.write_zip(tmp_path / "studies" / "a.zip", [ct])
    with pytest.raises(ValueError, match=r"None of 1 studies can be used \(.*N_NOT_MR × 1.*rejects.csv"):
        preprocess(clinic(tmp_path, studies=str(tmp_path / "studies")), progress=False)
    assert codes(tmp_path / "out") == {("file", "N_NOT_MR"): 1, ("study", "E_NO_IMAGES"): 1}


def test_too_many_rejected_studies_stop_the_stage(tmp_path, hospital):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "A1.zip").write_bytes((hospital / "studies" / "A1.zip").read_bytes())
    (tmp_path / "studies" / "bad.zip").write_bytes(b"no zip")
    with pytest.raises(ValueError, match=r"1 of 2 studies were rejected \(E_ARCHIVE × 1\).*max_reject_share = 0.25"):
        preprocess(clinic(tmp_path, studies=str(tmp_path / "studies"), max_reject_share=0.25), progress=False)


def test_missing_inputs_and_unread_sources_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="simulate"):
        preprocess(settings(tmp_path), progress=False)
    with pytest.raises(ValueError, match=r"cohort\.studies"):
        preprocess(settings(tmp_path, source="dicom"), progress=False)
    with pytest.raises(
        ValueError, match=r"source is acdc, but cohort\.studies is empty: set it to the folder that holds"
    ):
        preprocess(settings(tmp_path, source="acdc"), progress=False)


def test_a_truth_table_without_a_label_is_refused(tmp_path, hospital):
    data = tmp_path / "data"
    (data / "studies").mkdir(parents=True)
    (data / "studies" / "A1.zip").write_bytes((hospital / "studies" / "A1.zip").read_bytes())
    (data / "reports.csv").write_bytes((hospital / "reports.csv").read_bytes())
    pd.read_csv(hospital / "truth.csv").drop(columns="lvef").to_csv(data / "truth.csv", index=False)
    with pytest.raises(ValueError, match="lacks lvef"):
        preprocess(settings(tmp_path), progress=False)


def test_a_reader_that_loses_files_is_an_error():
    check_conservation({"found": 3, "accepted": 1, "rejected": 1, "ignored": 1})
    with pytest.raises(RuntimeError, match="lost"):
        check_conservation({"found": 4, "accepted": 1, "rejected": 1, "ignored": 1})


def test_parquet_and_csv_are_stable_bytes(tmp_path, hospital):
    preprocess(settings(tmp_path, data_dir=str(hospital)), progress=False)
    first = tree(tmp_path / "out")
    preprocess(settings(tmp_path, data_dir=str(hospital)), progress=False)
    assert tree(tmp_path / "out") == first
    assert io.BytesIO((tmp_path / "out" / "rejects.csv").read_bytes()).readline() == (
        b"level,code,action,study_key,series_key,file_key,tag,stage\n"
    )


# --- caps -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("cap", "code"), [({"files": 20}, "E_ARCHIVE"), ({"seconds": 0.001}, "E_TIMEOUT")])
def test_a_study_beyond_a_cap_of_the_parameters_is_refused_by_its_code(tmp_path, hospital, cap, code):
    with pytest.raises(ValueError, match=rf"None of 4 studies can be used \({code} × 4\)"):
        preprocess(settings(tmp_path, data_dir=str(hospital), caps=cap), progress=False)
    assert codes(tmp_path / "out")["study", code] == 4


def test_the_study_to_look_at_is_read_by_a_worker_and_one_that_breaks_a_cap_is_passed_over(
    tmp_path, hospital, monkeypatch
):
    data = tmp_path / "data"
    shutil.copytree(hospital, data)
    names = sorted(
        ("A1", "A2", "A3", "A4"), key=lambda name: project.keyed_name(project.PUBLIC_DEMO_KEY, "study", name)
    )
    with zipfile.ZipFile(data / "studies" / f"{names[0]}.zip", "a") as archive:
        most = len(archive.namelist())
        archive.writestr("S/one more", b"x")
    monkeypatch.setattr(work, "read_study", lambda *_: pytest.fail("read outside the workers"))
    first = example(settings(tmp_path, data_dir=str(data), caps={"files": most}))
    assert first.study_key == project.keyed_name(project.PUBLIC_DEMO_KEY, "study", names[1])
    assert {stack.view for stack in first.stacks} >= {View.SAX}
    nothing = example(settings(tmp_path, data_dir=str(data), caps={"files": 1}))
    assert (nothing.stacks, nothing.counts) == ([], {})


def test_studies_whose_folders_share_a_name_stay_apart_where_no_accession_tells_them(tmp_path):
    nobody = {"AccessionNumber": None, "PatientID": None}
    for patient in ("a", "b", "c"):
        for number in range(2):
            folder = tmp_path / "studies" / patient / "DICOM" / f"ST00000{number}"
            folder.mkdir(parents=True)
            files = maker.study(3, 4, **nobody, StudyInstanceUID=f"1.2.{ord(patient)}.{number}")
            for index, ds in enumerate(files if number else files[:4]):
                (folder / f"IM{index}").write_bytes(maker.encode(ds))
    key = project.own_key_file(tmp_path / "keys" / "key")
    places = {"cohort": {"studies": str(tmp_path / "studies")}, "identity": {"key_file": str(key)}}
    counts = preprocess(settings(tmp_path, source="dicom", **places), progress=False)
    assert counts["studies"] == {"found": 6, "accepted": 6, "rejected": 0}
    assert pd.read_parquet(tmp_path / "out" / "studies.parquet").patient_key.nunique() == 6
