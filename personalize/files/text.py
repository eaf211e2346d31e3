"""Turn columns of text into numbers, truth values or text, without losing leading zeros."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

MISSING_TEXT = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", ".", "#NULL!", "#N/A")
FORMULA_START = "=+-@\t\r＝＋－＠"  # the wide forms start formulas in East Asian spreadsheets

_WHOLE = r"^-?(0|[1-9][0-9]{0,17})$"
_EXACT = r"^-?(0|[1-9][0-9]{0,14})$"  # exact as a float, which a column with gaps becomes
# A whole number of sixteen digits or more is an identifier; with a decimal mark or an exponent it is a number.
_NUMBER = r"^-?((0|[1-9][0-9]{0,14})|(0|[1-9][0-9]*)?(\.[0-9]+)([eE][+-]?[0-9]+)?|(0|[1-9][0-9]*)[eE][+-]?[0-9]+)$"
_COMMA = r"^-?([0-9]*,)?[0-9]+([eE][+-]?[0-9]+)?$"
_TRUTH = r"(?i)^(true|false)$"


def typed(values: Any, decimal: str = ".") -> pd.Series:
    """Give a text column the type that all of its values have.

    Parameters
    ----------
    values : pyarrow Array or ChunkedArray of string
        Trimmed here; blanks and the usual words for "not available" (`MISSING_TEXT`) are missing. The apostrophe that
        guards a cell against being run as a formula is taken off.
    decimal : {".", ","}
        Decimal mark.

    Returns
    -------
    Series
        Whole numbers as int64 (float64 with gaps), numbers as float64, truth values as bool (text with gaps), all else
        as text. A column in which any value has leading zeros is text as a whole: "007" is a name, not a number.
    """
    values = pc.replace_substring_regex(values, pattern=f"^'([{FORMULA_START}])".replace("-", r"\-"), replacement=r"\1")
    values = pc.utf8_trim_whitespace(values)
    values = pc.if_else(pc.is_in(values, value_set=pa.array(MISSING_TEXT)), pa.scalar(None, pa.string()), values)
    gaps = values.null_count
    if gaps == len(values):
        return pd.Series(float("nan"), index=range(len(values)), dtype=float)
    if _all(values, _WHOLE if gaps == 0 else _EXACT):
        return _series(pc.cast(values, pa.int64()))
    if decimal == ",":
        written = pc.match_substring_regex(values, pattern=_COMMA)
        pointed = pc.and_(pc.match_substring_regex(values, pattern=_NUMBER), pc.invert(written))
        # numbers, perhaps with a word for missing among them; a point among commas is left to be refused
        if 2 * (pc.sum(written).as_py() or 0) > len(values) - gaps and not pc.any(pointed).as_py():
            values = pc.if_else(written, pc.replace_substring(values, ",", "."), values)
    if _all(values, _NUMBER):
        return _series(pc.cast(values, pa.float64()))
    if gaps == 0 and _all(values, _TRUTH):
        return _series(pc.equal(pc.utf8_lower(values), "true"))
    return _series(values)


def _all(values: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, pattern=pattern)).as_py())


def _series(values: Any) -> pd.Series:
    out = values.to_pandas()
    return pd.Series(out.astype(float) if pa.types.is_integer(values.type) and values.null_count else out, name=None)
