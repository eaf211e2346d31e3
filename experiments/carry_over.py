# ruff: noqa: E501
"""Trait, lasting state and passing rest of one rating, from how far a patient's ratings move apart over the sessions.

Half the mean squared difference of two ratings of a patient l sessions apart (the variogram), everybody's course taken
out, and the variance of one rating:

    V(l) = rest + state · (1 − φ^l),    C(0) = trait + state + rest

What never fades is trait, what fades is state, what is gone at the next session is passing state and error of measurement
(Kenny & Zautra 1995, Journal of Consulting and Clinical Psychology 63, 52-59: trait-state-error). A split that takes
sessions as independent counts part of the lasting state as trait, the more the fewer sessions there are. Covariances
C(l) = C(0) − V(l) hold the same, but those of long lags come from the few patients who stay, whose traits happen to vary more or
less than everybody's; in differences the trait cancels. Lags up to half the usual treatment are used: patients who improve
at different rates drift apart, by n sessions about as far around their own means as V(n / 3) says, and further at longer lags.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from features.errors import NotEnoughData
from personalize.effects.transitions import Floats, Ints

MEMORIES = np.concatenate([[0.0], np.arange(0.05, 0.86, 0.025)])
FEWEST_LAGS = 4
FEWEST_PATIENTS = 30
FEWEST_AT_SESSION = 10


@dataclass(frozen=True)
class CarryOver:
    """Variance components, in squared units of the rating.

    Attributes
    ----------
    trait, state, rest, memory : float
    """

    trait: float
    state: float
    rest: float
    memory: float

    @property
    def total(self) -> float:
        """Variance of one rating."""
        return max(self.trait + self.state + self.rest, 1e-300)

    @property
    def trait_share(self) -> float:
        """Share of the variance of one rating that is trait."""
        return self.trait / self.total

    def reliability(self, sessions: int) -> float:
        """Share of the variance of a mean of so many neighbouring ratings that is trait."""
        lag = np.arange(1, sessions)
        alike = sessions + 2 * ((sessions - lag) * self.memory**lag).sum()
        error = self.state * alike / sessions**2 + self.rest / sessions
        return self.trait / max(self.trait + error, 1e-300)

    def sessions_for(self, reliability: float, most: int = 200) -> float:
        """Fewest neighbouring ratings whose mean is that reliable; infinity where ``most`` are not enough."""
        for k in range(1, most + 1):
            if self.reliability(k) >= reliability:
                return float(k)
        return float("inf")


@dataclass(frozen=True)
class Variogram:
    """Per patient, half the mean squared difference of ratings so many sessions apart; in front, the mean square.

    Attributes
    ----------
    value : array of shape (n_patients, n_lags)
        Column 0: mean squared deviation from everybody's course. Column l: of ratings l sessions apart. Zero where the
        patient has no such pair.
    there : array of shape (n_patients, n_lags)
        1 where there is one.
    group : int array of shape (n_patients,)
        Resampling unit.
    """

    value: Floats
    there: Floats
    group: Ints

    def fit(self, weight: Floats) -> CarryOver:
        """Fit the components by weighted least squares; ``weight`` of shape (n_groups,)."""
        own = weight[self.group]
        count = own @ self.there
        whole = (own @ self.value) / np.maximum(count, 1e-12)
        total, value, root = float(whole[0]), whole[1:], np.sqrt(count[1:])
        lag = np.arange(1, len(whole))
        best, found = np.inf, CarryOver(total, 0.0, 0.0, 0.0)
        for memory in MEMORIES:
            fading = 1.0 - memory**lag if memory else np.zeros(len(lag))
            parts, loss = nnls(np.column_stack([fading, np.ones(len(lag))]) * root[:, None], value * root)
            if loss < best - 1e-12:
                state, rest = (float(p) for p in parts)
                best, found = loss, CarryOver(max(total - state - rest, 0.0), state, rest, float(memory))
        return found


def variogram(values: Floats, group: Ints, name: str) -> Variogram:
    """Variogram of a rating laid out by session.

    Parameters
    ----------
    values : array of shape (n_patients, n_steps)
        NaN where there is no rating.
    group : int array of shape (n_patients,)
    name : str
        What to call the rating in messages.

    Raises
    ------
    NotEnoughData
        When fewer than 30 patients have ratings four sessions apart.
    """
    away, known = without_course(values)
    steps = values.shape[1]
    count, total = (np.zeros(values.shape) for _ in range(2))
    for lag in range(steps):
        both = known[:, lag:] & known[:, : steps - lag]
        apart = away[:, lag:] - away[:, : steps - lag] if lag else np.sqrt(2) * away
        count[:, lag] = both.sum(axis=1)
        total[:, lag] = (np.where(both, apart, 0.0) ** 2).sum(axis=1) / 2
    enough = (count > 0).sum(axis=0) >= FEWEST_PATIENTS
    lags = int(np.argmin(enough)) if not enough.all() else steps
    if lags < FEWEST_LAGS + 1:
        raise NotEnoughData(
            f"{name!r}: fewer than {FEWEST_PATIENTS} patients have ratings {FEWEST_LAGS} sessions apart; trait and lasting "
            "state cannot be told apart with so few sessions."
        )
    last_seen = steps - np.argmax(known[:, ::-1], axis=1)
    usual = int(np.median(last_seen[known.any(axis=1)]))
    lags = min(lags, 1 + max(usual // 2, FEWEST_LAGS))
    return Variogram((total / np.maximum(count, 1))[:, :lags], (count[:, :lags] > 0).astype(float), group)


def without_course(values: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Deviations from the mean of everybody at each session that ten or more reach, and where there are any.

    Parameters
    ----------
    values : array of shape (n_patients, n_steps)
        NaN where there is no rating.
    """
    known = np.isfinite(values)
    reached = known.sum(axis=0)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(reached, 1)
    use = known & (reached >= FEWEST_AT_SESSION)
    return np.where(use, values - mean, 0.0), use
