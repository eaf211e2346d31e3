"""Attributions that add up, scenarios that are forecast plus effect, the not-on-track signal."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel
from features.errors import OptionError
from personalize import explain
from personalize.explain.attributions import shapley_values
from personalize.explain.on_track import wilson
from personalize.explain.patient_effects import carried
from personalize.explain.seen_range import seen_range
from tests.personalize.report_clinic import fitted

GROUPS = ["baseline patient", "baseline therapist", "trait alliance", "state alliance", "outcome history", "time"]
EXACT = 1e-8  # relative: nothing but rounding


def test_shapley_values_match_a_slow_average_over_orders():
    value = np.random.default_rng(0).normal(size=(16, 3))
    slow = np.zeros((4, 3))
    for order in permutations(range(4)):
        inside = 0
        for group in order:
            slow[group] += (value[inside | 1 << group] - value[inside]) / 24
            inside |= 1 << group
    assert shapley_values(value) == pytest.approx(slow)


def test_attributions_add_up_to_the_reported_forecast():
    panel, forecaster, _ = fitted()
    table = explain.attributions(forecaster, panel)
    said = forecaster.predict(panel)
    assert table["forecast"].tolist() == pytest.approx(said["mean"].tolist(), rel=EXACT)
    total = table[GROUPS].sum(axis=1)
    scale = table["forecast"].abs().max()
    assert (total - (table["forecast"] - table["background"])).abs().max() <= EXACT * scale
    assert table["outcome history"].abs().mean() > 1.0  # a forecast that ignored the course would be a bug


def test_attributions_follow_the_request():
    panel, forecaster, _ = fitted()
    one = panel.patient_ids[3]
    at = pd.DataFrame({"patient_id": [one, one], "session": [40, 41]})
    table = explain.attributions(forecaster, panel, at=at)
    assert table[["patient_id", "session"]].to_numpy().tolist() == at.to_numpy().tolist()


def test_average_attributions_by_hand():
    table = pd.DataFrame({"forecast": [1.0, 2.0], "background": 0.0, "time": [1.0, -3.0]})
    average = explain.average_attributions(table).iloc[0]
    assert (average["mean"], average["size"], average["n"]) == (-1.0, 2.0, 2)


def test_fan_asks_every_step_and_agrees_with_predict():
    panel, forecaster, _ = fitted()
    fan = explain.fan(forecaster, panel, sessions=5)
    assert fan["step"].tolist() == list(range(1, 6)) * panel.n_patients
    asked = fan[["patient_id", "session"]]
    assert fan["mean"].tolist() == forecaster.predict(panel, asked)["mean"].tolist()
    last = panel.session[panel.offsets[1:] - 1]
    assert fan.loc[fan["step"] == 1, "session"].tolist() == (last + 1).tolist()


def test_scenario_is_the_forecast_plus_the_effect():
    panel, forecaster, effect = fitted()
    out = explain.scenarios(forecaster, effect, panel, shift=1.0, sessions=4)
    rho, beta = effect.persistence_["estimate"], effect.effects_["estimate"].to_numpy()
    by_step = [beta * effect.state_sd_ * carried(np.array(rho), k) for k in (1, 2, 3, 4)]
    expected = np.stack(by_step, axis=1).ravel()
    assert out["moved"].tolist() == pytest.approx(expected.tolist())
    assert (out["mean"] - out["forecast"]).tolist() == pytest.approx(expected.tolist())
    fan = explain.fan(forecaster, panel, sessions=4)
    assert out["forecast"].tolist() == fan["mean"].tolist()
    # the effect's uncertainty comes on top of the forecast's
    assert ((out["upper"] - out["lower"]) > (fan["upper"] - fan["lower"]) - 1e-9).all()


def test_scenarios_are_symmetric_and_nothing_without_a_shift():
    panel, forecaster, effect = fitted()
    out = explain.scenarios(forecaster, effect, panel, shift=(-1.0, 0.0, 1.0), sessions=3)
    down, none, up = (out[out["shift"] == d].reset_index(drop=True) for d in (-1.0, 0.0, 1.0))
    assert down["moved"].tolist() == pytest.approx((-up["moved"]).tolist())
    assert none["mean"].tolist() == none["forecast"].tolist()
    fan = explain.fan(forecaster, panel, sessions=3)
    assert none["lower"].tolist() == pytest.approx(fan["lower"].tolist())


def test_scenario_says_where_it_leaves_the_alliances_seen():
    panel, forecaster, effect = fitted()
    far = explain.scenarios(forecaster, effect, panel, shift=50.0, sessions=1)
    assert far["outside"].all()
    assert far["note"].str.contains("would leave what was seen").all()
    assert not explain.scenarios(forecaster, effect, panel, shift=0.0, sessions=1)["outside"].any()


@pytest.mark.parametrize("shift", [float("nan"), []])
def test_scenarios_refuse_shifts_that_are_none(shift):
    panel, forecaster, effect = fitted()
    with pytest.raises(OptionError, match="shift="):
        explain.scenarios(forecaster, effect, panel, shift=shift)


def test_scenarios_refuse_a_fan_that_is_too_short():
    panel, forecaster, effect = fitted()
    short = explain.fan(forecaster, panel, sessions=2)
    with pytest.raises(OptionError, match="fewer steps"):
        explain.scenarios(forecaster, effect, panel, sessions=4, forecasts=short)


def test_seen_range_by_hand():
    frame = pd.DataFrame(
        {"patient_id": ["a", "a", "b", "b"], "session": [1, 2, 1, 2], "y": [1, 2, 3, 5], "w": [1.0, 3.0, 2.0, 4.0]}
    )
    people = pd.DataFrame({"patient_id": ["a", "b", "c"]})
    panel = Panel(frame, people, columns=Columns(outcome="y", alliance="w"), better="low")
    found = seen_range(panel)
    assert found.level.tolist() == [2.0, 3.0, 2.5]  # the one without sessions stands at the mean
    assert found.lower.tolist() == pytest.approx([1.03] * 3)  # 1st percentile of 1, 2, 3, 4
    assert found.outside(2.0).tolist() == [True, True, True]
    assert found.outside(0.5).tolist() == [False, False, False]


def test_seen_range_of_one_patient_is_that_of_the_reference():
    panel, _, _ = fitted()
    whole, alone = seen_range(panel), seen_range(panel.subset([panel.patient_ids[9]]), panel)
    assert (alone.lower[0], alone.upper[0], alone.level[0]) == (whole.lower[9], whole.upper[9], whole.level[9])


def test_on_track_flags_those_beyond_the_bound_and_counts_them_right():
    panel, forecaster, _ = fitted()
    found = explain.on_track(forecaster, panel, landmarks=(3, 5))
    signal = found.signals
    assert (signal["off_track"] == (signal["outcome"] > signal["bound"])).all()
    assert (signal["bound"] > signal["expected"]).all()
    at = signal[signal["session"] == 3].set_index("patient")
    rows = pd.DataFrame({"p": panel.sessions["patient_id"], "y": panel.outcome})
    first, last = rows.groupby("p")["y"].first(), rows.groupby("p")["y"].last()
    long = rows.groupby("p").size()
    at = at[long.loc[at.index].to_numpy() > 3]
    failed = (first - last).loc[at.index] < found.points
    sensitivity = at["off_track"][failed].mean()
    table = found.accuracy.set_index(["session", "statistic"])
    assert table.loc[(3, "sensitivity"), "estimate"] == pytest.approx(sensitivity)
    assert table.loc[(3, "sensitivity"), "n"] == int(failed.sum())
    assert table.loc[(3, "specificity"), "estimate"] == pytest.approx(1 - at["off_track"][~failed].mean())


def test_on_track_flags_about_one_in_ten_and_more_with_a_lower_bar():
    panel, forecaster, _ = fitted()
    strict = explain.on_track(forecaster, panel, landmarks=(5,), probability=0.9)
    loose = explain.on_track(forecaster, panel, landmarks=(5,), probability=0.5)
    assert 0.02 < strict.signals["off_track"].mean() < 0.25
    assert 0.35 < loose.signals["off_track"].mean() < 0.65


def test_on_track_refuses_landmarks_without_a_course():
    panel, forecaster, _ = fitted()
    with pytest.raises(OptionError, match="from 2"):
        explain.on_track(forecaster, panel, landmarks=(1,))
    with pytest.raises(OptionError, match="fewer than ten patients"):
        explain.on_track(forecaster, panel, landmarks=(90,))


def test_wilson_without_a_case_is_unknown():
    assert all(np.isnan(v) for v in wilson(0, 0))
