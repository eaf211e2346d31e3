"""Do patients differ at all? Two tests, made before anybody is ranked.

Null 1, nothing varies: every patient has the same effect. Score test of Var(β_i) = 0: a patient's squared own score
against that patient's own residual variance, so that patients may differ in noise. Its null distribution, skew and all,
is simulated with each patient's own degrees of freedom; what feedback from symptoms to alliance does to its mean is
found by running the fitted dynamics with one effect for all.

Null 2, nothing that baseline predicts varies: random differences between patients and therapists may remain. Kernel
score tests (Goeman, van de Geer & van Houwelingen 2006, J. R. Statist. Soc. B 68, 477; Liu, Lin & Ghosh 2007,
Biometrics 63, 1079) with a linear and a Gaussian kernel of the intake columns; the smaller p-value counts, its null
distribution comes from sign changes of whole therapists (or patients), the search over two kernels included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personalize.effects.adjusted import RHO, Dynamics
from personalize.effects.own_slopes import OwnSlopes
from personalize.effects.transitions import Floats, Transitions
from personalize.effects.within import Moments

DRAWS = 1999
RANDOM_FEATURES = 200
FEWEST_CLUSTERS = 10
BLOCK = 2_000_000  # numbers held at once while simulating
NULL_PATIENTS = 60_000  # patients simulated to find the mean of the statistic under the null
WARM_UP = 10  # steps before the first session


@dataclass(frozen=True)
class Test:
    """A statistic, its p-value, and how many patients it rests on."""

    statistic: float
    p_value: float
    n: int


def test_any(steps: Transitions, m: Moments, slopes: OwnSlopes, dynamics: Dynamics, *, seed: int) -> Test:
    """Test that nothing varies.

    Parameters
    ----------
    steps : Transitions
        Of the outcome equation.
    m : Moments
        Theirs, under the projection the slopes were taken with.
    slopes : OwnSlopes
    dynamics : Dynamics
        Persistence, feedback and noise.
    seed : int

    Notes
    -----
    h_i = S_i (b_i − b̄)² − s_i², with s_i² the patient's residual variance around the own slope;
    T = Σ S_i h_i / √Σ (S_i h_i)². One-sided: only surplus variation speaks against the null.
    """
    ok = np.isfinite(slopes.variance) & (m.within.trace - 1.0 >= 1.0)
    if ok.sum() < 10:
        return Test(np.nan, np.nan, int(ok.sum()))
    rng = np.random.default_rng(seed)
    surplus, weight = _surplus(m.cross, m, dynamics.theta[RHO], ok)
    rounds = int(np.clip(NULL_PATIENTS // ok.sum(), 2, 60))
    shift = np.mean([_null_surplus(steps, m, dynamics, ok, rng).mean() for _ in range(rounds)])
    observed = _self_normalised(surplus - shift * weight / weight.mean())
    freedom = (m.within.trace - 1.0)[ok]
    n, above, done = int(ok.sum()), 0, 0
    size = max(1, BLOCK // n)
    while done < DRAWS:
        k = min(size, DRAWS - done)
        z = rng.chisquare(1.0, (k, n)) - rng.chisquare(freedom, (k, n)) / freedom
        above += int((_self_normalised(weight * z) >= observed).sum())
        done += k
    return Test(float(observed), (1 + above) / (1 + DRAWS), n)


def _surplus(cross: Floats, m: Moments, rho: float, ok: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """S_i h_i of each patient, and its weight S_i (held at its 99th percentile)."""
    v = np.array([-rho, 0.0, 1.0])
    total = np.einsum("i,kij,j->k", v, cross, v)[ok]
    along = (cross[:, 1, 2] - rho * cross[:, 1, 0])[ok]
    spread = np.maximum(cross[:, 1, 1][ok], 1e-12)
    noise = np.maximum(total - along**2 / spread, 0.0) / (m.within.trace - 1.0)[ok]
    weight = np.minimum(spread, np.quantile(spread, 0.99))
    slope = along / spread
    centre = weight @ slope / weight.sum()
    return weight * (spread * (slope - centre) ** 2 - noise), weight


def _null_surplus(
    steps: Transitions, m: Moments, dynamics: Dynamics, ok: NDArray[np.bool_], rng: np.random.Generator
) -> Floats:
    """S_i h_i when every patient has the pooled effect, on the same pattern of sessions."""
    rho, beta, phi, kappa0, kappa1 = dynamics.theta
    shape = (len(m.within.starts), int(steps.position.max()) + 2)
    e = np.sqrt(dynamics.noise) * rng.standard_normal((shape[0], shape[1] + WARM_UP))
    eta = np.sqrt(dynamics.alliance_noise) * rng.standard_normal(e.shape)
    y, a = np.zeros(e.shape), np.zeros(e.shape)
    for t in range(1, e.shape[1]):
        y[:, t] = rho * y[:, t - 1] + beta * a[:, t - 1] + e[:, t]
        a[:, t] = phi * a[:, t - 1] + kappa0 * y[:, t] + kappa1 * y[:, t - 1] + eta[:, t]
    y, a = y[:, WARM_UP:], a[:, WARM_UP:]
    at = (m.within.group, steps.position)
    values = np.column_stack([y[at], a[at], y[at[0], at[1] + 1]])
    moved = m.within.transform(values)
    cross = np.stack([m.within.sums(values[:, [i]] * moved) for i in range(3)], axis=1)
    return _surplus(cross, m, rho, ok)[0]


def _self_normalised(h: Floats) -> Floats:
    return np.asarray(h.sum(axis=-1) / np.sqrt((h**2).sum(axis=-1)))


def test_baseline(x: Floats, b: Floats, weight: Floats, cluster: NDArray[np.intp], *, seed: int) -> Test:
    """Test that nothing that baseline predicts varies.

    Parameters
    ----------
    x : array of shape (n, p)
        Encoded intake of patients with an own slope.
    b, weight : array of shape (n,)
        Own slopes and 1 / (v_i + ω²).
    cluster : int array of shape (n,)
    seed : int
    """
    n = len(b)
    if x.shape[1] == 0 or n < 20:
        return Test(np.nan, np.nan, n)
    rng = np.random.default_rng(seed)
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    frequency = rng.standard_normal((z.shape[1], RANDOM_FEATURES)) / np.sqrt(z.shape[1])
    gaussian = np.cos(z @ frequency + rng.uniform(0, 2 * np.pi, RANDOM_FEATURES))
    names, group = np.unique(cluster, return_inverse=True)
    if len(names) < FEWEST_CLUSTERS:
        names, group = np.arange(n), np.arange(n)
    residual = weight * (b - np.average(b, weights=weight))
    scores = []
    for features in (z, gaussian):
        centred = features - np.average(features, axis=0, weights=weight)
        by_cluster = np.zeros((len(names), centred.shape[1]))
        np.add.at(by_cluster, group, residual[:, None] * centred)
        scores.append(by_cluster)
    signs = np.vstack([np.ones(len(names)), rng.choice([-1.0, 1.0], (DRAWS, len(names)))])
    statistics = np.column_stack([((signs @ s) ** 2).sum(axis=1) for s in scores])
    # p-value of each draw within its own column, then the smaller of the two, then its rank among the draws
    ranks = np.empty_like(statistics)
    for j in range(statistics.shape[1]):
        ordered = np.sort(statistics[:, j])
        ranks[:, j] = (len(ordered) - np.searchsorted(ordered, statistics[:, j], side="left")) / len(ordered)
    smallest = ranks.min(axis=1)
    p_value = float((smallest <= smallest[0] + 1e-12).mean())
    z_score = float(((statistics[0] - statistics[1:].mean(axis=0)) / statistics[1:].std(axis=0)).max())
    return Test(z_score, p_value, n)
