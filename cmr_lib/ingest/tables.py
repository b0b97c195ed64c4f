"""Tables of reports, as hospitals export them: .csv or .tsv, in UTF-8 or Latin-1, with columns of any name."""

import io
from pathlib import Path

import pandas as pd

from cmr_lib.params import ReportColumns

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


def _decoded(path: Path) -> tuple[str, str]:
    """Text and encoding: UTF-8 (with or without its mark), else Latin-1, which never fails and may be wrong."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


def _parsed(text: str, separator: str, name: str) -> pd.DataFrame:
    try:
        return pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        kind = "is empty" if isinstance(error, pd.errors.EmptyDataError) else "has rows of different lengths"
        raise ValueError(f"Report table {name} {kind}; a table with one header row is wanted.") from None


def read_reports(path: Path | str, columns: ReportColumns) -> pd.DataFrame:
    """Reports with columns patient, accession, text (all str, stripped), in the order of the table.

    `attrs["encoding"]` is "utf-8" or "latin-1" (then one `W_ENCODING` row is due). Raises FileNotFoundError, and
    ValueError that names a missing column and those found, or says how many accession numbers occur twice; no message
    holds a value of the table.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Report table {path} not found.")
    if path.suffix.lower() not in SEPARATORS:
        raise ValueError(f"Report table {path.name}: .csv or .tsv is wanted.")
    text, encoding = _decoded(path)
    table = _parsed(text, SEPARATORS[path.suffix.lower()], path.name)
    for wanted in (columns.patient, columns.accession, columns.text):
        if wanted not in table.columns:
            found = ", ".join(str(name) for name in table.columns)
            raise ValueError(f"Report table {path.name} has no column {wanted!r}; found: {found}. See cohort.columns.")
    reports = pd.DataFrame(
        {
            "patient": table[columns.patient].fillna("").str.strip(),
            "accession": table[columns.accession].fillna("").str.strip(),
            "text": table[columns.text].fillna("").str.strip(),
        }
    )
    named = reports.loc[reports["accession"] != "", "accession"]
    if twice := int(named.duplicated().sum()):
        raise ValueError(
            f"Report table {path.name}: {twice} of {len(reports)} rows repeat an accession number; one report a study "
            "is wanted. Merge addenda into their report first."
        )
    reports.attrs["encoding"] = encoding
    return reports
