"""Own slopes: what is said of their variance and of their spread, held against simulated truth and plain algebra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from personalize.effects import validation
from personalize.effects.adjusted import Errors
from personalize.effects.first_stage import FirstStage, first_stage
from personalize.effects.own_slopes import OwnSlopes, autocovariance, feedback_variance, largest_heterogeneity
from personalize.effects.shrinkage import unevenness
from personalize.effects.transitions import Transitions
from personalize.effects.within import Moments, projection
from personalize.simulate import simulate_clinic

# mean of four clinics of 600 patients: SD of each clinic's mean square about .05, so .025 for the mean; four of these
TOLERANCE = 0.10


@pytest.fixture(scope="module")
def null_stages() -> list[FirstStage]:
    return [
        first_stage(simulate_clinic("null", n_patients=600, random_state=seed).panel, Errors())
        for seed in range(40, 44)
    ]


def test_the_variance_of_own_slopes_is_the_one_they_have(null_stages: list[FirstStage]) -> None:
    """Where nothing varies own slopes differ by their sampling error alone."""
    ratios = []
    for stage in null_stages:
        b, v, spread = (getattr(stage.slopes, n)[stage.known] for n in ("slope", "variance", "spread"))
        ratios.append(np.average((b - np.average(b, weights=1 / v)) ** 2 / v, weights=spread))
    assert np.mean(ratios) == pytest.approx(1.0, abs=TOLERANCE)


def test_feedback_is_in_the_variance_of_own_slopes() -> None:
    """With strong feedback variances are 15 % off if it is left out; SD of one clinic's ratio .03, .015 for four."""
    ratios = []
    for seed in range(4):
        clinic = simulate_clinic("null", n_patients=2000, random_state=seed, options={"feedback": -0.08})
        stage = first_stage(clinic.panel, Errors())
        b, v = stage.slopes.slope[stage.known], stage.slopes.variance[stage.known]
        ratios.append(np.average((b - np.average(b, weights=1 / v)) ** 2 / v, weights=1 / v))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.06)


def test_what_feedback_adds_to_the_variance_is_the_trace(null_stages: list[FirstStage]) -> None:
    """Three patients, one with gaps, trends half taken out: the matrices written out, element by element."""
    seen = {0: [0, 1, 2, 3, 4], 1: [0, 1, 4, 5], 2: [0, 1, 2, 3, 4, 5, 6, 7]}
    patient = np.concatenate([np.full(len(v), k) for k, v in seen.items()])
    position = np.concatenate(list(seen.values()))
    rows, wide = len(patient), np.zeros((len(patient), 0))
    steps = Transitions(patient, position, position + 1.0, np.zeros(rows), np.zeros((rows, 2)), wide, 3)
    within = projection(steps, detrend=True, penalty=4.0)
    m = Moments(np.zeros((3, 3, 3)), np.zeros((rows, 3)), position, within, 0)
    dynamics = replace(null_stages[0].dynamics, theta=np.array([0.4, -2.0, 0.3, -0.05, 0.01]), noise=25.0)
    step = np.array([[0.4, -2.0], [-0.05 * 0.4 + 0.01, -0.05 * -2.0 + 0.3]])
    for k, told in enumerate(feedback_variance(m, dynamics)):
        where = np.array(seen[k])
        axis = where - where.mean()
        keep = np.eye(len(where)) - 1 / len(where) - np.outer(axis, axis) / (axis @ axis + 4.0)
        moved = np.zeros_like(keep)
        for i, t in enumerate(where):
            for j, s in enumerate(where):
                if s < t:  # the error that ends transition s, seen in the alliance at the start of transition t
                    moved[i, j] = (np.linalg.matrix_power(step, t - s - 1) @ [1.0, -0.05])[1]
        assert told == pytest.approx(25.0**2 * np.trace(keep @ moved @ keep @ moved), rel=1e-10)


def test_autocovariances_are_those_of_the_equations(null_stages: list[FirstStage]) -> None:
    dynamics = replace(
        null_stages[0].dynamics, theta=np.array([0.4, -2.0, 0.3, -0.02, 0.01]), noise=25.0, alliance_noise=0.2
    )
    told = autocovariance(dynamics, 2)
    assert told is not None
    rng = np.random.default_rng(0)
    n = 400_000
    e, eta = 5.0 * rng.standard_normal(n), np.sqrt(0.2) * rng.standard_normal(n)
    y, a = np.zeros(n), np.zeros(n)
    for t in range(1, n):
        y[t] = 0.4 * y[t - 1] - 2.0 * a[t - 1] + e[t]
        a[t] = 0.3 * a[t - 1] - 0.02 * y[t] + 0.01 * y[t - 1] + eta[t]
    z = np.stack([y, a])
    scale = np.sqrt(np.outer(np.diag(told[0]), np.diag(told[0])))
    for lag in range(3):
        seen = z[:, lag:] @ z[:, : n - lag].T / (n - lag)
        np.testing.assert_allclose(seen / scale, told[lag] / scale, atol=0.01)  # 1/sqrt(n) = .0016, with memory


def test_dynamics_that_are_not_stationary_have_none(null_stages: list[FirstStage]) -> None:
    assert autocovariance(replace(null_stages[0].dynamics, theta=np.array([1.1, 0, 0, 0, 0])), 2) is None


def test_the_largest_difference_not_excluded_is_where_q_falls_to_its_quantile() -> None:
    rng = np.random.default_rng(3)
    v = rng.uniform(1.0, 4.0, 200)
    b = 2.0 * rng.standard_normal(200) + np.sqrt(v) * rng.standard_normal(200)
    slopes = OwnSlopes(np.arange(200), b, v, 1 / v, np.ones(200), 1.0, 1.0, np.inf)
    limit = largest_heterogeneity(slopes)
    w = 1 / (v + limit**2)
    assert w @ (b - w @ b / w.sum()) ** 2 == pytest.approx(chi2.ppf(0.05, 199), rel=1e-4)
    assert limit > 2.0
    assert np.isnan(largest_heterogeneity(replace(slopes, variance=np.full(200, np.inf))))
    alike = replace(slopes, slope=np.zeros(200))
    assert largest_heterogeneity(alike) == 0.0


def test_unexplained_differences_grow_away_from_the_middle() -> None:
    tau = np.array([-3.0, -1.0, 0.0, 1.0, 3.0, 9.0])
    known = np.array([True] * 5 + [False])
    share = unevenness(tau, known)
    assert share[known].mean() == pytest.approx(1.0)
    assert share[0] == share[4] > share[1] == share[3] > share[2] > 0
    np.testing.assert_array_equal(unevenness(np.zeros(6), known), np.ones(6))


def test_validation_doubts_a_ranking_that_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    tau, cluster = rng.standard_normal(400), np.repeat(np.arange(40), 10)

    def width(scores: np.ndarray, doubt: float) -> float:
        monkeypatch.setattr(validation, "DOUBT", doubt)
        table = validation.validation_table(
            scores, tau, cluster, fold=cluster // 4, benefit_sign=-1.0, level=0.9, seed=0
        )
        row = table.set_index("statistic").loc["gates_difference"]
        return float(row["upper"] - row["lower"])

    noise = 3.0 * rng.standard_normal(400)
    told = 2.0 * tau + 0.5 * noise  # first minus last fifth many standard errors from zero
    noise = noise - np.polyval(np.polyfit(tau, noise, 5), tau)  # and here near zero
    assert width(noise, 6.0) == pytest.approx(np.sqrt(2.0) * width(noise, 0.0))
    assert 1.0 < width(told, 6.0) / width(told, 0.0) < 1.03
