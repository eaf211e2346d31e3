"""The growth model as a member: fitted, without each fold and to all; saved and rebuilt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personalize.trajectories.members.growth import Growth, Intake
from personalize.trajectories.members.growth_fit import fit_growth
from personalize.trajectories.members.kalman import Variances
from personalize.trajectories.members.member import Stored, Training
from personalize.trajectories.query import Query, intake_columns

Floats = NDArray[np.float64]

ADDENDS = {
    "growth_time": "time",
    "growth_patient": "baseline patient",
    "growth_therapist": "baseline therapist",
    "growth_history": "outcome history",
}
OF_INTAKE = ("level", "trend", "center", "scale", "of_therapist", "effects")
PLAIN = ("linear", "origin", "interval", "furthest")


@dataclass(frozen=True)
class GrowthMember:
    """A fitted growth model as a member of the forecast."""

    growth: Growth

    def forecast(self, query: Query) -> dict[str, Floats]:
        """Forecast the targets; by-products are the addends and the SD."""
        return _named(self.growth.forecast(query.landmarks, query.targets, query.intake()))

    def store(self) -> Stored:
        """Take apart for saving."""
        growth, intake = self.growth, self.growth.intake
        plain = {key: getattr(growth, key) for key in PLAIN}
        plain |= {"variances": growth.variances.to_dict(), "therapists": list(intake.therapists)}
        arrays = {key: getattr(intake, key) for key in OF_INTAKE}
        return Stored(plain, {**arrays, "fixed": growth.fixed, "remaining": growth.remaining})

    @classmethod
    def restore(cls, stored: Stored) -> GrowthMember:
        """Rebuild."""
        plain, arrays = stored.plain, stored.arrays
        intake = Intake(**{key: arrays[key] for key in OF_INTAKE}, therapists=tuple(plain["therapists"]))
        rest = {key: plain[key] for key in PLAIN}
        variances = Variances(**plain["variances"])
        fixed, remaining = arrays["fixed"], arrays["remaining"]
        return cls(Growth(variances=variances, intake=intake, fixed=fixed, remaining=remaining, **rest))


def learn_growth(training: Training) -> tuple[dict[str, Floats], GrowthMember]:
    """Fit to all patients, then, beginning from that fit, without each fold."""
    query = training.query
    panel, intake = query.landmarks.panel, query.intake()
    groups = query.encoder.groups
    staff = np.array([groups[i] == "baseline therapist" for i in intake_columns(query.encoder)], dtype=bool)
    whole = fit_growth(panel, intake, query.clock, training.rng, of_therapist=staff)
    out = np.empty((5, len(query.targets)))
    for f in range(training.folds.count):
        rest = training.folds.of_patient != f
        fitted = fit_growth(
            panel.subset(rest), intake[rest], query.clock, training.rng, start=whole, of_therapist=staff
        )
        held = np.flatnonzero(training.fold == f)
        out[:, held] = fitted.forecast(query.landmarks, query.targets.take(held), intake)
    return _named(out), GrowthMember(whole)


def _named(parts: Floats) -> dict[str, Floats]:
    return {"growth": parts[:4].sum(axis=0), "growth_sd": parts[4], **dict(zip(ADDENDS, parts[:4], strict=True))}
