"""Peers of `AllianceEffect` on the same panel: what a competent analyst would otherwise run.

Each takes a panel (and the encoded intake) and returns one estimate a patient, with limits where the method gives them.
All get within-patient deviations, time and the lagged outcome, so that the comparison is about the estimator, not about
who was told of the traps. All get one core, so that seconds compare and numbers do not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.panel import Panel
from personalize.effects.intake import intake_matrix
from personalize.effects.transitions import lay_grid, outcome_steps

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PatientEffects:
    """Estimates of shape (n_patients,), and limits or None."""

    estimate: Floats
    lower: Floats | None = None
    upper: Floats | None = None


@dataclass(frozen=True)
class Rows:
    """Transitions within patients: centred outcome, alliance and lagged outcome; intake of each row's patient."""

    who: NDArray[np.intp]
    y: Floats
    a: Floats
    lag: Floats
    log_session: Floats
    x: Floats
    x_patients: Floats


def rows(panel: Panel) -> Rows:
    """Transitions of the panel, centred within patients."""
    x = intake_matrix(panel)
    steps = outcome_steps(lay_grid(panel), panel.timing).at_least(3)
    values = np.column_stack([steps.response, steps.regressors, np.log1p(steps.session)])
    n = np.bincount(steps.patient, minlength=panel.n_patients)
    mean = (
        np.column_stack([np.bincount(steps.patient, v, panel.n_patients) for v in values.T]) / np.maximum(n, 1)[:, None]
    )
    centred = values - mean[steps.patient]
    y, lag, a, log = centred.T
    return Rows(steps.patient, y, a, lag, log, x[steps.patient], x)


def own_ols(panel: Panel) -> PatientEffects:
    """Per-patient OLS slope; the pooled one where a patient has none."""
    r = rows(panel)
    top = np.bincount(r.who, r.a * r.y, panel.n_patients)
    bottom = np.bincount(r.who, r.a**2, panel.n_patients)
    pooled = top.sum() / bottom.sum()
    return PatientEffects(np.where(bottom > 1e-8, top / np.where(bottom > 1e-8, bottom, 1.0), pooled))


def mixed_model(panel: Panel) -> PatientEffects:
    """Linear mixed model with random slopes × moderators (lme4's, by the project's own exact implementation)."""
    from personalize.mixed import moderated_slopes

    table = moderated_slopes(panel, lagged_outcome="within").slopes
    estimate = table["estimate"].to_numpy(dtype=float)
    estimate = np.where(np.isfinite(estimate), estimate, np.nanmean(estimate))
    half = 1.645 * table["sd"].fillna(table["sd"].max()).to_numpy(dtype=float)
    return PatientEffects(estimate, estimate - half, estimate + half)


def causal_forest(panel: Panel, *, nuisance: bool = True, cores: int = 1) -> PatientEffects:
    """EconML's CausalForestDML: 500 trees, LightGBM nuisances, folds by therapist.

    Without ``nuisance`` the forest is grown on the centred data as they are: for timing only.
    """
    from econml.dml import CausalForestDML
    from sklearn.dummy import DummyRegressor
    from sklearn.model_selection import GroupKFold

    r = rows(panel)
    groups = panel.clusters[r.who]
    small = {"n_estimators": 100, "learning_rate": 0.05, "num_leaves": 15, "verbose": -1, "n_jobs": 1}
    forest = CausalForestDML(
        model_y=lgb.LGBMRegressor(**small) if nuisance else DummyRegressor(),
        model_t=lgb.LGBMRegressor(**small) if nuisance else DummyRegressor(),
        cv=GroupKFold(min(5, len(np.unique(groups)))),
        n_estimators=500,
        min_samples_leaf=20,
        random_state=0,
        n_jobs=cores,
    )
    forest.fit(r.y, r.a, X=r.x, W=np.column_stack([r.lag, r.log_session]), groups=groups)
    lower, upper = forest.effect_interval(r.x_patients, alpha=0.1)
    return PatientEffects(forest.effect(r.x_patients), lower, upper)


def shap_slope(panel: Panel) -> PatientEffects:
    """LightGBM on the next outcome, then the slope of the alliance's TreeSHAP value on the alliance, per patient."""
    r = rows(panel)
    design = np.column_stack([r.a, r.lag, r.log_session, r.x])
    model = lgb.LGBMRegressor(
        n_estimators=300, learning_rate=0.05, num_leaves=15, min_child_samples=40, verbose=-1, n_jobs=1
    )
    model.fit(design, r.y)
    value = np.asarray(model.booster_.predict(design, pred_contrib=True, num_threads=1))[:, 0]
    bottom = np.bincount(r.who, r.a**2, panel.n_patients)
    pooled = (r.a @ value) / (r.a @ r.a)
    return PatientEffects(
        np.where(bottom > 1e-8, np.bincount(r.who, r.a * value, panel.n_patients) / np.maximum(bottom, 1e-8), pooled)
    )


def boosted_random_slopes(panel: Panel) -> PatientEffects:
    """GPBoost: trees for time, intake and alliance, Gaussian random slope of the alliance per patient.

    The pooled linear part is taken out first: slowly learned trees leave a steep common slope to the random ones, whose
    variance then runs away (RMSE 3.3 instead of 1.8 where the average effect is -2.2).
    """
    import gpboost as gpb

    r = rows(panel)
    linear = np.column_stack([r.a, r.lag, r.log_session])
    pooled = np.linalg.lstsq(linear, r.y, rcond=None)[0]
    design = np.column_stack([linear, r.x])
    model = gpb.GPModel(
        group_data=r.who,
        group_rand_coef_data=r.a,
        ind_effect_group_rand_coef=[1],
        likelihood="gaussian",
        num_parallel_threads=1,
    )
    booster = gpb.train(
        params={"learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 40, "verbose": -1, "num_threads": 1},
        train_set=gpb.Dataset(design, r.y - linear @ pooled),
        gp_model=model,
        num_boost_round=150,
    )
    slope = np.zeros(len(r.who))
    for step in (0.5, -0.5):
        at = design.copy()
        at[:, 0] += step
        found = booster.predict(
            at, group_data_pred=r.who, group_rand_coef_data_pred=np.full(len(r.who), step), pred_latent=True
        )
        slope += (found["fixed_effect"] + found["random_effect_mean"]) * np.sign(step)
    n = np.bincount(r.who, minlength=panel.n_patients)
    mean = np.bincount(r.who, slope, panel.n_patients) / np.maximum(n, 1)
    return PatientEffects(pooled[0] + np.where(n > 0, mean, mean[n > 0].mean()))


PEERS: dict[str, Callable[[Panel], PatientEffects]] = {
    "own OLS slope": own_ols,
    "mixed model, random slopes × moderators": mixed_model,
    "LightGBM + TreeSHAP slope": shap_slope,
    "EconML CausalForestDML": causal_forest,
    "GPBoost random slopes": boosted_random_slopes,
}
NEEDS = {"EconML CausalForestDML": "econml", "GPBoost random slopes": "gpboost"}


def available() -> list[str]:
    """Peers whose package is installed (extra ``benchmark``)."""
    return [name for name in PEERS if name not in NEEDS or find_spec(NEEDS[name]) is not None]
