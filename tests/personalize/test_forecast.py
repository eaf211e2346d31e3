"""What a forecast promises: order, past only, no crossing, inside the range, works for whoever comes, covers."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from features import Columns, LeakageError, Panel
from features.build import build_features
from personalize.trajectories.distribution import QUANTILES, quantile_name
from personalize.trajectories.forecast import HorizonWarning, TrajectoryForecaster
from personalize.trajectories.landmarks import all_landmarks, ends, observed_targets
from personalize.trajectories.request import requested_targets
from tests.personalize.forecasting import SCALE, clinic, fitted, fitted_toy, toy, toy_tables

NUMBERS = ["mean", "lower", "upper", "band_lower", "band_upper", *map(quantile_name, QUANTILES)]


def test_default_request_is_next_four_ahead_and_last_for_every_patient():
    out = fitted().predict(clinic().first(3))
    assert list(out.columns) == ["patient_id", "session", *NUMBERS]
    assert len(out) == 3 * clinic().n_patients
    one = out.iloc[:3]
    assert one["session"].isna().tolist() == [False, False, True]
    assert one["session"].iloc[1] - one["session"].iloc[0] == 3


def test_rows_come_back_in_the_order_of_at_with_its_index_and_own_columns():
    history = clinic().first(4)
    ids = history.patient_ids[:20]
    last = history.sessions.groupby("patient_id")["session"].max().reindex(ids).to_numpy()
    at = pd.DataFrame({"patient_id": np.repeat(ids, 2), "session": np.ravel(np.column_stack([last + 1, last + 3]))})
    at["note"] = np.arange(len(at))
    straight = fitted().predict(history, at)
    turn = np.random.default_rng(0).permutation(len(at))
    shuffled = fitted().predict(history, at.iloc[turn])
    pd.testing.assert_index_equal(shuffled.index, at.index[turn])
    pd.testing.assert_frame_equal(shuffled.sort_index(), straight)
    assert straight["note"].tolist() == at["note"].tolist()


@pytest.mark.parametrize("seen", [0, 1, 3, 6])
def test_a_forecast_never_moves_when_a_later_session_changes(seen):
    panel = clinic()
    rng = np.random.default_rng(seen)
    sessions = panel.sessions.copy()
    later = panel.occasion >= seen
    for column in ("symptoms", "alliance"):
        sessions.loc[later, column] = rng.permutation(sessions.loc[later, column].to_numpy()) + rng.normal(
            0, 9, later.sum()
        )
    patients = panel.patients.reset_index()
    patients["therapist_id"] = panel.therapist_ids[panel.therapist_index]
    changed = Panel(sessions, patients, panel.therapists.reset_index(), columns=panel.columns)
    assert not np.array_equal(changed.outcome[later], panel.outcome[later], equal_nan=True)
    model = fitted().model_
    forecasts = []
    for other in (panel, changed):
        landmarks = all_landmarks(other, model.clock)
        targets = observed_targets(all_landmarks(panel, model.clock), model.clock)
        targets = targets.take(landmarks.seen[targets.landmark] == seen)
        forecasts.append(
            model.calibration.distribution(model.query(landmarks, targets), np.array([0.1, 0.9]), model.limits)
        )
    pd.testing.assert_frame_equal(*forecasts, check_exact=True)


def test_landmarks_of_training_are_what_a_cut_history_gives():
    panel, model = clinic(), fitted().model_
    whole = all_landmarks(panel, model.clock)
    at = np.flatnonzero(whole.seen == 4)
    cut = panel.first(4)
    end = ends(cut, model.clock)
    own = np.flatnonzero(end.seen == 4)
    np.testing.assert_array_equal(model.encoder.encode(whole)[at], model.encoder.encode(end)[own])
    np.testing.assert_array_equal(whole.time[at], end.time[own])


def test_a_whole_treatment_feature_cannot_reach_a_forecast():
    table = build_features(clinic(), landmark=3, seen="whole")
    with pytest.raises(LeakageError, match="whole treatment"):
        fitted().model_.encoder.read(table)


def test_quantiles_never_cross_and_bands_hold_intervals():
    for seen in (0, 1, 2, 7):
        out = fitted().predict(clinic().first(seen), quantiles=(0.001, 0.02, 0.3, 0.5, 0.77, 0.999))
        inner = out[["q0.001", "q0.02", "q0.30", "q0.50", "q0.77", "q0.999"]].to_numpy()
        assert (np.diff(inner, axis=1) >= 0).all()
        assert (out["band_lower"] <= out["lower"]).all() and (out["upper"] <= out["band_upper"]).all()
        assert (out["lower"] < out["upper"]).all()
        assert np.isfinite(out[["mean", "lower", "upper", "band_lower", "band_upper"]].to_numpy()).all()


def test_everything_stays_inside_the_range_of_the_measure():
    out = fitted_toy().predict(toy().first(3))
    values = out[NUMBERS].to_numpy()
    assert values.min() >= SCALE.minimum and values.max() <= SCALE.maximum
    assert (values == SCALE.minimum).any(), "the toy stands near its floor, so some band must be cut there"


def test_a_patient_alone_gets_the_forecast_that_the_whole_clinic_gets():
    history = clinic().first(5)
    together = fitted().predict(history)
    for who in history.patient_ids[[0, 7, 200]]:
        alone = fitted().predict(history.subset([who]))
        expected = together[together["patient_id"] == who].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, expected, rtol=1e-12)


def test_unknown_therapist_category_column_and_no_session_all_work():
    sessions, patients = toy_tables(seed=5)
    patients.loc[0, "sex"] = "unheard of"
    patients["therapist_id"] = "somebody new"
    patients = pd.concat([patients, pd.DataFrame({"patient_id": ["idle"], "sex": ["f"]})])
    columns = Columns(outcome="score")
    panel = Panel(sessions, patients.drop(columns="age"), columns=columns, measures={"score": SCALE}).first(2)
    out = fitted_toy().predict(panel)
    assert np.isfinite(out[NUMBERS].to_numpy()).all()
    assert any("age" in note for note in out.attrs["notes"])
    idle = out[out["patient_id"] == "idle"]
    assert idle["session"].tolist()[:2] == [1, 4]
    others = out[out["patient_id"] != "idle"]
    assert (idle["upper"] - idle["lower"]).mean() > (others["upper"] - others["lower"]).mean()


def test_histories_without_the_alliance_are_forecast_and_it_is_said():
    panel = clinic().first(4)
    bare = panel.renamed(Columns(outcome="symptoms"))
    out = fitted().predict(bare)
    assert np.isfinite(out[NUMBERS].to_numpy()).all()
    assert any("alliance" in note for note in out.attrs["notes"])


def test_a_category_appears_under_its_level_and_an_unseen_one_is_unknown():
    encoder = fitted().model_.encoder
    levels = [name for name in encoder.names if name.startswith("gender=")]
    assert len(levels) >= 2
    table = build_features(clinic(), landmark=3)
    strange = table.assign(gender=pd.Categorical(["from elsewhere"] * len(table)))
    place = [encoder.names.index(name) for name in levels]
    assert (encoder.read(strange)[:, place] == 0).all()


def test_forecasts_widen_with_the_horizon_and_narrow_with_what_is_known():
    def width(seen, ahead):
        history = clinic().first(seen)
        end = history.sessions.groupby("patient_id")["session"].max().reindex(history.patient_ids).fillna(0)
        at = pd.DataFrame({"patient_id": history.patient_ids, "session": end.to_numpy() + ahead})
        out = fitted().predict(history, at)
        return float((out["upper"] - out["lower"]).mean())

    assert width(4, 1) < width(4, 4) < width(4, 9)
    assert width(6, 3) < width(1, 3)


def test_past_the_longest_horizon_it_says_so_and_widens_with_the_root():
    history = clinic().first(3)
    longest = fitted().model_.trained_on["longest_gap"]
    who = history.patient_ids[:1]
    last = int(history.subset(who).session.max())
    at = pd.DataFrame({"patient_id": who.repeat(2), "session": [last + int(longest), last + 4 * int(longest)]})
    with pytest.warns(HorizonWarning, match="typical intervals ahead"):
        out = fitted().predict(history, at)
    near, far = (out["upper"] - out["lower"]).to_numpy()
    assert far >= 1.5 * near
    assert any("widen" in note for note in out.attrs["notes"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted().predict(clinic())


def test_intervals_and_paths_cover_new_patients():
    """90 % within 4 Monte Carlo standard errors, patients of other therapists."""
    everybody = clinic(900, 8, "nonlinear")
    train = everybody.subset(np.flatnonzero(everybody.clusters % 3 != 0))
    test = everybody.subset(np.flatnonzero(everybody.clusters % 3 == 0))
    forecaster = TrajectoryForecaster(members=("direct", "growth")).fit(train)
    history = test.first(4)
    rows = np.flatnonzero((test.occasion >= 4) & np.isfinite(test.outcome))
    at = test.sessions.iloc[rows][["patient_id", "session"]]
    out = forecaster.predict(history, at)
    truth = test.outcome[rows]
    patient = test.patient_index[rows]
    slack = 4 * np.sqrt(0.9 * 0.1 / len(np.unique(patient)))
    inside = (truth >= out["lower"].to_numpy()) & (truth <= out["upper"].to_numpy())
    share = np.bincount(patient, inside) / np.maximum(np.bincount(patient), 1)
    assert abs(share[np.bincount(patient) > 0].mean() - 0.9) < slack
    out_of_band = (truth < out["band_lower"].to_numpy()) | (truth > out["band_upper"].to_numpy())
    held = np.bincount(patient, out_of_band)[np.bincount(patient) > 0] == 0
    assert abs(held.mean() - 0.9) < slack
    assert (inside.mean() < 0.97) and (held.mean() < 0.97), "bands that hold everything are of no use"


def test_same_seed_same_bytes(tmp_path):
    for name in ("one", "two"):
        TrajectoryForecaster(random_state=4).fit(toy()).save(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "forecaster.json" in files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_clone_keeps_options_and_forgets_the_fit():
    made = clone(TrajectoryForecaster(level=0.8, members=("last",)))
    assert made.level == 0.8 and made.members == ("last",) and not hasattr(made, "model_")


def test_dates_are_horizons_in_days():
    panel = toy(dates=True)
    history = panel.first(2)
    who = history.patient_ids[:3]
    start = history.sessions.groupby("patient_id")["date"].max().reindex(who).to_numpy()
    when = pd.to_datetime(start + 7, unit="D")
    by_date = pd.DataFrame({"patient_id": who, "session": [pd.NA] * 3, "date": when})
    as_text = by_date.assign(date=when.strftime("%Y-%m-%d"))
    forecaster = fitted_toy(dates=True)
    out = forecaster.predict(history, by_date)
    assert forecaster.model_.clock.interval == pytest.approx(7, abs=1)
    np.testing.assert_array_equal(out[NUMBERS], forecaster.predict(history, as_text)[NUMBERS])
    later = by_date.assign(date=when + pd.Timedelta(days=21))
    gaps = [requested_targets(asked, history, forecaster.model_.clock)[1].gap for asked in (by_date, later)]
    np.testing.assert_allclose(gaps, np.array([[1.0] * 3, [4.0] * 3]) * 7 / forecaster.model_.clock.interval)
    assert (forecaster.predict(history, later)["mean"] != out["mean"]).all()
    default = forecaster.predict(history)
    assert default["date"].isna().sum() == history.n_patients


def test_the_therapist_whose_patients_do_badly_counts_when_known():
    rng = np.random.default_rng(0)
    sessions, patients = toy_tables(200, seed=2)
    staff = rng.integers(0, 8, 200)
    shift = np.linspace(-6, 6, 8)
    patients["therapist_id"] = [f"t{i}" for i in staff]
    own = dict(zip(patients["patient_id"], shift[staff], strict=True))
    sessions["score"] += sessions["patient_id"].map(own) + 10
    panel = Panel(sessions, patients, columns=Columns(outcome="score"), better="low")
    forecaster = TrajectoryForecaster(members=("growth",)).fit(panel)
    nobody = sessions.iloc[:0]
    new = pd.DataFrame({"patient_id": ["a", "b", "c"], "therapist_id": ["t0", "t7", "unknown"], "age": 40, "sex": "f"})
    at = pd.DataFrame({"patient_id": ["a", "b", "c"], "session": 2})
    mean = forecaster.predict(Panel(nobody, new, columns=Columns(outcome="score"), better="low"), at)["mean"]
    assert mean[0] + 4 < mean[2] < mean[1] - 4
