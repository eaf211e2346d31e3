"""Expected response: the average course of patients with the same first score, not updated to the patient's own.

A mixed model of the outcome on (log) time by first score; a patient's later sessions are compared with it, not used by
it. Sources: Lueger et al. 2001, J. Consult. Clin. Psychol. 69, 150-158; Finch, Lambert & Schaalje 2001, Clin. Psychol.
Psychother. 8, 231-242.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features import windows
from features.panel import Panel
from features.windows import Layout
from personalize.trajectories.clock import Clock
from personalize.trajectories.landmarks import Landmarks, Targets
from personalize.trajectories.members.growth import Growth
from personalize.trajectories.members.growth_fit import fit_growth
from personalize.trajectories.members.growth_member import GrowthMember
from personalize.trajectories.members.member import Stored, Training
from personalize.trajectories.query import Query

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """Growth model whose only intake column is the first score."""

    growth: Growth

    def forecast(self, query: Query) -> dict[str, Floats]:
        """Expected outcome of each target; the average course where there is no first score yet."""
        return {"expected": self.curve(query.landmarks, query.targets)[0]}

    def curve(self, landmarks: Landmarks, targets: Targets) -> Floats:
        """Expected outcome, and SD of single outcomes around it, shape (2, n_targets)."""
        return self.of_first(first_score(landmarks), targets, landmarks)

    def of_first(self, first: Floats, targets: Targets, landmarks: Landmarks | None = None) -> Floats:
        """The same for given first scores, one a landmark; without landmarks the last session cannot be asked for."""
        return self.growth.unconditional(first[:, None], targets, landmarks)

    def store(self) -> Stored:
        """Take apart for saving."""
        return GrowthMember(self.growth).store()

    @classmethod
    def restore(cls, stored: Stored) -> Expected:
        """Rebuild."""
        return cls(GrowthMember.restore(stored).growth)


def learn_expected(training: Training) -> tuple[dict[str, Floats], Expected]:
    """Fit the curve, and without each fold."""
    query = training.query
    panel = query.landmarks.panel
    whole = fit_expected(panel, query.clock, training.rng)
    out = np.empty(len(query.targets))
    for f in range(training.folds.count):
        rest = np.flatnonzero(training.folds.of_patient != f)
        held = np.flatnonzero(training.fold == f)
        fitted = fit_expected(panel.subset(rest), query.clock, training.rng, start=whole)
        out[held] = fitted.curve(query.landmarks, query.targets.take(held))[0]
    return {"expected": out}, whole


def fit_expected(panel: Panel, clock: Clock, rng: np.random.Generator, start: Expected | None = None) -> Expected:
    """Fit the sessions after the first score on time by first score."""
    layout = Layout.of(panel.offsets)
    first_row = layout.apply(windows.count, panel.outcome) == 1
    later = panel.where(~(first_row & np.isfinite(panel.outcome)))
    first = np.full(panel.n_patients, np.nan)
    rows = np.flatnonzero(first_row & np.isfinite(panel.outcome))
    first[panel.patient_index[rows]] = panel.outcome[rows]
    growth = fit_growth(later, first[:, None], clock, rng, start=None if start is None else start.growth)
    # the curve knows the first score alone, so the therapist is nobody's
    return Expected(replace(growth, intake=replace(growth.intake, therapists=(), effects=np.zeros(0))))


def first_score(landmarks: Landmarks) -> Floats:
    """First outcome observed by each landmark; NaN where there is none yet, shape (n_landmarks,)."""
    panel = landmarks.panel
    first = Layout.of(panel.offsets).apply(windows.first, panel.outcome)
    return np.where(landmarks.row >= 0, first[landmarks.row], np.nan) if len(first) else np.full(len(landmarks), np.nan)
