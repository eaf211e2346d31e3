# ruff: noqa: E501
"""Courses like those of a panel in which nothing moderates the effect, and what an estimator finds in them.

With v and s the deviations of outcome and alliance from their expected courses, and every patient's own sessions,

    v[t+1] = ρ v[t] + β_i (s[t] + rise[t]) − (the same for the average β) + e,    s[t+1] = φ s[t] + κ0 v[t+1] + κ1 v[t] + w,

β_i normal around the average. All numbers are those estimated from the panel (`experiments.dynamics`). What an estimator finds in
such courses on average is its bias where the truth is zero; taking it off is a bias correction by parametric bootstrap,
the indirect inference of Gouriéroux, Phillips & Yu 2010 (Journal of Econometrics 157, 68-77) in one step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from experiments.dynamics import PanelDynamics
from features.errors import NotEnoughData
from personalize.effects.adjusted import BETA, Errors
from personalize.effects.average import combine_dynamics
from personalize.effects.own_slopes import moment_heterogeneity, own_slopes
from personalize.effects.transitions import Floats, Grid

BURN_IN = 25  # steps before the first session, so that states start in equilibrium
LARGEST_ROOT = 0.97  # of the two equations of one patient; effects that would drive courses without end are cut


@dataclass(frozen=True)
class NullCourses:
    """What is needed to draw courses.

    Attributes
    ----------
    grid : Grid
        The panel's; its pattern of what was observed is kept.
    timing : str
    theta : array of shape (5,)
        ρ, β, φ, κ0, κ1.
    effect_sd, noise_sd, alliance_noise_sd : float
    courses : array of shape (2, n_patients, n_steps)
        Expected outcome and alliance.
    errors : Errors
    """

    grid: Grid
    timing: str
    theta: Floats
    effect_sd: float
    noise_sd: float
    alliance_noise_sd: float
    courses: Floats
    errors: Errors

    def draw(self, rng: np.random.Generator) -> Grid:
        """Ratings of everybody, missing where the panel's are."""
        rho, beta, phi, kappa0, kappa1 = self.theta
        n, steps = self.grid.outcome.shape
        effect = self._bounded(beta + self.effect_sd * rng.standard_normal(n))
        rise = self.courses[1] - self.courses[1][:, :1]
        v, last, s, by_rise = (np.zeros(n) for _ in range(4))
        drawn = np.empty((2, n, steps))
        before = self.timing == "before"
        for step in range(-BURN_IN, steps):
            at = max(step if before else step - 1, 0)
            e, w = self.noise_sd * rng.standard_normal(n), self.alliance_noise_sd * rng.standard_normal(n)
            if before:  # the rating answers the outcomes before and moves the one of its own row
                s = phi * s + kappa0 * v + kappa1 * last + w
            last, moved = v, s
            v = rho * v + effect * moved + e
            by_rise = rho * by_rise + (effect - beta) * rise[:, at]
            if not before:
                s = phi * s + kappa0 * v + kappa1 * last + w
            if step >= 0:
                drawn[0, :, step], drawn[1, :, step] = v + by_rise, s
        outcome, alliance = self.courses + drawn
        outcome = outcome + self.errors.outcome * rng.standard_normal((n, steps))
        alliance = alliance + self.errors.alliance * rng.standard_normal((n, steps))
        return replace(
            self.grid,
            outcome=np.where(np.isfinite(self.grid.outcome), outcome, np.nan),
            alliance=np.where(np.isfinite(self.grid.alliance), alliance, np.nan),
        )

    def _bounded(self, effect: Floats) -> Floats:
        """Effects moved towards the average until no patient's two equations explode."""
        average = self.theta[BETA]
        while (wild := _largest_root(self.theta, effect) > LARGEST_ROOT).any():
            effect = np.where(wild, average + 0.8 * (effect - average), effect)
        return effect


def _largest_root(theta: Floats, effect: Floats) -> Floats:
    """Largest absolute root of the two equations of patients with these effects."""
    rho, _, phi, kappa0, kappa1 = theta
    half = (rho + kappa0 * effect + phi) / 2
    root = np.sqrt(np.asarray(half**2 - (rho * phi - kappa1 * effect), dtype=complex))
    return np.maximum(np.abs(half + root), np.abs(half - root))


def null_courses(found: PanelDynamics, errors: Errors) -> NullCourses:
    """Collect what the panel says of its courses.

    Raises
    ------
    NotEnoughData
        When the estimated equations are not stable.
    """
    average = found.average
    dynamics = combine_dynamics(average)
    slopes = own_slopes(average.kept.moments, dynamics, errors, corrected=average.corrected)
    grid = found.grid
    if _largest_root(found.theta, found.theta[BETA]) > LARGEST_ROOT:
        raise NotEnoughData(
            "the estimated course of alliance and outcome has no end to its memory, so no courses like these can be drawn; "
            "more sessions a patient (8 or more) are needed."
        )
    return NullCourses(
        grid=grid,
        timing=found.panel.timing,
        theta=found.theta,
        effect_sd=float(np.sqrt(moment_heterogeneity(slopes))),
        noise_sd=float(np.sqrt(dynamics.noise)),
        alliance_noise_sd=float(np.sqrt(dynamics.alliance_noise)),
        courses=np.stack([expected_course(values, found.x) for values in (grid.outcome, grid.alliance)]),
        errors=errors,
    )


def expected_course(values: Floats, x: Floats) -> Floats:
    """Each patient's mean plus everybody's trend and log session × intake, learned within patients.

    Parameters
    ----------
    values : array of shape (n_patients, n_steps)
        NaN where not observed.
    x : array of shape (n_patients, p)

    Returns
    -------
    array of shape (n_patients, n_steps)
        Filled at every session; the mean of all where a patient has none.
    """
    who, at = np.nonzero(np.isfinite(values))
    n, steps = values.shape
    reached = np.bincount(at, minlength=steps)
    own = np.array([k for k in range(1, steps) if reached[k] >= max(20, 0.02 * n)], dtype=np.intp)

    def basis(patient: np.ndarray, step: np.ndarray) -> Floats:
        log = np.log1p(step)[:, None]
        return np.hstack([(step[:, None] == own).astype(float), log, log * x[patient]])

    def means(of: Floats) -> Floats:
        total = np.zeros((n, of.shape[1]))
        np.add.at(total, who, of)
        return total / np.maximum(np.bincount(who, minlength=n), 1)[:, None]

    raw = basis(who, at)
    there = values[who, at][:, None]
    centre, level = means(raw), means(there)
    trend = np.linalg.lstsq(raw - centre[who], (there - level[who])[:, 0], rcond=1e-8)[0]
    start = np.where(np.isin(np.arange(n), who), level[:, 0] - centre @ trend, there.mean() - (centre @ trend).mean())
    everywhere = basis(np.repeat(np.arange(n), steps), np.tile(np.arange(steps), n)) @ trend
    return np.asarray(start[:, None] + everywhere.reshape(n, steps))
