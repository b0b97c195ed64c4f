"""Reports as hospitals export them: a table (.csv, .tsv, .xlsx), JSON lines, or a folder of texts; any encoding.

One report a study comes out: addenda are joined to their report, the same row twice counts once, and two different
reports under one accession number are refused by keyed name, never by value.
"""

import codecs
import io
import json
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from cmr_lib.ingest.files import safe_name, walk
from cmr_lib.ingest.rejects import TableRefused, reject
from cmr_lib.ingest.workbook import SUFFIXES as WORKBOOKS
from cmr_lib.ingest.workbook import read_workbook
from cmr_lib.params import ReportColumns
from cmr_lib.project import keyed_name
from cmr_lib.types import Reject

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
JSON_LINES, TEXTS = (".jsonl", ".ndjson", ".json"), (".txt", ".text")
RUBBISH = 0.05  # share of control characters from which a file is no text; one byte in ten of a picture or archive
MAX_TEXT_BYTES = 1_000_000  # of one file in a folder of texts; longer ones are not opened
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
          (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_ADDENDUM = re.compile(r"\s*[*#\[(_]*\s*(?:addend(?:um|a)|supplement(?:ary report)?|amendment|correction|"
     r"corrigendum)\b", re.IGNORECASE)  # fmt: skip
_COLUMN = re.compile(r"(?:[^\W\d]|[ .-]){1,31}")  # letters only: numbers of patients and studies have digits
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
Several = Literal["refuse", "join", "last"]
ROWS = ["patient", "accession", "text"]


# --- bytes to text ----------------------------------------------------------------------------------------------
def decoded(data: bytes) -> tuple[str, str] | None:
    """Text and encoding, or None for what is no text.

    UTF-8, -16 and -32 with their marks, UTF-16 without one by its zero bytes, UTF-8; else Windows-1252 or Latin-1,
    which never fail and may be wrong. A little rubbish among text is no fault of the rest: `reports.checks` judges each
    report.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _or_none(data, name, "utf-8" if name == "utf-8-sig" else name)
    if b"\0" in data:
        even, odd = data[0::2].count(0), data[1::2].count(0)
        wide = max(even, odd) > 0.7 * len(data) / 2 and min(even, odd) < 0.05 * len(data) / 2
        if wide and (found := _or_none(data, "utf-16-le" if odd > even else "utf-16-be", "utf-16")):
            return None if _is_binary(found[0]) else found
    for name, said in (("utf-8", "utf-8"), (_eight_bit(data), _eight_bit(data)), ("latin-1", "latin-1")):
        if (text := _or_none(data, name, said)) is not None:
            return text if not _is_binary(text[0]) else None
    return None


def _or_none(data: bytes, name: str, said: str) -> tuple[str, str] | None:
    try:
        return data.decode(name), said
    except UnicodeDecodeError:
        return None


def _eight_bit(data: bytes) -> str:
    """Bytes 128 to 159 are letters and quotes in Windows-1252 only."""
    return "cp1252" if re.search(rb"[\x80-\x9f]", data) else "latin-1"


def _is_binary(text: str) -> bool:
    return sum(1 for _ in _NO_TEXT.finditer(text)) > RUBBISH * len(text)


def _text_of(path: Path) -> tuple[str, str]:
    found = decoded(path.read_bytes())
    if found is None:
        raise TableRefused("is not text; .csv, .tsv, .jsonl, .xlsx or a folder of .txt is wanted.")
    return found


# --- text to rows -----------------------------------------------------------------------------------------------
def _separator(text: str, suffix: str) -> str:
    """What separates the columns: as the ending says, but a .csv of a German-speaking hospital has semicolons."""
    first = text.split("\n", 1)[0]
    if suffix == ".csv" and "," not in first:
        return next((mark for mark in (";", "\t", "|") if mark in first), ",")
    return SEPARATORS[suffix]


def _parsed(text: str, separator: str) -> pd.DataFrame:
    try:
        return pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        kind = "is empty" if isinstance(error, pd.errors.EmptyDataError) else "has rows of different lengths"
        raise TableRefused(f"{kind}; a table with one header row is wanted.") from None


def _records(text: str) -> pd.DataFrame:
    """JSON lines, or one JSON list of objects."""
    try:
        whole = text.lstrip().startswith("[")
        rows = json.loads(text) if whole else [json.loads(line) for line in text.splitlines() if line.strip()]
    except (json.JSONDecodeError, RecursionError):
        raise TableRefused("is not JSON lines; one object a line is wanted.") from None
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise TableRefused("holds no objects; one object a line is wanted.")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return pd.DataFrame([{key: _as_text(row.get(key)) for key in columns} for row in rows], dtype=str)


def _as_text(value: Any) -> str:
    """A JSON value as a report's text; a list of strings is its lines."""
    if isinstance(value, list):
        return "\n".join(_as_text(part) for part in value)
    return "" if value is None else str(value)


def _table(path: Path, columns: ReportColumns) -> tuple[pd.DataFrame, str, int]:
    """The rows of a file, its encoding, and how many sheets it has."""
    suffix = path.suffix.lower()
    if suffix in WORKBOOKS:
        table, sheets = read_workbook(path.read_bytes(), (columns.patient, columns.accession, columns.text))
        return table, "utf-8", sheets
    if suffix not in (*SEPARATORS, *JSON_LINES):
        raise TableRefused("is of another kind; .csv or .tsv, .jsonl, .xlsx or a folder of .txt is wanted.")
    text, encoding = _text_of(path)
    table = _records(text) if suffix in JSON_LINES else _parsed(text, _separator(text, suffix))
    return table, encoding, 1


def _columns_told(names: list[str]) -> str:
    """Names of columns for a message, unless one has digits or is long: a table without a header begins with data."""
    if all(_COLUMN.fullmatch(name) for name in names):
        return ", ".join(names)
    return f"{len(names)} columns, not all of which have a name (a table with one header row is wanted)"


def _mapped(table: pd.DataFrame, columns: ReportColumns) -> pd.DataFrame:
    for wanted in (columns.patient, columns.accession, columns.text):
        if wanted not in table.columns:
            found = _columns_told([str(column) for column in table.columns])
            raise TableRefused(f"has no column {wanted!r}; found: {found}. See cohort.columns.")
    chosen = {row: table[getattr(columns, row)].fillna("").str.strip() for row in ROWS}
    return pd.DataFrame(chosen)


def _folder_rows(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """(patient, accession, text, code) of each text file.

    A file is named by its accession number, and lies in a folder named by its patient or in the root.
    """
    for path in walk(folder):
        name, facts = safe_name(path.stem), path.lstat()
        patient = safe_name(path.parent.name) if path.parent != folder else ""
        if not stat.S_ISREG(facts.st_mode):
            yield patient, name, "", "N_NOT_REGULAR"
        elif path.suffix.lower() not in TEXTS:
            yield patient, name, "", "N_NO_REPORT"
        elif facts.st_size > MAX_TEXT_BYTES:
            yield patient, name, "", "E_REPORT_TOO_LONG"
        elif (found := decoded(path.read_bytes())) is None:
            yield patient, name, "", "E_REPORT_BINARY"
        else:
            yield patient, name, found[0].strip(), "" if found[1] == "utf-8" else "W_ENCODING"


# --- rows to reports --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ReportTable:
    """Reports, one a study, and the rows that were refused.

    found = sum of `rows` + rejects of level "report".
    """

    reports: pd.DataFrame  # patient, accession, text, rows (how many were joined), all of the export's order
    found: int
    encoding: str
    rejects: list[Reject] = field(default_factory=list)


def _same(text: str) -> str:
    return " ".join(text.split()).casefold()


def _united(texts: list[str], several: Several) -> tuple[str, str]:
    """One text of several under one accession number and "", or "" and the code that refuses them.

    Repeats of a text count once; a text that begins with "Addendum" goes behind the report, wherever it stood.
    """
    different = list({_same(text): text for text in texts}.values())
    reports = [text for text in different if not _ADDENDUM.match(text)]
    added = [text for text in different if _ADDENDUM.match(text)]
    if len(reports) > 1 and several == "refuse":
        return "", "E_REPORT_DUPLICATE"
    kept = reports[-1:] if several == "last" else reports
    return "\n\n".join([*kept, *added]), ""


def _grouped(
    rows: pd.DataFrame, several: Several
) -> tuple[list[tuple[str, str, str, int]], list[tuple[str, str, int]]]:
    """Reports (patient, accession, text, rows) and refusals (accession, code, rows); no accession: as they stand."""
    kept: list[tuple[str, str, str, int]] = []
    refused: list[tuple[str, str, int]] = []
    for accession, group in rows.groupby(rows["accession"].where(rows["accession"] != "", rows.index), sort=False):
        patients = {name for name in group["patient"] if name}
        text, code = _united(list(group["text"]), several) if len(group) > 1 else (group["text"].iloc[0], "")
        if code := "E_IDENTITY_CONFLICT" if len(patients) > 1 else code:
            refused.append((str(accession), code, len(group)))
        else:
            kept.append((next(iter(patients), ""), group["accession"].iloc[0], text, len(group)))
    return kept, refused


@dataclass(frozen=True)
class _Found:
    """What stands in a table or folder, before rows of one study are united."""

    rows: pd.DataFrame
    encoding: str
    sheets: int = 1
    refused: list[tuple[str, str]] = field(default_factory=list)  # (accession, code) of files that are no report

    @property
    def remarks(self) -> list[str]:
        """Codes worth a remark about the table as a whole."""
        return ["W_ENCODING"] * (self.encoding != "utf-8") + ["W_SHEETS"] * (self.sheets > 1)


def _folder(path: Path) -> _Found:
    files = list(_folder_rows(path))
    if not files:
        raise ValueError("The report folder holds no .txt file; one file a report is wanted.")
    usable = [row[:3] for row in files if row[3] in ("", "W_ENCODING")]
    encoding = "mixed" if any(row[3] == "W_ENCODING" for row in files) else "utf-8"
    refused = [(row[1], row[3]) for row in files if row[3] not in ("", "W_ENCODING")]
    return _Found(pd.DataFrame(usable, columns=ROWS, dtype=str), encoding, refused=refused)


def _found(path: Path, columns: ReportColumns) -> _Found:
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise FileNotFoundError("The report table (cohort.reports) is not there: correct its path.")
    table, encoding, sheets = _table(path, columns)
    return _Found(_mapped(table, columns), encoding, sheets)


def read_report_table(path: Path | str, columns: ReportColumns, key: bytes, several: Several = "refuse") -> ReportTable:
    """Reports of a table, JSON lines, workbook or folder, one a study; refused rows by keyed name and code.

    `several` says what becomes of different reports under one accession number that are no addenda: refused (all of
    them), joined in their order, or only the last kept. Raises FileNotFoundError, and ValueError in one sentence that
    holds no value, for a file that is no such table.
    """
    found = _found(Path(path), columns)
    kept, refused = _grouped(found.rows, several)
    rejects = [reject("report", code, study_key=keyed_name(key, "study", name)) for name, code in found.refused]
    rejects += [
        reject("report", code, study_key=keyed_name(key, "study", accession), tag=columns.accession)
        for accession, code, count in refused
        for _ in range(count)
    ]
    rejects += [reject("table", code) for code in found.remarks]
    reports = pd.DataFrame(kept, columns=[*ROWS, "rows"])
    return ReportTable(reports, len(found.rows) + len(found.refused), found.encoding, rejects)
