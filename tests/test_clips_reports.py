"""Reports through the stage: what is bad has its code, what leaves is scrubbed, what is said stands beside truth."""

import datetime
import json

import dicom_maker as maker
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score
from test_clips_build import clinic, codes, settings

from cmr_lib import labels, project
from cmr_lib.clips import report_example, report_tables, resume, work
from cmr_lib.clips.build import preprocess
from cmr_lib.clips.report_reading import Scrubber, load_reports
from cmr_lib.figures import reports as pictures
from cmr_lib.ingest.studies import read_study
from cmr_lib.reports.agreement import agreement, estimates

KEY = b"k" * 64
NAMES = ("Quistgaard", "Tove", "MX4471902", "BX7781", "Ruzicka", "20150309", "19611130")
TEXT = (
    "Patient: QUISTGAARD, Tove\nMRN: MX4471902\nDOB 30.11.1961\nAcc. no. BX7781\nStudy date: 09.03.2015\n"
    "FINDINGS: LVEF 38 %, LVEDV 212 mL. No left ventricular thrombus. Mrs Quist-\ngaard agreed. "
    "Dated 09.03.2015, compared with 01.03.2015.\nIMPRESSION: 1. Dilated cardiomyopathy. (T. Quistgaard)\nDr Růžička"
)
PERSON = {
    "PatientName": "Quistgaard^Tove", "PatientID": "MX4471902", "PatientBirthDate": "19611130",
    "StudyDate": "20150309", "ReferringPhysicianName": "Ruzicka^Jan",
}  # fmt: skip
ROWS = [
    ("MX4471902", "BX7781", TEXT),
    ("MX4471902", "A2", "MRN: ZZ9999999\nFINDINGS: LVEF 60 %. IMPRESSION: normal."),  # another patient's, by its words
    ("MX4471902", "A3", "the weather is fine"),  # without impression, without anything that is understood
    ("MX4471902", "A4", "x" * 10_000_000),
    ("MX4471902", "A5", "\x01\x02\x03\ufffd" * 40 + "a"),
    ("MX4471902", "A6", " "),
    ("MX4471902", "", TEXT),
    ("MX4471902", "A7", "one Quistgaard"),
    ("MX4471902", "A7", "two"),
    ("MX4471902", "A9", "FINDINGS: EF 50 %. IMPRESSION: no study"),
]


@pytest.fixture(scope="module")
def clinics(tmp_path_factory):
    """A clinic's three studies of one patient, its table of good and bad reports, and what the stage made of it."""
    root = tmp_path_factory.mktemp("clinic")
    (root / "studies").mkdir()
    for accession in ("BX7781", "A2", "A3"):
        maker.write_zip(root / "studies" / f"{accession}.zip", maker.study(3, 5, AccessionNumber=accession, **PERSON))
    lines = [json.dumps(dict(zip(("patient_id", "accession", "report"), row, strict=True))) for row in ROWS]
    (root / "r.jsonl").write_text("\n".join(lines), encoding="utf-8")
    chosen = clinic(root, studies=str(root / "studies"), reports=str(root / "r.jsonl"))
    return root, preprocess(chosen, progress=False)


def table(root, name):
    return pd.read_parquet(root / "out" / f"{name}.parquet").set_index("study_key")


def name_of(accession):
    return project.keyed_name(KEY, "study", accession)


def test_every_bad_report_has_its_code_and_every_row_is_counted(clinics):
    root, counts = clinics
    found = {code: n for (level, code), n in codes(root / "out").items() if level == "report"}
    assert found == {
        "E_IDENTITY_CONFLICT": 1, "E_REPORT_TOO_LONG": 1, "E_REPORT_BINARY": 1, "E_REPORT_EMPTY": 1,
        "E_REPORT_NO_ACCESSION": 1, "E_REPORT_DUPLICATE": 2, "E_NO_STUDY": 1, "W_REPORT_NO_IMPRESSION": 1,
        "W_REPORT_NO_FINDINGS": 1,
    }  # fmt: skip
    assert counts["reports"] == {"found": 10, "accepted": 2, "rejected": 8}
    assert counts["studies"] == {"found": 3, "accepted": 2, "rejected": 1}  # the study of the foreign report goes too


def test_no_name_number_or_date_of_the_header_leaves_with_a_report(clinics):
    root, _ = clinics
    for path in (root / "out").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            text = pd.read_parquet(path).to_csv() if path.suffix == ".parquet" else data.decode("latin-1")
            plain = "".join(letter for letter in text.lower().replace("ž", "z") if letter.isalnum())
            assert not [name for name in NAMES if name.lower() in plain], path.name
            assert "09.03.2015" not in text
            assert "01.03.2015" not in text


