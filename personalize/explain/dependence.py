"""Partial dependence: the mean predicted effect with one characteristic set to a value for everybody."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalize.explain.jackknife import Spread

Floats = NDArray[np.float64]

AT = (0.1, 0.5, 0.9)  # quantiles of a number at which it is set
MOST_LEVELS = 8
MOST_MODERATORS = 8
MOST_PATIENTS = 500  # averaged over; every k-th patient where there are more
COLUMNS = ["moderator", "value", "estimate", "lower", "upper", "n"]


def dependence(
    effect: Any, table: pd.DataFrame, moderators: list[str], refits: list[Any], level: float
) -> pd.DataFrame:
    """Mean predicted effect with a characteristic set to a value for everybody.

    Source: Friedman 2001, Ann. Stat. 29, 1189-1232.

    Parameters
    ----------
    effect : AllianceEffect
    table : DataFrame, index patient id
        Intake, as `personalize.effects.intake.baseline_table` makes it.
    moderators : list of str
        The first `MOST_MODERATORS` of them are looked at.
    refits : list of AllianceEffect
        From `personalize.explain.jackknife.refitted`; they make the intervals.
    level : float

    Returns
    -------
    DataFrame
        moderator, value, estimate, lower, upper (outcome points per alliance point), n (patients averaged over).
    """
    some = table.iloc[:: max(-(-len(table) // MOST_PATIENTS), 1)]
    asked = [
        (name, said, value)
        for name in [m for m in moderators if m in table.columns][:MOST_MODERATORS]
        for said, value in values_of(table[name])
    ]
    if not asked:
        return pd.DataFrame(columns=COLUMNS)
    changed = [_set(some, name, value) for name, _, value in asked]
    without = [_means(again, changed) for again in refits]
    spread = Spread(_means(effect, changed), np.array(without).reshape(-1, len(asked)))
    lower, upper = spread.interval(level)
    names, said, _ = zip(*asked, strict=True)
    columns = (names, said, spread.estimate, lower, upper, [len(some)] * len(asked))
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def values_of(column: pd.Series) -> list[tuple[str, Any]]:
    """Values a characteristic is set to, with their names: low, middle and high of a number, levels of a category."""
    known = column.dropna()
    if pd.api.types.is_bool_dtype(known):
        return [("no", False), ("yes", True)]
    if pd.api.types.is_numeric_dtype(known):
        found = np.unique(known.quantile(AT, interpolation="nearest"))
        return [(f"{v:.4g}", v) for v in found]
    counts = known.astype(object).value_counts()
    return [(str(v), v) for v in counts.index[:MOST_LEVELS]]


def _set(table: pd.DataFrame, name: str, value: Any) -> pd.DataFrame:
    return table.assign(**{name: pd.Series([value] * len(table), index=table.index, dtype=table[name].dtype)})


def _means(effect: Any, tables: list[pd.DataFrame]) -> Floats:
    gamma, centre = float(effect.posterior_.gamma[1]), float(effect.average_["estimate"])
    x = np.concatenate([effect.encoding_.matrix(table) for table in tables])
    return np.asarray(centre + gamma * effect.moderators_.predict(x).reshape(len(tables), -1).mean(axis=1))
