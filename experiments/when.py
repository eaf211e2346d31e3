# ruff: noqa: E501, D400
"""When does change in alliance matter? By phase, by the state of things at the session, and for how long.

Run ``python -m experiments.when``; ``--help`` lists the options.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.command import main
from experiments.conditional import Estimate, condition_effect, phase_windows, window_effect, window_grid
from experiments.conditions import conditions
from experiments.dynamics import PanelDynamics, held_response, outcome_response, panel_dynamics, whole_system
from experiments.figures import canvas, curves, intervals
from experiments.null_courses import null_courses
from experiments.question import Question, experiment
from experiments.result import ExperimentResult, check_row, with_truth
from experiments.shuffle import shuffled_within
from features.errors import NotEnoughData
from personalize.effects.adjusted import Errors
from personalize.effects.average import average_effect
from personalize.simulate import SimulatedClinic, Truth

LEVEL = 0.95
PHASES = ("early", "late")
HORIZON = 8
CLAIM = "State-like alliance does not matter the same throughout treatment: phase and condition decide when."
SCENARIOS: dict[str, dict[str, Any]] = {
    "effect grows": {"preset": "nonlinear", "options": {"phase_change": -2.0}},
    "always the same": {"preset": "nonlinear"},
}


@experiment(options={"phase_change": -2.0})
def run(asked: Question, *, level: float = LEVEL) -> ExperimentResult:
    """When does change in alliance matter: early or late, at high symptoms, after a rupture; and how long does it last?

    Claim: the effect of state-like alliance differs over the course of treatment (Zilcha-Mano & Fisher 2022, Nature Reviews
    Psychology 1, 194-210). Estimands: the average effect on the next outcome in the first and in the second half of the
    sessions that half of the patients reach, and their difference (each window with its own patient levels, persistence
    and short-panel correction those of the whole panel; shared errors of therapists enter the difference only once);
    the change of the effect per within-patient SD of the symptoms before the rating, and after a rupture in the last
    three ratings before it (past-only detector), less what the same estimator finds in simulated courses like these in which
    no condition changes it (`experiments.null_courses`); the course of the response to one better rating; and of the response
    to alliance held 1 point higher. Windows are session numbers, not shares of a treatment's length, which is known
    only at its end. Assumptions: as `state_mechanism`; who is still in treatment later differs from who began, so a
    difference of phases is of sessions and of those who attend them.

    Falsification: alliance shuffled within patients must show no difference between phases.
    """
    found = panel_dynamics(asked.panel, asked.errors)
    windows = phase_windows(found.grid, asked.panel.timing, len(PHASES))
    table = phase_table(found, windows, asked.errors, level)
    draws, notes = asked.repeats(20, 100), []
    try:
        by_condition = condition_table(found, asked.errors, level, draws=draws, seed=asked.random_state)
    except NotEnoughData as reason:
        by_condition = pd.DataFrame()
        notes.append(f"By condition nothing is said: {reason}")
    table = pd.concat([table, by_condition, _lasting(found, level)], ignore_index=True)
    if asked.truth is not None:
        table = with_truth(table, _truths(table, asked.truth, found, windows))
    check = _placebo(found, windows, asked, level)
    notes += [
        f"{phase}: sessions {a + 1} to {b}, counted on the usual gap."
        for phase, (a, b) in zip(PHASES, windows, strict=True)
    ]
    notes.append("Rows beyond the first response are those of a patient with the average effect.")
    sentence = _sentence(table, asked, level)
    return ExperimentResult("when", CLAIM, table, sentence, pd.DataFrame([check]), _figure(table, asked), tuple(notes))


def phase_table(found: PanelDynamics, windows: list[tuple[int, int]], errors: Errors, level: float) -> pd.DataFrame:
    """Effect in each window and the difference of the last and the first.

    Raises
    ------
    NotEnoughData
        When a window has fewer than 20 patients with two steps in it.
    """
    parts = []
    for start, stop in windows:
        one = window_effect(found, window_grid(found.grid, start, stop), errors) if stop - start >= 3 else None
        if one is None:
            raise NotEnoughData(
                f"{found.panel.names['sessions']}: sessions {start + 1} to {stop} hold too few patients with two consecutive "
                "steps; phases need treatments of 6 sessions or more, at least 20 of them."
            )
        parts.append(one)
    rows = [_row(found, f"effect, {phase}", one, level) for phase, one in zip(PHASES, parts, strict=True)]
    rows.append(_row(found, f"effect, {PHASES[-1]} minus {PHASES[0]}", parts[-1].minus(parts[0]), level))
    return pd.DataFrame(rows)


def _row(found: PanelDynamics, quantity: str, one: Estimate, level: float) -> dict[str, Any]:
    half = found.quantile(level) * one.se
    bounds = {"lower": one.value - half, "upper": one.value + half, "n": one.n_patients}
    return {"quantity": quantity, "estimate": one.value, **bounds}


def condition_table(found: PanelDynamics, errors: Errors, level: float, *, draws: int, seed: int) -> pd.DataFrame:
    """Change of the effect by each condition, what the estimator finds where nothing changes taken off.

    Raises
    ------
    NotEnoughData
        As `null_courses`.
    """
    timing, better = found.panel.timing, _better(found)
    raw = {
        name: condition_effect(found, found.grid, values)
        for name, values in conditions(found.grid, timing, better=better).items()
    }
    courses, rng = null_courses(found, errors), np.random.default_rng(seed)
    nothing: dict[str, list[float]] = {name: [] for name in raw}
    for _ in range(draws):
        grid = courses.draw(rng)
        for name, values in conditions(grid, timing, better=better).items():
            if (one := condition_effect(found, grid, values)) is not None:
                nothing[name].append(one.value)
    return pd.DataFrame(
        [
            _row(found, f"change of the effect: {name}", one.less_bias(np.array(nothing[name])), level)
            for name, one in raw.items()
            if one is not None and len(nothing[name]) > 1
        ]
    )


def _better(found: PanelDynamics) -> str:
    known = found.panel.measures.get(found.panel.columns.alliance)
    return "high" if known is None else str(known.better)


def _lasting(found: PanelDynamics, level: float) -> pd.DataFrame:
    rows = []
    q = found.quantile(level)
    for words, of in (("after one rating 1 point higher", outcome_response), ("held 1 point higher", held_response)):
        value, se = found.delta(lambda theta, of=of: of(theta, HORIZON))  # type: ignore[misc]
        for k in range(HORIZON):
            bounds = {"estimate": value[k], "lower": value[k] - q * se[k], "upper": value[k] + q * se[k]}
            rows.append({"quantity": f"response, {words}, outcome {k + 1}", **bounds, "n": found.panel.n_patients})
    return pd.DataFrame(rows)


def true_phases(truth: Truth, found: PanelDynamics, windows: list[tuple[int, int]]) -> list[float]:
    """Mean true effect over the transitions of each window, and the difference."""
    panel = found.panel
    laid = np.full(found.grid.outcome.shape, np.nan)
    step = (panel.session - panel.session[panel.offsets[:-1]][panel.patient_index]) // found.grid.gap
    laid[panel.patient_index, step] = truth.sessions["effect"].to_numpy()
    out = []
    for start, stop in windows:
        part = window_grid(found.grid, start, stop)
        known = (
            np.isfinite(part.outcome[:, :-1]) & np.isfinite(part.outcome[:, 1:]) & np.isfinite(part.alliance[:, :-1])
        )
        known &= (known.sum(axis=1) >= 2)[:, None]
        out.append(float(laid[:, start : stop - 1][known].mean()))
    return [*out, out[-1] - out[0]]


def _truths(table: pd.DataFrame, truth: Truth, found: PanelDynamics, windows: list[tuple[int, int]]) -> list[float]:
    o = truth.options
    theta = np.array([o.persistence, truth.average_effect, o.state_memory, truth.feedback, 0.0])
    known = dict(zip(table["quantity"][:3], true_phases(truth, found, windows), strict=True))
    known |= {q: 0.0 for q in table["quantity"] if q.startswith("change of the effect")}
    if not o.phase_change:
        lasting = [*outcome_response(theta, HORIZON), *held_response(theta, HORIZON)]
        known |= dict(zip(table["quantity"].iloc[-2 * HORIZON :], lasting, strict=True))
    return [known.get(q, np.nan) for q in table["quantity"]]


def shuffled_gap(
    found: PanelDynamics, windows: list[tuple[int, int]], rng: np.random.Generator, level: float
) -> pd.Series:
    """Late minus early with the alliance shuffled within patients; persistence and feedback learned on the shuffled data."""
    grid = shuffled_within(found.grid, rng)
    average = average_effect(grid, found.panel.timing, found.x, found.clusters, Errors())
    theta, influence, covariance = whole_system(average)
    again = replace(found, grid=grid, average=average, theta=theta, influence=influence, covariance=covariance)
    return phase_table(again, windows, Errors(), level).iloc[-1]


def _placebo(found: PanelDynamics, windows: list[tuple[int, int]], asked: Question, level: float) -> dict[str, object]:
    rng = np.random.default_rng(asked.random_state)
    n = asked.repeats(20, 200)
    rows = [shuffled_gap(found, windows, rng, level) for _ in range(n)]
    value = np.array([row["estimate"] for row in rows])
    wrong = sum(row["lower"] > 0 or row["upper"] < 0 for row in rows)
    half = 3 * float(value.std(ddof=1)) / np.sqrt(n)
    most = int(np.ceil(n * (1 - level) + 3 * np.sqrt(n * level * (1 - level))))
    return check_row(
        f"alliance shuffled within patients {n} times: late minus early ({wrong} found one)",
        "0",
        float(value.mean()),
        float(value.mean()) - half,
        float(value.mean()) + half,
        passed=abs(float(value.mean())) <= half and wrong <= most,
        n=found.panel.n_patients,
    )


def _sentence(table: pd.DataFrame, asked: Question, level: float) -> str:
    early, late, gap = (table.iloc[k] for k in range(3))
    clear = gap["lower"] > 0 or gap["upper"] < 0
    held = table[table["quantity"].str.startswith("response, held")].iloc[-1]
    verdict = "The effect changed over treatment" if clear else "That the effect changes over treatment was not shown"
    return (
        f"{verdict}: one point more {asked.process} was followed by {early['estimate']:.2f} points of {asked.outcome} early and "
        f"{late['estimate']:.2f} late (difference {gap['estimate']:.2f}, {level:.0%} CI {gap['lower']:.2f} to {gap['upper']:.2f}). "
        f"{asked.process} held one point higher for {HORIZON} sessions would add up to {held['estimate']:.2f} points "
        f"({held['lower']:.2f} to {held['upper']:.2f})."
    )


def _figure(table: pd.DataFrame, asked: Question) -> Figure:
    figure, (left, right) = canvas(2)
    rows = table[~table["quantity"].str.startswith("response")]
    truth = rows["truth"].tolist() if "truth" in rows else None
    labels = [q.replace("change of the effect: ", "change per:\n") for q in rows["quantity"]]
    intervals(left, labels, rows["estimate"].tolist(), rows["lower"].tolist(), rows["upper"].tolist(), truth=truth)
    left.set_title(f"{asked.outcome} points per point of {asked.process}", fontsize=9)
    series = {}
    for words in ("after one rating 1 point higher", "held 1 point higher"):
        part = table[table["quantity"].str.startswith(f"response, {words}")]
        series[words] = [part[c].tolist() for c in ("estimate", "lower", "upper")]
    curves(right, list(range(1, HORIZON + 1)), series)
    right.set_xlabel("sessions later")
    right.set_title(f"What follows in {asked.outcome}", fontsize=9)
    return figure


def trial(clinic: SimulatedClinic, seed: int) -> list[dict[str, Any]]:
    """One simulated clinic of the calibration."""
    found = panel_dynamics(clinic.panel)
    windows = phase_windows(found.grid, clinic.panel.timing, len(PHASES))
    by_condition = condition_table(found, Errors(), LEVEL, draws=10, seed=seed)
    table = pd.concat([phase_table(found, windows, Errors(), LEVEL), by_condition], ignore_index=True)
    truth = [*true_phases(clinic.truth, found, windows), *([0.0] * (len(table) - 3))]
    placebo = shuffled_gap(found, windows, np.random.default_rng(seed), LEVEL).to_frame().T
    shuffled = placebo.assign(quantity="placebo: shuffled, late minus early", truth=0.0)
    table = pd.concat([with_truth(table, truth), shuffled], ignore_index=True)
    return table[["quantity", "estimate", "lower", "upper", "truth"]].to_dict("records")


if __name__ == "__main__":
    raise SystemExit(main(run))
