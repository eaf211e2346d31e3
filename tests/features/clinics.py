"""Small random clinics for the tests of features: gaps, missing ratings, uneven lengths, ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from features import Columns, Panel


def tables(
    n_patients: int = 40, *, seed: int = 0, longest: int = 9, dates: bool = False, missing: float = 0.15
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Sessions, patients and therapists of a random clinic."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, n_patients)
    patient = np.repeat(np.arange(n_patients), lengths)
    n = len(patient)
    sessions = pd.DataFrame({"patient_id": [f"p{i:03d}" for i in patient]})
    gaps = rng.integers(1, 4, n)
    sessions["session"] = pd.Series(gaps).groupby(patient).cumsum()
    if dates:
        start = rng.integers(0, 400, n_patients)[patient]
        days = start + pd.Series(rng.choice([0, 3, 7, 14, 80], n)).groupby(patient).cumsum()
        sessions["date"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D")
    sessions["phq9"] = rng.integers(0, 28, n).astype(float)
    sessions["wai"] = rng.normal(5, 1, n).round(1)
    sessions["wai_t"] = rng.normal(5, 1, n).round(2)
    for name in ("phq9", "wai", "wai_t"):
        sessions.loc[rng.random(n) < missing, name] = np.nan
    therapist = rng.integers(0, max(2, n_patients // 8), n_patients)
    patients = pd.DataFrame(
        {
            "patient_id": [f"p{i:03d}" for i in range(n_patients)],
            "therapist_id": [f"t{j}" for j in therapist],
            "age": rng.integers(18, 70, n_patients).astype(float),
            "sex": rng.choice(["f", "m"], n_patients),
        }
    )
    patients.loc[rng.random(n_patients) < 0.2, "age"] = np.nan
    staff = pd.DataFrame({"therapist_id": sorted(set(patients["therapist_id"]))})
    staff["age"] = rng.integers(28, 65, len(staff))
    return sessions, patients, staff


def panel_of(
    sessions: pd.DataFrame, patients: pd.DataFrame | None = None, staff: pd.DataFrame | None = None, **options: Any
) -> Panel:
    """A panel of `tables`, in which wai is the alliance and wai_t the therapist's rating of it."""
    columns = Columns(
        outcome="phq9", alliance="wai", covariates=["wai_t"], time="date" if "date" in sessions.columns else None
    )
    return Panel(sessions, patients, staff, columns=columns, **options)


def clinic(n_patients: int = 40, **options: Any) -> Panel:
    """A random panel."""
    return panel_of(*tables(n_patients, **options))
