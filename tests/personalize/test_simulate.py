"""The simulator: the equations it states hold in what it returns, every switch switches, the same seed is the same."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from experiments.benchmarks.naive_bias import naive_bias
from features.errors import OptionError
from personalize.simulate import PRESETS, ClinicOptions, SimulatedClinic, simulate_clinic
from personalize.simulation.course import growth_shape, phase_shape
from personalize.simulation.intake import reference
from personalize.simulation.moderators import moderation

STANDARD_ERRORS = 4  # a coefficient may miss its truth by this many: about 1 false alarm in 16,000
PLAIN = {"alliance_sem": 0.0, "missing_sessions": 0.0, "dropout": 0.0}


def pairs(clinic: SimulatedClinic) -> tuple[pd.DataFrame, pd.DataFrame]:
    """True values of neighbouring sessions of the same patient: (sessions t, sessions t + 1)."""
    s = clinic.truth.sessions
    here = np.flatnonzero((np.diff(clinic.panel.patient_index) == 0) & (np.diff(clinic.panel.session) == 1))
    return s.iloc[here].reset_index(drop=True), s.iloc[here + 1].reset_index(drop=True)


def regression(outcome: np.ndarray, *terms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ordinary least squares without intercept: coefficients, standard errors, residuals."""
    x = np.column_stack(terms)
    coefficients = np.linalg.lstsq(x, outcome, rcond=None)[0]
    left = outcome - x @ coefficients
    variance = left @ left / (len(left) - x.shape[1]) * np.linalg.inv(x.T @ x)
    return coefficients, np.sqrt(np.diag(variance)), left


# -- the equations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timing", ["after", "before"])
@pytest.mark.parametrize("preset", ["linear", "nonlinear", "null", "harsh"])
def test_outcome_equation_holds(preset: str, timing: str) -> None:
    clinic = simulate_clinic(preset, random_state=11, options={"timing": timing, "noise_memory": 0.0})
    now, following = pairs(clinic)
    moves = now if timing == "after" else following
    push = moves["effect"] if preset != "null" else pd.Series(-1.0, index=now.index)  # any slope: its truth is then 0
    got, se, left = regression(
        (following["outcome"] - following["course"]).to_numpy(),
        (now["outcome"] - now["course"]).to_numpy(),
        (push * (moves["alliance"] - moves["trait"])).to_numpy(),
    )
    expected = np.array([clinic.truth.persistence, 0.0 if preset == "null" else 1.0])
    # harsh clinics lose sessions by drop-out that depends on these outcomes; the transition after staying is untouched
    assert np.all(np.abs(got - expected) < STANDARD_ERRORS * se)
    assert left.std() == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize("timing", ["after", "before"])
def test_state_equation_holds(timing: str) -> None:
    clinic = simulate_clinic("linear", n_patients=2000, random_state=12, options={"timing": timing})
    now, following = pairs(clinic)
    moves = following if timing == "after" else now
    got, se, left = regression(
        following["state"].to_numpy(),
        now["state"].to_numpy(),
        (moves["outcome"] - moves["expected_outcome"]).to_numpy(),
    )
    assert np.all(np.abs(got - [0.4, -0.02]) < STANDARD_ERRORS * se)
    assert left.std() == pytest.approx(0.45 * np.sqrt(1 - 0.4**2), rel=0.03)


@pytest.mark.parametrize("timing", ["after", "before"])
def test_course_without_noise_is_the_hand_worked_one(timing: str) -> None:
    off = dict.fromkeys(
        ("nonlinear_moderators", "patient_effect_sd", "therapist_effect_sd", "trait_sd", "therapist_alliance_sd",
         "state_sd", "level_sd", "therapist_outcome_sd", "noise_sd", "severity_to_level", "baseline_to_outcome",
         "baseline_to_trait", "symptom_gain_baseline", "alliance_rise_baseline", "length_spread"),
        0.0,
    )  # fmt: skip
    _, truth = simulate_clinic(
        n_patients=3,
        n_sessions=4,
        options={**off, "timing": timing, "alliance_rise": 1.0, "symptom_gain": 10.0, "persistence": 0.5},
    )
    h = np.log([1, 2, 3, 4]) / np.log(12)
    rise = h - 0.0
    by_rise = [0.0]
    for t in (1, 2, 3):
        by_rise.append(0.5 * by_rise[-1] - 2.5 * (rise[t - 1] if timing == "after" else rise[t]))
    first = truth.sessions[truth.sessions["patient_id"] == "p0001"]
    np.testing.assert_allclose(first["alliance"], 4.8 + rise, atol=1e-12)
    np.testing.assert_allclose(first["course"], 80 - 10 * h, atol=1e-12)
    np.testing.assert_allclose(first["outcome"], 80 - 10 * h + by_rise, atol=1e-12)
    np.testing.assert_array_equal(first["outcome"], first["expected_outcome"])


