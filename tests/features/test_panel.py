"""The panel's contract on hand-made tables: what it holds, how it is cut, what it does with odd but valid input."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features import Columns, OptionError, Panel, PanelError
from features.measures import Measure

ROLES = Columns(outcome="phq9", alliance="wai")


def sessions(**columns: Any) -> pd.DataFrame:
    """Patient b with three sessions (given out of order), a with two, in two therapists."""
    frame = {
        "patient_id": ["b", "b", "a", "b", "a"],
        "session": [3, 1, 2, 2, 1],
        "phq9": [5.0, 20.0, 11.0, np.nan, 12.0],
        "wai": [6.0, 4.0, np.nan, 5.0, 5.5],
    }
    return pd.DataFrame({**frame, **columns})


def patients() -> pd.DataFrame:
    return pd.DataFrame({"patient_id": ["b", "c", "a"], "therapist_id": ["t2", None, "t1"], "age": [40, 50, 30]})


def test_rows_are_sorted_and_arrays_line_up() -> None:
    panel = Panel(sessions(), patients(), columns=ROLES)
    assert panel.patient_ids.tolist() == ["a", "b", "c"]
    assert panel.patient_index.tolist() == [0, 0, 1, 1, 1]
    assert panel.offsets.tolist() == [0, 2, 5, 5]
    assert panel.session.tolist() == [1, 2, 1, 2, 3]
    assert panel.occasion.tolist() == [0, 1, 0, 1, 2]
    np.testing.assert_array_equal(panel.outcome, [12, 11, 20, np.nan, 5])
    np.testing.assert_array_equal(panel.alliance, [5.5, np.nan, 4, 5, 6])
    assert panel.therapist_index.tolist() == [0, 1, -1]
    assert panel.clusters.tolist() == [0, 1, 2]
    assert panel.person_index.tolist() == [0, 1, 2]
    assert panel.patients["age"].tolist() == [30, 40, 50]
    assert panel.sessions_per_patient.tolist() == [2, 3, 0]
    assert (panel.n_patients, panel.n_sessions, panel.n_therapists) == (3, 5, 2)


def test_order_of_rows_does_not_matter() -> None:
    one = Panel(sessions(), patients(), columns=ROLES)
    other = Panel(sessions().sample(frac=1, random_state=3), patients().iloc[::-1], columns=ROLES)
    pd.testing.assert_frame_equal(one.sessions, other.sessions)
    pd.testing.assert_frame_equal(one.patients, other.patients)


def test_nothing_passed_in_is_altered_or_shared() -> None:
    given, intake = sessions(), patients()
    before = copy.deepcopy((given, intake))
    panel = Panel(given, intake, columns=ROLES, missing_codes=[5])
    pd.testing.assert_frame_equal(given, before[0])
    pd.testing.assert_frame_equal(intake, before[1])
    for array in (panel.outcome, panel.alliance, panel.time, panel.session, panel.patient_index, panel.offsets):
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = 0


@pytest.mark.parametrize(
    "stored",
    [
        lambda v: v.astype("Float64"),
        lambda v: v.astype(object),
        lambda v: v.astype("float32"),
        lambda v: v.map(lambda x: "" if np.isnan(x) else f" {x:g} "),
        lambda v: v.astype("category"),
        lambda v: v.map(lambda x: None if np.isnan(x) else str(x)).astype("category"),
        lambda v: pd.Series(pd.arrays.SparseArray(v.to_numpy()), index=v.index),
        lambda v: v.astype("double[pyarrow]"),
        lambda v: v.astype("string").astype("string[pyarrow]"),
    ],
    ids=["nullable", "object", "single", "text", "category", "text category", "sparse", "arrow", "arrow text"],
)
def test_scores_may_be_stored_in_any_way(stored: Any) -> None:
    panel = Panel(sessions().assign(phq9=stored(sessions()["phq9"])), columns=ROLES)
    np.testing.assert_array_equal(panel.outcome, [12, 11, 20, np.nan, 5])


@pytest.mark.parametrize(
    "stored",
    [
        lambda v: v.map({"a": 1, "b": 2}),
        lambda v: v.map({"a": 1.0, "b": 2.0}),
        lambda v: v.map({"a": 1, "b": 2}).astype("Int64"),
        lambda v: v.map({"a": 1, "b": 2}).astype("category"),
        lambda v: v.map({"a": 1, "b": 2}).astype(object),
    ],
    ids=["integers", "whole floats", "nullable", "category", "object"],
)
def test_identifiers_have_one_spelling(stored: Any) -> None:
    intake = pd.DataFrame({"patient_id": [1, 2], "age": [30, 40]})
    panel = Panel(sessions().assign(patient_id=stored(sessions()["patient_id"])), intake, columns=ROLES)
    assert panel.patient_ids.tolist() == [1, 2]
    assert panel.sessions["patient_id"].tolist() == [1, 1, 2, 2, 2]


def test_identifiers_are_trimmed_and_keep_leading_zeros() -> None:
    given = sessions().assign(patient_id=[" 007", "007", "08 ", "007", "08"])
    assert Panel(given, columns=ROLES).patient_ids.tolist() == ["007", "08"]


def test_identifiers_may_stand_in_the_index() -> None:
    panel = Panel(sessions(), patients().set_index("patient_id"), columns=ROLES)
    assert panel.patients["age"].tolist() == [30, 40, 50]
    panel = Panel(sessions().set_index(["patient_id", "session"]), columns=ROLES)
    assert panel.patient_ids.tolist() == ["a", "b"]


def test_row_numbers_left_by_an_export_are_set_aside() -> None:
    given = patients()
    given.insert(0, "Unnamed: 0", range(3))
    panel = Panel(sessions(), given, columns=ROLES)
    assert list(panel.patients.columns) == ["age"]
    assert any("'Unnamed: 0' has no name and only numbers the rows" in note for note in panel.notes)
    kept = Panel(sessions(), given.assign(**{"Unnamed: 0": [4, 1, 1]}), columns=ROLES)
    assert "Unnamed: 0" in kept.patients.columns


def test_one_patient_and_no_sessions_are_valid_histories() -> None:
    one = Panel(sessions().iloc[[1]], columns=ROLES)
    assert (one.n_patients, one.n_sessions) == (1, 1)
    none = Panel(sessions().iloc[:0], patients(), columns=ROLES)
    assert (none.n_patients, none.n_sessions) == (3, 0)
    assert none.time.shape == (0,)
    assert none.first(1).n_patients == 3


def test_sessions_without_a_score_are_kept_and_counted() -> None:
    given = sessions().assign(phq9=[np.nan, 20, 11, np.nan, 12], wai=[np.nan, 4, 5, 6, 7])
    panel = Panel(given, columns=ROLES)
    assert panel.n_sessions == 5
    assert any(note.startswith("sessions: 1 session row without any score") for note in panel.notes)


# -- time ---------------------------------------------------------------------------------------------------------


def test_without_a_session_column_time_orders_the_sessions() -> None:
    given = sessions(month=[6.0, 0.0, 3.5, 1.0, 0.5]).drop(columns="session")
    panel = Panel(given, columns=Columns(outcome="phq9", alliance="wai", time="month"))
    assert panel.session.tolist() == [1, 2, 1, 2, 3]
    assert panel.time.tolist() == [0.5, 3.5, 0, 1, 6]
    assert panel.calendar is None


@pytest.mark.parametrize(
    "stored",
    [
        lambda v: v,
        pd.to_datetime,
        lambda v: pd.to_datetime(v).dt.date,
        lambda v: pd.to_datetime(v).dt.tz_localize("Europe/Berlin"),
        lambda v: pd.to_datetime(v).astype(object),
        lambda v: pd.to_datetime(v).dt.to_period("D"),
        lambda v: v.astype("category"),
    ],
    ids=["text", "datetime", "date", "time zone", "stamps", "period", "category"],
)
def test_dates_become_days_since_the_first_session(stored: Any) -> None:
    when = pd.Series(["2024-03-11", "2024-02-26", "2024-01-08", "2024-03-04", "2024-01-01"])
    panel = Panel(sessions(when=stored(when)), columns=Columns(outcome="phq9", alliance="wai", time="when"))
    assert panel.time.tolist() == [0, 7, 0, 7, 14]
    assert panel.calendar is not None
    assert panel.calendar[0] == pd.Timestamp("2024-01-01").toordinal() - pd.Timestamp("1970-01-01").toordinal()


def test_time_of_a_cut_panel_still_counts_from_the_first_session() -> None:
    when = ["2024-03-11", "2024-02-26", "2024-01-08", "2024-03-04", "2024-01-01"]
    panel = Panel(sessions(when=when), columns=Columns(outcome="phq9", alliance="wai", time="when"))
    late = panel.where(panel.session > 1)
    assert late.time.tolist() == [7, 7, 14]
    assert late.subset(["b"]).time.tolist() == [7, 14]


def test_durations_are_days() -> None:
    given = sessions(since=pd.to_timedelta([14, 0, 7, 7, 0], unit="D"))
    panel = Panel(given, columns=Columns(outcome="phq9", alliance="wai", time="since"))
    assert panel.time.tolist() == [0, 7, 0, 7, 14]


# -- missing codes, ranges, directions -----------------------------------------------------------------------------


def test_missing_codes_hold_for_scores_and_are_counted() -> None:
    given = sessions(phq9=[99, 20, 11, -9, 12])
    panel = Panel(given, patients().assign(age=[40, 99, 30]), columns=ROLES, missing_codes=(-9, 99))
    np.testing.assert_array_equal(panel.outcome, [12, 11, 20, np.nan, np.nan])
    assert panel.patients["age"].tolist() == [30, 40, 99]
    notes = " ".join(panel.notes)
    assert "2 values of 'phq9' set to missing (code -9, 99)" in notes
    assert "column 'age' has 1 value such as 99; codes that name no column are for the session scores" in notes


def test_missing_codes_by_column_reach_the_intake_table() -> None:
    given = sessions(phq9=[9, 20, 11, -9, 12])
    intake = patients().assign(age=["40", "unknown", "30"], sex=["f", "?", "m"])
    codes: dict[str, list[float | str]] = {"phq9": [-9], "age": ["unknown"], "sex": ["?"]}
    panel = Panel(given, intake, columns=ROLES, missing_codes=codes)
    np.testing.assert_array_equal(panel.outcome, [12, 11, 20, np.nan, 9])
    assert panel.patients["age"].dtype == float
    np.testing.assert_array_equal(panel.patients["age"], [30, 40, np.nan])
    assert panel.patients["sex"].isna().tolist() == [False, False, True]


def test_text_that_is_mostly_numbers_is_noted() -> None:
    ids = [f"p{i}" for i in range(10)]
    given = pd.DataFrame({"patient_id": ids, "session": 1, "outcome": range(10)})
    intake = pd.DataFrame({"patient_id": ids, "age": [*map(str, range(30, 39)), "n.k."]})
    notes = Panel(given, intake).notes
    assert any("'age' is text although 90% of its values are numbers (others: 'n.k.')" in note for note in notes)


def test_values_out_of_range_may_be_taken_as_missing() -> None:
    given = sessions(phq9=[28, 20, 11, -0.25, 12])
    panel = Panel(given, columns=ROLES, measures={"phq9": "phq9"}, out_of_range="missing")
    np.testing.assert_array_equal(panel.outcome, [12, 11, 20, np.nan, np.nan])
    assert any("2 values of 'phq9' outside 0 to 27 (phq9) set to missing" in note for note in panel.notes)


def test_direction_comes_from_the_measure_or_is_noted() -> None:
    ors = Measure("own", minimum=0, maximum=40, better="high")
    assert Panel(sessions(), columns=ROLES, measures={"phq9": ors}).better == "high"
    assert Panel(sessions(), columns=ROLES, better="high").better == "high"
    assumed = Panel(sessions(), columns=ROLES)
    assert (assumed.better, assumed.better_stated) == ("low", False)
    assert any("lower scores are taken to be better" in note for note in assumed.notes)


# -- intake tables ---------------------------------------------------------------------------------------------------


def test_intake_columns_become_plain() -> None:
    intake = patients().assign(
        n=pd.array([1, None, 3], dtype="Int64"),
        whole=pd.array([1, 2, 3], dtype="Int16"),
        flag=pd.array([True, False, True], dtype="boolean"),
        site=pd.Categorical(["x", None, "y"]),
        mixed=pd.Series([1, 2.5, None], dtype=object),
    )
    panel = Panel(sessions(), intake, columns=ROLES)
    kinds = {name: str(panel.patients[name].dtype) for name in ("n", "whole", "flag", "site", "mixed")}
    assert kinds == {"n": "float64", "whole": "int64", "flag": "bool", "site": "category", "mixed": "float64"}


def test_therapists_are_those_of_the_sessions_and_the_patients() -> None:
    given = sessions(therapist_id=["t2", None, "t1", "t2", None])
    panel = Panel(given, patients().drop(columns="therapist_id"), columns=ROLES)
    assert panel.therapist_ids.tolist() == ["t1", "t2"]
    assert panel.therapist_index.tolist() == [0, 1, -1]
    staff = pd.DataFrame({"therapist_id": ["t2", "t9", "t1"], "years": [3, 9, 1]})
    panel = Panel(given, patients(), staff, columns=ROLES)
    assert panel.therapists["years"].tolist() == [1, 3, 9]
    assert panel.n_therapists == 2


# -- episodes --------------------------------------------------------------------------------------------------------


def test_each_patient_and_therapist_may_be_an_episode() -> None:
    given = sessions(therapist_id=["t2", "t1", "t1", "t1", "t1"])
    panel = Panel(given, patients().drop(columns="therapist_id"), columns=ROLES, episodes="patient-therapist")
    assert panel.patient_ids.tolist() == ["a / t1", "b / t1", "b / t2", "c"]
    assert panel.sessions_per_patient.tolist() == [2, 2, 1, 0]
    assert panel.therapist_index.tolist() == [0, 0, 1, -1]
    assert panel.patients["age"].tolist() == [30, 40, 40, 50]
    assert panel.person_index[1] == panel.person_index[2]
    assert len(set(panel.person_index.tolist())) == 3
    assert any("1 patient changed therapist" in note for note in panel.notes)


def test_an_episode_takes_the_therapist_of_the_patients_table_where_sessions_name_none() -> None:
    panel = Panel(sessions(), patients(), columns=ROLES, episodes="patient-therapist")
    assert panel.patient_ids.tolist() == ["a / t1", "b / t2", "c"]


@pytest.mark.parametrize("own_rows", [False, True], ids=["one row a patient", "one row an episode"])
def test_two_treatments_of_one_patient(own_rows: bool) -> None:
    given = sessions(session=[1, 1, 2, 2, 1], course=[2, 1, 1, 1, 1])
    intake = patients().drop(columns="therapist_id")
    if own_rows:
        intake = pd.DataFrame({"patient_id": ["b", "a", "b"], "course": [2, 1, 1], "age": [44, 30, 40]})
    panel = Panel(given, intake, columns=Columns(outcome="phq9", alliance="wai", episode="course"))
    assert panel.patient_ids.tolist()[:3] == ["a / 1", "b / 1", "b / 2"]
    assert panel.sessions_per_patient.tolist()[:3] == [2, 2, 1]
    assert panel.patients["age"].tolist()[:3] == ([30, 40, 44] if own_rows else [30, 40, 40])
    assert panel.clusters[1] == panel.clusters[2] != panel.clusters[0]
    assert panel.subset(["b / 1", "b / 2"]).person_index.tolist() == [0, 0]


def test_an_episode_missing_from_the_patients_table_is_named() -> None:
    given = sessions(session=[1, 1, 2, 2, 1], course=[2, 1, 1, 1, 1])
    intake = pd.DataFrame({"patient_id": ["b", "a"], "course": [1, 1], "age": [44, 30]})
    with pytest.raises(PanelError, match=r"episode 'b / 2' has sessions but no row here"):
        Panel(given, intake, columns=Columns(outcome="phq9", alliance="wai", episode="course"))


def test_therapist_of_an_episode_is_that_of_its_sessions() -> None:
    given = sessions(session=[1, 1, 2, 2, 1], course=[2, 1, 1, 1, 1], therapist_id=["t9", "t2", None, "t2", None])
    panel = Panel(given, patients(), columns=Columns(outcome="phq9", alliance="wai", episode="course"))
    owners = [None if i < 0 else panel.therapist_ids[i] for i in panel.therapist_index]
    assert dict(zip(panel.patient_ids, owners, strict=True)) == {"a / 1": "t1", "b / 1": "t2", "b / 2": "t9", "c": None}


# -- smaller panels ----------------------------------------------------------------------------------------------------


def test_subset_by_identifier_mask_and_row() -> None:
    panel = Panel(sessions(), patients(), columns=ROLES)
    for who in (["b", "c"], np.asarray([False, True, True]), np.asarray([2, 1]), pd.Index(["c", "b"])):
        small = panel.subset(who)
        assert small.patient_ids.tolist() == ["b", "c"]
        assert small.outcome.tolist()[0] == 20
        assert small.offsets.tolist() == [0, 3, 3]
        assert small.therapist_index.tolist() == [1, -1]
    assert panel.subset([]).n_patients == 0


@pytest.mark.parametrize(
    ("who", "message"),
    [
        (["z"], r"patients: there is no patient 'z'"),
        (["a", "a"], r"patient 'a' is named more than once"),
        (np.asarray([3]), r"an integer array holds rows of patients, 0 to 2; 3 is not one"),
        (np.asarray([True]), r"a mask of 1 values came for 3 patients"),
    ],
)
def test_subset_refuses_what_it_does_not_know(who: Any, message: str) -> None:
    with pytest.raises(PanelError, match=message):
        Panel(sessions(), patients(), columns=ROLES).subset(who)


def test_first_and_where_keep_every_patient() -> None:
    panel = Panel(sessions(), patients(), columns=ROLES)
    assert panel.first(1).outcome.tolist() == [12, 20]
    assert panel.first(0).n_patients == 3
    assert panel.where(panel.outcome > 11).offsets.tolist() == [0, 1, 2, 2]
    with pytest.raises(PanelError, match="a boolean mask of 5 values"):
        panel.where(np.asarray([True]))


def test_roles_may_change_among_the_scores_held() -> None:
    panel = Panel(sessions(), patients(), columns=ROLES, measures={"phq9": "phq9"})
    without = panel.renamed(Columns(outcome="phq9"))
    assert not without.has_alliance
    assert np.isnan(without.alliance).all()
    turned = panel.renamed(Columns(outcome="wai", alliance="phq9"))
    assert turned.outcome[0] == 5.5
    assert (turned.better_stated, panel.better_stated) == (False, True)
    with pytest.raises(OptionError, match=r"the panel holds no column 'mood'; it holds 'phq9', 'wai'"):
        panel.renamed(Columns(outcome="mood"))
    with pytest.raises(OptionError, match=r"'time' cannot change in a panel"):
        panel.renamed(Columns(outcome="phq9", time="week"))


def test_a_large_panel_equals_the_small_ones_it_is_made_of() -> None:
    """The vectorised door against a plain loop over patients."""
    rng = np.random.default_rng(5)
    n = 4_000
    given = pd.DataFrame({"patient_id": rng.integers(0, 700, n), "outcome": rng.normal(size=n).round(3)})
    given["session"] = given.groupby("patient_id").cumcount() + 1
    given["therapist_id"] = given["patient_id"] % 31
    panel = Panel(given.sample(frac=1, random_state=1))
    for place, (patient, rows) in enumerate(given.groupby("patient_id")):
        own = slice(panel.offsets[place], panel.offsets[place + 1])
        assert panel.patient_ids[place] == patient
        np.testing.assert_array_equal(panel.outcome[own], rows["outcome"])
        np.testing.assert_array_equal(panel.session[own], rows["session"])
        assert panel.therapist_ids[panel.therapist_index[place]] == patient % 31
