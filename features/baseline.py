"""Intake characteristics of patients and therapists as features: numbers, categories, missing flags."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.feature import WHOLE, Feature
from features.panel import Panel


@dataclass(frozen=True)
class Intake:
    """Declared intake columns.

    Attributes
    ----------
    features : list of Feature
    columns : list of Series, one a feature; floats and categories
    """

    features: list[Feature]
    columns: list[pd.Series]

    def named_apart(self, taken: Iterable[str]) -> Intake:
        """Prefix ``intake_`` to names already taken, and drop an ending that marks whole-treatment features."""
        used, features = set(taken), []
        for feature in self.features:
            features.append(replace(feature, name=apart(feature.name.removesuffix(WHOLE), used)))
        return Intake(features, self.columns)

    def over(self, rows: NDArray[np.intp]) -> dict[str, pd.Series]:
        """Repeat the table's rows over other rows, by column name; -1 gives missing values."""
        return {f.name: _taken(c, rows) for f, c in zip(self.features, self.columns, strict=True)}


def apart(name: str, used: set[str]) -> str:
    """Prefix ``intake_`` to a name until nothing else bears it, and count it as used."""
    while name in used:
        name = f"intake_{name}"
    used.add(name)
    return name


def intake(panel: Panel, taken: Iterable[str] = ()) -> Intake:
    """Intake columns of the panel's patients and of their therapists, each with a flag that marks it missing.

    Numbers and booleans become floats, dates days since 1970-01-01, anything else categories. Missing stays missing; a
    patient without a therapist has missing therapist columns. Columns of the therapists table are named
    ``therapist_...``.

    Parameters
    ----------
    panel : Panel
    taken : iterable of str
        Names of other features; an intake column that bears one, or the name of the patient or session column, is
        renamed ``intake_...``.
    """
    patient = _declared(panel.patients, "", "baseline patient", "intake of the patient")
    staff = _declared(panel.therapists, "therapist_", "baseline therapist", "characteristic of the therapist")
    own = [_taken(column, panel.therapist_index) for column in staff.columns]
    both = Intake([*patient.features, *staff.features], [*patient.columns, *own])
    return both.named_apart([*taken, panel.columns.patient, panel.columns.session])


def _declared(table: pd.DataFrame, prefix: str, group: str, what: str) -> Intake:
    features: list[Feature] = []
    columns: list[pd.Series] = []
    for place, label in enumerate(table.columns):
        values, unit = _typed(table.iloc[:, place].reset_index(drop=True))
        name = f"{prefix}{str(label).removesuffix(WHOLE)}"
        features.append(Feature(name, group, "past", unit, f"{what}: {label}"))
        features.append(Feature(f"{name}_missing", group, "past", "0/1", f"{what}: {label} is missing"))
        columns += [values, values.isna().astype(float)]
    return Intake(features, columns)


def _typed(values: pd.Series) -> tuple[pd.Series, str]:
    """A column as floats or categories, with its unit."""
    kind = values.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return _category(values), "category"
    if pd.api.types.is_datetime64_any_dtype(kind):
        stamps = values.dt.tz_convert(None) if getattr(values.dt, "tz", None) is not None else values
        return (stamps - pd.Timestamp("1970-01-01")).dt.total_seconds() / 86400, "days since 1970-01-01"
    if pd.api.types.is_timedelta64_dtype(kind):
        return values.dt.total_seconds() / 86400, "days"
    if pd.api.types.is_bool_dtype(kind):
        return values.astype("Float64").astype(float), "0/1"
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind):
        return values.astype("Float64").astype(float), "as given"
    known = values.dropna()
    if len(known) and all(isinstance(value, (bool, np.bool_)) for value in known):
        return values.map({True: 1.0, False: 0.0}).astype(float), "0/1"
    if all(isinstance(value, (bool, int, float, np.integer, np.floating, np.bool_)) for value in known):
        return pd.to_numeric(values, errors="coerce").astype(float), "as given"
    return _category(values), "category"


def _category(values: pd.Series) -> pd.Series:
    """Categories as text, in the given order where there is one, else sorted."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        names = list(dict.fromkeys(map(str, values.cat.categories)))
    else:
        names = sorted({str(value) for value in values.dropna()})
    text = [None if missing else str(value) for value, missing in zip(values, values.isna(), strict=True)]
    return pd.Series(pd.Categorical(text, categories=names))


def _taken(values: pd.Series, rows: NDArray[np.intp]) -> pd.Series:
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = np.append(values.cat.codes.to_numpy().astype(np.intp), -1)
        return pd.Series(pd.Categorical.from_codes(codes[rows], dtype=values.dtype))
    return pd.Series(np.append(values.to_numpy(dtype=float), np.nan)[rows], copy=False)
