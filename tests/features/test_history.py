"""Every declared session feature on a hand-worked panel of four rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel, past_features
from features.history import DATED, STATISTICS, TIME

NAN = np.nan
# sessions 1, 2, 4, 5; ratings 4, missing, 6, 2
BY_HAND: dict[str, list[float]] = {
    "last": [4, 4, 6, 2],
    "previous": [NAN, 4, NAN, 6],
    "change": [NAN, NAN, NAN, -4],
    "first": [4, 4, 4, 4],
    "change_since_first": [0, 0, 2, -2],
    "early_mean": [4, 4, 5, 5],
    "mean": [4, 4, 5, 4],
    "deviation": [0, 0, 1, -2],
    # line through (1, 4), (4, 6), (5, 2): mean time 10/3, slope (4·-7/3 + 6·2/3 + 2·5/3) / (78/9) = -3/13
    "detrended": [NAN, NAN, NAN, 2 - 4 + 3 / 13 * 5 / 3],
    "recent_mean": [4, 4, 5, 4],
    # weights 1/2 every two sessions: 4·2^-1 + 6, over 2^-1 + 1; 4·2^-1.5 + 6·2^-.5 + 2
    "ewm": [4, 4, 8 / 1.5, (4 * 2**-1.5 + 6 * 2**-0.5 + 2) / (2**-1.5 + 2**-0.5 + 1)],
    "slope": [NAN, NAN, 2 / 3, -3 / 13],
    "recent_slope": [NAN, NAN, 2 / 3, -3 / 13],
    "spread": [NAN, NAN, np.sqrt(2), 2],
    "instability": [NAN, NAN, NAN, 16],
    "lowest": [4, 4, 4, 2],
    "highest": [4, 4, 6, 6],
    "below_highest": [0, 0, 0, 4],
    "share_below_mean": [0, 0, 0, 1 / 3],
    "run_below_mean": [0, 0, 0, 1],
    "n_missing": [0, 1, 1, 1],
    "since_observed": [0, 1, 0, 0],
}
TIME_BY_HAND: dict[str, list[float]] = {
    "sessions_held": [1, 2, 3, 4],
    "session_number": [1, 2, 4, 5],
    "time": [1, 2, 4, 5],
    "time_since_first": [0, 1, 3, 4],
    "gap": [NAN, 1, 2, 1],
    "mean_gap": [NAN, 1, 1.5, 4 / 3],
    "longest_gap": [NAN, 1, 2, 2],
    "sessions_skipped": [0, 0, 1, 1],
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    sessions = pd.DataFrame({"patient_id": "p", "session": [1, 2, 4, 5], "wai": [4.0, NAN, 6.0, 2.0]})
    sessions["outcome"] = sessions["wai"]
    sessions["homework"] = sessions["wai"]
    columns = Columns(alliance="wai", covariates=["homework"], therapist=None)
    return past_features(Panel(sessions, columns=columns))


@pytest.mark.parametrize("column", ["wai", "outcome", "homework"])
@pytest.mark.parametrize("name", STATISTICS)
def test_history_by_hand(table: pd.DataFrame, column: str, name: str) -> None:
    np.testing.assert_allclose(table[f"{column}_{name}"], BY_HAND[name], atol=1e-12)


@pytest.mark.parametrize("name", TIME)
def test_time_by_hand(table: pd.DataFrame, name: str) -> None:
    np.testing.assert_allclose(table[name], TIME_BY_HAND[name], atol=1e-12)


def test_histories_over_days_by_hand() -> None:
    days = pd.to_datetime(["2024-01-01", "2024-01-11", "2024-01-31", "2024-03-01"])
    sessions = pd.DataFrame({"patient_id": "p", "day": days, "outcome": [4.0, NAN, 6.0, NAN]})
    table = past_features(Panel(sessions, columns=Columns(time="day", therapist=None)))
    # day 0 lies 30 days before day 30, so no longer within the last 30 days; none of the last month is left at the end
    np.testing.assert_array_equal(table["outcome_days_mean"], [4, 4, 6, NAN])
    np.testing.assert_array_equal(table["outcome_days_since_observed"], [0, 10, 0, 30])
    assert set(table.columns) >= {f"outcome_{name}" for name in DATED}


def test_dates_count_in_days() -> None:
    sessions = pd.DataFrame({"patient_id": "p", "outcome": [3.0, 2.0], "day": ["2024-02-28", "2024-03-01"]})
    table = past_features(Panel(sessions, columns=Columns(time="day", therapist=None)))
    assert table["gap"].tolist()[1] == 2
    assert table["outcome_slope"].tolist()[1] == -0.5


def test_coupling_follows_the_order_within_a_session() -> None:
    alliance, outcome = [1.0, 3.0, 2.0, 5.0, 4.0], [9.0, 7.0, 5.0, 6.0, 2.0]
    sessions = pd.DataFrame({"patient_id": "p", "session": range(1, 6), "wai": alliance, "outcome": outcome})
    columns = Columns(alliance="wai", therapist=None)
    after = past_features(Panel(sessions, columns=columns, timing="after"))["wai_outcome_coupling"]
    before = past_features(Panel(sessions, columns=columns, timing="before"))["wai_outcome_coupling"]
    # rated after the outcome, the alliance of a session first moves the next session's outcome
    np.testing.assert_allclose(after, [NAN] * 4 + [np.corrcoef(alliance[:4], outcome[1:])[0, 1]])
    expected = [NAN] * 3 + [np.corrcoef(alliance[:n], outcome[:n])[0, 1] for n in (4, 5)]
    np.testing.assert_allclose(before, expected)
