"""Reference models of a panel: which rating belongs to which outcome, recovery of known slopes, named treatments."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel
from features.errors import NotEnoughData, OptionError
from personalize.mixed import growth_model, moderated_slopes, within_between_model

COLUMNS = Columns(outcome="phq", alliance="wai")
COVERAGE = 0.04  # of 90 % intervals over 600 patients, variances plugged in: three standard errors


def tables(n: int = 600, k: int = 10, *, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Alliance of a row moves the outcome of the next row by -2 + x on average; x is a moderator."""
    rng = np.random.default_rng(seed)
    x, kind = rng.normal(size=n), rng.choice(["a", "b", "c"], n)
    slope = -2 + x + 0.8 * (kind == "b") + 1.2 * rng.normal(size=n)
    trait = 4 + 0.5 * rng.normal(size=n)
    wai = trait[:, None] + 0.6 * rng.normal(size=(n, k))
    staff = np.arange(n) // 20
    level = 15 - 1.5 * (trait - 4) + 3 * rng.normal(size=n) + rng.normal(size=staff.max() + 1)[staff]
    session = np.tile(np.arange(1, k + 1), (n, 1))
    phq = level[:, None] - np.log(session) + 2 * rng.normal(size=(n, k))
    phq[:, 1:] += slope[:, None] * (wai[:, :-1] - trait[:, None])
    ids = [f"p{i:04d}" for i in range(n)]
    sessions = pd.DataFrame(
        {"patient_id": np.repeat(ids, k), "session": session.ravel(), "phq": phq.ravel(), "wai": wai.ravel()}
    )
    patients = pd.DataFrame({"patient_id": ids, "therapist_id": [f"t{j}" for j in staff], "x": x, "kind": kind})
    return sessions, patients, pd.Series(slope, index=ids)


def panel(sessions: pd.DataFrame, patients: pd.DataFrame | None = None, **options: object) -> Panel:
    return Panel(sessions, patients, columns=COLUMNS, better="low", **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clinic() -> tuple[Panel, pd.Series]:
    sessions, patients, slope = tables()
    return panel(sessions, patients), slope


def test_growth_model_names_its_terms_and_recovers_the_course(clinic: tuple[Panel, pd.Series]) -> None:
    fit = growth_model(clinic[0], baseline=["x", "kind"])
    assert list(fit.fixed.index)[:2] == ["intercept", "log_session"]
    assert {"x:log_session", "x"} <= set(fit.fixed.index)
    assert abs(fit.fixed.loc["log_session", "estimate"] + 1) < 4 * fit.fixed.loc["log_session", "se"]
    assert list(fit.patient_effects.index[:2]) == ["p0000", "p0001"]
    assert fit.n_therapists == 30 and fit.therapist_effects.index[0] in set(clinic[0].therapist_ids)
    assert fit.converged and "10" not in fit.notes


@pytest.mark.parametrize("time", ["session", "log_session", "time", "log_time"])
def test_every_clock_runs(clinic: tuple[Panel, pd.Series], time: str) -> None:
    fit = growth_model(clinic[0], time=time)  # type: ignore[arg-type]
    assert list(fit.fixed.index) == ["intercept", time]
    if time in ("log_session", "log_time"):  # sessions 1, 2, ... are their own time here: one and the same clock
        other = growth_model(clinic[0], time="log_session")
        assert fit.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-8)


def test_timing_decides_which_rating_meets_which_outcome() -> None:
    sessions, patients, _ = tables(200)
    after = within_between_model(panel(sessions, patients), slopes=("alliance",))
    assert abs(after.fixed.loc["wai_within", "estimate"] + 1.7) < 0.5
    assert any("200 of 2000 sessions" in note for note in after.notes)
    # the same numbers with the rating moved to the row it acts on are a panel rated before
    moved = sessions.assign(wai=sessions.groupby("patient_id")["wai"].shift())
    before = within_between_model(panel(moved, patients, timing="before"), slopes=("alliance",))
    assert before.log_likelihood == pytest.approx(after.log_likelihood, abs=1e-8)
    pd.testing.assert_frame_equal(before.fixed, after.fixed, rtol=1e-6)


def test_between_and_within_are_told_apart(clinic: tuple[Panel, pd.Series]) -> None:
    fit = within_between_model(clinic[0], slopes=("time", "alliance"))
    assert list(fit.patient_covariance.index) == ["intercept", "log_session", "wai_within"]
    assert abs(fit.fixed.loc["wai_between", "estimate"] + 1.5) < 4 * fit.fixed.loc["wai_between", "se"]
    assert fit.fixed.loc["wai_within", "estimate"] == pytest.approx(clinic[1].mean(), abs=0.25)
    assert within_between_model(clinic[0], slopes=()).patient_covariance.shape == (1, 1)


