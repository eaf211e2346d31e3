"""Each patient's own slope from that patient's sessions alone, with the persistence of the outcome known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_discrete_lyapunov
from scipy.optimize import brentq
from scipy.stats import chi2

from personalize.effects.adjusted import BETA, KAPPA0, RHO, Dynamics, Errors, impulse
from personalize.effects.noise import moves, own_noise, working_noise
from personalize.effects.transitions import Floats, Ints
from personalize.effects.within import Moments, by_step

TINY = 1e-300
BLOCK = 2_000_000  # numbers held at once in `feedback_variance`


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
    own_noise : array of shape (k,)
        s_i² over the average; ones where patients do not demonstrably differ in noise.
    noise : float
        Variance of the residual the slopes are estimated from, averaged over patients.
    reliability : float
        λ, the share of the alliance's movement within patients that is not measurement error.
    noise_to_alliance : float
        σ / SD of the true alliance within patients, outcome points per alliance point: were own slopes to vary by so
        much, they would explain as much of the outcome as all that is noise now. Infinity where there is no noise.
    """

    who: Ints
    slope: Floats
    variance: Floats
    spread: Floats
    own_noise: Floats
    noise: float
    reliability: float
    noise_to_alliance: float


def own_slopes(m: Moments, dynamics: Dynamics, errors: Errors, *, corrected: bool = True) -> OwnSlopes:
    """Estimate b_i = (Σ ã r / Σ ã² − bias_i) / λ, r = y[t+1] − w·y[t] within patients.

    Parameters
    ----------
    m : Moments
        Of the outcome equation.
    dynamics : Dynamics
        Persistence and the response to errors, for the bias of each patient's own pattern of sessions (`lean`). It is
        divided by the expected spread, not the patient's own, which is small by chance in some patients.
    errors : Errors
        With an alliance SEM s, λ = 1 − s²·Σtr(M_i) / ΣΣã²: regression calibration, b is divided by λ and v by λ².
    corrected : bool
        Whether ``dynamics`` was solved with the short-panel correction.

    Notes
    -----
    w, the working persistence, is the plain within estimate, not ρ: it leaves the least noise in r, where ρ (from which
    short panels and error of measurement have been taken out) would difference too much. What that does to the mean of
    the slopes is taken out with the bias and by centring at the average effect; what it does to their spread is
    (ρ − w) times a small covariance (on tuning clinics the slope of b_i on β_i lies between .96 and 1.02). What is
    left of persistence in r makes v_i = s_i²·f_i / (λ² Σã²), see `working_noise`; feedback takes from it, see
    `feedback_variance`. s_i² is the patient's own where patients demonstrably differ in noise, see `own_noise`.
    """
    theta = dynamics.theta if corrected else dynamics.uncorrected
    spread = m.cross[:, 1, 1]
    moving = moves(spread)
    safe = np.where(moving, spread, 1.0)
    trace = m.within.trace
    reliability = 1.0 - errors.alliance**2 * trace[moving].sum() / max(spread[moving].sum(), TINY)
    working = working_theta(m, lagged_outcome=bool(theta[RHO]))
    slope = (m.cross[:, 1, 2] - working[RHO] * m.cross[:, 1, 0]) / safe
    noise, inflation, freedom = working_noise(m, working)
    if corrected:
        expected = expected_spread(m)
        slope = slope - lean(m, dynamics, working[RHO]) / expected
        fed_back = feedback_variance(m, dynamics) / (max(noise, 1e-12) * expected)
        inflation = np.maximum(inflation + np.clip(fed_back, -0.5, 0.5), 0.25)
    slope = np.where(moving, slope / reliability, np.nan)
    own = own_noise(m, working, inflation, freedom)
    variance = np.where(moving, noise * own * inflation / (safe * reliability**2), np.inf)
    moved = reliability * spread[moving].sum() / max(trace[moving].sum(), TINY)
    noise_to_alliance = float(np.sqrt(dynamics.noise / moved)) if dynamics.noise > 0 and moved > 0 else np.inf
    return OwnSlopes(m.within.who, slope, variance, spread, own, float(noise), float(reliability), noise_to_alliance)


