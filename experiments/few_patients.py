"""How much better could anything be with 300 patients? A mix of learners whose weights are chosen by the truth.

Run ``python -m experiments.few_patients``. With few patients what intake says of the effect is hard to learn, and the
question is whether a better learner would help. Ridge, boosted trees, a random forest and a Gaussian process predict
every patient without that patient's therapist and go through the shrinkage in place of our prediction; with ours, ours
without what similar patients add, a forest of the kind that adds it (weights 1 / (v_i + ω²)) and EconML's causal forest
they make eight estimates of every patient's effect. They are mixed in two ways. The "best mix" has the non-negative
weights that fit the *true* effects of the clinic itself: no method can choose weights so well, and its RMSE is a bound
for every mix of these, each of them included. The "fixed mix" has those that fit the true effects of all other clinics
of the kind: what weights set once and for all would give, were all clinics like these.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

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

from experiments.peers import NEEDS, PEERS, available
from experiments.recovery_cell import fitted, shrunken
from experiments.workers import cores
from features.errors import OptionError
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.moderators import out_of_bag
from personalize.effects.similar import forest
from personalize.simulate import PRESETS, simulate_clinic

Floats = NDArray[np.float64]
FOREST = "EconML CausalForestDML"
OTHERS = ("without similar patients", "fixed mix", "best mix")


@dataclass(frozen=True)
class Guesses:
    """Estimates of one clinic's effects, and their truth.

    Attributes
    ----------
    preset, seed : str, int
    truth : array of shape (n_patients,)
    estimates : array of shape (n_patients, 8)
        Ours, ours without similar patients, EconML's (zeros where it is not installed), the forest's that has seen the
        patient, and those of `learners`.
    """

    preset: str
    seed: int
    truth: Floats
    estimates: Floats

    @property
    def centred(self) -> tuple[Floats, Floats]:
        """Estimates and truth without their means: mixes differ in who, not in how much on average."""
        return self.estimates - self.estimates.mean(axis=0), self.truth - self.truth.mean()

    def own_rmse(self, which: int) -> float:
        """RMSE of one of the estimates as it is."""
        return float(np.sqrt(np.mean((self.estimates[:, which] - self.truth) ** 2)))

    def rmse(self, weights: Floats) -> float:
        """RMSE of a mix around our average effect."""
        mix = self.estimates[:, 0].mean() + self.centred[0] @ weights
        return float(np.sqrt(np.mean((mix - self.truth) ** 2)))


def one_clinic(preset: str, patients: int, seed: int) -> Guesses:
    """Fit everything to one clinic."""
    clinic = simulate_clinic(preset, n_patients=patients, random_state=seed)
    effect = fitted(preset, clinic, seed)
    truth = clinic.truth.patients["effect"].to_numpy()
    told = effect.patients_
    ours, shift = effect.effects_["estimate"].to_numpy(), effect.effects_["similar_shift"].to_numpy()
    peer = PEERS[FOREST](clinic.panel).estimate if FOREST in available() else np.zeros(len(truth))
    seen = np.zeros(len(truth))
    weight = 1.0 / (told.v[told.known] + effect.posterior_.omega**2)
    seen[told.known] = forest(effect._x[told.known], told.b[told.known], weight, seed)
    estimates = [ours, ours - shift, peer, seen]
    for member in learners(effect, seed).T:
        tau = np.zeros(len(truth))
        tau[told.known] = member - member.mean()
        estimates.append(shrunken(effect, tau).mean)
    return Guesses(preset, seed, truth, np.column_stack(estimates))


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
    """One row a clinic: preset, seed, and the RMSE of ours, `OTHERS` and EconML's (NaN where not installed)."""
    if seeds < 2:
        raise OptionError(f"seeds={seeds} is not allowed: the fixed mix needs another clinic; give 2 or more.")
    cells = [(preset, patients, seed) for preset in presets for seed in range(first_seed, first_seed + seeds)]
    clinics = Parallel(n_jobs=n_jobs)(delayed(one_clinic)(*cell) for cell in cells)
    rows = []
    for clinic in clinics:
        others = [c.centred for c in clinics if c.preset == clinic.preset and c.seed != clinic.seed]
        fixed, _ = nnls(np.vstack([away for away, _ in others]), np.concatenate([truth for _, truth in others]))
        rows.append(
            {
                "preset": clinic.preset,
                "seed": clinic.seed,
                "ours": clinic.own_rmse(0),
                "without similar patients": clinic.own_rmse(1),
                "fixed mix": clinic.rmse(fixed),
                "best mix": clinic.rmse(nnls(*clinic.centred)[0]),
                "EconML": clinic.own_rmse(2) if FOREST in available() else np.nan,
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["nonlinear", "harsh"], choices=sorted(PRESETS))
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=20, help="clinics a kind, at least 2")
    parser.add_argument("--first-seed", type=int, default=9000)
    parser.add_argument("--jobs", type=int, default=cores())
    given = parser.parse_args()
    try:
        found = few_patients(
            given.presets, patients=given.patients, seeds=given.seeds, first_seed=given.first_seed, n_jobs=given.jobs
        )
    except OptionError as problem:
        parser.error(str(problem))
    for preset, table in found.groupby("preset", sort=False):
        rmse = ", ".join(f"{name} {table[name].mean():.3f}" for name in ("ours", *OTHERS, "EconML"))
        print(f"{preset}, {given.patients} patients, {len(table)} clinics: RMSE {rmse}")
        for name in OTHERS:
            change = 100 * (table[name] / table["ours"] - 1)
            print(f"  {name} against ours: {change.mean():+.1f} % (Monte Carlo error {change.sem():.1f})")
        if table["EconML"].isna().any():
            print(f"  EconML is not installed ({NEEDS[FOREST]}): python -m pip install 'personalize[benchmark]'")
            continue
        for name in ("ours", *OTHERS):
            below = 100 * (1 - table[name] / table["EconML"])
            print(f"  {name} below EconML: {below.mean():.1f} % (Monte Carlo error {below.sem():.1f})")


if __name__ == "__main__":
    main()