@pytest.mark.parametrize("lagged_outcome", ["none", "within"])
def test_moderated_slopes_recover_each_patients_effect(clinic: tuple[Panel, pd.Series], lagged_outcome: str) -> None:
    model = moderated_slopes(clinic[0], lagged_outcome=lagged_outcome)  # type: ignore[arg-type]
    slopes, truth = model.slopes, clinic[1]
    assert model.fit.converged and list(slopes.index) == list(truth.index)
    # the best possible is sqrt(1 - .74 / 2.58) = .84: own slopes have an error variance of 1.5
    assert np.corrcoef(slopes["estimate"], truth)[0, 1] > 0.8
    inside = (np.abs(slopes["estimate"] - truth) < 1.645 * slopes["sd"]).mean()
    assert inside == pytest.approx(0.90, abs=COVERAGE)
    np.testing.assert_allclose(slopes["baseline_part"] + slopes["own_part"], slopes["estimate"], rtol=1e-12)


def test_new_patients_are_predicted_from_baseline_with_intervals_that_cover() -> None:
    sessions, patients, _ = tables(400, seed=1)
    model = moderated_slopes(panel(sessions, patients))
    _, fresh, truth = tables(600, seed=2)
    got = model.predict(fresh.set_index("patient_id"))
    inside = (np.abs(got["estimate"] - truth) < 1.645 * got["sd"]).mean()
    assert inside == pytest.approx(0.90, abs=COVERAGE)
    assert np.corrcoef(got["estimate"], truth)[0, 1] > 0.6  # at best sqrt(1.14 / 2.58) = .66
    with pytest.raises(OptionError, match="lacks the columns 'x'"):
        model.predict(fresh.drop(columns="x"))


def test_patients_without_usable_sessions_are_predicted_from_baseline() -> None:
    sessions, patients, _ = tables(120)
    sessions = sessions[(sessions["patient_id"] != "p0003") | (sessions["session"] == 1)]
    model = moderated_slopes(panel(sessions, patients))
    row = model.slopes.loc["p0003"]
    assert row["n"] == 0 and row["own_part"] == 0
    want = model.predict(patients.set_index("patient_id").loc[["p0003"]])
    assert row["estimate"] == pytest.approx(want["estimate"].iloc[0])
    assert row["sd"] == pytest.approx(want["sd"].iloc[0])
    assert any("1 of 120 patients have no usable session" in note for note in model.fit.notes)


def test_odd_moderators_are_treated_by_name() -> None:
    sessions, patients, _ = tables(300)
    rng = np.random.default_rng(0)
    patients["constant"] = 1.0
    patients["copy"] = 3 * patients["x"] - 1
    patients["sparse"] = np.where(rng.random(300) < 0.9, np.nan, rng.normal(size=300))
    patients["flag"] = rng.random(300) < 0.5
    patients["many"] = [f"clinic {k}" for k in rng.integers(0, 60, 300)]
    model = moderated_slopes(panel(sessions, patients))
    terms = model.intake.terms
    assert {"x", "sparse", "sparse_missing", "flag"} <= set(terms)
    assert not {"constant", "copy"} & set(terms)
    assert sum(t.startswith("many[") for t in terms) <= 8
    said = " ".join(model.fit.notes)
    assert "'constant' does not vary" in said and "'copy' does not vary, or follows" in said
    assert np.isfinite(model.slopes[["estimate", "sd"]].to_numpy()).all() and (model.slopes["sd"] > 0).all()


def test_one_therapist_or_one_patient_each_leaves_the_level_out_and_says_so() -> None:
    sessions, patients, _ = tables(80)
    for therapist in (["t"] * 80, list(patients["patient_id"])):
        fit = growth_model(panel(sessions, patients.assign(therapist_id=therapist)))
        assert fit.n_therapists == 0 and any("No therapist level" in note for note in fit.notes)


def test_refuses_with_a_reason() -> None:
    sessions, patients, _ = tables(40)
    given = panel(sessions, patients)
    with pytest.raises(OptionError, match=r"Columns\(alliance="):
        within_between_model(given.renamed(Columns(outcome="phq", alliance=None)))
    with pytest.raises(OptionError, match="'time', 'alliance'"):
        within_between_model(given, slopes=("wai",))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="there is no column 'age'"):
        moderated_slopes(given, ["age"])
    with pytest.raises(OptionError, match="'log_session'"):
        growth_model(given, time="day")  # type: ignore[arg-type]
    flat = sessions.assign(wai=sessions.groupby("patient_id")["wai"].transform("first"))
    with pytest.raises(NotEnoughData, match="'wai_within'"):
        moderated_slopes(panel(flat, patients))
    with pytest.raises(NotEnoughData, match="reproduced exactly"):
        same = sessions.assign(wai=sessions["phq"])
        within_between_model(panel(same, patients, timing="before"))
    with pytest.raises(NotEnoughData, match="cannot carry 2 random effects"):
        growth_model(given.first(1))
