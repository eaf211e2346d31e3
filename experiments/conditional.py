"""Effect of state-like alliance by phase of treatment, and by what was the case at the session."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from experiments.dynamics import PanelDynamics
from personalize.effects.adjusted import BETA, Errors
from personalize.effects.average import FEWEST_STEPS, combine_dynamics
from personalize.effects.own_slopes import OwnSlopes, own_slopes
from personalize.effects.slope_average import slope_mean, slope_mean_gradient, slope_mean_influence
from personalize.effects.transitions import Floats, Grid, Ints, Transitions, outcome_steps
from personalize.effects.within import moments, projection

FEWEST = 20  # patients a window or a condition needs


@dataclass(frozen=True)
class Estimate:
    """An estimate, what each cluster adds to it, shape (n_clusters,), and the variance of a simulated correction."""

    value: float
    influence: Floats
    n_patients: int
    simulated: float = 0.0

    @property
    def se(self) -> float:
        """Cluster-robust standard error."""
        return float(np.sqrt(self.influence @ self.influence + self.simulated))

    def minus(self, other: Estimate) -> Estimate:
        """Difference of two estimates on the same clusters."""
        return Estimate(
            self.value - other.value,
            self.influence - other.influence,
            min(self.n_patients, other.n_patients),
            self.simulated + other.simulated,
        )

    def less_bias(self, found_in_nothing: Floats) -> Estimate:
        """Take off what the same estimator finds, on average, in simulated courses where the truth is zero."""
        error = float(found_in_nothing.var(ddof=1)) / len(found_in_nothing)
        return replace(self, value=self.value - float(found_in_nothing.mean()), simulated=error)


def window_grid(grid: Grid, start: int, stop: int) -> Grid:
    """Columns start … stop of a grid; the first outcome of the window has no alliance before it."""
    return replace(
        grid,
        outcome=grid.outcome[:, start:stop],
        alliance=grid.alliance[:, start:stop],
        covariates=grid.covariates[:, start:stop],
        first=grid.first + grid.gap * start,
    )


def phase_windows(grid: Grid, timing: str, n: int) -> list[tuple[int, int]]:
    """Split treatment into n windows of equally many sessions, up to the session that half of the patients reach.

    Windows share their border: the last outcome of one is the first of the next.
    """
    reached = np.array([(np.isfinite(grid.outcome[:, k:]).any(axis=1)).mean() for k in range(grid.outcome.shape[1])])
    last = int(np.flatnonzero(reached >= 0.5).max(initial=0))
    cuts = np.linspace(0, last, n + 1).round().astype(int)
    return [(int(a), int(b) + 1) for a, b in pairwise(cuts)]


def window_effect(found: PanelDynamics, grid: Grid, errors: Errors) -> Estimate | None:
    """Average effect in one window; None where too few patients have two steps in it.

    Patient levels are the window's own; persistence and feedback, and with them the short-panel correction, are those
    of the whole panel, because a window is too short to tell them. The uncertainty of both is in the influence.
    """
    steps = outcome_steps(grid, found.panel.timing).at_least(FEWEST_STEPS)
    if len(np.unique(steps.patient)) < FEWEST:
        return None
    m = moments(steps, found.x, projection(steps, detrend=False))
    dynamics = combine_dynamics(found.average)

    def pooled(theta: Floats) -> tuple[float, OwnSlopes]:
        own = own_slopes(
            m, replace(dynamics, theta=theta, uncorrected=theta), errors, corrected=found.average.corrected
        )
        return slope_mean(own), own

    theta = found.theta.copy()
    for _ in range(4):  # the correction depends, weakly, on the window's own effect
        theta[BETA] = pooled(theta)[0]
    value, own = pooled(theta)
    gradient = np.zeros(len(theta))
    if found.average.corrected:
        gradient = slope_mean_gradient(m, own, replace(dynamics, theta=theta))
        gradient[BETA] = 0.0  # the window has its own
    direct = slope_mean_influence(own, found.clusters, len(found.influence))
    influence = direct + found.influence @ gradient
    return Estimate(value, influence, len(m.within.who))


def condition_effect(found: PanelDynamics, grid: Grid, condition: Floats) -> Estimate | None:
    """Change of the effect per unit of a condition of the session; None where too few patients tell it.

    y[t+1] on y[t], alliance, condition, and the products of the alliance's deviation from the patient's mean with log
    session (an effect that changes over treatment is not one of the condition) and with the condition; patient's level,
    time and time × intake out. Biased in short series: the means that are subtracted hold later sessions, which errors
    reach, and who has a condition more often may have another effect. `null_courses` says by how much.

    Parameters
    ----------
    found : PanelDynamics
    grid : Grid
        That of ``found``, or one drawn in its likeness.
    condition : array of shape (n_patients, n_steps)
        At the session the transition starts from; NaN where unknown.
    """
    steps = outcome_steps(grid, found.panel.timing)
    steps = steps.keep(np.isfinite(condition[steps.patient, steps.position])).at_least(FEWEST_STEPS + 1)
    if len(np.unique(steps.patient)) < FEWEST:
        return None
    return _product_slope(found, _with_product(steps, condition))


def _with_product(steps: Transitions, condition: Floats) -> Transitions:
    value = condition[steps.patient, steps.position]
    alliance = steps.regressors[:, 1]
    n = np.bincount(steps.patient, minlength=steps.n_patients)
    mean = np.bincount(steps.patient, alliance, steps.n_patients) / np.maximum(n, 1)
    state = alliance - mean[steps.patient]
    phase = np.log1p(steps.position)
    products = [state * (phase - phase.mean()), state * (value - value.mean())]
    return replace(steps, regressors=np.column_stack([steps.regressors, value, *products]))


def _product_slope(found: PanelDynamics, steps: Transitions) -> Estimate:
    m = moments(steps, found.x, projection(steps, detrend=False))
    left, right = m.cross[:, :5, :5], m.cross[:, :5, 5]
    whole = left.sum(axis=0)
    theta = np.linalg.lstsq(whole, right.sum(axis=0), rcond=1e-10)[0]
    score = right - left @ theta
    clusters: Ints = found.clusters[m.within.who]
    n = int(found.clusters.max()) + 1
    per, hat = np.zeros((n, 5)), np.zeros((n, 5, 5))
    np.add.at(per, clusters, score)
    np.add.at(hat, clusters, left)
    rest = whole - hat + 1e-10 * np.diag(np.diag(whole))
    influence = np.linalg.solve(rest, per[:, :, None])[:, -1, 0]
    return Estimate(float(theta[-1]), influence, len(m.within.who))
