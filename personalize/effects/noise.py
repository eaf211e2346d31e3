"""Noise that own slopes are read from: its average, what its memory adds, and how much patients differ in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from personalize.effects.adjusted import BETA, RHO
from personalize.effects.transitions import Floats
from personalize.effects.within import Moments, by_step

MEMORY = 2  # lags over which what is left of persistence is looked for
SMALLEST_SPREAD = 1e-9  # of the largest: sum of squares of a patient's alliance below which there is no slope
FEWEST_PATIENTS = 20  # below this all patients have the same noise
FEWEST_FREEDOM = 2.0  # below this a patient's residuals say nothing
FEWEST_PRIOR = 2.0  # d₀ is no smaller: outcomes that hardly move for a while do not make a slope certain
NO_SURPLUS = 1e-6  # variance of log noise that is none
SMALLEST_NOISE = 1e-3  # of the median; nobody's log variance runs away


def moves(spread: Floats) -> NDArray[np.bool_]:
    """Whose alliance moves within treatment; ``spread`` is the sum of squares, shape (k,)."""
    return np.asarray(spread > SMALLEST_SPREAD * spread.max(initial=0.0))


def working_noise(m: Moments, working: Floats) -> tuple[float, Floats, Floats]:
    """Variance of r's noise, and how much its memory adds to each patient's sampling variance.

    Parameters
    ----------
    m : Moments
    working : array of shape (5,)
        As `working_theta` returns it.

    Returns
    -------
    noise : float
        s², differences between patients' slopes taken out: two moments, Σ r̃'r̃ = s²·Σ(n_i − c_i) + ω²·ΣS_i and
        Σ(ã'r̃)² = s²·Σ f_i S_i + ω²·ΣS_i².
    inflation : array of shape (k,)
        f_i = 1 + 2 Σ_l q_l Σ_t ã[t] ã[t+l] / S_i, q_l the autocorrelations of r at lags up to `MEMORY` (the sandwich
        of a series with known memory; Newey & West 1987, Econometrica 55, 703).
    freedom : array of shape (k,)
        E[r̃'r̃] / s² where no slope differs.
    """
    within, weights = m.within, np.array([-working[RHO], -working[BETA], 1.0])
    alliance, left = within.transform(np.column_stack([m.residual[:, 1], m.residual @ weights])).T
    spread = m.cross[:, 1, 1]
    safe = np.where(moves(spread), spread, 1.0)
    counts = np.bincount(within.group).astype(float)
    by_lag = [_paired(m, alliance, left, lag) for lag in range(MEMORY + 1)]
    # E[r̃_t r̃_s] = γ(t − s) − Var(mean of the patient's r): solved for γ
    system, right = np.eye(MEMORY + 1), np.zeros(MEMORY + 1)
    # by the pairs there are: where sessions are missing, fewer of them are neighbours
    share = np.stack([(2.0 - (lag == 0)) * pairs / counts**2 for lag, (_, _, pairs) in enumerate(by_lag)])
    for lag, (products, _, pairs) in enumerate(by_lag):
        if pairs.sum() > 0:
            right[lag] = products.sum() / pairs.sum()
            system[lag] -= share @ pairs / pairs.sum()
    gamma = np.linalg.lstsq(system, right, rcond=None)[0]
    memory = np.clip(gamma[1:] / gamma[0], -0.5, 0.5) if gamma[0] > 0 else np.zeros(MEMORY)
    inflation = 1.0 + 2.0 * sum(q * by_lag[lag][1] for lag, q in enumerate(memory, start=1)) / safe
    inflation = np.clip(inflation, 0.5, 2.0)
    freedom = within.trace + 1.0 - counts * (np.concatenate([[1.0], memory]) @ share)
    along = within.sums(alliance * left)
    along = along - within.trace * along.sum() / max(within.trace.sum(), 1e-12)  # its mean is bias, not heterogeneity
    unit = max(spread.sum(), 1e-300) / max(within.trace.sum(), 1.0)  # so that the data's units do not matter
    scaled = spread / unit
    table = np.array([[freedom.sum() - m.nuisance, scaled.sum()], [inflation @ scaled, scaled @ scaled]])
    moments = np.array([left @ left, along @ along / unit])
    noise, varies = np.linalg.solve(table, moments) if np.linalg.cond(table) < 1e12 else (0.0, -1.0)
    if varies < 0 or noise <= 0:
        noise = moments[0] / max(table[0, 0], 1.0)
    return float(noise), inflation, np.asarray(freedom)


def own_noise(m: Moments, working: Floats, inflation: Floats, freedom: Floats) -> Floats:
    """Each patient's noise variance relative to the average, shape (k,): own residual variances, drawn together.

    s_i² = (r̃'r̃ − (ã'r̃)² / S_i) / d_i, d_i degrees of freedom left, is drawn to s₀²: (d₀ s₀² + d_i s_i²) / (d₀ + d_i),
    with s₀ and d₀ from the mean and the variance of log s_i² (Smyth 2004, Statistical Applications in Genetics and
    Molecular Biology 3, 3). Of the surplus variance of log s_i² over that of equal noise one standard error is taken
    off: where patients do not differ demonstrably, all get the same. Patients with fewer than `FEWEST_FREEDOM` degrees
    of freedom, or no residual at all, get the average.

    Parameters
    ----------
    m : Moments
    working : array of shape (5,)
    inflation, freedom : array of shape (k,)
        As `working_noise` returns them.
    """
    weights = np.array([-working[RHO], 0.0, 1.0])
    total = np.einsum("i,kij,j->k", weights, m.cross, weights)
    spread = m.cross[:, 1, 1]
    along = m.cross[:, 1, 2] - working[RHO] * m.cross[:, 1, 0]
    moving = moves(spread)
    left = np.maximum(total - np.where(moving, along**2 / np.where(moving, spread, 1.0), 0.0), 0.0)
    d = freedom - np.where(moving, inflation, 0.0)
    ok = (d >= FEWEST_FREEDOM) & (left > 0)
    out = np.ones(len(spread))
    if ok.sum() < FEWEST_PATIENTS:
        return out
    d, own = d[ok], left[ok] / d[ok]
    own = np.maximum(own, SMALLEST_NOISE * np.median(own))
    log = np.log(own) - digamma(d / 2) + np.log(d / 2)
    squared = (log - log.mean()) ** 2 - polygamma(1, d / 2)
    surplus = squared.mean() - squared.std() / np.sqrt(len(d))
    if surplus <= NO_SURPLUS:
        return out
    most = float(polygamma(1, FEWEST_PRIOR / 2))
    prior = 2.0 * brentq(lambda half: polygamma(1, half) - min(surplus, most), FEWEST_PRIOR / 2, 1e7)
    centre = np.exp(log.mean() + digamma(prior / 2) - np.log(prior / 2))
    ratio = (prior * centre + d * own) / (prior + d)
    scale = (d @ ratio) / d.sum()
    out[ok] = ratio / scale
    return out


def _paired(m: Moments, alliance: Floats, left: Floats, lag: int) -> tuple[Floats, Floats, Floats]:
    """Per patient: Σ r̃[t] r̃[t+lag], Σ ã[t] ã[t+lag], and the number of such pairs of sessions."""
    there, a, r = by_step(m.within.group, m.position, 1.0, alliance, left)
    early, late = slice(None, there.shape[1] - lag), slice(lag, None)
    one, two, three = (np.einsum("ij,ij->i", v[:, early], v[:, late]) for v in (r, a, there))
    return one, two, three
