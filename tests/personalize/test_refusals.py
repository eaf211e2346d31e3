"""What a user can get wrong between reading and results: refused, or said, and nothing taken or lost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel, build_features
from features.errors import FileError, NotEnoughData, OptionError, PanelError
from features.variance import variance_shares
from personalize import AllianceEffect, TrajectoryForecaster, explain, simulate_clinic
from personalize.effects.intake import baseline_table
from personalize.report import write_patient
from personalize.study.patient import write_patient as page_of
from personalize.study.results import load_results
from tests.personalize.report_clinic import fitted, report_inputs


def table(n: int = 40, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [(f"p{i:02d}", t, *rng.normal((20, 4), (4, 1))) for i in range(n) for t in range(1, 7)]
    return pd.DataFrame(rows, columns=["patient_id", "session", "y", "a"])


def panel_of(sessions: pd.DataFrame, patients: pd.DataFrame | None = None, **more: object) -> Panel:
    return Panel(sessions, patients, columns=Columns(outcome="y", alliance="a"), better="low", **more)


@pytest.mark.parametrize("level", [0.4, 0.9999999, 1.0])
@pytest.mark.parametrize("estimator", [AllianceEffect, TrajectoryForecaster])
def test_levels_that_cannot_be_calibrated(estimator: type, level: float) -> None:
    with pytest.raises(OptionError, match=r"level=.* is not allowed; give a number from 0.5 to 0.99"):
        estimator(level=level).fit(panel_of(table()))


@pytest.mark.parametrize("seed", [-1, 2**32, "a"])
def test_seeds_that_no_generator_takes(seed: object) -> None:
    for estimator in (AllianceEffect, TrajectoryForecaster):
        with pytest.raises(OptionError, match="give a whole number from 0 to 4294967295"):
            estimator(random_state=seed).fit(panel_of(table()))
    panel, _, effect = fitted()
    with pytest.raises(OptionError, match="give a whole number from 0 to 4294967295"):
        explain.hinge(effect, panel, random_state=seed)  # type: ignore[arg-type]


def test_scores_that_never_change_within_a_patient() -> None:
    still = table()
    number = still["patient_id"].str[1:].astype(int)
    with pytest.raises(NotEnoughData, match="'y' never changes within a patient"):
        TrajectoryForecaster().fit(panel_of(still.assign(y=number * 0.1)))
    with pytest.raises(NotEnoughData, match="variation within patients"):
        variance_shares(panel_of(still.assign(a=number * 0.1)))


def test_numbers_no_score_has() -> None:
    odd = table().assign(y=lambda f: f["y"].where(f.index != 3, 1e100))
    with pytest.raises(PanelError, match=r"'y' has 1 value beyond 1e\+12 \(patient 'p00'\)"):
        panel_of(odd)
    patients = pd.DataFrame({"patient_id": table()["patient_id"].unique()}).assign(age=30.0)
    patients.loc[4, "age"] = 1e300
    with pytest.raises(PanelError, match=r"'age' has 1 value beyond 1e\+30 \(patient_id 'p04'\)"):
        panel_of(table(), patients)
    text = table().assign(y=lambda f: f["y"].round(1).astype(str).where(f.index != 3, "1,234.5"))
    with pytest.raises(PanelError, match="take the thousands separators out"):
        panel_of(text)


def test_intake_named_like_something_else_is_told_apart() -> None:
    """A column called as the session column, and a therapist's whose name with its prefix a patient's column bears."""
    sessions = table()
    patients = pd.DataFrame({"patient_id": sessions["patient_id"].unique()})
    patients = patients.assign(session=range(40), therapist_warmth=np.arange(40) % 7, therapist_id=np.arange(40) % 4)
    staff = pd.DataFrame({"therapist_id": range(4), "warmth": [1.0, 2.0, 3.0, 5.0]})
    columns = Columns(outcome="y", alliance="a", therapist="therapist_id")
    panel = Panel(sessions, patients, staff, columns=columns, better="low")
    features = build_features(panel)
    assert {"intake_session", "therapist_warmth", "intake_therapist_warmth"} <= set(features.columns)
    features.reset_index()
    given = baseline_table(panel)
    assert {"therapist_warmth", "intake_therapist_warmth"} <= set(given.columns) and given.columns.is_unique
    forecaster = TrajectoryForecaster(members=("regression",)).fit(panel)
    said = forecaster.predict(panel.first(2)).attrs["notes"]
    assert not [note for note in said if "unknown" in note]


def test_intake_that_training_did_not_know_is_named() -> None:
    panel, _ = simulate_clinic("nonlinear", n_patients=80, n_sessions=6, random_state=1)
    forecaster = TrajectoryForecaster(members=("regression",)).fit(panel)
    patients = panel.patients.reset_index()
    patients["gender"], patients["age"] = patients["gender"].astype(object), patients["age"].astype(object)
    patients.loc[0, "gender"], patients["age"] = "martian", "old"
    other = Panel(panel.sessions, patients, columns=Columns(outcome="symptoms", alliance="alliance"), better="low")
    said = " ".join(forecaster.predict(other.first(3)).attrs["notes"])
    assert "'age': 'old' was not there in training" in said and "'gender': 'martian' was not there" in said


def test_nobody_and_impossible_sessions() -> None:
    panel, forecaster, _ = fitted()
    with pytest.raises(PanelError, match="holds no patient"):
        forecaster.predict(panel.subset([]))
    for k in (-1, 2.5, "3"):
        with pytest.raises(OptionError, match="give a number of sessions from 0"):
            panel.first(k)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="fit takes a Panel, NoneType came"):
        TrajectoryForecaster().fit(None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("refusals")
    run = [sys.executable, "-m", "personalize"]
    made = ["simulate", "--out", place / "clinic", "--patients", "60", "--sessions", "6"]
    subprocess.run([*run, *map(str, made)], check=True, capture_output=True)
    ran = ["run", place / "clinic" / "study.toml", "--out", place / "results"]
    subprocess.run([*run, *map(str, ran)], check=True, capture_output=True)
    return place / "results"


def test_a_page_writes_over_pages_only(tmp_path: Path, results: Path) -> None:
    opened, mine = load_results(results), tmp_path / "mine.csv"
    mine.write_text("my data", encoding="utf-8")
    with pytest.raises(FileError, match="is no patient's page; it is not written over"):
        page_of(opened, "p0001", mine)
    assert mine.read_text(encoding="utf-8") == "my data"
    old = write_patient(tmp_path / "old.html", report_inputs(), 0).read_bytes()
    assert page_of(opened, "p0001", tmp_path / "old.html").read_bytes() != old


def test_what_was_taken_from_a_results_folder_is_named(tmp_path: Path, results: Path) -> None:
    for gone in ("hinge.csv", "model/effect"):
        copy = tmp_path / gone.replace("/", "-")
        shutil.copytree(results, copy)
        path = copy / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        with pytest.raises(FileError, match=r"the run wrote it, and it is gone; run the study again"):
            page_of(load_results(copy), "p0001", tmp_path / "page.html")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGTERM")
def test_a_terminated_run_clears_its_copies_away(tmp_path: Path, results: Path) -> None:
    out = tmp_path / "new"
    command = [sys.executable, "-m", "personalize", "run", str(results.parent / "clinic" / "study.toml")]
    running = subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(tmp_path.iterdir()) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(tmp_path.iterdir()), "the run never began to write"
    running.send_signal(signal.SIGTERM)
    said = running.communicate(timeout=60)[1].decode()
    assert running.returncode == 1 and "stopped" in said
    assert list(tmp_path.iterdir()) == []
