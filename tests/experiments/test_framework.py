import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.calibration import NAMES, one_clinic, summary
from experiments.checkpoint import Checkpoint, run_cells
from experiments.command import main
from experiments.many_clinics import readable
from experiments.question import Question, experiment
from experiments.result import ExperimentResult, check_row, with_truth
from features import Columns, Panel
from features.errors import FileError, NotEnoughData, OptionError
from personalize.simulate import simulate_clinic

ROOT = Path(__file__).parents[2]


@experiment()
def ask(asked: Question, *, extra: int = 0) -> ExperimentResult:
    """A question for the tests."""
    table = pd.DataFrame({"quantity": ["patients"], "estimate": [asked.panel.n_patients + extra]})
    check = pd.DataFrame([check_row("always", "0", 0.0, -1.0, 1.0, passed=True, n=1)])
    figure = Figure()
    figure.add_subplot().plot([0, 1], [0, 1])
    return ExperimentResult("ask", "none", table, f"size {asked.size}", check, figure, ("a note",))


def test_without_a_panel_a_simulated_clinic_with_its_truth_is_asked():
    assert ask(random_state=1).table["estimate"][0] == 600
    assert ask(quick=False).sentence == "size full"
    panel = simulate_clinic(n_patients=30).panel
    assert ask(panel, extra=2).table["estimate"][0] == 32


@pytest.mark.parametrize(("option", "says"), [({"size": "huge"}, "'quick', 'full'"), ({"random_state": -1}, "from 0")])
def test_bad_options_list_what_is_allowed(option, says):
    with pytest.raises(OptionError, match=says):
        ask(**option)


def test_a_panel_without_process_is_told_what_is_needed():
    panel = Panel(pd.DataFrame({"patient_id": [1, 1], "session": [1, 2], "outcome": [3.0, 4.0]}), columns=Columns())
    with pytest.raises(NotEnoughData, match="Columns\\(alliance="):
        Question(panel).process


