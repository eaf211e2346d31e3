"""Single inputs of the boosted trees: contributions that add up and agree with another implementation of TreeSHAP."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import lightgbm
import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel
from features.errors import OptionError
from personalize import explain
from personalize.report import gather, write_report
from personalize.report.sections.forecast import NO_TREES
from personalize.simulate import simulate_clinic
from personalize.trajectories.forecast import TrajectoryForecaster
from tests.personalize.report_clinic import fitted, report_inputs

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


def crossed(n: int = 120, sessions: int = 6) -> Panel:
    """A clinic that no linear model forecasts: who gains 20 points at the fourth session depends on two scores' signs.

    ``gain_i = 20 · 1[warmth_i · trust_i > 0]``; each of the two alone says nothing of it.
    """
    rng = np.random.default_rng(3)
    warmth, trust = rng.standard_normal((2, n))
    gain = np.where(warmth * trust > 0, 20.0, 0.0)[:, None] * (np.arange(1, sessions + 1) >= 4)
    score = 60 + 4 * rng.standard_normal((n, 1)) - gain + 2 * rng.standard_normal((n, sessions))
    who = [f"p{i:03d}" for i in range(n)]
    table = {"patient_id": np.repeat(who, sessions), "session": np.tile(np.arange(1, sessions + 1), n)}
    patients = pd.DataFrame({"patient_id": who, "warmth": warmth, "trust": trust})
    return Panel(pd.DataFrame({**table, "y": score.ravel()}), patients, columns=Columns(outcome="y"), better="low")


def test_default_trees_grow_where_the_other_members_miss_something(tmp_path):
    panel = crossed()
    forecaster = TrajectoryForecaster(random_state=0).fit(panel)
    assert forecaster.model_.members["boosted"].rounds > 0
    table = explain.tree_attributions(forecaster, panel.first(3))
    average = explain.average_tree_attributions(table, patient="patient_id")
    assert set(average["input"].head(2)) == {"warmth", "trust"}
    assert average["size"].iloc[1] > 1.0  # points
    page = write_report(tmp_path, gather(panel.first(3), forecaster, evaluate=False)).read_text(encoding="utf-8")
    assert "One part of the forecast by single inputs" in page
    assert NO_TREES not in page


def test_report_says_why_no_single_input_is_shown(tmp_path):
    inputs = report_inputs()
    none = inputs.tree_attributions.assign(contribution=0.0)
    page = write_report(tmp_path, replace(inputs, tree_attributions=none)).read_text(encoding="utf-8")
    assert NO_TREES in re.sub(r"<[^>]*>", "", page)
    assert "One part of the forecast by single inputs" not in page


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
