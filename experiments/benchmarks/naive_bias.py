"""How wrong are the estimators a reader may reach for first? Bias on simulated clinics, where the truth is known.

Run ``python -m experiments.benchmarks.naive_bias``; ``--help`` lists presets, sizes and the CSV option.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import Panel
from personalize.simulate import PRESETS, simulate_clinic

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Transitions:
    """Pairs of neighbouring sessions; arrays of shape (n_transitions,)."""

    who: NDArray[np.intp]
    outcome: Array
    alliance: Array
    following: Array
    log_session: Array


def transitions(panel: Panel) -> Transitions:
    """Pairs of neighbouring sessions with outcome, the alliance that can move the next outcome, and that outcome."""
    row = np.flatnonzero((np.diff(panel.patient_index) == 0) & (np.diff(panel.session) == 1))
    alliance = panel.alliance[row if panel.timing == "after" else row + 1]
    known = ~np.isnan(panel.outcome[row] + panel.outcome[row + 1] + alliance)
    row = row[known]
    return Transitions(
        panel.patient_index[row],
        panel.outcome[row],
        alliance[known],
        panel.outcome[row + 1],
        _log_session(panel, row + 1),
    )


def pooled(panel: Panel) -> float:
    """Ordinary regression of the next outcome on outcome, alliance, log session and intake, all rows in one pot."""
    step = transitions(panel)
    intake = _intake(panel)[step.who]
    design = np.column_stack([step.alliance, step.outcome, step.log_session, intake, np.ones(len(intake))])
    return _first_coefficient(design, step.following)


def fixed_effects(panel: Panel) -> float:
    """The same within patients (patient effects), log session free to differ by intake, no short-panel correction."""
    step = transitions(panel)
    trends = _trends(panel, step.who, step.log_session)
    table = np.column_stack([step.alliance, step.outcome, trends, step.following])
    within = _centred(table, step.who, panel.n_patients)
    return _first_coefficient(within[:, :-1], within[:, -1])


def same_session(panel: Panel) -> float:
    """Outcome on the alliance of the same row, patient effects, log session by intake: who moves whom is not asked."""
    rows = np.flatnonzero(~np.isnan(panel.outcome + panel.alliance))
    who = panel.patient_index[rows]
    trends = _trends(panel, who, _log_session(panel, rows))
    within = _centred(np.column_stack([panel.alliance[rows], trends, panel.outcome[rows]]), who, panel.n_patients)
    return _first_coefficient(within[:, :-1], within[:, -1])


def slopes_by_patient(panel: Panel) -> float:
    """Mean over patients of each patient's own regression of the next outcome on alliance alone."""
    step = transitions(panel)
    who = step.who
    within = _centred(np.column_stack([step.alliance, step.following]), who, panel.n_patients)
    across = np.bincount(who, within[:, 0] * within[:, 1], panel.n_patients)
    along = np.bincount(who, within[:, 0] ** 2, panel.n_patients)
    usable = (np.bincount(who, minlength=panel.n_patients) >= 3) & (along > 1e-12)
    return float((across[usable] / along[usable]).mean())


ESTIMATORS: dict[str, Callable[[Panel], float]] = {
    "pooled regression": pooled,
    "patient effects, no correction": fixed_effects,
    "same session, patient effects": same_session,
    "mean of patients' own slopes": slopes_by_patient,
}


def naive_bias(
    presets: Sequence[str] = tuple(PRESETS),
    *,
    seeds: int = 5,
    n_patients: int = 1000,
    n_sessions: int = 12,
    options: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Bias of each naive estimator of the average effect, over ``seeds`` clinics a preset.

    ``options`` change parts of every preset, as in `simulate_clinic`.

    Returns
    -------
    DataFrame
        preset, estimator, truth, estimate, bias (outcome points per alliance point), mc_error (of the bias), n_clinics.
    """
    rows = []
    for preset in presets:
        for seed in range(seeds):
            panel, truth = simulate_clinic(
                preset, n_patients=n_patients, n_sessions=n_sessions, random_state=seed, options=options
            )
            rows.extend((preset, name, truth.average_effect, run(panel)) for name, run in ESTIMATORS.items())
    table = pd.DataFrame(rows, columns=["preset", "estimator", "truth", "estimate"])
    table["bias"] = table["estimate"] - table["truth"]
    by = table.groupby(["preset", "estimator"], sort=False)
    out = by.mean()
    out["mc_error"] = by["bias"].sem()
    out["n_clinics"] = by.size()
    return out.reset_index()


def _trends(panel: Panel, who: NDArray[np.intp], log_session: Array) -> Array:
    """Log session, common and by every intake column; shape (n_rows, 1 + n_columns)."""
    return log_session[:, None] * np.column_stack([np.ones(len(who)), _intake(panel)[who]])


def _log_session(panel: Panel, rows: NDArray[np.intp]) -> Array:
    return np.log(np.maximum(panel.session[rows], 1).astype(float))


def _intake(panel: Panel) -> Array:
    """Numeric intake columns, standardised, missing values at the mean; shape (n_patients, n_columns)."""
    table = panel.patients.select_dtypes(["number", "bool"]).astype(float)
    spread = table.std().replace(0.0, 1.0).fillna(1.0)
    return ((table - table.mean()) / spread).fillna(0.0).to_numpy()


def _centred(table: Array, who: NDArray[np.intp], n_patients: int) -> Array:
    count = np.maximum(np.bincount(who, minlength=n_patients), 1)
    means = np.column_stack([np.bincount(who, column, n_patients) / count for column in table.T])
    return np.asarray(table - means[who])


def _first_coefficient(design: Array, outcome: Array) -> float:
    return float(np.linalg.lstsq(design, outcome, rcond=None)[0][0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    parser.add_argument("--seeds", type=int, default=5, help="clinics a preset (default 5)")
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=12, help="average planned length of a treatment")
    parser.add_argument("--csv", help="also write the table to this file")
    given = parser.parse_args()
    table = naive_bias(given.presets, seeds=given.seeds, n_patients=given.patients, n_sessions=given.sessions)
    if given.csv:
        table.to_csv(given.csv, index=False)
    print(table.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
