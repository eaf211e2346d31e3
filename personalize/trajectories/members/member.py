"""What every member of a forecast offers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from personalize.trajectories.query import Folds, Query

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stored:
    """A fitted member as plain values (JSON), arrays (.npz) and texts (LightGBM's own format)."""

    plain: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


class Member(Protocol):
    """A fitted member."""

    def forecast(self, query: Query) -> dict[str, Floats]:
        """Forecast the targets; the member's own name leads to the point forecast, other names to by-products."""
        ...

    def store(self) -> Stored:
        """Take the fit apart for saving."""
        ...


@dataclass(frozen=True)
class Training:
    """What a member learns from.

    Parameters
    ----------
    query : Query
        Targets with outcomes; ``query.forecasts`` holds out-of-fold forecasts of earlier members.
    folds : Folds
        Patients held out together.
    weight : array of shape (n_targets,)
        Weights of the targets (inverse probability of still being there; else ones).
    rng : Generator
    threads : int
    """

    query: Query
    folds: Folds
    weight: Floats
    rng: np.random.Generator
    threads: int = 1

    @property
    def fold(self) -> NDArray[np.intp]:
        """Fold of each target's patient."""
        return self.folds.of_patient[self.query.patient]

    @property
    def outcome(self) -> Floats:
        """Outcome of each target."""
        return self.query.targets.outcome


class Learner(Protocol):
    """Fits a member."""

    def __call__(self, training: Training) -> tuple[dict[str, Floats], Member]:
        """Return out-of-fold forecasts of the training targets, and the member fitted to all patients."""
        ...
