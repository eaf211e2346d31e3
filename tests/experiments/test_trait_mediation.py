import numpy as np
import pandas as pd
import pytest

from experiments import trait_mediation
from experiments.dynamics import panel_dynamics
from experiments.left_out import left_out
from experiments.levels import patient_levels
from experiments.mean_errors import autocovariance, mean_errors, pair_counts
from experiments.mediation import Paths, linear_paths, linear_scores, mediate
from features import Columns, Panel
from features.errors import NotEnoughData
from personalize.effects.adjusted import Errors
from personalize.effects.transitions import Grid
from personalize.simulate import simulate_clinic
from personalize.study.panel_store import panel_tables, rebuilt


def grid_of(outcome, alliance) -> Grid:
    n, steps = np.shape(outcome)
    return Grid(np.array(outcome, float), np.array(alliance, float), np.empty((n, steps, 0)), np.ones(n), 1, 0)


def test_error_of_a_mean_by_hand():
    # outcome seen at sessions 1 and 3, alliance at 2 only
    counts = pair_counts(grid_of([[1, np.nan, 1]], [[np.nan, 1, np.nan]]), "after")
    theta = np.array([0.5, 0.0, 0.25, 0.0, 0.0])  # two separate autoregressions
    gamma = autocovariance(theta, 3.0, 1.875, 3)
    error = mean_errors(counts, gamma, Errors(outcome=1.0, alliance=0.5))
    outcome_variance, alliance_variance = 3.0 / (1 - 0.25), 1.875 / (1 - 0.0625)
    assert error[0] == pytest.approx(outcome_variance * (2 + 2 * 0.25) / 4 + 1.0 / 2)
    assert error[1] == pytest.approx(0.0)
    assert error[2] == pytest.approx(alliance_variance + 0.25)


@pytest.mark.parametrize("timing", ["after", "before"])
def test_model_errors_are_those_of_a_long_simulation(timing):
    options = {
        "level_sd": 0.0,
        "trait_sd": 0.0,
        "therapist_alliance_sd": 0.0,
        "therapist_outcome_sd": 0.0,
        "timing": timing,
    }
    options |= {
        "baseline_to_trait": 0.0,
        "baseline_to_outcome": 0.0,
        "severity_to_level": 0.0,
        "symptom_gain_baseline": 0.0,
    }
    options |= {"alliance_rise_baseline": 0.0, "length_spread": 0.0, "missing_intake": 0.0}
    panel, truth = simulate_clinic("constant", n_patients=4000, n_sessions=6, random_state=0, options=options)
    y, a = (v.reshape(4000, 6) for v in (panel.outcome, panel.alliance))
    o = truth.options
    theta = np.array([o.persistence, o.average_effect, o.state_memory, o.feedback, 0.0])
    gamma = autocovariance(theta, o.noise_sd**2, o.state_sd**2 * (1 - o.state_memory**2), 6)
    model = mean_errors(pair_counts(grid_of(y, a), timing), gamma, Errors())[:, 0]
    means = np.array([y.mean(axis=1), a.mean(axis=1)])
    seen = np.cov(means)
    # 4,000 patients: standard error of a variance about 2.2 %; everybody's trend is constant over patients
    assert model == pytest.approx([seen[0, 0], seen[0, 1], seen[1, 1]], rel=0.08)


def test_a_memory_without_end_is_refused():
    with pytest.raises(NotEnoughData, match="more sessions a patient"):
        autocovariance(np.array([0.99, 0.0, 0.3, 0.0, 0.0]), 1.0, 1.0, 3)


@pytest.fixture(scope="module")
def clinic():
    return simulate_clinic(n_patients=300, random_state=12)


def test_without_error_the_paths_are_least_squares(clinic):
    found = panel_dynamics(clinic.panel)
    levels = patient_levels(found, 0)
    both = levels.adjusted(np.ones(int(levels.group.max()) + 1))
    paths, _, _ = linear_paths(levels, both, np.zeros((3, len(levels.who))), np.ones(len(levels.who)))
    design = np.column_stack([np.ones(len(levels.who)), levels.x, both[1]])
    plain = np.linalg.lstsq(design, both[0], rcond=None)[0]
    assert paths.outcome == pytest.approx(plain[-1])
    assert paths.direct == pytest.approx(plain[1:-1], abs=1e-6)
    assert paths.reliability == 1.0


def test_a_session_may_be_rated_in_one_score_only(clinic):
    tables, columns = panel_tables(clinic.panel), clinic.panel.columns
    late = tables["sessions"][columns.session] > 8
    tables["sessions"].loc[late, columns.alliance] = np.nan
    levels = patient_levels(panel_dynamics(rebuilt(clinic.panel, tables)), 0)
    assert np.isfinite(levels.adjusted(np.ones(int(levels.group.max()) + 1))).all()


