"""Feature table, shares and events on the optional real data: shapes and published aggregates, never rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel, build_features
from features.clinical import clinical_change
from features.sudden import sudden_changes
from features.variance import variance_shares


@pytest.fixture(scope="module")
def reframed(real_data: Path) -> Panel:
    folder = real_data / "reframed"
    columns = Columns(outcome="phq9", time="month", covariates=["hamd"])
    return Panel(
        pd.read_csv(folder / "sessions.csv"),
        pd.read_csv(folder / "patients.csv"),
        columns=columns,
        measures={"phq9": "phq9", "hamd": "hrsd17"},
        out_of_range="missing",
    )


def test_reframed_goes_through_every_builder(reframed: Panel) -> None:
    table = build_features(reframed, seen="whole")
    assert len(table) == reframed.n_sessions
    assert table["phq9_mean"].notna().mean() > 0.9 and "therapist_change" in table
    status = clinical_change(reframed)
    assert set(status["status"].dropna()) <= {"recovered", "improved", "unchanged", "deteriorated", "harmed"}
    assert status["status"].notna().sum() > 200
    gains = sudden_changes(reframed)
    assert 0 < (gains["met"] == 1).sum() < len(gains)


def test_reframed_shares_agree_with_a_mixed_model(reframed: Panel) -> None:
    from statsmodels.regression.mixed_linear_model import MixedLM

    frame = reframed.sessions.dropna(subset=["phq9"]).reset_index(drop=True)
    columns = Columns(outcome="phq9", time="month", therapist=None)
    alone = Panel(frame[["patient_id", "month", "phq9"]], columns=columns)
    ours = variance_shares(alone, column="phq9").table.set_index("level")["variance"]
    model = MixedLM(frame["phq9"], np.ones(len(frame)), groups=frame["patient_id"]).fit(reml=True)
    assert ours["patient"] == pytest.approx(float(model.cov_re.iloc[0, 0]), rel=1e-3)
    assert ours["session"] == pytest.approx(float(model.scale), rel=1e-3)
