"""The experiment behind docs/forecasts.md: its tables, on two small clinics, everything refitted fold by fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments import forecast_accuracy as experiment
from features import OptionError, Panel
from personalize.trajectories.compare import compare
from personalize.trajectories.distribution import QUANTILES, quantile_name
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import FORECASTER, held_out
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
    both = experiment.pooled(two_clinics)
    assert len(both.rows) == sum(len(part.rows) for part in two_clinics)
    assert not both.rows.duplicated(["forecaster", "landmark", "horizon", "patient"]).any()


def test_splits_of_the_same_patients_are_averaged_within_each(two_clinics):
    twice = experiment.pooled([two_clinics[0]] * 2, same_patients=True)
    once, again = (compare(held, "last observation", n_bootstrap=30) for held in (two_clinics[0], twice))
    columns = ["estimate", "lower", "upper"]
    np.testing.assert_allclose(once[columns], again[columns])


def test_the_table_ranks_and_compares(two_clinics):
    table = experiment.accuracy_table("small", experiment.pooled(two_clinics), n_bootstrap=30).set_index("forecaster")
    assert table.index[-1] == "nobody knows" and set(table.index) == {FORECASTER, "last observation", "nobody knows"}
    assert table["crps"].is_monotonic_increasing
    assert table.loc["nobody knows", "mae_difference"].startswith("-")
    assert pd.isna(table.loc[FORECASTER, "mae_difference"])


def test_coverage_by_landmark_horizon_and_severity(two_clinics):
    table = experiment.coverage_table("small", experiment.pooled(two_clinics))
    assert set(table["group"]) == {"landmark", "horizon", "severity"}
    assert table.loc[table["group"] == "severity", "value"].tolist() == [1, 2, 3, 4, 5]
    assert table["coverage"].between(0.6, 1).all()
    paths = experiment.path_table("small", experiment.pooled(two_clinics))
    assert (paths["width_ratio"] > 1).all() and paths["path_coverage"].between(0.7, 1).all()


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
