"""Design of the growth model: time on a log scale, baseline columns standardised and crossed with time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import OptionError, listed
from personalize.mixed.sums import Array


@dataclass(frozen=True)
class Basis:
    """What turns a time and a patient's baseline into rows of the designs.

    Attributes
    ----------
    origin : float
        Earliest time in training; earlier times count as this one.
    unit : float
        Median gap between a patient's successive sessions in training, so that log(1 + elapsed) resembles log session.
    span : float
        Longest elapsed time in training, in units; scales linear time.
    columns : tuple of int
        Baseline columns used.
    indicators : tuple of int
        Baseline columns whose being missing is a predictor of its own.
    names : tuple of str
        All baseline columns.
    mean, scale : arrays of shape (n_columns,)
    linear, interactions : bool
    """

    origin: float
    unit: float
    span: float
    columns: tuple[int, ...]
    indicators: tuple[int, ...]
    names: tuple[str, ...]
    mean: Array
    scale: Array
    linear: bool
    interactions: bool

    def elapsed(self, time: Array) -> Array:
        """Time since the origin in units, zero before it."""
        out: Array = np.maximum((time - self.origin) / self.unit, 0.0)
        return out

    def patient(self, time: Array) -> Array:
        """Design of the random effects: ones and log(1 + elapsed), shape (2, n_rows)."""
        return np.vstack([np.ones(len(time)), np.log1p(self.elapsed(time))])

    def traits(self, baseline: Array) -> Array:
        """Standardised baseline columns and missing indicators, shape (n_traits, n_patients)."""
        if baseline.shape[1] != len(self.names):
            raise OptionError(
                f"X_baseline has {baseline.shape[1]} columns; the model was fitted with {len(self.names)} "
                f"({listed(self.names)})."
            )
        values = (baseline[:, list(self.columns)] - self.mean) / self.scale
        gone = np.isnan(baseline[:, list(self.indicators)]).astype(float)
        return np.vstack([np.where(np.isfinite(values), values, 0.0).T, gone.T])

    def fixed(self, time: Array, traits: Array) -> Array:
        """Design of the fixed effects, shape (p, n_rows); ``traits`` already one column a row."""
        own = self.patient(time)
        courses = [own[1]]
        if self.linear:
            courses.append(self.elapsed(time) / self.span)
        rows = [own[:1], np.vstack(courses), traits]
        if self.interactions:
            rows += [traits * course for course in courses]
        return np.vstack(rows)

    @property
    def terms(self) -> list[str]:
        """Names of the fixed effects."""
        courses = ["log_time", "time"] if self.linear else ["log_time"]
        traits = [self.names[k] for k in self.columns] + [f"{self.names[k]}_missing" for k in self.indicators]
        crossed = [f"{t}:{c}" for c in courses for t in traits] if self.interactions else []
        return ["intercept", *courses, *traits, *crossed]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            f.name: v.tolist()
            if isinstance(v := getattr(self, f.name), np.ndarray)
            else list(v)
            if isinstance(v, tuple)
            else v
            for f in fields(self)
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Basis:
        """Rebuild from `to_dict`."""
        turned: dict[str, Any] = {
            k: np.asarray(v, dtype=float) if k in ("mean", "scale") else v for k, v in saved.items()
        }
        whole: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in turned.items()}
        return cls(**whole)


def learn_basis(
    time: Array, patient: NDArray[np.intp], baseline: Array, names: list[str], *, linear: bool, interactions: bool
) -> tuple[Basis, list[str]]:
    """Choose origin, unit and baseline columns from training rows sorted by patient and time."""
    same = patient[1:] == patient[:-1]
    gaps = np.diff(time)[same]
    gaps = gaps[gaps > 0]
    origin, unit = float(time.min()), float(np.median(gaps)) if len(gaps) else 1.0
    span = max(float(time.max() - origin) / unit, 1.0)
    seen = baseline[np.unique(patient)]
    known = np.isfinite(seen)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, seen, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, seen - mean, 0.0) ** 2).sum(axis=0) / count)
    flat = ~(spread > 1e-10 * np.maximum(np.abs(mean), 1e-300))
    notes = []
    if flat.any():
        notes.append(f"Baseline {listed(np.array(names)[flat])} does not vary among the patients and was left out.")
    standard = np.where(known, seen - mean, 0.0) / np.where(flat, 1.0, spread)
    # a column is kept where the columns before it leave something of it; the missing indicators come last
    gone = np.flatnonzero((~known).any(axis=0) & known.any(axis=0))
    candidates = [(k, False, standard[:, k]) for k in np.flatnonzero(~flat)]
    candidates += [(k, True, (~known[:, k]).astype(float)) for k in gone]
    kept: list[tuple[int, bool]] = []
    held = [np.full(len(seen), 1 / np.sqrt(len(seen)))]
    for k, indicator, column in candidates:
        rest = column.copy()
        for _ in range(2):
            for other in held:
                rest -= (other @ rest) * other
        length = float(np.sqrt(rest @ rest))
        if length < 1e-6 * float(np.sqrt(column @ column)):
            notes.append(
                f"Baseline {names[k]!r}{' (missing)' if indicator else ''} is a combination of others: left out."
            )
            continue
        held.append(rest / length)
        kept.append((int(k), indicator))
    columns = tuple(k for k, indicator in kept if not indicator)
    indicators = tuple(k for k, indicator in kept if indicator)
    chosen = list(columns)
    basis = Basis(
        origin, unit, span, columns, indicators, tuple(names), mean[chosen], spread[chosen], linear, interactions
    )
    return basis, notes
