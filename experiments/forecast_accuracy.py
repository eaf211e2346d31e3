"""How accurate the forecaster is beside its baselines, and whether its bands hold: the tables of docs/forecasts.md.

    python -m experiments.forecast_accuracy --out results/forecast_accuracy            # hours; resumes where it stopped
    python -m experiments.forecast_accuracy --out results/forecast_accuracy --quick    # one seed, 300 patients: minutes

Simulated clinics (1,000 patients and 200, 20 a therapist, seeds that no default was chosen on) and, where their
folders are given, the RefraMED trial (``--reframed``) and the Riesby study of imipramine (``--riesby``). Everything
is refitted for each of five folds of therapists. With the extra `benchmark` installed GPBoost takes part.

The forecasts of every data set and seed are kept under ``cells/``, so a run that was stopped goes on. ``tables.md``
holds the tables as the page shows them, the CSV files the same with all limits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.checkpoint import Checkpoint, Row, run_cells
from experiments.forecast_data import REAL, SMALL, courses, names
from experiments.forecast_tables import STACKED, accuracy_table, coverage_table, markdown, path_table, pooled
from experiments.gpboost_forecast import gpboost_peer
from personalize.simulate import simulate_clinic
from personalize.trajectories.baselines import BASELINES
from personalize.trajectories.calibration import calibration_table
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import HeldOut, Peer, held_out

SEEDS = (711, 712, 713)
LEVEL = 0.90
# the strongest of the plain combinations stands beside the single baselines
CONTENDERS = {**BASELINES, STACKED: ("regression", "mixed")}
PEERS: Mapping[str, Peer] = {"GPBoost": gpboost_peer}
STEPS = (1, 4, 8)


def forecasts(data: str, seed: int, *, out: Path, gpboost: bool, folders: Mapping[str, Path | None]) -> list[Row]:
    """Forecast every fold of a data set from the others, and keep the forecasts under ``out``."""
    given = courses(data, seed, **folders)
    begin = time.perf_counter()
    held = held_out(
        TrajectoryForecaster(random_state=seed, level=LEVEL),
        given.panel,
        landmarks=given.landmarks,
        horizons=given.horizons,
        baselines=CONTENDERS,
        refit=True,
        peers=PEERS if gpboost else None,
    )
    for kind, frame in (("rows", held.rows), ("paths", held.paths)):
        frame.to_parquet(_file(out, data, seed, kind))
    return [{"patients": given.panel.n_patients, "seconds": round(time.perf_counter() - begin, 1)}]


def dropout_shifts(seed: int, n_patients: int) -> list[Row]:
    """What weights against drop-out change: mean forecast after three sessions, by horizon, on a harsh clinic."""
    panel = simulate_clinic("harsh", n_patients=n_patients, random_state=seed).panel
    history = panel.first(3)
    end = history.sessions.groupby("patient_id")["session"].max()
    each = [pd.DataFrame({"patient_id": end.index, "session": end.to_numpy() + k, "ahead": k}) for k in STEPS]
    at = pd.concat(each, ignore_index=True)
    means = {
        option: TrajectoryForecaster(random_state=seed, dropout=option).fit(panel).predict(history, at)["mean"]
        for option in ("ignore", "weights")
    }
    shift = means["weights"] - means["ignore"]
    rows = []
    for k in STEPS:
        own = shift[at["ahead"] == k]
        rows.append({"sessions_ahead": k, "mean_shift": own.mean(), "sd_of_shift": own.std(), "n": len(own)})
    return rows


def write_tables(data: Sequence[str], seeds: Sequence[int], out: Path, draws: int) -> str:
    """Make the tables from the kept forecasts; return their Markdown."""
    tables: dict[str, list[pd.DataFrame]] = {"accuracy": [], "coverage": [], "paths": [], "calibration": []}
    for name in data:
        held = pooled([_kept(out, name, seed) for seed in seeds], same_patients=name in REAL)
        tables["accuracy"].append(accuracy_table(name, held, draws))
        tables["coverage"].append(coverage_table(name, held))
        tables["paths"].append(path_table(name, held))
        tables["calibration"].append(calibration_table(held).assign(data=name))
    whole = {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()}
    for name, table in whole.items():
        table.to_csv(out / f"{name}.csv", index=False)
    few = [name for name in data if name in REAL or name.endswith(f" {SMALL} patients")]
    text = ""
    for title, chosen in (("Small data", few), ("Large clinics", [name for name in data if name not in few])):
        if chosen:
            some = [table[table["data"].isin(chosen)] for name, table in whole.items() if name != "calibration"]
            text += f"### {title}, seeds {', '.join(map(str, seeds))}\n\n{markdown(*some)}\n"
    return text


def _kept(out: Path, data: str, seed: int) -> HeldOut:
    rows, paths = (pd.read_parquet(_file(out, data, seed, kind)) for kind in ("rows", "paths"))
    return HeldOut(rows, paths, LEVEL)


def _file(out: Path, data: str, seed: int, kind: str) -> Path:
    return out / "cells" / f"{data.lower().replace(',', '').replace(' ', '-')}-{seed}-{kind}.parquet"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not done yet, print the tables, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reframed", type=Path, help="folder with sessions.csv and patients.csv of RefraMED")
    parser.add_argument("--riesby", type=Path, help="folder with riesby.csv")
    parser.add_argument("--data", nargs="+", help="only these data sets, by the names in the tables")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--quick", action="store_true", help="one seed, 300 patients in place of 1,000")
    parser.add_argument("--jobs", type=int, default=1, help="data sets at a time, each on one core")
    parser.add_argument("--without-gpboost", action="store_true")
    parser.add_argument("--without-dropout", action="store_true", help="leave out what drop-out weights change")
    given = parser.parse_args(arguments)
    seeds, size, draws = ((given.seeds[0],), 300, 200) if given.quick else (tuple(given.seeds), 1000, 1000)
    (given.out / "cells").mkdir(parents=True, exist_ok=True)
    data = names(size, reframed=given.reframed is not None, riesby=given.riesby is not None)
    data = data if given.data is None else [name for name in data if name in given.data]
    if not data:
        parser.error(f"--data: none of {given.data} is known, or its folder is not given.")
    gpboost = not given.without_gpboost and find_spec("gpboost") is not None
    settings: dict[str, Any] = {"gpboost": gpboost, "level": LEVEL}
    work = partial(
        forecasts, out=given.out, gpboost=gpboost, folders={"reframed": given.reframed, "riesby": given.riesby}
    )
    run_cells(
        [{"data": name, "seed": seed} for name in data for seed in seeds],
        work,
        checkpoint=Checkpoint(given.out / "done.jsonl", settings),
        n_jobs=given.jobs,
        words="data sets",
    )
    text = write_tables(data, seeds, given.out, draws)
    if not given.without_dropout:
        shifts = run_cells(
            [{"seed": seeds[0], "n_patients": size}],
            dropout_shifts,
            checkpoint=Checkpoint(given.out / "dropout.jsonl", {}),
            progress=False,
        )
        shifts.to_csv(given.out / "dropout.csv", index=False)
        text += f"### Drop-out weights\n\n{shifts.round(2).to_string(index=False)}\n"
    (given.out / "tables.md").write_text(text, encoding="utf-8")
    print(text, flush=True)


if __name__ == "__main__":
    main()
