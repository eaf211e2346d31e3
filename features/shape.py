"""Bring a table the user passes into one shape: identifiers in columns, no exported row numbers."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from features.checks import as_numbers, plain, stripped
from features.errors import listed

_UNNAMED = re.compile(r"^(Unnamed: ?\d+|\.\.\.\d+|)$")  # as pandas, readr and a bare comma call a column without name


def identifiers_as_columns(frame: pd.DataFrame, wanted: tuple[str, ...]) -> pd.DataFrame:
    """Move index levels that carry a wanted name into columns, unless a column has that name already."""
    levels = [name for name in frame.index.names if name in wanted and name not in frame.columns]
    return frame.reset_index(level=levels) if levels else frame


def without_row_numbers(table: str, frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Set aside columns without a name that only count the rows, as programs that export an index leave behind."""
    counters = [name for name in frame.columns if _UNNAMED.match(str(name)) and _counts(frame[name])]
    if not counters:
        return frame
    notes.append(f"{table}: column {listed(counters)} has no name and only numbers the rows; it was set aside.")
    return frame.drop(columns=counters)


def _counts(values: pd.Series) -> bool:
    known = as_numbers(stripped(plain(values))).to_numpy()
    return len(known) > 0 and known[0] in (0, 1) and np.array_equal(known, np.arange(len(known)) + known[0])
