"""Last observation carried forward: the forecast every other one has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from personalize.trajectories.members.member import Floats, Stored, Training
from personalize.trajectories.query import Query


@dataclass(frozen=True)
class Last:
    """The patient's last score so far; the training patients' first one where there is none."""

    first: float

    def forecast(self, query: Query) -> dict[str, Floats]:
        """Carry the last score forward."""
        last = query.outcome_input("last")
        return {"last": np.where(np.isnan(last), self.first, last)}

    def store(self) -> Stored:
        """Take apart for saving."""
        return Stored({"first": self.first})

    @classmethod
    def restore(cls, stored: Stored) -> Last:
        """Rebuild."""
        return cls(**stored.plain)


def learn_last(training: Training) -> tuple[dict[str, Floats], Last]:
    """Take the mean first score; nothing else is estimated."""
    query = training.query
    first = query.targets.outcome[(query.seen == 0) & ~query.targets.last]
    member = Last(float(first.mean()) if len(first) else float(query.targets.outcome.mean()))
    return member.forecast(query), member