def test_dates_in_words_move_with_those_of_the_images_and_numbers_stay(clinics):
    root, _ = clinics
    said = table(root, "reports").loc[name_of("BX7781")]
    day = datetime.date.fromisoformat(table(root, "studies").loc[name_of("BX7781"), "shifted_date"])
    assert f"Dated {day:%d.%m.%Y}, compared with {day - datetime.timedelta(days=8):%d.%m.%Y}." in said.findings
    assert "LVEF 38 %, LVEDV 212 mL. No left ventricular thrombus." in said.findings
    assert said.impression.startswith("1. Dilated cardiomyopathy.")


def test_what_a_report_says_stands_beside_its_study(clinics):
    root, counts = clinics
    studies, findings = table(root, "studies"), table(root, "report_findings")
    row = studies.loc[name_of("BX7781")]
    assert (row.said_lv_dysfunction, row.said_thrombus, row.said_effusion) == ("present", "absent", "")
    stated = findings.loc[name_of("BX7781")].set_index("finding")
    assert stated.loc["DCM", "status"] == "present"
    assert (stated.loc["lv_dysfunction", "severity"], stated.loc["lv_dysfunction", "read_from"]) == (
        "moderately", "numbers",
    )  # fmt: skip
    numbers = table(root, "report_numbers").loc[name_of("BX7781")].set_index("quantity")
    assert numbers.loc["lvedv", ["value", "high", "unit"]].tolist() == [212.0, 212.0, "mL"]
    assert "macro" not in counts["findings_read"]  # a clinic has no truth


def test_identifiers_are_not_kept_for_the_next_run_but_read_again(tmp_path):
    path = maker.write_zip(tmp_path / "A1.zip", maker.study(2, 3, **PERSON))
    job = work.Work(KEY, settings(tmp_path).clip, resume.Kept(tmp_path / "kept", KEY, "stamp"))
    first, second = job(path), job(path)
    assert first.known == second.known
    assert "Quistgaard^Tove" in first.known.names
    (kept,) = (tmp_path / "kept").glob("*.npz")
    with np.load(kept) as archive:
        packed = b"".join(archive[name].tobytes() for name in archive.files)
    assert b"Quistgaard" not in packed
    assert b"MX4471902" not in packed


def test_a_person_named_in_one_series_alone_is_known_too():
    path_free = maker.study(2, 3, **PERSON)
    for ds in path_free[3:6]:
        ds.OperatorsName = "Zimmerblum^Ada"
    from cmr_lib.ingest.named import headers_of
    from cmr_lib.reports.identifiers import identifiers_of, united

    headers = headers_of(maker.encode(ds) for ds in path_free)
    assert len(headers) == 2
    assert "Zimmerblum^Ada" in united(map(identifiers_of, headers)).names


def test_an_element_that_cannot_be_decoded_hides_no_other(tmp_path):
    from cmr_lib.reports.identifiers import identifiers_of

    data = maker.encode(maker.study(2, 3, **PERSON, PatientComments="x" * 8)[0])
    broken = data.replace(b"\x10\x00\x00\x40LT", b"\x10\x00\x00\x40ZZ")
    assert broken != data
    path = tmp_path / "S"
    path.mkdir()
    (path / "a.dcm").write_bytes(data)
    (header,) = read_study(path, KEY).headers
    assert "Quistgaard^Tove" in identifiers_of(header).names
    import io

    import pydicom

    odd = pydicom.dcmread(io.BytesIO(broken), stop_before_pixels=True, force=True)
    assert "Quistgaard^Tove" in identifiers_of(odd).names


def test_a_folder_of_texts_and_several_reports_are_read_as_the_parameters_say(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "A1.txt").write_text("EF 60 %", encoding="utf-8")
    (folder / "scan.pdf").write_bytes(b"%PDF")
    chosen = settings(tmp_path).cohort
    reports = load_reports(folder, chosen, chosen.columns, KEY)
    assert [one.text for one in reports.waiting.values()] == ["EF 60 %"]
    assert [row.code for row in reports.rejects] == ["N_NO_REPORT"]
    (tmp_path / "r.tsv").write_text("patient_id\taccession\treport\nP\tA\tone\nP\tA\ttwo\n")
    for several, texts in (("refuse", []), ("join", ["one\n\ntwo"]), ("last", ["two"])):
        wanted = settings(tmp_path, cohort={"several_reports": several}).cohort
        found = load_reports(tmp_path / "r.tsv", wanted, wanted.columns, KEY)
        assert [one.text for one in found.waiting.values()] == texts


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252", "utf-16-le"])
def test_a_table_in_another_encoding_is_read_and_has_its_code(tmp_path, encoding):
    text = 'patient_id,accession,report\nP,A,"Größe normal, LVEF 60 %"\n'
    (tmp_path / "r.csv").write_bytes(text.encode(encoding))
    chosen = settings(tmp_path).cohort
    reports = load_reports(tmp_path / "r.csv", chosen, chosen.columns, KEY)
    assert [one.text for one in reports.waiting.values()] == ["Größe normal, LVEF 60 %"]
    assert [(row.level, row.code, row.action) for row in reports.rejects] == [("table", "W_ENCODING", "repaired")]


