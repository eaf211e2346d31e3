"""The parts of a forecast against plain slow versions: landmarks, grid, folds, filter, weights, regression."""

from __future__ import annotations

import numpy as np
import pytest

from features import Columns, Panel
from features.windows import Layout
from personalize.trajectories import stack as stack_module
from personalize.trajectories.clock import Clock
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.grid import Grid
from personalize.trajectories.landmarks import all_landmarks, ends, observed_targets
from personalize.trajectories.members.direct import learn_direct
from personalize.trajectories.members.growth_fit import fit_growth
from personalize.trajectories.members.kalman import Variances, ahead, course_filter
from personalize.trajectories.members.member import Training
from personalize.trajectories.query import Folds
from personalize.trajectories.registry import usual_members
from personalize.trajectories.stack import fit_stack, simplex
from tests.personalize.forecasting import clinic, fitted, toy, toy_tables


def test_targets_are_every_later_outcome_from_every_landmark_and_every_last():
    panel = clinic(40, 1)
    clock = Clock.of(panel)
    landmarks = all_landmarks(panel, clock)
    targets = observed_targets(landmarks, clock)
    slow = set()
    for i in range(panel.n_patients):
        rows = range(panel.offsets[i], panel.offsets[i + 1])
        known = [r for r in rows if np.isfinite(panel.outcome[r])]
        for seen in range(len(rows)):
            later = [r for r in known if r >= rows[0] + seen]
            slow |= {(i, seen, r, False) for r in later}
            if later:
                slow.add((i, seen, known[-1], True))
    who, seen = landmarks.patient[targets.landmark], landmarks.seen[targets.landmark]
    fast = list(zip(who.tolist(), seen.tolist(), targets.row.tolist(), targets.last.tolist(), strict=True))
    assert len(fast) == len(set(fast)) and set(fast) == slow
    gap = targets.gap[~targets.last]
    session = panel.session[targets.row[~targets.last]] - landmarks.session[targets.landmark[~targets.last]]
    np.testing.assert_array_equal(gap, session / clock.interval)


def test_the_end_of_a_history_is_its_last_landmark():
    panel = toy(20)
    clock = Clock.of(panel)
    whole, end = all_landmarks(panel, clock), ends(panel, clock)
    final = np.searchsorted(whole.patient, np.arange(20), side="right") - 1
    for name in ("patient", "seen", "row", "time", "session"):
        np.testing.assert_array_equal(getattr(whole, name)[final], getattr(end, name))


def test_grid_weights_add_up_and_interpolate_linear_functions_exactly():
    grid = Grid((0.0, 1.0, 3.0, 8.0), (1.0, 2.0, 6.0))
    rng = np.random.default_rng(0)
    seen, gap = rng.integers(0, 9, 200), rng.uniform(1, 6, 200)
    gap[::7] = np.nan
    placed = grid.place(seen, gap)
    np.testing.assert_allclose(placed.weight.sum(axis=1), 1)
    landmark, far = grid.coordinates()
    np.testing.assert_allclose(placed.mix(landmark), np.log1p(seen))
    known = ~np.isnan(gap)
    np.testing.assert_allclose(placed.take(known).mix(np.where(np.isnan(far), 9e9, far)), np.log(gap[known]))
    last = np.isnan(far)[placed.node] | (placed.weight == 0)
    assert last[~known].all(), "a last session belongs to the nodes of last sessions alone"
    beyond = grid.place(np.array([50]), np.array([99.0]))
    assert beyond.mix(landmark)[0] == pytest.approx(np.log1p(8)) and beyond.mix(np.nan_to_num(far))[0] == np.log(6)


@pytest.mark.parametrize("sizes", [[1] * 103, [5, 5, 4, 9, 1, 1, 30, 2, 2, 2], [200, 1, 1]])
def test_folds_keep_clusters_together_and_are_level(sizes):
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    folds = Folds.by_cluster(clusters, 5, np.random.default_rng(0))
    assert folds.count == min(5, len(sizes))
    for cluster in np.unique(clusters):
        assert len(np.unique(folds.of_patient[clusters == cluster])) == 1
    load = np.bincount(folds.of_patient, minlength=folds.count)
    assert load.min() > 0
    assert load.max() - load.min() <= max(sizes)


