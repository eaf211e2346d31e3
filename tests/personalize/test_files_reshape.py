"""Wide tables: guessing which columns are sessions, and turning them long and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import Columns, PanelError
from personalize.files import find_wide, guess_wide, long_to_wide, read_panel, wide_to_long


@pytest.mark.parametrize(
    ("columns", "name", "pattern", "numbers"),
    [
        (["phq9_s1", "phq9_s2", "phq9_s10"], "phq9", "phq9_s{session}", [1, 2, 10]),
        (["PHQ9_01", "PHQ9_02"], "phq9", "PHQ9_{session}", [1, 2]),
        (["wai.3", "wai.4"], "wai", "wai.{session}", [3, 4]),
        (["phq91", "phq92"], "phq9", "phq9{session}", [1, 2]),
        (["t1_phq9", "t2_phq9"], "phq9", "t{session}_phq9", [1, 2]),
        (["phq9_0", "phq9_1"], "phq9", "phq9_{session}", [0, 1]),
        (["phq9_sitzung_1", "phq9_sitzung_2"], "phq9", "phq9_sitzung_{session}", [1, 2]),
        (["wai_s1", "wai_s2", "wai_bond_s1", "wai_bond_s2"], "wai", "wai_s{session}", [1, 2]),
        (["phq9_s1", "phq9_s2", "phq9_3_s1", "phq9_3_s2"], "phq9", "phq9_s{session}", [1, 2]),
        (["WAI_1", "wai_1", "wai_2"], "wai", "wai_{session}", [1, 2]),
    ],
)
def test_sessions_of_a_measure_are_found(columns: list[str], name: str, pattern: str, numbers: list[int]) -> None:
    found = find_wide("t", ["id", "age", *columns], name)
    assert (found.pattern, list(found.columns)) == (pattern, numbers)


def test_a_subscale_is_not_taken_for_the_total() -> None:
    with pytest.raises(PanelError, match=r"found wai: waibond\{session\} .*wide=\{'wai': "):
        find_wide("t", ["waibond1", "waibond2"], "wai")
    stated = find_wide("t", ["waibond1", "waibond2"], "wai", "waibond{session}")
    assert stated.columns == {1: "waibond1", 2: "waibond2"}


def test_guesses_can_be_shown() -> None:
    shown = [str(group) for group in guess_wide(["id", "phq9_s1", "phq9_s2", "phq9_s4", "s1_ors", "s2_ors", "age65"])]
    assert shown == [
        "phq9: phq9_s{session} (3 columns, phq9_s1 to phq9_s4, sessions 1 to 4, without 3)",
        "ors: s{session}_ors (2 columns, s1_ors to s2_ors, sessions 1 to 2)",
    ]


def wide() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "age": [30, 40, 50],
            "p_1": [1.0, 2.0, np.nan],
            "p_2": [np.nan, 3.0, np.nan],
            "p_3": [2.0, np.nan, np.nan],
            "w_2": [np.nan, 1.0, np.nan],
            "d_1": pd.to_datetime(["2024-01-01"] * 3),
            "d_2": pd.to_datetime(["2024-01-08"] * 3),
            "d_3": pd.to_datetime(["2024-01-15"] * 3),
        }
    )


def test_empty_sessions_at_the_end_were_not_held_and_inner_ones_are_missing() -> None:
    given_table = wide()
    groups = [find_wide("t", given_table.columns, name) for name in ("p", "w", "d")]
    long = wide_to_long(given_table, groups, patient="id", scores=["p", "w"])
    assert long.sessions["id"].tolist() == ["a", "a", "a", "b", "b"]
    assert long.sessions["session"].tolist() == [1, 2, 3, 1, 2]
    np.testing.assert_array_equal(long.sessions["p"], [1, np.nan, 2, 2, 3])
    np.testing.assert_array_equal(long.sessions["w"], [np.nan, np.nan, np.nan, np.nan, 1])
    assert (long.ended, long.inner) == (4, 1)
    assert pd.api.types.is_datetime64_any_dtype(long.sessions["d"])
    kept = wide_to_long(given_table, groups, patient="id", scores=["p", "w"], trailing="missing")
    assert len(kept.sessions) == 9
    pd.testing.assert_frame_equal(given_table, wide())


def test_a_wide_file_becomes_a_panel(tmp_path: Path) -> None:
    frame = wide().assign(therapist_id=["t1", "t1", "t2"], gad_1=1, gad_2=2)
    frame["p_3"] = [2.0, -9.0, -9.0]
    frame.to_csv(tmp_path / "wide.csv", index=False)
    roles = Columns(outcome="p", alliance="w", patient="id", time="d")
    panel = read_panel(tmp_path / "wide.csv", columns=roles, layout="wide", missing_codes=[-9])
    assert panel.sessions_per_patient.tolist() == [3, 2, 0]
    assert panel.time.tolist() == [0, 7, 14, 0, 7]
    assert list(panel.patients.columns) == ["age"]
    assert panel.n_therapists == 2
    notes = "\n".join(panel.notes)
    assert "read as wide, one row a patient; p: p_{session} (3 columns, p_1 to p_3, sessions 1 to 3); w: " in notes
    assert "4 sessions after a patient's last score taken as not held" in notes
    assert "2 further numbered columns left out: 'gad_1', 'gad_2'" in notes
    assert "2 values set to missing by missing_codes" in notes


def test_a_wide_file_and_a_patients_file_are_joined(tmp_path: Path) -> None:
    wide().to_csv(tmp_path / "wide.csv", index=False)
    pd.DataFrame({"id": ["a", "b", "c"], "sex": ["f", "m", "f"]}).to_csv(tmp_path / "p.csv", index=False)
    roles = Columns(outcome="p", alliance="w", patient="id")
    panel = read_panel(tmp_path / "wide.csv", tmp_path / "p.csv", columns=roles, layout="wide")
    assert list(panel.patients.columns) == ["sex", "age"]
    panel = read_panel(tmp_path / "wide.csv", tmp_path / "p.csv", columns=roles, layout="wide", intake=[])
    assert list(panel.patients.columns) == ["sex"]
    pd.DataFrame({"id": ["a", "b"], "sex": ["f", "m"]}).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(PanelError, match=r"p.csv: patient 'c' is in wide.csv but has no row here"):
        read_panel(tmp_path / "wide.csv", tmp_path / "p.csv", columns=roles, layout="wide")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_long_to_wide_and_back_is_the_same(data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    who = np.repeat(np.arange(len(counts)), counts)
    session = np.concatenate([np.arange(1, n + 1) for n in counts])
    value = st.one_of(st.just(np.nan), st.integers(0, 27).map(float))
    y = data.draw(st.lists(value, min_size=len(who), max_size=len(who)))
    last = np.flatnonzero(np.r_[who[1:] != who[:-1], True])
    for place in last:  # a last session without a score would be read as treatment that had ended before
        y[place] = 1.0
    long = pd.DataFrame(
        {"id": [f"p{i}" for i in who], "session": session, "y": y, "z": np.round(np.arange(len(y)) / 7, 3)}
    )
    pattern = data.draw(st.sampled_from(["{name}_s{session}", "{name}.{session:02d}", "t{session}_{name}"]))
    flat = long_to_wide(long.sample(frac=1, random_state=1), ["y", "z"], patient="id", pattern=pattern)
    assert len(flat) == len(counts)
    groups = [find_wide("t", flat.columns, name) for name in ("y", "z")]
    back = wide_to_long(flat, groups, patient="id").sessions.sort_values(["id", "session"], ignore_index=True)
    pd.testing.assert_frame_equal(back, long, check_dtype=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"session": [1, 1, 1]}, r"patient 'a' has the same session twice"),
        ({"session": [1, 1.5, 1]}, r"column 'session' must hold whole numbers"),
    ],
)
def test_long_to_wide_refuses(change: dict[str, list[float]], message: str) -> None:
    frame = pd.DataFrame({"id": ["a", "a", "b"], "session": [1, 2, 1], "y": [1, 2, 3]}).assign(**change)
    with pytest.raises(PanelError, match=message):
        long_to_wide(frame, ["y"], patient="id")
    with pytest.raises(PanelError, match=r"column 'w' is not there"):
        long_to_wide(frame, ["w"], patient="id")
