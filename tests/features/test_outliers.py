"""Scores that stand alone are named; what merely moves a lot is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel
from features.outliers import standing_out, typing_errors
from personalize import AllianceEffect, simulate_clinic
from personalize.check import check_panel


def test_one_score_among_many() -> None:
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(50), 10)
    values = rng.normal(60, 15, 50)[who] + rng.normal(0, 5, 500)
    assert not standing_out(values, who).any()
    values[123] += 100.0
    values[7] = np.nan
    assert np.flatnonzero(standing_out(values, who)).tolist() == [123]
    said = typing_errors("oq45", values, who, np.tile(np.arange(1.0, 11.0), 50), [f"p{i}" for i in range(50)])
    assert len(said) == 1 and "1 value of 'oq45'" in said[0] and "at session 4 of 'p12'" in said[0]
    values[:60] += 1000.0 * (np.arange(60) % 10 == 3)
    assert "and 2 more" in typing_errors("oq45", values, who, np.ones(500), list(range(50)))[0]


@pytest.mark.parametrize("kind", ["trends", "heavy tails", "mostly still", "two scores each", "all missing"])
def test_what_is_no_typing_error(kind: str) -> None:
    rng = np.random.default_rng(1)
    n = 2 if kind == "two scores each" else 12
    who = np.repeat(np.arange(300), n)
    time = np.tile(np.arange(n), 300)
    values = rng.normal(0, 5, 300 * n) - rng.normal(1, 1, 300)[who] * time
    if kind == "heavy tails":
        values = rng.standard_t(8, 300 * n)
    if kind == "mostly still":
        values = np.where(rng.random(300 * n) < 0.2, 5.0, 0.0)
    if kind == "two scores each":
        values[0] = 1e6
    if kind == "all missing":
        values[:] = np.nan
    assert not standing_out(values, who).any()


@pytest.mark.parametrize("preset", ["nonlinear", "uneven", "harsh"])
def test_simulated_clinics_have_none(preset: str) -> None:
    panel = simulate_clinic(preset, n_patients=1000, random_state=3).panel
    for values in (panel.outcome, panel.alliance):
        assert standing_out(values, panel.patient_index).sum() <= 1


def test_check_and_effect_name_it() -> None:
    panel = simulate_clinic("nonlinear", n_patients=80, n_sessions=8, random_state=2).panel
    sessions = panel.sessions.reset_index(drop=True)
    row = int(np.flatnonzero(panel.patient_index == 11)[2])
    sessions.loc[row, "symptoms"] += 180.0
    columns = Columns(outcome="symptoms", alliance="alliance", therapist=panel.columns.therapist)
    wrong = Panel(sessions, panel.patients.reset_index(), columns=columns, better="low")
    told = f"at session 3 of {panel.patient_ids[11]!r}"
    assert any(told in note for note in AllianceEffect().fit(wrong).notes_)
    assert any(told in warning for warning in check_panel(wrong).warnings)
    assert not any("typing error" in warning for warning in check_panel(panel).warnings)
    assert pd.Series(AllianceEffect().fit(panel).notes_).str.contains("typing error").sum() == 0


def test_patients_with_numbers_for_names_are_named_by_them() -> None:
    who, values = np.repeat([0, 1], 8), np.array([5.0, 6, 5, 7, 6, 5, 6, 5, 5, 6, 7, 5, 900, 6, 5, 6])
    (said,) = typing_errors("y", values, who, np.tile(np.arange(1, 9), 2), np.array([106, 107]))
    assert "900 at session 5 of 107)" in said
