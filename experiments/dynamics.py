"""Alliance and outcome of one panel as two equations: what moves what, and how far the estimate can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from features import Panel
from personalize.effects import checks
from personalize.effects.adjusted import Errors, impulse
from personalize.effects.average import FEWEST_STEPS, Average, average_effect, combine_dynamics
from personalize.effects.encode import Encoding, learn_encoding
from personalize.effects.intake import baseline_table
from personalize.effects.transitions import Floats, Grid, Ints, lay_grid, outcome_steps


@dataclass(frozen=True)
class PanelDynamics:
    """The two equations of `personalize.effects.adjusted`, solved for a panel.

    Attributes
    ----------
    panel : Panel
    encoding : Encoding
    x : array of shape (n_patients, p)
        Encoded intake of patients and therapists.
    grid : Grid
    clusters : int array of shape (n_patients,)
        What standard errors count: therapists, or patients where there are too few therapists.
    average : Average
    theta : array of shape (5,)
        ρ, β, φ, κ0, κ1.
    influence : array of shape (n_clusters, 5)
    covariance : array of shape (5, 5)
        Cluster-robust, remaining doubt about the short-panel correction included.
    """

    panel: Panel
    encoding: Encoding
    x: Floats
    grid: Grid
    clusters: Ints
    average: Average
    theta: Floats
    influence: Floats
    covariance: Floats

    @property
    def freedom(self) -> int:
        """Degrees of freedom of intervals: therapists (or patients without one) that tell something, less one."""
        return max(int((self.influence != 0).any(axis=1).sum()) - 1, 1)

    def quantile(self, level: float) -> float:
        """Standard errors from estimate to the end of a two-sided interval (t: therapists may be few)."""
        return float(student.ppf(0.5 + level / 2, self.freedom))

    def delta(self, of: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
        """Estimate and standard error of functions of ``theta``, by the delta method."""
        value = np.atleast_1d(of(self.theta))
        slope = np.empty((len(value), len(self.theta)))
        for k in range(len(self.theta)):
            step = np.zeros(len(self.theta))
            step[k] = 1e-5 * max(1.0, abs(self.theta[k]))
            slope[:, k] = (np.atleast_1d(of(self.theta + step)) - np.atleast_1d(of(self.theta - step))) / (2 * step[k])
        return value, np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", slope, self.covariance, slope), 0.0))


def panel_dynamics(panel: Panel, errors: Errors | None = None) -> PanelDynamics:
    """Solve both equations for a panel, individual trends kept and removed, combined.

    `AllianceEffect` corrects own slopes with these and reads its average from them; as a rule the two differ by a
    fraction of a standard error.

    Raises
    ------
    NotEnoughData
        As `AllianceEffect.fit`.
    """
    errors = errors or Errors()
    checks.panel(panel)
    table = baseline_table(panel)
    encoding = learn_encoding(table)
    x = encoding.matrix(table)
    grid = lay_grid(panel)
    checks.transitions(panel, grid, outcome_steps(grid, panel.timing).at_least(FEWEST_STEPS), [])
    clusters = checks.clusters(panel, [])
    average = average_effect(grid, panel.timing, x, clusters, errors)
    theta, influence, covariance = whole_system(average)
    return PanelDynamics(panel, encoding, x, grid, clusters, average, theta, influence, covariance)


def whole_system(average: Average) -> tuple[Floats, Floats, Floats]:
    """All five coefficients, combined over the two passes with the weight `average_effect` gave them."""
    kept, dynamics = average.kept.dynamics, combine_dynamics(average)
    left = np.zeros(5)
    if not average.corrected or not kept.converged:
        left = (kept.theta - kept.uncorrected) ** 2
    elif average.removed is not None and average.weight_kept < 1:
        removed = average.removed.dynamics
        contrast = ((kept.influence - removed.influence) ** 2).sum(axis=0)
        left = average.weight_kept**2 * np.maximum((kept.theta - removed.theta) ** 2 - contrast, 0.0)
    return dynamics.theta, dynamics.influence, dynamics.covariance + np.diag(left)


def outcome_response(theta: Floats, lags: int) -> Floats:
    """Change of the 1st, 2nd, ... outcome after a rating that came out 1 point higher; shape (lags,)."""
    return impulse(theta, lags)[1][1:, 0]


def alliance_response(theta: Floats, lags: int) -> Floats:
    """Change of the 1st, 2nd, ... rating after an outcome that came out 1 point higher; shape (lags,)."""
    return impulse(theta, lags)[0][:lags, 1]


def held_response(theta: Floats, sessions: int) -> Floats:
    """Change of the 1st, 2nd, ... outcome while the alliance is held 1 point above its expected course; (sessions,)."""
    return np.asarray(theta[1] * np.cumsum(theta[0] ** np.arange(sessions)))