def expected_spread(m: Moments) -> Floats:
    """Σã² that a patient's pattern of sessions calls for, shape (k,): tr(M_i) times the average over patients."""
    spread, trace = m.cross[:, 1, 1], m.within.trace
    moving = moves(spread)
    return np.asarray(np.maximum(trace * spread[moving].sum() / max(trace[moving].sum(), TINY), TINY))


def working_theta(m: Moments, *, lagged_outcome: bool) -> Floats:
    """Plain within estimate of persistence and average slope, measurement error and all: θ with zeros for the rest."""
    total = m.cross.sum(axis=0)
    theta = np.zeros(5)
    if lagged_outcome:
        theta[[RHO, BETA]] = np.linalg.lstsq(total[:2, :2], total[:2, 2], rcond=None)[0]
    elif total[1, 1] > 0:
        theta[BETA] = total[1, 2] / total[1, 1]
    return theta


def lean(m: Moments, dynamics: Dynamics, working: float) -> Floats:
    """Expectation of Σ ã (r − βã) for each patient's pattern of sessions, shape (k,).

    −σ² Σ_l C_i(l) ψ_l from the errors (`personalize.effects.adjusted`), and (ρ − w)·E[Σ ã ỹ] from the persistence that
    r still holds: with Γ the autocovariances of the fitted dynamics, E[Σ ã ỹ] = tr(M_i) Γ_ay(0) − Σ_l C_i(l)
    (Γ_ay(l+1) + Γ_ya(l+1)).
    """
    theta, kernel = dynamics.theta, m.within.kernel
    n_lags = kernel.shape[1]
    out = -dynamics.noise * (kernel @ impulse(theta, n_lags)[0][:n_lags, 1])
    covariances = autocovariance(dynamics, n_lags)
    if covariances is not None:
        crossed = m.within.trace * covariances[0, 1, 0] - kernel @ (covariances[1:, 1, 0] + covariances[1:, 0, 1])
        out = out + (theta[RHO] - working) * crossed
    return np.asarray(out)


