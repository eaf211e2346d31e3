"""The experiment behind docs/forecasts.md: its tables, on two small clinics, everything refitted fold by fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments import forecast_accuracy, forecast_small, forecast_tables
from experiments.forecast_data import Courses
from features import OptionError, Panel
from personalize.trajectories.compare import compare
from personalize.trajectories.distribution import QUANTILES, quantile_name
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import FORECASTER, held_out, transferred
from personalize.trajectories.query import Query
from tests.personalize.forecasting import clinic

LINEAR = ("direct", "growth")
ONE = {"last observation": ("last",)}


def nobody_knows(train: Panel, query: Query) -> pd.DataFrame:
    """A peer that forecasts the training mean."""
    mean, sd = np.nanmean(train.outcome), np.nanstd(train.outcome)
    columns = {"mean": mean, "lower": mean - 2 * sd, "upper": mean + 2 * sd}
    columns |= {"band_lower": mean - 3 * sd, "band_upper": mean + 3 * sd}
    columns |= {quantile_name(p): mean + (p - 0.5) * sd for p in QUANTILES}
    return pd.DataFrame(columns, index=range(len(query.targets)))


@pytest.fixture(scope="module")
def two_clinics():
    return [
        held_out(
            TrajectoryForecaster(members=LINEAR, n_folds=2),
            clinic(70, seed),
            landmarks=(3,),
            horizons=(1, "last"),
            baselines=ONE,
            refit=True,
            peers={"nobody knows": nobody_knows},
        )
        for seed in (31, 32)
    ]


def test_patients_of_two_clinics_stay_apart(two_clinics):
    both = forecast_tables.pooled(two_clinics)
    assert len(both.rows) == sum(len(part.rows) for part in two_clinics)
    assert not both.rows.duplicated(["forecaster", "landmark", "horizon", "patient"]).any()


def test_splits_of_the_same_patients_are_averaged_within_each(two_clinics):
    twice = forecast_tables.pooled([two_clinics[0]] * 2, same_patients=True)
    once, again = (compare(held, "last observation", n_bootstrap=30) for held in (two_clinics[0], twice))
    columns = ["estimate", "lower", "upper"]
    np.testing.assert_allclose(once[columns], again[columns])


def test_the_table_ranks_and_compares(two_clinics):
    table = forecast_tables.accuracy_table("small", forecast_tables.pooled(two_clinics), n_bootstrap=30).set_index(
        "forecaster"
    )
    assert table.index[-1] == "nobody knows" and set(table.index) == {FORECASTER, "last observation", "nobody knows"}
    assert table["crps"].is_monotonic_increasing
    limits = table.loc["nobody knows", ["mae_lower", "mae_percent", "mae_upper"]].to_numpy(dtype=float)
    assert (np.diff(limits) > 0).all() and limits[2] < 0
    assert pd.isna(table.loc[FORECASTER, "mae_percent"])


def test_coverage_by_landmark_horizon_and_severity(two_clinics):
    table = forecast_tables.coverage_table("small", forecast_tables.pooled(two_clinics))
    assert set(table["group"]) == {"all", "landmark", "horizon", "severity"}
    assert table.loc[table["group"] == "severity", "value"].tolist() == ["1", "2", "3", "4", "5"]
    assert table["coverage"].between(0.6, 1).all()
    paths = forecast_tables.path_table("small", forecast_tables.pooled(two_clinics))
    assert (paths["width_ratio"] >= 1).all() and paths["coverage"].between(0.7, 1).all()
    lengths = paths[paths["group"] == "sessions"]
    assert lengths["value"].tolist() == ["1", "2 to 3", "4 to 6", "7 or more"]
    assert lengths["width_ratio"].iloc[0] < lengths["width_ratio"].iloc[-1], "longer paths need wider bands"


def test_a_stopped_run_goes_on_and_shows_its_tables(tmp_path, monkeypatch, capsys):
    calls = []

    def few(forecaster, panel, **asked):
        calls.append(forecaster.random_state)
        if len(calls) == 2:
            raise KeyboardInterrupt
        kept = {"regression": ("regression",), "last observation": ("last",)}
        forecaster = TrajectoryForecaster(members=("regression",), n_folds=2, random_state=forecaster.random_state)
        return held_out(forecaster, panel, **{**asked, "baselines": kept})

    monkeypatch.setattr(forecast_accuracy, "held_out", few)
    monkeypatch.setattr(forecast_accuracy, "courses", lambda data, seed, **_: Courses(clinic(60, seed)))
    command = ["--out", str(tmp_path), "--data", "harsh, 200 patients", "--seeds", "1", "2"]
    command += ["--without-gpboost", "--without-dropout"]
    with pytest.raises(KeyboardInterrupt):
        forecast_accuracy.main(command)
    forecast_accuracy.main(command)
    assert calls == [1, 2, 2]
    text = (tmp_path / "tables.md").read_text()
    assert text in capsys.readouterr().out
    rows = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    assert rows[:3] == ["MAE / CRPS / coverage", "patients forecast", "**forecaster**"]
    assert "**best single baseline, MAE**" in rows and "by landmark" in rows and "whole path held, all" in rows
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {3}


def test_peers_need_a_refit():
    with pytest.raises(OptionError, match="refit=True"):
        held_out(TrajectoryForecaster(members=LINEAR), clinic(70, 31), peers={"nobody knows": nobody_knows})


def test_refitted_forecasts_are_those_of_a_forecaster_without_the_fold(two_clinics):
    """Fold 0 by hand: fit to the others, predict from the cut history."""
    panel, held = clinic(70, 31), two_clinics[0]
    cross = TrajectoryForecaster(members=LINEAR, n_folds=2).fit(panel).crossfit_
    mine = cross.folds.of_patient == 0
    forecaster = TrajectoryForecaster(members=LINEAR, n_folds=2).fit(panel.subset(np.flatnonzero(~mine)))
    rows = held.rows[(held.rows["forecaster"] == FORECASTER) & (held.rows["horizon"] == "last session")]
    own = rows[rows["patient"].isin(panel.patient_ids[mine])]
    out = forecaster.predict(panel.first(3), pd.DataFrame({"patient_id": own["patient"].to_numpy()}))
    np.testing.assert_allclose(out[["mean", "lower", "upper"]], own[["mean", "lower", "upper"]])


def test_differences_over_clinics_are_paired_and_their_limits_come_from_the_clinics():
    errors = pd.DataFrame(
        {
            "preset": "harsh",
            "patients": 66,
            "seed": [1, 1, 2, 2, 3, 3],
            "forecaster": [FORECASTER, "last observation"] * 3,
            "mae": [4.9, 5.0, 5.8, 6.0, 6.93, 7.0],
            "crps": [3.0, 3.0, 3.0, 3.0, 3.0, 3.0],
            "coverage": 0.9,
            "path_held": 0.9,
            "path_ratio": 1.3,
        }
    )
    found = forecast_small.differences(errors)
    mae = found[found["metric"] == "mae"].iloc[0]
    each = np.array([-2.0, -10 / 3, -1.0])
    half = 4.30265273 * each.std(ddof=1) / np.sqrt(3)  # Student's t with two degrees of freedom
    expected = [each.mean(), each.mean() - half, each.mean() + half, -1.0]
    np.testing.assert_allclose(mae[["percent", "lower", "upper", "worst_clinic"]].to_numpy(dtype=float), expected)
    text = forecast_small.markdown(errors, found)
    assert "| harsh, 66 |" in text and "| last observation | −2.1 [−5.0, +0.8] (−1.0) |" in text


def test_forecasts_of_another_clinic_are_those_of_a_forecaster_fitted_to_this_one():
    here, there = clinic(70, 31), clinic(70, 32)
    held = transferred(
        TrajectoryForecaster(members=LINEAR, n_folds=2), here, there, landmarks=(3,), horizons=("last",), baselines=ONE
    )
    own = held.rows[held.rows["forecaster"] == FORECASTER]
    forecaster = TrajectoryForecaster(members=LINEAR, n_folds=2).fit(here)
    out = forecaster.predict(there.first(3), pd.DataFrame({"patient_id": own["patient"].to_numpy()}))
    np.testing.assert_allclose(out[["mean", "lower", "upper"]], own[["mean", "lower", "upper"]])
