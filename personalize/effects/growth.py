"""Growth that intake predicts, taken out with a ridge penalty where patients are few.

Some patients improve faster, some alliances rise faster, and intake tells in part whose. Log session × every intake
column is therefore partialled out (`personalize.effects.within.moments`). With a few hundred patients and dozens of
columns that costs more than it has to: the coefficients follow noise, and take what the alliance moved with them.
Here each patient's growth along log session is read from the patient's own sessions,

    g_i = Σ l̃ r / Σ l̃²,  l̃ = log session within the patient

for r = y[t+1] − w·y[t] − b·alliance[t], w and b the pooled estimates, and for r = alliance[t]; it is regressed on
intake by ridge, weights 1 / (s² / Σ l̃² + η²), η² the moment estimate of what own growth varies by (DerSimonian & Laird
1986); and what intake predicts is taken off the outcome and the alliance. The prior variance of the coefficients is
`EASE` times that of highest marginal likelihood: growth of both that is left in passes for an effect, which costs more
than the noise of a weaker penalty. Where intake tells nothing, little is taken out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from personalize.effects.adjusted import BETA, RHO
from personalize.effects.moderators import fit_ridge
from personalize.effects.noise import moves
from personalize.effects.own_slopes import excess_variance, working_theta
from personalize.effects.transitions import Floats, Transitions
from personalize.effects.within import Moments, Projection, moments

FEW = 500  # patients of the panel, below which the penalty is used; with more, exact partialling out loses little
EASE = 3.0  # keeps most of what the penalty gains, and half of what it leaves in; tuning clinics
LEAST_NOISE = 1e-9  # of the largest growth: outcomes without noise


def slope_moments(steps: Transitions, baseline: Floats, within: Projection, *, lagged_outcome: bool = True) -> Moments:
    """Moments that own slopes are read from; growth that intake predicts is taken out, by ridge with few patients.

    Parameters
    ----------
    steps : Transitions
        Of the outcome equation.
    baseline : array of shape (n_patients, p)
        As for `moments`.
    within : Projection
    lagged_outcome : bool
    """
    if steps.n_patients >= FEW:
        return moments(steps, baseline, within)
    nothing = baseline[:, :0]
    m = moments(steps, nothing, within)
    working = working_theta(m, lagged_outcome=lagged_outcome)
    outcome = m.residual[:, 2] - working[RHO] * m.residual[:, 0] - working[BETA] * m.residual[:, 1]
    log = np.log1p(steps.session)
    response = steps.response - log * predicted_growth(outcome, log, within, baseline)[steps.patient]
    regressors = steps.regressors.copy()
    regressors[:, 1] -= log * predicted_growth(m.residual[:, 1], log, within, baseline)[steps.patient]
    return moments(replace(steps, response=response, regressors=regressors), nothing, within)


def predicted_growth(values: Floats, log: Floats, within: Projection, baseline: Floats) -> Floats:
    """Growth that intake predicts, units of ``values`` a unit of log session, beyond the average; shape (n_patients,).

    Zero for all where nobody's values change with time.

    Parameters
    ----------
    values : array of shape (n,)
        Sessions partialled out, intake not.
    log : array of shape (n,)
        Log session of each transition.
    within : Projection
    baseline : array of shape (n_patients, p)
    """
    axis, moved = within.transform(np.column_stack([log, values])).T
    spread = within.sums(axis * log)
    ok = moves(spread)
    growth, spread = within.sums(axis * values)[ok] / spread[ok], spread[ok]
    if not growth.any():
        return np.zeros(len(baseline))
    left = within.sums(values * moved)[ok].sum() - growth**2 @ spread
    noise = max(left / max((within.trace[ok] - 1.0).sum(), 1.0), LEAST_NOISE * float((growth**2 * spread).max()))
    unit = np.sqrt(noise)  # the grid of penalties does not scale with the data
    weight = 1.0 / (1.0 / spread + excess_variance(growth / unit, 1.0 / spread))
    ridge = fit_ridge(baseline[within.who[ok]], growth / unit, weight, ease=EASE)
    return np.asarray(unit * (ridge.predict(baseline) - ridge.intercept))
