"""Write a table to a file: the same table gives the same bytes, and no cell can act as a formula."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from features.errors import FileError, listed
from personalize.files.atomic import whole_file
from personalize.files.labelled_out import write_labelled
from personalize.files.table import Table
from personalize.files.text import FORMULA_START

WRITABLE = (".csv", ".tsv", ".parquet", ".sav", ".dta")


def write_table(table: pd.DataFrame | Table, path: str | Path, *, index: bool = False) -> None:
    """Write a table; the suffix says as what. The file appears whole or not at all.

    Parameters
    ----------
    table : DataFrame or Table
        A `Table` carries its labels and user-missing codes into SPSS and Stata files.
    path : str or Path
        ``.csv`` and ``.tsv`` (UTF-8, ISO dates, missing values blank), ``.parquet``, ``.sav`` or ``.dta``.
    index : bool
        Whether the index is written, as the first columns.

    Raises
    ------
    FileError
        When the suffix is not one of these, the folder is not there, or the format cannot hold a value.

    Notes
    -----
    In text files a text cell that begins with one of ``= + - @``, tab or carriage return gets a leading apostrophe, so
    that no spreadsheet runs it as a formula; `read_table` takes the apostrophe off again. Numbers are written in the
    shortest form that reads back as the same number.
    """
    target = Path(path)
    described = table if isinstance(table, Table) else Table(table)
    if index:
        described = described.with_frame(described.frame.reset_index())
    suffix = target.suffix.lower()
    twice = described.frame.columns[described.frame.columns.duplicated()]
    if len(twice) or isinstance(described.frame.columns, pd.MultiIndex):
        what = f"column {listed(twice)} stands more than once" if len(twice) else "the columns have several header rows"
        raise FileError(f"{target.name}: {what}; give each column one name of its own.")
    if suffix not in WRITABLE:
        raise FileError(f"{target.name}: cannot write {suffix or 'a file without suffix'}; use {', '.join(WRITABLE)}.")
    with whole_file(target) as partial:
        if suffix in (".csv", ".tsv"):
            _write_text(described.frame, partial, "," if suffix == ".csv" else "\t")
        elif suffix == ".parquet":
            _write_parquet(described.frame, partial, target.name)
        else:
            write_labelled(described, partial)


def guarded(values: pd.Series) -> pd.Series:
    """Text cells that a spreadsheet would run as a formula, with an apostrophe before them; others as they are."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        return values
    return values.astype(object).map(_guard)


def _guard(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(tuple(FORMULA_START)) else value


def _write_text(frame: pd.DataFrame, path: Path, delimiter: str) -> None:
    safe = pd.DataFrame({i: guarded(frame.iloc[:, i]) for i in range(frame.shape[1])}, index=frame.index)
    safe.columns = pd.Index([_guard(str(name)) for name in frame.columns])
    safe.to_csv(path, sep=delimiter, index=False, encoding="utf-8", lineterminator="\n")


def _write_parquet(frame: pd.DataFrame, path: Path, name: str) -> None:
    plain = frame.reset_index(drop=True)
    plain.columns = pd.Index([str(column) for column in plain.columns])
    plain.attrs = {}  # they would stand in the file's metadata
    try:
        pyarrow.parquet.write_table(pa.Table.from_pandas(plain, preserve_index=False), path, compression="zstd")
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise FileError(f"{name}: a column cannot be written as Parquet, its values mix kinds ({error}).") from error
