"""Intake tables as a numeric matrix: standardised numbers, indicators of categories, flags of missing values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from personalize.effects.transitions import Floats

FEWEST = 10  # patients a category or a missing flag needs before it gets a column of its own


@dataclass(frozen=True)
class EncodedColumn:
    """How one column of an intake table becomes numbers.

    Attributes
    ----------
    name : str
    centre, scale : float
        Mean and SD of the known values; a missing value is put at the mean. 0 and 1 where there are more than two
        categories.
    levels : tuple of str
        Categories with an indicator of their own; empty for numbers.
    flag : bool
        Whether missing values get an indicator.
    reference : str, optional
        The other one of two categories; any third is unknown, so at the mean.
    """

    name: str
    centre: float
    scale: float
    levels: tuple[str, ...]
    flag: bool
    reference: str | None = None


@dataclass(frozen=True)
class Encoding:
    """Learned on the patients of a fit, applied to any later patients."""

    columns: tuple[EncodedColumn, ...]
    left_out: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Names of the matrix's columns."""
        out = []
        for c in self.columns:
            out += [f"{c.name}={level}" for level in c.levels] or [c.name]
            out += [f"{c.name} missing"] if c.flag else []
        return out

    @property
    def sources(self) -> list[str]:
        """For each of ``names``, the intake column it was made from."""
        return [c.name for c in self.columns for _ in range(max(len(c.levels), 1) + c.flag)]

    def matrix(self, table: pd.DataFrame) -> Floats:
        """Encode a table; absent columns and unknown categories count as missing. Shape (n_rows, n_columns)."""
        out = []
        for c in self.columns:
            raw = table[c.name] if c.name in table.columns else pd.Series(np.nan, index=table.index, dtype=float)
            missing = raw.isna().to_numpy(dtype=bool)
            if c.levels:
                text = raw.astype(object).map(_level).to_numpy(dtype=object)
                shown = [((text == level) - c.centre) / c.scale for level in c.levels]
                unknown = missing if c.reference is None else (text != c.levels[0]) & (text != c.reference)
                out += [np.where(unknown, 0.0, one) for one in shown]
            else:
                values = pd.to_numeric(raw, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
                missing = np.isnan(values)
                out.append(np.where(missing, 0.0, (values - c.centre) / c.scale))
            if c.flag:
                out.append(missing.astype(float))
        return np.column_stack(out) if out else np.zeros((len(table), 0))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"columns": [asdict(c) for c in self.columns], "left_out": list(self.left_out)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Encoding:
        """Rebuild from `to_dict`."""
        columns = [EncodedColumn(**{**c, "levels": tuple(c["levels"])}) for c in given["columns"]]
        return cls(tuple(columns), tuple(given["left_out"]))


def learn_encoding(table: pd.DataFrame) -> Encoding:
    """Decide how each intake column is encoded.

    Numbers, booleans and columns of two categories are standardised; other columns become indicators of their levels
    with at least `FEWEST` patients (all but the most frequent one). Constant columns, and columns known for fewer than
    `FEWEST` patients, are left out and named.
    """
    columns: list[EncodedColumn] = []
    left_out: list[str] = []
    for name in table.columns:
        raw = table[name]
        known = raw.dropna()
        flag = FEWEST <= int(raw.isna().sum()) <= len(raw) - FEWEST
        if len(known) < min(FEWEST, max(len(raw) // 2, 1)) or known.nunique() < 2:
            left_out.append(str(name))
            continue
        if pd.api.types.is_bool_dtype(known) or pd.api.types.is_numeric_dtype(known):
            values = known.to_numpy(dtype=float)
            columns.append(EncodedColumn(str(name), float(values.mean()), float(values.std()), (), flag))
        elif pd.api.types.is_datetime64_any_dtype(known):
            left_out.append(str(name))
        else:
            counts = known.astype(object).map(_level).value_counts()
            counts = counts.sort_index().sort_values(ascending=False, kind="stable")
            levels = tuple(str(level) for level in counts.index[1:][counts.to_numpy()[1:] >= FEWEST])
            if not levels:
                left_out.append(str(name))
                continue
            centre, scale, reference = 0.0, 1.0, None
            if len(counts) == 2:  # as the same column in 0 and 1 would be
                share = float(counts.iloc[1] / counts.sum())
                centre, scale, reference = share, float(np.sqrt(share * (1 - share))), str(counts.index[0])
            columns.append(EncodedColumn(str(name), centre, scale, levels, flag, reference))
    return Encoding(tuple(columns), tuple(left_out))


def _level(value: Any) -> str | None:
    return None if value is None or value != value else str(value)
