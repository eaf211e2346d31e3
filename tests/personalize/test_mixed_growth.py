"""Forecasts of the growth model: exact conditioning, honest spread for new patients, and what it refuses or drops."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import pytest

from features.errors import NotEnoughData, NotFitted, OptionError
from personalize.trajectories.mixed import GrowthModel

COVERAGE = 0.02  # of about 5,000 correlated targets: two and a half standard errors


class Clinic(NamedTuple):
    y: np.ndarray
    time: np.ndarray
    patient: np.ndarray
    baseline: np.ndarray
    therapist: np.ndarray


def clinic(n: int, seed: int, *, lag_sd: float = 3.0) -> Clinic:
    """Irregular sessions; level, course, therapist, an Ornstein-Uhlenbeck process (reach 2.5) and noise of SD 2."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 15, n)
    who = np.repeat(np.arange(n), lengths)
    time = np.concatenate([1 + np.cumsum(np.r_[0, 0.3 + rng.exponential(0.7, k - 1)]) for k in lengths])
    baseline = rng.normal(size=(n, 2)) * [1.0, 10.0]
    staff = np.arange(n) // 20
    own = rng.normal(size=(n, 2)) @ np.linalg.cholesky(np.array([[16.0, -2.0], [-2.0, 4.0]])).T
    course = np.log1p((time - 1) / 0.785)  # 0.785: the median gap, as the model will find
    lag = np.zeros(len(time))
    for row in range(len(time)):
        first = row == 0 or who[row] != who[row - 1]
        keep = 0.0 if first else np.exp(-(time[row] - time[row - 1]) / 2.5)
        lag[row] = lag[row - 1] * keep + lag_sd * np.sqrt(1 - keep**2) * rng.normal()
    y = 20 - 3 * course + 3 * baseline[who, 0] + 0.05 * baseline[who, 1] * course + own[who, 0] + own[who, 1] * course
    y += 1.2 * rng.normal(size=staff.max() + 1)[staff[who]] + lag + 2 * rng.normal(size=len(time))
    return Clinic(y, time, who, baseline, staff)


@pytest.fixture(scope="module")
def training() -> Clinic:
    return clinic(800, 1)


@pytest.fixture(scope="module")
def model(training: Clinic) -> GrowthModel:
    y, time, who, baseline, staff = training
    return GrowthModel(ar=True).fit(y, time, baseline, who, staff)


def occasion(who: np.ndarray) -> np.ndarray:
    return np.arange(len(who)) - np.searchsorted(who, who)


def test_recovers_the_residual_it_was_simulated_from(model: GrowthModel) -> None:
    got = model.parameters_
    assert got.converged
    assert got.residual_variance == pytest.approx(13, rel=0.15)
    assert got.nugget * got.residual_variance == pytest.approx(4, rel=0.15)
    assert got.reach * model.basis_.unit == pytest.approx(2.5, rel=0.25)
    assert np.sqrt(got.therapist_variance) == pytest.approx(1.2, abs=0.6)


def test_forecasts_equal_dense_conditioning(model: GrowthModel) -> None:
    y, time, who, baseline, _ = clinic(6, 9)
    seen = (occasion(who) < 3) & (who != 5)  # patient 5 has no history
    target_patient = np.array([0, 1, 2, 3, 4, 5, 0])
    target_time = np.array([30.0, 21, 17.5, 20, 40, 3, 25])
    mean, variance = model.predict(y[seen], time[seen], who[seen], baseline, target_time, target_patient)
    p, basis = model.parameters_, model.basis_
    traits = basis.traits(baseline)
    for k, i in enumerate(target_patient):
        rows = seen & (who == i)
        when = np.append(time[rows], target_time[k])
        X, Z = basis.fixed(when, np.repeat(traits[:, [i]], len(when), axis=1)).T, basis.patient(when).T
        gap = np.abs(when[:, None] - when) / basis.unit
        own = p.residual_variance * ((1 - p.nugget) * np.exp(-gap / p.reach) + p.nugget * np.eye(len(when)))
        V = Z @ p.patient_covariance @ Z.T + p.therapist_variance + own
        w = np.linalg.solve(V[:-1, :-1], V[:-1, -1])
        left = X[-1] - w @ X[:-1]
        assert mean[k] == pytest.approx(X[-1] @ p.beta + w @ (y[rows] - X[:-1] @ p.beta), abs=1e-9)
        want = V[-1, -1] - w @ V[:-1, -1] + left @ p.beta_covariance @ left
        assert variance[k] == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("k", [0, 1, 4])
