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
from personalize.trajectories.query import Query, intake_columns

Floats = NDArray[np.float64]

# Effects of intake are estimated without shrinkage: with hardly more therapists than columns about therapists the fit
# goes through every one of them, and the patients of a new therapist are forecast anything at all.
OWNERS_PER_COLUMN = 5
ADDENDS = {
    "mixed_time": "time",
    "mixed_patient": "baseline patient",
    "mixed_therapist": "baseline therapist",
    "mixed_history": "outcome history",
}


@dataclass(frozen=True)
class Mixed:
    """Fitted model, and how many intervals are usually left to the last session."""

    model: GrowthModel
    remaining: Floats

    def forecast(self, query: Query) -> dict[str, Floats]:
        """Update to each landmark, and look ahead; by-products are the addends."""
        return _named(_forecast(self, query, np.arange(len(query.targets))))

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
    out = np.empty((len(ADDENDS), len(query.targets)))
    for f in range(training.folds.count):
        fitted = _fit(query, training.folds.of_patient != f)
        held = np.flatnonzero(training.fold == f)
        out[:, held] = _forecast(fitted, query, held)
    return _named(out), _fit(query, everybody)


def _named(parts: Floats) -> dict[str, Floats]:
    return {"mixed": parts.sum(axis=0), **dict(zip(ADDENDS, parts, strict=True))}


def _fit(query: Query, keep: NDArray[np.bool_]) -> Mixed:
    panel = query.landmarks.panel
    rows = keep[panel.patient_index]
    model = GrowthModel(ar=False).fit(
        panel.outcome[rows], panel.time[rows], _intake(query), panel.patient_index[rows], _therapists(panel)
    )
    return Mixed(model, remaining_intervals(panel.subset(keep), query.clock))


def _intake(query: Query) -> Floats:
    """Intake inputs to learn from; blank where there are too few patients, or therapists, for their columns."""
    out, panel = query.intake(), query.landmarks.panel
    groups = np.array([query.encoder.groups[i] for i in intake_columns(query.encoder)], dtype=object)
    for group, owners in (("baseline patient", panel.n_patients), ("baseline therapist", panel.n_therapists)):
        own = groups == group
        if owners < OWNERS_PER_COLUMN * own.sum():
            out[:, own] = np.nan
    return out


def _therapists(panel: Panel) -> list[object] | None:
    if not panel.n_therapists:
        return None
    names = panel.therapist_ids.tolist()
    return [names[code] if code >= 0 else None for code in panel.therapist_index]


def _forecast(fitted: Mixed, query: Query, rows: NDArray[np.intp]) -> Floats:
    """Addends of time, patient, therapist and outcomes so far, shape (4, n_rows).

    Each landmark is a patient whose history ends there. The forecast is linear in what is known, so it can be taken
    apart by leaving things out: outcomes first, then the therapist, then intake.
    """
    landmarks, panel, targets = query.landmarks, query.landmarks.panel, query.targets.take(rows)
    used, who = np.unique(targets.landmark, return_inverse=True)
    seen = landmarks.seen[used]
    owner = np.repeat(np.arange(len(used)), seen)
    ends = np.cumsum(seen)
    history = panel.offsets[:-1][landmarks.patient[used]][owner] + np.arange(len(owner)) - (ends - seen)[owner]
    intake = query.intake()[landmarks.patient[used]]
    average = np.tile(_average_intake(fitted.model), (len(used), 1))
    staff = _therapists(panel)
    own_staff = None if staff is None else [staff[i] for i in landmarks.patient[used]]
    # a last session is averaged over when it may be
    last = np.flatnonzero(targets.last)
    left = fitted.remaining[np.minimum(seen[who[last]], len(fitted.remaining) - 1)] * query.clock.interval
    time = targets.time.copy()
    time[last] = 0.0
    time = np.concatenate([time, (landmarks.time[used][who[last]][:, None] + left).ravel()])
    of = np.concatenate([who, np.repeat(who[last], len(LAST_QUANTILES))])

    def predict(known: NDArray[np.intp], baseline: Floats, therapist: list[object] | None) -> Floats:
        mean, _ = fitted.model.predict(
            panel.outcome[history[known]], panel.time[history[known]], owner[known], baseline, time, of,
            therapist=therapist,
        )  # fmt: skip
        out = mean[: len(who)]
        out[last] = mean[len(who) :].reshape(len(last), len(LAST_QUANTILES)).mean(axis=1)
        return np.asarray(out)

    nothing, everything = np.zeros(0, dtype=np.intp), np.arange(len(history))
    alone = predict(nothing, average, None)
    updated = predict(everything, average, None)
    of_patient = predict(everything, intake, None)
    whole = of_patient if own_staff is None else predict(everything, intake, own_staff)
    return np.stack([alone, of_patient - updated, whole - of_patient, updated - alone])


def _average_intake(model: GrowthModel) -> Floats:
    """Intake that the model takes for the average patient's."""
    out = np.zeros(len(model.basis_.names))
    out[list(model.basis_.columns)] = model.basis_.mean
    return out
