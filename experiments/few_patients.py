"""How much better could anything be with 300 patients? A mix of learners whose weights are chosen by the truth.

Run ``python -m experiments.few_patients``. With few patients what intake says of the effect is hard to learn, and the
question is whether a better learner would help. Ridge, boosted trees, a random forest and a Gaussian process predict
every patient without that patient's therapist and go through the shrinkage in place of our prediction; with EconML's
causal forest and ours they make six estimates of every patient's effect. They are mixed with the non-negative weights
that fit the *true* effects best, clinic by clinic. No method can choose weights so well: the RMSE of the mix is a bound
for every mix of these, each of them included.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import GroupKFold

from experiments.peers import NEEDS, PEERS, PatientEffects, available
from experiments.recovery_cell import fitted, score
from experiments.workers import cores
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.moderators import out_of_bag
from personalize.effects.shrinkage import shrink
from personalize.simulate import PRESETS, simulate_clinic

Floats = NDArray[np.float64]
FOREST = "EconML CausalForestDML"


def one_clinic(preset: str, patients: int, seed: int) -> dict[str, float | str | int]:
    """RMSE of ours, of the best mix, and of EconML (NaN where it is not installed)."""
    clinic = simulate_clinic(preset, n_patients=patients, random_state=seed)
    effect = fitted(preset, clinic, seed)
    truth = clinic.truth.patients["effect"].to_numpy()
    told = effect.patients_
    at = told.known
    forest = PEERS[FOREST](clinic.panel).estimate if FOREST in available() else np.full(len(truth), np.nan)
    ours = effect.effects_["estimate"].to_numpy()
    estimates = [ours, np.nan_to_num(forest)]
    for member in learners(effect, seed).T:
        tau = np.zeros(len(truth))
        tau[at] = member - member.mean()
        estimates.append(shrink(replace(told, tau=tau), average_variance=effect.average_covariance_[1, 1]).mean)
    away = np.column_stack([guess - guess.mean() for guess in estimates])
    weights, _ = nnls(away, truth - truth.mean())
    return {
        "preset": preset,
        "seed": seed,
        "ours": score(PatientEffects(ours), clinic)["rmse"],
        "best mix": score(PatientEffects(ours.mean() + away @ weights), clinic)["rmse"],
        "EconML": score(PatientEffects(forest), clinic)["rmse"],
    }


def learners(effect: AllianceEffect, seed: int) -> Floats:
    """Predict own slopes from intake without the own therapist: ridge, boosting, forest, Gaussian process; (n, 4)."""
    told = effect.patients_
    at = told.known
    x, b, cluster = effect._x[at], told.b[at], told.cluster[at]
    weight = 1.0 / (told.v[at] + effect.posterior_.omega**2)
    centred = b - np.average(b, weights=weight)
    out = np.zeros((len(b), 2))
    for train, held in GroupKFold(min(10, len(np.unique(cluster)))).split(x, centred, cluster):
        trees = RandomForestRegressor(300, min_samples_leaf=10, max_features=0.5, random_state=seed, n_jobs=1)
        out[held, 0] = trees.fit(x[train], centred[train], sample_weight=weight[train]).predict(x[held])
        kernel = ConstantKernel(2.0, (0.01, 50.0)) * RBF(5.0, (1.0, 50.0)) + WhiteKernel(1.0, (1e-6, 100.0))
        process = GaussianProcessRegressor(kernel, alpha=1.0 / weight[train], random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # an end of the range is an answer: nothing to learn
            out[held, 1] = process.fit(x[train], centred[train]).predict(x[held])
    return np.column_stack([out_of_bag(x, centred, weight, cluster, seed), out])


def few_patients(
    presets: Sequence[str] = ("nonlinear", "harsh"),
    *,
    patients: int = 300,
    seeds: int = 20,
    first_seed: int = 9000,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """One row a clinic: preset, seed, and the RMSE of ours, of the best mix and of EconML."""
    cells = [(preset, patients, seed) for preset in presets for seed in range(first_seed, first_seed + seeds)]
    return pd.DataFrame(Parallel(n_jobs=n_jobs)(delayed(one_clinic)(*cell) for cell in cells))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["nonlinear", "harsh"], choices=sorted(PRESETS))
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=9000)
    parser.add_argument("--jobs", type=int, default=cores())
    given = parser.parse_args()
    found = few_patients(
        given.presets, patients=given.patients, seeds=given.seeds, first_seed=given.first_seed, n_jobs=given.jobs
    )
    for preset, table in found.groupby("preset", sort=False):
        rmse = ", ".join(f"{name} {table[name].mean():.3f}" for name in ("ours", "best mix", "EconML"))
        print(f"{preset}, {given.patients} patients, {len(table)} clinics: RMSE {rmse}")
        if table["EconML"].isna().any():
            print(f"  EconML is not installed ({NEEDS[FOREST]}): python -m pip install 'personalize[benchmark]'")
            continue
        for name in ("ours", "best mix"):
            below = 100 * (1 - table[name] / table["EconML"])
            print(f"  {name} below EconML: {below.mean():.1f} % (Monte Carlo error {below.sem():.1f})")


if __name__ == "__main__":
    main()
