"""The average of own slopes: its influences by leaving out and by nudging, and less error than the two passes have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from personalize.effects.adjusted import BETA, RHO, Dynamics, Errors
from personalize.effects.average import Average, average_effect, combine_dynamics
from personalize.effects.first_stage import first_stage
from personalize.effects.growth import slope_moments
from personalize.effects.intake import intake_matrix
from personalize.effects.own_slopes import OwnSlopes, own_slopes
from personalize.effects.slope_average import average_of_slopes
from personalize.effects.transitions import lay_grid, outcome_steps
from personalize.effects.within import Moments, projection
from personalize.simulate import SimulatedClinic, simulate_clinic

ERRORS = Errors(0.2, 2.0)


def parts(clinic: SimulatedClinic, errors: Errors = ERRORS) -> tuple[Average, Moments, OwnSlopes, Dynamics]:
    """What `first_stage` has in hand before own slopes are centred."""
    panel = clinic.panel
    grid, intake = lay_grid(panel), intake_matrix(panel)
    average = average_effect(grid, panel.timing, intake, panel.clusters, errors)
    dynamics = combine_dynamics(average)
    steps = outcome_steps(grid, panel.timing).at_least(2)
    m = slope_moments(steps, intake, projection(steps, detrend=True, penalty=8.0))
    return average, m, own_slopes(m, dynamics, errors, corrected=average.corrected), dynamics


@pytest.fixture(scope="module")
def harsh() -> SimulatedClinic:
    return simulate_clinic("harsh", n_patients=300, random_state=60)


def weighted_mean(slopes: OwnSlopes, keep: np.ndarray) -> float:
    known = np.isfinite(slopes.variance) & keep
    return float(np.average(slopes.slope[known], weights=slopes.spread[known]))


def test_it_is_the_mean_of_own_slopes_weighed_by_movement(harsh: SimulatedClinic) -> None:
    average, m, slopes, dynamics = parts(harsh)
    found = average_of_slopes(average, m, slopes, dynamics, harsh.panel.clusters)
    assert found.estimate == pytest.approx(weighted_mean(slopes, np.ones(len(slopes.who), dtype=bool)), rel=1e-12)
    assert found.pair[0] == average.pair[0], "persistence stays that of the two passes"


def test_its_variance_is_that_of_leaving_therapists_out_and_of_the_dynamics(harsh: SimulatedClinic) -> None:
    """Sampling: each therapist left out, literally. Dynamics: the whole of `own_slopes` again with ρ, β, … nudged."""
    average, m, slopes, dynamics = parts(harsh)
    found = average_of_slopes(average, m, slopes, dynamics, harsh.panel.clusters)
    cluster, n = harsh.panel.clusters[slopes.who], int(harsh.panel.clusters.max()) + 1
    assert average.removed is not None
    w, removed = average.weight_kept, average.removed.dynamics
    influence = w * average.kept.dynamics.influence + (1 - w) * removed.influence
    gradient = np.zeros(5)
    for k in np.flatnonzero(influence.any(axis=0)):
        nudge = np.zeros(5)
        nudge[k] = 0.02 * np.sqrt(influence[:, k] @ influence[:, k])
        ends = [
            weighted_mean(own_slopes(m, replace(dynamics, theta=dynamics.theta + s * nudge), ERRORS), cluster >= 0)
            for s in (1, -1)
        ]
        gradient[k] = (ends[0] - ends[1]) / (2 * nudge[k])
    assert abs(gradient[RHO]) > 0 and abs(gradient[BETA]) > 0
    per = np.array([found.estimate - weighted_mean(slopes, cluster != c) for c in range(n)]) + influence @ gradient
    apart = gradient @ (average.kept.dynamics.theta - removed.theta)
    assert found.variance == pytest.approx(per @ per + w * (1 - w) * apart**2, rel=1e-3)


@pytest.mark.parametrize("sessions", [5, 12])
def test_it_errs_less_than_the_two_passes(sessions: int) -> None:
    """Twenty small clinics: mean square error below that of the passes combined, and a standard error that says so.

    On tuning clinics (seeds 500 to 619, 300 patients) the ratio of root mean squares is .85 at six sessions and .90 at
    twelve; 20 paired clinics have a standard error of about .05.
    """
    before, after, se = [], [], []
    for seed in range(20):
        clinic = simulate_clinic("nonlinear", n_patients=300, n_sessions=sessions, random_state=700 + seed)
        average = first_stage(clinic.panel, Errors()).average
        before.append(combine_dynamics(average).theta[BETA] - clinic.truth.average_effect)
        after.append(average.estimate - clinic.truth.average_effect)
        se.append(np.sqrt(average.variance))
    assert np.mean(np.square(after)) < np.mean(np.square(before))
    # the SD of 20 errors has a relative standard error of .16; the mean standard error is right, or on the careful side
    assert 0.7 < np.mean(se) / np.std(after) < 1.8


def test_series_too_short_to_correct_keep_the_average_of_the_pass() -> None:
    clinic = simulate_clinic("nonlinear", n_patients=200, n_sessions=4, random_state=3)
    average, m, slopes, dynamics = parts(clinic, Errors())
    assert not average.corrected
    assert average_of_slopes(average, m, slopes, dynamics, clinic.panel.clusters) is average


def test_a_correction_without_solution_keeps_the_average_of_the_pass(harsh: SimulatedClinic) -> None:
    average, m, slopes, dynamics = parts(harsh)
    astray = replace(average, kept=replace(average.kept, dynamics=replace(average.kept.dynamics, converged=False)))
    assert average_of_slopes(astray, m, slopes, dynamics, harsh.panel.clusters) is astray