def test_starts_in_equilibrium() -> None:
    clinic = simulate_clinic("linear", n_patients=20_000, n_sessions=8, random_state=3, options={"length_spread": 0.0})
    s = clinic.truth.sessions
    deviation = s["outcome"] - s["expected_outcome"]
    spread = pd.DataFrame({"v": deviation, "s": s["state"]}).groupby(s["session"])
    # Monte Carlo error of an SD from 20,000 patients is 0.5 %
    assert (spread.std().loc[1] / spread.std().loc[8]).to_numpy() == pytest.approx([1, 1], abs=0.025)
    assert spread["s"].mean().abs().max() < STANDARD_ERRORS * 0.5 / np.sqrt(20_000)


def test_time_shapes() -> None:
    np.testing.assert_allclose(growth_shape(12)[[0, 11]], [0.0, 1.0])
    np.testing.assert_allclose(phase_shape(7, 5), [-0.5, -0.25, 0, 0.25, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(phase_shape(1, 1), [-0.5])


# -- the truth --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", list(PRESETS))
def test_truth_is_aligned_and_adds_up(preset: str) -> None:
    panel, truth = simulate_clinic(preset, n_patients=300, random_state=5)
    s, p = truth.sessions, truth.patients
    assert s["patient_id"].tolist() == panel.sessions["patient_id"].tolist()
    assert s["session"].tolist() == panel.session.tolist()
    assert p.index.equals(panel.patient_ids) and truth.therapists.index.equals(panel.therapist_ids)
    np.testing.assert_allclose(s["alliance"], s["trait"] + s["rise"] + s["state"])
    np.testing.assert_array_equal(s["trait"], p["trait_alliance"].to_numpy()[panel.patient_index])
    own = truth.therapists.iloc[panel.therapist_index]
    np.testing.assert_array_equal(p["therapist_part"], own["effect_part"])
    assert truth.average_effect == p["effect"].mean()
    assert np.bincount(panel.therapist_index).tolist() == truth.therapists["n_patients"].tolist()
    if preset == "harsh":
        assert (panel.sessions_per_patient <= p["attended_sessions"]).all()
    else:
        np.testing.assert_allclose(p["effect"], p["tau"] + p["therapist_part"] + p["random_part"])
        np.testing.assert_array_equal(panel.sessions_per_patient, p["attended_sessions"])
        np.testing.assert_array_equal(panel.outcome, s["outcome"])
        np.testing.assert_array_equal(panel.alliance, s["alliance"])


def test_effect_that_varies_is_the_mean_over_attended_sessions() -> None:
    panel, truth = simulate_clinic("linear", n_patients=200, options={"phase_change": 3.0, "dropout": 0.1})
    mean = truth.sessions.groupby("patient_id")["effect"].mean()
    np.testing.assert_allclose(truth.patients["effect"], mean)
    by_session = truth.sessions.loc[panel.patient_index == 0, "effect"].to_numpy()
    assert by_session.max() - by_session.min() > 0.5


@pytest.mark.parametrize(("preset", "tau", "total"), [("linear", 1.6, 1.95), ("nonlinear", 1.6, 1.95)])
def test_effects_differ_as_much_as_stated(preset: str, tau: float, total: float) -> None:
    effects = simulate_clinic(preset, n_patients=20_000, n_sessions=4, random_state=1).truth.patients
    assert effects["tau"].mean() == pytest.approx(-2.5, abs=0.06)
    assert effects["tau"].std() == pytest.approx(tau, rel=0.03)
    assert effects["effect"].std() == pytest.approx(total, rel=0.03)


@pytest.mark.parametrize("preset", ["constant", "null"])
def test_effects_do_not_differ_where_they_should_not(preset: str) -> None:
    truth = simulate_clinic(preset, n_patients=100).truth
    assert truth.patients["effect"].unique().tolist() == [truth.options.average_effect]
    assert truth.options.average_effect == (0.0 if preset == "null" else -2.5)


def test_linear_moderators_are_linear_and_nonlinear_ones_are_not() -> None:
    people = reference().head(20_000)
    x = people.select_dtypes(["number", "bool"]).astype(float).assign(one=1.0).to_numpy()
    shares = []
    for amounts in ((1.0, 0.0), (0.0, 1.0)):
        tau = moderation(people, *amounts)
        shares.append(1 - regression(tau, x)[2].var() / tau.var())
    assert shares[0] == pytest.approx(1.0)
    assert 0.2 < shares[1] < 0.6  # most of it is out of reach of a linear model


def test_tau_is_a_function_of_intake_alone() -> None:
    panel, truth = simulate_clinic(n_patients=300, options={"missing_intake": 0.0})
    np.testing.assert_allclose(truth.patients["tau"], -2.5 + moderation(panel.patients, 0.0, 1.6))


def test_mediation_paths_are_those_of_the_clinic() -> None:
    panel, truth = simulate_clinic(
        "null",
        n_patients=20_000,
        n_sessions=4,
        patients_per_therapist=4,
        random_state=2,
        options={"missing_intake": 0.0},
    )
    table = truth.mediation
    x = panel.patients.join(panel.therapists.iloc[panel.therapist_index].set_index(panel.patient_ids)["warmth"])
    x = x[table.index].astype(float) / table["unit"]
    one = np.ones(len(x))
    trait, trait_se, _ = regression(truth.patients["trait_alliance"].to_numpy(), x.to_numpy(), one)
    level, level_se, _ = regression(
        truth.patients["level"].to_numpy(), x.to_numpy(), truth.patients["trait_alliance"].to_numpy(), one
    )
    assert np.all(np.abs(trait[:-1] - table["trait_path"]) < STANDARD_ERRORS * trait_se[:-1])
    truth_level = [*table["direct"], truth.options.trait_to_outcome]
    assert np.all(np.abs(level[:-1] - truth_level) < STANDARD_ERRORS * level_se[:-1])
    gain, _, left = regression(truth.patients["gain"].to_numpy(), x.to_numpy(), one)
    np.testing.assert_allclose(-gain[:-1], table["direct_growth"], atol=1e-8)
    assert np.abs(left).max() < 1e-8
    np.testing.assert_allclose(table["indirect"], table["trait_path"] * table["outcome_path"])
    np.testing.assert_allclose(table["total"], table["indirect"] + table["direct"])
    assert table.loc["attachment_avoidance", "indirect"] == pytest.approx(0.8)


def test_mediation_can_be_confounded() -> None:
    free = simulate_clinic(n_patients=5000, n_sessions=4).truth.patients
    tied = simulate_clinic(n_patients=5000, n_sessions=4, options={"trait_level_correlation": 0.5}).truth.patients
    np.testing.assert_array_equal(free["trait_alliance"], tied["trait_alliance"])
    own = free["trait_alliance"] - free["trait_expected"]
    own_level = [p["level"] + 4.0 * p["trait_alliance"] for p in (free, tied)]  # without the trait's path
    assert own_level[1].std() == pytest.approx(own_level[0].std(), rel=0.03)
    slopes = [np.polyfit(own, p["level"], 1)[0] for p in (free, tied)]
    # 0.5 * level_sd / trait_sd = 11, thinned by the therapists' share of what intake does not say of the trait
    assert slopes[1] - slopes[0] == pytest.approx(11.0 * 0.25 / 0.29, abs=1.5)


# -- the switches -----------------------------------------------------------------------------------------------------

SWITCHED_OFF = {
    "nonlinear_moderators": lambda c: c.truth.patients["tau"].std(),
    "patient_effect_sd": lambda c: c.truth.patients["random_part"].std(),
    "therapist_effect_sd": lambda c: c.truth.patients["therapist_part"].std(),
    "phase_change": lambda c: c.truth.sessions.groupby("patient_id")["effect"].std().max(),
    "baseline_to_trait": lambda c: c.truth.patients["trait_expected"].std(),
    "trait_to_outcome": lambda c: c.truth.mediation["indirect"].abs().max(),
    "baseline_to_outcome": lambda c: c.truth.mediation["direct"].drop("severity").abs().max(),
    "severity_to_level": lambda c: abs(c.truth.mediation.loc["severity", "direct"]),
    "therapist_alliance_sd": lambda c: c.truth.therapists["alliance_part"].std(),
    "therapist_outcome_sd": lambda c: c.truth.therapists["outcome_part"].std(),
    "symptom_gain_baseline": lambda c: c.truth.mediation["direct_growth"].abs().max(),
    "alliance_rise_baseline": lambda c: c.truth.patients["alliance_rise"].std(),
    "state_sd": lambda c: c.truth.sessions["state"].std() * (c.truth.feedback == 0),
    "alliance_sem": lambda c: np.nanmax(np.abs(c.panel.alliance - c.truth.sessions["alliance"])),
    "outcome_sem": lambda c: np.nanmax(np.abs(c.panel.outcome - c.truth.sessions["outcome"])),
    "missing_alliance": lambda c: np.isnan(c.panel.alliance).sum(),
    "missing_outcome": lambda c: np.isnan(c.panel.outcome).sum(),
    "missing_sessions": lambda c: (c.truth.patients["attended_sessions"] - c.panel.sessions_per_patient).sum(),
    "missing_intake": lambda c: c.panel.patients.isna().sum().sum(),
    "dropout": lambda c: c.truth.patients["dropped_out"].sum(),
    "length_spread": lambda c: c.truth.patients["planned_sessions"].std(),
    "caseload_spread": lambda c: c.truth.therapists["n_patients"].std(),
    "noise_spread": lambda c: c.truth.patients["noise_sd"].std(),
    "growth_sd": lambda c: regression(
        c.truth.patients["gain"].to_numpy(), c.truth.patients["alliance_rise"].to_numpy(), np.ones(200)
    )[2].std(),
}  # fmt: skip
EVERYTHING = replace(PRESETS["harsh"], discrete=False, ceiling=False, noise_spread=0.5)


def test_noise_differs_between_patients_as_stated() -> None:
    same, uneven = (simulate_clinic(preset, n_patients=4000, random_state=2) for preset in ("nonlinear", "uneven"))
    own = uneven.truth.patients["noise_sd"]
    assert np.sqrt((own**2).mean()) == pytest.approx(5.0, rel=0.1) and np.log(own).std() == pytest.approx(0.5, rel=0.05)
    assert (same.truth.patients["noise_sd"] == 5.0).all()
    pd.testing.assert_series_equal(uneven.truth.patients["effect"], same.truth.patients["effect"])
    moved = uneven.truth.sessions["outcome"] - uneven.truth.sessions["expected_outcome"]
    spread = moved.groupby(uneven.truth.sessions["patient_id"]).std().reindex(own.index)
    assert np.corrcoef(np.log(spread), np.log(own))[0, 1] > 0.8


@pytest.mark.parametrize("part", SWITCHED_OFF)
def test_each_part_switches_off(part: str) -> None:
    measure_of = SWITCHED_OFF[part]
    calm = {"feedback": 0.0} if part == "state_sd" else {}
    on = replace(EVERYTHING, **calm)
    off = replace(on, **{part: 0.0})
    assert measure_of(simulate_clinic(n_patients=200, options=on)) > 1e-3
    assert measure_of(simulate_clinic(n_patients=200, options=off)) < 1e-10


def test_common_trends_switch_off() -> None:
    truth = simulate_clinic(n_patients=50, options={"alliance_rise": 0.0, "symptom_gain": 0.0}).truth
    assert abs(truth.patients["alliance_rise"].mean()) < 0.1 and abs(truth.patients["gain"].mean()) < 2
    none = dict.fromkeys(("alliance_rise", "symptom_gain", "alliance_rise_baseline", "symptom_gain_baseline"), 0.0)
    truth = simulate_clinic(n_patients=50, options=none).truth
    assert not truth.sessions["rise"].any()
    assert truth.sessions.groupby("patient_id")["course"].nunique().max() == 1


def test_feedback_switches_off() -> None:
    states = [
        simulate_clinic(preset, n_patients=50, options={"feedback": 0.0}).truth.sessions["state"]
        for preset in ("null", "linear")
    ]
    pd.testing.assert_series_equal(*states)  # alliance then knows nothing of the outcome
    with_feedback = [simulate_clinic(preset, n_patients=50).truth.sessions["state"] for preset in ("null", "linear")]
    assert not np.allclose(*with_feedback)


def test_memories_switch_off() -> None:
    off = {"persistence": 0.0, "noise_memory": 0.0, "state_memory": 0.0, "feedback": 0.0}
    for options, low, high in ((off, -0.03, 0.03), ({**off, "noise_memory": 0.3}, 0.25, 0.35)):
        clinic = simulate_clinic("null", n_patients=1000, options=options)
        now, following = pairs(clinic)
        assert abs(np.corrcoef(now["state"], following["state"])[0, 1]) < 0.03
        v = [(x["outcome"] - x["course"]).to_numpy() for x in (now, following)]
        assert low < np.corrcoef(*v)[0, 1] < high
        assert v[1].std() == pytest.approx(5.0, rel=0.03)  # the SD of the noise is stated whatever its memory


def test_a_part_switched_off_leaves_the_others_as_they_were() -> None:
    full = simulate_clinic("harsh", n_patients=100, random_state=9)
    for part in ("dropout", "missing_alliance", "alliance_sem", "missing_intake", "therapist_alliance_sd", "growth_sd"):
        less = simulate_clinic("harsh", n_patients=100, random_state=9, options={part: 0.0})
        np.testing.assert_array_equal(full.truth.patients["random_part"], less.truth.patients["random_part"])
        np.testing.assert_array_equal(full.truth.patients["planned_sessions"], less.truth.patients["planned_sessions"])
        both = full.truth.sessions.merge(less.truth.sessions, on=["patient_id", "session"])
        np.testing.assert_array_equal(both["state_x"], both["state_y"])


# -- what is on file --------------------------------------------------------------------------------------------------


def test_scales_and_ceiling() -> None:
    panel, truth = simulate_clinic("harsh", n_patients=500)
    twelfths = panel.alliance * 12
    known = ~np.isnan(twelfths)
    np.testing.assert_allclose(twelfths[known], np.round(twelfths[known]))
    assert np.nanmin(panel.alliance) >= 1 and np.nanmax(panel.alliance) == 7
    assert 0.04 < np.mean(panel.alliance[known] == 7) < 0.2
    assert truth.sessions["alliance"].max() > 7
    scores = panel.outcome[~np.isnan(panel.outcome)]
    assert np.array_equal(scores, np.round(scores)) and scores.min() >= 0 and scores.max() <= 180
    only_ceiling = simulate_clinic(n_patients=300, options={"ceiling": True, "alliance_mean": 6.5}).panel.alliance
    assert only_ceiling.max() == 7 and len(np.unique(only_ceiling)) > 100


def test_measurement_error_has_its_size() -> None:
    panel, truth = simulate_clinic(n_patients=1000, options={"alliance_sem": 0.2, "outcome_sem": 3.0})
    assert np.std(panel.alliance - truth.sessions["alliance"]) == pytest.approx(0.2, rel=0.03)
    assert np.std(panel.outcome - truth.sessions["outcome"]) == pytest.approx(3.0, rel=0.03)


def test_missing_shares() -> None:
    options = {"missing_alliance": 0.2, "missing_outcome": 0.1, "missing_sessions": 0.15, "missing_intake": 0.05}
    panel, truth = simulate_clinic(n_patients=1000, options=options)
    assert np.isnan(panel.alliance).mean() == pytest.approx(0.2, abs=0.02)
    assert np.isnan(panel.outcome).mean() == pytest.approx(0.1, abs=0.02)
    after_first = truth.patients["attended_sessions"].sum() - 1000
    assert (panel.n_sessions - 1000) / after_first == pytest.approx(0.85, abs=0.02)
    assert (panel.session[panel.offsets[:-1]] == 1).all()
    assert panel.patients["expectation"].isna().mean() == pytest.approx(0.05, abs=0.03)
    assert not panel.patients[["age", "severity", "personality_disorder"]].isna().any().any()


def test_dropout_follows_the_course() -> None:
    panel, truth = simulate_clinic("constant", n_patients=4000, random_state=4, options={"dropout": 0.03})
    p = truth.patients
    assert 0.15 < p["dropped_out"].mean() < 0.45
    assert p["attended_sessions"].min() >= 3 and (p["attended_sessions"] <= p["planned_sessions"]).all()
    last = truth.sessions.iloc[panel.offsets[1:] - 1].set_index("patient_id")
    change = last["outcome"] - truth.sessions.iloc[panel.offsets[:-1]].set_index("patient_id")["outcome"]
    gone = p["dropped_out"]
    assert change[gone].mean() - change[~gone].mean() > 2
    assert last.loc[~gone, "state"].mean() - last.loc[gone, "state"].mean() > 0.1
    blind = {"dropout": 0.03, "dropout_course": 0.0}
    by_chance = simulate_clinic("constant", n_patients=4000, random_state=4, options=blind).truth
    ends = by_chance.sessions.groupby("patient_id")["state"].last()
    out = by_chance.patients["dropped_out"]
    assert abs(ends[out].mean() - ends[~out].mean()) < STANDARD_ERRORS * 0.5 / np.sqrt(out.sum())


def test_treatment_lengths_and_caseloads() -> None:
    truth = simulate_clinic(n_patients=2000, options={"caseload_spread": 0.6}).truth
    planned = truth.patients["planned_sessions"]
    assert planned.mean() == pytest.approx(12, abs=0.4)
    assert planned.min() >= 4 and planned.max() <= 24 and planned.std() > 3
    assert truth.therapists["n_patients"].min() >= 1 and truth.therapists["n_patients"].max() > 35


def test_therapists_matter_as_in_the_literature() -> None:
    panel, _ = simulate_clinic("null", n_patients=20_000, n_sessions=6, random_state=8)
    mean = np.bincount(panel.patient_index, panel.outcome) / panel.sessions_per_patient
    groups = pd.Series(mean).groupby(panel.therapist_index)
    within = groups.var().mean()
    between = groups.mean().var() - within / 20
    assert between / (between + within) == pytest.approx(0.05, abs=0.02)


def test_dates() -> None:
    panel, _ = simulate_clinic("harsh", n_patients=100, options={"dates": True})
    assert panel.calendar is not None
    gaps = np.diff(panel.time)[np.diff(panel.patient_index) == 0]
    assert gaps.min() == 7 and gaps.max() > 14 and (gaps % 7 == 0).all()
    assert simulate_clinic(n_patients=30).panel.calendar is None


def test_tables_look_like_a_clinic() -> None:
    panel, _ = simulate_clinic()
    assert panel.columns.outcome == "symptoms" and panel.columns.alliance == "alliance"
    assert panel.patient_ids[0] == "p0001" and panel.therapist_ids[-1] == "t50"
    assert 10 <= panel.patients.shape[1] <= 16
    assert {"experience_years", "orientation", "warmth"} <= set(panel.therapists.columns)
    assert panel.better == "low" and panel.better_stated
    first = panel.outcome[panel.offsets[:-1]]
    assert first.mean() == pytest.approx(80, abs=3) and first.std() == pytest.approx(20, abs=2)
    within = pd.Series(panel.alliance).groupby(panel.patient_index).var().mean()
    assert np.sqrt(within) == pytest.approx(0.45, abs=0.04)


@pytest.mark.parametrize(
    ("n_patients", "n_sessions", "per_therapist"), [(1, 1, 20), (2, 1, 1), (5, 3, 2), (30, 12, 100)]
)
def test_small_clinics(n_patients: int, n_sessions: int, per_therapist: int) -> None:
    panel, truth = simulate_clinic(
        "harsh", n_patients=n_patients, n_sessions=n_sessions, patients_per_therapist=per_therapist
    )
    assert panel.n_patients == n_patients == len(truth.patients)
    assert panel.n_therapists == -(-n_patients // per_therapist)


# -- seeds, options, speed --------------------------------------------------------------------------------------------


def digest(clinic: SimulatedClinic) -> str:
    tables = [clinic.panel.sessions, clinic.panel.patients, clinic.panel.therapists, *vars(clinic.truth).values()]
    text = "".join(t.to_csv() if isinstance(t, pd.DataFrame) else repr(t) for t in tables)
    return hashlib.sha256(text.encode()).hexdigest()


def test_same_seed_same_bytes_in_another_process() -> None:
    here = [digest(simulate_clinic("harsh", n_patients=80, random_state=seed)) for seed in (1, 1, 2)]
    assert here[0] == here[1] != here[2]
    code = (
        "from tests.personalize.test_simulate import digest, simulate_clinic;"
        "print(digest(simulate_clinic('harsh', n_patients=80, random_state=1)))"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    there = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": root},
    )
    assert there.stdout.strip() == here[0]


def test_generators_are_taken_as_they_come() -> None:
    by_seed = simulate_clinic(n_patients=40, random_state=3)
    by_generator = simulate_clinic(n_patients=40, random_state=np.random.default_rng(3))
    assert digest(by_seed) == digest(by_generator)
    assert digest(simulate_clinic(n_patients=40, random_state=None)) != digest(by_seed)


def test_options_as_mapping_and_as_a_whole() -> None:
    by_mapping = simulate_clinic("null", n_patients=40, options={"average_effect": -1.0})
    whole = simulate_clinic(n_patients=40, options=replace(PRESETS["null"], average_effect=-1.0))
    assert digest(by_mapping) == digest(whole)
    assert ClinicOptions() == PRESETS["nonlinear"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "easy"}, "preset='easy' is not allowed; choose one of 'linear', 'nonlinear'"),
        ({"options": {"feedbak": 0.0}}, "there is no part 'feedbak'; there are alliance_mean"),
        ({"options": {"dropout": 1.0}}, "dropout=1.0 is not allowed; it must be a share from 0 to below 1"),
        ({"options": {"noise_sd": -1.0}}, "noise_sd=-1.0 is not allowed; it must be 0 or more"),
        ({"options": {"persistence": 1.0}}, "persistence=1.0 is not allowed; it must be above -1 and below 1"),
        ({"options": {"feedback": "much"}}, "feedback='much' is not allowed; it must be a finite number"),
        ({"options": {"growth_sd": float("nan")}}, "growth_sd=nan is not allowed; it must be a finite number"),
        ({"options": {"discrete": 2}}, "discrete=2 is not allowed; choose one of True, False"),
        ({"options": {"timing": "during"}}, "timing='during' is not allowed; choose one of 'after', 'before'"),
        ({"options": {"feedback": -0.2}}, "drive each other without end; bring feedback nearer to 0"),
        ({"options": 3}, "options must be a ClinicOptions or a mapping"),
        ({"preset": "harsh", "options": ClinicOptions()}, "a complete ClinicOptions were both given"),
        ({"n_patients": 0}, "n_patients=0 is not allowed; it must be a whole number from 1"),
        ({"n_sessions": 2.5}, "n_sessions=2.5 is not allowed; it must be a whole number from 1"),
        ({"patients_per_therapist": True}, "patients_per_therapist=True is not allowed"),
        ({"random_state": "dice"}, "random_state='dice' is not allowed; it must be a whole number from 0"),
        ({"random_state": -1}, "random_state=-1 is not allowed"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(OptionError) as problem:
        simulate_clinic(**arguments)
    assert message in str(problem.value)


def test_every_part_is_documented() -> None:
    words = set((ClinicOptions.__doc__ or "").replace(",", " ").split())
    assert {f.name for f in fields(ClinicOptions)} <= words


def test_naive_estimators_are_as_biased_as_the_docstring_says() -> None:
    table = naive_bias(["constant"], seeds=3, n_patients=500).set_index("estimator")
    bias = table["bias"]
    # six times the Monte Carlo error of three clinics of 500 patients, or the docstring's table is out of date
    assert bias["pooled regression"] == pytest.approx(2.14, abs=0.4)
    assert bias["patient effects, no correction"] == pytest.approx(0.07, abs=0.6)
    assert bias["same session, patient effects"] == pytest.approx(-1.29, abs=0.5)
    assert (table["truth"] == -2.5).all() and (table["n_clinics"] == 3).all()


def test_naive_estimators_follow_the_timing() -> None:
    tables = [
        naive_bias(["constant"], seeds=2, n_patients=1000, options={"timing": timing, "feedback": 0.0})
        for timing in ("after", "before")
    ]
    for table in tables:
        assert abs(table.set_index("estimator").loc["patient effects, no correction", "bias"]) < 0.5


def test_speed(capsys: pytest.CaptureFixture[str]) -> None:
    simulate_clinic(n_patients=10)
    start = time.perf_counter()
    panel, _ = simulate_clinic(n_patients=20_000)
    with capsys.disabled():
        print(f"\nsimulate_clinic: {panel.n_sessions:,} sessions in {time.perf_counter() - start:.1f} s")
    assert panel.n_patients == 20_000
