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
from functools import partial

import pandas as pd

from experiments.checkpoint import Checkpoint, Row, run_cells
from experiments.many_clinics import study_main
from experiments.peers import PatientEffects
from experiments.recovery_cell import estimates, score
from features.errors import OptionError
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.posterior import mixture_quantile
from personalize.effects.shrinkage import shrink
from personalize.simulate import PRESETS, simulate_clinic

SDS = (1.0, 3.0)  # points per alliance point, beyond what intake and therapist say
FIRST_SEED = 12_000


def one_clinic(n_patients: int, n_sessions: int, sd: float, seed: int) -> list[Row]:
    """Score of ours, and of ours when no ω is too large; one row each."""
    options = replace(PRESETS["nonlinear"], patient_effect_sd=sd)
    clinic = simulate_clinic(n_patients=n_patients, n_sessions=n_sessions, random_state=seed, options=options)
    effect = AllianceEffect(random_state=seed).fit(clinic.panel)
    posterior = shrink(effect.patients_, average_variance=float(effect.average_covariance_[1, 1]))
    open_ended = posterior.moved(effect.posterior_.similar_shift)
    limits = [mixture_quantile(open_ended.components, q) for q in (0.05, 0.95)]
    pair = {"ours": (effect.posterior_.omega, estimates(effect))}
    pair["no ω too large"] = open_ended.omega, PatientEffects(open_ended.mean, *limits)
    return [{"prior": name, "omega": omega, **score(found, clinic)} for name, (omega, found) in pair.items()]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over clinics, by SD and prior."""
    shown = ["omega", "rmse", "coverage", "coverage_top_fifth"]
    groups = rows.groupby(["sd", "prior"], sort=False)
    return pd.concat([groups["seed"].nunique().rename("clinics"), groups[shown].mean()], axis=1).reset_index()


def large_differences(
    *,
    sds: Sequence[float] = SDS,
    clinics: int = 20,
    n_patients: int = 300,
    n_sessions: int = 12,
    checkpoint: str | None = None,
    n_jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Run the clinics that are not done yet; table as `summary`.

    Parameters
    ----------
    sds : sequence of float
        SDs of true effects beyond intake and therapist, points per alliance point.
    clinics : int
        An SD.
    n_patients, n_sessions : int
    checkpoint, n_jobs, dask, progress
        As `experiments.top_fifth.top_fifth`.

    Raises
    ------
    OptionError
        For a negative SD, or one with which symptoms and alliance would drive each other without end.
    """
    if not sds or min(sds) < 0:
        raise OptionError(f"sds={list(sds)!r} is not allowed; give SDs of 0 or more.")
    rows = run_cells(
        [{"sd": float(sd), "seed": FIRST_SEED + k} for k in range(clinics) for sd in sds],
        partial(one_clinic, n_patients, n_sessions),
        checkpoint=Checkpoint(
            checkpoint, {"experiment": "large_differences", "n_patients": n_patients, "n_sessions": n_sessions}
        ),
        n_jobs=n_jobs,
        dask=dask,
        progress=progress,
        words="clinics",
    )
    return summary(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sds", nargs="+", type=float, default=list(SDS))
    return study_main(parser, large_differences, arguments, clinics=20, patients=300, words="SD")


if __name__ == "__main__":
    sys.exit(main())
