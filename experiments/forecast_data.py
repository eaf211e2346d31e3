"""Courses that forecasts are judged on: simulated clinics, and two real studies where their folders are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from features import Columns, Panel
from features.measures import Measure, measure
from personalize.simulate import simulate_clinic

PRESETS = ("nonlinear", "linear", "harsh")
SMALL = 200  # patients of the small clinics
REFRAMED, RIESBY = "RefraMED PHQ-9", "Riesby HAMD"
REAL = (REFRAMED, RIESBY)


@dataclass(frozen=True)
class Courses:
    """Courses to forecast.

    Parameters
    ----------
    panel : Panel
    landmarks : tuple of int
    horizons : tuple of int or "last"
    """

    panel: Panel
    landmarks: tuple[int, ...] = (3, 5, 8)
    horizons: tuple[int | str, ...] = (1, 4, "last")


def names(n_patients: int, *, reframed: bool, riesby: bool) -> list[str]:
    """Data sets by name: real ones, small clinics, clinics of ``n_patients``."""
    real = [name for name, there in zip(REAL, (reframed, riesby), strict=True) if there]
    small = [f"{preset}, {SMALL} patients" for preset in ("nonlinear", "harsh")]
    return real + small + [f"{preset}, {n_patients} patients" for preset in PRESETS]


def courses(name: str, seed: int, *, reframed: Path | None = None, riesby: Path | None = None) -> Courses:
    """Read or simulate the courses of a name; the seed is that of the simulated patients."""
    if name == REFRAMED and reframed is not None:
        return Courses(read_reframed(reframed))
    if name == RIESBY and riesby is not None:
        return Courses(read_riesby(riesby), (1, 2, 3), (1, 2, "last"))
    preset, size = name.removesuffix(" patients").split(", ")
    return Courses(simulate_clinic(preset, n_patients=int(size), random_state=seed).panel)


def read_reframed(folder: Path) -> Panel:
    """RefraMED: monthly PHQ-9; the one score out of range counts as missing."""
    return Panel(
        pd.read_csv(folder / "sessions.csv").dropna(subset="phq9"),
        pd.read_csv(folder / "patients.csv"),
        columns=Columns(outcome="phq9", time="month"),
        measures={"phq9": measure("phq9")},
        out_of_range="missing",
    )


def read_riesby(folder: Path) -> Panel:
    """Riesby: weekly HAMD of 66 inpatients, six times; -9 is missing. No alliance."""
    table = pd.read_csv(folder / "riesby.csv", dtype={"id": str}).rename(columns={"id": "patient_id"})
    return Panel(
        table.assign(session=table["week"] + 1).query("hamd != -9")[["patient_id", "session", "hamd"]],
        table[["patient_id", "endog"]].drop_duplicates(),
        columns=Columns(outcome="hamd"),
        measures={"hamd": Measure("hamd", minimum=0, maximum=52, better="low")},
    )
