"""Simulation study of per-patient effects: what is recovered, what covers, and who does it better.

Claim: per-patient effects of state-like alliance can be estimated with less error than by any peer, with intervals that
cover, and with no ranking where patients do not differ. Sample: simulated clinics whose every effect is known; seeds
from 9000, on which no default was chosen. Falsification: the clinics "constant" and "null".

Run ``python -m experiments.recovery`` (quick) or ``--size full``; every cell is saved when it is done and not repeated.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.peers import PEERS, PatientEffects, available
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.shrinkage import mixture_quantile, shrink
from personalize.simulate import PRESETS, SimulatedClinic, simulate_clinic

FIRST_SEED = 9000
OURS, ORACLE, CONSTANT = "personalize", "personalize given the true τ(x)", "average for everybody"
SIZES = {
    "quick": {"presets": tuple(PRESETS), "patients": (300,), "sessions": (12,), "seeds": 3},
    "full": {"presets": tuple(PRESETS), "patients": (300, 1000), "sessions": (6, 12, 24), "seeds": 10},
}
KEY = ["preset", "patients", "sessions", "seed", "estimator"]


def score(estimates: PatientEffects, clinic: SimulatedClinic) -> dict[str, float]:
    """Hold one set of per-patient estimates against the truth."""
    truth = clinic.truth.patients["effect"].to_numpy()
    guess = estimates.estimate
    k = max(len(truth) // 5, 1)
    top, best = np.argsort(guess, kind="stable")[:k], np.argsort(truth, kind="stable")[:k]
    varies = truth.std() > 1e-9
    out = {
        "rmse": float(np.sqrt(np.mean((guess - truth) ** 2))),
        "rank_correlation": float(pd.Series(guess).corr(pd.Series(truth), method="spearman"))
        if varies and guess.std() > 1e-9
        else np.nan,
        "top_fifth_gain": float((truth[top].mean() - truth.mean()) / (truth[best].mean() - truth.mean()))
        if varies and guess.std() > 1e-9
        else np.nan,
    }
    if estimates.lower is not None and estimates.upper is not None:
        inside = (estimates.lower <= truth) & (truth <= estimates.upper)
        counts = clinic.panel.sessions_per_patient
        out |= {
            "coverage": float(inside.mean()),
            "coverage_top_fifth": float(inside[top].mean()),
            "coverage_few_sessions": float(inside[np.argsort(counts, kind="stable")[:k]].mean()),
            "width": float(np.mean(estimates.upper - estimates.lower)),
        }
    return out


def cell(preset: str, patients: int, sessions: int, seed: int, estimators: Sequence[str]) -> list[dict[str, object]]:
    """Run all estimators on one clinic."""
    clinic = simulate_clinic(preset, n_patients=patients, n_sessions=sessions, random_state=seed)
    options = PRESETS[preset]
    key = {"preset": preset, "patients": patients, "sessions": sessions, "seed": seed}
    out: list[dict[str, object]] = []
    began = time.perf_counter()
    effect = AllianceEffect(
        alliance_sem=options.alliance_sem or None, outcome_sem=options.outcome_sem or None, random_state=seed
    ).fit(clinic.panel)
    seconds = time.perf_counter() - began
    table, average, test = effect.effects_, effect.average_, effect.heterogeneity_
    true_average = clinic.truth.average_effect
    ours = PatientEffects(*(table[c].to_numpy() for c in ("estimate", "lower", "upper")))
    out.append(
        {
            **key,
            "estimator": OURS,
            **score(ours, clinic),
            "average_error": average["estimate"] - true_average,
            "uncorrected_error": average["uncorrected"] - true_average,
            "average_covered": float(average["lower"] <= true_average <= average["upper"]),
            "average_width": average["upper"] - average["lower"],
            "p_any": test["p_value"],
            "p_baseline": test["baseline_p_value"],
            "detected": float(test["detected"]),
            # what a patient's interval may be wide: the average's own, and differences that the data do not exclude
            "width_not_excluded": 1.5 * (average["upper"] - average["lower"]) + 2 * 1.645 * test["sd_not_excluded"],
            "seconds": seconds,
        }
    )
    out.append({**key, "estimator": ORACLE, **score(_oracle(effect, clinic), clinic)})
    flat = PatientEffects(np.full(len(table), average["estimate"]))
    out.append({**key, "estimator": CONSTANT, **score(flat, clinic)})
    for name in estimators:
        began = time.perf_counter()
        found = PEERS[name](clinic.panel)
        seconds = time.perf_counter() - began
        out.append({**key, "estimator": name, **score(found, clinic), "seconds": seconds})
    return out


def _oracle(effect: AllianceEffect, clinic: SimulatedClinic) -> PatientEffects:
    """Give the same shrinkage the true baseline part of each effect: the best that moderators could do."""
    tau = clinic.truth.patients["tau"].to_numpy()
    posterior = shrink(
        effect.own_slope_,
        effect.own_variance_,
        tau - tau.mean(),
        effect.clusters_,
        average_variance=float(effect.average_covariance_[1, 1]),
    )
    parts = posterior.components
    return PatientEffects(posterior.mean, mixture_quantile(parts, 0.05), mixture_quantile(parts, 0.95))


def run(
    path: Path,
    *,
    presets: Sequence[str],
    patients: Sequence[int],
    sessions: Sequence[int],
    seeds: int,
    peers: Sequence[str],
    first_seed: int = FIRST_SEED,
) -> pd.DataFrame:
    """Fill the cells that ``path`` does not hold yet; it is rewritten whole after each clinic."""
    # a preset is called "null", which pandas would read as missing
    done = pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.is_file() else pd.DataFrame(columns=KEY)
    design = list(product(presets, patients, sessions, range(first_seed, first_seed + seeds)))
    for i, (preset, n, t, seed) in enumerate(design, 1):
        here = (done["preset"] == preset) & (done["patients"] == n) & (done["sessions"] == t) & (done["seed"] == seed)
        missing = [name for name in peers if name not in set(done.loc[here, "estimator"])]
        if here.any() and not missing:
            continue
        print(f"[{i}/{len(design)}] {preset}, {n} patients, {t} sessions, seed {seed}", file=sys.stderr, flush=True)
        fresh = pd.DataFrame(cell(preset, n, t, seed, missing))
        keep = ~(here & done["estimator"].isin(set(fresh["estimator"])))
        done = pd.concat([done[keep], fresh], ignore_index=True) if len(done) else fresh
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        done.to_csv(part, index=False)
        part.replace(path)
    return done


def summary(cells: pd.DataFrame) -> pd.DataFrame:
    """Mean over clinics of every figure, and the paired difference in RMSE from ours with its Monte Carlo error."""
    by = ["preset", "patients", "sessions", "estimator"]
    numbers = [c for c in cells.columns if c not in KEY]
    table = cells.groupby(by, sort=False)[numbers].mean()
    table["clinics"] = cells.groupby(by, sort=False).size()
    wide = cells.pivot_table(index=KEY[:4], columns="estimator", values="rmse", sort=False)
    ratio = wide.div(wide[OURS], axis=0) - 1.0
    group = ratio.groupby(level=[0, 1, 2], sort=False)
    table["rmse_above_ours"] = group.mean().stack().reindex(table.index)
    table["rmse_above_ours_se"] = group.sem().stack().reindex(table.index)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), default="quick")
    parser.add_argument("--out", type=Path, default=Path("results-recovery"))
    parser.add_argument("--presets", nargs="+", choices=sorted(PRESETS))
    parser.add_argument("--patients", nargs="+", type=int)
    parser.add_argument("--sessions", nargs="+", type=int)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--peers", nargs="*", choices=sorted(PEERS), help="default: all that are installed")
    given = parser.parse_args(arguments)
    size = SIZES[given.size]
    cells = run(
        given.out / "cells.csv",
        presets=given.presets or size["presets"],
        patients=given.patients or size["patients"],
        sessions=given.sessions or size["sessions"],
        seeds=given.seeds or size["seeds"],
        peers=available() if given.peers is None else given.peers,
        first_seed=given.first_seed,
    )
    table = summary(cells)
    table.to_csv(given.out / "recovery.csv")
    with pd.option_context("display.width", 250, "display.max_columns", 40, "display.max_rows", 400):
        print(table.round(3).dropna(axis=1, how="all").to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
