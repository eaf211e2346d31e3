"""What similar patients add where patients are few: it helps where intake tells, and keeps still where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.moderators import fit_moderators
from personalize.effects.posterior import Posterior, mixture_quantile
from personalize.effects.shrinkage import Patients, draw, shrink
from personalize.effects.similar import NONE, forest, similar_shift
from personalize.effects.transitions import Floats
from personalize.simulate import simulate_clinic


def clinic(n: int, seed: int, *, intake: float, own: float, noise: float, unknown: int = 0) -> tuple[Floats, ...]:
    """Encoded intake, truth, own slopes, their variances; three rules on five columns move the truth by ``intake``."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 12))
    rules = [(x[:, 0] > 0) & (x[:, 1] > 0), x[:, 2] > 0.8, (x[:, 3] > 0) & (x[:, 4] < 0)]
    truth = intake * np.sum(rules, axis=0) + own * rng.standard_normal(n)
    v = noise**2 * rng.gamma(4.0, 0.25, n)
    b = truth + np.sqrt(v) * rng.standard_normal(n)
    b[:unknown], v[:unknown] = np.nan, np.inf
    return x, truth, b, v


def shrunken(x: Floats, b: Floats, v: Floats) -> tuple[Patients, Posterior]:
    known, cluster = np.isfinite(v), np.arange(len(b)) // 20
    weight = 1.0 / (v[known] + 1.0)
    found = fit_moderators(x[known], b[known], weight, cluster[known], seed=0)
    tau = np.zeros(len(b))
    tau[known] = found.out_of_fold
    patients = Patients(b, v, tau, cluster, np.zeros(len(b)))
    return patients, shrink(patients)


def gains(*, intake: float, own: float, noise: float) -> list[float]:
    """How much lower the root mean squared error is with the shift, in percent, clinic by clinic."""
    out = []
    for seed in range(8):
        x, truth, b, v = clinic(240, seed, intake=intake, own=own, noise=noise)
        patients, posterior = shrunken(x, b, v)
        moved = posterior.moved(similar_shift(x, patients, posterior, 0))
        before, after = (np.sqrt(np.mean((p.mean - truth) ** 2)) for p in (posterior, moved))
        out.append(100 * (1 - after / before))
    return out


def test_it_helps_where_intake_tells_by_thresholds() -> None:
    """Noise of SD 4 a slope, as of ten sessions: one clinic's gain has an SD of about 2, the mean of 8 about .7."""
    assert np.mean(gains(intake=-2.3, own=0.7, noise=4.0)) > 1.0


def test_it_keeps_still_where_patients_are_known_and_intake_tells_nothing() -> None:
    assert np.abs(gains(intake=0.0, own=2.5, noise=2.0)).max() < 0.5


@pytest.fixture(scope="module")
def told() -> tuple[Floats, Patients, Posterior]:
    x, _, b, v = clinic(160, 3, intake=-3.0, own=0.7, noise=4.0, unknown=5)
    return x, *shrunken(x, b, v)


def test_shifts_add_up_to_zero_and_leave_unknown_patients_alone(told: tuple[Floats, Patients, Posterior]) -> None:
    x, patients, posterior = told
    shift = similar_shift(x, patients, posterior, 0)
    assert abs(shift.sum()) < 1e-9
    assert (shift[:5] == 0).all() and (shift[5:] != 0).all()
    assert (shift == similar_shift(x, patients, posterior, 0)).all()


def test_it_has_the_units_of_the_effect(told: tuple[Floats, Patients, Posterior]) -> None:
    x, p, _ = told
    times = 1000.0
    scaled = Patients(times * p.b, times**2 * p.v, times * p.tau, p.cluster, p.noise)
    one, other = (similar_shift(x, q, shrink(q), 0) for q in (p, scaled))
    assert np.allclose(times * one, other, rtol=1e-6)


def test_nothing_where_intake_splits_nobody_or_patients_are_many(told: tuple[Floats, Patients, Posterior]) -> None:
    x, patients, posterior = told
    for nothing in (np.ones_like(x), x[:, :0], x[:, :2]):
        assert (similar_shift(nothing, patients, posterior, 0) == 0).all()
    rng = np.random.default_rng(0)
    many = Patients(
        rng.standard_normal(NONE), np.ones(NONE), rng.standard_normal(NONE), np.arange(NONE), np.zeros(NONE)
    )
    assert (similar_shift(rng.standard_normal((NONE, 3)), many, shrink(many), 0) == 0).all()


def test_draws_and_limits_move_with_the_mean(told: tuple[Floats, Patients, Posterior]) -> None:
    x, patients, posterior = told
    shift = similar_shift(x, patients, posterior, 0)
    moved = posterior.moved(shift)
    for q in (0.05, 0.95):
        assert np.allclose(mixture_quantile(moved.components, q), mixture_quantile(posterior.components, q) + shift)
    drawn = [draw(patients, p, np.zeros(50), 50, np.random.default_rng(1)) for p in (posterior, moved)]
    assert np.allclose(drawn[1] - drawn[0], shift)
    assert (moved.sd == posterior.sd).all() and (moved.baseline == posterior.baseline).all()


def test_the_forest_has_seen_the_patient() -> None:
    x, _, b, v = clinic(100, 1, intake=-3.0, own=0.7, noise=4.0)
    other = b.copy()
    other[7] += 50.0
    moved = forest(x, other, 1 / v, 0) - forest(x, b, 1 / v, 0)
    assert moved[7] == moved.max() > 0.5


def test_a_fitted_effect_holds_it_and_new_patients_do_not_get_it() -> None:
    panel = simulate_clinic("nonlinear", n_patients=120, random_state=8).panel
    effect = AllianceEffect(random_state=2).fit(panel)
    table = effect.effects_
    assert (table["similar_shift"] != 0).mean() > 0.9
    assert abs(table["similar_shift"].sum()) < 1e-9
    parts = table["baseline_estimate"] + table["own_shift"] + table["similar_shift"]
    assert np.allclose(parts, table["estimate"])
    drawn = effect.draws(400, random_state=1)[0].mean(axis=0)
    assert np.abs(drawn - table["estimate"]).max() < 6 * (table["sd"] / 20).max()
    said = effect.predict(panel.patients)
    effect.posterior_ = effect.posterior_.moved(np.full(len(table), 10.0))
    assert effect.predict(panel.patients).equals(said)
