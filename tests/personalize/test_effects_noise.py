"""Patients differ in noise: it is found where it is there, not where it is not, and intervals follow it."""

from __future__ import annotations

import numpy as np
import pytest

from personalize.effects.adjusted import Errors
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.first_stage import FirstStage, first_stage
from personalize.effects.noise import FEWEST_PRIOR, MEMORY, own_noise, working_noise
from personalize.effects.transitions import Transitions
from personalize.effects.within import Moments, projection
from personalize.simulate import SimulatedClinic, simulate_clinic


def relative_noise(stage: FirstStage) -> np.ndarray:
    """v_i · S_i: each patient's noise, whatever the alliance did."""
    v, spread = stage.slopes.variance[stage.known], stage.slopes.spread[stage.known]
    return v * spread / np.mean(v * spread)


@pytest.fixture(scope="module")
def uneven() -> list[tuple[SimulatedClinic, FirstStage]]:
    clinics = [simulate_clinic("uneven", n_patients=600, random_state=seed) for seed in (50, 51)]
    return [(clinic, first_stage(clinic.panel, Errors())) for clinic in clinics]


def test_noise_that_differs_is_found(uneven: list[tuple[SimulatedClinic, FirstStage]]) -> None:
    for clinic, stage in uneven:
        true = clinic.truth.patients["noise_sd"].to_numpy()[stage.who] ** 2
        found = relative_noise(stage)
        assert np.corrcoef(np.log(found), np.log(true))[0, 1] > 0.75
        # log variances are drawn together: with about ten residuals each they spread less than the true ones, not more
        assert 0.5 < np.log(found).std() / np.log(true).std() < 1.05


def test_equal_noise_stays_equal() -> None:
    """Log variances of about ten residuals have an SD of .47; less than a tenth of it may be left."""
    for seed in (52, 53, 54):
        stage = first_stage(simulate_clinic("nonlinear", n_patients=600, random_state=seed).panel, Errors())
        found = relative_noise(stage)
        assert np.log(found).std() < 0.15, "what is left is the memory's factor and chance"


def test_variances_are_right_for_the_quiet_and_the_noisy(uneven: list[tuple[SimulatedClinic, FirstStage]]) -> None:
    """Mean of (b_i − β_i)² / v_i in the noisiest and the quietest fourth: SD .12 each with 2 × 150 patients."""
    ratios = []
    for clinic, stage in uneven:
        truth = clinic.truth.patients.iloc[stage.who]
        error = (stage.slopes.slope[stage.known] - truth["effect"].to_numpy()) ** 2 / stage.slopes.variance[stage.known]
        order = np.argsort(truth["noise_sd"].to_numpy())
        fourth = len(order) // 4
        ratios.append([error[order[:fourth]].mean(), error[order[-fourth:]].mean()])
    quiet, noisy = np.mean(ratios, axis=0)
    # residual variances of ten residuals are drawn to the middle: some lean remains (pooled: .3 and 2.4)
    assert 0.5 < quiet < 1.3 and 0.8 < noisy < 1.7


def test_intervals_cover_the_noisiest(uneven: list[tuple[SimulatedClinic, FirstStage]]) -> None:
    covered = []
    for clinic, _ in uneven:
        effects, truth = AllianceEffect(random_state=0).fit(clinic.panel).effects_, clinic.truth.patients
        inside = (effects["lower"] <= truth["effect"]) & (truth["effect"] <= effects["upper"])
        covered.append([inside.mean(), inside[truth["noise_sd"] > truth["noise_sd"].quantile(0.75)].mean()])
    assert np.mean(covered, axis=0).min() > 0.84, "nominal .90 of 1,200 and of 300 patients"


def test_a_patient_whose_outcome_stands_still_is_not_certain() -> None:
    """One of 60 patients has next to no residual left, two none or too few: no variance near zero, and no error."""
    rng = np.random.default_rng(0)
    patient, position = np.repeat(np.arange(60), 8), np.tile(np.arange(8), 60)
    rows = len(patient)
    steps = Transitions(patient, position, position + 1.0, np.zeros(rows), np.zeros((rows, 2)), np.zeros((rows, 0)), 60)
    within = projection(steps, detrend=False)
    scale = np.exp(rng.normal(0, 0.5, 60))
    values = rng.standard_normal((rows, 3)) * np.column_stack([np.ones((rows, 2)), scale[patient]])
    values[patient == 7, 2] *= 1e-9
    values[patient == 8, 2] = 0.0
    moved = within.transform(values)
    cross = np.stack([within.sums(values[:, [i]] * moved) for i in range(3)], axis=1)
    freedom = within.trace.copy()
    freedom[9] = 1.0
    m = Moments(cross, values, position, within, 0)
    ratio = own_noise(m, np.zeros(5), np.ones(60), freedom)
    assert ratio[8] == ratio[9] == 1.0
    assert ratio[7] == ratio.min() > 0.5 * FEWEST_PRIOR / (FEWEST_PRIOR + 6.0) * np.median(ratio)
    known = np.delete(np.arange(60), [7, 8, 9])
    assert np.corrcoef(np.log(ratio[known]), np.log(scale[known]))[0, 1] > 0.6
    assert own_noise(m, np.zeros(5), np.ones(60), np.full(60, 1.5)) == pytest.approx(np.ones(60))


def test_freedom_counts_the_neighbours_there_are() -> None:
    """E[r̃'r̃] / s² = n − Σ_ts q(|t − s|) / n, session by session; with gaps fewer sessions are neighbours.

    r is autocorrelated at lags 1 and 2, and every patient has other sessions: taking them for uninterrupted stated
    the noise of clinics with gaps 1 % too large, and all of it was taken off the differences between patients.
    """
    rng = np.random.default_rng(5)
    n_patients, n_sessions = 400, 14
    white = rng.standard_normal((n_patients, n_sessions + 2))
    r = white[:, 2:] + 0.5 * white[:, 1:-1] + 0.3 * white[:, :-2]
    there = rng.random((n_patients, n_sessions)) < 0.7
    there[:, :4] = True
    patient, position = np.nonzero(there)
    rows = len(patient)
    steps = Transitions(
        patient, position, position + 1.0, np.zeros(rows), np.zeros((rows, 2)), np.zeros((rows, 0)), n_patients
    )
    within = projection(steps, detrend=False)
    values = np.column_stack([rng.standard_normal((rows, 2)), r[there]])
    moved = within.transform(values)
    cross = np.stack([within.sums(values[:, [i]] * moved) for i in range(3)], axis=1)
    m = Moments(cross, values, position, within, 0)
    noise, _, freedom = working_noise(m, np.zeros(5))
    # the true autocorrelations; those estimated from 4,000 sessions differ by their error
    memory = np.array([0.5 + 0.15, 0.3]) / (1 + 0.25 + 0.09)
    assert len(memory) == MEMORY
    for k in range(n_patients):
        where = np.flatnonzero(there[k])
        apart = np.abs(np.subtract.outer(where, where))
        together = (apart == 0) + memory[0] * (apart == 1) + memory[1] * (apart == 2)
        assert freedom[k] == pytest.approx(len(where) - together.sum() / len(where), abs=0.15)
    assert noise == pytest.approx(1 + 0.25 + 0.09, rel=0.05)
