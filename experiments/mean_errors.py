"""How far a patient's mean of few sessions is from the patient's level, in both ratings and together.

The mean of n ratings is level + mean of the states. States last from session to session, and state alliance moves the
outcome, which feeds back: the errors of a patient's two means are correlated. Both come from the two equations of
`personalize.effects.adjusted`: with z = (outcome, alliance) as deviations from their courses, z[t+1] = A z[t] + noise,

    Γ(0) = A Γ(0) A' + Q,    Γ(l) = A^l Γ(0),    Cov(mean_a, mean_b) = Σ_t Σ_s Γ_ab(t − s) / (n_a n_b)

over the sessions the patient was rated at. Independent session errors (Lüdtke et al. 2008, Psychological Methods 13,
203-229) are the special case A = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from features.errors import NotEnoughData
from personalize.effects.adjusted import Errors
from personalize.effects.transitions import Floats, Grid

PAIRS = ((0, 0), (0, 1), (1, 1))  # outcome with itself, with the alliance, alliance with itself


@dataclass(frozen=True)
class PairCounts:
    """How often a patient was rated so many sessions apart.

    Attributes
    ----------
    weights : array of shape (3, n_patients, 2 * n_steps - 1)
        For each of `PAIRS` and lag −(n_steps − 1) … n_steps − 1: pairs of sessions so far apart over all pairs.
    single : array of shape (2, n_patients)
        1 / n of outcome and alliance: what an error of measurement is divided by.
    """

    weights: Floats
    single: Floats


def pair_counts(grid: Grid, timing: str) -> PairCounts:
    """Count pairs; an alliance rated before its row's outcome belongs with the outcome before."""
    n, steps = grid.outcome.shape
    masks = [np.zeros((n, steps + 1)) for _ in range(2)]
    masks[0][:, 1:] = np.isfinite(grid.outcome)
    alliance = np.isfinite(grid.alliance)
    masks[1][:, 1:] = alliance if timing == "after" else 0.0
    if timing == "before":
        masks[1][:, :-1] = alliance
    counts = np.array([mask.sum(axis=1) for mask in masks])
    weights = np.zeros((3, n, 2 * steps + 1))
    for p, (a, b) in enumerate(PAIRS):
        for lag in range(-steps, steps + 1):
            first = masks[a][:, max(lag, 0) : steps + 1 + min(lag, 0)]
            second = masks[b][:, max(-lag, 0) : steps + 1 - max(lag, 0)]
            weights[p, :, lag + steps] = np.einsum("ij,ij->i", first, second)
        weights[p] /= np.maximum(counts[a] * counts[b], 1)[:, None]
    return PairCounts(weights, 1.0 / np.maximum(counts, 1))


def autocovariance(theta: Floats, noise: float, alliance_noise: float, n_lags: int) -> Floats:
    """Covariance of deviations so many sessions apart, for `PAIRS` and lags −n_lags … n_lags; shape (3, 2 n_lags + 1).

    Raises
    ------
    NotEnoughData
        When the estimated equations are not stable, so that states have no lasting spread.
    """
    rho, beta, phi, kappa0, kappa1 = theta
    step = np.array([[rho, beta], [kappa0 * rho + kappa1, kappa0 * beta + phi]])
    if np.abs(np.linalg.eigvals(step)).max() > 0.97:
        raise NotEnoughData(
            "the estimated course of alliance and outcome has no end to its memory, so a trait cannot be told from the "
            "states; more sessions a patient (8 or more) are needed."
        )
    mix = np.array([[1.0, 0.0], [kappa0, 1.0]])
    gamma = solve_discrete_lyapunov(step, mix @ np.diag([noise, alliance_noise]) @ mix.T)
    out = np.empty((3, 2 * n_lags + 1))
    for lag in range(n_lags + 1):
        for p, (a, b) in enumerate(PAIRS):
            out[p, n_lags + lag], out[p, n_lags - lag] = gamma[a, b], gamma[b, a]
        gamma = step @ gamma
    return out


def mean_errors(counts: PairCounts, gamma: Floats, errors: Errors) -> Floats:
    """Error (co)variances of each patient's means for `PAIRS`; shape (3, n_patients)."""
    out = np.einsum("pil,pl->pi", counts.weights, gamma)
    out[0] += errors.outcome**2 * counts.single[0]
    out[2] += errors.alliance**2 * counts.single[1]
    return np.asarray(out)
