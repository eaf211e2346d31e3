"""From landmarks to the numbers that members of the forecast see: past features only, in fixed columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import therapists
from features.build import build_features, dictionary, past_features
from features.feature import require_past
from features.history import TIME
from features.panel import Panel
from personalize.trajectories.landmarks import Landmarks

Floats32 = NDArray[np.float32]

RARE_PATIENTS = 5  # a category with fewer patients counts as unknown
MOST_LEVELS = 12
MOST_NAMED = 50  # a column with more values may be free text, which a saved model should not hold


@dataclass(frozen=True)
class Encoder:
    """Columns of the input table, as learned from a training panel.

    Parameters
    ----------
    names : tuple of str
        Input names: a feature, or ``feature=level`` for one level of a category.
    groups : tuple of str
        Group of each input (`features.feature.GROUPS`).
    sources : tuple of str
        Feature each input is read from.
    levels : tuple of (str or None)
        Level that the input marks with 1; ``None`` for numbers.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    sources: tuple[str, ...]
    levels: tuple[str | None, ...]

    @classmethod
    def of(cls, panel: Panel, table: pd.DataFrame) -> Encoder:
        """Choose the columns of a panel's feature table that vary, and the levels frequent enough to be told apart."""
        require_past(table.columns)
        # what a therapist's other patients showed depends on who else is in the table; a forecast may not, so that
        # it is the same for one patient alone as for the clinic (known therapists enter through the growth model)
        others = {feature.name for feature in therapists.declared(panel)}
        group = dict(dictionary(panel)[["name", "group"]].itertuples(index=False, name=None))
        chosen: list[tuple[str, str, str, str | None]] = []
        for name in table.columns:
            values = table[name]
            if isinstance(values.dtype, pd.CategoricalDtype):
                chosen += [(f"{name}={level}", group[name], name, level) for level in _frequent(values, panel)]
            elif name not in TIME and name not in others and _varies(values.to_numpy(dtype=float)):
                chosen.append((name, group[name], name, None))
        return cls(*(tuple(column) for column in zip(*chosen, strict=True))) if chosen else cls((), (), (), ())

    def encode(self, landmarks: Landmarks, reference: Panel | None = None) -> Floats32:
        """Inputs of each landmark, shape (n_landmarks, n_inputs); NaN where unknown or not in this panel."""
        return self.read(feature_rows(landmarks, reference))

    def read(self, table: pd.DataFrame) -> Floats32:
        """Inputs from a feature table; columns that are not in it, and unseen categories, are unknown."""
        require_past(table.columns)
        out = np.full((len(table), len(self.names)), np.nan, dtype=np.float32)
        for i, (source, level) in enumerate(zip(self.sources, self.levels, strict=True)):
            if source not in table.columns:
                continue
            values = table[source]
            if level is None:
                if pd.api.types.is_numeric_dtype(values.dtype):
                    out[:, i] = values.to_numpy(dtype=np.float32)
            else:
                text = values.astype(object)
                out[:, i] = np.where(text.isna(), np.nan, text.map(str, na_action="ignore").eq(level).astype(float))
        return out

    def to_dict(self) -> dict[str, Any]:
        """Return the columns as plain values."""
        return {key: list(getattr(self, key)) for key in ("names", "groups", "sources", "levels")}

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Encoder:
        """Rebuild from `to_dict`."""
        return cls(**{key: tuple(values) for key, values in given.items()})


def categories(panel: Panel) -> dict[str, list[str]]:
    """Values of the intake features that are categories, of those with at most `MOST_NAMED`."""
    table = build_features(panel, landmark=0).select_dtypes("category")
    values = {str(name): list(map(str, column.cat.categories)) for name, column in table.items()}
    return {name: named for name, named in values.items() if len(named) <= MOST_NAMED}


def feature_rows(landmarks: Landmarks, reference: Panel | None = None) -> pd.DataFrame:
    """Past features of each landmark, one row a landmark; session features are missing at intake."""
    panel = landmarks.panel
    at = landmarks.row >= 0
    tables = []
    if at.any():
        tables.append(past_features(panel, reference=reference).iloc[landmarks.row[at]])
    if not at.all():
        tables.append(build_features(panel, landmark=0, reference=reference).iloc[landmarks.patient[~at]])
    table = tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)
    order = np.concatenate([np.flatnonzero(at), np.flatnonzero(~at)])
    return table.iloc[np.argsort(order)].reset_index(drop=True)


def _frequent(values: pd.Series, panel: Panel) -> list[str]:
    """Levels worth an input of their own; of two levels one says it all."""
    share = values.value_counts(normalize=True)
    share = share[share * panel.n_patients >= RARE_PATIENTS].sort_index().sort_values(ascending=False, kind="stable")
    levels = [str(level) for level in share.index[:MOST_LEVELS]]
    return levels[:1] if len(levels) == 2 and len(values.cat.categories) == 2 else levels


def _varies(values: NDArray[np.float64]) -> bool:
    known = values[~np.isnan(values)]
    return len(known) > 0 and bool(known.min() < known.max())
