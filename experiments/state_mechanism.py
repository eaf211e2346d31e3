# ruff: noqa: E501, D400
"""Does state-like alliance come before symptom change within the patient?

Run ``python -m experiments.state_mechanism``; ``--help`` lists the options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import norm
from scipy.stats import t as student

from experiments.command import main
from experiments.dynamics import PanelDynamics, alliance_response, outcome_response, panel_dynamics
from experiments.figures import INK, PLACEBO, SOFT, canvas, intervals
from experiments.question import Question, experiment
from experiments.result import ExperimentResult, check_row, with_truth
from experiments.shuffle import shuffled_within
from features.errors import NotEnoughData
from personalize.effects import sensitivity
from personalize.effects.adjusted import Errors
from personalize.effects.average import average_effect
from personalize.effects.checks import within_sd
from personalize.effects.transitions import Floats
from personalize.mixed import within_between_model
from personalize.simulate import SimulatedClinic, Truth

LAGS = 3
LEVEL = 0.95
CLAIM = "State-like alliance comes before symptom change within the patient, and not only the other way round."
SCENARIOS: dict[str, dict[str, Any]] = {
    "true": {"preset": "nonlinear"},
    "no effect": {"preset": "null"},
    "no feedback": {"preset": "nonlinear", "options": {"feedback": 0.0}},
}


@experiment()
def run(asked: Question, *, level: float = LEVEL) -> ExperimentResult:
    """Does state-like alliance come before symptom change within the patient, and the other way round?

    Claim: change of the alliance within a patient's treatment precedes change of the symptoms (Zilcha-Mano & Fisher 2022,
    Nature Reviews Psychology 1, 194-210; Falkenstroem, Granstroem & Holmqvist 2013, Journal of Counseling Psychology 60,
    317-328). Estimands: what a rating 1 point above its expected course does to the first, second and third outcome
    after it, and an outcome 1 point above its course to the first three ratings after it, by the two equations of
    `personalize.effects.adjusted` (patient's own levels, time and baseline taken out, short-panel bias corrected).
    Assumptions: no unmeasured cause that varies within patients moves a rating and the next outcome; one lag suffices
    (the specification table adds others); all patients share memory
    and feedback, and numbers beyond the first step are those of a patient with the average effect.

    Falsification: alliance shuffled within patients must have no effect, and be found to have one at the nominal rate.
    """
    panel, process, outcome = asked.panel, asked.process, asked.outcome
    found = panel_dynamics(panel, asked.errors)
    table = lag_table(found, level)
    table["standardised"] = table["estimate"] * _scaling(asked, table["direction"])
    if asked.truth is not None:
        table = with_truth(table, true_lags(asked.truth))
    specifications = sensitivity.grid(panel, found.x, found.clusters, asked.errors, level)
    table = pd.concat([table, _specified(specifications, asked, level)], ignore_index=True)
    placebo = shuffled_effects(found, asked.errors, asked.repeats(20, 200), asked.random_state)
    check = _placebo_row(placebo, level, found.quantile(level), panel.n_patients)
    forward, reverse = table.iloc[0], table.iloc[LAGS]
    sentence = (
        f"Within patients, a rating of {process} one point above its expected course was followed by a change of "
        f"{forward['estimate']:.2f} points ({level:.0%} CI {forward['lower']:.2f} to {forward['upper']:.2f}) of {outcome} at the "
        f"next session; {outcome} one point above the expected course was followed by a change of {reverse['estimate']:.3f} points "
        f"({reverse['lower']:.3f} to {reverse['upper']:.3f}) of {process} at the next rating. "
        f"{_verdict(forward, reverse, process, outcome)}"
    )
    notes = _notes(found, specifications)
    figure = _figure(table, specifications, placebo, process, outcome)
    return ExperimentResult("state-mechanism", CLAIM, table, sentence, pd.DataFrame([check]), figure, tuple(notes))


def lag_table(found: PanelDynamics, level: float = LEVEL, lags: int = LAGS) -> pd.DataFrame:
    """Responses in both directions, one row a direction and lag."""
    q = found.quantile(level)
    rows = []
    for direction, of in (("process to outcome", outcome_response), ("outcome to process", alliance_response)):
        value, se = found.delta(lambda theta, of=of: of(theta, lags))  # type: ignore[misc]
        for k in range(lags):
            bounds = (value[k] - q * se[k], value[k] + q * se[k])
            rows.append(
                (
                    direction,
                    k + 1,
                    "two equations",
                    value[k],
                    *bounds,
                    2 * student.sf(abs(value[k]) / se[k], found.freedom),
                )
            )
    return pd.DataFrame(rows, columns=["direction", "lag", "specification", "estimate", "lower", "upper", "p_value"])


def true_lags(truth: Truth, lags: int = LAGS) -> list[float]:
    """The same responses in a simulated clinic, for a patient with the average effect."""
    o = truth.options
    theta = np.array([o.persistence, truth.average_effect, o.state_memory, truth.feedback, 0.0])
    return [*outcome_response(theta, lags), *alliance_response(theta, lags)]


def shuffled_effects(found: PanelDynamics, errors: Errors, n: int, seed: int) -> Floats:
    """Average effect and its standard error with the alliance shuffled within patients, n times; shape (n, 2)."""
    rng = np.random.default_rng(seed)
    panel = found.panel
    out = np.empty((n, 2))
    for k in range(n):
        drawn = shuffled_within(found.grid, rng)
        average = average_effect(drawn, panel.timing, found.x, found.clusters, errors)
        out[k] = average.estimate, np.sqrt(average.variance)
    return out


def _placebo_row(placebo: Floats, level: float, quantile: float, n: int) -> dict[str, object]:
    rejected = int((np.abs(placebo[:, 0]) > quantile * placebo[:, 1]).sum())
    half = 3.0 * placebo[:, 0].std(ddof=1) / np.sqrt(len(placebo))
    mean = float(placebo[:, 0].mean())
    # at the nominal rate so many rejections are seen in 99 of 100 runs
    most = int(np.ceil(len(placebo) * (1 - level) + 3 * np.sqrt(len(placebo) * level * (1 - level))))
    return check_row(
        f"alliance shuffled within patients, {len(placebo)} times ({rejected} found an effect)",
        "0",
        mean,
        mean - half,
        mean + half,
        passed=bool(abs(mean) <= half and rejected <= most),
        n=n,
    )


def _specified(specifications: pd.DataFrame, asked: Question, level: float) -> pd.DataFrame:
    """Rows of the specification curve and of the mixed model, in the shape of the main table."""
    rows = specifications[specifications["estimate"].notna()]
    words = (
        rows["centring"]
        + ", detrended: "
        + rows["detrend"]
        + ", correction: "
        + rows["correction"]
        + np.where(rows["lagged_outcome"], "", ", without lagged outcome")
    )
    out = pd.DataFrame(
        {
            "direction": "process to outcome",
            "lag": rows["lag"],
            "specification": words,
            "estimate": rows["estimate"],
            "lower": rows["lower"],
            "upper": rows["upper"],
        }
    )
    try:
        fit = within_between_model(asked.panel, slopes=("time", "alliance"), covariates=False)
    except NotEnoughData:
        return out
    own = fit.fixed.loc[f"{asked.process}_within"]
    half = norm.ppf(0.5 + level / 2) * own["se"]
    mixed = {
        "direction": "process to outcome",
        "lag": 1,
        "specification": "mixed model (within and between, random slopes)",
        "estimate": own["estimate"],
        "lower": own["estimate"] - half,
        "upper": own["estimate"] + half,
    }
    return pd.concat([out, pd.DataFrame([mixed])], ignore_index=True)


def _scaling(asked: Question, direction: pd.Series) -> Floats:
    """Within-patient SD of the cause over that of what it moves."""
    alliance = within_sd(asked.panel, asked.errors.alliance)
    outcome = within_sd(
        asked.panel.renamed(replace(asked.panel.columns, outcome=asked.process, alliance=asked.outcome)), 0
    )
    ratio = alliance / outcome if outcome else np.nan
    return np.where(direction == "process to outcome", ratio, 1 / ratio if ratio else np.nan)


def _verdict(forward: pd.Series, reverse: pd.Series, process: str, outcome: str) -> str:
    ahead = forward["lower"] > 0 or forward["upper"] < 0
    back = reverse["lower"] > 0 or reverse["upper"] < 0
    if ahead and back:
        return f"{process} and {outcome} moved each other."
    if ahead:
        return f"{process} came before change of {outcome}; the reverse was not shown."
    if back:
        return f"Change of {outcome} came before {process}; that {process} comes first was not shown."
    return "Neither direction was shown."


def _notes(found: PanelDynamics, specifications: pd.DataFrame) -> list[str]:
    rows = specifications["estimate"].dropna()
    notes = [
        f"{len(rows)} specifications range from {rows.min():.2f} to {rows.max():.2f}; the default is the adjusted score.",
        "A confounder that moves alliance and outcome together within a patient would look like an effect.",
    ]
    if not found.average.corrected:
        notes.append(
            "Series are too short for the short-panel correction; intervals are widened by what it would change."
        )
    return notes


def _figure(table: pd.DataFrame, specifications: pd.DataFrame, placebo: Floats, process: str, outcome: str) -> Figure:
    figure, (left, middle, right) = canvas(3, width=4.4)
    for ax, start, words in ((left, 0, f"{process} → {outcome}"), (middle, LAGS, f"{outcome} → {process}")):
        part = table.iloc[start : start + LAGS]
        truth = part["truth"].tolist() if "truth" in part else None
        labels = [f"{k} later" for k in part["lag"]]
        intervals(ax, labels, part["estimate"].tolist(), part["lower"].tolist(), part["upper"].tolist(), truth=truth)
        ax.set_title(words, fontsize=9)
    _specification_curve(right, specifications, placebo)
    return figure


def _specification_curve(ax: Any, specifications: pd.DataFrame, placebo: Floats) -> None:
    rows = specifications[specifications["estimate"].notna()].sort_values("estimate")
    at: Sequence[int] = range(len(rows))
    for k, (_, row) in zip(at, rows.iterrows(), strict=True):
        colour = INK if row["default"] else SOFT
        ax.plot([k, k], [row["lower"], row["upper"]], color=colour, lw=1.2)
        ax.plot([k], [row["estimate"]], "o", color=colour, ms=3.5)
    ax.plot(
        np.linspace(0, len(rows) - 1, len(placebo)), np.sort(placebo[:, 0]), ".", color=PLACEBO, ms=4, label="shuffled"
    )
    ax.axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
    ax.set_xticks([])
    ax.set_title("Every specification (dark: default)", fontsize=9)
    ax.legend(frameon=False, fontsize=8)


def trial(clinic: SimulatedClinic, seed: int) -> list[dict[str, Any]]:
    """One simulated clinic of the calibration: estimates, intervals, truth; and one placebo."""
    found = panel_dynamics(clinic.panel)
    rows = with_truth(lag_table(found), true_lags(clinic.truth))
    rows["quantity"] = rows["direction"] + ", lag " + rows["lag"].astype(str)
    out = rows[["quantity", "estimate", "lower", "upper", "truth"]].to_dict("records")
    value, se = shuffled_effects(found, Errors(), 1, seed)[0]
    half = found.quantile(LEVEL) * se
    placebo = {
        "quantity": "placebo: shuffled",
        "estimate": value,
        "lower": value - half,
        "upper": value + half,
        "truth": 0.0,
    }
    return [*out, placebo]


if __name__ == "__main__":
    raise SystemExit(main(run))
