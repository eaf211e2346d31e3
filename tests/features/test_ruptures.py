"""Ruptures and repairs by hand, by three criteria."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, OptionError, Panel
from features.ruptures import rupture_states, ruptures


def panel_of(ratings: list[list[float]], **options: object) -> Panel:
    rows = [(who, n, rating) for who, series in enumerate(ratings) for n, rating in enumerate(series, start=1)]
    sessions = pd.DataFrame(rows, columns=["patient_id", "session", "wai"])
    sessions["outcome"] = 1.0
    return Panel(sessions, columns=Columns(alliance="wai", therapist=None), **options)


# one patient, SD 1 by construction: mean 5, squares 2+... (see test)
COURSE = [5.0, 6.0, 4.0, 4.0, 5.8, 6.0, 5.0]


def test_drop_and_repair_by_hand() -> None:
    panel = panel_of([COURSE])
    sd = np.std(COURSE, ddof=1)  # own and pooled are the same with one patient: 0.826
    table = ruptures(panel, "drop_1sd")
    # 4 lies 2 below the high of 6 (2.4 SD): rupture at session 3; 5.8 is within half an SD of 6: repaired at session 5;
    # 5 lies 1 below the high of 6 (1.2 SD): a second rupture at session 7, not repaired
    assert 0.5 * sd > 0.2 and sd < 1
    assert table["session"].tolist() == [3, 7]
    assert table["high_session"].tolist() == [2, 6]
    assert table["depth"].tolist() == [2.0, 1.0]
    assert table["lowest"].tolist() == [4.0, 5.0]
    assert table["repaired"].tolist() == [True, False]
    assert table["repair_session"].tolist()[0] == 5 and table["sessions_to_repair"].tolist()[0] == 2
    assert np.isnan(table["repair_session"].tolist()[1])
    assert ruptures(panel, "drop_2sd")["session"].tolist() == [3]
    full = ruptures(panel, "drop_1sd", repair_within=0.0)
    assert full["repair_session"].tolist()[0] == 6  # only 6 is all the way back


def test_states_follow_the_ruptures() -> None:
    states = rupture_states(panel_of([COURSE]), "drop_1sd", seen="whole")
    assert states["ruptured"].tolist() == [0, 0, 1, 1, 0, 0, 1]
    assert states["ruptures_so_far"].tolist() == [0, 0, 1, 1, 1, 1, 2]
    assert states["repairs_so_far"].tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_control_chart_by_hand() -> None:
    # mean 5.3, moving ranges nine: 0, 0, 0, 4, 4, 0, 0, 0, 0 -> mean 8/9; limit 5.3 - 2.66 * 8/9 = 2.94
    ratings = [5.7, 5.7, 5.7, 5.7, 1.7, 5.7, 5.7, 5.7, 5.7, 5.7]
    table = ruptures(panel_of([ratings]), "control_chart")
    assert table["session"].tolist() == [5] and table["repair_session"].tolist() == [6]
    assert table["high"].tolist() == [pytest.approx(5.3)] and np.isnan(table["high_session"].tolist()[0])
    # only what came before: mean 5.7 and no movement at all, so any drop is outside
    past = ruptures(panel_of([ratings]), "control_chart", seen="past")
    assert past["session"].tolist() == [5]


def test_past_form_knows_only_earlier_ratings() -> None:
    # own SD of 5, 6, 5 is 0.577: at session 4 the drop from 6 to 5.3 is reliable; of the whole course the SD is larger
    ratings = [5.0, 6.0, 5.0, 5.3, 1.0, 9.0, 1.0, 9.0]
    assert 4 in ruptures(panel_of([ratings]), "drop_1sd", seen="past")["session"].tolist()
    assert 4 not in ruptures(panel_of([ratings]), "drop_1sd")["session"].tolist()
    # the first three sessions have no three earlier ratings
    assert ruptures(panel_of([[9.0, 1.0, 9.0]]), "drop_1sd", seen="past").empty


def test_the_larger_of_own_and_pooled_spread_holds() -> None:
    calm, restless = [5.0, 5.1, 4.9, 5.0, 5.1, 4.9], [2.0, 8.0, 3.0, 9.0, 2.0, 8.0]
    alone = ruptures(panel_of([calm]), "drop_1sd")
    together = ruptures(panel_of([calm, restless]), "drop_1sd")
    assert len(alone) > 0 and 0 not in together["patient"].tolist()


def test_missing_ratings_neither_break_nor_repair() -> None:
    table = ruptures(panel_of([[5.0, 6.0, 4.0, np.nan, 6.0, 5.5]]), "drop_1sd")
    assert table["session"].tolist()[0] == 3 and table["repair_session"].tolist()[0] == 5


def test_a_low_is_better_scale_is_turned() -> None:
    turned = panel_of([[20 - 2 * rating for rating in COURSE]], measures={"wai": "phq9"})
    table = ruptures(turned, "drop_1sd")
    assert table["session"].tolist() == [3, 7] and table["depth"].tolist() == [4.0, 2.0]
    assert table["high"].tolist() == [8.0, 8.0] and table["rating"].tolist() == [12.0, 10.0]


def test_nothing_found_and_bad_options() -> None:
    assert ruptures(panel_of([[5.0, 5.0, 5.0, 5.0]]), "drop_1sd").empty
    with pytest.raises(OptionError, match="'drop_1sd', 'drop_2sd', 'control_chart'"):
        ruptures(panel_of([COURSE]), "drop_3sd")
    with pytest.raises(OptionError, match="repair_within=-1"):
        ruptures(panel_of([COURSE]), repair_within=-1)
