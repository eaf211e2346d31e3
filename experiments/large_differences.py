"""Where patients differ far more than usual: do intervals cover, and what does the prior of ω cost.

Claim: where effects vary around what intake predicts with an SD of 3 points (in the presets 1), the prior, by which
differences seldom explain much of the variance within patients, gives way to the data of a few hundred patients and 12
sessions; with less data intervals become too narrow. Truth: the simulator's, preset "nonlinear" but for this SD.
Beside ours stands the same without the prior's fall. Seeds from 12000 were used to choose nothing.

Run ``python -m experiments.large_differences --sds 1 3 --patients 300 --sessions 6 --jobs 2``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from experiments.checkpoint import Row
from experiments.many_clinics import run_clinics, study_main
from experiments.recovery_cell import limited, score
from features.errors import OptionError
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.shrinkage import shrink
from personalize.simulate import PRESETS, simulate_clinic

SDS = (1.0, 3.0)  # points per alliance point, beyond what intake and therapist say
FIRST_SEED = 12_000


def one_clinic(n_patients: int, n_sessions: int, sd: float, seed: int) -> list[Row]:
    """Score of ours, and of ours when no ω is too large; one row each."""
    options = replace(PRESETS["nonlinear"], patient_effect_sd=sd)
    clinic = simulate_clinic(n_patients=n_patients, n_sessions=n_sessions, random_state=seed, options=options)
    effect = AllianceEffect(random_state=seed).fit(clinic.panel)
    flat = shrink(effect.patients_, average_variance=float(effect.average_covariance_[1, 1]))
    pair = {"ours": effect.posterior_, "no ω too large": flat.moved(effect.posterior_.similar_shift)}
    return [{"prior": name, "omega": p.omega, **score(limited(p), clinic)} for name, p in pair.items()]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over clinics, by SD and prior."""
    shown = ["omega", "rmse", "coverage", "coverage_top_fifth"]
    groups = rows.groupby(["sd", "prior"], sort=False)
    return pd.concat([groups["seed"].nunique().rename("clinics"), groups[shown].mean()], axis=1).reset_index()


def large_differences(
    *, sds: Sequence[float] = SDS, clinics: int = 20, n_patients: int = 300, n_sessions: int = 12, **where: Any
) -> pd.DataFrame:
    """Run the clinics that are not done yet; table as `summary`.

    Parameters
    ----------
    sds : sequence of float
        SDs of true effects beyond intake and therapist, points per alliance point.
    clinics : int
        An SD.
    n_patients, n_sessions, where
        As `experiments.many_clinics.run_clinics`.

    Raises
    ------
    OptionError
        For a negative SD, or one with which symptoms and alliance would drive each other without end.
    """
    if not sds or min(sds) < 0:
        raise OptionError(f"sds={list(sds)!r} is not allowed; give SDs of 0 or more.")
    cells = [{"sd": float(sd), "seed": FIRST_SEED + k} for k in range(clinics) for sd in sds]
    size = {"n_patients": n_patients, "n_sessions": n_sessions}
    return summary(run_clinics("large_differences", one_clinic, cells, **size, **where))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sds", nargs="+", type=float, default=list(SDS))
    return study_main(parser, large_differences, arguments, clinics=20, patients=300, words="SD")


if __name__ == "__main__":
    sys.exit(main())
