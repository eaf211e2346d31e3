"""Closed form of power for the average effect beside simulated studies.

Claim: `experiments.power_formula` says what the best case would find; trends, intake, unequal lengths and the
short-panel correction cost no more than `experiments.power.FORMULA_COSTS` of it. Falsification: plans with and without
differences between patients and measurement error, average effect -1, seeds from 0.

Run ``python -m experiments.power_check --clinics 100 --jobs 2``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from experiments.power import Plan
from experiments.power_formula import average_power
from personalize.effects.adjusted import Errors
from personalize.effects.first_stage import first_stage
from personalize.effects.tables import average_table
from personalize.simulate import simulate_clinic

DIFFERENCES = ((1.9, 0.0), (0.0, 0.0), (1.9, 0.3))  # SD of effects, SEM of the alliance
SIZES = ((60, 8), (100, 8), (200, 8), (100, 12), (200, 20))  # patients, sessions


def shown(plan: Plan, patients: int, sessions: int, seed: int, level: float = 0.95) -> bool:
    """Whether the interval of the average effect excludes zero in one simulated study."""
    panel, _ = simulate_clinic(
        n_patients=patients,
        n_sessions=sessions,
        patients_per_therapist=plan.patients_per_therapist,
        random_state=seed,
        options=plan.options(),
    )
    found = first_stage(panel, Errors(plan.alliance_sem))
    return bool(average_table(found.average, found.slopes, panel, level)["p_value"] < 1 - level)


def power_check(clinics: int = 100, *, n_jobs: int = 1) -> pd.DataFrame:
    """Power by formula and share of simulated studies that show the average; a row a plan and size."""
    rows = []
    for sd, sem in DIFFERENCES:
        plan = Plan(effect=-1.0, effect_sd=sd, alliance_sem=sem)
        for patients, sessions in SIZES:
            best = average_power(plan.options(), patients, sessions, plan.patients_per_therapist)
            found = Parallel(n_jobs=n_jobs)(delayed(shown)(plan, patients, sessions, seed) for seed in range(clinics))
            rows.append((sd, sem, patients, sessions, best, float(np.mean(found))))
    return pd.DataFrame(rows, columns=["effect_sd", "alliance_sem", "patients", "sessions", "formula", "simulated"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clinics", type=int, default=100, help="studies a row")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args(arguments)
    print(power_check(given.clinics, n_jobs=given.jobs).round(3).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
