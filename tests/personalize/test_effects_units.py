"""Effects scale with the units of the data; alliances that tell nothing are refused with the reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel
from features.errors import NotEnoughData
from personalize import AllianceEffect, simulate_clinic


def in_units(outcome: float, alliance: float) -> AllianceEffect:
    panel = simulate_clinic("linear", n_patients=150, random_state=3).panel
    sessions = panel.sessions[["patient_id", "session", "symptoms", "alliance"]].assign(
        symptoms=panel.sessions["symptoms"] * outcome, alliance=panel.sessions["alliance"] * alliance
    )
    patients = panel.patients.reset_index()
    columns = Columns(outcome="symptoms", alliance="alliance")
    return AllianceEffect().fit(Panel(sessions, patients, columns=columns, better="low"))


@pytest.mark.parametrize(("outcome", "alliance"), [(1 / 45, 12.0), (1e4, 1.0)])
def test_effects_scale_with_the_units(outcome: float, alliance: float) -> None:
    """The average and own slopes to rounding; single effects to what the grid of ridge penalties leaves."""
    usual, other, unit = in_units(1.0, 1.0), in_units(outcome, alliance), outcome / alliance
    for name in ("estimate", "se", "lower", "upper"):
        assert other.average_[name] / unit == pytest.approx(usual.average_[name], rel=1e-6)
    known = np.isfinite(usual.own_variance_)
    assert other.own_variance_[known] / unit**2 == pytest.approx(usual.own_variance_[known], rel=1e-6)
    apart = other.effects_["estimate"] / unit - usual.effects_["estimate"]
    assert apart.abs().max() < 0.05 * usual.effects_["estimate"].std()


def made(alliance: Callable[[int, int, np.random.Generator], float]) -> Panel:
    rng = np.random.default_rng(0)
    rows = [(i, t, 50 + 5 * rng.standard_normal(), alliance(i, t, rng)) for i in range(60) for t in range(1, 9)]
    frame = pd.DataFrame(rows, columns=["patient_id", "session", "y", "a"])
    return Panel(frame, columns=Columns(outcome="y", alliance="a"), better="low")


def test_an_alliance_that_is_time_is_refused() -> None:
    with pytest.raises(NotEnoughData, match="'a' changes within patients along with the session number alone"):
        AllianceEffect().fit(made(lambda i, t, rng: 1 + 0.1 * t))


def test_an_alliance_that_moves_in_one_patient_is_refused() -> None:
    with pytest.raises(NotEnoughData, match="'a' moves within 1 patients only; at least 10"):
        AllianceEffect().fit(made(lambda i, t, rng: 4 + (rng.standard_normal() if i == 0 else 0.0)))
