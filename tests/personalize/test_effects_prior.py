"""How much patients are believed to differ before the data: little beside noise, while the data leave it open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.posterior import Posterior, mixture_quantile
from personalize.effects.shrinkage import LARGE, Patients, shrink
from personalize.simulate import PRESETS, simulate_clinic

NOISE_TO_ALLIANCE = 11.0  # noise SD 5, alliance SD .45


def clinic(n: int, *, sd: float, se: float, seed: int) -> tuple[np.ndarray, Patients]:
    """True effects that vary with SD ``sd``, and own slopes whose standard errors are about ``se``."""
    rng = np.random.default_rng(seed)
    truth = -2.5 + sd * rng.standard_normal(n)
    v = se**2 * rng.gamma(4.0, 0.25, n)
    b = truth + np.sqrt(v) * rng.standard_normal(n)
    return truth, Patients(b, v, np.zeros(n), np.arange(n) // 10, np.zeros(n))


def covered(posterior: Posterior, truth: np.ndarray) -> float:
    low, high = (mixture_quantile(posterior.components, q) for q in (0.05, 0.95))
    return float(np.mean((low <= truth) & (truth <= high)))


def test_large_differences_are_believed_where_the_data_show_them() -> None:
    """SD 5, beyond where the prior falls, and standard errors of 12 sessions."""
    assert LARGE * NOISE_TO_ALLIANCE < 3.0
    shares = []
    for seed in range(5):
        truth, patients = clinic(400, sd=5.0, se=4.0, seed=seed)
        posterior = shrink(patients, noise_to_alliance=NOISE_TO_ALLIANCE)
        assert posterior.omega == pytest.approx(5.0, abs=0.7)
        shares.append(covered(posterior, truth))
    assert np.mean(shares) > 0.87


def test_what_short_treatments_leave_open_is_not_believed() -> None:
    """SD 1.5 and standard errors of six sessions: closer to it, no worse, and still covered."""
    omega, error, shares = [], [], []
    for seed in range(20):
        truth, patients = clinic(200, sd=1.5, se=6.0, seed=seed)
        pair = shrink(patients), shrink(patients, noise_to_alliance=NOISE_TO_ALLIANCE)
        omega.append([p.omega for p in pair])
        error.append([np.sqrt(np.mean((p.mean - truth) ** 2)) for p in pair])
        shares.append(covered(pair[1], truth))
    assert np.all(np.diff(omega, axis=1) < 0)
    assert 1.2 < np.mean(omega, axis=0)[1] < np.mean(omega, axis=0)[0] - 0.2
    assert np.mean(error, axis=0)[1] < np.mean(error, axis=0)[0]
    assert np.mean(shares) > 0.87


def test_the_prior_does_not_depend_on_units() -> None:
    _, patients = clinic(120, sd=1.5, se=6.0, seed=1)
    scaled = replace(patients, b=1000 * patients.b, v=1e6 * patients.v)
    one = shrink(patients, noise_to_alliance=NOISE_TO_ALLIANCE)
    other = shrink(scaled, noise_to_alliance=1000 * NOISE_TO_ALLIANCE)
    assert other.mean == pytest.approx(1000 * one.mean, rel=1e-8)
    assert other.sd == pytest.approx(1000 * one.sd, rel=1e-8)


def test_errors_of_measurement_do_not_stretch_it() -> None:
    """Noise SD 5 over the SD of the true alliance within patients, with errors of measurement and without."""
    exact = PRESETS["linear"]
    found = []
    for options in (exact, replace(exact, alliance_sem=0.25, outcome_sem=3.0)):
        panel = simulate_clinic(n_patients=300, random_state=7, options=options).panel
        effect = AllianceEffect(alliance_sem=options.alliance_sem or None, outcome_sem=options.outcome_sem or None).fit(
            panel
        )
        found.append(effect._noise_to_alliance)
    assert found[0] == pytest.approx(5.0 / 0.45, rel=0.1)
    assert found[1] == pytest.approx(found[0], rel=0.1)
