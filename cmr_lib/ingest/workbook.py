"""Report tables in Excel files (.xlsx, .xlsm): cells as the text that Excel shows; macros and formulas are never run.

Excel keeps a number as 15 digits without leading zeros, and a day as a number with a format. So a cell becomes text by
its type: text stays as it is, a number that its format pads ("00000000") keeps its zeros, a day is written as ISO 8601.
"""

import datetime
import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import openpyxl
import pandas as pd

from cmr_lib.ingest.rejects import TableRefused

SUFFIXES = (".xlsx", ".xlsm")
MAX_BYTES = 1024 * 2**20  # that the zipped parts of a workbook may grow to
LOST = 10**15  # numbers from here on have lost digits
_CONTROL = re.compile(r"_x00(0[9ADad])_")  # how the format may write tab, line feed and carriage return
_PADDED = re.compile(r"0{2,}")
_OLD = b"\xd0\xcf\x11\xe0"  # begins an .xls, and an .xlsx under a password


def _refusal(why: str) -> TableRefused:
    return TableRefused(f"is an Excel file {why}.")


# --- cells ------------------------------------------------------------------------------------------------------
def _number(value: int | float, number_format: str) -> str:
    if not float(value).is_integer():
        return repr(value)
    if abs(value) >= LOST:
        raise _refusal("with a number of more than 15 digits, which Excel does not keep: make that column text")
    return str(int(value)).zfill(len(number_format) if _PADDED.fullmatch(number_format) else 0)


def _day(value: datetime.datetime) -> str:
    """ISO 8601; midnight is how Excel keeps a day without a time."""
    return f"{value:%Y-%m-%d}" if value.time() == datetime.time() else f"{value:%Y-%m-%d %H:%M}"


def text_of(value: Any, number_format: str = "General") -> str:
    """A cell's value as text; None is the empty text. Raises TableRefused for a number that has lost digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, number_format)
    if isinstance(value, datetime.datetime):
        return _day(value)
    text = _CONTROL.sub(lambda match: chr(int(match[1], 16)), str(value))
    return text.replace("\r\n", "\n").replace("\r", "\n")


# --- sheets -----------------------------------------------------------------------------------------------------
def _header(row: Sequence[Any]) -> list[str]:
    """Names of columns; a number as a header is no name that a parameter could mean."""
    return [str(cell.value).strip() if isinstance(cell.value, str) else "" for cell in row]


def _filled_rows(sheet: Any) -> Iterator[Sequence[Any]]:
    """The rows in which something stands: a sheet may be a million rows long and empty."""
    sheet.reset_dimensions()  # some programs write a size that is too small: what lies beyond would be lost
    return (row for row in sheet.iter_rows() if any(cell.value not in (None, "") for cell in row))


def _texts(row: Sequence[Any], places: Sequence[int]) -> list[str]:
    """The cells of some columns; the error of a formula is the empty text, and so is what lies beyond the row's end."""
    cells = [row[place] if place < len(row) else None for place in places]
    return [
        "" if cell is None or cell.data_type == "e" else text_of(cell.value, cell.number_format or "") for cell in cells
    ]


def _chosen(book: Any, wanted: Sequence[str]) -> tuple[list[str], Iterator[Sequence[Any]]]:
    """Header and other rows of the sheet that has the wanted columns, or of the first one where none has them.

    Raises TableRefused where several have them, or none has a row.
    """
    sheets = [(_header(next(rows, ())), rows) for rows in map(_filled_rows, book.worksheets)]
    fitting = [one for one in sheets if set(wanted) <= set(one[0])]
    if len(fitting) > 1:
        raise _refusal(f"with {len(fitting)} sheets of these columns: keep one, or save it as .csv in UTF-8")
    filled = [one for one in sheets if one[0]]
    if not filled:
        raise _refusal("without a filled cell; a sheet with one header row is wanted")
    return (fitting or filled)[0]


def _opened(data: bytes) -> Any:
    """The workbook. Raises TableRefused for another container, and before unpacking for one that would not fit."""
    if data.startswith(_OLD):
        raise _refusal("of the old kind (.xls) or under a password: save it as .xlsx without one, or as .csv in UTF-8")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise _refusal(f"that would grow to more than {MAX_BYTES // 2**20} MiB")
    return openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)


def _read(data: bytes, wanted: Sequence[str]) -> tuple[pd.DataFrame, int]:
    book = _opened(data)
    header, rows = _chosen(book, wanted)
    if not set(wanted) <= set(header):
        return pd.DataFrame(columns=header, dtype=str), len(book.worksheets)
    places = [header.index(name) for name in wanted]
    return pd.DataFrame([_texts(row, places) for row in rows], columns=wanted, dtype=str), len(book.worksheets)


def read_workbook(data: bytes, wanted: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """The wanted columns of a workbook as text, and how many sheets it has.

    The sheet whose first filled row names all wanted columns is taken, wherever it stands. Where none does, the table
    has the header of the first filled sheet and no row. Raises TableRefused, in one sentence that holds no value.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl tells the value of a day that does not exist
        try:
            return _read(data, wanted)
        except TableRefused:
            raise
        except Exception as error:  # noqa: BLE001 (a broken workbook raises a dozen types, and messages hold values)
            kind = type(error).__name__
    raise _refusal(f"that is broken ({kind}): save it again, or as .csv in UTF-8") from None
