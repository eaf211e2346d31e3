"""Two adjusted-score estimates of the dynamics: one that keeps individual trends, one that takes them out.

Individual growth that is not taken out biases the effect; taking it out costs information, most in short treatments.
Both are computed, and combined by how much evidence there is that they differ: with W the Wald statistic
of the difference of (ρ, average), the estimate that keeps trends gets weight min(1, 2 / W), a positive-part
James–Stein weight (Hausman 1978, Econometrica 46, 1251, for the contrast). The variance is that of a model average:
the two variances, weighted, plus weight · (1 − weight) · difference² (Buckland, Burnham & Augustin 1997, Biometrics 53,
603). The average effect itself is then read from the own slopes (`personalize.effects.slope_average`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from personalize.effects.adjusted import BETA, RHO, Dynamics, Errors, solve
from personalize.effects.transitions import Floats, Grid, alliance_steps, outcome_steps
from personalize.effects.within import Moments, moments, projection

FEWEST_STEPS = 2  # transitions a patient needs to say anything about change (one more to take a trend out)
FEW_NEIGHBOURS = 0.25  # neighbouring ratings a usable transition below which the alliance's memory is not estimated
FEWEST_TO_CORRECT = 4  # median transitions below which the short-panel correction is shown but not applied
FEWEST_TO_DETREND = 4  # median transitions from which the pass without trends is tried


@dataclass(frozen=True)
class Pass:
    """One pass over the data.

    Attributes
    ----------
    moments : Moments
        Of the outcome equation.
    dynamics : Dynamics
        Its solution; the pooled β weighs each patient by how much the alliance moved.
    """

    moments: Moments
    dynamics: Dynamics

    @property
    def pair(self) -> Floats:
        """Persistence and effect, shape (2,)."""
        return self.dynamics.theta[[RHO, BETA]]

    @property
    def influence(self) -> Floats:
        """What each cluster adds to `pair`, shape (n_clusters, 2)."""
        return self.dynamics.influence[:, [RHO, BETA]]


@dataclass(frozen=True)
class Average:
    """Combined average effect.

    Attributes
    ----------
    kept, removed : Pass
        With individual trends kept and taken out; ``removed`` is None where treatments are too short for it.
    weight_kept : float
        Weight of ``kept`` in the combination.
    pair : array of shape (2,)
        ρ and the average effect: as the two passes say, or, from `average_of_slopes` on, as own slopes do.
    covariance : array of shape (2, 2)
        Theirs, cluster-robust, the difference of the passes included.
    corrected : bool
        Whether the short-panel correction is in ``pair``.
    """

    kept: Pass
    removed: Pass | None
    weight_kept: float
    pair: Floats
    covariance: Floats
    corrected: bool

    @property
    def estimate(self) -> float:
        """Average effect, outcome points per alliance point."""
        return float(self.pair[1])

    @property
    def variance(self) -> float:
        """Variance of `estimate`."""
        return float(self.covariance[1, 1])

    @property
    def growth_variance(self) -> float:
        """Variance of individual linear trends left in the outcome's residuals, points² per step²."""
        return growth_variance(self.kept.moments, self.pair)


def run_pass(
    grid: Grid,
    timing: str,
    baseline: Floats,
    clusters: NDArray[np.intp],
    errors: Errors,
    *,
    detrend: bool,
    lagged_outcome: bool = True,
    lag: int = 1,
) -> Pass:
    """Solve the adjusted scores once."""
    fewest = FEWEST_STEPS + detrend
    steps = outcome_steps(grid, timing, lag=lag).at_least(fewest)
    backward = alliance_steps(grid, timing).at_least(fewest)  # may be empty: then feedback counts as none
    if len(backward.response) < FEW_NEIGHBOURS * len(steps.response):
        apart = alliance_steps(grid, timing, memory=False).at_least(fewest)
        backward = apart if len(apart.response) > len(backward.response) else backward
    m = moments(steps, baseline, projection(steps, detrend=detrend))
    m_alliance = moments(backward, baseline, projection(backward, detrend=detrend))
    return Pass(m, solve(m, m_alliance, clusters, errors, lagged_outcome=lagged_outcome))


