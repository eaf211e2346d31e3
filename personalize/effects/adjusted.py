"""Average within-patient effect without short-panel bias: the adjusted within score.

Outcome equation    y[t+1] = a_i + g(time, x_i) + ρ·y[t] + β·alliance[t] + e[t+1]
Alliance equation   alliance[t] = c_i + h(time, x_i) + φ·alliance[t−1] + κ0·y[t] + κ1·y[t−1] + η[t]

Subtracting a patient's own mean (or trend) puts past errors into the transformed regressors, because an error moves
later outcomes (ρ) and, by feedback (κ), later alliances. With S = ΣM the score of the within regression then has
expectation

    E[w' M_i e] = −σ² Σ_l C_i(l) ψ_l,    ψ_0 = (1, κ0),  ψ_{l+1} = A ψ_l

(C_i from `personalize.effects.within.Projection`, A the one-step matrix of the two equations), and the score of the
alliance equation likewise with σ²_η. Both scores, plus these expectations, are set to zero together. This is the
fixed-T bias of Nickell (1981, Econometrica 49, 1417), worked out per patient for a vector autoregression with feedback
and used as an adjusted profile score (Bun & Carree 2005, J. Bus. Econ. Stat. 23, 200; Dhaene & Jochmans 2016,
Econometric Theory 32, 1178; Juodis 2013, Economics Letters 118, 435). It needs no stationarity, no assumption on first
sessions and no halves, and each patient is corrected by what that patient's own pattern of sessions calls for.

Measurement error enters the same equations: with alliance SEM s and outcome SEM r the moment matrices are lowered by
s²·tr(M_i) and r²·tr(M_i) on the diagonal, and the products of neighbouring ratings by the overlap −C_i(0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root

from personalize.effects.transitions import Floats
from personalize.effects.within import Moments

RHO, BETA, PHI, KAPPA0, KAPPA1 = range(5)
LARGEST_MEMORY = 0.98  # a root with |ρ| or |φ| beyond this is another, spurious root of the adjusted score


@dataclass(frozen=True)
class Dynamics:
    """Solution of the two adjusted scores.

    Attributes
    ----------
    theta : array of shape (5,)
        ρ, β, φ, κ0, κ1.
    uncorrected : array of shape (5,)
        The within (fixed-effects) estimate, measurement error corrected where asked, short-panel bias not.
    covariance : array of shape (5, 5)
        Cluster-robust sandwich of ``theta`` (jackknife form).
    uncorrected_covariance : array of shape (5, 5)
    influence, uncorrected_influence : array of shape (n_clusters, 5)
        How far the estimate moves when a cluster is left out, to first order.
    noise, alliance_noise : float
        σ² of e and of η, measurement error taken out.
    converged : bool
        False: the adjusted scores have no admissible root and ``theta`` is one step from the uncorrected estimate.
    estimated : bool array of shape (5,)
        Which of ``theta`` were estimated; the others count as zero.
    """

    theta: Floats
    uncorrected: Floats
    covariance: Floats
    uncorrected_covariance: Floats
    influence: Floats
    uncorrected_influence: Floats
    noise: float
    alliance_noise: float
    converged: bool
    estimated: NDArray[np.bool_]


@dataclass(frozen=True)
class Errors:
    """Standard errors of measurement, in the units of the data."""

    alliance: float = 0.0
    outcome: float = 0.0


def clean_outcome(cross: Floats, m: Moments, errors: Errors) -> Floats:
    """Outcome-equation moments (lagged outcome, alliance, response) with measurement error taken out."""
    out = cross.copy()
    trace, overlap = m.within.trace, _first(m.within.kernel)
    out[:, 0, 0] -= errors.outcome**2 * trace
    out[:, 1, 1] -= errors.alliance**2 * trace
    out[:, 0, 2] += errors.outcome**2 * overlap
    out[:, 2, 0] += errors.outcome**2 * overlap
    return out


def clean_alliance(cross: Floats, m: Moments, errors: Errors) -> Floats:
    """Alliance-equation moments (alliance before, outcome between, outcome before, response), error taken out."""
    out = cross.copy()
    trace, overlap = m.within.trace, _first(m.within.kernel)
    out[:, 0, 0] -= errors.alliance**2 * trace
    out[:, 1, 1] -= errors.outcome**2 * trace
    out[:, 2, 2] -= errors.outcome**2 * trace
    for i, j, error in ((1, 2, errors.outcome), (0, 3, errors.alliance)):
        out[:, i, j] += error**2 * overlap
        out[:, j, i] += error**2 * overlap
    return out


def _first(kernel: Floats) -> Floats:
    return kernel[:, 0] if kernel.shape[1] else np.zeros(len(kernel))


def impulse(theta: Floats, n_lags: int) -> tuple[Floats, Floats]:
    """Response of (outcome, alliance) to an outcome error and to an alliance error, 0 … n_lags steps later.

    Returns
    -------
    outcome_error, alliance_error : array of shape (n_lags + 1, 2)
    """
    rho, beta, phi, kappa0, kappa1 = theta
    step = np.array([[rho, beta], [kappa0 * rho + kappa1, kappa0 * beta + phi]])
    first, second = np.empty((n_lags + 1, 2)), np.empty((n_lags + 1, 2))
    a, b = np.array([1.0, kappa0]), np.array([0.0, 1.0])
    for lag in range(n_lags + 1):
        first[lag], second[lag] = a, b
        a, b = step @ a, step @ b
    return first, second


def noise_variance(theta: Floats, m: Moments, errors: Errors) -> float:
    """σ² of the outcome equation, apart from differences between patients' slopes.

    Two moments, two unknowns: Σ r̃'r̃ = σ²·Σtr(M_i) + ω²·ΣS_i and Σ(ã'r̃)² = σ²·ΣS_i + ω²·ΣS_i², r̃ the residual of the
    pooled equation and S_i = ã'ã. (Residuals that have lost each patient's own slope would be too small: with feedback
    the slope follows the noise.) Measurement error is taken out: r²(1 + ρ²) + 2ρr²·C(0) for the outcome, β²s²λ for the
    alliance, λ its pooled reliability within patients.
    """
    rho, beta = theta[RHO], theta[BETA]
    spread, trace = m.cross[:, 1, 1], m.within.trace
    total_trace, total_spread = trace.sum() - m.nuisance, spread.sum()
    reliability = max(1.0 - errors.alliance**2 * trace.sum() / max(total_spread, 1e-12), 0.0)
    v = np.array([-rho, -beta * reliability, 1.0])
    residual = float(np.einsum("i,kij,j->", v, m.cross, v))
    along = m.cross[:, 1, 2] - rho * m.cross[:, 1, 0] - beta * reliability * spread
    along -= trace * along.sum() / max(trace.sum(), 1e-12)  # its mean is short-panel bias, not heterogeneity
    unit = max(total_spread, 1e-300) / max(trace.sum(), 1.0)  # so that the data's units do not matter
    left = np.array(
        [
            [total_trace, reliability * total_spread / unit],
            [total_spread / unit, reliability**2 * float(spread @ spread) / unit**2],
        ]
    )
    right = np.array([residual, float(along @ along) / unit])
    noise, varies = np.linalg.solve(left, right) if np.linalg.cond(left) < 1e12 else (residual / total_trace, 0.0)
    if varies < 0:
        noise = residual / max(total_trace, 1.0)
    overlap = _first(m.within.kernel).sum() / max(trace.sum(), 1.0)
    measured = errors.outcome**2 * (1.0 + rho**2 + 2.0 * rho * overlap) + (beta * errors.alliance) ** 2 * reliability
    return float(max(noise - measured, 0.0))


def alliance_noise_variance(cross: Floats, theta: Floats, m: Moments, errors: Errors) -> float:
    """σ² of the alliance equation."""
    v = np.array([-theta[PHI], -theta[KAPPA0], -theta[KAPPA1], 1.0])
    total = float(np.einsum("i,kij,j->", v, cross, v))
    freedom = m.within.trace.sum() - m.nuisance
    return float(max(total / max(freedom, 1.0) - errors.alliance**2, 0.0))


def solve(
    outcome: Moments,
    alliance: Moments,
    clusters: NDArray[np.intp],
    errors: Errors,
    *,
    lagged_outcome: bool = True,
) -> Dynamics:
    """Solve both adjusted scores; covariance clustered by therapist (or patient).

    Parameters
    ----------
    outcome, alliance : Moments
        Of the two equations, under the same kind of projection.
    clusters : int array of shape (n_patients,)
    errors : Errors
    lagged_outcome : bool
        False leaves y[t] out of the outcome equation (ρ = 0).
    """
    y = clean_outcome(outcome.cross, outcome, errors)
    a = clean_alliance(alliance.cross, alliance, errors)
    # series too short for the alliance equation say nothing of it: memory and feedback count as none; and memory counts
    # as none where no two ratings are neighbours
    told = len(alliance.within.starts) > 0
    remembers = bool(alliance.cross[:, 0, 0].any())
    free = np.array([lagged_outcome, True, remembers, told, told])
    lags = max(outcome.within.kernel.shape[1], alliance.within.kernel.shape[1])
    scale = np.concatenate([np.diag(y.sum(axis=0))[:2], np.diag(a.sum(axis=0))[:3]])
    scale = np.sqrt(np.abs(scale) * np.array([y.sum(axis=0)[2, 2]] * 2 + [a.sum(axis=0)[3, 3]] * 3)) + 1e-12

    def scores(theta: Floats, corrected: bool) -> tuple[Floats, Floats]:
        one = y[:, :2, 2] - y[:, :2, 0] * theta[RHO] - y[:, :2, 1] * theta[BETA]
        two = a[:, :3, 3] - np.einsum("kij,j->ki", a[:, :3, :3], theta[2:])
        if corrected:
            bias_y, bias_a = expected_scores(theta, outcome, alliance, a, errors, lags)
            one, two = one - bias_y, two - bias_a
        return one, two

    def total(theta: Floats, corrected: bool) -> Floats:
        one, two = scores(theta, corrected)
        return np.concatenate([one.sum(axis=0), two.sum(axis=0)])

    start = np.zeros(5)
    left = y[:, :2, :2].sum(axis=0)
    if lagged_outcome:
        start[:2] = np.linalg.lstsq(left, y[:, :2, 2].sum(axis=0), rcond=None)[0]
    else:
        start[BETA] = y[:, 1, 2].sum() / left[1, 1]
    of_alliance = np.flatnonzero(free[2:])
    a_left = a[:, of_alliance[:, None], of_alliance].sum(axis=0)
    if told:
        start[2 + of_alliance] = np.linalg.lstsq(a_left, a[:, of_alliance, 3].sum(axis=0), rcond=None)[0]

    bias_y, bias_a = expected_scores(start, outcome, alliance, a, errors, lags)
    one_step = start.copy()
    if lagged_outcome:
        one_step[:2] -= np.linalg.lstsq(left, bias_y.sum(axis=0), rcond=None)[0]
    else:
        one_step[BETA] -= bias_y[:, 1].sum() / left[1, 1]
    if told:
        one_step[2 + of_alliance] -= np.linalg.lstsq(a_left, bias_a[:, of_alliance].sum(axis=0), rcond=None)[0]

    def equations(values: Floats) -> Floats:
        theta = np.zeros(5)
        theta[free] = values
        return np.asarray((total(theta, True) / scale)[free])

    found = root(equations, start[free], method="hybr", tol=1e-10)
    theta = np.zeros(5)
    theta[free] = found.x
    sound = bool(found.success) and bool(np.all(np.abs(theta[[RHO, PHI]]) < LARGEST_MEMORY))

    def by_cluster(at: Floats, corrected: bool) -> Floats:
        one, two = scores(at, corrected)
        per = np.zeros((int(clusters.max()) + 1, 5))
        np.add.at(per[:, :2], clusters[outcome.within.who], one)
        np.add.at(per[:, 2:], clusters[alliance.within.who], two)
        return per[:, free]

    # units of the scores and of the parameters, so that nothing below depends on those of the data
    rows = scale[free]
    information = np.concatenate([np.diag(y.sum(axis=0))[:2], np.diag(a.sum(axis=0))[:3]])[free]
    units = rows / np.maximum(np.abs(information), 1e-300)

    def influence(at: Floats, corrected: bool) -> Floats:
        per = by_cluster(at, corrected)
        jacobian = np.empty((*per.shape, per.shape[1]))
        for j, k in enumerate(np.flatnonzero(free)):
            step = np.zeros(5)
            step[k] = 1e-5 * max(units[j], abs(at[k]))
            ends = by_cluster(at + step, corrected) - by_cluster(at - step, corrected)
            jacobian[:, :, j] = ends / (2 * step[k])
        whole = jacobian.sum(axis=0)
        out = np.zeros((len(per), 5))
        # leave-one-cluster-out steps: the jackknife form of the sandwich, which few clusters do not make too small
        inverse = units[:, None] * np.linalg.pinv((whole - jacobian) * units / rows[:, None]) / rows
        out[:, free] = -(inverse @ per[:, :, None])[:, :, 0]
        return out

    naive = influence(start, False)
    final = influence(theta, True) if sound else naive
    if not sound:  # one step from the uncorrected estimate: the expectation evaluated there, solved once
        theta = one_step
    return Dynamics(
        theta=theta,
        uncorrected=start,
        covariance=final.T @ final,
        uncorrected_covariance=naive.T @ naive,
        influence=final,
        uncorrected_influence=naive,
        noise=noise_variance(theta, outcome, errors),
        alliance_noise=alliance_noise_variance(a, theta, alliance, errors),
        converged=sound,
        estimated=free,
    )


def expected_scores(
    theta: Floats, outcome: Moments, alliance: Moments, a: Floats, errors: Errors, lags: int
) -> tuple[Floats, Floats]:
    """Per patient, the expectation of the two within scores at ``theta``: shapes (k, 2) and (k', 3)."""
    first, second = impulse(theta, lags + 1)
    n_y, n_a = outcome.within.kernel.shape[1], alliance.within.kernel.shape[1]
    noise = noise_variance(theta, outcome, errors)
    alliance_noise = alliance_noise_variance(a, theta, alliance, errors)
    moved = np.column_stack([second[:n_a, 1], second[1 : n_a + 1, 0], second[:n_a, 0]])
    return -noise * (outcome.within.kernel @ first[:n_y]), -alliance_noise * (alliance.within.kernel @ moved)
