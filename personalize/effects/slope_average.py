"""The average effect from own slopes: one estimate, with individual trends shrunken as far as they vary.

The two passes of `personalize.effects.average` keep individual trends, which biases, or take all of them out, which
costs information, most in short treatments. Own slopes are read with each trend shrunken by the variance of trends,
and with few patients with the ridge penalty on growth that intake predicts (`personalize.effects.growth`). Their mean,

    β̂ = Σ S_i b_i / Σ S_i,   S_i = Σ ã²,

weighs patients as the pooled estimate does; the passes give the dynamics that the slopes are corrected with. On tuning
clinics its error varies less than that of the two passes, combined (docs/effects.md has both, and where it has more
bias). Precision weights, 1 / (v_i + ω²), have less noise yet and more bias: where feedback ties the alliance to past
errors, b_i − β_i goes with S_i, and those weights do not undo it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from personalize.effects.adjusted import RHO, Dynamics
from personalize.effects.average import Average
from personalize.effects.own_slopes import OwnSlopes, expected_spread, lean, stationary, working_theta
from personalize.effects.transitions import Floats
from personalize.effects.within import Moments

STEP = 0.1  # of a standard error: derivatives with respect to the dynamics


def slope_mean(slopes: OwnSlopes) -> float:
    """Mean of own slopes, each weighed by how much the alliance moved, as in a pooled estimate."""
    known = np.isfinite(slopes.variance)
    return float(np.average(slopes.slope[known], weights=slopes.spread[known]))


def slope_mean_gradient(m: Moments, slopes: OwnSlopes, dynamics: Dynamics) -> Floats:
    """What `slope_mean` changes by with ρ, β, φ, κ0, κ1 through the correction of the slopes, shape (5,).

    −Σ (S_i / E[S_i]) ∂lean_i/∂θ / (λ Σ S_i), by differences of a part of a standard error; zero for what was not
    estimated. The working persistence is held fixed: `lean` takes out what it does. Where one end of a difference is on
    the other side of stationarity, where `lean` jumps, the middle takes its place.

    Parameters
    ----------
    m : Moments
        That ``slopes`` were read from.
    slopes : OwnSlopes
        Corrected with ``dynamics``.
    dynamics : Dynamics
    """
    theta = dynamics.theta
    weight = np.where(np.isfinite(slopes.variance), slopes.spread, 0.0)
    leverage = weight / expected_spread(m) / (slopes.reliability * weight.sum())
    working = working_theta(m, lagged_outcome=bool(theta[RHO]))[RHO]
    steps = STEP * np.sqrt((dynamics.influence**2).sum(axis=0))
    out = np.zeros(len(theta))
    for k in np.flatnonzero(steps):
        step = np.zeros(len(theta))
        step[k] = steps[k]
        low, high = (at if stationary(at) == stationary(theta) else theta for at in (theta - step, theta + step))
        if high[k] > low[k]:
            ends = [leverage @ lean(m, replace(dynamics, theta=at), working) for at in (low, high)]
            out[k] = (ends[0] - ends[1]) / (high[k] - low[k])
    return out


def slope_mean_influence(slopes: OwnSlopes, clusters: NDArray[np.intp], n_clusters: int) -> Floats:
    """How far `slope_mean` moves when a cluster is left out, the correction held fixed; shape (n_clusters,).

    Σ S_i (b_i − β̂) over the cluster, by Σ S_i over the others: exact; zero for a cluster beside which nothing moves.

    Parameters
    ----------
    slopes : OwnSlopes
    clusters : int array of shape (n_patients,)
    n_clusters : int
    """
    known = np.isfinite(slopes.variance)
    weight, cluster = slopes.spread[known], clusters[slopes.who[known]]
    scores = np.bincount(cluster, weight * (slopes.slope[known] - slope_mean(slopes)), n_clusters)
    others = weight.sum() - np.bincount(cluster, weight, n_clusters)
    return np.asarray(np.divide(scores, others, out=np.zeros(n_clusters), where=others > 0))


def average_of_slopes(
    average: Average, m: Moments, slopes: OwnSlopes, dynamics: Dynamics, clusters: NDArray[np.intp]
) -> Average:
    """Average effect of the own slopes, with its covariance with persistence.

    Parameters
    ----------
    average : Average
        Of the two passes. It stands where the short-panel correction is not applied, or has no admissible solution.
    m, slopes : Moments, OwnSlopes
        Slopes not yet centred, and what they were read from.
    dynamics : Dynamics
        That ``slopes`` were corrected with, `combine_dynamics` of ``average``.
    clusters : int array of shape (n_patients,)

    Notes
    -----
    The sampling variance is the sum over clusters of squared influences, on the slopes and, through the correction, on
    the dynamics. To it is added, as in a model average, weight · (1 − weight) · difference² of what the dynamics of the
    two passes would make of it (Buckland, Burnham & Augustin 1997, Biometrics 53, 603).
    """
    if not (average.corrected and average.kept.dynamics.converged):
        return average
    gradient = slope_mean_gradient(m, slopes, dynamics)
    direct = slope_mean_influence(slopes, clusters, len(dynamics.influence))
    both = np.column_stack([dynamics.influence[:, RHO], direct + dynamics.influence @ gradient])
    covariance = both.T @ both
    if average.removed is not None:
        w, apart = average.weight_kept, average.kept.dynamics.theta - average.removed.dynamics.theta
        differs = np.array([apart[RHO], gradient @ apart])
        covariance += w * (1 - w) * np.outer(differs, differs)
    return replace(average, pair=np.array([average.pair[0], slope_mean(slopes)]), covariance=covariance)
