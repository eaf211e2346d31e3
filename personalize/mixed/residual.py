"""Residuals that resemble their neighbours in time: whitening by a scalar Kalman filter, vectorised over patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personalize.mixed.sums import Array


@dataclass(frozen=True)
class Residual:
    """Correlation of a patient's residuals: nugget * (same row) + (1 - nugget) * exp(-gap / reach).

    Attributes
    ----------
    nugget : float in (0, 1]
        Share of the residual variance that is measurement error, new at every session; 1: independent residuals.
    reach : float
        Gap after which the remaining correlation has fallen to 1/e, in the unit of time given to `whiten`.
    """

    nugget: float = 1.0
    reach: float = 1.0

    def decay(self, gap: Array) -> Array:
        """exp(-gap / reach)."""
        out: Array = np.exp(-gap / self.reach)
        return out


@dataclass(frozen=True)
class Whitened:
    """Columns multiplied by the inverse Cholesky factor of their residual correlation.

    Attributes
    ----------
    columns : array of shape (n_columns, n_rows)
    log_determinant : float
        Of all patients' residual correlation matrices.
    state : array of shape (n_columns, n_patients)
        Expected autocorrelated part at each patient's last row, had the column been the residual.
    state_variance : array of shape (n_patients,)
        Its variance, in units of the residual variance.
    """

    columns: Array
    log_determinant: float
    state: Array
    state_variance: Array


def whiten(columns: Array, time: Array, starts: NDArray[np.intp], residual: Residual) -> Whitened:
    """Whiten each patient's rows, in one pass over occasions (cost: linear in rows).

    An Ornstein-Uhlenbeck process plus noise is a scalar state-space model, so the innovations of its Kalman filter,
    divided by their standard deviations, are the whitened rows (Jones & Boadi-Boateng 1991, Biometrics 47, 161-175).

    Parameters
    ----------
    columns : array of shape (n_columns, n_rows)
    time : array of shape (n_rows,)
        Non-decreasing within each patient.
    starts : int array of shape (n_patients,)
        First row of each patient; every patient has one.
    residual : Residual
    """
    n_rows = columns.shape[1]
    lengths = np.diff(np.append(starts, n_rows))
    shared = 1 - residual.nugget
    state, variance = np.zeros((len(columns), len(starts))), np.full(len(starts), shared)
    if shared == 0:
        return Whitened(columns, 0.0, state, variance)
    out, log_determinant = np.empty_like(columns), 0.0
    longest = np.argsort(-lengths, kind="stable")
    ordered = starts[longest]
    alive = np.searchsorted(-lengths[longest], -np.arange(int(lengths.max(initial=0))), side="left")
    for occasion, count in enumerate(alive):
        rows = ordered[:count] + occasion
        level, spread = state[:, :count], variance[:count]
        if occasion:
            keep = residual.decay(time[rows] - time[rows - 1])
            level = level * keep
            spread = spread * keep**2 + shared * (1 - keep**2)
        total = spread + residual.nugget
        surprise = columns[:, rows] - level
        out[:, rows] = surprise / np.sqrt(total)
        log_determinant += float(np.log(total).sum())
        gain = spread / total
        state[:, :count] = level + gain * surprise
        variance[:count] = spread * (1 - gain)
    back = np.empty_like(longest)
    back[longest] = np.arange(len(longest))
    return Whitened(out, log_determinant, state[:, back], variance[back])
