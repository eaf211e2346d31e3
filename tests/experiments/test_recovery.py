"""The simulation study: numbers by hand, same numbers however it runs, continued after a kill, honest refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import peers, recovery
from experiments.recovery_answer import ABOVE, checks, recovery_table, sentence, wilson
from experiments.recovery_cell import CONSTANT, OURS, one_cell
from features.errors import NotEnoughData, OptionError
from personalize.simulate import simulate_clinic

ROOT = Path(__file__).parents[2]
SMALL = {"patients": [60], "sessions": [6], "seeds": 2, "presets": ["linear"], "peers": ["own OLS slope"]}
CELLS = 2 * 2 + 2 * 2  # two estimators on two clinics; ours on two clinics of each kind in which nothing varies


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("recovery") / "cells.jsonl"
    return recovery.run(**SMALL, checkpoint=path, n_jobs=1), path


def test_a_small_study_answers(small):
    result, path = small
    rows = result.table.set_index(["preset", "estimator", "quantity"])
    assert rows.loc[("linear", "own OLS slope", ABOVE), "estimate"] > 0.5
    assert rows.loc[("linear", OURS, "coverage"), "estimate"] > 0.7
    assert {"lower", "upper", "se", "n"} <= set(rows) and (rows["n"] <= 2).all()
    assert "2 simulated clinics" in result.sentence and "own OLS slope" in result.sentence
    assert "Monte Carlo" in result.sentence
    assert {"null", "constant"} == {check.split(":")[0] for check in result.falsification["check"]}
    assert result.falsification["passed"].all()
    assert result.figure is not None and len(result.figure.axes) == 2
    assert len(path.read_text().splitlines()) == 1 + CELLS


def test_the_same_numbers_however_many_processes(small):
    again = recovery.run(**SMALL, n_jobs=2)
    pd.testing.assert_frame_equal(again.table, small[0].table)
    assert again.text == small[0].text


def test_the_same_numbers_on_a_cluster(small, address):
    assert recovery.run(**SMALL, dask=address).text == small[0].text


def test_a_longer_study_adds_to_a_shorter_one(small, monkeypatch):
    before = small[1].read_text()
    recovery.run(**{**SMALL, "peers": []}, checkpoint=small[1], n_jobs=1)
    assert small[1].read_text() == before
    monkeypatch.setattr(recovery, "one_cell", None)  # would fail if anything were left to do
    assert recovery.run(**SMALL, checkpoint=small[1], n_jobs=1).text == small[0].text


def test_a_killed_study_goes_on_without_repeating_or_losing_a_cell(small, tmp_path):
    path, out = tmp_path / "cells.jsonl", tmp_path / "out"
    flags = ["--patients", "60", "--sessions", "6", "--seeds", "2", "--presets", "linear", "--peers", "own OLS slope"]
    command = [sys.executable, "-m", "experiments.recovery", *flags, "--jobs", "2"]
    command += ["--checkpoint", str(path), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path)
    end = time.monotonic() + 120
    while time.monotonic() < end and not (path.exists() and len(path.read_text().splitlines()) >= 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = path.read_bytes()
    done = [json.loads(line)["cell"] for line in left.splitlines()[1:] if line.endswith(b"}")]
    assert 2 <= len(done) < CELLS and not out.exists()
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, timeout=300, stdout=subprocess.DEVNULL)
    assert path.read_bytes().startswith(left[: left.rindex(b"\n") + 1])
    cells = [json.dumps(json.loads(line)["cell"]) for line in path.read_text().splitlines()[1:]]
    assert len(cells) == len(set(cells)) == CELLS
    small[0].save(tmp_path / "undisturbed")
    for name in ("table.csv", "result.txt", "figure.svg"):
        assert (out / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes(), name


def test_a_study_is_told_why_not_and_what_instead():
    panel = simulate_clinic(n_patients=80, n_sessions=10, random_state=1).panel
    with pytest.raises(NotEnoughData, match="nobody knows the true effects") as refused:
        recovery.run(panel)
    for word in ("--patients 80", "for-whom", "power"):
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": "huge"}, "'quick', 'full'"),
        ({"presets": ["easy"]}, "'nonlinear'"),
        ({"peers": ["R"]}, "'own OLS slope'"),
        ({"patients": [10]}, "from 40"),
        ({"sessions": [2]}, "from 4"),
        ({"seeds": 0}, "seeds=1"),
        ({"n_jobs": 0}, "whole number from 1"),
        ({"alliance_sem": 0.3}, "those of the simulated clinics"),
    ],
)
def test_bad_options_say_what_is_allowed(options, says):
    with pytest.raises(OptionError, match=says):
        recovery.run(**options)


def test_a_peer_that_is_not_installed_names_the_command(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"needs econml; python -m pip install 'personalize\[benchmark\]'"):
        recovery.run(**{**SMALL, "peers": ["EconML CausalForestDML"]}, n_jobs=1)


def test_a_failing_peer_is_named_and_the_others_are_judged(small, monkeypatch, tmp_path):
    def broken(panel):
        raise ArithmeticError("no convergence")

    monkeypatch.setitem(peers.PEERS, "own OLS slope", broken)
    result = recovery.run(**SMALL, n_jobs=1, checkpoint=tmp_path / "x.jsonl")
    assert "own OLS slope failed on 2 clinics and is left out" in " ".join(result.notes)
    assert "no convergence" in " ".join(result.notes)
    assert "own OLS slope" not in set(result.table["estimator"])
    assert "the yardstick, average for everybody" in result.sentence


def test_ours_where_no_clinic_can_be_fitted(monkeypatch):
    def refuse(*args, **kwargs):
        raise NotEnoughData("too short")

    monkeypatch.setattr(recovery, "one_cell", refuse)
    with pytest.raises(NotEnoughData, match="too short"):
        recovery.run(**SMALL, n_jobs=1)


# -- numbers by hand ----------------------------------------------------------------------------------------------


def cells(estimator: str, rmse: list[float], **more: list[float]) -> pd.DataFrame:
    n = len(rmse)
    frame = pd.DataFrame({"preset": "linear", "patients": 100, "sessions": 12, "seed": range(n), "rmse": rmse, **more})
    return frame.assign(estimator=estimator)


def test_differences_are_paired_by_clinic():
    found = pd.concat(
        [cells(OURS, [1.0, 2.0], coverage=[0.8, 1.0]), cells("peer", [1.1, 2.6]), cells(CONSTANT, [2.0, 2.0])]
    )
    table = recovery_table(found).set_index(["estimator", "quantity"])
    above = table.loc[("peer", ABOVE)]
    assert above["estimate"] == pytest.approx(0.2)  # of 10 % and 30 %, not of the means' 23 %
    assert above["se"] == pytest.approx(0.1)  # sd .1414 / √2
    assert above["upper"] == pytest.approx(0.2 + 12.706 * 0.1, abs=1e-3)  # t with one degree of freedom
    assert (OURS, ABOVE) not in table.index
    assert "peer: 20.0% more" in sentence(table.reset_index())


def test_one_clinic_has_no_interval():
    table = recovery_table(cells(OURS, [1.0], coverage=[0.9]))
    assert table["lower"].isna().all() and table["n"].eq(1).all()


def test_checks_fail_where_patients_are_ranked_or_intervals_miss():
    n = 20
    good = cells(OURS, [0.1] * n, coverage=[0.95] * n, ranked=[0.0] * n, average_covered=[1.0] * n)
    bad = cells(OURS, [0.1] * n, coverage=[0.8] * n, ranked=[1.0] * n, average_covered=[0.0] * n)
    both = pd.concat([good.assign(preset="null"), bad.assign(preset="constant")])
    assert checks(both)["passed"].tolist() == [True] * 3 + [False] * 3


def test_wilson_by_its_published_example():
    # Newcombe 1998 (Statistics in Medicine 17, 857-872), table I: 81 of 263 is .2553 to .3662
    assert wilson(81, 263, z=1.959964) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_scores_of_one_cell():
    ours, named, oracle, flat = one_cell("linear", 60, 6, 9000, OURS)
    assert oracle["rmse"] < ours["rmse"] < 2 * flat["rmse"]
    assert oracle["rmse"] < named["rmse"] != ours["rmse"] and "coverage" in named
    assert np.isnan(flat["rank_correlation"]) and "coverage" not in flat
    assert ours["ranked"] in (0.0, 1.0) and ours["seconds"] > 0
