"""Power for the average effect in closed form: what simulated power is held against, and a first answer at once."""

from __future__ import annotations

import numpy as np
from scipy.stats import nct
from scipy.stats import t as student

from experiments.levels import FEWEST_CLUSTERS
from experiments.mean_errors import autocovariance
from personalize.simulate import ClinicOptions

CERTAIN = 8.0  # standard errors from zero beyond which power is 1 to five digits; the tail cannot be computed there


def average_power(o: ClinicOptions, patients: int, sessions: int, caseload: int, level: float = 0.95) -> float:
    """Power of the two-sided test of the average effect, every treatment as long as the average one.

    With T = sessions − 1 transitions, S = Σ ã² what a patient's own mean and the lagged outcome leave of the alliance,
    and c patients a therapist, of whose effects ω² lies between patients and ψ² between therapists,

        Var(β̂) = (σ² / S + ω² + c·ψ²) / N,    S = T·Var(state)·(1 − R²)·(1 − Σ_t Σ_s Corr(t, s) / T²)

    and the t distribution has as many degrees of freedom as there are therapists (patients, below ten therapists), less
    one. Trends, intake, unequal lengths and the short-panel correction cost information that is left out: the power is
    that of the best case, and a simulated study reaches up to about .1 less.

    Parameters
    ----------
    o : ClinicOptions
    patients, sessions, caseload : int
    level : float
    """
    theta = np.array([o.persistence, o.average_effect, o.state_memory, o.feedback, 0.0])
    steps = sessions - 1
    gamma = autocovariance(theta, o.noise_sd**2, o.state_sd**2 * (1 - o.state_memory**2), steps)
    outcome, shared, alliance = gamma[:, steps]
    lag = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
    alike = gamma[2, steps + lag].sum() / (alliance * steps**2)
    moved = steps * alliance * (1 - shared**2 / (outcome * alliance)) * (1 - alike)
    reliability = 1.0 if not o.alliance_sem else moved / (moved + o.alliance_sem**2 * (steps - 1))
    own = o.linear_moderators**2 + o.nonlinear_moderators**2 + o.patient_effect_sd**2
    between = own + min(caseload, patients) * o.therapist_effect_sd**2
    error = np.sqrt((o.noise_sd**2 / (moved * reliability) + between) / patients)
    therapists = -(-patients // caseload)
    freedom = (therapists if therapists >= FEWEST_CLUSTERS else patients) - 1
    limit, shift = student.ppf(0.5 + level / 2, freedom), abs(o.average_effect) / error
    if shift > CERTAIN:
        return 1.0
    return float(nct.sf(limit, freedom, shift) + nct.cdf(-limit, freedom, shift))
