"""What was the case at a session before the alliance was rated: high symptoms, a rupture lately."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features import Columns, Panel
from features.events import rupture_states
from personalize.effects.transitions import Floats, Grid

RECENT = 3
SYMPTOMS = "higher symptoms (1 SD)"
RUPTURE = f"a rupture in the last {RECENT} ratings"


def conditions(grid: Grid, timing: str, *, better: str = "high") -> dict[str, Floats]:
    """Conditions of each session by name, shape (n_patients, n_steps); NaN where unknown.

    Symptoms: the outcome before the rating, as deviation from the patient's mean over the sessions, in pooled
    within-patient SDs. Rupture: 1 where one began in the last three ratings before this one (past-only detector).

    Parameters
    ----------
    grid : Grid
    timing : {"after", "before"}
        Whether the alliance is rated after or before the outcome of its row.
    better : {"high", "low"}
        Direction of the alliance's scale.
    """
    known = np.isfinite(grid.outcome)
    mean = np.where(known, grid.outcome, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    away = grid.outcome - mean[:, None]
    freedom = max(int((known.sum(axis=1) - 1).clip(0).sum()), 1)
    spread = float(np.sqrt(np.nansum(away**2) / freedom))
    return {SYMPTOMS: away / spread, RUPTURE: _recent_rupture(grid, timing, better)}


def _recent_rupture(grid: Grid, timing: str, better: str) -> Floats:
    begun = pd.DataFrame(_ruptures_so_far(grid, better)).ffill(axis=1).to_numpy()
    shift = 1 if timing == "after" else 0  # with "before" the rating acts one column later already
    before = np.full_like(begun, np.nan)
    before[:, shift:] = begun[:, : begun.shape[1] - shift]
    earlier = np.zeros_like(begun)
    earlier[:, RECENT + shift :] = begun[:, : max(begun.shape[1] - RECENT - shift, 0)]
    recent = (before - np.nan_to_num(earlier) > 0).astype(float)
    recent[~np.isfinite(before)] = np.nan
    return recent


def _ruptures_so_far(grid: Grid, better: str) -> Floats:
    """Ruptures begun up to each session of the grid; NaN where nothing was rated."""
    who, step = np.nonzero(np.isfinite(grid.outcome) | np.isfinite(grid.alliance))
    sign = -1.0 if better == "low" else 1.0
    rows = {"patient_id": who, "session": step + 1, "outcome": grid.outcome[who, step]}
    table = pd.DataFrame({**rows, "alliance": sign * grid.alliance[who, step]})
    panel = Panel(table, columns=Columns(outcome="outcome", alliance="alliance"), better="low")
    laid = np.full(grid.outcome.shape, np.nan)
    laid[who, step] = rupture_states(panel, seen="past")["ruptures_so_far"].to_numpy(dtype=float)
    return laid
