"""Many clinics, no moderators: bias and coverage of the average effect, and false alarms and power of the two tests.

Claim: the average effect is unbiased in short treatments with feedback and shared trends, its interval covers, and the
tests of heterogeneity reject at their level where nothing varies. Beside it the uncorrected within estimate and the
half-panel jackknife; and how far the true effects lie off where patients weigh by how much their alliance moved, as in
any pooled estimate (where effects change with time, long treatments weigh more). "passes" is what two solutions, with
individual trends kept and removed, say when combined by the evidence that they differ: the average of own slopes, whose
trends are shrunken as far as trends vary, should err less. Falsification: the clinics "null" and "constant". Seeds from
20000 were used to choose nothing.

Run ``python -m experiments.average_and_tests --presets null constant --sessions 12 --clinics 500``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from personalize.effects.adjusted import BETA, Errors
from personalize.effects.average import combine_dynamics
from personalize.effects.checks import clusters as clusters_of
from personalize.effects.first_stage import first_stage
from personalize.effects.sensitivity import half_panel
from personalize.effects.tables import average_table
from personalize.effects.transitions import lay_grid, outcome_steps
from personalize.simulate import PRESETS, simulate_clinic

FIRST_SEED = 20_000
LEVEL = 0.90


def one(preset: str, patients: int, sessions: int, seed: int) -> dict[str, float]:
    """Estimate one clinic and hold it against its truth."""
    clinic = simulate_clinic(preset, n_patients=patients, n_sessions=sessions, random_state=seed)
    panel, options = clinic.panel, PRESETS[preset]
    errors = Errors(options.alliance_sem, options.outcome_sem)
    first = first_stage(panel, errors, seed=seed)
    average = average_table(first.average, first.slopes, panel, LEVEL)
    steps = outcome_steps(lay_grid(panel), panel.timing).at_least(2)
    _, jackknife, _ = half_panel(steps, first.x, clusters_of(panel, []), errors, detrend=False, lagged=True)
    truth = clinic.truth.average_effect
    effects = clinic.truth.patients["effect"].to_numpy()[first.slopes.who]
    return {
        "error": average["estimate"] - truth,
        "se": average["se"],
        "covered": float(average["lower"] <= truth <= average["upper"]),
        "width": average["upper"] - average["lower"],
        "weighing": float(np.average(effects, weights=first.slopes.spread)) - truth,
        "uncorrected_error": average["uncorrected"] - truth,
        "passes_error": float(combine_dynamics(first.average).theta[BETA]) - truth,
        "jackknife_error": np.nan if jackknife is None else jackknife.value - truth,
        "p_any": first.any_test.p_value,
        "p_baseline": first.baseline_test.p_value,
    }


def summary(rows: pd.DataFrame) -> dict[str, float]:
    """Bias with Monte Carlo error, coverage, and rejection rates at .05 of one design."""
    n = len(rows)
    return {
        "clinics": n,
        "bias": rows["error"].mean(),
        "bias_mc_se": rows["error"].std() / np.sqrt(n),
        "of_it_weighing": rows["weighing"].mean(),
        "sd": rows["error"].std(),
        "mean_se": rows["se"].mean(),
        "coverage": rows["covered"].mean(),
        "width": rows["width"].mean(),
        "uncorrected_bias": rows["uncorrected_error"].mean(),
        "passes_bias": rows["passes_error"].mean(),
        "passes_sd": rows["passes_error"].std(),
        "jackknife_bias": rows["jackknife_error"].mean(),
        "jackknife_sd": rows["jackknife_error"].std(),
        "rejects_any": (rows["p_any"] < 0.05).mean(),
        "rejects_baseline": (rows["p_baseline"] < 0.05).mean(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", choices=sorted(PRESETS), default=["null", "constant"])
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--sessions", nargs="+", type=int, default=[12])
    parser.add_argument("--clinics", type=int, default=200)
    parser.add_argument("--out", type=Path, help="CSV file for the table")
    given = parser.parse_args(arguments)
    table = []
    for preset in given.presets:
        for sessions in given.sessions:
            rows = []
            for seed in range(FIRST_SEED, FIRST_SEED + given.clinics):
                rows.append(one(preset, given.patients, sessions, seed))
                print(f"\r{preset}, {sessions} sessions: {len(rows)}/{given.clinics}", end="", file=sys.stderr)
            print(file=sys.stderr)
            table.append({"preset": preset, "sessions": sessions, **summary(pd.DataFrame(rows))})
            with pd.option_context("display.width", 250, "display.max_columns", 40):
                print(pd.DataFrame(table[-1:]).round(3).to_string(index=False, header=len(table) == 1), flush=True)
    if given.out:
        pd.DataFrame(table).to_csv(given.out, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
