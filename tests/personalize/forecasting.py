"""Small clinics and forecasters fitted to them, made once for all tests of forecasts."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from features import Columns, Panel
from features.measures import Measure
from personalize.simulate import simulate_clinic
from personalize.trajectories.forecast import TrajectoryForecaster

SCALE = Measure("toy", minimum=0, maximum=30, better="low", reliable_change=5)


@cache
def clinic(n_patients: int = 260, seed: int = 3, preset: str = "harsh") -> Panel:
    """A simulated clinic: gaps, missing ratings, drop-out."""
    return simulate_clinic(preset, n_patients=n_patients, patients_per_therapist=10, random_state=seed).panel


@cache
def fitted() -> TrajectoryForecaster:
    """A forecaster of `clinic`."""
    return TrajectoryForecaster(random_state=1).fit(clinic())


def toy_tables(n_patients: int = 60, *, seed: int = 0, dates: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sessions on a 0-30 scale near its floor, and patients with a category; treatments of 2 to 9 sessions."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 10, n_patients)
    who = np.repeat(np.arange(n_patients), lengths)
    step = np.concatenate([np.arange(n) for n in lengths])
    level = rng.normal(12, 5, n_patients)
    score = np.clip(np.round(level[who] * np.exp(-0.1 * step) + rng.normal(0, 3, len(who))), 0, 30)
    sessions = pd.DataFrame({"patient_id": [f"p{i:03d}" for i in who], "session": step + 1, "score": score})
    if dates:
        days = rng.integers(0, 300, n_patients)[who] + 7 * step + rng.integers(0, 3, len(who))
        sessions["date"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(days, unit="D")
    patients = pd.DataFrame(
        {
            "patient_id": [f"p{i:03d}" for i in range(n_patients)],
            "sex": rng.choice(["f", "m"], n_patients),
            "age": rng.integers(18, 70, n_patients),
        }
    )
    return sessions, patients


def toy(n_patients: int = 60, *, seed: int = 0, dates: bool = False) -> Panel:
    """`toy_tables` as a panel."""
    sessions, patients = toy_tables(n_patients, seed=seed, dates=dates)
    columns = Columns(outcome="score", time="date" if dates else None)
    return Panel(sessions, patients, columns=columns, measures={"score": SCALE})


@cache
def fitted_toy(dates: bool = False) -> TrajectoryForecaster:
    """A forecaster of `toy`."""
    return TrajectoryForecaster().fit(toy(dates=dates))
