"""How much of a rating is session, patient and therapist: variance shares with intervals, reliability of a mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy import optimize, stats

from features.alliance import rating
from features.errors import OptionError
from features.panel import Panel
from features.reml import EDGE, Likelihood, fit


@dataclass(frozen=True)
class VarianceShares:
    """Variance shares of a session column.

    Attributes
    ----------
    table : DataFrame
        One row a level (session, patient, therapist): level, variance, share, lower, upper, n (values, patients with a
        value, therapists). Lower and upper bound the share. Without therapists there is no therapist row.
    mean : float
        Overall mean (generalised least squares).
    log_likelihood : float
        Restricted log-likelihood at the estimate.
    """

    table: pd.DataFrame
    mean: float
    log_likelihood: float

    def reliability(self, sessions: int = 1) -> pd.Series:
        """Reliability of the mean of ``sessions`` ratings as a measure of the patient's level: estimate, lower, upper.

        ``R_k = (σ²_p + σ²_t) / (σ²_p + σ²_t + σ²_e / k)``, the generalisability coefficient over sessions
        (Cronbach et al. 1972; Crits-Christoph et al. 2011, J Consult Clin Psychol 79, 267-278). The bounds are those of
        the session share, carried over.
        """
        if sessions < 1:
            raise OptionError(f"sessions={sessions!r} is not allowed; give a number of sessions from 1.")
        row = self.table.set_index("level").loc["session"]
        estimate, upper, lower = ((1 - e) / (1 - e + e / sessions) for e in (row["share"], row["lower"], row["upper"]))
        return pd.Series({"sessions": sessions, "estimate": estimate, "lower": lower, "upper": upper})


def variance_shares(panel: Panel, *, column: str | None = None, level: float = 0.95) -> VarianceShares:
    """Split the variance of a session column into session, patient and therapist.

    Model ``rating = μ + t_j + p_ij + e_ijs``, all normal and independent, by restricted maximum likelihood; patients
    without therapist have no t. Intervals are profile-likelihood intervals of each share (the total variance and the
    other share profiled out, limits where the deviance exceeds its minimum by the χ²(1) quantile).

    Trends over sessions and sessions that resemble their neighbours are not modelled: a trend adds to the session
    share, neighbours' resemblance adds to the patient share of short treatments.

    Parameters
    ----------
    panel : Panel
    column : str, optional
        The alliance by default. Missing values are left out.
    level : float
        Level of the intervals.

    Raises
    ------
    NotEnoughData
        Without two patients, two values of one of them, and variation within patients.
    OptionError
        For an unknown column or a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise OptionError(f"level={level!r} is not allowed; give a number between 0 and 1.")
    likelihood = Likelihood.of(rating(panel, column), panel.patient_index, panel.therapist_index)
    patient, therapist = fit(likelihood)
    deviance, scale, mean = likelihood.parts(patient, therapist)
    limit = deviance + float(stats.chi2.ppf(level, 1))
    nested = bool((likelihood.treated > 0).any())
    estimates = {"session": 1 - patient - therapist, "patient": patient, "therapist": therapist}
    counts = (likelihood.n_values, len(likelihood.n), int(likelihood.treated.sum()))
    rows = []
    for (name, share), n in zip(estimates.items(), counts, strict=True):
        if name == "therapist" and not nested:
            continue
        profile = partial(_profile, likelihood, name, nested)
        lower, upper = _ends(profile, share, limit)
        rows.append((name, scale * share, share, lower, upper, int(n)))
    table = pd.DataFrame(rows, columns=["level", "variance", "share", "lower", "upper", "n"])
    return VarianceShares(table, mean, -deviance / 2)


def _profile(likelihood: Likelihood, name: str, nested: bool, share: float) -> float:
    """Smallest deviance with one share held fixed."""
    free = 1.0 - share

    def deviance(part: float) -> float:
        if name == "session":
            return likelihood.deviance(free * (1 - part), free * part)
        other = min(part, 1 - EDGE) * free
        return likelihood.deviance(share, other) if name == "patient" else likelihood.deviance(other, share)

    if not nested:
        return deviance(0.0)
    inner = optimize.minimize_scalar(deviance, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-5})
    return float(min(inner.fun, deviance(0.0)))


def _ends(profile: Callable[[float], float], share: float, limit: float) -> tuple[float, float]:
    """Shares around the estimate at which the profile deviance crosses the limit; 0 and 1 where it does not."""
    low, high = EDGE, 1 - EDGE
    share = float(np.clip(share, low, high))

    def excess(at: float) -> float:
        return profile(at) - limit

    lower = 0.0 if share <= low or excess(low) <= 0 else float(optimize.brentq(excess, low, share, xtol=1e-5))
    upper = 1.0 if share >= high or excess(high) <= 0 else float(optimize.brentq(excess, share, high, xtol=1e-5))
    return lower, upper
