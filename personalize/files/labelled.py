"""Read SPSS and Stata files with their variable labels, value labels and user-missing codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyreadstat

from features.errors import FileError, counted
from personalize.files.options import ReadOptions
from personalize.files.table import Label, Table

# Both programs count time from their own origin: SPSS in seconds, Stata in days or milliseconds.
SPSS_EPOCH = pd.Timestamp("1582-10-14")
STATA_EPOCH = pd.Timestamp("1960-01-01")
SPSS_DATES = ("DATE", "ADATE", "EDATE", "JDATE", "SDATE", "DATETIME", "YMDHMS")
EXACT = 2.0**53  # whole numbers up to here are exact as floats


def read_labelled(path: Path, options: ReadOptions) -> Table:
    """Read a ``.sav``, ``.zsav`` or ``.dta`` file.

    User-missing cells become NaN (their codes are kept in ``Table.coded``); labelled values stay codes; dates become
    dates. Whole numbers without gaps become integers.

    Raises
    ------
    FileError
        When the file is damaged, cut short or in another encoding.
    """
    stata = path.suffix.lower() == ".dta"
    read = pyreadstat.read_dta if stata else pyreadstat.read_sav
    try:
        frame, described = read(
            str(path), user_missing=True, disable_datetime_conversion=True, encoding=options.encoding
        )
    except UnicodeDecodeError as error:
        raise FileError(
            f"{path.name}: its text is not in the encoding it states ({error.reason}); pass encoding='cp1252' "
            "(Windows, Western Europe) or the one of the program that wrote it."
        ) from error
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, OverflowError, ValueError) as error:
        program = "a Stata" if stata else "an SPSS"
        raise FileError(
            f"{path.name}: cannot be read as {program} file ({str(error).rstrip('.')}). It may be cut short, encrypted "
            f"or saved by another program: open it in {program.split()[1]} and save it again."
        ) from error
    meta: Any = described
    missing = _declared(meta, stata)
    coded: dict[str, pd.Series] = {}
    columns = {}
    for name in frame.columns:
        values, codes = _without_codes(frame[name], missing.get(name, ()))
        if len(codes):
            coded[name] = codes
        columns[name] = _plain(values, meta.original_variable_types.get(name) or "", stata)
    out = pd.DataFrame(columns, index=frame.index, columns=frame.columns)
    notes = tuple(
        f"{path.name}: {counted(len(codes), 'value')} of {name!r} with a user-missing code "
        f"({', '.join(_shown(code) for code in pd.unique(codes))}) taken as missing."
        for name, codes in coded.items()
    )
    return Table(
        out,
        path.name,
        labels={name: text for name, text in meta.column_names_to_labels.items() if text},
        value_labels={name: dict(labels) for name, labels in meta.variable_value_labels.items()},
        coded=coded,
        missing=missing,
        levels={
            name: level for name, level in meta.variable_measure.items() if level in ("nominal", "ordinal", "scale")
        },
        notes=notes,
    )


def _declared(meta: Any, stata: bool) -> dict[str, tuple[tuple[Label, Label], ...]]:
    if stata:
        return {name: tuple((code, code) for code in codes) for name, codes in meta.missing_user_values.items()}
    return {name: tuple((r["lo"], r["hi"]) for r in ranges) for name, ranges in meta.missing_ranges.items()}


def _without_codes(values: pd.Series, ranges: tuple[tuple[Label, Label], ...]) -> tuple[pd.Series, pd.Series]:
    """The column with user-missing cells as NaN, and those cells' codes by row label."""
    if not ranges:
        return values, values.iloc[:0]
    coded = np.zeros(len(values), dtype=bool)
    text = values.map(lambda v: isinstance(v, str)).to_numpy(dtype=bool)
    numbers = pd.to_numeric(values.mask(text), errors="coerce").to_numpy(dtype=float)
    for low, high in ranges:
        if isinstance(low, str):
            coded |= text & (values == low).to_numpy(dtype=bool)
        else:
            coded |= (numbers >= float(low)) & (numbers <= float(high))
    codes = values[coded]
    rest = values.mask(coded)
    return (rest if text[~coded].any() else rest.astype(float)), codes


def _plain(values: pd.Series, kind: str, stata: bool) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values):
        dated = _dates(values, kind, stata)
        if dated is not None:
            return dated
        whole = values.notna().all() and ((values % 1 == 0) & (values.abs() < EXACT)).all()
        return values.astype(np.int64) if whole and len(values) else values.astype(float)
    text = values.astype(object).map(lambda v: v.strip() if isinstance(v, str) else v)
    return text.mask((text == "") | text.isna(), None).astype("str")


def _dates(values: pd.Series, kind: str, stata: bool) -> pd.Series | None:
    """Dates of a column whose format says that its numbers are dates; None for other formats."""
    if stata:
        unit = "D" if kind.startswith(("%td", "%d")) else "ms" if kind.lower().startswith("%tc") else None
        origin = STATA_EPOCH
    else:
        unit = "s" if kind.rstrip("0123456789.") in SPSS_DATES else None
        origin = SPSS_EPOCH
    if unit is None:
        return None
    seconds = values.to_numpy(dtype=float) * {"D": 86400.0, "s": 1.0, "ms": 1e-3}[unit]
    inside = np.isfinite(seconds) & (np.abs(seconds) < 3e11)  # some ten thousand years either way
    stamps = origin.to_datetime64().astype("datetime64[us]") + (np.where(inside, seconds, 0) * 1e6).round().astype(
        "timedelta64[us]"
    )
    return pd.Series(np.where(inside, stamps, np.datetime64("NaT")), index=values.index)


def _shown(code: Label) -> str:
    return f".{code}" if isinstance(code, str) else f"{code:g}"
