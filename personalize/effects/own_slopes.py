"""Each patient's own slope from that patient's sessions alone, with the persistence of the outcome known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from personalize.effects.adjusted import BETA, RHO, Dynamics, Errors, impulse
from personalize.effects.transitions import Floats, Ints
from personalize.effects.within import Moments

SMALLEST_SPREAD = 1e-8  # within-patient sum of squares of the alliance below which there is no slope


@dataclass(frozen=True)
class OwnSlopes:
    """Own slopes of the k patients who have transitions.

    Attributes
    ----------
    who : int array of shape (k,)
        Rows in the panel.
    slope : array of shape (k,)
        b_i, corrected for short-panel bias and for measurement error; NaN where the alliance did not move.
    variance : array of shape (k,)
        v_i, its sampling variance; infinity where the alliance did not move.
    spread : array of shape (k,)
        ã' M ã, how much the alliance moved.
    noise : float
        Variance of the residual the slopes are estimated from.
    reliability : float
        λ, the share of the alliance's movement within patients that is not measurement error.
    """

    who: Ints
    slope: Floats
    variance: Floats
    spread: Floats
    noise: float
    reliability: float


def own_slopes(m: Moments, dynamics: Dynamics, errors: Errors, *, corrected: bool = True) -> OwnSlopes:
    """Estimate b_i = (Σ ã r / Σ ã² − bias_i) / λ, r = y[t+1] − ρ·y[t] within patients.

    Parameters
    ----------
    m : Moments
        Of the outcome equation.
    dynamics : Dynamics
        ρ and the response to errors. bias_i = −σ²·Σ_l C_i(l)·ψ_l / E[Σ ã²] for the patient's own pattern of sessions;
        the expected spread stands below, not the patient's own, which is small by chance in some patients.
    errors : Errors
        With an alliance SEM s, λ = 1 − s²·Σtr(M_i) / ΣΣã²: regression calibration, b is divided by λ and v by λ².
    corrected : bool
        Whether ``dynamics`` was solved with the short-panel correction.
    """
    theta = dynamics.theta if corrected else dynamics.uncorrected
    spread = m.cross[:, 1, 1]
    moving = spread > SMALLEST_SPREAD
    safe = np.where(moving, spread, 1.0)
    trace = m.within.trace
    reliability = 1.0 - errors.alliance**2 * trace[moving].sum() / max(spread[moving].sum(), SMALLEST_SPREAD)
    slope = (m.cross[:, 1, 2] - theta[RHO] * m.cross[:, 1, 0]) / safe
    if corrected:
        n_lags = m.within.kernel.shape[1]
        lean = dynamics.noise * (m.within.kernel @ impulse(theta, n_lags)[0][:n_lags, 1])
        per_freedom = spread[moving].sum() / max(trace[moving].sum(), SMALLEST_SPREAD)
        slope = slope + lean / np.maximum(trace * per_freedom, SMALLEST_SPREAD)
    r2 = errors.outcome**2
    noise = dynamics.noise + r2 * (1.0 + theta[RHO] ** 2) + (theta[BETA] * errors.alliance) ** 2 * max(reliability, 0.0)
    slope = np.where(moving, slope / reliability, np.nan)
    variance = np.where(moving, noise / (safe * reliability**2), np.inf)
    return OwnSlopes(m.within.who, slope, variance, spread, float(noise), float(reliability))


def moment_heterogeneity(slopes: OwnSlopes) -> float:
    """Moment estimate of the variance of true slopes (DerSimonian & Laird 1986), at least zero."""
    known = np.isfinite(slopes.variance)
    b, w = slopes.slope[known], 1.0 / slopes.variance[known]
    centre = w @ b / w.sum()
    excess = w @ (b - centre) ** 2 - (known.sum() - 1)
    return float(max(excess / max(w.sum() - (w @ w) / w.sum(), 1e-300), 0.0))


def mean_slope(slopes: OwnSlopes) -> float:
    """Mean of own slopes, each weighted by 1 / (v_i + ω²)."""
    known = np.isfinite(slopes.variance)
    weight = 1.0 / (slopes.variance[known] + moment_heterogeneity(slopes))
    return float(weight @ slopes.slope[known] / weight.sum())
