"""How large the error of a forecast is expected to be, as a function of the situation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]

PULL = 1e-3  # draws every coefficient but the constant slightly to zero
MOST = 6.0  # SDs: situations further out count as this far


@dataclass(frozen=True)
class Scale:
    """Log-linear model of the mean absolute error.

    Parameters
    ----------
    coefficients, center, spread : arrays of shape (n_situation,)
    furthest : float
        Longest horizon behind it, in typical intervals.
    """

    coefficients: Floats
    center: Floats
    spread: Floats
    furthest: float

    def at(self, situation: Floats, gap: Floats) -> Floats:
        """Scale of each row; beyond the longest horizon it grows at least with the root of the horizon."""
        inner = np.clip((situation - self.center) / self.spread, -MOST, MOST)
        beyond = np.where(gap > self.furthest, np.sqrt(gap / self.furthest), 1.0)
        return np.asarray(np.exp(inner @ self.coefficients) * beyond)


def fit_scale(error: Floats, situation: Floats, gap: Floats, weight: Floats) -> Scale:
    """Maximise the Laplace likelihood of the errors.

    Parameters
    ----------
    error : array of shape (n_rows,)
    situation : array of shape (n_rows, n_situation)
        The first column is constant.
    gap, weight : arrays of shape (n_rows,)
    """
    center, spread = situation.mean(axis=0), situation.std(axis=0)
    center[0], spread[0] = 0.0, 1.0
    spread = np.where(spread > 1e-9, spread, 1.0)
    design = np.clip((situation - center) / spread, -MOST, MOST)
    size, w = np.abs(error), weight / weight.sum()
    start = np.zeros(design.shape[1])
    start[0] = np.log(max(float(w @ size), 1e-9))
    pull = np.full(design.shape[1], PULL)
    pull[0] = 0.0

    def loss(c: Floats) -> tuple[float, Floats]:
        logs = design @ c
        relative = size * np.exp(-logs)
        value = w @ (relative + logs) + 0.5 * pull @ c**2
        return float(value), design.T @ (w * (1 - relative)) + pull * c

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 100})
    return Scale(np.asarray(found.x), center, spread, float(np.nanmax(gap, initial=1.0)))
