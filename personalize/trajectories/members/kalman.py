"""Kalman filter of a patient's course: own level, own trend and an autocorrelated deviation, seen through noise.

    y[t] = mean[t] + b0 + b1·g(t) + u[t] + e[t]

with (b0, b1) ~ N(0, G), u an Ornstein–Uhlenbeck process (its correlation falls as exp(−rate·distance), the AR(1) of
sessions at any distance) and e white noise. This is the linear mixed model with autocorrelated residuals; the filter
updates it to every session in one walk over the sessions, vectorised over patients, and so gives each landmark's BLUP.
Source: Jones & Boadi-Boateng 1991, Biometrics 47, 161-175.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from features.windows import Layout

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Variances:
    """Variance components of the course.

    Parameters
    ----------
    level, trend : float
        SDs of patients' own level and trend.
    correlation : float
        Correlation of the two.
    drift : float
        SD of the autocorrelated deviation.
    rate : float
        1 / distance (in typical intervals) over which its correlation falls to 1/e.
    noise : float
        SD of the white noise.
    """

    level: float
    trend: float
    correlation: float
    drift: float
    rate: float
    noise: float

    def prior(self) -> tuple[float, float, float, float, float, float]:
        """Entries 00, 01, 02, 11, 12, 22 of the state's covariance before any session."""
        return (
            self.level**2,
            self.level * self.trend * self.correlation,
            0.0,
            self.trend**2,
            0.0,
            self.drift**2,
        )

    def to_dict(self) -> dict[str, float]:
        """Return the components as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Filtered:
    """State of each patient after each session.

    Parameters
    ----------
    mean : array of shape (3, n_columns, n_sessions)
        Level, trend and deviation, for each filtered column.
    covariance : array of shape (6, n_sessions)
        Entries 00, 01, 02, 11, 12, 22.
    innovation : array of shape (n_columns, n_sessions)
        One-step errors over their SD; 0 where the outcome is missing.
    log_variance : float
        Sum of the log variances of the one-step errors.
    n : int
        Sessions with an outcome.
    """

    mean: Floats
    covariance: Floats
    innovation: Floats
    log_variance: float
    n: int


def course_filter(
    columns: Floats,
    trend: Floats,
    time: Floats,
    seen: NDArray[np.bool_],
    layout: Layout,
    variances: Variances,
    *,
    states: bool = True,
) -> Filtered:
    """Filter several columns with the same gains.

    Parameters
    ----------
    columns : array of shape (n_columns, n_sessions)
        The outcome, and whatever else is to pass through the same filter; rows in the layout's step order.
    trend : array of shape (n_sessions,)
        g(t).
    time : array of shape (n_sessions,)
        In typical intervals.
    seen : bool array of shape (n_sessions,)
        Whether the row has an outcome; others are passed over.
    states : bool
        Keep the states; else only the innovations (arrays of no rows stand for the rest).
    """
    n_columns, n_rows = columns.shape
    mean = np.empty((3, n_columns, n_rows if states else 0))
    covariance = np.empty((6, n_rows if states else 0))
    innovation = np.zeros((n_columns, n_rows))
    noise, drift = variances.noise**2, variances.drift**2
    log_variance = 0.0
    m = np.empty((3, n_columns, 0))
    p = np.empty((6, 0))
    for step in range(layout.steps):
        here = layout.at(step)
        n = here.stop - here.start
        if step == 0:
            m = np.zeros((3, n_columns, n))
            p = np.repeat(np.asarray(variances.prior())[:, None], n, axis=1)
        else:
            back = layout.bounds[step - 1]
            keep = np.exp(-variances.rate * np.maximum(time[here] - time[back : back + n], 0.0))
            m = m[:, :, :n].copy()
            p = p[:, :n].copy()
            m[2] *= keep
            p[2] *= keep
            p[4] *= keep
            p[5] = p[5] * keep**2 + drift * (1.0 - keep**2)
        g = trend[here]
        c0, c1, c2 = p[0] + p[1] * g + p[2], p[1] + p[3] * g + p[4], p[2] + p[4] * g + p[5]
        total = c0 + g * c1 + c2 + noise
        there = seen[here]
        error = np.where(there, columns[:, here] - m[0] - g * m[1] - m[2], 0.0)
        gain = np.where(there, 1.0 / total, 0.0)
        scaled = error * gain
        m[0] += c0 * scaled
        m[1] += c1 * scaled
        m[2] += c2 * scaled
        p[0] -= c0 * c0 * gain
        p[1] -= c0 * c1 * gain
        p[2] -= c0 * c2 * gain
        p[3] -= c1 * c1 * gain
        p[4] -= c1 * c2 * gain
        p[5] -= c2 * c2 * gain
        if states:
            mean[:, :, here] = m
            covariance[:, here] = p
        innovation[:, here] = error * np.sqrt(gain)
        log_variance += float(np.log(total[there]).sum())
    return Filtered(mean, covariance, innovation, log_variance, int(seen.sum()))


def ahead(mean: Floats, covariance: Floats, trend: Floats, gap: Floats, variances: Variances) -> tuple[Floats, Floats]:
    """Forecast of the course beyond its mean.

    Parameters
    ----------
    mean : array of shape (3, n_columns, n_targets)
    covariance : array of shape (6, n_targets)
    trend : array of shape (n_targets,)
        g at the target.
    gap : array of shape (n_targets,)
        Typical intervals from the landmark.

    Returns
    -------
    forecast : array of shape (n_columns, n_targets)
    variance : array of shape (n_targets,)
        Of a new observation.
    """
    keep = np.exp(-variances.rate * gap)
    g = trend
    forecast = mean[0] + g * mean[1] + keep * mean[2]
    p = covariance
    variance = (
        p[0]
        + 2 * g * p[1]
        + 2 * keep * p[2]
        + g**2 * p[3]
        + 2 * g * keep * p[4]
        + keep**2 * p[5]
        + variances.drift**2 * (1 - keep**2)
        + variances.noise**2
    )
    return forecast, variance
