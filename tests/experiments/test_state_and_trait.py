from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from experiments import state_and_trait
from experiments.carry_over import CarryOver, variogram
from features import Panel
from features.errors import NotEnoughData
from personalize.simulate import simulate_clinic
from personalize.study.panel_store import panel_tables, rebuilt


def test_reliability_by_hand():
    one = CarryOver(trait=2.0, state=1.0, rest=1.0, memory=0.5)
    assert one.trait_share == 0.5
    assert one.reliability(1) == 0.5
    # Var(mean of 2) = 2 + (1·2 + 2·1·0.5) / 4 + 1/2
    assert one.reliability(2) == pytest.approx(2 / (2 + 0.75 + 0.5))
    assert one.sessions_for(0.5) == 1
    assert one.sessions_for(0.9999) == np.inf


def test_components_of_a_known_process_are_recovered():
    rng = np.random.default_rng(0)
    n, steps, memory = 4000, 12, 0.6
    state = np.empty((n, steps))
    state[:, 0] = rng.standard_normal(n)
    for t in range(1, steps):
        state[:, t] = memory * state[:, t - 1] + np.sqrt(1 - memory**2) * rng.standard_normal(n)
    values = 1.5 * rng.standard_normal((n, 1)) + state + 0.7 * rng.standard_normal((n, steps)) + np.arange(steps)
    values[rng.random((n, steps)) < 0.2] = np.nan
    one = variogram(values, np.arange(n), "x").fit(np.ones(n))
    assert one.trait == pytest.approx(2.25, abs=0.2)  # three Monte Carlo standard errors
    assert one.state == pytest.approx(1.0, abs=0.2)
    assert one.rest == pytest.approx(0.49, abs=0.15)
    assert one.memory == pytest.approx(memory, abs=0.1)


@pytest.fixture(scope="module")
def clinic():
    return simulate_clinic(n_patients=300, random_state=8)


def test_shares_are_recovered_and_dealing_anew_leaves_none(clinic):
    result = state_and_trait.run(clinic.panel, truth=clinic.truth)
    rows = result.table.dropna(subset=["truth"])
    assert len(rows) == 4 and rows["covered"].sum() >= 3
    assert result.falsification["passed"].all()
    shares = result.table[result.table["quantity"].str.startswith("share")].groupby("rating")["estimate"].sum()
    assert np.allclose(shares, 1.0)


def test_without_therapists_the_rest_is_answered_and_the_gap_named(clinic):
    tables = panel_tables(clinic.panel)
    columns = replace(clinic.panel.columns, therapist=None)
    patients = tables["patients"].drop(columns="therapist_id")
    panel = Panel(tables["sessions"], patients, columns=columns, better="low")
    result = state_and_trait.run(panel)
    assert not result.table["quantity"].eq("share: therapist").any()
    assert "at least 10 therapists" in " ".join(result.notes)
    assert "an unknown share" in result.sentence


def test_without_alliance_the_outcome_alone_is_taken_apart(clinic):
    tables = panel_tables(clinic.panel)
    columns = replace(clinic.panel.columns, alliance=None)
    panel = Panel(tables["sessions"].drop(columns="alliance"), tables["patients"], columns=columns, better="low")
    result, both = state_and_trait.run(panel), state_and_trait.run(clinic.panel).table
    expected = both[both["rating"] == "symptoms"].reset_index(drop=True)
    pd.testing.assert_frame_equal(result.table, expected)
    assert result.sentence.startswith("Of the variance of one rating of symptoms")
    assert "only the outcome" in " ".join(result.notes)
    assert len(result.falsification) == 1
    assert len(result.figure.axes[0].get_yticks()) == 1


def test_a_variogram_by_hand():
    """Half the patients stand two points above the rest; one session of theirs is four points higher."""
    values = np.zeros((40, 6))
    values[:20] += 2.0
    values[:20, 1] += 4.0
    one = variogram(values, np.arange(40), "x")
    # deviations from everybody are 1, 3, 1, 1, 1, 1 (or minus that): neighbours differ by 2, 2, 0, 0, 0
    np.testing.assert_allclose(one.value[:, 0], (5 * 1.0 + 9.0) / 6)
    np.testing.assert_allclose(one.value[:, 1], (4.0 + 4.0) / 2 / 5)
    np.testing.assert_allclose(one.value[:, 2], 4.0 / 2 / 4)
    assert one.there.shape == (40, 5)  # half of six sessions, four at least


def test_the_true_share_of_therapists_is_what_a_clinic_of_many_therapists_has():
    options = simulate_clinic(n_patients=20).truth.options
    truth = simulate_clinic(n_patients=6000, patients_per_therapist=2, random_state=1).truth
    staff = state_and_trait.staff_variances(options)
    warm = truth.therapists["alliance_part"].var() + 0.18**2
    assert staff["alliance"] == pytest.approx(warm, rel=0.1)  # 3,000 therapists: three standard errors of a variance
    o = options
    expected = o.therapist_outcome_sd**2 + 16 * o.therapist_alliance_sd**2 + (-0.6 - 4 * 0.18) ** 2
    assert staff["symptoms"] == pytest.approx(expected)


def test_everybodys_course_is_in_no_share():
    panel = simulate_clinic(n_patients=200, random_state=2).panel
    tables = panel_tables(panel)
    tables["sessions"]["alliance"] += 3.0 * panel.session
    raised = rebuilt(panel, tables)
    shares = [state_and_trait._profile_rows(p, "alliance", 0.95) for p in (panel, raised)]
    for one, two in zip(*shares, strict=True):
        assert one["estimate"] == pytest.approx(two["estimate"], abs=1e-6)


def test_too_few_sessions_are_named():
    values = np.random.default_rng(0).standard_normal((50, 4))
    with pytest.raises(NotEnoughData, match="4 sessions apart"):
        variogram(values, np.arange(50), "wai")


def test_sessions_needed_grow_with_what_is_wanted(clinic):
    table = state_and_trait.run(clinic.panel).table
    need = table[table["quantity"].str.startswith("sessions for")].groupby("rating")["estimate"]
    assert need.apply(lambda values: values.is_monotonic_increasing).all()
    assert isinstance(table, pd.DataFrame)
