"""Evaluation: tidy, by hand where that is possible, nothing fitted twice, baselines beside the forecaster."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, OptionError, Panel
from features.measures import measure
from personalize.trajectories import baselines
from personalize.trajectories.calibration import calibration_table, plot_calibration
from personalize.trajectories.compare import compare
from personalize.trajectories.evaluate import COLUMNS, evaluate, summarise
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import held_out
from tests.personalize.forecasting import clinic, fitted

TWO = {"last observation": ("last",), "regression": ("regression",)}


@pytest.fixture(scope="module")
def held():
    return held_out(fitted(), clinic(), baselines=TWO)


@pytest.fixture(scope="module")
def table(held):
    return summarise(held, n_bootstrap=50)


def test_table_is_long_and_complete(table):
    assert list(table.columns) == COLUMNS
    assert not table.duplicated(["forecaster", "landmark", "horizon", "group", "metric"]).any()
    assert set(table["metric"]) >= {"mae", "rmse", "crps", "skill", "coverage", "width", "path_coverage"}
    assert set(table["forecaster"]) == {"forecaster", *TWO}
    assert set(table["landmark"]) == {0, 3, 5, 8}
    assert table["estimate"].notna().all()
    shown = table[table["metric"].isin(["mae", "crps", "skill"])]
    assert ((shown["lower"] <= shown["estimate"]) & (shown["estimate"] <= shown["upper"])).all()


def test_error_of_the_last_observation_by_hand(table):
    panel = clinic()
    errors = []
    for i in range(panel.n_patients):
        y = panel.outcome[panel.offsets[i] : panel.offsets[i + 1]]
        if len(y) > 3 and np.isfinite(y[3]) and np.isfinite(y[:3]).any():
            errors.append(abs(y[3] - y[:3][np.isfinite(y[:3])][-1]))
    cell = (table["landmark"] == 3) & (table["horizon"] == "next session") & (table["forecaster"] == "last observation")
    row = table[cell & (table["metric"] == "mae")].iloc[0]
    assert row["n"] == pytest.approx(len(errors), abs=3)
    assert row["estimate"] == pytest.approx(np.mean(errors), rel=0.03)


def test_overall_is_the_mean_of_the_cells(table):
    own = table[(table["forecaster"] == "forecaster") & (table["metric"] == "crps")]
    assert own.loc[own["landmark"] == 0, "estimate"].item() == pytest.approx(
        own.loc[own["landmark"] > 0, "estimate"].mean()
    )


def test_the_forecaster_beats_the_last_observation(held):
    difference = compare(held, "last observation")
    overall = difference[difference["landmark"] == 0].set_index("metric")
    assert overall.loc["mae", "upper"] < 0 and overall.loc["crps", "upper"] < 0


def test_comparing_with_itself_is_zero_and_names_are_checked(held):
    same = compare(held, "forecaster", n_bootstrap=20)
    assert (same[["estimate", "lower", "upper"]] == 0).all(axis=None)
    with pytest.raises(OptionError, match="'oracle' is not allowed"):
        compare(held, "oracle")


def test_a_fitted_forecaster_brings_its_folds_along(held):
    fresh = held_out(TrajectoryForecaster(random_state=1), clinic(), baselines=TWO)
    pd.testing.assert_frame_equal(fresh.rows, held.rows)
    pd.testing.assert_frame_equal(fresh.paths, held.paths)


def test_a_members_forecasts_do_not_depend_on_who_else_takes_part(held):
    alone = held_out(baselines.regression(random_state=1), clinic(), baselines={})
    own = held.rows[held.rows["forecaster"] == "regression"].reset_index(drop=True)
    np.testing.assert_allclose(alone.rows["mean"], own["mean"])
    np.testing.assert_allclose(alone.rows["upper"], own["upper"])


def test_every_patient_counts_once_in_a_cell(held):
    assert not held.rows.duplicated(["forecaster", "landmark", "horizon", "patient"]).any()


def test_evaluation_from_intake_and_other_horizons():
    out = evaluate(fitted(), clinic(), landmarks=(0, 1), horizons=(2, "last"), baselines={}, n_bootstrap=5)
    assert set(out["horizon"]) == {"2 sessions ahead", "last session", "all", "path"}
    assert (out["metric"] != "skill").all(), "without the last observation there is nothing to measure skill against"


def test_calibration_lies_near_the_diagonal(held):
    table = calibration_table(held)
    overall = table[table["horizon"] == "all"]
    assert (overall["share"].diff().dropna() > 0).all()
    assert np.abs(overall["share"] - overall["probability"]).max() < 0.08
    axes = plot_calibration(table)
    assert len(axes.lines) == 1 + table["horizon"].nunique()


@pytest.mark.parametrize("make", [getattr(baselines, name.replace(" ", "_")) for name in baselines.BASELINES])
def test_baselines_have_the_forecasters_interface(make):
    history = clinic().first(3)
    forecaster = make(random_state=2, level=0.8)
    assert tuple(forecaster.members) in baselines.BASELINES.values()
    out = forecaster.fit(clinic(120, 4)).predict(history.subset(history.patient_ids[:20]))
    assert np.isfinite(out[["mean", "lower", "upper"]].to_numpy()).all()
    assert (out["lower"] < out["upper"]).all()


def test_last_observation_is_just_that():
    history = clinic().first(3)
    out = baselines.last_observation().fit(clinic()).predict(history)
    last = history.sessions.dropna(subset="symptoms").groupby("patient_id")["symptoms"].last()
    known = out["patient_id"].isin(last.index)
    np.testing.assert_allclose(out.loc[known, "mean"], last.reindex(out.loc[known, "patient_id"]).to_numpy())


def test_refractory_depression(real_data):
    """Real monthly courses, 250 patients, no alliance, one score out of range set to missing."""
    sessions = pd.read_csv(real_data / "reframed" / "sessions.csv").dropna(subset="phq9")
    patients = pd.read_csv(real_data / "reframed" / "patients.csv")
    columns = Columns(outcome="phq9", time="month")
    panel = Panel(sessions, patients, columns=columns, measures={"phq9": measure("phq9")}, out_of_range="missing")
    held = held_out(TrajectoryForecaster(), panel, baselines=TWO)
    table = summarise(held, n_bootstrap=20)
    overall = table[table["landmark"] == 0].set_index(["forecaster", "metric"])["estimate"]
    assert overall["forecaster", "mae"] < 3.65 and overall["forecaster", "crps"] < 2.75
    assert 0.86 < overall["forecaster", "coverage"] < 0.93
    against = compare(held, "regression").set_index(["landmark", "metric"])
    assert against.loc[(0, "mae_percent"), "upper"] < 1 and against.loc[(0, "crps_percent"), "upper"] < 1
