"""Inputs of a forecast by group: exact, complete, and fit for coalitions."""

from __future__ import annotations

import numpy as np
import pytest

from features import OptionError
from features.feature import GROUPS
from personalize.trajectories.baselines import expected_response, mixed_model, nearest_neighbours
from personalize.trajectories.forecast import TrajectoryForecaster
from tests.personalize.forecasting import clinic, fitted, fitted_toy, toy


@pytest.mark.parametrize("seen", [0, 1, 5])
def test_own_inputs_give_the_reported_mean(seen):
    history = clinic().first(seen)
    inputs = fitted().attribution_inputs(history)
    np.testing.assert_allclose(fitted().mean_from(inputs.values), fitted().predict(history)["mean"], rtol=1e-12)


def test_reported_means_at_the_floor_too():
    history = toy().first(4)
    inputs = fitted_toy().attribution_inputs(history)
    np.testing.assert_allclose(fitted_toy().mean_from(inputs.values), fitted_toy().predict(history)["mean"], rtol=1e-12)


def test_boosted_trees_are_part_of_it():
    panel = clinic(500, 6, "nonlinear")
    forecaster = TrajectoryForecaster(random_state=0).fit(panel)
    booster = forecaster.model_.members["boosted"]
    alone = TrajectoryForecaster(members=("lightgbm",)).fit(clinic())
    for one, of in ((forecaster, panel), (alone, clinic())):
        history = of.first(3)
        inputs = one.attribution_inputs(history)
        np.testing.assert_allclose(one.mean_from(inputs.values), one.predict(history)["mean"], rtol=1e-6)
    assert alone.model_.members["lightgbm"].rounds > 0 and booster.rounds >= 0


@pytest.mark.parametrize("make", [mixed_model, nearest_neighbours])
def test_plain_members_alone_are_taken_apart_exactly(make):
    forecaster = make().fit(clinic())
    for seen in (0, 3):
        history = clinic().first(seen)
        inputs = forecaster.attribution_inputs(history)
        np.testing.assert_allclose(forecaster.mean_from(inputs.values), forecaster.predict(history)["mean"], rtol=1e-10)


def test_addends_of_the_mixed_model_are_what_leaving_things_out_changes():
    forecaster, history = mixed_model().fit(clinic()), clinic().first(3)
    inputs = forecaster.attribution_inputs(history)
    of = {name: inputs.values[:, inputs.names.index(f"mixed_{name}")] for name in ("time", "patient", "history")}
    new = forecaster.attribution_inputs(clinic().first(0))
    assert np.ptp(of["time"][::3]) < np.ptp(of["history"]), "time says the same of everybody at the same session"
    assert np.abs(new.values[:, new.names.index("mixed_history")]).max() < 1e-9
    assert np.abs(of["patient"]).max() > 0.1


def test_every_input_has_a_group_and_backgrounds_are_forecasts_too():
    inputs = fitted().attribution_inputs(clinic().first(3))
    assert len(inputs.names) == len(inputs.groups) == inputs.values.shape[1] == inputs.background.shape[1]
    assert set(inputs.groups) <= set(GROUPS)
    assert {"baseline patient", "trait alliance", "state alliance", "outcome history", "time"} <= set(inputs.groups)
    background = fitted().mean_from(inputs.background)
    assert np.isfinite(background).all()
    assert len(np.unique(background.round(9))) == 2, "one background for sessions ahead, one for last sessions"
    outcome = clinic().outcome
    assert np.abs(background - np.nanmean(outcome)).max() < np.nanstd(outcome)


def test_each_group_moves_the_forecast_and_a_last_session_stays_one():
    inputs = fitted().attribution_inputs(clinic().first(3))
    whole = fitted().mean_from(inputs.values)
    for group in ("baseline patient", "outcome history", "state alliance", "time"):
        without = np.where(np.array(inputs.groups) == group, inputs.background, inputs.values)
        assert np.abs(fitted().mean_from(without) - whole).max() > 1e-3, group
        gap = inputs.names.index("gap")
        np.testing.assert_array_equal(np.isnan(without[:, gap]), np.isnan(inputs.values[:, gap]))


def test_members_that_cannot_be_taken_apart_say_so():
    forecaster = expected_response().fit(toy())
    with pytest.raises(OptionError, match="cannot be taken apart"):
        forecaster.mean_from(forecaster.attribution_inputs(toy().first(2)).values)
