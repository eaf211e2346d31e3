"""Landmarks and targets: who is forecast from where to when, as flat tables of integers and floats."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.panel import Panel
from personalize.trajectories.clock import Clock

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Landmarks:
    """One row a patient and landmark: what has been seen is the patient's first ``seen`` sessions.

    Parameters
    ----------
    panel : Panel
        The histories.
    patient : array of shape (n_landmarks,)
        Row of ``panel.patients``.
    seen : array of shape (n_landmarks,)
        Number of sessions observed so far; 0 at intake.
    row : array of shape (n_landmarks,)
        Session row of the panel that is the landmark; -1 at intake.
    time, session : array of shape (n_landmarks,)
        Where the landmark stands; one typical interval before a first session at intake.
    """

    panel: Panel
    patient: Indices
    seen: Indices
    row: Indices
    time: Floats
    session: Floats

    def __len__(self) -> int:
        return len(self.patient)


@dataclass(frozen=True)
class Targets:
    """One row a wanted forecast.

    Parameters
    ----------
    landmark : array of shape (n_targets,)
        Row of the landmarks table.
    gap : array of shape (n_targets,)
        Typical intervals ahead; NaN where the last session is wanted, whenever that will be.
    time : array of shape (n_targets,)
        Time of the target in the panel's unit; NaN for the last session.
    outcome : array of shape (n_targets,)
        What was observed there; NaN where unknown.
    row : array of shape (n_targets,)
        Session row of the panel the target is; -1 where unknown.
    """

    landmark: Indices
    gap: Floats
    time: Floats
    outcome: Floats
    row: Indices

    def __len__(self) -> int:
        return len(self.landmark)

    @property
    def last(self) -> NDArray[np.bool_]:
        """Whether the last session is wanted, shape (n_targets,)."""
        return np.isnan(self.gap)

    def take(self, rows: NDArray[np.bool_] | Indices) -> Targets:
        """Keep some rows."""
        return Targets(self.landmark[rows], self.gap[rows], self.time[rows], self.outcome[rows], self.row[rows])


def all_landmarks(panel: Panel, clock: Clock) -> Landmarks:
    """Every landmark of every patient: intake, then each observed session; sorted by patient and ``seen``."""
    counts = panel.sessions_per_patient + 1
    patient = np.repeat(np.arange(panel.n_patients), counts)
    begins = np.concatenate([[0], np.cumsum(counts)[:-1]])
    seen = np.arange(len(patient)) - begins[patient]
    row = np.where(seen > 0, panel.offsets[:-1][patient] + seen - 1, -1)
    return _landmarks(panel, clock, patient, seen, row)


def ends(panel: Panel, clock: Clock) -> Landmarks:
    """The landmark at the end of each patient's history, one row a patient."""
    seen = panel.sessions_per_patient
    row = np.where(seen > 0, panel.offsets[1:] - 1, -1)
    return _landmarks(panel, clock, np.arange(panel.n_patients), seen, row)


def _landmarks(panel: Panel, clock: Clock, patient: Indices, seen: Indices, row: Indices) -> Landmarks:
    time = np.full(len(row), clock.intake_time)
    session = np.full(len(row), clock.intake_session)
    at = row >= 0
    time[at] = panel.time[row[at]]
    session[at] = panel.session[row[at]]
    return Landmarks(panel, patient.astype(np.intp), seen.astype(np.intp), row.astype(np.intp), time, session)


def observed_targets(landmarks: Landmarks, clock: Clock) -> Targets:
    """Every later session with an outcome, from every landmark of `all_landmarks`, then every last session.

    Returns
    -------
    Targets
        Sorted by kind (sessions first, last sessions after them), then by steps ahead, then by row.
    """
    panel = landmarks.panel
    rows = np.flatnonzero(np.isfinite(panel.outcome))
    begins = np.searchsorted(landmarks.patient, np.arange(panel.n_patients))
    occasion = panel.occasion
    found_row, found_landmark = [], []
    for ahead in range(int(panel.sessions_per_patient.max(initial=0))):
        reach = rows[occasion[rows] >= ahead]
        found_row.append(reach)
        found_landmark.append(begins[panel.patient_index[reach]] + occasion[reach] - ahead)
    row = np.concatenate([np.empty(0, dtype=np.intp), *found_row])
    landmark = np.concatenate([np.empty(0, dtype=np.intp), *found_landmark]).astype(np.intp)
    gap = clock.gap(landmarks.time[landmark], panel.time[row])
    last = _last_targets(landmarks)
    return Targets(
        np.concatenate([landmark, last.landmark]),
        np.concatenate([gap, last.gap]),
        np.concatenate([panel.time[row], last.time]),
        np.concatenate([panel.outcome[row], last.outcome]),
        np.concatenate([row, last.row]),
    )


def _last_targets(landmarks: Landmarks) -> Targets:
    panel = landmarks.panel
    final = last_observed(panel)
    row = final[landmarks.patient]
    ahead = (row >= 0) & (landmarks.row < row)
    nothing = np.full(int(ahead.sum()), np.nan)
    return Targets(np.flatnonzero(ahead), nothing, nothing.copy(), panel.outcome[row[ahead]], row[ahead])


def last_observed(panel: Panel) -> Indices:
    """Row of each patient's last session with an outcome; -1 where there is none; shape (n_patients,)."""
    final = np.full(panel.n_patients, -1, dtype=np.intp)
    rows = np.flatnonzero(np.isfinite(panel.outcome))
    np.maximum.at(final, panel.patient_index[rows], rows)
    return final


def thinned(targets: Targets, limit: int, rng: np.random.Generator) -> Targets:
    """Keep at most ``limit`` rows, in order, where there are more: random landmarks, each with all of its targets.

    A landmark without some of its targets would seem to have an easier path to hold inside a band.
    """
    if len(targets) <= limit:
        return targets
    count = np.bincount(targets.landmark)
    order = rng.permutation(len(count))
    keep = np.zeros(len(count), dtype=bool)
    keep[order[np.cumsum(count[order]) <= limit]] = True
    return targets.take(keep[targets.landmark])


def with_patients(targets: Targets, landmarks: Landmarks, keep: NDArray[np.bool_]) -> Targets:
    """Targets of the patients marked True."""
    return targets.take(keep[landmarks.patient[targets.landmark]])


def without_outcome(targets: Targets) -> Targets:
    """The same targets with what was observed there hidden."""
    return replace(targets, outcome=np.full(len(targets), np.nan), row=np.full(len(targets), -1, dtype=np.intp))
