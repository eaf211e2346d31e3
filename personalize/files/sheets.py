"""Read one sheet of an Excel workbook (.xlsx, .xlsm)."""

from __future__ import annotations

import datetime as dt
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa

from features.errors import FileError, listed
from personalize.files.options import ReadOptions
from personalize.files.table import Table
from personalize.files.text import typed

_ZEROS = re.compile(r"^0{2,}$")  # a cell format such as 000 shows 7 as 007: an identifier with leading zeros


def sheet_names(path: Path) -> list[str]:
    """Names of the sheets of a workbook, in order."""
    book = _open(path)
    try:
        return list(book.sheetnames)
    finally:
        book.close()


def read_sheet(path: Path, options: ReadOptions) -> Table:
    """Read one sheet whose first row that is not blank names the columns.

    Stored results of formulas are taken; a formula without a stored result is an error, not a missing value. Numbers
    that a format shows with leading zeros are read as that text. Wholly blank rows and columns are left out.

    Raises
    ------
    FileError
        When the workbook cannot be opened, has several sheets and none was named, or the sheet holds no table.
    """
    book = _open(path)
    try:
        title = _chosen(path.name, list(book.sheetnames), options.sheet)
        rows = [tuple(_value(cell) for cell in row) for row in book[title].iter_rows()]
    finally:
        book.close()
    name = path.name if len(book.sheetnames) == 1 else f"{path.name} [{title}]"
    _refuse_unstored_formulas(path, title, name, rows)
    rows = [row for row in rows if any(value is not None for value in row)]
    if not rows:
        raise FileError(f"{name}: the sheet is empty; name another one with sheet=... ({listed(book.sheetnames)}).")
    header, body = rows[0], rows[1:]
    used = [i for i in range(len(header)) if header[i] is not None or any(row[i] is not None for row in body)]
    named = [i for i in used if isinstance(header[i], str)]
    if len(named) <= len(used) / 2:
        raise FileError(
            f"{name}: the first row that is not blank holds no column names ({listed(header, 4)}); remove titles above "
            "the table, so that its first row names the columns."
        )
    frame = pd.DataFrame({i: _column([row[i] for row in body], options.decimal) for i in used}, index=range(len(body)))
    frame.columns = pd.Index([str(header[i]).strip() if header[i] is not None else f"Unnamed: {i}" for i in used])
    return Table(frame, name)


def _open(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions openpyxl does not know: values are unharmed
            return openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise FileError(
            f"{path.name}: cannot be opened as an Excel workbook ({error}). It may be damaged or protected by a "
            "password: open it in Excel and save it anew as .xlsx."
        ) from error


def _chosen(file: str, titles: list[str], wanted: str | int | None) -> str:
    if wanted is None:
        if len(titles) == 1:
            return titles[0]
        raise FileError(f"{file}: the workbook has several sheets ({listed(titles, 20)}); name one with sheet=....")
    if isinstance(wanted, int):
        if not 0 <= wanted < len(titles):
            raise FileError(f"{file}: there is no sheet {wanted}; the {len(titles)} sheets count from 0.")
        return titles[wanted]
    if wanted not in titles:
        raise FileError(f"{file}: there is no sheet {wanted!r}; the workbook has {listed(titles, 20)}.")
    return wanted


def _value(cell: Any) -> Any:
    value = cell.value
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool) and _ZEROS.match(cell.number_format or ""):
        return str(value).zfill(len(cell.number_format))
    return value


def _refuse_unstored_formulas(path: Path, title: str, name: str, rows: list[tuple[Any, ...]]) -> None:
    """Raise where a blank is in truth a formula that was never calculated; costs a second look only if blanks exist."""
    if all(value is not None for row in rows for value in row):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        book = openpyxl.load_workbook(path, read_only=True, data_only=False)
    try:
        cells = [
            cell.coordinate
            for row, values in zip(book[title].iter_rows(), rows, strict=False)
            for cell, value in zip(row, values, strict=False)
            if value is None and isinstance(cell.value, str) and cell.value.startswith("=")
        ]
    finally:
        book.close()
    if cells:
        raise FileError(
            f"{name}: cell {listed(cells)} holds a formula whose result was not stored; open the workbook in Excel or "
            "LibreOffice, save it, and read it again."
        )


def _column(values: list[Any], decimal: str) -> pd.Series:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, dt.datetime | dt.date) for value in known):
        return pd.Series(pd.to_datetime(pd.Series(values, dtype=object)))
    if known and all(isinstance(value, bool) for value in known) and len(known) == len(values):
        return pd.Series(values, dtype=bool)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        whole = len(known) == len(values) and all(float(value).is_integer() for value in known)
        return pd.Series(values, dtype="int64" if whole and known else float)
    return typed(pa.array([None if value is None else _text(value, decimal) for value in values], pa.string()), decimal)


def _text(value: Any, decimal: str) -> str:
    """What a cell says, where a column mixes text with other things."""
    if isinstance(value, float):
        text = str(int(value)) if value.is_integer() else repr(value)
        return text.replace(".", decimal)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
