"""Intake columns of the patients table as numbers: standardised, categories as 0/1, missing values named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from features.errors import OptionError, listed
from personalize.mixed.sums import Array

RARE = 0.02  # a category with a smaller share of the patients joins the first one
MOST_LEVELS = 8  # and no more than so many get a column of their own
DEPENDENT = 1e-6


@dataclass(frozen=True)
class Term:
    """One column of the design.

    Attributes
    ----------
    name, column : str
        Of the term, and of the patients' column it comes from.
    level : str or None
        The category that counts as 1; None for a number.
    missing : bool
        The term is 1 where the column is missing.
    mean, scale : float
        Of the raw term among the training patients.
    """

    name: str
    column: str
    level: str | None
    missing: bool
    mean: float
    scale: float

    def raw(self, patients: pd.DataFrame) -> Array:
        """Before centring and scaling; NaN is missing."""
        values = patients[self.column]
        if self.missing:
            return np.asarray(values.isna(), dtype=float)
        if self.level is not None:
            return np.asarray((values.astype("string") == self.level).fillna(False), dtype=float)
        return pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan)


@dataclass(frozen=True)
class Intake:
    """What turns a patients table into numbers.

    Attributes
    ----------
    columns : tuple of Term
    notes : tuple of str
        Columns left out, and why.
    """

    columns: tuple[Term, ...]
    notes: tuple[str, ...]

    @property
    def terms(self) -> list[str]:
        """Names of the columns."""
        return [term.name for term in self.columns]

    def transform(self, patients: pd.DataFrame) -> Array:
        """Standardised columns, shape (n_patients, n_terms); missing numbers are set to the training mean (0)."""
        lost = [term.column for term in self.columns if term.column not in patients.columns]
        if lost:
            raise OptionError(
                f"The patients table lacks the columns {listed(dict.fromkeys(lost))} the model was fitted on."
            )
        out = np.zeros((len(patients), len(self.columns)))
        for k, term in enumerate(self.columns):
            values = (term.raw(patients) - term.mean) / term.scale
            out[:, k] = np.where(np.isfinite(values), values, 0.0)
        return out


def learn_intake(patients: pd.DataFrame, columns: Sequence[str], *, table: str = "patients") -> Intake:
    """Choose and standardise terms.

    Numbers (and booleans) become one term each, mean 0 and SD 1, missing ones at the mean with a 0/1 term
    "x_missing"; other columns a 0/1 term, likewise standardised, for every category but the most frequent one and those
    rarer than 2 %, missing being a category. Terms that do not vary or follow from earlier ones are left out and noted.

    Raises
    ------
    OptionError
        When the table has no such column.
    """
    unknown = [name for name in columns if name not in patients.columns]
    if unknown:
        raise OptionError(
            f"{table}: there is no column {listed(unknown)}; the columns are {listed(patients.columns, shown=20)}."
        )
    candidates: list[Term] = []
    for name in columns:
        candidates += _terms(patients, name)
    kept, notes = [], []
    held = [np.full(len(patients), 1 / np.sqrt(max(len(patients), 1)))]
    for term in candidates:
        values = np.nan_to_num((term.raw(patients) - term.mean) / term.scale)
        rest = values.copy()
        for _ in range(2):
            for other in held:
                rest -= (other @ rest) * other
        length = float(np.sqrt(rest @ rest))
        if not length > DEPENDENT * np.sqrt(len(patients)):
            notes.append(f"{table}: {term.name!r} does not vary, or follows from other columns; it was left out.")
            continue
        held.append(rest / length)
        kept.append(term)
    return Intake(tuple(kept), tuple(notes))


def _terms(patients: pd.DataFrame, name: str) -> list[Term]:
    values = patients[name]
    if is_numeric_dtype(values) or is_bool_dtype(values):
        terms = [Term(name, name, None, False, 0.0, 1.0)]
        if values.isna().any() and values.notna().any():
            terms.append(Term(f"{name}_missing", name, None, True, 0.0, 1.0))
    else:
        share = values.astype("string").value_counts(normalize=True)
        chosen = share.index[1:][share.to_numpy()[1:] >= RARE][:MOST_LEVELS]
        terms = [Term(f"{name}[{level}]", name, str(level), False, 0.0, 1.0) for level in chosen]
        if values.isna().any():
            terms.append(Term(f"{name}_missing", name, None, True, 0.0, 1.0))
    return [_standardised(term, patients) for term in terms]


def _standardised(term: Term, patients: pd.DataFrame) -> Term:
    raw = term.raw(patients)
    known = raw[np.isfinite(raw)]
    mean = float(known.mean()) if len(known) else 0.0
    spread = float(known.std()) if len(known) else 0.0
    return Term(term.name, term.column, term.level, term.missing, mean, spread if spread > 1e-10 * abs(mean) else 1.0)