def feedback_variance(m: Moments, dynamics: Dynamics) -> Floats:
    """What feedback adds to Var(Σ ã e) beyond σ²·E[Σ ã²], shape (k,): σ⁴ tr((M_i L)²), mostly below zero.

    With ã = x̃ + M_i L e, x̃ free of the errors and L[t, s] = ψ_{t−s−1} for s < t, Σ ã e = x̃'e + e'M_i L e has variance
    σ² x̃'x̃ + σ⁴ tr(M_i L L' M_i) + σ⁴ tr((M_i L)²); the first two are σ²·E[Σ ã²]. Feedback ties the alliance to the same
    errors the slope is read from. Without this term variances are stated 2 to 3 % too large on the simulated clinics
    and 15 % where feedback is four times as strong; all of it would be taken off the differences between patients.
    """
    within = m.within
    there, axis = by_step(within.group, m.position, 1.0, within.slope_axis)
    k, n_steps = there.shape
    response = impulse(dynamics.theta, n_steps)[0][:, 1]
    lag = np.subtract.outer(np.arange(n_steps), np.arange(n_steps)) - 1
    follows = np.where(lag >= 0, response[np.maximum(lag, 0)], 0.0)
    out = np.empty(k)
    size = max(1, BLOCK // n_steps**2)
    for first in range(0, k, size):
        rows = slice(first, first + size)
        h, z = there[rows], axis[rows]
        level = h / h.sum(axis=1, keepdims=True)
        moved = h[:, :, None] * np.eye(n_steps) - level[:, :, None] * h[:, None, :]
        moved -= (z * within.slope_weight[rows, None])[:, :, None] * z[:, None, :]
        moved = moved @ follows
        out[rows] = np.einsum("kij,kji->k", moved, moved)
    return np.asarray(dynamics.noise**2 * out)


def autocovariance(dynamics: Dynamics, n_lags: int) -> Floats | None:
    """Γ(l) = Cov(z[t+l], z[t]) of z = (outcome, alliance) under the fitted dynamics, shape (n_lags + 1, 2, 2).

    None where the dynamics are not stationary.
    """
    step, kappa0 = one_step(dynamics.theta), dynamics.theta[KAPPA0]
    if not stationary(dynamics.theta):
        return None
    shock = np.array([[1.0, 0.0], [kappa0, 1.0]])
    noise = shock @ np.diag([dynamics.noise, dynamics.alliance_noise]) @ shock.T
    unit = np.sqrt(np.maximum(np.diag(noise), 1e-300))  # solved in SDs, so that it does not depend on the data's units
    scale = np.outer(unit, unit)
    out = np.empty((n_lags + 1, 2, 2))
    out[0] = scale * solve_discrete_lyapunov(step * unit / unit[:, None], noise / scale)
    for lag in range(n_lags):
        out[lag + 1] = step @ out[lag]
    return out


def one_step(theta: Floats) -> Floats:
    """Matrix that takes (outcome, alliance) one step on, shape (2, 2)."""
    rho, beta, phi, kappa0, kappa1 = theta
    return np.array([[rho, beta], [kappa0 * rho + kappa1, kappa0 * beta + phi]])


def stationary(theta: Floats) -> bool:
    """Whether the two equations come to rest."""
    return bool(np.abs(np.linalg.eigvals(one_step(theta))).max() < 1.0)


def moment_heterogeneity(slopes: OwnSlopes) -> float:
    """Moment estimate of the variance of true slopes, see `excess_variance`."""
    known = np.isfinite(slopes.variance)
    return excess_variance(slopes.slope[known], slopes.variance[known])


def excess_variance(estimates: Floats, variances: Floats) -> float:
    """Variance of what is estimated, beyond that of the errors (DerSimonian & Laird 1986), at least zero."""
    w = 1.0 / variances
    centre = w @ estimates / w.sum()
    excess = w @ (estimates - centre) ** 2 - (len(estimates) - 1)
    return float(max(excess / max(w.sum() - (w @ w) / w.sum(), 1e-300), 0.0))


def largest_heterogeneity(slopes: OwnSlopes, level: float = 0.95) -> float:
    """Largest SD of true slopes that the own slopes do not exclude, one-sided at ``level``; NaN below ten patients.

    The Q-profile limit: the ω at which Σ (b_i − b̄)² / (v_i + ω²) falls to the lower quantile of χ² with n − 1 degrees
    of freedom (Viechtbauer 2007, Statistics in Medicine 26, 37).
    """
    known = np.isfinite(slopes.variance)
    b, v = slopes.slope[known], slopes.variance[known]
    if len(b) < 10:
        return float("nan")

    def above(omega: float) -> float:
        w = 1.0 / (v + omega**2)
        return float(w @ (b - w @ b / w.sum()) ** 2 - chi2.ppf(1.0 - level, len(b) - 1))

    high = float(np.sqrt(v.max()) + np.ptp(b))
    return 0.0 if above(0.0) <= 0 else float(brentq(above, 0.0, high, xtol=1e-6))


def mean_slope(slopes: OwnSlopes) -> float:
    """Mean of own slopes, each weighted by 1 / (v_i + ω²) as if all patients had the same noise.

    The average effect does not weigh patients by their noise either: where effects go with it, the two would differ.
    """
    known = np.isfinite(slopes.variance)
    alike = slopes.variance[known] / slopes.own_noise[known]
    weight = 1.0 / (alike + moment_heterogeneity(slopes))
    return float(weight @ slopes.slope[known] / weight.sum())