def test_the_filter_is_the_conditional_normal_distribution():
    """Forecast mean and variance from the dense covariance matrix, one patient with a gap and a missing outcome."""
    v = Variances(level=3.0, trend=1.2, correlation=-0.3, drift=2.0, rate=0.4, noise=1.5)
    time = np.array([0.0, 1.0, 2.0, 5.0])
    outcome = np.array([1.0, -2.0, np.nan, 4.0])
    g, target, g_target = np.log1p(time), 7.5, np.log1p(7.5)
    seen = np.isfinite(outcome)
    layout = Layout.of(np.array([0, 4]))
    done = course_filter(np.nan_to_num(outcome)[None], g, time, seen, layout, v)
    mean, variance = ahead(
        done.mean[:, :, -1:], done.covariance[:, -1:], np.array([g_target]), np.array([target - 5.0]), v
    )
    when, trend = np.append(time[seen], target), np.append(g[seen], g_target)
    cross = v.level * v.trend * v.correlation
    full = v.level**2 + cross * (trend[:, None] + trend) + v.trend**2 * np.outer(trend, trend)
    full += v.drift**2 * np.exp(-v.rate * np.abs(when[:, None] - when)) + v.noise**2 * np.eye(4)
    weights = np.linalg.solve(full[:3, :3], full[:3, 3])
    assert mean[0, 0] == pytest.approx(weights @ outcome[seen])
    assert variance[0] == pytest.approx(full[3, 3] - weights @ full[:3, 3])
    quadratic = outcome[seen] @ np.linalg.solve(full[:3, :3], outcome[seen])
    assert (done.innovation**2).sum() == pytest.approx(quadratic)
    assert done.log_variance == pytest.approx(np.linalg.slogdet(full[:3, :3])[1])


def test_the_growth_fit_recovers_its_own_process():
    """Each SD within a quarter of the truth, 600 patients; drift and noise are hard to tell apart, so their sum too."""
    rng = np.random.default_rng(1)
    panel = clinic(600, 5, "linear")
    truth = Variances(level=6.0, trend=1.5, correlation=0.2, drift=4.0, rate=0.5, noise=2.5)
    time = panel.time - 1
    outcome = np.empty(panel.n_sessions)
    root = np.linalg.cholesky([[36.0, 1.8], [1.8, 2.25]])
    for i in range(panel.n_patients):
        rows = slice(panel.offsets[i], panel.offsets[i + 1])
        t = time[rows]
        b = root @ rng.normal(size=2)
        covariance = 16.0 * np.exp(-0.5 * np.abs(t[:, None] - t)) + 2.5**2 * np.eye(len(t))
        outcome[rows] = 50 - 3 * np.log1p(t) + b[0] + b[1] * np.log1p(t) + rng.multivariate_normal(0 * t, covariance)
    made = object.__new__(type(panel))
    made.__dict__.update({**panel.__dict__, "outcome": outcome})
    found = fit_growth(made, np.zeros((panel.n_patients, 0)), Clock.of(panel), rng)
    assert not found.linear
    assert found.variances.level == pytest.approx(truth.level, rel=0.25)
    assert found.variances.trend == pytest.approx(truth.trend, rel=0.4)
    short = found.variances.drift**2 + found.variances.noise**2
    assert short == pytest.approx(truth.drift**2 + truth.noise**2, rel=0.15)
    expected = 50 - 3 * np.log1p(np.arange(10.0))
    basis = np.column_stack([np.ones(10), np.log1p(np.arange(10.0)), np.arange(10) / 10, np.exp(-np.arange(10.0))])
    np.testing.assert_allclose(basis @ found.fixed, expected, atol=1.5)


def test_growth_addends_add_up_to_the_forecast():
    query = fitted().crossfit_.query
    parts = [query.forecasts[f"growth_{name}"] for name in ("time", "patient", "therapist", "history")]
    np.testing.assert_allclose(np.sum(parts, axis=0), query.forecasts["growth"], rtol=1e-10)
    at_intake = query.seen == 0
    assert (query.forecasts["growth_history"][at_intake] == 0).all()
    assert (query.forecasts["growth_sd"] > 0).all()


def test_simplex_weights_are_the_best_of_a_fine_grid():
    rng = np.random.default_rng(2)
    errors = rng.normal(size=(20, 3, 50)) + rng.normal(size=(20, 3, 1))
    products = np.einsum("nir,njr->nij", errors, errors)
    found = simplex(products)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found >= 0).all()
    steps = np.arange(0, 1.0001, 0.02)
    a, b = (axis.ravel() for axis in np.meshgrid(steps, steps))
    grid = np.stack([a, b, 1 - a - b])[:, a + b <= 1]
    best = np.einsum("ig,nij,jg->ng", grid, products, grid, optimize=True).min(axis=1)
    value = np.einsum("ni,nij,nj->n", found, products, found)
    assert (value <= best * (1 + 1e-6)).all()


