"""Effects that go with the noise of the patient's own outcome: used where they do, left alone where they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.errors import FileError
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.posterior import mixture_quantile
from personalize.effects.shrinkage import Patients, draw, shrink, standardised_noise
from personalize.simulate import SimulatedClinic, simulate_clinic


@pytest.fixture(scope="module")
def swinging() -> list[tuple[SimulatedClinic, AllianceEffect]]:
    clinics = [simulate_clinic("swinging", n_patients=600, random_state=seed) for seed in (60, 61)]
    return [(clinic, AllianceEffect(random_state=0).fit(clinic.panel)) for clinic in clinics]


def test_the_simulator_ties_noise_to_the_effect() -> None:
    tied, free = (simulate_clinic(preset, n_patients=4000, random_state=2).truth for preset in ("swinging", "uneven"))
    logs = [np.log(truth.patients["noise_sd"]) for truth in (tied, free)]
    assert np.corrcoef(logs[0], tied.patients["effect"])[0, 1] == pytest.approx(-0.6, abs=0.04)
    assert abs(np.corrcoef(logs[1], free.patients["effect"])[0, 1]) < 0.05
    assert logs[0].std() == pytest.approx(0.5, rel=0.05)
    assert tied.patients["effect"].equals(free.patients["effect"])


def test_effects_that_go_with_noise_are_estimated_better_for_it(
    swinging: list[tuple[SimulatedClinic, AllianceEffect]],
) -> None:
    for clinic, effect in swinging:
        truth = clinic.truth.patients["effect"].to_numpy()
        told = effect.patients_
        blind = shrink(replace(told, noise=np.zeros(len(truth))), average_variance=effect.average_covariance_[1, 1])
        error, error_blind = (np.sqrt(np.mean((m - truth) ** 2)) for m in (effect.posterior_.mean, blind.mean))
        assert error < 0.95 * error_blind
        assert effect.heterogeneity_["noise_slope"] < -0.3, "below zero, as simulated"
        assert any("Effects go with how noisy" in note for note in effect.notes_)
        assert abs(effect.posterior_.mean.mean() - truth.mean()) < 0.5


def test_the_noisiest_are_covered(swinging: list[tuple[SimulatedClinic, AllianceEffect]]) -> None:
    """Over many clinics of this size .88 of all, .86 of the noisiest; three errors of two clinics' mean below that."""
    covered, blind = [], []
    for clinic, effect in swinging:
        truth = clinic.truth.patients
        told = replace(effect.patients_, noise=np.zeros(len(truth)))
        without = shrink(told, average_variance=effect.average_covariance_[1, 1])
        limits = [mixture_quantile(without.components, q) for q in (0.05, 0.95)]
        noisiest = truth["noise_sd"] > truth["noise_sd"].quantile(0.75)
        for into, (low, high) in ((covered, (effect.effects_["lower"], effect.effects_["upper"])), (blind, limits)):
            inside = (low <= truth["effect"]) & (truth["effect"] <= high)
            into.append([inside.mean(), inside[noisiest].mean()])
    found, without_it = np.mean(covered, axis=0), np.mean(blind, axis=0)
    assert found[0] > 0.83 and found[1] > 0.79
    assert found[1] > without_it[1], "the noisiest are covered better than where noise is thought to say nothing"


def test_draws_agree_with_the_posterior(swinging: list[tuple[SimulatedClinic, AllianceEffect]]) -> None:
    _, effect = swinging[0]
    drawn, _ = effect.draws(3000, 1)
    sd = effect.posterior_.sd
    assert np.abs(drawn.mean(axis=0) - effect.posterior_.mean).max() < 5 * (sd / np.sqrt(3000)).max()
    np.testing.assert_allclose(drawn.std(axis=0), sd, rtol=0.12)


def test_what_is_said_without_own_sessions_leaves_noise_out(
    swinging: list[tuple[SimulatedClinic, AllianceEffect]],
) -> None:
    """Noise is known from own sessions: it belongs to the own shift, and new patients stand at its mean."""
    clinic, effect = swinging[0]
    noise, found = effect.patients_.noise, effect.effects_
    known = np.isfinite(effect.own_variance_)
    assert abs(np.corrcoef(noise[known], found["baseline_estimate"][known])[0, 1]) < 0.35
    assert np.corrcoef(noise[known], found["own_shift"][known])[0, 1] < -0.6
    new = clinic.panel.patients.head(50)
    predicted = effect.predict(new)
    assert np.isfinite(predicted.to_numpy()).all()


def test_where_noise_says_nothing_nothing_is_read_from_it() -> None:
    for preset, seed in (("uneven", 50), ("nonlinear", 50)):
        effect = AllianceEffect(random_state=0).fit(simulate_clinic(preset, n_patients=600, random_state=seed).panel)
        assert abs(effect.heterogeneity_["noise_slope"]) < 0.15
        assert not any("Effects go with how noisy" in note for note in effect.notes_)


def test_slope_on_noise_is_recovered_where_the_model_holds() -> None:
    """Drawn from the model itself: δ within three of its standard errors, and zero where it is zero."""
    rng = np.random.default_rng(5)
    n, noise = 1500, rng.standard_normal(1500)
    cluster, v = np.arange(n) // 20, 16.0 * np.exp(noise)
    for delta in (0.0, -1.2):
        truth = -2.0 + delta * noise + rng.standard_normal(n)
        patients = Patients(truth + np.sqrt(v) * rng.standard_normal(n), v, np.zeros(n), cluster, noise)
        posterior = shrink(patients)
        w = 1.0 / (v + 1.0)
        se = 1.0 / np.sqrt(w @ (noise - w @ noise / w.sum()) ** 2)
        assert posterior.noise_slope == pytest.approx(delta, abs=3 * se)
        drawn = draw(patients, posterior, np.zeros(n), 400, rng)
        assert np.mean(drawn.std(axis=0)) == pytest.approx(posterior.sd.mean(), rel=0.05)


def test_standardised_noise_is_zero_where_nothing_is_known() -> None:
    ratio, known = np.array([0.5, 1.0, 2.0, 7.0]), np.array([True, True, True, False])
    z = standardised_noise(ratio, known)
    assert z[3] == 0.0 and z[:3].mean() == pytest.approx(0.0) and z[:3].std() == pytest.approx(1.0)
    assert not standardised_noise(np.ones(4), known).any()
    assert not standardised_noise(ratio, np.zeros(4, dtype=bool)).any()


def test_saved_and_read_back_and_an_earlier_format_is_refused(
    swinging: list[tuple[SimulatedClinic, AllianceEffect]], tmp_path: Path
) -> None:
    clinic, effect = swinging[0]
    effect.save(tmp_path / "effect")
    again = AllianceEffect.load(tmp_path / "effect")
    np.testing.assert_array_equal(again.draws(20)[0], effect.draws(20)[0])
    head = clinic.panel.patients.head(5)
    np.testing.assert_array_equal(again.predict(head).to_numpy(), effect.predict(head).to_numpy())
    path = tmp_path / "effect" / "effect.json"
    text = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**text, "version": 1}), encoding="utf-8")
    with pytest.raises(FileError, match=r"earlier version.*fit the effect again"):
        AllianceEffect.load(tmp_path / "effect")