def test_intervals_cover_new_patients_of_unknown_therapists(model: GrowthModel, k: int) -> None:
    y, time, who, baseline, _ = clinic(900, 2)
    seen = occasion(who) < k
    ahead = ~seen
    mean, variance = model.predict(y[seen], time[seen], who[seen], baseline, time[ahead], who[ahead])
    score = (y[ahead] - mean) / np.sqrt(variance)
    # patients, not rows: each patient's share of covered sessions, averaged
    count = np.bincount(who[ahead], minlength=900)
    inside = np.bincount(who[ahead], np.abs(score) < 1.6449, minlength=900)[count > 0] / count[count > 0]
    assert inside.mean() == pytest.approx(0.90, abs=COVERAGE)


def test_more_sessions_forecast_better_and_say_so(model: GrowthModel) -> None:
    y, time, who, baseline, _ = clinic(400, 3)
    last = np.flatnonzero(np.diff(who, append=-1))
    spread, error = [], []
    for k in (0, 1, 3):
        seen = (occasion(who) < k) & ~np.isin(np.arange(len(y)), last)
        mean, variance = model.predict(y[seen], time[seen], who[seen], baseline, time[last], who[last])
        spread.append(variance.mean())
        error.append(((y[last] - mean) ** 2).mean())
    assert spread[0] > spread[1] > spread[2] and error[0] > error[1] > error[2]


def test_a_known_therapist_brings_an_effect_and_an_unknown_one_doubt(training: Clinic, model: GrowthModel) -> None:
    p = model.parameters_
    best = p.therapist_ids[int(np.argmin(p.therapist_effects))]
    empty = np.zeros(0)
    baseline = np.zeros((3, 2))
    mean, variance = model.predict(
        empty, empty, empty, baseline, np.full(3, 5.0), np.arange(3), therapist=[best, "new", None]
    )
    assert mean[0] - mean[1] == pytest.approx(p.therapist_effects.min())
    assert variance[1] - variance[0] == pytest.approx(p.therapist_variance - p.therapist_uncertainty.min(), rel=0.2)
    assert variance[1] - variance[2] == pytest.approx(p.therapist_variance)


def test_order_and_missing_rows_do_not_matter(training: Clinic, model: GrowthModel) -> None:
    y, time, who, baseline, staff = training
    rng = np.random.default_rng(0)
    holes = 50
    y = np.concatenate([y, np.full(holes, np.nan)])
    time = np.concatenate([time, rng.uniform(1, 9, holes)])
    who = np.concatenate([who, rng.integers(0, 800, holes)])
    turn = rng.permutation(len(y))
    again = GrowthModel(ar=True).fit(y[turn], time[turn], baseline, who[turn], staff)
    np.testing.assert_allclose(again.parameters_.beta, model.parameters_.beta, rtol=1e-6)
    seen = occasion(who) < 3
    few = (who < 20) & seen & (np.arange(len(y)) < len(training.y))
    order = rng.permutation(few.sum())
    args = baseline, np.full(20, 30.0), np.arange(20)
    mean, variance = model.predict(y[few], time[few], who[few], *args)
    mixed = model.predict(y[few][order], time[few][order], who[few][order], *args)
    np.testing.assert_allclose(mixed, (mean, variance), rtol=1e-12)


def test_what_is_saved_forecasts_the_same(training: Clinic, model: GrowthModel) -> None:
    y, time, who, baseline, _ = clinic(50, 4)
    seen = occasion(who) < 2
    again = GrowthModel.from_dict(json.loads(json.dumps(model.to_dict())))
    args = y[seen], time[seen], who[seen], baseline, time[~seen], who[~seen]
    for left, right in zip(model.predict(*args), again.predict(*args), strict=True):
        assert np.array_equal(left, right)


