"""How far one patient's alliance moves: the pooled within-patient SD, or the patient's own, shrunken toward it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

from features.errors import check_option
from features.panel import Panel

Floats = NDArray[np.float64]
SD = Literal["pooled", "own"]

SDS = ("pooled", "own")
MOST_FREEDOM = 1e6  # prior degrees of freedom from which all patients count as alike


def within_sds(effect: Any, panel: Panel, sd: SD, reference: Panel | None = None) -> Floats:
    """Within-patient SD of the alliance of each patient, measurement error taken out; shape (n_patients,).

    "pooled": ``effect.state_sd_`` for everybody. "own": the patient's own variance around the own mean, shrunken toward
    the others' (`shrunken_variances`), less the error variance that ``state_sd_`` is without; 0 where no more than the
    error is left. A trend of the alliance counts as movement, in both. How unsure an own SD is: `sd_draws`.

    Parameters
    ----------
    effect : AllianceEffect
    panel : Panel
    sd : {"pooled", "own"}
    reference : Panel, optional
        Panel of the fit, which says how much patients differ; the panel itself by default.

    Raises
    ------
    OptionError
        For another name.
    """
    check_option("sd", sd, SDS)
    pooled = float(effect.state_sd_)
    if sd == "pooled":
        return np.full(panel.n_patients, pooled)
    among = panel if reference is None else reference
    theirs, freedom = _variances(among)
    return _without_error(shrunken_variances(*_variances(panel), theirs, freedom), theirs, freedom, pooled)


def sd_draws(
    effect: Any, panel: Panel, sd: SD, reference: Panel | None = None, *, n_draws: int, random_state: int = 0
) -> Floats:
    """Draw the SDs of `within_sds` from their posterior; shape (n_draws, n_patients), one row for "pooled".

    A patient's own variance is drawn from ``(d₀ + d_i) s̃_i² / χ²(d₀ + d_i)``, with s̃_i² the shrunken variance: a scaled
    inverse χ². The pooled SD, what patients differ by (d₀, s₀²) and the error variance count as known; they rest on all
    patients. It takes a patient's ratings for independent around the mean: with a trend, or ratings that follow one
    another, there are fewer degrees of freedom than ratings, and draws lie a little too close.

    Parameters
    ----------
    effect : AllianceEffect
    panel : Panel
    sd : {"pooled", "own"}
    reference : Panel, optional
        As in `within_sds`.
    n_draws : int
    random_state : int
    """
    if sd == "pooled":
        return within_sds(effect, panel, sd)[None, :]
    theirs, freedom = _variances(panel if reference is None else reference)
    own, steps = _variances(panel)
    prior, _ = _prior(theirs, freedom)
    variance = shrunken_variances(own, steps, theirs, freedom)
    chi = np.random.default_rng([random_state, 8]).chisquare(prior + steps, (n_draws, len(own)))
    drawn = variance * (prior + steps) / np.maximum(chi, np.finfo(float).tiny)
    return _without_error(drawn, theirs, freedom, float(effect.state_sd_))


def _without_error(variance: Floats, theirs: Floats, freedom: Floats, pooled: float) -> Floats:
    """SDs of the true alliance from variances of ratings: the error variance is what the pooled SD is without."""
    error = max(float(theirs @ freedom) / max(float(freedom.sum()), 1.0) - pooled**2, 0.0)
    return np.asarray(np.sqrt(np.maximum(variance - error, 0.0)))


def shrunken_variances(own: Floats, freedom: Floats, others: Floats, others_freedom: Floats) -> Floats:
    """Posterior variance of each patient when variances follow a scaled inverse χ² distribution among patients.

    ``(d₀ s₀² + d_i s_i²) / (d₀ + d_i)``, with d₀ and s₀² by maximum likelihood from ``s_i² ~ s₀² · F(d_i, d₀)``.

    Source: Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3, 3 (moderated variances).

    Parameters
    ----------
    own, freedom : array of shape (n,)
        Variances of the patients asked for and their degrees of freedom (number of ratings less one; 0: s₀² itself).
    others, others_freedom : array of shape (m,)
        Variances that d₀ and s₀² are learned from.

    Examples
    --------
    With ten patients whose variances are equal, one more of whom nothing is known gets theirs:

    >>> shrunken_variances(np.zeros(1), np.zeros(1), np.full(10, 4.0), np.full(10, 8.0)).round(2).tolist()
    [4.0]
    """
    prior, scale = _prior(others, others_freedom)
    return np.asarray((prior * scale + freedom * own) / (prior + freedom))


def _prior(variance: Floats, freedom: Floats) -> tuple[float, float]:
    """Prior degrees of freedom and scale by maximum likelihood."""
    known = freedom > 0
    s, d = variance[known], freedom[known]
    pooled = float(s @ d / d.sum()) if len(s) else 0.0
    if pooled <= 0:
        return MOST_FREEDOM, pooled

    def minus_log_likelihood(at: Floats) -> float:
        prior, scale = np.exp(at[0]), pooled * np.exp(at[1])
        ratio = d * s / (prior * scale)
        terms = gammaln((d + prior) / 2) - gammaln(prior / 2) - gammaln(d / 2)
        # a variance of zero is possible where ratings are coarse; its density is left out, its weight is not
        terms = terms + d / 2 * np.log(d / (prior * scale)) - (d + prior) / 2 * np.log1p(ratio)
        return -float(terms.sum())

    bounds = [(np.log(0.5), np.log(MOST_FREEDOM)), (-4.0, 4.0)]
    starts = [minimize(minus_log_likelihood, [np.log(k), 0.0], bounds=bounds) for k in (4.0, 100.0)]
    best = min(starts, key=lambda found: float(found.fun))
    return float(np.exp(best.x[0])), pooled * float(np.exp(best.x[1]))


def _variances(panel: Panel) -> tuple[Floats, Floats]:
    """Variance of each patient's ratings around their mean, and its degrees of freedom; 0 and 0 below two ratings."""
    known = np.isfinite(panel.alliance)
    who, values = panel.patient_index[known], panel.alliance[known]
    n = np.bincount(who, minlength=panel.n_patients)
    mean = np.bincount(who, values, panel.n_patients) / np.maximum(n, 1)
    squares = np.bincount(who, (values - mean[who]) ** 2, panel.n_patients)
    freedom = np.maximum(n - 1, 0).astype(float)
    return np.asarray(squares / np.maximum(freedom, 1.0)), freedom
