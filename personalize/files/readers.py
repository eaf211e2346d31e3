"""Read one table from a file, whatever its format."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from features.errors import FileError, listed
from personalize.files.delimited import read_delimited
from personalize.files.labelled import read_labelled
from personalize.files.options import ReadOptions
from personalize.files.sheets import read_sheet
from personalize.files.table import Table

READABLE = ".csv, .tsv, .txt (also .gz), .parquet, .sav, .zsav, .dta, .xlsx"
_REMEDIES = {
    ".xls": "open it in Excel or LibreOffice and save it as .xlsx",
    ".xlsb": "open it in Excel and save it as .xlsx",
    ".ods": "open it in LibreOffice and save it as .xlsx or CSV",
    ".rds": "in R: write.csv(readRDS('{name}'), '{stem}.csv', row.names = FALSE), or haven::write_sav",
    ".rdata": "in R: load('{name}'), then write.csv(..., row.names = FALSE)",
    ".rda": "in R: load('{name}'), then write.csv(..., row.names = FALSE)",
    ".sas7bdat": "export it from SAS as CSV, or in R: haven::write_sav(haven::read_sas('{name}'), '{stem}.sav')",
    ".por": "open it in SPSS and save it as .sav",
    ".mat": "export the table as CSV",
    ".json": "export the table as CSV or Parquet",
    ".pkl": "pickle files can run code when opened; write the frame with to_parquet instead",
    ".pickle": "pickle files can run code when opened; write the frame with to_parquet instead",
    ".feather": "write it as Parquet: arrow::write_parquet in R, DataFrame.to_parquet in Python",
    ".dat": "if it is Mplus or fixed-width text, export it from its program as CSV with the names in the first line",
}
_SIGNS = {  # how files of a kind begin
    b"PK\x03\x04": ("an Excel workbook (or another zip)", ".xlsx"),
    b"PAR1": ("a Parquet file", ".parquet"),
    b"$FL2": ("an SPSS file", ".sav"),
    b"$FL3": ("a compressed SPSS file", ".zsav"),
    b"<stata_dta>": ("a Stata file", ".dta"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook (.xls)", ".xls"),
    b"\x1f\x8b": ("a gzip archive", ".gz"),
    b"%PDF": ("a PDF", ".pdf"),
    b"<!DOCTYPE html": ("a web page", ".html"),
    b"<html": ("a web page", ".html"),
}


def read_table(
    path: str | Path,
    *,
    sheet: str | int | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    encoding: str | None = None,
) -> Table:
    """Read one table; the suffix says which format it is.

    Parameters
    ----------
    path : str or Path
        CSV, TSV or other delimited text (also gzipped), Parquet, SPSS (``.sav``, ``.zsav``), Stata (``.dta``) or Excel
        (``.xlsx``).
    sheet : str or int, optional
        Sheet of a workbook, by name or by place from 0; needed where there are several.
    delimiter : str, optional
        Of text files; found out from the first lines by default.
    decimal : {".", ","}
        Decimal mark of text files.
    encoding : str, optional
        Of text files and old SPSS and Stata files; UTF-8, or what the file states, by default.

    Returns
    -------
    Table
        Values, labels and missing codes. Blank cells and user-missing codes are NaN.

    Raises
    ------
    FileError
        When the file is missing, empty, damaged, of another kind than its suffix says, or of a kind not read here; the
        message holds the remedy.
    """
    return read_with(Path(path), ReadOptions(delimiter=delimiter, decimal=decimal, encoding=encoding, sheet=sheet))


def read_with(path: Path, options: ReadOptions) -> Table:
    """Read one table with options that are already checked."""
    _readable(path)
    reader, kind = _reader(path)
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise FileError(f"{path}: cannot be opened ({error.strerror}); check the permissions.") from error
    if not head:
        raise FileError(f"{path.name}: the file is empty; export the table again.")
    for sign, (what, suffix) in _SIGNS.items():
        if head.startswith(sign) and suffix != kind and not (suffix in (".sav", ".zsav") and kind in (".sav", ".zsav")):
            raise FileError(f"{path.name}: by its content this is {what}, not a {kind} file; rename or convert it.")
    return reader(path, options)


def _reader(path: Path) -> tuple[Callable[[Path, ReadOptions], Table], str]:
    suffix = path.suffix.lower()
    inner = Path(path.stem).suffix.lower() if suffix == ".gz" else suffix
    if inner in (".csv", ".tsv", ".txt", ".tab"):
        return read_delimited, suffix
    if suffix in (".parquet", ".pq"):
        return _read_parquet, ".parquet"
    if suffix in (".sav", ".zsav", ".dta"):
        return read_labelled, suffix
    if suffix in (".xlsx", ".xlsm"):
        return read_sheet, ".xlsx"
    remedy = _REMEDIES.get(suffix, "export the table as CSV").format(name=path.name, stem=path.stem)
    what = f"{suffix} files are" if suffix else "a file without a suffix is"
    raise FileError(f"{path.name}: {what} not read here (readable: {READABLE}); {remedy}.")


def _readable(path: Path) -> None:
    if path.is_dir():
        tables = sorted(
            p.name for p in path.iterdir() if p.suffix.lower() in (".csv", ".parquet", ".sav", ".dta", ".xlsx")
        )
        hint = f"; it holds {listed(tables)}" if tables else ""
        raise FileError(f"{path}: is a folder, not a file{hint}; name the file.")
    if path.exists():
        return
    if not path.parent.is_dir():
        raise FileError(
            f"{path}: there is no folder {str(path.parent)!r}; check the path (now in {str(Path.cwd())!r})."
        )
    near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir() if p.is_file()], n=3)
    hint = f"did you mean {listed(near)}?" if near else f"check the path (now in {str(Path.cwd())!r})."
    raise FileError(f"{path}: there is no such file; {hint}")


def _read_parquet(path: Path, options: ReadOptions) -> Table:
    try:
        frame = pyarrow.parquet.read_table(path).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FileError(f"{path.name}: cannot be read as Parquet ({error}); write the file again.") from error
    frame.columns = [str(name) for name in frame.columns]
    return Table(frame, path.name)
