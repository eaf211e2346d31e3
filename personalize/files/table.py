"""A table as it stood in a file: values, and what the file says about its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

Label = float | str


@dataclass(frozen=True)
class Table:
    """Values of a file, with the labels and missing codes of its columns.

    Parameters
    ----------
    frame : DataFrame
        The values; user-missing codes already are missing (NaN), labelled values are still codes.
    name : str
        What to call the table in messages: the file's name, and the sheet of a workbook.
    labels : mapping of column to str
        Variable labels.
    value_labels : mapping of column to mapping of code to str
        Value labels, codes as in the data (Stata's extended missing values by their letter).
    coded : mapping of column to Series
        The user-missing cells that became NaN: their code, by row label. With them a file can be written back whole.
    missing : mapping of column to tuple of (low, high)
        Declared user-missing codes as ranges, ends included; a single code has two equal ends.
    levels : mapping of column to str
        Measurement level: ``"nominal"``, ``"ordinal"`` or ``"scale"``, where the file states it.
    notes : tuple of str
        What was done on reading, such as user-missing cells, with counts.
    """

    frame: pd.DataFrame
    name: str = "table"
    labels: Mapping[str, str] = field(default_factory=dict)
    value_labels: Mapping[str, Mapping[Label, str]] = field(default_factory=dict)
    coded: Mapping[str, pd.Series] = field(default_factory=dict)
    missing: Mapping[str, tuple[tuple[Label, Label], ...]] = field(default_factory=dict)
    levels: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def with_frame(self, frame: pd.DataFrame) -> Table:
        """The same descriptions around other values."""
        return replace(self, frame=frame)

    def categories(self, keep: tuple[str, ...] = ()) -> pd.DataFrame:
        """Labelled values as categories, where every value of the column has a label; the rest as it is.

        Columns whose level is ``"scale"`` and those named in ``keep`` stay codes, and so do scales of which only the
        ends are labelled. Ordinal columns become ordered categories, in the order of their codes.
        """
        out = self.frame.copy(deep=False)
        for column, labels in self.value_labels.items():
            if column not in out.columns or column in keep or self.levels.get(column) == "scale":
                continue
            values = out[column]
            known = values.dropna().unique()
            named = {code: text for code, text in labels.items() if not self._is_missing(column, code)}
            if len(known) and all(value in named for value in known) and len(set(named.values())) == len(named):
                codes = sorted(named, key=lambda code: (isinstance(code, str), code))
                places = {code: i for i, code in enumerate(codes)}
                index = np.fromiter((places.get(v, -1) for v in values), dtype=np.intp, count=len(values))
                ordered = self.levels.get(column) == "ordinal"
                out[column] = pd.Series(
                    pd.Categorical.from_codes(index, pd.Index([named[c] for c in codes]), ordered=ordered),
                    index=out.index,
                )
        return out

    def _is_missing(self, column: str, code: Any) -> bool:
        ranges = self.missing.get(column, ())
        if isinstance(code, str):
            return any(code == low for low, _ in ranges)
        return any(not isinstance(low, str) and float(low) <= code <= float(high) for low, high in ranges)
