"""Therapist history against a plain slow version, patient by patient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel
from features.therapists import _folds, declared, therapist_history
from tests.features.clinics import clinic

KAPPA = 5.0


def known_by(panel: Panel, patient: int, now: float, dated: bool) -> dict[str, float]:
    """What one other patient shows before a moment, told one session at a time."""
    rows = range(panel.offsets[patient], panel.offsets[patient + 1])
    when = panel.calendar if dated else panel.occasion
    past = [r for r in rows if when[r] < now]
    out = {"seen": float(len(past) > 0)}
    if not past:
        return out
    alliance = [panel.alliance[r] for r in past if not np.isnan(panel.alliance[r])]
    if alliance:
        out["alliance"] = float(np.mean(alliance))
    outcome = [panel.outcome[r] for r in past if not np.isnan(panel.outcome[r])]
    if len(outcome) > 1:
        out["change"] = outcome[-1] - outcome[0]
    if len(past) > 3:
        out["gone"] = 0.0
    if dated:
        # gone from 60 days after a session on, until a later session brings the patient back
        if len(past) <= 3 and when[past[-1]] + 60.0 < now:
            out["gone"] = 1.0
    elif len(rows) <= 3 and now > 3:
        out["gone"] = 1.0
    return out


def slow(panel: Panel) -> dict[str, np.ndarray]:
    dated = panel.calendar is not None
    folds = np.arange(panel.n_patients) if dated else _folds(panel)
    table = {name: np.full(panel.n_sessions, np.nan) for name in ("caseload", "alliance", "change", "gone")}
    for row in range(panel.n_sessions):
        me = panel.patient_index[row]
        now = panel.calendar[row] if dated else panel.occasion[row] + 0.5
        everyone = [i for i in range(panel.n_patients) if folds[i] != folds[me]]
        shown = {i: known_by(panel, i, now, dated) for i in everyone}
        mine = [i for i in everyone if panel.therapist_index[i] == panel.therapist_index[me]]
        table["caseload"][row] = sum(shown[i]["seen"] for i in mine)
        for name in ("alliance", "change", "gone"):
            all_values = [shown[i][name] for i in everyone if name in shown[i]]
            own = [shown[i][name] for i in mine if name in shown[i]]
            if all_values:
                table[name][row] = (sum(own) + KAPPA * np.mean(all_values)) / (len(own) + KAPPA)
    return table


@pytest.mark.parametrize("dates", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_a_plain_slow_version(dates: bool, seed: int) -> None:
    panel = clinic(30, seed=seed, dates=dates)
    fast, plain = therapist_history(panel), slow(panel)
    pairs = {
        "therapist_caseload": "caseload",
        "therapist_alliance": "alliance",
        "therapist_change": "change",
        "therapist_early_dropout": "gone",
    }
    assert list(fast) == list(pairs) == [feature.name for feature in declared(panel)]
    for name, other in pairs.items():
        assert np.isfinite(fast[name]).any()
        np.testing.assert_allclose(fast[name], plain[other], atol=1e-9, err_msg=name)


def test_hand_worked_caseload_and_mean() -> None:
    # therapist t sees a (days 0 and 10), b (day 5) and c (day 20); u sees d (day 1)
    sessions = pd.DataFrame(
        {
            "patient_id": ["a", "a", "b", "c", "d"],
            "session": [1, 2, 1, 1, 1],
            "date": pd.to_datetime(["2024-01-01", "2024-01-11", "2024-01-06", "2024-01-21", "2024-01-02"]),
            "therapist_id": ["t", "t", "t", "t", "u"],
            "outcome": [20.0, 14.0, 18.0, 16.0, 10.0],
            "wai": [4.0, 6.0, 3.0, 5.0, 2.0],
        }
    )
    panel = Panel(sessions, columns=Columns(alliance="wai", time="date"))
    history = therapist_history(panel)
    # rows: a day 0, a day 10, b day 5, c day 20, d day 1
    assert history["therapist_caseload"].tolist() == [0.0, 1.0, 1.0, 2.0, 0.0]
    # a at day 10: t's others: b 3; all others: b 3, d 2 -> (3 + 5 * 2.5) / 6
    # b at day 5: a 4; all: a 4, d 2 -> (4 + 5 * 3) / 6
    # c at day 20: a (4 + 6) / 2 = 5, b 3; all: 5, 3, 2 -> (8 + 5 * 10 / 3) / 7
    # d at day 1: nobody of u; all: a 4 -> 4
    wanted = [np.nan, 15.5 / 6, 19 / 6, (8 + 50 / 3) / 7, 4.0]
    np.testing.assert_allclose(history["therapist_alliance"], wanted)
    # only a has two outcomes before day 20: change -6, alone in both means
    np.testing.assert_allclose(history["therapist_change"], [np.nan, np.nan, np.nan, -6.0, np.nan])


def test_patients_without_therapist_have_none_and_a_reference_never_counts_oneself() -> None:
    panel = clinic(20, seed=3, dates=True)
    alone = panel.subset(panel.patient_ids[:1])
    assert therapist_history(alone)["therapist_caseload"].tolist() == [0.0] * alone.n_sessions
    looked_up = therapist_history(alone, reference=panel)
    for name, values in therapist_history(panel).items():
        np.testing.assert_allclose(looked_up[name], values[: alone.n_sessions], atol=1e-9)
    no_staff = Panel(panel.sessions, columns=Columns(outcome="phq9", alliance="wai", time="date", therapist=None))
    assert therapist_history(no_staff) == {}


def test_unknown_therapist_gets_the_mean_of_all() -> None:
    panel = clinic(30, seed=4)
    new = pd.DataFrame({"patient_id": ["new"] * 2, "session": [1, 2], "phq9": [9.0, 8.0], "wai": 5.0, "wai_t": 5.0})
    new["therapist_id"] = "t new"
    columns = Columns(outcome="phq9", alliance="wai", covariates=["wai_t"])
    history = therapist_history(Panel(new, columns=columns), reference=panel)
    assert history["therapist_caseload"].tolist() == [0.0, 0.0]
    firsts = panel.alliance[panel.offsets[:-1]]
    np.testing.assert_allclose(history["therapist_alliance"][0], np.nanmean(firsts))