def test_taking_the_error_out_undoes_the_attenuation(clinic):
    """Regression of the level on a mean of few sessions is biased; the corrected path is nearer, over clinics."""
    naive, corrected = [], []
    for seed in range(4):
        panel = simulate_clinic("constant", n_patients=1000, n_sessions=5, random_state=seed).panel
        found = panel_dynamics(panel)
        fit = mediate(found, Errors(), n_bootstrap=0, seed=0, targets=np.zeros(0, dtype=np.intp))
        corrected.append(fit.linear.outcome)
        ones = np.ones(len(fit.levels.who))
        both = fit.levels.adjusted(np.ones(int(fit.levels.group.max()) + 1))
        naive.append(linear_paths(fit.levels, both, np.zeros((3, len(ones))), ones)[0].outcome)
    truth = -4.0
    assert abs(np.mean(corrected) - truth) < 3 * np.std(corrected) / np.sqrt(4)
    assert abs(np.mean(corrected) - truth) < abs(np.mean(naive) - truth)


def test_leaving_a_therapist_out_is_a_regression_without_that_therapist():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(8), 5)
    x, z, y = rng.standard_normal((40, 3)), rng.standard_normal(8)[group], rng.standard_normal(40)
    design = np.column_stack([np.ones(40), x, z])
    slow = [np.linalg.lstsq(design[group != g], y[group != g], rcond=None)[0][-1] for g in range(8)]
    whole = np.linalg.lstsq(design, y, rcond=None)[0][-1]
    value, se = left_out(x, y, group).slope(z)
    assert value == pytest.approx(whole)
    assert se == pytest.approx(np.sqrt(7 / 8 * ((np.array(slow) - whole) ** 2).sum()))
    assert left_out(x, y, group).slope(x[:, 0]) == (0.0, np.inf)


def test_sensitivity_is_zero_where_it_says_so():
    paths = Paths(np.array([0.2]), -4.0, np.array([0.0]), -0.3, 0.8, -4.0)
    ratio = paths.outcome / paths.residual_correlation
    at = trait_mediation.sensitivity_curve(paths, ratio, 0, [-0.3, 0.0])
    assert at[0] == pytest.approx(0.0)
    assert at[1] == pytest.approx(paths.indirect[0])


@pytest.fixture(scope="module")
def answer(clinic):
    return trait_mediation.run(clinic.panel, truth=clinic.truth, learned=False)


def test_indirect_effects_are_recovered_and_placebos_null(answer):
    rows = answer.table[answer.table["effect"] == "indirect"]
    assert set(rows["level"]) == {"patient", "therapist"}
    assert rows["covered"].mean() >= 0.85  # nominal .95, some 25 rows that share one outcome path
    assert answer.falsification["passed"].all()  # one is a random number of 15 therapists beside six of their columns
    assert (answer.falsification["estimate"].abs() < 0.3).all()
    assert "Imai" in trait_mediation.run.__doc__


def test_every_effect_is_in_the_table(answer):
    effects = {"indirect", "trait path", "direct", "outcome path", "outcome path within therapists", "sensitivity"}
    assert set(answer.table["effect"]) == effects
    yes_no = answer.table[answer.table["predictor"] == "medication"]["unit"].unique()
    assert yes_no.tolist() == ["yes against no"]


def test_the_learned_version_agrees_with_the_linear_one(clinic):
    found = panel_dynamics(clinic.panel)
    k = found.encoding.names.index("expectation")
    fit = mediate(found, Errors(), n_bootstrap=20, seed=0, targets=np.array([k]))
    spread = np.std([one.indirect[k] for one in fit.linear_draws])
    assert abs(fit.learned.indirect[k] - fit.linear.indirect[k]) < 2 * spread


def test_linear_scores_are_the_linear_version_with_its_coefficients_held(clinic):
    found = panel_dynamics(clinic.panel)
    levels = patient_levels(found, 0)
    ones, none = np.ones(len(levels.who)), np.zeros((3, len(levels.who)))
    both = levels.adjusted(np.ones(int(levels.group.max()) + 1))
    linear, residuals, _ = linear_paths(levels, both, none, ones)
    targets = np.arange(3)
    held = linear_scores(levels, both, residuals, targets).paths(ones, none)
    assert held.trait[targets] == pytest.approx(linear.trait[targets])
    assert held.outcome == pytest.approx(linear.outcome)
    assert held.direct[targets] == pytest.approx(linear.direct[targets])


def test_a_study_without_intake_is_told_what_is_needed():
    panel = simulate_clinic(n_patients=80, random_state=1).panel
    sessions = pd.DataFrame(panel.sessions)
    bare = Panel(sessions, columns=Columns(outcome="symptoms", alliance="alliance"), better="low")
    with pytest.raises(NotEnoughData, match="patients table"):
        trait_mediation.run(bare)


def test_too_few_patients_are_counted():
    panel = simulate_clinic(n_patients=40, random_state=1).panel
    with pytest.raises(NotEnoughData, match="at least 60"):
        trait_mediation.run(panel)
