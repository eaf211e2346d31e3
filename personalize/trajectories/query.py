"""What members of a forecast are asked, and what they may look at."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from personalize.trajectories.clock import Clock
from personalize.trajectories.encoder import Encoder
from personalize.trajectories.grid import Grid, Placed
from personalize.trajectories.landmarks import Landmarks, Targets

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Query:
    """Targets to forecast from landmarks.

    Parameters
    ----------
    landmarks : Landmarks
    targets : Targets
    inputs : array of shape (n_landmarks, n_inputs)
        Encoded past features; NaN is unknown.
    encoder : Encoder
        What the inputs are.
    clock : Clock
    grid : Grid
    placed : Placed
        The targets on the grid.
    forecasts : dict of str to array of shape (n_targets,)
        What members that came earlier forecast, for those that build on them.
    """

    landmarks: Landmarks
    targets: Targets
    inputs: NDArray[np.float32]
    encoder: Encoder
    clock: Clock
    grid: Grid
    placed: Placed
    forecasts: dict[str, Floats] = field(default_factory=dict)

    @property
    def patient(self) -> Indices:
        """Row of ``panel.patients`` of each target."""
        return self.landmarks.patient[self.targets.landmark]

    @property
    def seen(self) -> Indices:
        """Sessions seen at each target's landmark."""
        return self.landmarks.seen[self.targets.landmark]

    @property
    def rows(self) -> NDArray[np.float32]:
        """Inputs of each target's landmark, shape (n_targets, n_inputs)."""
        return self.inputs[self.targets.landmark]

    def intake(self) -> Floats:
        """Intake inputs of every patient of the panel, shape (n_patients, n_intake)."""
        columns = intake_columns(self.encoder)
        out = np.full((self.landmarks.panel.n_patients, len(columns)), np.nan)
        out[self.landmarks.patient] = self.inputs[:, columns]
        return out

    def outcome_input(self, statistic: str) -> Floats:
        """One statistic of the outcome so far at each target's landmark; NaN where it has none."""
        name = f"{self.landmarks.panel.columns.outcome}_{statistic}"
        if name not in self.encoder.names:
            return np.full(len(self.targets), np.nan)
        return np.asarray(self.inputs[self.targets.landmark, self.encoder.names.index(name)], dtype=float)


def part(query: Query, rows: NDArray[np.intp]) -> Query:
    """Keep some targets."""
    return replace(
        query,
        targets=query.targets.take(rows),
        placed=query.placed.take(rows),
        forecasts={name: values[rows] for name, values in query.forecasts.items()},
    )


@dataclass(frozen=True)
class Folds:
    """Which patients are held out together.

    Parameters
    ----------
    of_patient : int array of shape (n_patients,)
    count : int
    """

    of_patient: Indices
    count: int

    @classmethod
    def by_cluster(cls, clusters: Indices, count: int, rng: np.random.Generator) -> Folds:
        """Deal clusters (therapists, or patients without one) to folds of nearly equal numbers of patients."""
        ids, inverse, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
        count = min(count, len(ids))
        order = rng.permutation(len(ids))
        order = order[np.argsort(-sizes[order], kind="stable")]
        fold, load = np.zeros(len(ids), dtype=np.intp), np.zeros(count)
        for cluster in order:
            fold[cluster] = load.argmin()
            load[fold[cluster]] += sizes[cluster]
        return cls(fold[inverse].astype(np.intp), count)


def intake_columns(encoder: Encoder) -> list[int]:
    """Inputs that are known at intake."""
    return [i for i, group in enumerate(encoder.groups) if group.startswith("baseline")]
