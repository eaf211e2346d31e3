"""A saved forecaster gives the same forecasts in a new process, and holds nothing that can be executed."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest

from personalize.trajectories.baselines import BASELINES
from personalize.trajectories.forecast import TrajectoryForecaster
from tests.personalize.forecasting import clinic, fitted, toy, toy_tables

SCRIPT = """
import sys
import pandas as pd
from features import Columns, Panel
from personalize.trajectories.forecast import TrajectoryForecaster
from tests.personalize.forecasting import SCALE
folder = sys.argv[1]
panel = Panel(pd.read_csv(f"{folder}/sessions.csv"), pd.read_csv(f"{folder}/patients.csv"),
              columns=Columns(outcome="score"), measures={"score": SCALE})
TrajectoryForecaster.load(f"{folder}/model").predict(panel).to_json(f"{folder}/out.json", double_precision=15)
"""


def test_a_new_process_forecasts_new_patients_alike(tmp_path):
    forecaster = TrajectoryForecaster().fit(toy())
    forecaster.save(tmp_path / "model")
    sessions, patients = toy_tables(12, seed=9)
    sessions = sessions[sessions["session"] <= 3]
    sessions.to_csv(tmp_path / "sessions.csv", index=False)
    patients.to_csv(tmp_path / "patients.csv", index=False)
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], check=True, capture_output=True)
    there = pd.read_json(tmp_path / "out.json")
    here = forecaster.predict(toy(12, seed=9).first(3))
    numbers = [c for c in here.columns if c not in ("patient_id", "session")]
    np.testing.assert_allclose(there[numbers], here[numbers], rtol=0, atol=1e-9)


@pytest.mark.parametrize("members", [None, ("direct", "growth", "boosted"), *BASELINES.values()])
def test_every_member_survives_a_round_trip(tmp_path, members):
    panel = toy(40)
    forecaster = TrajectoryForecaster(members=members, n_folds=3).fit(panel)
    forecaster.save(tmp_path)
    again = TrajectoryForecaster.load(tmp_path)
    pd.testing.assert_frame_equal(forecaster.predict(panel.first(2)), again.predict(panel.first(2)), check_exact=True)
    pd.testing.assert_frame_equal(forecaster.weights_, again.weights_)


def test_files_are_json_plain_arrays_and_text(tmp_path):
    fitted().save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".npz", ".txt"}
    with np.load(tmp_path / "forecaster.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    assert not any(name.endswith(".pkl") for name in zipfile.ZipFile(tmp_path / "forecaster.npz").namelist())


def test_no_patient_is_in_the_files(tmp_path):
    fitted().save(tmp_path)
    text = (tmp_path / "forecaster.json").read_text()
    assert not any(str(who) in text for who in clinic().patient_ids[:50])
