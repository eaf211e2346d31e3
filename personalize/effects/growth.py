"""Growth that intake predicts, taken out with a ridge penalty where patients are few.

Some patients improve faster, and intake tells in part who. Log session × every intake column is therefore partialled
out (`personalize.effects.within.moments`). With a few hundred patients and dozens of columns that costs more than it
has to: the coefficients follow noise, and because the alliance rises over sessions, too, a part of τ(x) lies along
them and is lost. Here each patient's growth along log session is read from the patient's own sessions,

    g_i = Σ l̃ r / Σ l̃²,  r = y[t+1] − w·y[t] − b·alliance[t],  l̃ = log session within the patient

w and b the pooled estimates, and regressed on intake by ridge with the penalty of highest marginal likelihood, weights
1 / (s² / Σ l̃² + η²), η² the moment estimate of what own growth varies by (DerSimonian & Laird 1986). What intake
predicts is taken off the next outcome: all of it where intake tells much, nothing where it tells nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from personalize.effects.adjusted import BETA, RHO
from personalize.effects.moderators import fit_ridge
from personalize.effects.noise import moves, working_noise
from personalize.effects.own_slopes import excess_variance, working_theta
from personalize.effects.transitions import Floats, Transitions
from personalize.effects.within import Moments, Projection, moments

FEW = 600  # patients of the panel, below which the penalty is used; with more, exact partialling out loses little


def slope_moments(steps: Transitions, baseline: Floats, within: Projection, *, lagged_outcome: bool = True) -> Moments:
    """Moments that own slopes are read from; growth that intake predicts is taken out, by ridge with few patients.

    Parameters
    ----------
    steps : Transitions
    baseline : array of shape (n_patients, p)
        As for `moments`.
    within : Projection
    lagged_outcome : bool
    """
    if steps.n_patients >= FEW:
        return moments(steps, baseline, within)
    nothing = baseline[:, :0]
    log = np.log1p(steps.session)
    growth = predicted_growth(moments(steps, nothing, within), log, baseline, lagged_outcome=lagged_outcome)
    return moments(replace(steps, response=steps.response - log * growth[steps.patient]), nothing, within)


def predicted_growth(m: Moments, log: Floats, baseline: Floats, *, lagged_outcome: bool) -> Floats:
    """Growth that intake predicts, outcome points a unit of log session beyond the average; shape (n_patients,).

    Zero for all where nobody has sessions at two times.

    Parameters
    ----------
    m : Moments
        Sessions partialled out, intake not.
    log : array of shape (n,)
        Log session of each transition.
    baseline : array of shape (n_patients, p)
    lagged_outcome : bool
    """
    working = working_theta(m, lagged_outcome=lagged_outcome)
    left = m.residual[:, 2] - working[RHO] * m.residual[:, 0] - working[BETA] * m.residual[:, 1]
    axis = m.within.transform(log)
    spread = m.within.sums(axis * log)
    ok = moves(spread)
    if not ok.any():
        return np.zeros(len(baseline))
    growth = m.within.sums(axis * left)[ok] / spread[ok]
    variance = max(working_noise(m, working)[0], 1e-300) / spread[ok]
    weight = 1.0 / (variance + excess_variance(growth, variance))
    ridge = fit_ridge(baseline[m.within.who[ok]], growth, weight)
    return ridge.predict(baseline) - ridge.intercept