def test_the_stack_trusts_the_better_member_where_it_is_better():
    rng = np.random.default_rng(0)
    grid = Grid((0.0, 8.0), (1.0, 8.0))
    seen, gap = rng.choice([0, 8], 8000), rng.choice([1.0, 8.0], 8000)
    outcome = rng.normal(size=8000)
    near = outcome + rng.normal(0, np.where(gap == 1, 0.2, 2.0), 8000)
    far = outcome + rng.normal(0, np.where(gap == 1, 2.0, 0.2), 8000)
    placed = grid.place(seen, gap)
    stack = fit_stack(("near", "far"), np.stack([near, far]), outcome, placed, grid)
    weight = placed.mix(stack.table)
    assert weight[gap == 1, 0].min() > 0.85 and weight[gap == 8, 1].min() > 0.85


def test_few_patients_are_drawn_to_equal_weights_and_many_are_not(monkeypatch):
    rng = np.random.default_rng(1)
    grid = Grid((0.0,), (1.0,))
    pulled = {}
    for n in (30, 30_000):
        outcome, common = rng.normal(size=n), rng.normal(size=n)
        members = np.stack([outcome + 3 * common + rng.normal(0, sd, n) for sd in (0.5, 1.2)])
        placed = grid.place(np.zeros(n), np.ones(n))
        share = []
        for even in (stack_module.EVEN, 0.0):
            monkeypatch.setattr(stack_module, "EVEN", even)
            share.append(fit_stack(("good", "bad"), members, outcome, placed, grid).table[0, 0])
        monkeypatch.undo()
        assert 0.5 < share[0] < share[1]
        pulled[n] = share[1] - share[0]
    assert pulled[30] > 0.03 and pulled[30_000] < 0.003


def test_one_wild_course_does_not_choose_the_weights():
    rng = np.random.default_rng(2)
    grid = Grid((0.0,), (1.0,))
    outcome = rng.normal(size=400)
    good, bad = outcome + rng.normal(0, 0.3, 400), outcome + rng.normal(0, 0.9, 400)
    outcome[0], good[0], bad[0] = 100.0, 0.0, 90.0
    placed = grid.place(np.zeros(400), np.ones(400))
    stack = fit_stack(("good", "bad"), np.stack([good, bad]), outcome, placed, grid)
    plain = simplex(np.einsum("ir,jr->ij", outcome - np.stack([good, bad]), outcome - np.stack([good, bad]))[None])
    assert plain[0, 0] < 0.1
    assert stack.table[0, 0] > 0.5


def test_few_patients_bring_plain_members_and_many_do_not():
    assert set(usual_members(200)) > set(usual_members(100_000)) == {"direct", "growth", "boosted"}
    assert TrajectoryForecaster().members_for(toy(20)) == usual_members(20)
    assert TrajectoryForecaster(members=("last",)).members_for(toy(20)) == ("last",)


def test_the_regression_does_not_mind_where_the_scale_has_its_zero():
    sessions, patients = toy_tables(40)
    one, two = (
        Panel(
            sessions.assign(score=sessions["score"] + shift), patients, columns=Columns(outcome="score"), better="low"
        )
        for shift in (0.0, 1000.0)
    )
    means = [
        TrajectoryForecaster(members=("direct",)).fit(panel).predict(panel.first(2))["mean"].to_numpy()
        for panel in (one, two)
    ]
    np.testing.assert_allclose(means[1] - 1000.0, means[0], atol=0.01)


def test_the_regression_holds_out_the_folds_it_says():
    """Coefficients of a fold do not move when the outcomes of that fold do."""
    cross = fitted().crossfit_
    query = cross.query
    held = cross.fold == 0
    plain = learn_direct(Training(query, cross.folds, cross.weight, np.random.default_rng(0)))[0]["direct"]
    np.testing.assert_allclose(plain, query.forecasts["direct"])
    error = query.targets.outcome - plain
    assert np.abs(error[held]).mean() < np.abs(query.targets.outcome[held] - query.targets.outcome.mean()).mean()
    naive = np.abs(query.targets.outcome - np.mean(query.targets.outcome)).mean()
    assert np.abs(error).mean() < 0.7 * naive


def test_out_of_fold_forecasts_do_not_know_their_own_outcomes():
    """Outcomes of one fold replaced by noise: forecasts of that fold by the growth model stay nearly put."""
    cross = fitted().crossfit_
    panel = cross.query.landmarks.panel
    mine = cross.folds.of_patient[panel.patient_index] == 0
    rng = np.random.default_rng(0)
    first = panel.occasion == 0
    outcome = np.where(mine & ~first, panel.outcome + rng.normal(30, 10, panel.n_sessions), panel.outcome)
    made = object.__new__(type(panel))
    made.__dict__.update({**panel.__dict__, "outcome": outcome})
    clock, intake = cross.query.clock, cross.query.intake()
    rest = cross.folds.of_patient != 0
    one = fit_growth(panel.subset(rest), intake[rest], clock, np.random.default_rng(0))
    two = fit_growth(made.subset(rest), intake[rest], clock, np.random.default_rng(0))
    assert one.variances == two.variances
