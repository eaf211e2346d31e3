"""Expected-response curve and the not-on-track signal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, NotEnoughData, OptionError, Panel
from features.errors import NotFitted
from personalize.trajectories.expected import ExpectedResponse
from tests.personalize.forecasting import clinic, toy


def courses(n: int = 300, seed: int = 0, better: str = "low") -> Panel:
    """First score x, then x - 2·log(session) on average; noise with SD 2."""
    rng = np.random.default_rng(seed)
    first = rng.uniform(10, 30, n)
    session = np.tile(np.arange(1, 8), n)
    score = np.repeat(first, 7) - 2 * np.log(session) + np.where(session > 1, rng.normal(0, 2, 7 * n), 0)
    who = np.repeat([f"p{i}" for i in range(n)], 7)
    return Panel(pd.DataFrame({"patient_id": who, "session": session, "outcome": score}), better=better)


def test_the_curve_is_the_average_course_of_the_first_score():
    curve = ExpectedResponse().fit(courses()).curve([12.0, 28.0], [2, 7])
    truth = curve["severity"] - 2 * np.log(curve["time"])
    np.testing.assert_allclose(curve["expected"], truth, atol=0.35)
    assert (curve["lower"] < truth).all() and (truth < curve["upper"]).all()


@pytest.mark.parametrize("tolerance", [0.5, 0.8, 0.95])
def test_the_band_holds_the_stated_share(tolerance):
    signal = ExpectedResponse(tolerance=tolerance).fit(courses()).signal(courses(400, seed=1))
    assert (signal["signal"] == "on track").mean() == pytest.approx(tolerance, abs=0.04)


@pytest.mark.parametrize(("better", "high_is"), [("low", "not on track"), ("high", "better than expected")])
def test_unfavourable_follows_the_direction_of_the_measure(better, high_is):
    signal = ExpectedResponse().fit(courses(better=better)).signal(courses(better=better, seed=2))
    above = signal["outcome"] > signal["upper"]
    assert above.any()
    assert (signal.loc[above, "signal"] == high_is).all()


def test_a_signal_does_not_look_ahead():
    panel = clinic()
    fitted = ExpectedResponse().fit(panel)
    whole, cut = fitted.signal(panel), fitted.signal(panel.first(4))
    both = cut.merge(whole, on=["patient_id", "session"], suffixes=("", "_whole"))
    assert len(both) == len(cut)
    assert (both["signal"] == both["signal_whole"]).all()


def test_the_signal_finds_patients_who_stay_ill():
    """Patients who get worse for good from session 2 on are found, those on the common course are mostly left alone."""
    panel = courses(400, seed=3)
    ill = np.random.default_rng(0).random(400) < 0.3
    outcome = panel.outcome + np.where(ill[panel.patient_index] & (panel.session > 1), 8.0, 0.0)
    sick = Panel(panel.sessions.assign(outcome=outcome), columns=Columns(), better="low")
    out = ExpectedResponse(tolerance=0.6).accuracy(sick, landmarks=(3,), reliable_change=1.0).set_index("metric")
    assert out.loc["sensitivity", "estimate"] > 0.6
    assert out.loc["specificity", "estimate"] > 0.8
    assert out.loc["signalled", "n"] == 400
    assert ((out["lower"] <= out["estimate"]) & (out["estimate"] <= out["upper"])).all()


def test_bad_input():
    with pytest.raises(NotFitted, match="call fit"):
        ExpectedResponse().signal(toy())
    with pytest.raises(OptionError, match="tolerance"):
        ExpectedResponse(tolerance=1.2).fit(toy())
    with pytest.raises(NotEnoughData, match="10 are needed"):
        ExpectedResponse().fit(toy(4))
    with pytest.raises(OptionError, match="reliable_change"):
        ExpectedResponse().accuracy(clinic())
