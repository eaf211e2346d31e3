"""Linear mixed model of growth over log time, updated to the patient's sessions so far (BLUP): the usual baseline.

`GrowthModel` without autocorrelation. Sources: Rizopoulos 2011, Biometrics 67, 819-829; in psychotherapy Lutz,
Martinovich & Howard 1999, J. Consult. Clin. Psychol. 67, 571-577.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.panel import Panel
from personalize.trajectories.members.growth import LAST_QUANTILES, remaining_intervals
from personalize.trajectories.members.member import Stored, Training
from personalize.trajectories.mixed import GrowthModel
from personalize.trajectories.query import Query

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mixed:
    """Fitted model, and how many intervals are usually left to the last session."""

    model: GrowthModel
    remaining: Floats

    def forecast(self, query: Query) -> dict[str, Floats]:
        """Update to each landmark, and look ahead."""
        return {"mixed": _forecast(self, query, np.arange(len(query.targets)))}

    def store(self) -> Stored:
        """Take apart for saving."""
        return Stored({"model": self.model.to_dict()}, {"remaining": self.remaining})

    @classmethod
    def restore(cls, stored: Stored) -> Mixed:
        """Rebuild."""
        return cls(GrowthModel.from_dict(stored.plain["model"]), stored.arrays["remaining"])


def learn_mixed(training: Training) -> tuple[dict[str, Floats], Mixed]:
    """Fit by REML, and without each fold."""
    query = training.query
    everybody = np.ones(query.landmarks.panel.n_patients, dtype=bool)
    out = np.empty(len(query.targets))
    for f in range(training.folds.count):
        fitted = _fit(query, training.folds.of_patient != f)
        held = np.flatnonzero(training.fold == f)
        out[held] = _forecast(fitted, query, held)
    return {"mixed": out}, _fit(query, everybody)


def _fit(query: Query, keep: NDArray[np.bool_]) -> Mixed:
    panel = query.landmarks.panel
    rows = keep[panel.patient_index]
    model = GrowthModel(ar=False).fit(
        panel.outcome[rows], panel.time[rows], query.intake(), panel.patient_index[rows], _therapists(panel)
    )
    return Mixed(model, remaining_intervals(panel.subset(keep), query.clock))


def _therapists(panel: Panel) -> list[object] | None:
    if not panel.n_therapists:
        return None
    names = panel.therapist_ids.tolist()
    return [names[code] if code >= 0 else None for code in panel.therapist_index]


def _forecast(fitted: Mixed, query: Query, rows: NDArray[np.intp]) -> Floats:
    """Treat each landmark as a patient whose history ends there."""
    landmarks, panel, targets = query.landmarks, query.landmarks.panel, query.targets.take(rows)
    used, who = np.unique(targets.landmark, return_inverse=True)
    seen = landmarks.seen[used]
    owner = np.repeat(np.arange(len(used)), seen)
    ends = np.cumsum(seen)
    history = panel.offsets[:-1][landmarks.patient[used]][owner] + np.arange(len(owner)) - (ends - seen)[owner]
    intake = query.intake()[landmarks.patient[used]]
    staff = _therapists(panel)
    own_staff = None if staff is None else [staff[i] for i in landmarks.patient[used]]

    def predict(time: Floats, of: NDArray[np.intp]) -> Floats:
        mean, _ = fitted.model.predict(
            panel.outcome[history], panel.time[history], owner, intake, time, of, therapist=own_staff
        )
        return np.asarray(mean)

    out = np.empty(len(rows))
    at = ~targets.last
    out[at] = predict(targets.time[at], who[at])
    last = ~at
    if last.any():
        step = fitted.remaining[np.minimum(seen[who[last]], len(fitted.remaining) - 1)] * query.clock.interval
        now = landmarks.time[used][who[last]]
        each = [predict(now + step[:, i], who[last]) for i in range(len(LAST_QUANTILES))]
        out[last] = np.mean(each, axis=0)
    return out