def test_a_result_is_saved_whole_and_the_same_bytes_twice(tmp_path):
    for name in ("one", "two"):
        ask(random_state=1).save(tmp_path / name)
    names = sorted(p.name for p in (tmp_path / "one").iterdir() if not p.name.startswith("."))
    assert names == ["falsification.csv", "figure.pdf", "figure.png", "figure.svg", "result.txt", "table.csv"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert "a note" in (tmp_path / "one" / "result.txt").read_text()


def test_a_long_table_is_cut_in_the_text_and_says_so():
    long = pd.DataFrame({"estimate": np.arange(50.0)})
    result = ExperimentResult("x", "y", long, "z", long.head(1))
    assert "10 rows more" in result.text


def test_truth_beside_an_estimate():
    table = with_truth(
        pd.DataFrame({"estimate": [1.0, 2.0, 3.0], "lower": [0.0, 1.5, 2.0], "upper": [2.0, 2.5, 4.0]}), [1, 3, None]
    )
    assert table["covered"].tolist()[:2] == [True, False]
    assert pd.isna(table["covered"][2])


def test_the_command_line_prints_and_saves(tmp_path, capsys):
    assert main(ask, ["--preset", "null", "--patients", "50", "--seed", "3", "--out", str(tmp_path / "out")]) == 0
    assert "size quick" in capsys.readouterr().out
    assert (tmp_path / "out" / "table.csv").read_text().splitlines()[1] == "patients,50"
    assert main(ask, ["--study", str(tmp_path / "nowhere.toml")]) == 2
    assert "nowhere.toml" in capsys.readouterr().err


# -- checkpoints --------------------------------------------------------------------------------------------------


def square(k: int) -> list[dict[str, float]]:
    return [{"value": float(k * k)}]


def test_cells_are_kept_in_order_and_not_repeated(tmp_path):
    seen = []

    def work(k: int) -> list[dict[str, float]]:
        seen.append(k)
        return square(k)

    path = tmp_path / "run.jsonl"
    cells = [{"k": k} for k in range(4)]
    first = run_cells(cells[:2], work, checkpoint=Checkpoint(path, {"a": 1}), progress=False)
    assert first["value"].tolist() == [0.0, 1.0]
    whole = run_cells(cells, work, checkpoint=Checkpoint(path, {"a": 1}), progress=False)
    assert whole["value"].tolist() == [0.0, 1.0, 4.0, 9.0]
    assert seen == [0, 1, 2, 3]


def test_processes_give_the_same_table(tmp_path):
    cells = [{"k": k} for k in range(5)]
    one = run_cells(cells, square, checkpoint=Checkpoint(None, {}), progress=False)
    two = run_cells(cells, square, checkpoint=Checkpoint(tmp_path / "x.jsonl", {}), n_jobs=2, progress=False)
    pd.testing.assert_frame_equal(one, two)


def test_other_settings_are_refused(tmp_path):
    path = tmp_path / "run.jsonl"
    Checkpoint(path, {"patients": 100})
    with pytest.raises(FileError, match="'patients'"):
        Checkpoint(path, {"patients": 200})
    (tmp_path / "other.txt").write_text('{"x": 1}\n')
    with pytest.raises(FileError, match="not a checkpoint"):
        Checkpoint(tmp_path / "other.txt", {})
    with pytest.raises(OptionError, match="the same"):
        run_cells([{"k": 1}, {"k": 1}], square, checkpoint=Checkpoint(None, {}), progress=False)


def test_a_line_cut_in_two_is_dropped_and_the_rest_kept(tmp_path):
    path = tmp_path / "run.jsonl"
    kept = Checkpoint(path, {})
    kept.add({"k": 1}, [{"value": np.float64(1.5)}, {"value": float("nan")}])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"cell": {"k": 2}, "ro')
    again = Checkpoint(path, {})
    assert len(again) == 1 and {"k": 1} in again and {"k": 2} not in again
    assert again.table()["value"].isna().tolist() == [False, True]
    assert path.read_bytes() == whole


def test_a_damaged_line_in_the_middle_is_not_guessed(tmp_path):
    path = tmp_path / "run.jsonl"
    Checkpoint(path, {})
    path.write_bytes(path.read_bytes() + b"not json\n" + b'{"cell": {"k": 1}, "rows": []}\n')
    with pytest.raises(FileError, match="line 2 is damaged"):
        Checkpoint(path, {})


SLOW = """
import os, sys, time
from experiments.checkpoint import Checkpoint, run_cells
log, jobs = sys.argv[2], int(sys.argv[3])
def work(k):
    open(log, "a").write(f"{k}:{os.getpid()} ")
    time.sleep(0.15 * jobs)
    return [{"value": k}]
kept = Checkpoint(sys.argv[1], {"a": 1})
run_cells([{"k": k} for k in range(12)], work, checkpoint=kept, progress=False, n_jobs=jobs)
"""


def running(pid: int) -> bool:
    """Whether a process is there, and not only waiting to be buried."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it is just gone, or the system has no /proc
        return not Path("/proc").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_goes_on_where_it_was(tmp_path, jobs):
    path, log = tmp_path / "run.jsonl", tmp_path / "log"
    command = [sys.executable, "-c", SLOW, str(path), str(log), str(jobs)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment)
    end = time.monotonic() + 60
    while time.monotonic() < end and not (path.exists() and len(path.read_text().splitlines()) >= 4):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = [json.loads(line)["cell"]["k"] for line in path.read_text().splitlines()[1:]]
    assert 3 <= len(done) < 12
    workers = {int(text.split(":")[1]) for text in log.read_text().split()}
    while (alive := [pid for pid in workers if running(pid)]) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive  # no worker stays behind
    subprocess.run(command, env=environment, check=True, timeout=120)
    kept = [json.loads(line)["cell"]["k"] for line in path.read_text().splitlines()[1:]]
    assert kept[: len(done)] == done and sorted(kept) == list(range(12))  # no cell lost, none twice
    begun = [int(text.split(":")[0]) for text in log.read_text().split()]
    assert sorted(set(begun)) == list(range(12))
    assert all(begun.count(k) == 1 for k in done)  # no finished cell was done again


# -- calibration --------------------------------------------------------------------------------------------------


def test_summary_by_hand():
    rows = pd.DataFrame(
        {
            "scenario": "s",
            "quantity": ["q", "q", "p", "p"],
            "estimate": [1.0, 3.0, 0.0, 1.0],
            "truth": [1.0, 1.0, None, None],
            "lower": [0.5, 2.0, None, None],
            "upper": [1.5, 4.0, None, None],
            "found": [None, None, 0.0, 1.0],
        }
    )
    out = summary(rows).set_index("quantity")
    assert out.loc["q", ["clinics", "bias", "coverage", "found"]].tolist() == [2, 1.0, 0.5, 1.0]
    assert out.loc["q", "rmse"] == pytest.approx(np.sqrt(2))
    assert np.isnan(out.loc["p", "coverage"]) and out.loc["p", "found"] == 0.5


def test_small_numbers_are_not_rounded_away():
    table = pd.DataFrame(
        {"quantity": ["large", "small"], "clinics": [20, 20], "estimate": [2.5, 0.00123], "bias": [0.1234, 0.000123]}
    ).assign(bias_mc=[0.02, 0.00021], coverage=[0.9, np.nan])
    shown = readable(table)
    assert shown.iloc[0].tolist() == ["large", "20", "2.500", "0.123", "0.020", "0.900"]
    assert shown.iloc[1].tolist() == ["small", "20", "0.00123", "0.00012", "0.00021", ""]


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_states_what_it_asks_and_its_scenarios_exist(name):
    module = import_module(f"experiments.{name}")
    said = " ".join((module.run.__doc__ or "").split())
    assert all(word in said for word in ("Claim:", "Estimand", "Assumptions:", "Falsification:"))
    for scenario in module.SCENARIOS.values():
        simulate_clinic(scenario["preset"], n_patients=20, options=scenario.get("options"))


@pytest.mark.parametrize("name", ["state_and_trait", "state_mechanism", "for_whom", "when", "targeting"])
def test_a_trial_gives_rows_that_can_be_summarised(name):
    scenario = next(iter(import_module(f"experiments.{name}").SCENARIOS))
    rows = pd.DataFrame(one_clinic(name, 200, 10, scenario, 5))
    assert {"quantity", "estimate"} <= set(rows) and rows["quantity"].is_unique and rows["estimate"].notna().all()
    assert summary(rows.assign(scenario=scenario))["clinics"].eq(1).all()
