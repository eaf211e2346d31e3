"""Growth that intake predicts: found where it is, not invented where it is not, and no effect made of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.panel import Panel
from personalize.effects.growth import FEW, predicted_growth, slope_moments
from personalize.effects.intake import intake_matrix
from personalize.effects.transitions import Floats, Transitions, lay_grid, outcome_steps
from personalize.effects.within import Moments, Projection, moments, projection
from personalize.simulate import PRESETS, simulate_clinic


def laid(panel: Panel) -> tuple[Transitions, Floats, Projection]:
    steps = outcome_steps(lay_grid(panel), panel.timing).at_least(2)
    return steps, intake_matrix(panel), projection(steps, detrend=False)


def own(m: Moments) -> Floats:
    """Own slopes of a clinic in which the outcome has no memory."""
    return np.asarray(m.cross[:, 1, 2] / m.cross[:, 1, 1])


def correlation(m: Moments, effect: Floats) -> float:
    """Of own slopes and true effects, patients weighing by how much their alliance moved."""
    covariance = np.cov(own(m), effect, aweights=m.cross[:, 1, 1])
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))


Drawn = tuple[Transitions, Floats, Projection, Floats]


@pytest.fixture(scope="module")
def drawn() -> list[Drawn]:
    """Clinics of 200 patients and 40 columns: the first says how fast one improves and how fast the alliance rises.

    The second moves the effect (SD 2), all others are noise.
    """
    out = []
    for seed in range(12):
        options = replace(PRESETS["null"], symptom_gain_baseline=0.0, feedback=0.0, persistence=0.0)
        steps, _, within = laid(simulate_clinic(n_patients=200, random_state=seed, options=options).panel)
        x = np.random.default_rng(seed).standard_normal((200, 40))
        first, log = x[steps.patient, 0], np.log1p(steps.session)
        alliance = steps.regressors[:, 1] + 0.3 * first * log
        response = steps.response + 2.0 * x[steps.patient, 1] * alliance + 3.0 * first * log
        regressors = np.column_stack([steps.regressors[:, 0], alliance])
        out.append((replace(steps, response=response, regressors=regressors), x, within, 2.0 * x[:, 1]))
    return out


def test_predicted_growth_is_the_growth_and_none_where_there_is_none() -> None:
    options = replace(PRESETS["null"], symptom_gain_baseline=0.0, alliance_rise_baseline=0.0)
    panel = simulate_clinic(n_patients=200, random_state=3, options=options).panel
    steps, _, within = laid(panel)
    x, log = np.random.default_rng(0).standard_normal((200, 20)), np.log1p(steps.session)
    none = predicted_growth(moments(steps, x[:, :0], within).residual[:, 2], log, within, x)
    grown = replace(steps, response=steps.response + 6.0 * x[steps.patient, 0] * log)
    found = predicted_growth(moments(grown, x[:, :0], within).residual[:, 2], log, within, x)
    assert none.std() < 0.5
    assert np.corrcoef(found, x[:, 0])[0, 1] > 0.97
    assert np.polyfit(x[:, 0], found, 1)[0] == pytest.approx(6.0, abs=1.0)


def test_own_slopes_tell_more_of_the_effects_than_after_partialling_out(drawn: list[Drawn]) -> None:
    gains = []
    for steps, x, within, effect in drawn:
        exact, ours = moments(steps, x, within), slope_moments(steps, x, within)
        gains.append(correlation(ours, effect) / correlation(exact, effect) - 1)
    assert np.mean(gains) > 2 * np.std(gains) / np.sqrt(len(gains))


def test_growth_does_not_pass_for_an_effect(drawn: list[Drawn]) -> None:
    """Left in, symptoms and alliance that rise together at both ends of the first column would pass for an effect."""
    kept, left = [], []
    for steps, x, within, _ in drawn:
        for out, m in ((kept, moments(steps, x[:, :0], within)), (left, slope_moments(steps, x, within))):
            weight = np.sqrt(m.cross[:, 1, 1])
            design = np.column_stack([np.ones(200), x[:, 0] ** 2, x[:, 1]])
            out.append(np.linalg.lstsq(design * weight[:, None], own(m) * weight, rcond=None)[0][1])
    assert np.mean(kept) > 0.6
    assert abs(np.mean(left)) < 0.3


def test_with_many_patients_it_is_partialled_out_exactly() -> None:
    steps, x, within = laid(simulate_clinic("null", n_patients=FEW, random_state=0).panel)
    np.testing.assert_array_equal(slope_moments(steps, x, within).cross, moments(steps, x, within).cross)


def test_no_intake_no_growth() -> None:
    steps, x, within = laid(simulate_clinic("null", n_patients=60, random_state=0).panel)
    np.testing.assert_allclose(slope_moments(steps, x[:, :0], within).cross, moments(steps, x[:, :0], within).cross)
