"""What a forecaster is asked wrongly, and what it answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, NotEnoughData, OptionError, Panel, PanelError, PersonalizeError
from features.errors import FileError, NotFitted
from personalize.trajectories.evaluate import evaluate
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.storage import FORMAT
from tests.personalize.forecasting import fitted_toy, toy, toy_tables


def at(**columns):
    return pd.DataFrame({"patient_id": ["p000"], **columns})


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (pd.DataFrame({"patient_id": ["nobody"], "session": [9]}), "no patient 'nobody'"),
        (pd.DataFrame({"id": ["p000"]}), "'patient_id'"),
        (at(session=[2.5]), "whole numbers"),
        (at(session=["five"]), "must be numeric"),
        (at(session=[1]), "observed already"),
        (at(session=[9], mean=[0.0]), "'mean' has the name of a result"),
        ({"patient_id": ["p000"]}, "a DataFrame"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_in_words(request_, words):
    with pytest.raises(PersonalizeError, match=words):
        fitted_toy().predict(toy().first(2), request_)


@pytest.mark.parametrize(
    ("quantiles", "words"), [((0.5, 0.5), "increase"), ((0.0, 0.5), "between 0 and 1"), ((0.9, 0.1), "increase")]
)
def test_quantiles_are_checked(quantiles, words):
    with pytest.raises(OptionError, match=words):
        fitted_toy().predict(toy().first(2), quantiles=quantiles)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"members": ()}, "members"),
        ({"members": "growth"}, "members"),
        ({"members": ("oracle",)}, "'oracle' is not allowed"),
        ({"members": ("boosted",)}, "must stand before"),
        ({"level": 1.0}, "level"),
        ({"n_folds": 1}, "n_folds"),
        ({"dropout": "impute"}, "'impute' is not allowed"),
    ],
)
def test_options_are_checked_at_fit(options, words):
    with pytest.raises(OptionError, match=words):
        TrajectoryForecaster(**options).fit(toy())


def test_nothing_before_fit():
    with pytest.raises(NotFitted, match="call fit"):
        TrajectoryForecaster().predict(toy())


def test_an_outcome_that_never_varies_is_refused():
    sessions, patients = toy_tables(9)
    panel = Panel(sessions.assign(score=7.0), patients, columns=Columns(outcome="score"), better="low")
    with pytest.raises(NotEnoughData, match="needed"):
        TrajectoryForecaster().fit(panel)
    many, people = toy_tables(30)
    mixed = Panel(many, people, columns=Columns(outcome="score"), better="low")
    constant = object.__new__(Panel)
    constant.__dict__.update(mixed.__dict__)
    constant.outcome = np.full(mixed.n_sessions, 7.0)
    with pytest.raises(NotEnoughData, match="is 7 in every session"):
        TrajectoryForecaster().fit(constant)


def test_too_few_patients_with_a_second_outcome():
    with pytest.raises(NotEnoughData, match="0 of 60 have one, 10 are needed"):
        TrajectoryForecaster().fit(toy().first(1))


def test_fewer_patients_than_folds_makes_fewer_folds():
    forecaster = TrajectoryForecaster(n_folds=40).fit(toy(14))
    assert forecaster.crossfit_.folds.count == 14
    assert np.isfinite(forecaster.predict(toy(14).first(2))["upper"]).all()


def test_a_panel_of_another_outcome_or_clock_is_refused():
    sessions, patients = toy_tables()
    other = Panel(sessions.rename(columns={"score": "gad7"}), patients, columns=Columns(outcome="gad7"), better="low")
    with pytest.raises(PanelError, match="trained on 'score'"):
        fitted_toy().predict(other)
    with pytest.raises(PanelError, match="time column"):
        fitted_toy().predict(toy(dates=True))
    with pytest.raises(OptionError, match="a Panel is needed"):
        fitted_toy().predict(sessions)


def test_a_date_for_a_patient_without_sessions_is_refused():
    forecaster, panel = fitted_toy(dates=True), toy(dates=True).first(0)
    with pytest.raises(PanelError, match="has no session yet"):
        forecaster.predict(panel, at(date=[pd.Timestamp("2024-05-01")]))
    assert len(forecaster.predict(panel, at(session=[3]))) == 1


def test_a_date_already_observed_is_refused():
    panel = toy(dates=True).first(2)
    with pytest.raises(PanelError, match="observed already"):
        fitted_toy(dates=True).predict(panel, at(date=["2023-01-01"]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"landmarks": (3, 40)}, "40 cannot be evaluated"),
        ({"landmarks": ()}, "cannot be evaluated"),
        ({"horizons": (0,)}, "horizons"),
        ({"horizons": ("end",)}, "horizons"),
    ],
)
def test_evaluation_of_what_is_not_there_is_refused(options, words):
    with pytest.raises(OptionError, match=words):
        evaluate(fitted_toy(), toy(), **options)


def test_folders_that_hold_no_forecaster(tmp_path):
    with pytest.raises(FileError, match=r"no forecaster\.json"):
        TrajectoryForecaster.load(tmp_path)
    (tmp_path / "forecaster.json").write_text("{}")
    with pytest.raises(FileError, match="not a saved forecaster"):
        TrajectoryForecaster.load(tmp_path)
    (tmp_path / "forecaster.json").write_text("{")
    with pytest.raises(FileError, match="cannot be read"):
        TrajectoryForecaster.load(tmp_path)


@pytest.mark.parametrize("damage", ["version", "array", "text", "key"])
def test_damaged_folders_are_named(tmp_path, damage):
    fitted_toy().save(tmp_path)
    head = tmp_path / "forecaster.json"
    text = head.read_text()
    if damage == "version":
        head.write_text(text.replace(f'"format": {FORMAT}', '"format": 99'))
    elif damage == "array":
        (tmp_path / "forecaster.npz").write_bytes(b"not an archive")
    elif damage == "text":
        head.write_text(text.replace('"texts": [\n', '"texts": [\n  "../outside",\n', 1))
    else:
        head.write_text(text.replace('"clock"', '"clok"'))
    with pytest.raises(FileError, match="99" if damage == "version" else "damaged"):
        TrajectoryForecaster.load(tmp_path)