def test_a_missing_model_for_names_stops_the_stage_before_anything_is_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="No spaCy model"):
        Scrubber(KEY, True, str(tmp_path / "absent"))


# --- sameness and agreement -------------------------------------------------------------------------------------
def test_studies_without_any_report_have_empty_columns():
    columns, same = report_tables.cohort_columns({})
    studies = pd.DataFrame({"study_key": ["a", "b"], "has_report": [False, False]})
    joined = report_tables.with_reports(studies, columns)
    assert (joined[list(report_tables.SAME)] == -1).all(axis=None)
    assert (joined[list(report_tables.SAID)] == "").all(axis=None)
    assert same.rates()["exact"] == {"value": 0.0, "n": 0}
    assert estimates(report_tables.findings_against_truth(joined)) == {}


def test_rates_count_doubles_within_each_group_alone():
    studies = pd.DataFrame({"has_report": [True, True, True, False], "same_near": [0, 0, 1, -1]})
    studies = studies.assign(same_exact=[0, 1, 2, -1], same_clinical=[0, 0, 0, -1])
    rates = report_tables.sameness_rates(studies, pd.Series([True, False, False, True]))
    assert rates["n"].tolist() == [3, 1, 2]
    assert rates["same_near"].round(3).tolist() == [0.667, 0, 0]
    assert rates["same_clinical"].tolist() == [1, 0, 1]


def test_agreement_is_that_of_scikit_learn_over_the_findings_that_occur():
    random = np.random.default_rng(0)
    truth, said = random.random((60, 10)) < 0.4, random.random((60, 10)) < 0.5
    truth[:, 9] = said[:, 9] = False  # nobody has it, nobody says it
    patients = [str(number // 2) for number in range(60)]
    found = agreement(truth, said, patients).set_index("finding")
    wanted = [f1_score(truth[:, column], said[:, column]) for column in range(9)]
    assert found.f1[:9].tolist() == pytest.approx(wanted)
    assert np.isnan(found.f1[labels.FINDINGS[9]])
    assert found.f1["macro"] == pytest.approx(np.mean(wanted))
    assert found.chance[labels.FINDINGS[0]] == pytest.approx(f1_score(truth[:, 0], np.ones(60, bool)))
    assert (found.low[:9] <= found.f1[:9]).all()
    assert (found.f1[:9] <= found.high[:9]).all()
    told = estimates(found.reset_index())
    assert labels.FINDINGS[9] not in told
    assert set(told["macro"]) == {"value", "n", "low", "high", "chance"}


# --- what a notebook shows --------------------------------------------------------------------------------------
def test_only_the_simulated_hospitals_own_report_is_shown(clinics):
    root, _ = clinics
    chosen = clinic(root, studies=str(root / "studies"), reports=str(root / "r.jsonl"))
    shown = report_example.example(chosen)
    assert "".join(text for text, _ in shown.parts) == shown.scrubbed.text
    assert "212 mL" not in shown.scrubbed.text
    assert "LVEDV 266 mL (142 mL/m2)" in shown.scrubbed.text
    for word in ("Invented", "Madeup", "Fictional", "0042", "1961", "2015"):
        assert word not in shown.scrubbed.text
    assert shown.summary.numbers["lvef"].value == 36


def test_boxes_stand_where_something_was_taken_out():
    parts = [("Patient: ", ""), ("[NAME]", "NAME"), (", seen\non ", ""), ("1.2.2001", "DATE"), (" again " * 20, "")]
    texts = pictures.boxes(parts).axes[0].texts
    assert [text.get_text() for text in texts if text.get_bbox_patch()] == ["[NAME]", "1.2.2001"]
    joined = "".join(text.get_text() for text in texts)
    assert joined == "".join(text for text, _ in parts).replace("\n", "")
    assert max(text.get_position()[0] + len(text.get_text()) for text in texts) <= pictures.COLUMNS + 1
