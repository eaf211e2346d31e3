"""Within-patient moments: each patient's own level (and trend) taken out, time and baseline partialled out.

With patient i's usable transitions stacked, M_i = I − P_i and P_i the projection on the patient's own intercept, or
intercept and linear trend. A trend with a finite prior variance gives the penalised projection of generalised least
squares. All sums run over patients' rows at once; there is no loop over patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from personalize.effects.transitions import Floats, Ints, Transitions

CHUNK_ROWS = 200_000  # rows of nuisance basis held in memory at once


@dataclass(frozen=True)
class Projection:
    """Per-patient projection on an own level and, optionally, an own linear trend.

    Attributes
    ----------
    starts : int array of shape (k,)
        First row of each of the k patients who have transitions.
    who : int array of shape (k,)
        Their rows in the panel.
    group : int array of shape (n,)
        Which of the k patients each row belongs to.
    slope_axis : array of shape (n,)
        Position centred within patient.
    slope_weight : array of shape (k,)
        1 / (Σ axis² + penalty); zero where no trend is taken out.
    trace : array of shape (k,)
        tr(M_i), the degrees of freedom a patient has left.
    kernel : array of shape (k, n_lags)
        C_i(l) = Σ P_i[t, s] over pairs of transitions with t = s + 1 + l: how strongly an error that ended transition
        s weighs on the mean that is subtracted from a regressor l steps later.
    """

    starts: Ints
    who: Ints
    group: Ints
    slope_axis: Floats
    slope_weight: Floats
    trace: Floats
    kernel: Floats

    def transform(self, values: Floats) -> Floats:
        """M_i applied to each patient's rows; ``values`` of shape (n,) or (n, m)."""
        if len(values) == 0:
            return values
        columns = values.reshape(len(values), -1)
        counts = np.diff(np.append(self.starts, len(values)))
        mean = np.add.reduceat(columns, self.starts, axis=0) / counts[:, None]
        out = columns - mean[self.group]
        if self.slope_weight.any():
            slope = np.add.reduceat(columns * self.slope_axis[:, None], self.starts, axis=0)
            out -= self.slope_axis[:, None] * (slope * self.slope_weight[:, None])[self.group]
        return out.reshape(values.shape)

    def sums(self, values: Floats) -> Floats:
        """Sum rows within patients: shape (k, ...)."""
        return np.add.reduceat(values, self.starts, axis=0)


def projection(steps: Transitions, *, detrend: bool, penalty: float = 0.0) -> Projection:
    """Build each patient's projection.

    Parameters
    ----------
    steps : Transitions
    detrend : bool
        Whether an own linear trend is taken out beside the own level.
    penalty : float
        σ² / Var(trend): 0 takes the whole trend out, infinity none of it.
    """
    starts = np.flatnonzero(np.diff(steps.patient, prepend=-1))
    who = steps.patient[starts]
    counts = np.diff(np.append(starts, len(steps.patient)))
    group = np.repeat(np.arange(len(starts)), counts)
    position = steps.position.astype(float)
    axis = position - (np.add.reduceat(position, starts) / counts)[group]
    spread = np.add.reduceat(axis**2, starts)
    with np.errstate(divide="ignore"):
        weight = np.where(spread > 0, 1.0 / (spread + penalty), 0.0) if detrend else np.zeros(len(starts))
    trace = counts - 1.0 - spread * weight
    return Projection(starts, who, group, axis, weight, trace, _kernel(steps, group, counts, axis, weight))


def by_step(group: Ints, position: Ints, *values: Floats | float) -> list[Floats]:
    """Lay per-row values out by patient and step, zero where there is no row: arrays of shape (k, n_steps)."""
    shape = (int(group.max(initial=-1)) + 1, int(position.max(initial=0)) + 1)
    out = [np.zeros(shape) for _ in values]
    for table, value in zip(out, values, strict=True):
        table[group, position] = value
    return out


def _kernel(steps: Transitions, group: Ints, counts: Ints, axis: Floats, weight: Floats) -> Floats:
    there, on_axis = by_step(group, steps.position, 1.0, axis)
    n_lags = there.shape[1] - 1
    kernel = np.zeros((len(counts), n_lags))
    for lag in range(n_lags):
        later, earlier = slice(lag + 1, None), slice(None, n_lags - lag)
        kernel[:, lag] = np.einsum("ij,ij->i", there[:, later], there[:, earlier]) / counts
        if weight.any():
            kernel[:, lag] += np.einsum("ij,ij->i", on_axis[:, later], on_axis[:, earlier]) * weight
    return kernel


