"""How far can the numbers of an experiment be trusted? Bias, coverage and false findings over many simulated clinics.

Run ``python -m experiments.calibration NAME --clinics 200 --checkpoint file.jsonl``; an interrupted run continues.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from experiments.checkpoint import Row
from experiments.many_clinics import run_clinics, study_main
from features.errors import check_option
from personalize.simulate import simulate_clinic

NAMES = (
    "state_and_trait",
    "trait_mediation",
    "state_mechanism",
    "for_whom",
    "when",
    "targeting",
    "forecast_value",
)
FIRST_SEED = 10_000  # away from the seeds of examples and tests


def calibrate(
    name: str,
    *,
    clinics: int = 200,
    n_patients: int = 600,
    n_sessions: int = 12,
    scenarios: Sequence[str] | None = None,
    **where: Any,
) -> pd.DataFrame:
    """Run an experiment's trial on many clinics of each of its scenarios and summarise.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    clinics : int
        A scenario.
    scenarios : sequence of str, optional
        All by default.
    n_patients, n_sessions, where
        As `experiments.many_clinics.run_clinics`.

    Returns
    -------
    DataFrame
        As `summary` returns it.
    """
    check_option("name", name, NAMES)
    module = import_module(f"experiments.{name}")
    chosen = list(module.SCENARIOS) if scenarios is None else list(scenarios)
    for scenario in chosen:
        check_option("scenarios", scenario, tuple(module.SCENARIOS))
    cells = [{"scenario": s, "seed": FIRST_SEED + k} for k in range(clinics) for s in chosen]
    size = {"n_patients": n_patients, "n_sessions": n_sessions}
    return summary(run_clinics(name, partial(one_clinic, name), cells, **size, **where))


def one_clinic(name: str, n_patients: int, n_sessions: int, scenario: str, seed: int) -> Sequence[Row]:
    """Simulate one clinic of a scenario and run the experiment's trial on it."""
    module = import_module(f"experiments.{name}")
    given: Mapping[str, Any] = module.SCENARIOS[scenario]
    clinic = simulate_clinic(
        given["preset"],
        n_patients=n_patients,
        n_sessions=n_sessions,
        random_state=seed,
        options=given.get("options"),
    )
    rows: Sequence[Row] = module.trial(clinic, seed)
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Bias, coverage and share of clinics in which something was found, by scenario and quantity.

    Parameters
    ----------
    rows : DataFrame
        Columns scenario, quantity, estimate, and where they apply truth, lower, upper (the interval), found (0 or 1).
        Without ``found``, found means that the interval excludes zero.

    Returns
    -------
    DataFrame
        scenario, quantity, clinics, truth and estimate (means), bias, bias_mc (its Monte Carlo standard error), rmse,
        coverage, coverage_mc, found.
    """
    frame = rows.reindex(columns=["scenario", "quantity", "estimate", "truth", "lower", "upper", "found"])
    numbers = [c for c in frame.columns if c not in ("scenario", "quantity")]
    frame[numbers] = frame[numbers].astype(float)
    error = frame["estimate"] - frame["truth"]
    bounded = frame["lower"].notna() & frame["upper"].notna()
    held = ((frame["lower"] <= frame["truth"]) & (frame["truth"] <= frame["upper"])).astype(float)
    away = ((frame["lower"] > 0) | (frame["upper"] < 0)).astype(float).where(bounded)
    frame = frame.assign(
        bias=error,
        squared=error**2,
        coverage=held.where(bounded & frame["truth"].notna()),
        found=frame["found"].fillna(away),
    )
    by = frame.groupby(["scenario", "quantity"], sort=False)
    out = by[["truth", "estimate", "bias"]].mean()
    out.insert(0, "clinics", by.size())
    out["bias_mc"] = by["bias"].sem()
    out["rmse"] = np.sqrt(by["squared"].mean())
    out["coverage"] = by["coverage"].mean()
    out["coverage_mc"] = np.sqrt(out["coverage"] * (1 - out["coverage"]) / by["coverage"].count())
    out["found"] = by["found"].mean()
    return out.reset_index()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--scenarios", nargs="+")
    return study_main(parser, calibrate, arguments, clinics=200, patients=600, words="scenario")


if __name__ == "__main__":
    raise SystemExit(main())
