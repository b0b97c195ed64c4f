"""Report tables in Excel files, written here with openpyxl or, where it writes no such thing, by hand as XML."""

import datetime
import io
import json
import zipfile

import openpyxl
import pytest

from cmr_lib.ingest.rejects import CODES
from cmr_lib.ingest.tables import read_report_table
from cmr_lib.params import ReportColumns

COLUMNS = ReportColumns(patient="MRN", accession="Acc", text="Befund")
KEY = b"a key for tests, thirty-two bytes"
SHEET = "xl/worksheets/sheet1.xml"
HEADER = ("MRN", "Acc", "Befund")
BROKEN = {
    "no zip": b"PK\x03\x04 Zormek",
    "empty": b"",
    "text": b"MRN,Acc,Befund\n1,2,Zormek\n",
    "old": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"Zormek" * 100,
}


def workbook(*sheets, formats=()):
    """Bytes of a workbook with sheets of rows; `formats` are (cell, number format) of the first."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"Zormek {number}")
        for row in rows:
            sheet.append(row)
    for place, number_format in formats:
        book.worksheets[0][place].number_format = number_format
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def parts(data, changes, new=()):
    """The workbook with some of its parts changed, {name: (old, new)}, and with new ones: (name, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        content = {name: old.read(name) for name in old.namelist()}
        for name, (before, after) in changes.items():
            assert before in content[name]
            content[name] = content[name].replace(before, after)
        for name, text in (*content.items(), *new):
            made.writestr(name, text)
    return buffer.getvalue()


def as_excel_shares(data, old, strings):
    """The workbook with the cell that holds `old` as Excel itself keeps texts: a number into a table of strings."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
    mime = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    inline = f't="inlineStr"><is><t>{old}</t></is>'.encode()
    changes = {
        SHEET: (inline, b't="s"><v>0</v>'),
        "xl/_rels/workbook.xml.rels": (
            b"</Relationships>",
            f'<Relationship Id="rId99" Type="{kind}" Target="sharedStrings.xml"/></Relationships>'.encode(),
        ),
        "[Content_Types].xml": (
            b"</Types>",
            f'<Override PartName="/xl/sharedStrings.xml" ContentType="{mime}"/></Types>'.encode(),
        ),
    }
    table = f'<?xml version="1.0"?><sst xmlns="{main}" count="1" uniqueCount="1">{strings}</sst>'
    return parts(data, changes, [("xl/sharedStrings.xml", table)])


def read(folder, data, name="r.xlsx", **settings):
    path = folder / name
    path.write_bytes(data)
    return read_report_table(path, COLUMNS, KEY, **settings)


def texts(table):
    return table.reports[["patient", "accession", "text"]].to_numpy().tolist()


# --- the same as a .csv -----------------------------------------------------------------------------------------
ROWS = [
    ("x", "Acc", "Befund", "MRN"),
    ("1", "007", "FINDINGS: LVEF 38 %,\nGröße normal", "0012"),
    ("2", "008", "None", "NA"),
    ("3", "009", "EF 50", "P9"),
    ("3", "009", "Addendum: T1 1010 ms", "P9"),
    ("3", "010", "one", "P10"),
    ("3", "010", "two", "P10"),
]


@pytest.mark.parametrize("name", ["r.xlsx", "R.XLSX", "r.xlsm"])
def test_a_workbook_is_read_as_the_json_lines_of_the_same_rows(tmp_path, name):
    lines = [json.dumps(dict(zip(ROWS[0], row, strict=True))) for row in ROWS[1:]]
    (tmp_path / "r.jsonl").write_text("\n".join(lines), encoding="utf-8")
    wanted = read_report_table(tmp_path / "r.jsonl", COLUMNS, KEY)
    found = read(tmp_path, workbook(ROWS), name)
    assert texts(found) == texts(wanted)
    assert (found.found, found.rejects) == (wanted.found, wanted.rejects)
    assert found.found == found.reports["rows"].sum() + len(found.rejects) == 6


# --- cells ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cell", "number_format", "text"),
    [
        ("00123", "General", "00123"), (123, "General", "123"), (123.0, "0", "123"), (123, "00000000", "00000123"),
        (12345678901234, "General", "12345678901234"), (0, "General", "0"), (1.5, "00", "1.5"),
        (True, "General", "TRUE"), ("1E5", "General", "1E5"),
        (datetime.date(2015, 3, 9), "dd/mm/yyyy", "2015-03-09"),
        (datetime.datetime(2015, 3, 9, 14, 30), "d.m.yy h:mm", "2015-03-09 14:30"),
    ],
)  # fmt: skip
def test_a_cell_is_read_as_the_text_that_excel_shows(tmp_path, cell, number_format, text):
    found = read(
        tmp_path, workbook([HEADER, ("P", cell, cell)], formats=[("B2", number_format), ("C2", number_format)])
    )
    assert texts(found) == [["P", text, text]]


def test_an_accession_number_whose_digits_excel_has_lost_is_refused_and_not_guessed(tmp_path):
    data = workbook([HEADER, ("P", 1234567890123456, "EF 60")])
    with pytest.raises(ValueError, match="more than 15 digits") as caught:
        read(tmp_path, data)
    assert "1234567" not in str(caught.value)
    assert texts(read(tmp_path, workbook([HEADER, ("P", "1234567890123456", "EF 60")])))[0][1] == "1234567890123456"
    beside = [(*HEADER, "other"), ("P", "A", "EF 60", 1234567890123456)]  # a column that nobody asked for
    assert texts(read(tmp_path, workbook(beside))) == [["P", "A", "EF 60"]]


def test_line_ends_and_formatted_parts_of_a_cell_are_kept(tmp_path):
    data = workbook([HEADER, ("P", "A", "one"), ("P", "B", "x")])
    rich = "<si><r><t>on</t></r><r><rPr><b/></rPr><t>e_x000D_\ntwo &lt; 3</t></r></si>"
    found = read(tmp_path, as_excel_shares(data, "one", rich))
    assert texts(found) == [["P", "A", "one\ntwo < 3"], ["P", "B", "x"]]


def test_formulas_are_read_as_they_were_last_computed_and_their_errors_are_empty(tmp_path):
    data = workbook([HEADER, ("P", "A", '="EF "&60'), ("P", "#N/A", "y")])
    done = (b'<f>"EF "&amp;60</f><v />', b'<f>"EF "&amp;60</f><v>EF 60</v>')
    data = parts(data, {SHEET: done})
    data = parts(data, {SHEET: (b'<c r="C2">', b'<c r="C2" t="str">')})
    assert texts(read(tmp_path, data)) == [["P", "A", "EF 60"], ["P", "", "y"]]


def test_a_day_that_does_not_exist_is_empty_and_not_told(tmp_path, recwarn):
    data = workbook([HEADER, ("P", "A", 99999999999)], formats=[("C2", "dd/mm/yyyy")])
    assert texts(read(tmp_path, data)) == [["P", "A", ""]]
    assert not recwarn.list


# --- sheets -----------------------------------------------------------------------------------------------------
def test_empty_rows_columns_and_short_rows_are_no_reports(tmp_path):
    rows = [
        (),
        (None, *HEADER),
        (),
        (None, "P", "A", "x"),
        (None, "P", "B"),
        ("note",),
        *[()] * 40,
        (None, "Q", "C", "y"),
    ]
    found = read(tmp_path, workbook(rows))
    assert texts(found) == [["P", "A", "x"], ["P", "B", ""], ["", "", ""], ["Q", "C", "y"]]


def test_a_sheet_that_says_it_is_smaller_than_it_is_loses_no_row(tmp_path):
    data = workbook([HEADER, ("P", "A", "x"), ("P", "B", "y")])
    small = parts(data, {SHEET: (b'<dimension ref="A1:C3"', b'<dimension ref="A1"')})
    assert texts(read(tmp_path, small)) == [["P", "A", "x"], ["P", "B", "y"]]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_of_several_sheets_the_one_with_the_columns_is_read_and_that_is_said(tmp_path, at):
    sheets = [[("about", "this"), ("x", 1)], [("more",)]]
    sheets.insert(at, [HEADER, ("P", "A", "x")])
    found = read(tmp_path, workbook(*sheets))
    assert texts(found) == [["P", "A", "x"]]
    assert [(row.level, row.code, row.action) for row in found.rejects] == [("table", "W_SHEETS", "repaired")]


def test_two_sheets_with_the_columns_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="2 sheets of these columns") as caught:
        read(tmp_path, workbook([HEADER, ("P", "A", "x")], [HEADER, ("P", "B", "y")]))
    assert "Zormek" not in str(caught.value)


def test_a_missing_column_is_named_with_those_found(tmp_path):
    with pytest.raises(ValueError, match="no column 'Befund'; found: MRN, Acc, Text"):
        read(tmp_path, workbook([("MRN", "Acc", "Text"), ("P", "A", "x")]))
    with pytest.raises(ValueError, match="found: 3 columns") as caught:
        read(tmp_path, workbook([("Zormek Anna", 4471902, "A77"), ("P", "A", "x")]))
    assert "Zormek" not in str(caught.value)
    assert "4471902" not in str(caught.value)


# --- broken ones ------------------------------------------------------------------------------------------------
def cut_workbooks():
    whole = workbook([HEADER, *[(f"P{n}", f"A{n}", f"Zormek {n}") for n in range(50)]])
    yield from ((f"cut at {share}", whole[: int(share * len(whole))]) for share in (0.1, 0.5, 0.99))
    yield "bad XML", parts(whole, {SHEET: (b"</row>", b"</rowZormek>")})
    yield "no sheet", workbook([])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("Zormek.txt", "Zormek")
    yield "another zip", buffer.getvalue()


@pytest.mark.parametrize(("why", "data"), [*BROKEN.items(), *cut_workbooks()])
def test_a_broken_workbook_ends_in_a_code_and_one_sentence_without_a_value(tmp_path, why, data):
    with pytest.raises(ValueError, match="The report table is an Excel file") as caught:
        read(tmp_path, data, "Zormek.xlsx")
    assert "[E_REPORT_TABLE]" in str(caught.value)
    assert "E_REPORT_TABLE" in CODES
    assert "Zormek" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) < 200


def test_a_workbook_that_would_fill_the_memory_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("cmr_lib.ingest.workbook.MAX_BYTES", 10_000)
    with pytest.raises(ValueError, match="would grow"):
        read(tmp_path, workbook([HEADER, ("P", "A", "x" * 10_000)]))
