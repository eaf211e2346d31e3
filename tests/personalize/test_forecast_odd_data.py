"""Courses that are short, flat, sparse or pile up at the end of a scale: finite, ordered, inside, covering."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, NotEnoughData, Panel
from features.measures import Measure
from personalize.trajectories.distribution import QUANTILES, floor_slack, quantile_name
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import held_out
from tests.personalize.forecasting import SCALE, toy_tables

NUMBERS = ["mean", "lower", "upper", "band_lower", "band_upper", *map(quantile_name, QUANTILES)]


def panel_of(sessions: pd.DataFrame, patients: pd.DataFrame | None, scale: Measure | None = None) -> Panel:
    if scale is None:
        return Panel(sessions, patients, columns=Columns(outcome="score"), better="low")
    return Panel(sessions, patients, columns=Columns(outcome="score"), measures={"score": scale})


def odd(kind: str) -> Panel:
    rng = np.random.default_rng(0)
    sessions, patients = toy_tables(14 if kind == "fourteen patients" else 60)
    if kind == "two sessions each":
        return panel_of(sessions[sessions["session"] <= 2], patients)
    if kind == "hardly any variation":
        return panel_of(sessions.assign(score=7.0 + (rng.random(len(sessions)) < 0.1)), patients)
    if kind == "half the ratings missing":
        return panel_of(sessions.assign(score=sessions["score"].where(rng.random(len(sessions)) < 0.5)), patients)
    if kind == "intake all missing":
        return panel_of(sessions, patients.assign(age=np.nan, sex=None))
    if kind == "no intake table":
        return panel_of(sessions, None)
    if kind == "four scores":
        coarse = Measure("coarse", minimum=0, maximum=3, better="low")
        return panel_of(sessions.assign(score=np.round(sessions["score"] / 10)), patients, coarse)
    if kind == "three to forty sessions":
        lengths = rng.integers(3, 41, 30)
        who = np.repeat(np.arange(30), lengths)
        step = np.concatenate([np.arange(n) + 1 for n in lengths])
        score = rng.normal(15, 4, 30)[who] + rng.normal(0, 3, len(who))
        return panel_of(pd.DataFrame({"patient_id": who.astype(str), "session": step, "score": score}), None)
    return panel_of(sessions, patients)


@pytest.mark.parametrize(
    "kind",
    [
        "fourteen patients",
        "two sessions each",
        "hardly any variation",
        "half the ratings missing",
        "intake all missing",
        "no intake table",
        "four scores",
        "three to forty sessions",
    ],
)
def test_forecasts_are_finite_ordered_and_inside(kind):
    panel = odd(kind)
    forecaster = TrajectoryForecaster(n_folds=3).fit(panel)
    for seen in (0, 1, 2):
        out = forecaster.predict(panel.first(seen))
        values = out[NUMBERS].to_numpy()
        assert np.isfinite(values).all()
        assert (np.diff(out[list(map(quantile_name, QUANTILES))].to_numpy(), axis=1) >= 0).all()
        assert (out["band_lower"] <= out["lower"]).all() and (out["band_upper"] >= out["upper"]).all()
        assert (out["lower"] <= out["upper"]).all()
        if kind == "four scores":
            assert values.min() >= 0 and values.max() <= 3


def floored(n: int, seed: int) -> Panel:
    """Five scores of six are zero."""
    sessions, patients = toy_tables(n, seed=seed)
    zero = np.random.default_rng(seed).random(len(sessions)) < 5 / 6
    return panel_of(sessions.assign(score=np.where(zero, 0.0, sessions["score"])), patients, SCALE)


def test_intervals_hold_where_scores_pile_up_at_the_floor():
    panel = floored(150, 0)
    rows = held_out(
        TrajectoryForecaster(members=("direct", "growth")), panel, landmarks=(1, 2), horizons=(1, "last"), baselines={}
    ).rows
    inside = (rows["outcome"] >= rows["lower"]) & (rows["outcome"] <= rows["upper"])
    # 90 % of 150 patients within 4 Monte Carlo standard errors; more than that only because a floor cannot be halved
    assert inside.mean() > 0.9 - 4 * np.sqrt(0.09 / 150)
    missed_below = (rows["outcome"] < rows["lower"]).groupby([rows["landmark"], rows["horizon"]]).mean()
    assert missed_below.max() < 0.1, "an interval that ends just above the floor would miss most patients"


def test_the_step_between_scores_ignores_fractions_and_continuous_outcomes():
    assert floor_slack(floored(60, 1)) == 0.5
    sessions, patients = toy_tables(60)
    half = sessions.assign(score=sessions["score"].where(sessions.index != 3, 4.37))
    assert floor_slack(panel_of(half, patients, SCALE)) == 0.5
    noise = np.random.default_rng(0).uniform(0, 30, len(sessions))
    assert floor_slack(panel_of(sessions.assign(score=noise), patients, SCALE)) == 0
    assert floor_slack(panel_of(sessions, patients)) == 0, "a measure without ends has no floor"


def test_an_outcome_that_varies_in_one_fold_alone_is_refused():
    sessions, patients = toy_tables(60)
    flat = sessions.assign(score=np.where(sessions["patient_id"] == "p007", sessions["score"], 7.0))
    with pytest.raises(NotEnoughData, match="for all patients but those of one fold of 5"):
        TrajectoryForecaster().fit(panel_of(flat, patients))


@pytest.mark.parametrize("therapists", [8, 30])
def test_a_mixed_model_learns_what_sets_therapists_apart_only_from_enough_of_them(therapists):
    """Five columns of eight therapists would be learned by heart; a new therapist could then be forecast anything."""
    sessions, patients = toy_tables(120)
    names = [f"t{i % therapists:02d}" for i in range(len(patients))]
    rng = np.random.default_rng(1)
    about = pd.DataFrame(rng.normal(size=(therapists, 5)), columns=list("abcde"))
    staff = about.assign(therapist_id=sorted(set(names)))
    columns = Columns(outcome="score")
    panel = Panel(sessions, patients.assign(therapist_id=names), staff, columns=columns, measures={"score": SCALE})
    forecaster = TrajectoryForecaster(members=("mixed",)).fit(panel)
    history = panel.first(3).subset(np.array([0]))
    means = []
    for size in (0.0, 2.0):
        stranger = pd.DataFrame({"therapist_id": ["new"], **{name: [size] for name in "abcde"}})
        one = history.patients.assign(therapist_id="new")
        new = Panel(history.sessions, one, stranger, columns=columns, measures={"score": SCALE})
        means.append(forecaster.predict(new)["mean"].to_numpy())
    assert np.array_equal(*means) == (therapists == 8)
    assert np.abs(means[1] - means[0]).max() < 5
