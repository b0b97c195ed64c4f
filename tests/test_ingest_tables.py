"""Report tables as hospitals export them."""

import pytest

from cmr_lib.ingest.tables import read_reports
from cmr_lib.params import ReportColumns

COLUMNS = ReportColumns(patient="MRN", accession="Acc", text="Befund")


def write(tmp_path, text, name="r.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


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


def test_repeated_accession_numbers_are_refused_without_showing_them(tmp_path):
    path = write(tmp_path, "MRN,Acc,Befund\n1,SECRET,x\n1,SECRET,y\n2,,z\n3,,z\n")
    with pytest.raises(ValueError, match="1 of 4 rows") as caught:
        read_reports(path, COLUMNS)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("text", ["", 'MRN,Acc,Befund\n1,2,"open\n', "MRN,Acc,Befund\n1,2,3,4,5\n1,2\n1,2,3,4,5,6\n"])
def test_a_table_that_is_none_is_refused_in_a_sentence(tmp_path, text):
    with pytest.raises(ValueError, match=r"r\.csv"):
        read_reports(write(tmp_path, text), COLUMNS)


def test_an_absent_or_foreign_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_reports(tmp_path / "no.csv", COLUMNS)
    with pytest.raises(ValueError, match=r"csv or \.tsv"):
        read_reports(write(tmp_path, "x", "r.xlsx"), COLUMNS)
