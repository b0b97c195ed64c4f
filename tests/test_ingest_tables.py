"""Report tables as hospitals export them."""

import json

import pytest

from cmr_lib.ingest.tables import read_report_table
from cmr_lib.params import ReportColumns
from cmr_lib.project import keyed_name
from cmr_lib.reports.checks import fault

COLUMNS = ReportColumns(patient="MRN", accession="Acc", text="Befund")
KEY = b"a key for tests, thirty-two bytes"


def write(tmp_path, text, name="r.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def read_reports(path, columns):
    """The reports of a table of which no row is refused."""
    table = read_report_table(path, columns, KEY)
    assert {row.level for row in table.rejects} <= {"table"}
    assert [row.code for row in table.rejects] == ([] if table.encoding == "utf-8" else ["W_ENCODING"])
    reports = table.reports.drop(columns="rows")
    reports.attrs["encoding"] = table.encoding
    return reports


def test_columns_of_any_name_are_read_as_text(tmp_path):
    path = write(tmp_path, 'Acc,x,MRN,Befund\n007,1, 0012 ,"FINDINGS: LVEF 38 %,\nnormal"\n008,2,NA,None\n')
    table = read_reports(path, COLUMNS)
    assert table.to_numpy().tolist() == [
        ["0012", "007", "FINDINGS: LVEF 38 %,\nnormal"],
        ["NA", "008", "None"],
    ]
    assert list(table.columns) == ["patient", "accession", "text"]
    assert table.attrs["encoding"] == "utf-8"


@pytest.mark.parametrize(("encoding", "said"), [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("latin-1", "latin-1")])
def test_encodings_are_told_apart_and_said(tmp_path, encoding, said):
    table = read_reports(write(tmp_path, "MRN,Acc,Befund\n1,2,Größe 5\n", encoding=encoding), COLUMNS)
    assert table.loc[0, "text"] == "Größe 5"
    assert table.attrs["encoding"] == said


def test_tabs_separate_a_tsv(tmp_path):
    table = read_reports(write(tmp_path, "MRN\tAcc\tBefund\n1\t2\ta, b\n", "r.tsv"), COLUMNS)
    assert table.loc[0, "text"] == "a, b"


def test_a_missing_column_is_named_with_those_found(tmp_path):
    with pytest.raises(ValueError, match="no column 'Befund'; found: MRN, Acc, Text"):
        read_reports(write(tmp_path, "MRN,Acc,Text\n1,2,x\n"), COLUMNS)


def test_a_table_without_a_header_is_refused_without_showing_its_first_row(tmp_path):
    with pytest.raises(ValueError, match="found: 3 columns") as caught:
        read_reports(write(tmp_path, "Zormek^Anna,A12345,x\n1,2,x\n", "Zormek.csv"), COLUMNS)
    assert "Zormek" not in str(caught.value)
    assert "A12345" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\0\1" * 900, "MRN,Acc,Befund\n1,2,3,4,5\n1\n1,2,3,4,5,6\n"])
@pytest.mark.parametrize("name", ["Zormek.csv", "Zormek.jsonl", "Zormek.docx"])
def test_no_message_holds_the_name_of_a_table(tmp_path, text, name):
    with pytest.raises(ValueError, match="report table") as caught:
        read_reports(write(tmp_path, text, name), COLUMNS)
    assert "Zormek" not in str(caught.value)


def test_repeated_accession_numbers_are_refused_without_showing_them(tmp_path):
    table = read_report_table(write(tmp_path, "MRN,Acc,Befund\n1,SECRET,x\n1,SECRET,y\n2,,z\n3,,z\n"), COLUMNS, KEY)
    assert [(row.code, row.study_key) for row in table.rejects] == [
        ("E_REPORT_DUPLICATE", keyed_name(KEY, "study", "SECRET"))
    ] * 2
    assert "SECRET" not in repr(table.rejects)
    assert table.reports["text"].tolist() == ["z", "z"]


@pytest.mark.parametrize("text", ["", 'MRN,Acc,Befund\n1,2,"open\n', "MRN,Acc,Befund\n1,2,3,4,5\n1,2\n1,2,3,4,5,6\n"])
def test_a_table_that_is_none_is_refused_in_a_sentence(tmp_path, text):
    with pytest.raises(ValueError, match="The report table"):
        read_reports(write(tmp_path, text), COLUMNS)


def test_an_absent_or_foreign_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_reports(tmp_path / "no.csv", COLUMNS)
    with pytest.raises(ValueError, match=r"csv or \.tsv"):
        read_reports(write(tmp_path, "x", "r.docx"), COLUMNS)


# --- other formats and encodings --------------------------------------------------------------------------------


@pytest.mark.parametrize(("encoding", "said"), [("utf-16", "utf-16"), ("utf-16-le", "utf-16"), ("cp1252", "cp1252")])
def test_windows_encodings_are_read(tmp_path, encoding, said):
    table = read_reports(write(tmp_path, "MRN,Acc,Befund\n1,2,“Größe” – 5\n", encoding=encoding), COLUMNS)
    assert table.loc[0, "text"] == "“Größe” – 5"
    assert table.attrs["encoding"] == said


def test_semicolons_separate_where_no_comma_stands_in_the_header(tmp_path):
    table = read_reports(write(tmp_path, "MRN;Acc;Befund\n1;2;a, 5,5 mm\n"), COLUMNS)
    assert table.loc[0, "text"] == "a, 5,5 mm"


@pytest.mark.parametrize(
    "text",
    [
        '{"MRN": 1, "Acc": "007", "Befund": "EF 5\\nb"}\n\n{"MRN": null, "Acc": "8", "Befund": ["x", "y"], "n": 1}\n',
        '[{"MRN": 1, "Acc": "007", "Befund": "EF 5\\nb"}, {"Acc": "8", "Befund": ["x", "y"]}]',
    ],
)
def test_json_lines_are_read(tmp_path, text):
    table = read_reports(write(tmp_path, text, "r.jsonl"), COLUMNS)
    assert table.to_numpy().tolist() == [["1", "007", "EF 5\nb"], ["", "8", "x\ny"]]


@pytest.mark.parametrize("text", ["{", "[1, 2]", "", '{"a": 1}\n[2]', "[" * 100_000])
def test_broken_json_is_refused_in_a_sentence(tmp_path, text):
    with pytest.raises(ValueError, match="The report table") as caught:
        read_reports(write(tmp_path, text, "r.jsonl"), COLUMNS)
    assert len(str(caught.value)) < 200


def test_a_folder_of_texts_is_read_by_name_and_odd_files_are_refused_by_key(tmp_path):
    folder = tmp_path / "texts"
    (folder / "P1").mkdir(parents=True)
    (folder / "P1" / "A1.txt").write_text("EF 60 %\n", encoding="utf-8")
    (folder / "A2.txt").write_bytes("Größe".encode("latin-1"))
    (folder / "A3.txt").write_bytes(b"\x00\x01\x02\xff" * 300)
    (folder / "A4.txt").write_bytes(b"x" * 10_000_000)
    (folder / "A5.txt").symlink_to(folder / "A2.txt")
    (folder / "notes.md").write_text("no report", encoding="utf-8")
    table = read_report_table(folder, COLUMNS, KEY)
    assert table.reports.to_numpy().tolist() == [["", "A2", "Größe", 1], ["P1", "A1", "EF 60 %", 1]]
    codes = {keyed_name(KEY, "study", name): code for name, code in (
        ("A3", "E_REPORT_BINARY"), ("A4", "E_REPORT_TOO_LONG"), ("A5", "N_NOT_REGULAR"),
        ("notes", "N_NO_REPORT"))}  # fmt: skip
    assert {row.study_key: row.code for row in table.rejects if row.level == "report"} == codes
    assert table.found == 6 == len(table.reports) + len(codes)


def test_binary_is_no_table(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(ValueError, match="not text"):
        read_reports(path, COLUMNS)


def test_a_binary_cell_among_good_ones_is_left_to_the_judge_of_reports(tmp_path):
    blob = "\x00\x01\x02" * 40
    text = "MRN,Acc,Befund\n" + "".join(
        f'{n},A{n},"{blob if n == 3 else "EF 60 %, normal heart. " * 20}"\n' for n in range(9)
    )
    table = read_reports(write(tmp_path, text), COLUMNS)
    assert [fault(one) for one in table["text"]] == [""] * 3 + ["E_REPORT_BINARY"] + [""] * 5


# --- several rows a study ---------------------------------------------------------------------------------------
def table_of(tmp_path, *rows, **settings):
    lines = "\n".join(json.dumps(dict(zip(("MRN", "Acc", "Befund"), row, strict=True))) for row in rows)
    return read_report_table(write(tmp_path, lines, "r.jsonl"), COLUMNS, KEY, **settings)


def test_addenda_are_joined_behind_their_report_wherever_they_stand(tmp_path):
    rows = (
        ("1", "A", "ADDENDUM: T1 1010 ms."),
        ("1", "A", "EF 60 %."),
        ("1", "A", "Correction: EF 61 %."),
        ("2", "B", "x"),
    )
    table = table_of(tmp_path, *rows)
    assert table.reports["text"].tolist() == ["EF 60 %.\n\nADDENDUM: T1 1010 ms.\n\nCorrection: EF 61 %.", "x"]
    assert table.reports["rows"].tolist() == [3, 1]
    assert table.rejects == []


def test_the_same_row_twice_counts_once(tmp_path):
    table = table_of(tmp_path, ("1", "A", "EF 60 %."), ("1", "A", " ef  60 %.\n"))
    assert table.reports["rows"].tolist() == [2]


@pytest.mark.parametrize(("several", "text"), [("join", "EF 60.\n\nEF 30."), ("last", "EF 30.")])
def test_two_reports_a_study_are_refused_joined_or_the_last_is_kept(tmp_path, several, text):
    rows = ("1", "SECRET", "EF 60."), ("1", "SECRET", "EF 30."), ("2", "B", "x")
    table = table_of(tmp_path, *rows)
    assert table.reports["accession"].tolist() == ["B"]
    assert [row.code for row in table.rejects] == ["E_REPORT_DUPLICATE"] * 2
    assert {row.study_key for row in table.rejects} == {keyed_name(KEY, "study", "SECRET")}
    assert "SECRET" not in repr(table.rejects)
    assert table_of(tmp_path, *rows, several=several).reports["text"].tolist() == [text, "x"]


def test_two_patients_under_one_accession_number_are_quarantined(tmp_path):
    table = table_of(tmp_path, ("1", "A", "EF 60."), ("2", "A", "ADDENDUM: x"), ("3", "B", "y"), several="join")
    assert [row.code for row in table.rejects] == ["E_IDENTITY_CONFLICT"] * 2
    assert table.reports["accession"].tolist() == ["B"]


def test_rows_without_accession_are_never_joined(tmp_path):
    assert len(table_of(tmp_path, ("1", "", "a"), ("1", "", "a")).reports) == 2
