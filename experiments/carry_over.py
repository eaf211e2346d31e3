# ruff: noqa: E501
"""Trait, lasting state and passing rest of one rating, from how alike a patient's ratings are so many sessions apart.

Covariance of two ratings of a patient l sessions apart, everybody's course taken out:

    C(l) = trait + state · φ^l + rest · [l = 0]

What never fades is trait, what fades is state, what is gone at the next session is passing state and error of measurement
(Kenny & Zautra 1995, Journal of Consulting and Clinical Psychology 63, 52-59: trait-state-error). A split that takes
sessions as independent counts part of the lasting state as trait, the more the fewer sessions there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from features.errors import NotEnoughData
from personalize.effects.transitions import Floats, Ints

MEMORIES = np.concatenate([[0.0], np.arange(0.05, 0.86, 0.025)])
FEWEST_LAGS = 4
FEWEST_PATIENTS = 30


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
    def trait_share(self) -> float:
        """Share of the variance of one rating that is trait."""
        return self.trait / max(self.trait + self.state + self.rest, 1e-300)

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
class LagProducts:
    """Per patient, mean product of ratings so many sessions apart.

    Attributes
    ----------
    product : array of shape (n_patients, n_lags)
        Zero where the patient has no such pair.
    there : array of shape (n_patients, n_lags)
        1 where there is one.
    group : int array of shape (n_patients,)
        Resampling unit.
    """

    product: Floats
    there: Floats
    group: Ints

    def fit(self, weight: Floats) -> CarryOver:
        """Fit the components by weighted least squares; ``weight`` of shape (n_groups,)."""
        own = weight[self.group]
        count = own @ self.there
        value = (own @ self.product) / np.maximum(count, 1e-12)
        root = np.sqrt(count)
        lag = np.arange(len(value))
        best, found = np.inf, CarryOver(0.0, 0.0, 0.0, 0.0)
        for memory in MEMORIES:
            design = np.column_stack([np.ones(len(lag)), memory**lag if memory else 0.0 * lag, lag == 0]).astype(float)
            parts, loss = nnls(design * root[:, None], value * root)
            if loss < best - 1e-12:
                best, found = loss, CarryOver(*(float(p) for p in parts), float(memory))
        return found


def lag_products(values: Floats, group: Ints, name: str) -> LagProducts:
    """Products of a rating laid out by session.

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
    known = np.isfinite(values)
    reached = known.sum(axis=0)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(reached, 1)
    away = np.where(known & (reached >= 10), values - mean, 0.0)
    there = (known & (reached >= 10)).astype(float)
    steps = values.shape[1]
    count = np.stack([np.einsum("ij,ij->i", there[:, lag:], there[:, : steps - lag]) for lag in range(steps)], axis=1)
    total = np.stack([np.einsum("ij,ij->i", away[:, lag:], away[:, : steps - lag]) for lag in range(steps)], axis=1)
    enough = (count > 0).sum(axis=0) >= FEWEST_PATIENTS
    lags = int(np.argmin(enough)) if not enough.all() else steps
    if lags < FEWEST_LAGS + 1:
        raise NotEnoughData(
            f"{name!r}: fewer than {FEWEST_PATIENTS} patients have ratings {FEWEST_LAGS} sessions apart; trait and lasting "
            "state cannot be told apart with so few sessions."
        )
    product = total / np.maximum(count, 1)
    return LagProducts(product[:, :lags], (count[:, :lags] > 0).astype(float), group)
