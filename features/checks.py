"""The door: checks that turn three raw tables into clean ones, or say everything that is wrong with them.

Each check appends one sentence a kind of problem, with the first few patients named and the rest counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from features.errors import listed
from features.measures import Measure

Problems = list[str]


def missing_columns(table: str, frame: pd.DataFrame, wanted: dict[str, str], problems: Problems) -> None:
    """Report roles whose column is not in the table, with a list of what is there."""
    there = ", ".join(map(repr, frame.columns)) or "no columns"
    for role, column in wanted.items():
        if column not in frame.columns:
            problems.append(
                f"{table}: column {column!r} (the {role}) is not there; the table has {there}. "
                f"Name the right one with Columns({role}=...)."
            )


def duplicated_columns(table: str, frame: pd.DataFrame, problems: Problems) -> None:
    """Report column names that stand twice in a table."""
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        problems.append(f"{table}: column {listed(twice)} stands more than once; rename or drop the copy.")


def ids(table: str, frame: pd.DataFrame, column: str, problems: Problems, *, required: bool = True) -> pd.Series:
    """Clean an identifier column: whole floats become integers, other things text; blanks are missing.

    Missing identifiers are a problem where ``required``; the remedy is never to drop the row.
    """
    values = [_identifier(value) for value in frame[column].tolist()]
    kinds = {isinstance(value, str) for value in values if value is not None}
    if len(kinds) > 1:
        shown = list(dict.fromkeys(value for value in values if value is not None))
        problems.append(
            f"{table}: column {column!r} mixes text and numbers as identifiers, e.g. {listed(shown, 4)}; read it as "
            "text, so that each identifier has one spelling."
        )
        values = [None if value is None else str(value) for value in values]
    clean = pd.Series(values, index=frame.index, dtype=object)
    blank = clean.isna()
    if required and blank.any():
        rows = listed((np.flatnonzero(blank.to_numpy()) + 1).tolist())
        problems.append(
            f"{table}: column {column!r} is empty in {int(blank.sum())} rows (row {rows}); "
            "every row needs an identifier: fill it in, or remove the rows yourself."
        )
    return clean


def _identifier(value: Any) -> Any:
    """One spelling for one identifier: trimmed text, whole floats as integers, blanks as None."""
    if isinstance(value, str):
        return value.strip() or None
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def numbers(
    table: str,
    frame: pd.DataFrame,
    column: str,
    patient: pd.Series,
    problems: Problems,
    missing_codes: tuple[float, ...] = (),
) -> pd.Series:
    """Turn a column into floats; text that is no number and infinite values are problems; missing codes become NaN."""
    raw = frame[column]
    if isinstance(raw.dtype, pd.CategoricalDtype):
        raw = raw.astype(raw.cat.categories.dtype)
    if pd.api.types.is_datetime64_any_dtype(raw) or pd.api.types.is_timedelta64_dtype(raw):
        problems.append(f"{table}: column {column!r} holds dates where numbers are needed; name another column.")
        return pd.Series(np.nan, index=frame.index, dtype=float)
    if pd.api.types.is_numeric_dtype(raw) or pd.api.types.is_bool_dtype(raw):
        values = raw.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    else:
        text = raw.map(lambda value: value.strip() if isinstance(value, str) else value)
        text = text.where(text.notna() & (text != ""), None)
        values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=float, na_value=np.nan, copy=True)
        bad = text.notna().to_numpy() & np.isnan(values)
        bad &= ~text.map(lambda value: isinstance(value, float) and np.isnan(value)).to_numpy(dtype=bool)
        if bad.any():
            first = np.flatnonzero(bad)
            comma = any(isinstance(v, str) and "," in v for v in text[bad][:50])
            remedy = (
                "for decimal commas pass decimal=',' to read_panel"
                if comma
                else "correct them, or pass what marks a missing value as missing_codes"
            )
            problems.append(
                f"{table}: column {column!r} must be numeric; {int(bad.sum())} values are not, first "
                f"{text.iloc[first[0]]!r} for patient {patient.iloc[first[0]]!r} (row {first[0] + 1}): {remedy}."
            )
    infinite = np.isinf(values)
    if infinite.any():
        problems.append(
            f"{table}: column {column!r} has {int(infinite.sum())} infinite values (patient "
            f"{listed(pd.unique(patient[infinite]))}); mark them as missing or correct them."
        )
    if missing_codes:
        values = np.where(np.isin(values, np.asarray(missing_codes, dtype=float)), np.nan, values)
    return pd.Series(values, index=frame.index, dtype=float)


def in_range(
    table: str,
    values: pd.Series,
    column: str,
    measure: Measure,
    patient: pd.Series,
    session: pd.Series,
    out_of_range: str,
    problems: Problems,
    notes: list[str],
) -> pd.Series:
    """Hold scores against the measure's range: an error by default, or counted as missing."""
    low = -np.inf if measure.minimum is None else measure.minimum
    high = np.inf if measure.maximum is None else measure.maximum
    outside = (values < low) | (values > high)
    if not outside.any():
        return values
    count = int(outside.sum())
    if out_of_range == "missing":
        notes.append(f"{count} values of {column!r} outside {low:g}–{high:g} ({measure.name}) were set to missing.")
        return values.where(~outside)
    first = values[outside].index[0]
    value = values[first]
    problems.append(
        f"{table}: column {column!r} has {value:g} for patient {_shown(patient[first])}, session "
        f"{_shown(session[first])}; {measure.name} runs from {low:g} to {high:g} ({count} such values). If {value:g} "
        f"marks a missing score, pass missing_codes=[{value:g}]; to treat every value outside the range as missing, "
        "pass out_of_range='missing'; otherwise correct the data."
    )
    return values


def _shown(value: Any) -> str:
    return listed([value])


def dates(table: str, raw: pd.Series, column: str, patient: pd.Series, problems: Problems) -> tuple[pd.Series, bool]:
    """Read a time column as numbers or dates.

    Returns
    -------
    time : Series of float
        The numbers as given, or for dates the days since 1970-01-01.
    is_date : bool
        Whether the column held dates.
    """
    if pd.api.types.is_numeric_dtype(raw):
        return numbers(table, raw.to_frame(column), column, patient, problems), False
    as_number = pd.to_numeric(raw, errors="coerce")
    if not pd.api.types.is_datetime64_any_dtype(raw) and (as_number.notna() == raw.notna()).all():
        return numbers(table, raw.to_frame(column), column, patient, problems), False
    stamps = pd.to_datetime(
        raw, errors="coerce", format=None if pd.api.types.is_datetime64_any_dtype(raw) else "ISO8601"
    )
    bad = raw.notna() & stamps.isna() & (raw.astype(str).str.strip() != "")
    if bad.any():
        first = int(np.flatnonzero(bad.to_numpy())[0])
        problems.append(
            f"{table}: column {column!r} should hold numbers or ISO dates (2024-03-31); {int(bad.sum())} values are "
            f"neither, first {raw.iloc[first]!r} for patient {patient.iloc[first]!r}: write dates as year-month-day."
        )
    if getattr(stamps.dt, "tz", None) is not None:
        stamps = stamps.dt.tz_convert(None)
    days = (stamps - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    return days.astype(float), True
