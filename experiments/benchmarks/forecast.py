"""Seconds and memory of the forecaster: `python -m experiments.benchmarks.forecast [--sizes 1000 100000] [--gpboost]`.

Every size runs in a process of its own, so that its peak memory is its own. GPBoost (extra `benchmark`) is timed beside
the forecaster in the same run, on the same panel and threads: growth over time with random patient effects, fixed
effects by trees, which is what it offers for courses.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

from experiments.gpboost_forecast import fit_gpboost
from personalize.simulate import simulate_clinic
from personalize.trajectories.clock import Clock
from personalize.trajectories.encoder import Encoder, feature_rows
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.landmarks import all_landmarks
from personalize.trajectories.query import intake_columns

SESSIONS = 12


def measure(n_patients: int, seed: int, jobs: int) -> dict[str, float]:
    """Fit to so many patients, then forecast each of them after three sessions."""
    panel = simulate_clinic("nonlinear", n_patients=n_patients, n_sessions=SESSIONS, random_state=seed).panel
    begin, used = time.perf_counter(), time.process_time()
    forecaster = TrajectoryForecaster(random_state=seed, n_jobs=jobs).fit(panel)
    fit, processor = time.perf_counter() - begin, time.process_time() - used
    # what fit held for evaluation is let go, as after save and load
    del forecaster.crossfit_
    history = panel.first(3)
    begin = time.perf_counter()
    forecasts = forecaster.predict(history)
    predict = time.perf_counter() - begin
    return {
        "patients": n_patients,
        "sessions": panel.n_sessions,
        "fit_seconds": fit,
        # what others do on the machine does not count here
        "fit_processor_seconds": processor,
        "predict_seconds": predict,
        "forecasts": len(forecasts),
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def measure_gpboost(n_patients: int, seed: int, jobs: int) -> dict[str, float]:
    """Fit GPBoost to the same panel, once: no folds, no calibration."""
    panel = simulate_clinic("nonlinear", n_patients=n_patients, n_sessions=SESSIONS, random_state=seed).panel
    landmarks = all_landmarks(panel, Clock.of(panel))
    table = feature_rows(landmarks)
    encoder = Encoder.of(panel, table)
    intake = encoder.read(table)[landmarks.row < 0][:, intake_columns(encoder)]
    begin = time.perf_counter()
    fit_gpboost(panel, intake.astype(float), jobs)
    return {"patients": n_patients, "gpboost_seconds": time.perf_counter() - begin}


def main() -> None:
    """Print one JSON line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--seed", type=int, default=901)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--gpboost", action="store_true", help="time GPBoost at the first size, in the same run")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        run = measure_gpboost if given.peer else measure
        print(json.dumps({key: round(value, 3) for key, value in run(given.one, given.seed, given.jobs).items()}))
        return
    for size in given.sizes:
        found = _in_own_process(size, given)
        print(json.dumps(found), flush=True)
        if given.gpboost and size == given.sizes[0]:
            peer = _in_own_process(size, given, "--peer")
            peer["ratio"] = round(peer["gpboost_seconds"] / found["fit_seconds"], 2)
            print(json.dumps(peer), flush=True)


def _in_own_process(size: int, given: argparse.Namespace, *more: str) -> dict[str, float]:
    command = [sys.executable, "-m", "experiments.benchmarks.forecast", "--one", str(size), *more]
    command += ["--seed", str(given.seed), "--jobs", str(given.jobs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
