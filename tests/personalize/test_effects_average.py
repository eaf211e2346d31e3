"""Average effect: transitions, projections, adjusted scores; against brute force and known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel
from features.errors import NotEnoughData
from personalize.effects.adjusted import Errors, impulse
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.average import average_effect, run_pass
from personalize.effects.transitions import alliance_steps, lay_grid, outcome_steps
from personalize.effects.within import moments, projection
from personalize.simulate import simulate_clinic

NO_BASELINE = 0


def panel_of(rows: list[tuple[int, int, float, float]], timing: str = "after") -> Panel:
    frame = pd.DataFrame(rows, columns=["patient_id", "session", "outcome", "alliance"])
    return Panel(frame, columns=Columns(alliance="alliance"), timing=timing, better="low")


def empty(panel: Panel) -> np.ndarray:
    return np.zeros((panel.n_patients, NO_BASELINE))


def test_a_transition_pairs_the_next_outcome_with_this_rating() -> None:
    panel = panel_of([(1, 1, 10, 3), (1, 2, 8, 4), (1, 3, 7, 5)])
    steps = outcome_steps(lay_grid(panel), "after")
    assert steps.response.tolist() == [8, 7]
    assert steps.regressors.tolist() == [[10, 3], [8, 4]]


def test_an_alliance_rated_before_the_outcome_acts_on_its_own_row() -> None:
    panel = panel_of([(1, 1, 10, 3), (1, 2, 8, 4), (1, 3, 7, 5)], timing="before")
    steps = outcome_steps(lay_grid(panel), "before")
    assert steps.regressors.tolist() == [[10, 4], [8, 5]]
    back = alliance_steps(lay_grid(panel), "before")
    assert back.response.tolist() == [5]
    assert back.regressors.tolist() == [[4, 8, 10]]


def test_a_missed_session_breaks_the_chain() -> None:
    panel = panel_of([(1, 1, 10, 3), (1, 2, 9, 3), (1, 4, 8, 4), (1, 5, 7, 5), (1, 6, np.nan, 5), (1, 7, 5, 4)])
    steps = outcome_steps(lay_grid(panel), "after")
    assert steps.session.tolist() == [1, 4]


def test_sessions_two_apart_are_the_steps_of_a_fortnightly_clinic() -> None:
    panel = panel_of([(1, 1, 10, 3), (1, 3, 9, 3), (1, 5, 8, 4), (1, 6, 7, 4)])
    grid = lay_grid(panel)
    assert (grid.gap, grid.off_grid) == (2, 1)
    assert outcome_steps(grid, "after").response.tolist() == [9, 8]


def test_one_session_each_says_what_is_needed() -> None:
    with pytest.raises(NotEnoughData, match="no patient has two sessions"):
        lay_grid(panel_of([(1, 1, 10, 3), (2, 1, 8, 4)]))


@pytest.mark.parametrize(("detrend", "penalty"), [(False, 0.0), (True, 0.0), (True, 3.0)])
def test_projection_and_kernel_agree_with_plain_matrices(detrend: bool, penalty: float) -> None:
    clinic = simulate_clinic("harsh", n_patients=30, random_state=3)
    steps = outcome_steps(lay_grid(clinic.panel), "after").at_least(3)
    within = projection(steps, detrend=detrend, penalty=penalty)
    values = np.random.default_rng(0).normal(size=len(steps.patient))
    moved = within.transform(values)
    for k, who in enumerate(within.who):
        rows = steps.patient == who
        position = steps.position[rows]
        z = np.ones((rows.sum(), 1))
        p = z @ z.T / rows.sum()
        if detrend:
            axis = (position - position.mean())[:, None]
            p = p + axis @ axis.T / (axis.T @ axis + penalty)
        assert np.allclose(moved[rows], values[rows] - p @ values[rows])
        assert np.isclose(within.trace[k], rows.sum() - np.trace(p))
        for lag in range(within.kernel.shape[1]):
            later = position[:, None] - position[None, :] - 1 == lag
            assert np.isclose(within.kernel[k, lag], p[later].sum())


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clinic = simulate_clinic("linear", n_patients=60, random_state=1)
    steps = outcome_steps(lay_grid(clinic.panel), "after").at_least(3)
    x = np.random.default_rng(1).normal(size=(60, 3))
    whole = moments(steps, x, projection(steps, detrend=True))
    monkeypatch.setattr("personalize.effects.within.CHUNK_ROWS", 37)
    parts = moments(steps, x, projection(steps, detrend=True))
    assert np.allclose(whole.cross, parts.cross, rtol=1e-9, atol=1e-9)


def test_impulse_follows_the_two_equations() -> None:
    theta = np.array([0.4, -2.0, 0.5, -0.02, 0.01])
    outcome, alliance = impulse(theta, 2)
    assert np.allclose(outcome[0], [1.0, -0.02])
    y1 = 0.4 * 1.0 - 2.0 * -0.02
    assert np.allclose(outcome[1], [y1, 0.5 * -0.02 - 0.02 * y1 + 0.01 * 1.0])
    assert np.allclose(alliance[1], [-2.0, 0.5 - 0.02 * -2.0])


def test_expected_scores_are_those_of_simulation() -> None:
    """The adjusted score is zero on average at the truth, for every pattern of sessions, trends removed or not."""
    rng = np.random.default_rng(11)
    n, length = 60_000, 7
    theta = np.array([0.4, -2.0, 0.5, -0.03, 0.0])
    y, a = rng.normal(0, 6, (n, length)), np.zeros((n, length))
    for t in range(length):
        if t:
            y[:, t] = theta[0] * y[:, t - 1] + theta[1] * a[:, t - 1] + rng.normal(0, 5, n)
        a[:, t] = (theta[2] * a[:, t - 1] if t else 0) + theta[3] * y[:, t] + rng.normal(0, 0.4, n)
    who = np.repeat(np.arange(n), length)
    frame = pd.DataFrame(
        {
            "patient_id": who,
            "session": np.tile(np.arange(1, length + 1), n),
            "outcome": y.ravel(),
            "alliance": a.ravel(),
        }
    )
    panel = Panel(frame, columns=Columns(alliance="alliance"), better="low")
    for detrend in (False, True):
        found = run_pass(lay_grid(panel), "after", empty(panel), panel.clusters, Errors(), detrend=detrend).dynamics
        error = np.sqrt(np.diag(found.covariance))
        assert np.all(np.abs(found.theta - theta) < 4 * error), (detrend, found.theta, error)
        assert abs(found.uncorrected[1] - theta[1]) > 6 * np.sqrt(found.uncorrected_covariance[1, 1])


# Bias allowed over eight clinics of 600 patients: three Monte Carlo standard errors of about .07.
BIAS = 0.21


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("null", {}),
        ("constant", {"growth_sd": 8.0}),
        ("linear", {"feedback": -0.03}),
        ("constant", {"alliance_sem": 0.2, "outcome_sem": 3.0}),
    ],
)
def test_the_average_is_recovered(preset: str, options: dict[str, float]) -> None:
    errors = []
    for seed in range(8):
        clinic = simulate_clinic(preset, n_patients=600, random_state=seed, options=options)
        sem = Errors(options.get("alliance_sem", 0.0), options.get("outcome_sem", 0.0))
        found = average_effect(lay_grid(clinic.panel), "after", empty(clinic.panel), clinic.panel.clusters, sem)
        errors.append(found.estimate - clinic.truth.average_effect)
    assert abs(np.mean(errors)) < BIAS, errors


def test_without_the_lagged_outcome_persistence_is_zero() -> None:
    clinic = simulate_clinic("constant", n_patients=200, random_state=2)
    found = average_effect(
        lay_grid(clinic.panel), "after", empty(clinic.panel), clinic.panel.clusters, Errors(), lagged_outcome=False
    )
    assert found.pair[0] == 0.0
    assert found.covariance[0, 0] == 0.0


@pytest.mark.parametrize("n_sessions", [3, 4])
def test_series_that_say_nothing_of_feedback_leave_no_interval_without_width(n_sessions: int) -> None:
    """Rated before its outcome, three ratings hold two steps of the outcome and one of the alliance: too few for it."""
    options = {"timing": "before", "length_spread": 0.0}
    panel = simulate_clinic("nonlinear", n_patients=80, n_sessions=n_sessions, random_state=1, options=options).panel
    grid = AllianceEffect().fit(panel).sensitivity()
    known = grid[np.isfinite(grid["estimate"])]
    assert "adjusted score" in set(known["correction"])
    assert ((known["upper"] - known["lower"]) > 0.1).all()
