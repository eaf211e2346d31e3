"""What the growth model expects of patients, given their sessions so far: exact conditional mean and variance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.errors import OptionError, listed
from personalize.mixed.basis import Basis
from personalize.mixed.growth_fit import GrowthParameters
from personalize.mixed.residual import whiten
from personalize.mixed.sums import Array, patient_sums

CHUNK = 200_000  # targets handled at once, to bound memory


def predict_growth(
    basis: Basis,
    parameters: GrowthParameters,
    outcome: Array,
    time: Array,
    patient: NDArray[np.intp],
    baseline: Array,
    target_time: Array,
    target_patient: NDArray[np.intp],
    therapist: NDArray[np.object_] | None,
) -> tuple[Array, Array]:
    """Mean and variance of the outcome at each target.

    Given the random effects b the residual is an autocorrelated process plus noise, so its expected value at a later
    time is what a Kalman filter of (y - X beta - Z b) ends with, times exp(-gap / reach): linear in b, whose posterior
    follows from whitened cross products.

    Parameters
    ----------
    outcome, time, patient : arrays of shape (n_history,)
        Sorted by patient and time, nothing missing.
    baseline : array of shape (n_patients, n_baseline)
    target_time, target_patient : arrays of shape (n_targets,)
    therapist : object array of shape (n_patients,) or None
    """
    n = len(baseline)
    traits = basis.traits(baseline)
    p, s2, beta = len(parameters.beta), parameters.residual_variance, parameters.beta
    who, starts = np.unique(patient, return_index=True)
    # per patient: Z'Z, Z'X and Z'y of whitened rows, what the filter ends with for Z, X and y, and its variance
    zz, zxy = np.zeros((n, 2, 2)), np.zeros((n, 2, p + 1))
    state, spread, last = np.zeros((n, p + 3)), np.zeros(n), np.full(n, np.nan)
    if len(who):
        z, x = basis.patient(time), basis.fixed(time, traits[:, patient])
        white = whiten(np.vstack([z, x, outcome[None]]), time / basis.unit, starts, parameters.residual)
        columns, nobody = white.columns, np.zeros(0, dtype=np.intp)
        sums = patient_sums(columns[-1], columns[2:-1], columns[:2], columns[:0], starts, nobody)
        zz[who], zxy[who] = sums.zz.transpose(2, 0, 1), sums.za.transpose(2, 0, 1)
        state[who], spread[who] = white.state.T, white.state_variance
        last[who] = time[np.append(starts[1:], len(time)) - 1]
    level, doubt = _therapist_prior(parameters, therapist, n)
    prior = np.broadcast_to(parameters.patient_covariance, (n, 2, 2)).copy()
    prior[:, 0, 0] += doubt
    # posterior covariance (I + P Z'Z / s2)^-1 P: right also where P is singular
    posterior = np.linalg.solve(np.eye(2) + prior @ zz / s2, prior)
    start = np.zeros((n, 2))
    start[:, 0] = level
    error = zxy[:, :, p] - zxy[:, :, :p] @ beta - np.einsum("nab,nb->na", zz, start)
    effects = start + np.einsum("nab,nb->na", posterior, error) / s2
    means, variances = np.empty(len(target_time)), np.empty(len(target_time))
    for begin in range(0, len(target_time), CHUNK):
        part = slice(begin, begin + CHUNK)
        i, when = target_patient[part], target_time[part]
        gap = (when - last[i]) / basis.unit
        if parameters.nugget < 1 and (gap < 0).any():
            raise OptionError(
                f"predict: target_time lies before the last session of the history for patient row "
                f"{listed(np.unique(i[gap < 0]))}; forecasts look ahead: shorten the history or ask for a later time."
            )
        keep = np.zeros(len(i))
        if parameters.nugget < 1:
            known = np.isfinite(gap)
            keep[known] = parameters.residual.decay(gap[known])
        x, z = basis.fixed(when, traits[:, i]).T, basis.patient(when).T
        own = z - keep[:, None] * state[i, :2]
        weight = x - keep[:, None] * state[i, 2:-1]
        means[part] = weight @ beta + keep * state[i, -1] + np.einsum("na,na->n", own, effects[i])
        reach = np.einsum("na,nab->nb", own, posterior[i])
        weight -= np.einsum("na,nap->np", reach / s2, zxy[i, :, :p])
        variances[part] = (
            np.einsum("na,na->n", reach, own)
            + np.einsum("np,pk,nk->n", weight, parameters.beta_covariance, weight, optimize=True)
            + s2 * (keep**2 * spread[i] + (1 - parameters.nugget) * (1 - keep**2) + parameters.nugget)
        )
    return means, variances


def _therapist_prior(
    parameters: GrowthParameters, therapist: NDArray[np.object_] | None, n: int
) -> tuple[Array, Array]:
    """Expected therapist effect of each patient and its variance: estimated where known, else 0 and the variance.

    A patient who is known to have no therapist has neither.
    """
    level, doubt = np.zeros(n), np.full(n, parameters.therapist_variance)
    if therapist is None:
        return level, doubt
    place = {who: k for k, who in enumerate(parameters.therapist_ids)}
    code = np.array([-2 if t is None else place.get(t, -1) for t in therapist], dtype=np.intp)
    seen = code >= 0
    level[seen], doubt[seen] = parameters.therapist_effects[code[seen]], parameters.therapist_uncertainty[code[seen]]
    doubt[code == -2] = 0.0
    return level, doubt
