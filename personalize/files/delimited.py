"""Read CSV, TSV and other delimited text: strict about lines, delimiters and encodings."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from features.errors import FileError, counted, listed
from personalize.files.options import ReadOptions
from personalize.files.table import Table
from personalize.files.text import typed

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_LINES = 50


def read_delimited(path: Path, options: ReadOptions) -> Table:
    """Read a delimited text file whose first line names the columns.

    Raises
    ------
    FileError
        For an empty file, lines of different lengths, a delimiter that finds one column only, bytes that are not the
        stated encoding, or a first line that holds values.
    """
    name = path.name
    data = _utf8(name, _bytes(path), options.encoding)
    if not data.strip():
        raise FileError(f"{name}: the file is empty; export the table again.")
    if data.count(b'"') % 2:
        raise FileError(f"{name}: a quotation mark is opened and never closed, so lines would run together; close it.")
    sample = list(_sample(data))
    delimiter = _delimiter(name, sample, options.delimiter)
    header, skip = _header(name, data, delimiter)
    body = _body(name, data, delimiter, len(header), skip)
    frame = pd.DataFrame({i: typed(column, options.decimal) for i, column in enumerate(body)})
    frame.columns = pd.Index([text.strip() or f"Unnamed: {i}" for i, text in enumerate(header)])
    empty = [i for i, text in enumerate(header) if not text.strip() and frame.iloc[:, i].isna().all()]
    return Table(frame.iloc[:, [i for i in range(len(header)) if i not in empty]], name)


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix.lower() != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise FileError(f"{path.name}: cannot be unpacked ({error}); download or compress it again.") from error


def _utf8(name: str, data: bytes, encoding: str | None) -> bytes:
    """The file's text as UTF-8 bytes without a byte-order mark."""
    if encoding is None and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    if encoding is None or encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig"):
        _check_utf8(name, data)
        data = data.removeprefix(b"\xef\xbb\xbf")
    else:
        _refuse_double_encoding(name, data, encoding)
        try:
            data = data.decode(encoding).encode("utf-8").removeprefix(b"\xef\xbb\xbf")
        except UnicodeError as error:
            raise FileError(f"{name}: is not {encoding} text ({error}); pass the encoding it was saved in.") from error
    if b"\x00" in data:
        raise FileError(f"{name}: holds binary zeros, so it is no plain text; if it is UTF-16, pass encoding='utf-16'.")
    return data if data.endswith(b"\n") else data + b"\n"


def _check_utf8(name: str, data: bytes) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        near = data[max(error.start - 8, 0) : error.start + 8].decode("cp1252", "replace").splitlines()
        word = next(part for part in near if not part.isascii())
        raise FileError(
            f"{name}: line {line} is not UTF-8 text (byte 0x{data[error.start]:02x}). It was probably saved in a "
            f"Windows encoding: pass encoding='cp1252' (the place would read {word!r}), or save it as 'CSV UTF-8'."
        ) from error


def _refuse_double_encoding(name: str, data: bytes, encoding: str) -> None:
    if data.isascii() or encoding.lower().startswith(("utf", "u8")):
        return
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return
    raise FileError(
        f"{name}: encoding={encoding!r} was asked for, but the file is UTF-8; letters beyond ASCII would be garbled. "
        "Leave encoding out."
    )


def _sample(data: bytes) -> Iterator[str]:
    """The first lines that are not blank (lines in quotes may be cut: good enough to count delimiters)."""
    found = 0
    for raw in io.BytesIO(data):
        text = raw.decode("utf-8", "replace").strip("\r\n")
        if text.strip():
            found += 1
            yield text
        if found == SAMPLE_LINES:
            return


def _delimiter(name: str, sample: list[str], given: str | None) -> str:
    def fields(delimiter: str) -> list[int]:
        try:
            return [len(row) for row in csv.reader(sample, delimiter=delimiter) if row]
        except csv.Error:
            return [1]

    counts = {delimiter: fields(delimiter) for delimiter in DELIMITERS}
    scores = {d: (sum(n == rows[0] for n in rows) / len(rows), rows[0]) for d, rows in counts.items() if rows[0] > 1}
    best = max(scores, key=lambda d: scores[d], default=None)
    if given is None:
        return best or ","
    if best is not None and best != given and fields(given)[0] == 1:
        raise FileError(
            f"{name}: with delimiter={given!r} the first line is one single column, {sample[0][:60]!r}; it looks as if "
            f"{best!r} stands between the columns: pass delimiter={best!r}, or leave delimiter out."
        )
    return given


def _header(name: str, data: bytes, delimiter: str) -> tuple[list[str], int]:
    """Column names, and how many lines to skip to get to the first row of values."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline=""), delimiter=delimiter)
    try:
        header = next(row for row in reader if any(cell.strip() for cell in row))
    except csv.Error as error:
        raise FileError(f"{name}: the first line cannot be read ({error}); check its quotation marks.") from error
    numeric = [cell for cell in header if _is_number(cell)]
    if len(numeric) > len(header) / 2:
        raise FileError(
            f"{name}: the first line holds values ({listed(header, 4)}), not column names; put the names in the first "
            "line."
        )
    return header, reader.line_num


def _is_number(text: str) -> bool:
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return False
    return True


def _body(name: str, data: bytes, delimiter: str, width: int, skip: int) -> list[pa.ChunkedArray]:
    columns = [f"c{i}" for i in range(width)]
    bad: list[tuple[int, int]] = []

    def collect(row: pyarrow.csv.InvalidRow) -> str:
        bad.append(((row.number or skip) - skip, row.actual_columns))
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(data),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=columns, skip_rows=skip),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=collect
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return [pa.chunked_array([[]], type=pa.string()) for _ in columns]
        raise FileError(
            f"{name}: cannot be read as delimited text ({error}); check for a quotation mark that is never closed."
        ) from error
    if bad:
        found = bad[0][1]
        rows = listed([number for number, _ in bad])
        raise FileError(
            f"{name}: {counted(len(bad), 'line')} with more or fewer values than the {width} columns of the first line "
            f"(data row {rows}; the first has {found}); put values that contain {delimiter!r} in quotation marks, "
            "or export the table with another delimiter (decimal commas need delimiter=';')."
        )
    return [table.column(i) for i in range(width)]
