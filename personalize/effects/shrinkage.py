"""Three-level shrinkage of own slopes: patients in therapists, around what baseline predicts.

    b_i = γ0 + γ1·τ̂_i + δ·z_i + t_j + u_i + e_i,   Var(e_i) = v_i,  Var(u) = ω² (on average),  Var(t) = ψ²

τ̂ comes from learners that did not see the patient. γ1 is held in [0, 1.5]: where nothing varies, such predictions
are negatively related to the own slopes and a free γ1 would run away. The restricted likelihood is exact (closed form
per therapist). It is integrated over a grid of (ω, ψ), not maximised: a plugged-in ω = 0 would give intervals of no
width. ω has a prior that avoids the boundary (Chung et al. 2013, Psychometrika 78, 685) and falls where differences
would be unusually large (`_log_prior`), ψ a half-Cauchy one in units of ω (Gelman 2006, Bayesian Analysis 1, 515):
therapists seldom differ more than their patients do. Var(u_i) is ω² times a factor that grows with the distance of τ̂_i
from its mean (`unevenness`).

z_i is the standardised log noise of the patient's own outcome (`standardised_noise`), zero for all where noise does not
demonstrably differ. Shrinkage otherwise takes precision for unrelated to the effect, and where the noisiest patients
have the strongest effects they would be drawn to the others. A location-scale family in the precision (Chen, "Empirical
Bayes when estimation precision predicts parameters", arXiv:2212.14444) lets them differ, in one of three ways weighed
by their likelihood and `NOISE_STATES`: not at all; δ normal with SD ω; and beside that Var(u_i) growing with z_i, as
where an end of the scale holds down both noise and effect of some.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri

from personalize.effects.posterior import Posterior
from personalize.effects.transitions import Floats, Ints

N_OMEGA, N_PSI = 15, 7
PRIOR_POWER = 0.5  # p(ω) ∝ √ω keeps the posterior off zero; chosen on tuning clinics, see docs/effects.md
LARGE, FALLS = 0.25, 2.0  # p(ω) falls beyond this share of σ / SD(alliance), as ω^(−4·`FALLS`); tuning clinics
LEFT = 0.6  # ω, as a share of what intake explains, below which little is believed to be left; tuning clinics
THERAPIST_SHARE = 0.5  # ψ / ω around which therapists are believed to differ; tuning clinics
UNEVEN = 0.2  # how much Var(u_i) grows with the squared distance of τ̂_i from its mean, in SDs; tuning clinics
NOISE_STATES = ((0.0, 0.0, 0.80), (1.0, 0.0, 0.16), (1.0, 0.25, 0.04))  # SD of δ / ω, growth of log SD(u_i) a SD
# of log noise, prior probability; tuning clinics: noise that goes with the effect, noise that does not, floors
MOST_NOISE = 3.0  # SDs at which z is held: one mistyped score must not decide δ
LARGEST_SLOPE = 1.5  # γ1: out-of-bag predictions may be too timid, by no more than this
NEGLIGIBLE = 1e-4  # posterior weight below which a grid cell is left out


@dataclass(frozen=True)
class Patients:
    """What the model is told of n patients; those with v = inf carry no information.

    Attributes
    ----------
    b, v : array of shape (n,)
        Own slopes and their sampling variances; NaN and infinity where a patient has none.
    tau : array of shape (n,)
        Out-of-fold baseline prediction, centred.
    cluster : int array of shape (n,)
    noise : array of shape (n,)
        z of `standardised_noise`.
    """

    b: Floats
    v: Floats
    tau: Floats
    cluster: Ints
    noise: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """Who has an own slope, shape (n,)."""
        return np.isfinite(self.v)

    @property
    def n_clusters(self) -> int:
        """Therapists, numbered from 0."""
        return int(self.cluster.max()) + 1

    def free_variance(self, omega: float, growth: float) -> Floats:
        """Var(u_i), shape (n,), ω² on average: larger far from the middle of τ̂, and by ``growth`` where noise is."""
        share = unevenness(self.tau, self.known)
        if growth > 0:
            wider = np.exp(2.0 * growth * self.noise)
            share = share * wider / np.mean(wider[self.known])
        return np.asarray(omega**2 * share)

    def with_new(self, tau: Floats, cluster: Ints) -> Patients:
        """Append patients who are known from baseline only."""
        n = len(tau)
        return Patients(
            np.concatenate([self.b, np.full(n, np.nan)]),
            np.concatenate([self.v, np.full(n, np.inf)]),
            np.concatenate([self.tau, tau]),
            np.concatenate([self.cluster, cluster]),
            np.concatenate([self.noise, np.zeros(n)]),
        )


@dataclass(frozen=True)
class _Solved:
    log_likelihood: float
    gamma: Floats  # of the columns of `design`
    gamma_cov: Floats
    design: Floats
    mean: Floats
    variance: Floats
    prior: Floats
    therapist: Floats


def _solve(p: Patients, omega: float, psi: float, g1: float | None, delta_sd: float, growth: float) -> _Solved:
    """Exact restricted likelihood and posterior for one cell; γ1 is estimated where ``g1`` is None."""
    known, cluster = p.known, p.cluster
    free = p.free_variance(omega, growth)
    d = 1.0 / (p.v + free)  # zero where v is infinite
    fixed = np.zeros(len(p.tau)) if g1 is None else g1 * p.tau
    columns = [np.ones(len(p.tau))] + ([p.tau] if g1 is None else []) + ([p.noise] if delta_sd > 0 else [])
    design = np.column_stack(columns)
    y = np.where(known, p.b - fixed, 0.0)
    sums = np.bincount(cluster, d, p.n_clusters)
    shrink = psi**2 / (1.0 + psi**2 * sums)  # (1/ψ² + Σd)⁻¹, safe at ψ = 0

    def solve_v(x: Floats) -> Floats:
        total = np.bincount(cluster, d * x, p.n_clusters)
        return np.asarray(d * (x - (shrink * total)[cluster]))

    vx = np.column_stack([solve_v(column) for column in design.T])
    believed = np.zeros(design.shape[1])  # prior precision
    if delta_sd > 0:
        believed[-1] = delta_sd**-2.0
    gram = design.T @ vx + np.diag(believed)
    cov = np.linalg.pinv(gram)
    gamma = cov @ (vx.T @ y)
    residual = np.where(known, y - design @ gamma, 0.0)
    quad = float(residual @ solve_v(residual) + believed @ gamma**2)
    log_det = -np.log(d[known]).sum() + np.log1p(psi**2 * sums).sum() - np.log(believed[believed > 0]).sum()
    sign, gram_det = np.linalg.slogdet(gram)
    log_likelihood = -0.5 * (log_det + gram_det * (sign > 0) + quad)
    # posterior means: t_j, then u_i; variance with γ's uncertainty carried through
    t_mean = shrink * np.bincount(cluster, d * residual, p.n_clusters)
    expected = design @ gamma + fixed + t_mean[cluster]
    keep = np.where(known, 1.0 - free * d, 1.0)  # weight on what is expected
    mean = expected + np.where(known, (1.0 - keep) * (residual - t_mean[cluster]), 0.0)
    # Var(β_i | γ) = Var(u_i)·keep + keep²·Var(t_j | γ); γ enters β_i by keep·(x_i − t-regression of x)
    own = free * keep + keep**2 * shrink[cluster]
    t_design = np.column_stack([shrink * np.bincount(cluster, d * c, p.n_clusters) for c in design.T])
    lever = keep[:, None] * (design - t_design[cluster])
    variance = own + np.einsum("ij,jk,ik->i", lever, cov, lever)
    prior = expected - gamma[-1] * p.noise if delta_sd > 0 else expected
    return _Solved(log_likelihood, gamma, np.asarray(cov), design, mean, variance, prior, np.asarray(t_mean))


def standardised_noise(ratio: Floats, known: NDArray[np.bool_]) -> Floats:
    """Log of each patient's own noise, in SDs around the mean of the known, held at `MOST_NOISE`; shape (n,).

    Zero for all where noise is the same, and where a patient has no own slope.

    Parameters
    ----------
    ratio : array of shape (n,)
        Noise variance over the average (`personalize.effects.noise.own_noise`).
    known : bool array of shape (n,)
    """
    log = np.log(ratio[known])
    spread = log.std() if len(log) else 0.0
    out = np.zeros(len(ratio))
    if spread > 1e-9:
        out[known] = np.clip((log - log.mean()) / spread, -MOST_NOISE, MOST_NOISE)
    return out


def shrink(
    patients: Patients, *, noise_to_alliance: float = np.inf, average_variance: float = 0.0, has_therapists: bool = True
) -> Posterior:
    """Posterior of every patient's effect, integrated over the variance components.

    Parameters
    ----------
    patients : Patients
    noise_to_alliance : float
        Noise of the outcome per SD of alliance (`personalize.effects.own_slopes.OwnSlopes`), beside which ω is believed
        to be small; with infinity no ω is too large.
    average_variance : float
        Variance of the average effect, cluster-robust and with the uncertainty of persistence and bias correction;
        what it exceeds the model's own variance of γ0 by is added for all patients alike.
    has_therapists : bool
        False fixes ψ = 0.
    """
    p, known = patients, patients.known
    scale = _scale(p.b[known], p.v[known])
    omegas = scale * np.linspace(0.0, 1.0, N_OMEGA) ** 1.5
    psis = scale * np.linspace(0.0, 0.75, N_PSI) ** 1.5 if has_therapists else np.zeros(1)
    floor = 0.02 * scale
    cells: list[tuple[float, ...]] = []
    for omega, psi, state in product(omegas, psis, NOISE_STATES if p.noise.any() else NOISE_STATES[:1]):
        share, growth, probability = state
        nodes = _integrate_gamma(p, float(omega), float(psi), share * max(float(omega), floor), growth)
        cells += [(*node, log_weight + float(np.log(probability))) for *node, log_weight in nodes]
    table = np.array(cells)
    explained, large = table[:, 2] * p.tau[known].std(), LARGE * noise_to_alliance
    log_weights = table[:, 5] + _log_prior(table[:, 0], table[:, 1], explained, floor, large)
    # the grids are uneven: each node stands for its own stretch of the prior
    log_weights += np.log([_stretch(omegas, c[0]) * _stretch(psis, c[1]) for c in cells])
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    used = weights > NEGLIGIBLE
    return summarise(p, table[used, :5], weights[used] / weights[used].sum(), average_variance)


def unevenness(tau: Floats, known: NDArray[np.bool_]) -> Floats:
    """Var(u_i) / ω² of each patient, shape (n,), mean one over the known: larger where τ̂ is far from its mean.

    u_i holds what τ̂_i misses of τ(x_i), and predictions miss more the farther they lie from the middle: by leverage
    where moderators are linear, by what shrinkage leaves out where they are not. On tuning clinics the error of
    the fifth ranked highest had an SD 10 to 20 % above that of the others. Squared distances are held at 4 SD².
    """
    middle, spread = tau[known].mean(), tau[known].std()
    if spread < 1e-12:
        return np.ones(len(tau))
    away = np.minimum(((tau - middle) / spread) ** 2, 4.0)
    return np.asarray(1.0 + UNEVEN * (away - away[known].mean()))


def _log_prior(omega: Floats, psi: Floats, explained: Floats, floor: float, large: float) -> Floats:
    """Log prior of (ω, ψ): ∝ ω^`PRIOR_POWER` · left(ω) · usual(ω) / (1 + (ψ / (`THERAPIST_SHARE`·ω))²).

    left = ω² / (ω² + (`LEFT`·explained)²): where intake explains differences between patients with SD ``explained``, it
    is not believed that next to nothing is left unexplained; where it explains none, the factor is one. usual =
    (1 + (ω / large)⁴)^−`FALLS`: what patients differ by seldom explains more than `LARGE`² of the variance within
    patients. Short treatments of few patients leave ω open, and all they do not exclude would else be believed alike.
    ``floor`` is added to ω.
    """
    low = omega + floor
    left, usual = np.log(low**2 / (low**2 + (LEFT * explained) ** 2)), -FALLS * np.log1p((low / large) ** 4)
    return np.asarray(PRIOR_POWER * np.log(low) + left + usual - np.log1p((psi / (THERAPIST_SHARE * low)) ** 2))


def summarise(patients: Patients, grid: Floats, weights: Floats, average_variance: float) -> Posterior:
    """Posterior of these patients under a learned grid; patients with v = inf are new ones, known from baseline only.

    Parameters
    ----------
    patients : Patients
        Those the grid was learned from; others may be appended (`Patients.with_new`).
    grid : array of shape (c, 5)
        As in `Posterior`.
    weights : array of shape (c,)
        Posterior weights of the grid's cells.
    average_variance : float
        As in `shrink`.
    """
    solved = [_solve(patients, *cell) for cell in grid]
    means = np.stack([s.mean for s in solved])
    average = float(weights @ [s.gamma_cov[0, 0] for s in solved])
    extra = max(average_variance - average, 0.0)
    sds = np.sqrt(np.stack([s.variance for s in solved]) + extra)
    mean = weights @ means
    return Posterior(
        mean=mean,
        sd=np.sqrt(weights @ (sds**2 + (means - mean) ** 2)),
        baseline=weights @ np.stack([s.prior for s in solved]),
        therapist=weights @ np.stack([s.therapist for s in solved]),
        components=(weights, means, sds),
        gamma=np.array([weights @ [s.gamma[0] for s in solved], weights @ grid[:, 2]]),
        noise_slope=float(weights @ [s.gamma[-1] * (cell[3] > 0) for s, cell in zip(solved, grid, strict=True)]),
        omega=float(weights @ grid[:, 0]),
        psi=float(weights @ grid[:, 1]),
        grid=grid,
        average_variance=average,
        extra_variance=extra,
        similar_shift=np.zeros(len(mean)),
    )


def draw(patients: Patients, posterior: Posterior, average: Floats, n: int, rng: np.random.Generator) -> Floats:
    """Joint draws of all patients' effects, shape (n, n_patients).

    Parameters
    ----------
    patients : Patients
        As given to `shrink`.
    posterior : Posterior
    average : array of shape (n,)
        Standard normal draws that carry the uncertainty all patients share beyond the model's own.
    n : int
    rng : Generator
    """
    p, known = patients, patients.known
    cells = rng.choice(len(posterior.grid), n, p=posterior.components[0])
    out = np.empty((n, len(p.b)))
    shift = average * np.sqrt(posterior.extra_variance)
    for cell in np.unique(cells):
        omega, psi, g1, delta_sd, growth = posterior.grid[cell]
        solved = _solve(p, omega, psi, g1, delta_sd, growth)
        free = p.free_variance(omega, growth)
        d = 1.0 / (p.v + free)
        residual = np.where(known, p.b, 0.0) - g1 * p.tau
        sums = np.bincount(p.cluster, d, p.n_clusters)
        loose = psi**2 / (1.0 + psi**2 * sums)
        pull = np.where(known, free * d, 0.0)
        root = np.linalg.cholesky(solved.gamma_cov + 1e-300 * np.eye(len(solved.gamma)))
        for k in np.flatnonzero(cells == cell):
            level = solved.design @ (solved.gamma + root @ rng.standard_normal(len(root)))
            left = np.where(known, residual - level, 0.0)
            therapist = loose * np.bincount(p.cluster, d * left, p.n_clusters)
            therapist += np.sqrt(loose) * rng.standard_normal(p.n_clusters)
            own = pull * (left - np.where(known, therapist[p.cluster], 0.0))
            own += np.sqrt(free * (1.0 - pull)) * rng.standard_normal(len(p.b))
            out[k] = level + g1 * p.tau + therapist[p.cluster] + own + shift[k]
    return np.asarray(out + posterior.similar_shift)


def _integrate_gamma(p: Patients, omega: float, psi: float, delta_sd: float, growth: float) -> list[tuple[float, ...]]:
    """γ1 | (ω, ψ) is normal; its truncation to [0, `LARGEST_SLOPE`] is integrated at the middles of thirds of its mass.

    Returns (ω, ψ, γ1, SD of δ, growth, log weight) of each node.
    """
    if np.ptp(p.tau) < 1e-12:
        only = _solve(p, omega, psi, 0.0, delta_sd, growth)
        return [(omega, psi, 0.0, delta_sd, growth, only.log_likelihood)]
    free = _solve(p, omega, psi, None, delta_sd, growth)
    centre, sd = free.gamma[1], max(float(np.sqrt(max(free.gamma_cov[1, 1], 0.0))), 1e-12)
    if centre > LARGEST_SLOPE / 2:  # work in the tail where normal probabilities keep their digits
        near, far = (centre - LARGEST_SLOPE) / sd, centre / sd
    else:
        near, far = -centre / sd, (LARGEST_SLOPE - centre) / sd
    log_mass = float(log_ndtr(-near) + np.log1p(-np.exp(min(log_ndtr(-far) - log_ndtr(-near), -1e-15))))
    out: list[tuple[float, ...]] = []
    for part in (1 / 6, 1 / 2, 5 / 6):
        tail = (1.0 - part) * np.exp(log_ndtr(-near)) + part * np.exp(log_ndtr(-far))
        step = near if tail <= 0 else -float(ndtri(tail))
        g1 = centre - sd * step if centre > LARGEST_SLOPE / 2 else centre + sd * step
        log_weight = free.log_likelihood + log_mass - float(np.log(3.0))
        out.append((omega, psi, float(np.clip(g1, 0.0, LARGEST_SLOPE)), delta_sd, growth, log_weight))
    return out


def _scale(b: Floats, v: Floats) -> float:
    """Upper end of the grid: well above any heterogeneity the slopes could hide."""
    w = 1.0 / v
    centre = (w @ b) / w.sum()
    excess = max(w @ (b - centre) ** 2 - (len(b) - 1), 0.0) / (w.sum() - (w @ w) / w.sum())
    unsure = np.sqrt(2.0 * len(b)) / (w.sum() - (w @ w) / w.sum())
    return float(1.6 * np.sqrt(excess + 3.0 * unsure))


def _stretch(grid: Floats, value: float) -> float:
    if len(grid) == 1:
        return 1.0
    edges = np.concatenate([[grid[0]], (grid[1:] + grid[:-1]) / 2, [grid[-1]]])
    i = int(np.argmin(np.abs(grid - value)))
    return float(edges[i + 1] - edges[i])
