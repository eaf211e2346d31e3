"""For whom, when, targeting, forecast value, power."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from experiments import for_whom, forecast_value, power, targeting, when
from experiments.conditional import phase_windows, window_grid
from experiments.dynamics import panel_dynamics
from experiments.power import Plan, plan_from, power_table
from experiments.question import Question
from features.errors import NotEnoughData, OptionError
from personalize.simulate import simulate_clinic
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
    found = panel_dynamics(clinic.panel)
    values = when.conditions(found)[when.RUPTURE]
    cut = clinic.panel.first(6)
    again = when.conditions(panel_dynamics(cut))[when.RUPTURE]
    np.testing.assert_array_equal(values[:, :6][np.isfinite(again)], again[np.isfinite(again)])
    assert np.isnan(values[:, 0]).all()


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


def test_gain_by_hand():
    panel = simulate_clinic(n_patients=40, random_state=1).panel
    index = pd.MultiIndex.from_product(
        [panel.patient_ids, [3], ["next session"]], names=["patient", "landmark", "horizon"]
    )
    without = pd.DataFrame({"mae": 2.0, "crps": 1.0}, index=index)
    better = pd.DataFrame({"mae": 1.5, "crps": 1.0}, index=index)
    rows = pd.DataFrame(forecast_value.compare(better, without, panel, 0.95, 0)).set_index(["metric", "landmark"])
    assert rows.loc[("mae", 3), "estimate"] == pytest.approx(0.25)
    assert rows.loc[("mae", 0), "lower"] == pytest.approx(0.25)  # the same share in everybody
    assert rows.loc[("crps", 0), "estimate"] == pytest.approx(0.0)


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
