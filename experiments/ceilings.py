"""How far the same estimator would come if it were told more: the room that is left for learning moderators.

`told_everything` is given the true baseline part τ(x) of each effect; `told_columns` only which columns moderate,
not how. What separates these two from `AllianceEffect` on the same clinic is what the learning of moderators costs.
"""

from __future__ import annotations

import numpy as np

from experiments.peers import PatientEffects
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.moderators import fit_moderators
from personalize.effects.shrinkage import mixture_quantile, shrink
from personalize.effects.transitions import Floats
from personalize.simulate import SimulatedClinic
from personalize.simulation.moderators import MODERATORS


def told_everything(effect: AllianceEffect, clinic: SimulatedClinic) -> PatientEffects:
    """Shrink the fitted own slopes around the true τ(x)."""
    tau = clinic.truth.patients["tau"].to_numpy()
    return _shrunken(effect, tau - tau.mean())


def told_columns(effect: AllianceEffect) -> PatientEffects:
    """Learn moderators from those intake columns only that truly moderate, then shrink as ever."""
    keep = np.isin(effect.encoding_.sources, MODERATORS)
    known = np.isfinite(effect.own_variance_)
    b, v, x = effect.own_slope_[known], effect.own_variance_[known], effect._x[known][:, keep]
    weight = 1.0 / (v + effect.posterior_.omega**2 + np.var(effect.baseline_prediction_[known]))
    tau = np.zeros(len(known))
    found = fit_moderators(x, b, weight, effect.clusters_[known], seed=effect.random_state)
    tau[known] = found.out_of_fold
    tau[~known] = found.predict(effect._x[~known][:, keep])
    return _shrunken(effect, tau)


def _shrunken(effect: AllianceEffect, tau: Floats) -> PatientEffects:
    posterior = shrink(
        effect.own_slope_,
        effect.own_variance_,
        tau,
        effect.clusters_,
        average_variance=float(effect.average_covariance_[1, 1]),
    )
    limits = (mixture_quantile(posterior.components, q) for q in (0.05, 0.95))
    return PatientEffects(posterior.mean, *limits)
