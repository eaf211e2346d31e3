"""Clean the further columns of a patients or therapists table: plain storage, missing codes, nothing infinite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.checks import Codes, Problems, absurdity, as_numbers, is_date, nested, plain, stripped
from features.errors import counted, listed

LARGEST_NUMBER = 1e30  # single precision, which trees use, ends a little above
FEWEST_TEXTS = 10  # with fewer values nothing is concluded from their occurring once
MOSTLY = 0.8  # a text column of which this share can be read as numbers was probably meant to be one


def clean_intake(
    table: str, frame: pd.DataFrame, codes: Mapping[str, Codes], problems: Problems, notes: list[str]
) -> pd.DataFrame:
    """Clean the further columns of a patients or therapists table, whose index already is the identifier.

    Storage becomes plain, missing codes named for a column become missing, infinite values and nested values are
    problems; a text column that is mostly numbers is noted, since it will be read as categories.
    """
    out = {}
    for name in frame.columns:
        values = plain(frame[name]) if not isinstance(frame[name].dtype, pd.CategoricalDtype) else frame[name]
        if name in codes:
            values = _decoded(table, name, values, codes[name], notes)
        if values.dtype == object and nested(values):
            problems.append(f"{table}: column {name!r} holds lists or tables in its cells; keep one value a cell.")
        elif pd.api.types.is_complex_dtype(values):
            problems.append(f"{table}: column {name!r} holds complex numbers; drop it.")
        elif pd.api.types.is_numeric_dtype(values):
            _finite(table, frame.index, name, values.to_numpy(dtype=float), problems)
        elif not isinstance(values.dtype, pd.CategoricalDtype) and not is_date(values):
            numbers = [value if isinstance(value, float) else np.nan for value in values]
            _finite(table, frame.index, name, np.asarray(numbers, dtype=float), problems)
            _mostly_numbers(table, name, values, notes)
        out[name] = values
    return pd.DataFrame(out, index=frame.index, columns=frame.columns)


def _finite(table: str, index: pd.Index[Any], name: object, values: NDArray[np.float64], problems: Problems) -> None:
    bad = np.abs(values) > LARGEST_NUMBER
    if bad.any():
        kind = absurdity(values, LARGEST_NUMBER)
        problems.append(
            f"{table}: column {name!r} has {counted(bad.sum(), kind)} ({index.name} {listed(index[bad])}); "
            "mark them as missing or correct them."
        )


def _decoded(table: str, name: str, values: pd.Series, codes: Codes, notes: list[str]) -> pd.Series:
    text = [code for code in codes if isinstance(code, str)]
    numeric = [float(code) for code in codes if not isinstance(code, str)]
    if pd.api.types.is_numeric_dtype(values):
        coded = values.isin(numeric)
        out = values.astype(float).mask(coded) if coded.any() else values
    else:
        shown = stripped(values.astype(object))
        coded = shown.isin([*text, *numeric]) | as_numbers(shown).isin(numeric)
        out = values.mask(coded, None)
        as_number = as_numbers(stripped(out.astype(object)))
        if out.notna().any() and (as_number.notna() == out.notna()).all():
            out = as_number  # the codes were all that kept the column from being numbers
    if coded.any():
        notes.append(f"{table}: {counted(coded.sum(), 'value')} of {name!r} set to missing by its missing codes.")
    return out


def names_or_remarks(values: pd.Series, *, fewest: int = FEWEST_TEXTS) -> bool:
    """Whether a column is text of which most values occur once: a name, an address, a remark.

    With fewer than ``fewest`` values nothing is concluded.

    Examples
    --------
    >>> names_or_remarks(pd.Series(["anna", "ben", "cleo", "dora", "emil", "fay", "gus", "hal", "ida", "jo"]))
    True
    >>> names_or_remarks(pd.Series(["f", "m"] * 5))
    False
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if pd.api.types.is_numeric_dtype(values) or is_date(values):
        return False
    text = values.dropna().astype(str)
    return len(text) >= fewest and int((text.value_counts() == 1).sum()) > len(text) / 2


def _mostly_numbers(table: str, name: object, values: pd.Series, notes: list[str]) -> None:
    text = stripped(values.astype(object)).dropna()
    if len(text) < 4:
        return
    comma = text.map(lambda v: v.replace(",", ".", 1) if isinstance(v, str) else v)
    readable = as_numbers(comma).notna()
    as_is = as_numbers(text).notna()
    if readable.mean() >= MOSTLY and not as_is.all() and not all(isinstance(v, Number) for v in text):
        rest = pd.unique(text[~as_is])
        notes.append(
            f"{table}: column {name!r} is text although {readable.mean():.0%} of its values are numbers (others: "
            f"{listed(rest, 3)}); it is read as categories. For numbers pass missing_codes={{{name!r}: [...]}} or "
            "decimal=','."
        )


def coded_intake(table: str, frame: pd.DataFrame, codes: Sequence[float], notes: list[str]) -> None:
    """Note intake columns that hold values which mark a missing score in the sessions: they are taken as they are."""
    for name in frame.columns if len(codes) else ():
        values = frame[name]
        if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            continue
        found = values[values.isin(codes)]
        if len(found):
            notes.append(
                f"{table}: column {name!r} has {counted(len(found), 'value')} such as {found.iloc[0]:g}; "
                "codes that name no column are for the session scores. If it marks a missing value here too, name it "
                f"by column: missing_codes={{{name!r}: [{found.iloc[0]:g}]}}, and so for the scores."
            )