def test_the_sample_behind_the_autocorrelation_is_seeded_and_stated(training: Clinic) -> None:
    y, time, who, baseline, staff = training
    fits = [
        GrowthModel(ar=True, max_patients=300, random_state=s).fit(y, time, baseline, who, staff).parameters_
        for s in (0, 0, 1)
    ]
    assert fits[0].n_patients_residual == 300 and fits[0].n_patients == 800
    assert fits[0].to_dict() == fits[1].to_dict()
    assert fits[0].reach != fits[2].reach
    assert 0.4 < fits[0].reach / fits[2].reach < 2.5  # a reach is hard to learn from 300 patients


def test_without_autocorrelation_none_is_found_worth_having() -> None:
    y, time, who, baseline, staff = clinic(500, 6, lag_sd=0.0)
    plain = GrowthModel().fit(y, time, baseline, who, staff).parameters_
    with_lag = GrowthModel(ar=True).fit(y, time, baseline, who, staff).parameters_
    assert plain.nugget == 1 and plain.n_patients_residual == 0
    # two more parameters gain about chi-square(2) / 2 at most where there is nothing to find
    assert 0 <= with_lag.log_likelihood - plain.log_likelihood < 5
    assert plain.residual_variance == pytest.approx(4, rel=0.1)


def test_baseline_gaps_constants_and_copies_are_treated_by_name() -> None:
    y, time, who, baseline, staff = clinic(300, 7)
    holed = baseline.copy()
    holed[:60, 0] = np.nan
    columns = np.column_stack([holed, np.full(300, 2.0), baseline[:, 1] * 2 + 1, np.full(300, np.nan)])
    model = GrowthModel(ar=False).fit(y, time, columns, who, staff)
    assert model.basis_.columns == (0, 1) and model.basis_.indicators == (0,)
    said = " ".join(model.notes_)
    assert "'baseline2'" in said and "'baseline3' is a combination" in said and "'baseline4'" in said
    mean, variance = model.predict([], [], [], columns[:80], np.full(80, 4.0), np.arange(80))
    assert np.isfinite(mean).all() and (variance > 0).all()


def test_too_little_for_courses_or_therapists_is_noted() -> None:
    y, time, who, *_ = clinic(200, 8)
    few = occasion(who) < np.where(who % 2, 2, 1)
    model = GrowthModel().fit(y[few], time[few], None, who[few], np.zeros(200))
    assert model.parameters_.patient_covariance[1].tolist() == [0, 0]
    assert any("only levels" in note for note in model.notes_)
    assert any("two therapists" in note for note in model.notes_)
    assert model.parameters_.therapist_variance == 0


def test_refuses_with_a_reason(model: GrowthModel) -> None:
    with pytest.raises(NotFitted, match="call fit"):
        GrowthModel().predict([], [], [], None, [1.0], [0])
    with pytest.raises(OptionError, match=r"before the last session of the history for patient row 1"):
        model.predict([3.0, 3.0], [2.0, 9.0], [0, 1], np.zeros((2, 2)), [3.0, 4.0], [0, 1])
    with pytest.raises(OptionError, match="has 3 columns; the model was fitted with 2"):
        model.predict([], [], [], np.zeros((1, 3)), [3.0], [0])
    with pytest.raises(OptionError, match="names row 4; X_baseline has 2 rows"):
        model.predict([], [], [], np.zeros((2, 2)), [3.0], [4])
    with pytest.raises(OptionError, match="equally long"):
        GrowthModel().fit([1.0, 2.0], [1.0], None, [0, 0])
    with pytest.raises(OptionError, match="'REML', 'ML'"):
        GrowthModel(method="EM").fit([1.0, 2, 4, 5], [1.0, 2, 1, 2], None, [0, 0, 1, 1])
    with pytest.raises(NotEnoughData, match="no row has an outcome"):
        GrowthModel().fit([np.nan], [1.0], None, [0])
    with pytest.raises(NotEnoughData, match="constant"):
        GrowthModel().fit(np.ones(30), np.tile([1.0, 2, 3], 10), None, np.repeat(np.arange(10), 3))
