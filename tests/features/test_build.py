"""The feature table: landmarks, groups, intake columns, whole-treatment columns, and the guard against them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, LeakageError, OptionError, Panel, build_features, dictionary, past_features, require_past
from features.feature import GROUPS, Feature
from tests.features.clinics import clinic, panel_of, tables


@pytest.fixture(scope="module")
def panel() -> Panel:
    return clinic(40, seed=5)


def test_landmark_is_the_kth_observed_session(panel: Panel) -> None:
    every = build_features(panel)
    assert list(every.index.names) == ["patient_id", "session"]
    assert len(every) == panel.n_sessions
    third = build_features(panel, landmark=3)
    reached = panel.patient_ids[panel.sessions_per_patient >= 3]
    assert list(third.index) == list(reached)
    for patient in reached[:5]:
        pd.testing.assert_series_equal(third.loc[patient], every.loc[patient].iloc[2], check_names=False)
    last = build_features(panel, landmark="last")
    assert (last["sessions_held"] == panel.sessions_per_patient).all()


def test_intake_alone_has_the_same_columns_and_no_sessions(panel: Panel) -> None:
    intake = build_features(panel, landmark=0)
    assert list(intake.columns) == list(build_features(panel, landmark=2).columns)
    assert list(intake.index) == list(panel.patient_ids)
    assert (intake["sessions_held"] == 0).all()
    assert intake.filter(like="wai").isna().all().all()
    assert intake["age"].equals(panel.patients["age"])


@pytest.mark.parametrize("seen", ["past", "whole"])
@pytest.mark.parametrize("partner", [None, "wai_t"])
def test_the_dictionary_describes_every_column(panel: Panel, seen: str, partner: str | None) -> None:
    words = dictionary(panel, seen=seen, partner=partner)
    table = build_features(panel, 2, seen=seen, partner=partner)
    assert list(words["name"]) == list(table.columns)
    assert words["name"].is_unique
    assert set(words["group"]) == set(GROUPS)
    assert (words["description"].str.len() > 0).all() and (words["unit"].str.len() > 0).all()
    assert set(words["seen"]) == ({"past"} if seen == "past" else {"past", "whole"})


def test_whole_columns_are_named_and_a_forecast_refuses_them(panel: Panel) -> None:
    table = build_features(panel, 3, seen="whole")
    whole = [name for name in table.columns if name.endswith("__whole")]
    means = table["wai_person_mean_trait__whole"]
    for patient in table.index[:5]:
        ratings = panel.alliance[panel.patient_index == panel.patient_ids.get_loc(patient)]
        assert means[patient] == pytest.approx(np.nanmean(ratings))
    with pytest.raises(LeakageError, match=r"'wai_person_mean_trait__whole'.*seen='past'"):
        require_past(table)
    require_past(table.drop(columns=whole))
    require_past(build_features(panel, 3))


def test_types_of_intake_columns() -> None:
    sessions = pd.DataFrame({"patient_id": ["a", "b", "c"], "session": 1, "outcome": [1.0, 2.0, 3.0]})
    patients = pd.DataFrame(
        {
            "patient_id": ["a", "b", "c"],
            "age": pd.array([30, None, 50], dtype="Int64"),
            "married": [True, False, None],
            "smokes": [True, False, True],
            "school": ["low", None, "high"],
            "level": pd.Categorical(["b", "a", "b"], categories=["b", "a"], ordered=True),
            "intake": pd.to_datetime(["1970-01-02", None, "1970-01-11"]),
            "mixed": [1, "two", None],
            "empty": [None, None, None],
        }
    )
    table = build_features(Panel(sessions, patients, columns=Columns(therapist=None)), landmark=1)
    assert table["age"].tolist()[::2] == [30.0, 50.0] and np.isnan(table["age"].iloc[1])
    assert table["age_missing"].tolist() == [0.0, 1.0, 0.0]
    assert table["married"].tolist()[:2] == [1.0, 0.0] and np.isnan(table["married"].iloc[2])
    assert table["smokes"].tolist() == [1.0, 0.0, 1.0]
    assert list(table["school"].cat.categories) == ["high", "low"] and table["school"].isna().tolist()[1]
    assert list(table["level"].cat.categories) == ["b", "a"]
    assert table["intake"].tolist()[::2] == [1.0, 10.0]
    assert list(table["mixed"].cat.categories) == ["1", "two"]
    assert table["empty"].isna().all() and (table["empty_missing"] == 1).all()


def test_names_that_clash_are_told_apart() -> None:
    sessions = pd.DataFrame({"patient_id": ["a", "b"], "session": 1, "outcome": [1.0, 2.0], "therapist_id": ["s", "t"]})
    patients = pd.DataFrame({"patient_id": ["a", "b"], "age": [20, 30], "outcome_last": [7, 8], "trait__whole": [5, 6]})
    patients["therapist_age"] = 1
    staff = pd.DataFrame({"therapist_id": ["s", "t"], "age": [40, 50]})
    panel = Panel(sessions, patients, staff)
    table = build_features(panel, landmark=1)
    assert list(table.columns) == list(dictionary(panel)["name"])
    assert table["outcome_last"].tolist() == [1.0, 2.0] and table["intake_outcome_last"].tolist() == [7.0, 8.0]
    assert table["age"].tolist() == [20.0, 30.0]
    assert table["therapist_age"].tolist() == [1.0, 1.0] and table["intake_therapist_age"].tolist() == [40.0, 50.0]
    assert table["trait"].tolist() == [5.0, 6.0]
    require_past(table)


def test_congruence_of_two_raters_by_hand() -> None:
    sessions = pd.DataFrame({"patient_id": "p", "session": range(1, 5), "outcome": 1.0})
    sessions["wai"], sessions["wai_t"] = [10.0, 20.0, np.nan, 40.0], [14.0, 12.0, 10.0, 40.0]
    columns = Columns(alliance="wai", covariates=["wai_t"], therapist=None)
    panel = Panel(sessions, columns=columns, measures={"wai": "srs"})  # 0 to 40: middle 20
    table = past_features(panel, partner="wai_t").filter(like="wai_wai_t_")
    expected = {
        "difference": [-4, 8, np.nan, 0],
        "absolute_difference": [4, 8, np.nan, 0],
        "mean_absolute_difference": [4, 6, 6, 4],
        "correlation": [np.nan, np.nan, np.nan, np.corrcoef([10, 20, 40], [14, 12, 40])[0, 1]],
        "squared": [100, 0, np.nan, 400],
        "product": [60, 0, np.nan, 400],
        "partner_squared": [36, 64, np.nan, 400],
    }
    assert [name.removeprefix("wai_wai_t_") for name in table.columns] == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(table[f"wai_wai_t_{name}"], values, err_msg=name)


def test_without_an_alliance_the_table_holds_the_rest() -> None:
    sessions = tables(10, seed=1)[0]
    panel = Panel(sessions, columns=Columns(outcome="phq9", therapist=None))
    table = build_features(panel, 2, seen="whole")
    assert not table.filter(like="alliance").columns.any() and "phq9_last" in table
    with pytest.raises(OptionError, match="there is no alliance to compare with"):
        build_features(panel, 2, partner="wai_t")


def test_patients_without_sessions_and_empty_panels() -> None:
    sessions, patients, staff = tables(6, seed=2)
    panel = panel_of(sessions[sessions["patient_id"] != "p000"], patients, staff)
    assert "p000" in build_features(panel, 0).index and "p000" not in build_features(panel, "last").index
    nobody = panel_of(sessions.iloc[:0], patients, staff)
    assert len(build_features(nobody)) == 0 and len(build_features(nobody, 0)) == 6
    assert len(build_features(nobody, 3, seen="whole")) == 0


def test_options_are_refused_with_the_allowed_ones(panel: Panel) -> None:
    for landmark in (-1, 1.5, "first", True):
        with pytest.raises(OptionError, match="'last' or None"):
            build_features(panel, landmark)
    with pytest.raises(OptionError, match="'past', 'whole'"):
        build_features(panel, 1, seen="future")
    with pytest.raises(OptionError, match="is not one of the covariates"):
        build_features(panel, 1, partner="wai_x")
    with pytest.raises(OptionError, match="exactly where seen='whole'"):
        Feature("wai_mean", "trait alliance", "whole", "points", "")


def test_blocks_do_not_show(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = past_features(panel)
    monkeypatch.setattr("features.build.BLOCK_ROWS", 7)
    pd.testing.assert_frame_equal(past_features(panel), whole, check_exact=True)


def test_the_panel_is_left_as_it_was(panel: Panel) -> None:
    before = panel.sessions.copy(deep=True), panel.patients.copy(deep=True)
    table = build_features(panel)
    table.iloc[:, 0] = 0.0
    pd.testing.assert_frame_equal(panel.sessions, before[0])
    pd.testing.assert_frame_equal(panel.patients, before[1])