@dataclass(frozen=True)
class Moments:
    """What the estimators need of one equation.

    Attributes
    ----------
    cross : array of shape (k, m, m)
        Per patient w' M w, w the regressors and, last, the response, time and baseline partialled out.
    residual : array of shape (n, m)
        The same variables per transition, partialled out, before the within transform.
    position : int array of shape (n,)
        Grid column of each transition.
    within : Projection
    nuisance : int
        Coefficients spent on time, baseline and covariates.
    """

    cross: Floats
    residual: Floats
    position: Ints
    within: Projection
    nuisance: int


def moments(steps: Transitions, baseline: Floats, within: Projection) -> Moments:
    """Partial time × baseline (and session covariates) out, then sum squares and products within patients.

    Parameters
    ----------
    steps : Transitions
    baseline : array of shape (n_patients, p)
        Standardised intake columns without missing values; their main effects are in the patient's own level, their
        products with time are partialled out.
    within : Projection
        The projection the moments are taken under.

    Notes
    -----
    Frisch–Waugh–Lovell on within-transformed data: the nuisance functions are learned on change within patients, so
    they cannot mix who stays in treatment with how time passes. The basis is one indicator a session (sessions that
    few patients reach share one, plus a log trend), log session × every baseline column, and the covariates. With a
    few dozen coefficients on thousands of transitions in-sample fitting costs less than cross-fitting would.
    """
    variables = np.column_stack([steps.regressors, steps.response])
    basis = _Basis(steps, baseline)
    gram = np.zeros((basis.width, basis.width))
    right = np.zeros((basis.width, variables.shape[1]))
    blocks = _blocks(within.starts, len(variables))
    for rows in blocks:
        raw = basis.rows(rows)
        moved = _transform_rows(within, raw, rows)
        gram += raw.T @ moved
        right += moved.T @ variables[rows]
    scale = np.diag(gram).copy()
    scale[scale <= 0] = 1.0
    ridge = 1e-8 * scale + 1e-12
    coefficients = np.linalg.solve(gram + np.diag(ridge), right)
    residual = variables.copy()
    for rows in blocks:
        residual[rows] -= basis.rows(rows) @ coefficients
    transformed = within.transform(residual)
    m = variables.shape[1]
    cross = np.empty((len(within.starts), m, m))
    for i in range(m):
        for j in range(m):
            cross[:, i, j] = within.sums(residual[:, i] * transformed[:, j])
    return Moments(cross, residual, steps.position, within, basis.width)


class _Basis:
    """Nuisance basis by blocks of rows, so that 1.2 million transitions fit in memory."""

    def __init__(self, steps: Transitions, baseline: Floats) -> None:
        self.steps, self.baseline = steps, baseline
        sessions, counts = np.unique(steps.session, return_counts=True)
        enough = max(20.0, 0.01 * len(steps.session))
        self.own = sessions[counts >= enough][1:]
        self.log = np.log1p(steps.session)
        self.width = len(self.own) + 1 + baseline.shape[1] + steps.covariates.shape[1]

    def rows(self, rows: slice) -> Floats:
        session, log = self.steps.session[rows], self.log[rows, None]
        own = (session[:, None] == self.own[None]).astype(float)
        return np.hstack([own, log, log * self.baseline[self.steps.patient[rows]], self.steps.covariates[rows]])


def _blocks(starts: Ints, n_rows: int) -> list[slice]:
    """Row blocks that never cut a patient in two."""
    cuts = [0]
    for target in range(CHUNK_ROWS, n_rows, CHUNK_ROWS):
        cut = int(starts[np.searchsorted(starts, target)]) if target <= starts[-1] else n_rows
        if cut > cuts[-1]:
            cuts.append(cut)
    if cuts[-1] != n_rows:
        cuts.append(n_rows)
    return [slice(a, b) for a, b in pairwise(cuts)]


def _transform_rows(within: Projection, values: NDArray[np.float64], rows: slice) -> Floats:
    first, last = within.group[rows.start], within.group[rows.stop - 1] + 1
    part = Projection(
        within.starts[first:last] - rows.start,
        within.who[first:last],
        within.group[rows] - first,
        within.slope_axis[rows],
        within.slope_weight[first:last],
        within.trace[first:last],
        within.kernel[first:last],
    )
    return part.transform(values)
