"""The door: checks that turn the columns of raw tables into clean ones, or say everything that is wrong with them.

Each check appends one sentence a kind of problem, with the first few patients named and the rest counted. None alters
what it is given.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import counted, listed
from features.measures import Measure

Problems = list[str]
Codes = Sequence[float | str]
ALL_SCORES = "*"  # in missing codes by column: every session score

LARGEST_SCORE = 1e12  # no score is larger; beyond it sums of squares lose their digits
THOUSANDS = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?")
EXACT = 2.0**53  # whole numbers up to here are exact as floats
FIRST_DATE, LAST_DATE = 19000101, 21001231  # numbers in between may be dates written without dashes


def missing_columns(table: str, frame: pd.DataFrame, wanted: dict[str, str], problems: Problems) -> None:
    """Report roles whose column is not in the table, with a list of what is there."""
    there = listed(frame.columns, 30) or "no columns"
    for role, column in wanted.items():
        if column not in frame.columns:
            problems.append(
                f"{table}: column {column!r} (the {role}) is not there; the table has {there}. "
                f"Name the right one with Columns({role}=...)."
            )


def duplicated_columns(table: str, frame: pd.DataFrame, problems: Problems) -> None:
    """Report column names that stand twice in a table, and header rows of several levels."""
    if isinstance(frame.columns, pd.MultiIndex):
        problems.append(
            f"{table}: the columns have {frame.columns.nlevels} header rows (a MultiIndex); one name a column is "
            "needed: flatten them, e.g. frame.columns = ['_'.join(map(str, c)) for c in frame.columns]."
        )
        return
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        problems.append(f"{table}: column {listed(twice)} stands more than once; rename or drop the copy.")


def ids(table: str, frame: pd.DataFrame, column: str, problems: Problems, *, required: bool = True) -> pd.Series:
    """Clean an identifier column: whole floats become integers, other things text; blanks are missing (None).

    Missing identifiers are a problem where ``required``; the remedy is never to drop the row. Work is done on the
    distinct values only, so a million rows cost one hash pass.
    """
    raw = frame[column]
    try:
        codes, uniques = pd.factorize(raw)
    except TypeError:
        kinds = sorted({type(value).__name__ for value in raw if nested_cell(value)})
        problems.append(
            f"{table}: column {column!r} holds {listed(kinds)} values where identifiers are needed; "
            "an identifier is text or a whole number."
        )
        return pd.Series([None] * len(frame), index=frame.index, dtype=object)
    values = [_identifier(value) for value in uniques.tolist()]
    odd = [value for value in values if value is not None and not isinstance(value, str | int | float)]
    odd += [value for value in values if isinstance(value, bool) or value in (np.inf, -np.inf)]
    if odd:
        problems.append(
            f"{table}: column {column!r} holds {listed(odd, 3)} where identifiers are needed; "
            "an identifier is text or a whole number."
        )
        return pd.Series([None] * len(frame), index=frame.index, dtype=object)
    if len({isinstance(value, str) for value in values if value is not None}) > 1:
        shown = [value for value in values if value is not None]
        mixed = [next(v for v in shown if isinstance(v, str)), next(v for v in shown if not isinstance(v, str))]
        problems.append(
            f"{table}: column {column!r} mixes text and numbers as identifiers, e.g. {listed(mixed)}; read it as "
            "text, so that each identifier has one spelling."
        )
        values = [None if value is None else str(value) for value in values]
    lookup = np.empty(len(values) + 1, dtype=object)
    lookup[:-1] = values
    clean = pd.Series(lookup[codes], index=frame.index, dtype=object)
    if required:
        blank = clean.isna().to_numpy()
        if blank.any():
            problems.append(
                f"{table}: column {column!r} is empty in {counted(blank.sum(), 'row')} (data row "
                f"{listed(np.flatnonzero(blank) + 1)}); every row needs an identifier: fill it in, or remove the "
                "rows yourself."
            )
    return clean


def _identifier(value: Any) -> Any:
    """One spelling for one identifier: trimmed text, whole floats as integers, blanks as None."""
    if isinstance(value, str):
        return value.strip() or None
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float | decimal.Decimal) and abs(float(value)) < EXACT and value == int(value):
        return int(value)
    return value


def codes_of(given: Codes | Mapping[str, Codes], column: str) -> Codes:
    """Missing codes of a session score: those for all scores, and those of its column."""
    if not isinstance(given, Mapping):
        return given
    both = (given.get(ALL_SCORES, ()), given.get(column, ()))
    return [code for codes in both for code in ((codes,) if isinstance(codes, str | int | float) else codes)]


def numbers(
    table: str,
    frame: pd.DataFrame,
    column: str,
    patient: pd.Series,
    problems: Problems,
    missing_codes: Codes = (),
    notes: list[str] | None = None,
) -> pd.Series:
    """Turn a column into floats; text that is no number and infinite values are problems.

    Values (or text) among ``missing_codes`` become NaN; how many goes to ``notes``.
    """
    raw = plain(frame[column])
    if is_date(raw) or pd.api.types.is_complex_dtype(raw) or isinstance(raw.dtype, pd.IntervalDtype):
        holds = "dates" if is_date(raw) else f"{raw.dtype} values"
        problems.append(f"{table}: column {column!r} holds {holds} where numbers are needed; name another column.")
        return pd.Series(np.nan, index=frame.index, dtype=float)
    coded = np.zeros(len(raw), dtype=bool)
    if pd.api.types.is_numeric_dtype(raw):
        values = raw.to_numpy(dtype=float, copy=True)
    else:
        text = stripped(raw)
        coded = text.isin([code.strip() for code in missing_codes if isinstance(code, str)]).to_numpy(copy=True)
        text = text.mask(coded, None)
        values = as_numbers(text).to_numpy(copy=True)
        bad = text.notna().to_numpy() & np.isnan(values)
        if bad.any():
            _report_text(table, column, text, bad, patient, problems)
    numeric = [float(code) for code in missing_codes if not isinstance(code, str)]
    if numeric:
        coded |= np.isin(values, numeric)
        values[coded] = np.nan
    if coded.any() and notes is not None:
        notes.append(
            f"{table}: {counted(coded.sum(), 'value')} of {column!r} set to missing (code "
            f"{', '.join(f'{c:g}' if not isinstance(c, str) else repr(c) for c in missing_codes)})."
        )
    absurd = np.abs(values) > LARGEST_SCORE
    if absurd.any():
        problems.append(
            f"{table}: column {column!r} has {counted(absurd.sum(), absurdity(values, LARGEST_SCORE))} (patient "
            f"{listed(pd.unique(patient[absurd]))}); mark them as missing or correct them."
        )
    return pd.Series(values, index=frame.index, dtype=float)


def _report_text(
    table: str, column: str, text: pd.Series, bad: NDArray[np.bool_], patient: pd.Series, problems: Problems
) -> None:
    first = int(np.flatnonzero(bad)[0])
    shown = text[bad].drop_duplicates().tolist() if not nested(text[bad]) else []
    commas = any(isinstance(v, str) and "," in v and v.replace(",", "", 1).lstrip("-").isdigit() for v in shown[:50])
    points = text[~bad].dropna().astype(str).str.contains(".", regex=False).any()
    thousands = any(isinstance(v, str) and THOUSANDS.fullmatch(v) for v in shown[:50])
    if thousands:
        remedy = "take the thousands separators out"
    elif commas and not points:
        remedy = "for decimal commas pass decimal=',' to read_panel"
    elif commas:
        remedy = "a decimal comma among numbers with points: correct them"
    elif 0 < len(shown) <= 3 and all(isinstance(v, str) for v in shown):
        remedy = f"correct them, or if this marks a missing value pass missing_codes={shown!r}"
    else:
        remedy = "correct them, or pass what marks a missing value as missing_codes"
    problems.append(
        f"{table}: column {column!r} must be numeric but has {counted(bad.sum(), 'other value')}, first "
        f"{text.iloc[first]!r} for patient {listed([patient.iloc[first]])} (data row {first + 1}): {remedy}."
    )


def absurdity(values: NDArray[np.float64], most: float) -> str:
    """What values beyond ``most`` are called: infinite, or by the limit."""
    return "infinite value" if np.isinf(values).any() else f"value beyond {most:g}"


def nested(values: pd.Series) -> bool:
    """Whether a cell holds a list, a set or a table."""
    return any(nested_cell(value) for value in values)


def nested_cell(value: Any) -> bool:
    """Whether a value is a list, a set or a table: things without a hash."""
    return getattr(type(value), "__hash__", None) is None


def stripped(raw: pd.Series) -> pd.Series:
    """Text trimmed and blanks missing; values that are not text as they are."""
    if raw.dtype == object:
        text = raw.map(lambda value: value.strip() if isinstance(value, str) else value)
        return text.mask(text.isna() | text.map(lambda value: isinstance(value, str) and not value), None)
    text = raw.astype(str).where(raw.notna(), None).str.strip()
    return text.mask(text == "", None)


def as_numbers(text: pd.Series) -> pd.Series:
    """Values as floats; whatever is no number becomes NaN."""
    try:
        out = pd.to_numeric(text, errors="coerce")
        if not pd.api.types.is_complex_dtype(out):
            return pd.Series(out.to_numpy(dtype=float, na_value=np.nan), index=text.index, dtype=float)
    except OverflowError:
        pass  # one integer beyond any float: go one by one, so that only that one is infinite
    return pd.Series([_as_number(value) for value in text], index=text.index, dtype=float)


def _as_number(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf
    except (TypeError, ValueError):
        return np.nan


def plain(raw: pd.Series) -> pd.Series:
    """Undo categorical, nullable, sparse and Arrow storage: numbers as NumPy numbers, the rest as text or objects.

    Nullable integers and booleans with gaps become floats with NaN.
    """
    if raw.dtype == object:
        return raw.infer_objects()
    dtype = raw.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return plain(raw.astype(object).infer_objects())
    if isinstance(dtype, pd.SparseDtype):
        return plain(pd.Series(np.asarray(raw), index=raw.index, name=raw.name))
    if isinstance(dtype, np.dtype) or not pd.api.types.is_numeric_dtype(dtype):
        if isinstance(dtype, pd.ArrowDtype) and dtype.kind not in "Mm":
            return raw.astype(object).infer_objects()
        return raw
    if raw.isna().any() or dtype.kind not in "iub":
        return pd.Series(raw.to_numpy(dtype=float, na_value=np.nan), index=raw.index, name=raw.name)
    return raw.astype(np.dtype("bool" if dtype.kind == "b" else "int64"))


def is_date(raw: pd.Series) -> bool:
    """Whether a column is stored as dates, times or periods, not as text that may be read as such."""
    if raw.dtype == object:
        known = raw.dropna()
        return len(known) > 0 and all(hasattr(value, "isoformat") for value in known.head(20))
    return bool(
        pd.api.types.is_datetime64_any_dtype(raw)
        or pd.api.types.is_timedelta64_dtype(raw)
        or isinstance(raw.dtype, pd.PeriodDtype)
    )


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
    outside = ((values < low) | (values > high)).to_numpy()
    if not outside.any():
        return values
    count = int(outside.sum())
    if out_of_range == "missing":
        notes.append(
            f"{table}: {counted(count, 'value')} of {column!r} outside {low:g} to {high:g} ({measure.name}) set to "
            "missing."
        )
        return values.mask(outside)
    first = int(np.flatnonzero(outside)[0])
    value = values.iloc[first]
    problems.append(
        f"{table}: column {column!r} has {value:g} for patient {listed([patient.iloc[first]])}, session "
        f"{session.iloc[first]:g}; {measure.name} runs from {low:g} to {high:g} (such values: {count}). If {value:g} "
        f"marks a missing score, pass missing_codes=[{value:g}]; to treat every value outside the range as missing, "
        "pass out_of_range='missing'; otherwise correct the data."
    )
    return values


def dates(table: str, raw: pd.Series, column: str, patient: pd.Series, problems: Problems) -> tuple[pd.Series, bool]:
    """Read a time column as numbers or dates.

    Returns
    -------
    time : Series of float
        The numbers as given, or for dates the days since 1970-01-01 (by the local clock where a time zone is given).
    is_date : bool
        Whether the column held dates.
    """
    values = plain(raw)
    if pd.api.types.is_timedelta64_dtype(values):
        return values.dt.total_seconds() / 86400, False
    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.to_timestamp()
    if not is_date(values):
        as_number = values if pd.api.types.is_numeric_dtype(values) else as_numbers(stripped(values))
        given = values.notna() if pd.api.types.is_numeric_dtype(values) else stripped(values).notna()
        if pd.api.types.is_numeric_dtype(values) or (as_number.notna() == given).all():
            _undashed(table, as_number, column, problems)
            return numbers(table, raw.to_frame(column), column, patient, problems), False
    stamps = values if pd.api.types.is_datetime64_any_dtype(values) else _parsed(values)
    bad = (
        (stamps.isna() & stripped(values).notna()).to_numpy() if not _is_stamp(values) else np.zeros(len(values), bool)
    )
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        problems.append(
            f"{table}: column {column!r} should hold numbers or ISO dates (2024-03-31) but has "
            f"{counted(bad.sum(), 'other value')}, first {values.iloc[first]!r} for patient "
            f"{listed([patient.iloc[first]])} (data row {first + 1}): write dates as year-month-day, or tell "
            "read_panel their order, e.g. date_format='%d.%m.%Y'."
        )
    if getattr(stamps.dt, "tz", None) is not None:
        stamps = stamps.dt.tz_localize(None)
    days = (stamps - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    return days.astype(float), True


def _is_stamp(values: pd.Series) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(values))


def _parsed(values: pd.Series) -> pd.Series:
    text = values.map(lambda v: v.isoformat() if hasattr(v, "isoformat") else v if v is None else str(v).strip())
    text = text.where(values.notna(), None).astype(object)
    try:
        return pd.to_datetime(text, errors="coerce", format="ISO8601")
    except ValueError:  # several time zones in one column: a common clock is the only order they have
        return pd.to_datetime(text, errors="coerce", format="ISO8601", utc=True)


def _undashed(table: str, values: pd.Series, column: str, problems: Problems) -> None:
    """Report dates written as 20240331: as numbers their distances are nonsense."""
    known = values.dropna()
    if len(known) == 0 or not known.between(FIRST_DATE, LAST_DATE).all() or (known % 1 != 0).any():
        return
    parts = known.astype("int64")
    if ((parts // 100 % 100).between(1, 12) & (parts % 100).between(1, 31)).all():
        problems.append(
            f"{table}: column {column!r} holds numbers such as {parts.iloc[0]}, which look like dates without dashes; "
            "their differences are no days: write 2024-03-31, or pass date_format='%Y%m%d' to read_panel."
        )