def growth_variance(m: Moments, pair: Floats) -> float:
    """Moment estimate of the variance of individual linear trends in the residuals.

    Parameters
    ----------
    m : Moments
        Under a projection that keeps trends.
    pair : array of shape (2,)
        ρ and β, of the combined estimate: those of the pass that keeps trends have taken the trends for persistence.
    """
    rho, beta = pair
    residual = m.residual[:, 2] - rho * m.residual[:, 0] - beta * m.residual[:, 1]
    within = m.within
    spread = within.sums(within.slope_axis**2)
    along = within.sums(within.slope_axis * residual)
    total = within.sums(residual * within.transform(residual))
    counts = np.bincount(within.group)
    ok = counts >= 4
    if not ok.any():
        return 0.0
    noise = (total - along**2 / np.where(spread > 0, spread, 1.0))[ok].sum() / (counts[ok] - 2).sum()
    return float(max((along[ok] ** 2 / spread[ok] - noise).sum() / spread[ok].sum(), 0.0))


def average_effect(
    grid: Grid,
    timing: str,
    baseline: Floats,
    clusters: NDArray[np.intp],
    errors: Errors,
    *,
    lagged_outcome: bool = True,
) -> Average:
    """Run both passes and combine them.

    With a median of fewer than `FEWEST_TO_CORRECT` transitions the correction rests on too little: the uncorrected
    estimate stands, and what the correction would have changed goes into its variance.
    """
    kept = run_pass(grid, timing, baseline, clusters, errors, detrend=False, lagged_outcome=lagged_outcome)
    counts = outcome_steps(grid, timing).counts
    median = float(np.median(counts[counts > 0]))
    if median < FEWEST_TO_CORRECT:
        naive = kept.dynamics.uncorrected[[RHO, BETA]]
        doubt = np.diag((kept.pair - naive) ** 2)
        covariance = kept.dynamics.uncorrected_covariance[np.ix_([RHO, BETA], [RHO, BETA])]
        return Average(kept, None, 1.0, naive, covariance + doubt, corrected=False)
    removed = None
    if median >= FEWEST_TO_DETREND:
        removed = run_pass(grid, timing, baseline, clusters, errors, detrend=True, lagged_outcome=lagged_outcome)
    if removed is None or not (removed.dynamics.converged and kept.dynamics.converged):
        covariance = kept.influence.T @ kept.influence
        if not kept.dynamics.converged:
            covariance += np.diag((kept.pair - kept.dynamics.uncorrected[[RHO, BETA]]) ** 2)
        return Average(kept, None, 1.0, kept.pair, covariance, corrected=True)
    apart = kept.pair - removed.pair
    contrast = kept.influence - removed.influence
    spread = contrast.T @ contrast
    unit = np.sqrt(np.maximum(np.diag(spread), 1e-300))
    wald = float(apart / unit @ np.linalg.pinv(spread / np.outer(unit, unit)) @ (apart / unit))
    weight = min(1.0, len(apart) / max(wald, 1e-12))
    covariance = (
        weight * kept.influence.T @ kept.influence
        + (1.0 - weight) * removed.influence.T @ removed.influence
        + weight * (1.0 - weight) * np.outer(apart, apart)
    )
    pair = weight * kept.pair + (1.0 - weight) * removed.pair
    return Average(kept, removed, weight, pair, covariance, corrected=True)


def combine_dynamics(average: Average) -> Dynamics:
    """Dynamics that own slopes are built with: the two passes, weighted, with the influence and covariance of that."""
    kept = average.kept.dynamics
    if not average.corrected:
        return replace(
            kept,
            theta=kept.uncorrected,
            influence=kept.uncorrected_influence,
            covariance=kept.uncorrected_covariance,
        )
    if average.removed is None:
        return kept
    removed, w = average.removed.dynamics, average.weight_kept
    influence = w * kept.influence + (1 - w) * removed.influence
    return replace(
        kept,
        theta=w * kept.theta + (1 - w) * removed.theta,
        influence=influence,
        covariance=influence.T @ influence,
        noise=w * kept.noise + (1 - w) * removed.noise,
        alliance_noise=w * kept.alliance_noise + (1 - w) * removed.alliance_noise,
    )
