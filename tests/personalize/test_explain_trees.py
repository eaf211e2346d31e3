"""Single inputs of the boosted trees: contributions that add up and agree with another implementation of TreeSHAP."""

from __future__ import annotations

import warnings

import lightgbm
import numpy as np
import pandas as pd
import pytest

from features.errors import OptionError
from personalize import explain
from personalize.simulate import simulate_clinic
from personalize.trajectories.forecast import TrajectoryForecaster
from tests.personalize.report_clinic import fitted

SINGLE = 1e-4  # LightGBM sums single-precision inputs; points on a scale of 60


@pytest.fixture(scope="module")
def grown() -> tuple[TrajectoryForecaster, object]:
    """A forecaster whose trees found something to correct."""
    panel = simulate_clinic("nonlinear", n_patients=200, n_sessions=8, random_state=6).panel
    forecaster = TrajectoryForecaster(members=("direct", "growth", "lightgbm"), n_folds=3, random_state=0).fit(panel)
    assert forecaster.model_.members["lightgbm"].rounds > 0
    return forecaster, panel.subset(list(panel.patient_ids[:40])).first(4)


def test_contributions_add_up_to_what_the_trees_say(grown):
    forecaster, history = grown
    found = forecaster.tree_contributions(history)
    member = forecaster.model_.members["lightgbm"]
    said = member.correct(found.values.astype(np.float32)) + member.start
    assert (found.start + found.contributions.sum(axis=1) + member.start).tolist() == pytest.approx(
        said.tolist(), abs=SINGLE
    )
    # without this member, with its weight, the rest of the forecast is left
    table = explain.tree_attributions(forecaster, history)
    total = table.groupby(["patient_id", "session"], dropna=False, sort=False)["contribution"].sum()
    assert total.tolist() == pytest.approx((found.weight * found.contributions.sum(axis=1)).tolist(), abs=SINGLE)
    assert total.abs().max() > 0.5


def test_contributions_agree_with_the_shap_package(grown):
    forecaster, history = grown
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shap's own imports
        import shap
    found = forecaster.tree_contributions(history)
    member = forecaster.model_.members["lightgbm"]
    booster = lightgbm.Booster(model_str=member.model)
    other = shap.TreeExplainer(booster).shap_values(found.values)
    assert found.contributions == pytest.approx(other, abs=SINGLE)


def test_largest_first_and_only_as_many_as_asked_for(grown):
    forecaster, history = grown
    every, few = (explain.tree_attributions(forecaster, history, top=top) for top in (None, 3))
    n = 3 * history.n_patients  # next session, the fourth ahead, the last one
    assert len(few) == 3 * n
    pd.testing.assert_frame_equal(
        every.groupby(np.repeat(range(n), len(every) // n)).head(3).reset_index(drop=True), few
    )
    size = few["contribution"].abs().to_numpy().reshape(n, 3)
    assert (np.diff(size, axis=1) <= 0).all()
    last = every[(every["input"] == "symptoms_last") & every["session"].notna()].drop_duplicates("patient_id")
    shown = dict(zip(history.patient_ids, history.outcome[history.offsets[1:] - 1], strict=True))
    assert len(last) > 5
    assert last["value"].tolist() == pytest.approx([shown[p] for p in last["patient_id"]], rel=1e-6)
    assert set(last["group"]) == {"outcome history"}


def test_trees_that_correct_others_name_them_as_inputs():
    panel, forecaster, _ = fitted()
    table = explain.tree_attributions(forecaster, panel)
    assert set(table.loc[table["group"] == "other members", "input"]) == {
        "regression's forecast", "growth model's forecast",
    }  # fmt: skip
    if forecaster.model_.members["boosted"].rounds == 0:
        assert (table["contribution"] == 0).all()


def test_average_counts_patients_once():
    table = pd.DataFrame(
        {"p": ["a", "a", "b"], "input": "age", "group": "baseline patient", "contribution": [1.0, -3.0, 4.0]}
    )
    row = explain.average_tree_attributions(table, patient="p").iloc[0]
    assert (row["mean"], row["size"], row["n"]) == (1.5, 3.0, 2)  # a: −1 and 2; b: 4 and 4
    assert row["upper"] - row["size"] == pytest.approx(1.96 * np.sqrt(2) / np.sqrt(2))


def test_without_trees_the_members_are_named():
    panel, _, _ = fitted()
    plain = TrajectoryForecaster(members=("last",)).fit(panel)
    with pytest.raises(OptionError, match="none of them is 'boosted'"):
        explain.tree_attributions(plain, panel)


@pytest.mark.parametrize("top", [0, 1.5, True])
def test_top_is_a_number_of_inputs(top):
    panel, forecaster, _ = fitted()
    with pytest.raises(OptionError, match="top="):
        explain.tree_attributions(forecaster, panel, top=top)
