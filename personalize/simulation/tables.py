"""The three tables a clinic would hand over, made into a panel."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.columns import Columns
from features.panel import Panel
from personalize.simulation.intake import MAY_BE_MISSING
from personalize.simulation.options import ClinicOptions
from personalize.simulation.people import People
from personalize.simulation.ratings import Ratings


def make_panel(
    o: ClinicOptions,
    people: People,
    ratings: Ratings,
    *,
    dates: np.random.Generator,
    holes: np.random.Generator,
) -> Panel:
    """Name patients (p0001, ...) and therapists (t01, ...), leave out what is not on file, and check the result."""
    patient_ids = _names("p", len(people.intake), 4)
    therapist_ids = _names("t", len(people.staff), 2)
    who, when = np.nonzero(ratings.on_file.T)
    sessions = pd.DataFrame({"patient_id": patient_ids.take(who), "session": when + 1})
    if o.dates:
        sessions["date"] = _dates(int(when.max()) + 1, len(people.intake), dates)[when, who]
    sessions["symptoms"] = ratings.outcome[when, who]
    sessions["alliance"] = ratings.alliance[when, who]
    patients = people.intake.copy()
    for name in MAY_BE_MISSING:
        patients[name] = patients[name].mask(holes.random(len(patients)) < o.missing_intake)
    patients.insert(0, "patient_id", patient_ids)
    patients.insert(1, "therapist_id", therapist_ids.take(people.therapist))
    therapists = people.staff.copy()
    therapists.insert(0, "therapist_id", therapist_ids)
    columns = Columns(outcome="symptoms", alliance="alliance", time="date" if o.dates else None)
    return Panel(sessions, patients, therapists, columns=columns, timing=o.timing, better="low")


def _names(letter: str, n: int, width: int) -> pd.Index[str]:
    width = max(width, len(str(n)))
    return pd.Index([f"{letter}{i:0{width}d}" for i in range(1, n + 1)])


def _dates(n_sessions: int, n: int, rng: np.random.Generator) -> NDArray[np.datetime64]:
    """Dates of all sessions, shape (n_sessions, n): weekly, one gap in ten longer, starts spread over three years."""
    start = rng.integers(0, 3 * 365, n)
    longer = rng.geometric(0.6, (n_sessions, n)) * (rng.random((n_sessions, n)) < 0.1)
    weeks = 1 + longer
    weeks[0] = 0
    days = start + 7 * weeks.cumsum(axis=0)
    return np.asarray(np.datetime64("2021-01-04", "ns") + days.astype("timedelta64[D]"))
