"""For whom, when, targeting, forecast value, power."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t
from sklearn.base import clone

from experiments import for_whom, forecast_value, power, power_check, targeting, when
from experiments.conditional import Estimate, phase_windows, window_grid
from experiments.conditions import RUPTURE, SYMPTOMS, conditions
from experiments.dynamics import panel_dynamics, whole_system
from experiments.null_courses import null_courses
from experiments.power import Plan, plan_from, power_table
from experiments.power_formula import average_power
from experiments.question import Question
from features.errors import NotEnoughData, OptionError
from personalize.effects.adjusted import Errors
from personalize.effects.average import average_effect
from personalize.effects.transitions import lay_grid
from personalize.simulate import simulate_clinic
from personalize.study.panel_store import panel_tables, rebuilt
from personalize.trajectories.forecast import TrajectoryForecaster
from tests.experiments.test_trait_mediation import grid_of


@pytest.fixture(scope="module")
def clinic():
    return simulate_clinic(n_patients=400, random_state=21)


# -- for whom -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whom(clinic):
    return for_whom.run(clinic.panel, truth=clinic.truth, random_state=1)


def test_differences_are_found_with_their_uncertainty(whom):
    rows = whom.table.set_index("quantity")
    assert rows.loc["SD of effects", "p_value"] < 0.05
    assert rows.loc["recovered: rank correlation with the truth", "estimate"] > 0.35
    assert 0.8 < rows.loc["recovered: coverage of the patients' intervals", "estimate"] <= 1.0  # nominal .90
    fifths = rows[rows.index.str.startswith("effect, fifth")]
    assert len(fifths) == 5 and fifths["covered"].sum() >= 3
    assert "more likely than not" in whom.sentence
    assert whom.falsification["passed"].all()


def test_where_all_are_alike_nobody_is_singled_out():
    panel, truth = simulate_clinic("constant", n_patients=200, random_state=2)
    result = for_whom.run(panel, truth=truth)
    assert "nobody is singled out" in result.sentence


def test_without_moderators_for_whom_says_what_is_needed():
    panel = simulate_clinic(n_patients=30, random_state=0).panel
    with pytest.raises(NotEnoughData, match="At least 40"):
        for_whom.run(panel)


# -- when ---------------------------------------------------------------------------------------------------------


def test_phases_are_recovered():
    panel, truth = simulate_clinic(n_patients=500, random_state=6, options={"phase_change": -4.0})
    result = when.run(panel, truth=truth)
    phases = result.table.iloc[:3]
    assert phases["covered"].all()
    assert phases["upper"].iloc[2] < 0 and "The effect changed" in result.sentence
    assert result.falsification["passed"].all()


def test_windows_share_their_border_and_start_late():
    grid = grid_of(np.ones((30, 9)), np.ones((30, 9)))
    assert phase_windows(grid, "after", 2) == [(0, 5), (4, 9)]
    late = window_grid(grid, 4, 9)
    assert late.outcome.shape == (30, 5) and late.first[0] == 5


def test_a_rupture_counts_only_before_the_rating(clinic):
    values = conditions(lay_grid(clinic.panel), "after")[RUPTURE]
    again = conditions(lay_grid(clinic.panel.first(6)), "after")[RUPTURE]
    np.testing.assert_array_equal(values[:, :6][np.isfinite(again)], again[np.isfinite(again)])
    assert np.isnan(values[:, 0]).all()


def test_conditions_by_hand():
    ratings = [[5.0, 5.2, 4.8, 5.15, 3.0, 5.2, 5.2, 5.2, 5.2]] * 30
    outcomes = [[4.0, 6.0, 4.0, 6.0, 4.0, 6.0, 4.0, 6.0, 5.0]] * 30
    found = conditions(grid_of(outcomes, ratings), "after")
    # the drop at the fifth rating counts for the three ratings that follow it
    np.testing.assert_array_equal(found[RUPTURE][0, 1:], [0, 0, 0, 0, 1, 1, 1, 0])
    np.testing.assert_allclose(found[SYMPTOMS][0, :2], [-1.0, 1.0])  # SD 1: eight squared deviations of 1 on 8 degrees
    turned = conditions(grid_of(outcomes, -np.array(ratings)), "after", better="low")
    np.testing.assert_array_equal(turned[RUPTURE], found[RUPTURE])


@pytest.mark.parametrize("timing", ["after", "before"])
def test_drawn_courses_obey_the_equations_they_are_drawn_from(timing):
    options = {"timing": timing, "missing_alliance": 0.1}
    panel = simulate_clinic(n_patients=800, random_state=3, options=options).panel
    found = panel_dynamics(panel)
    grid = null_courses(found, Errors()).draw(np.random.default_rng(0))
    assert np.array_equal(np.isnan(grid.alliance), np.isnan(found.grid.alliance))
    theta, _, covariance = whole_system(average_effect(grid, timing, found.x, found.clusters, Errors()))
    assert (np.abs(theta - found.theta) < 4 * np.sqrt(np.diag(covariance))).all()
    for drawn, seen in ((grid.outcome, found.grid.outcome), (grid.alliance, found.grid.alliance)):
        assert np.nanvar(drawn, axis=1).mean() == pytest.approx(np.nanvar(seen, axis=1).mean(), rel=0.1)


def test_a_condition_that_does_change_the_effect_is_found():
    """Without persistence and feedback a planted change reaches the next outcome only, so that its size is known."""
    planted = -3.0
    panel, truth = simulate_clinic(
        "constant", n_patients=800, random_state=4, options={"persistence": 0.0, "feedback": 0.0}
    )
    grid = lay_grid(panel)
    state = np.full(grid.outcome.shape, np.nan)
    state[np.isfinite(grid.outcome)] = truth.sessions["state"]
    rupture = np.nan_to_num(conditions(grid, "after")[RUPTURE])
    tables = panel_tables(panel)
    moved = grid.outcome.copy()
    moved[:, 1:] += planted * (rupture * state)[:, :-1]
    tables["sessions"]["symptoms"] = moved[np.isfinite(moved)]
    found = panel_dynamics(rebuilt(panel, tables))
    table = when.condition_table(found, Errors(), 0.95, draws=5, seed=0).set_index("quantity")
    rows = table.loc[[f"change of the effect: {name}" for name in (RUPTURE, SYMPTOMS)]]
    assert rows["lower"].iloc[0] <= planted <= rows["upper"].iloc[0] < 0
    assert rows["lower"].iloc[1] <= 0 <= rows["upper"].iloc[1]


def test_a_simulated_bias_is_taken_off_with_its_error():
    one = Estimate(1.0, np.array([0.3, 0.4]), 10).less_bias(np.array([0.1, 0.3]))
    assert one.value == pytest.approx(0.8)
    assert one.se == pytest.approx(np.sqrt(0.25 + 0.02 / 2))


def test_short_treatments_have_no_phases():
    panel = simulate_clinic(n_patients=60, n_sessions=12, random_state=0).panel.first(3)
    with pytest.raises(NotEnoughData, match="6 sessions or more"):
        when.run(panel)


# -- targeting ----------------------------------------------------------------------------------------------------


def test_toc_by_hand():
    benefit, priority = np.array([4.0, 2.0, 0.0, -2.0]), np.array([3.0, 2.0, 1.0, 0.0])
    toc, autoc, qini, *_ = targeting.statistics(benefit, priority, np.ones(4), 0.5)
    assert toc == pytest.approx(2.0)  # (4 + 2) / 2 − 1
    assert autoc == pytest.approx(np.mean([3.0, 2.0, 1.0, 0.0]))
    assert qini == pytest.approx(np.mean([0.75, 1.0, 0.75, 0.0]))
    assert targeting.statistics(benefit, -priority, np.ones(4), 0.5)[0] == pytest.approx(-2.0)


def test_a_weight_counts_like_a_copy():
    rng = np.random.default_rng(0)
    benefit, priority = rng.standard_normal((2, 6))
    weight = np.array([2.0, 1, 0, 1, 3, 1])
    copies = np.repeat(np.arange(6), weight.astype(int))
    one = targeting.statistics(benefit, priority, weight, 0.5)[0]
    order = np.argsort(-priority[copies], kind="stable")[:4]
    assert one == pytest.approx(benefit[copies][order].mean() - benefit[copies].mean())


def test_targeting_gains_what_the_truth_says(clinic):
    result = targeting.run(clinic.panel, truth=clinic.truth)
    rows = result.table.set_index(["rule", "quantity"])
    gain = rows.loc[("predicted benefit", "gain per 100 patients")]
    assert gain["lower"] > 0 and gain["covered"]
    assert result.table["covered"].mean() > 0.75
    assert result.falsification["passed"].all()
    with pytest.raises(OptionError, match="between 0 and 1"):
        targeting.run(clinic.panel, share=1.5)


# -- forecast value -----------------------------------------------------------------------------------------------


def test_a_strangers_alliance_is_nobodys_own():
    panel = simulate_clinic("harsh", n_patients=60, random_state=1).panel
    strange = forecast_value.with_strangers(panel, 0)
    assert np.array_equal(strange.outcome, panel.outcome, equal_nan=True)
    both = np.isfinite(strange.alliance) & np.isfinite(panel.alliance)
    same = pd.Series((strange.alliance == panel.alliance)[both]).groupby(panel.patient_index[both]).mean()
    assert same.max() < 1.0


def test_who_has_not_come_has_no_alliance_to_lend():
    panel = simulate_clinic("constant", n_patients=30, random_state=1).panel
    tables = panel_tables(panel)
    gone = panel.patient_ids[[10, 29]].tolist()  # in the middle and at the end
    tables["sessions"] = tables["sessions"][~tables["sessions"][panel.columns.patient].isin(gone)]
    panel = rebuilt(panel, tables)
    strange = forecast_value.with_strangers(panel, 0).alliance
    who = panel.patient_index
    lent = {tuple(np.round(panel.alliance[who == i], 9)[:3]) for i in np.unique(who)}
    assert all(tuple(np.round(strange[who == i], 9)[:3]) in lent for i in np.unique(who))


def test_gain_by_hand():
    panel = simulate_clinic(n_patients=40, random_state=1).panel
    index = pd.MultiIndex.from_product(
        [panel.patient_ids, [3], ["next session"]], names=["patient", "landmark", "horizon"]
    )
    without = pd.DataFrame({"mae": 2.0, "crps": 1.0}, index=index)
    better = pd.DataFrame({"mae": 1.5, "crps": 1.0}, index=index)
    found = forecast_value.compare(better, without, panel, 0.95, 0, folds=5)
    rows = pd.DataFrame(found).set_index(["metric", "landmark"])
    assert rows.loc[("mae", 3), "estimate"] == pytest.approx(0.25)
    assert rows.loc[("mae", 0), "lower"] == pytest.approx(0.25)  # the same share in everybody
    assert rows.loc[("crps", 0), "estimate"] == pytest.approx(0.0)


def test_intervals_of_the_gain_know_of_the_training_luck():
    panel = simulate_clinic(n_patients=40, random_state=1).panel  # two therapists: patients are the units
    index = pd.MultiIndex.from_product(
        [panel.patient_ids, [3], ["next session"]], names=["patient", "landmark", "horizon"]
    )
    without = pd.DataFrame({"mae": 2.0, "crps": 2.0}, index=index)
    better = without - np.where(np.arange(40) % 2, 1.0, 0.0)[:, None]
    row = forecast_value.compare(better, without, panel, 0.95, 0, folds=5)[0]
    plain = t.ppf(0.975, 39) * 0.25 / np.sqrt(39)  # shares 0 and .5, mean .25
    assert row["upper"] - row["estimate"] == pytest.approx(plain * np.sqrt((1 / 5 + 1 / 4) / (1 / 5)))


def test_members_that_never_hear_of_the_alliance_are_not_fitted_twice():
    panel = simulate_clinic(n_patients=60, n_sessions=8, random_state=3).panel
    forecaster = TrajectoryForecaster(n_folds=2, members=("direct", "growth", "mixed"))
    without_it = clone(forecaster).fit(forecast_value.deaf(panel))
    short, long = forecast_value.told(forecaster, panel, without_it), clone(forecaster).fit(panel)
    pd.testing.assert_frame_equal(*(forecast_value.losses(f, panel, (3,), (1, "last")) for f in (short, long)))
    pd.testing.assert_frame_equal(short.predict(panel.first(3)), long.predict(panel.first(3)))


def test_forecasts_with_and_without_the_alliance_are_paired():
    panel = simulate_clinic(n_patients=80, random_state=3).panel
    result = forecast_value.run(panel, landmarks=(4,), horizons=(1,), members=("direct",))
    assert result.table["landmark"].tolist() == [4, 0, 4, 0]
    assert result.table["n"].nunique() == 1
    with pytest.raises(NotEnoughData, match="at least 40"):
        forecast_value.usable_landmarks(panel.first(3), (3, 5))
    with pytest.raises(NotEnoughData, match="Columns\\(alliance="):
        forecast_value.run(panel.renamed(replace(panel.columns, alliance=None)))


# -- power --------------------------------------------------------------------------------------------------------


def test_the_plan_adds_up():
    o = Plan(effect_sd=2.0, predictable=0.5).options()
    parts = o.linear_moderators**2 + o.nonlinear_moderators**2 + o.patient_effect_sd**2 + o.therapist_effect_sd**2
    assert parts == pytest.approx(4.0)
    with pytest.raises(OptionError, match="share from 0 to 1"):
        Plan(predictable=2.0)


def test_a_pilot_gives_the_numbers_of_its_clinic(clinic):
    plan = plan_from(Question(clinic.panel))
    o = clinic.truth.options
    assert plan.persistence == pytest.approx(o.persistence, abs=0.08)
    assert plan.noise_sd == pytest.approx(o.noise_sd, rel=0.1)
    assert plan.state_sd == pytest.approx(o.state_sd, rel=0.15)
    assert plan.effect_sd == pytest.approx(clinic.truth.patients["effect"].std(), rel=0.35)
    assert plan.patients_per_therapist == 20


def test_the_closed_form_of_power_by_hand():
    o = Plan(effect=-1.0, effect_sd=0.0, state_memory=0.0, persistence=0.0, feedback=0.0).options()
    # independent sessions: 7 steps leave 6 state variances a patient
    error = np.sqrt(5.0**2 / (6 * 0.45**2) / 400)
    expected = norm.sf(1.96 - 1.0 / error)
    assert average_power(o, 400, 8, 1) == pytest.approx(expected, abs=0.01)
    assert average_power(replace(o, average_effect=0.0), 400, 8, 20) == pytest.approx(0.05)
    assert average_power(replace(o, average_effect=-40.0), 400, 8, 20) == 1.0
    assert average_power(replace(o, therapist_effect_sd=1.0), 400, 8, 20) < average_power(o, 400, 8, 20)


def test_simulated_power_lies_where_the_closed_form_puts_it():
    """The average effect only; 60 studies, two Monte Carlo errors .13."""
    plan = Plan(effect=-1.5, effect_sd=0.0)
    found = sum(power_check.shown(plan, 100, 8, seed) for seed in range(60))
    best = average_power(plan.options(), 100, 8, 20)
    assert best - power.FORMULA_COSTS - 0.13 < found / 60 < best + 0.13


def test_closed_form_and_simulation_stand_side_by_side(monkeypatch, capsys):
    monkeypatch.setattr(power_check, "SIZES", ((60, 8),))
    monkeypatch.setattr(power_check, "DIFFERENCES", ((0.0, 0.0), (1.9, 0.3)))
    table = power_check.power_check(4)
    plans = Plan(effect=-1.0, effect_sd=0.0), Plan(effect=-1.0, effect_sd=1.9, alliance_sem=0.3)
    assert table["formula"].tolist() == [average_power(plan.options(), 60, 8, 20) for plan in plans]
    shown = [np.mean([power_check.shown(plan, 60, 8, seed) for seed in range(4)]) for plan in plans]
    assert table["simulated"].tolist() == shown
    assert power_check.main(["--clinics", "4"]) == 0 and "0.325" in capsys.readouterr().out


def test_power_table_by_hand():
    rows = pd.DataFrame({"patients": 100, "sessions": 8, **{key: [1.0, 1.0, 0.0, 1.0] for key in power.TARGETS}})
    table = power_table(rows)
    assert table["estimate"].tolist() == [0.75] * 4
    assert table["lower"].iloc[0] == pytest.approx(0.3006, abs=1e-3)  # Wilson's interval of 3 in 4
    assert table["upper"].iloc[0] == pytest.approx(0.9544, abs=1e-3)


def test_power_runs_resumes_and_refuses_another_plan(tmp_path, clinic):
    path = str(tmp_path / "power.jsonl")
    options = {"patients": (60,), "sessions": (8,), "checkpoint": path}
    first = power.run(clinic.panel, plan=Plan(), repeats=1, **options)
    again = power.run(clinic.panel, plan=Plan(), repeats=1, **options)
    pd.testing.assert_frame_equal(first.table, again.table)
    assert set(first.table["target"]) == set(power.TARGETS)
    from features.errors import FileError

    with pytest.raises(FileError, match="'plan'"):
        power.run(clinic.panel, plan=Plan(effect=0.0), repeats=1, **options)
    with pytest.raises(OptionError, match="from 40"):
        power.run(clinic.panel, plan=Plan(), patients=(5,))
