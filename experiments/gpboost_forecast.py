"""GPBoost as a forecaster: trees on time and intake, with a random level and slope for each patient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from features import Panel
from features.windows import Layout
from personalize.trajectories.distribution import QUANTILES, quantile_name
from personalize.trajectories.members.growth import remaining_intervals
from personalize.trajectories.members.kalman import Variances, ahead, course_filter
from personalize.trajectories.query import Query

# of four settings tried on another clinic the best one; its own defaults learn next to nothing between patients
GPBOOST = {"learning_rate": 0.1, "num_leaves": 4, "min_data_in_leaf": 100, "leaves_newton_update": True, "verbose": -1}
GPBOOST_ROUNDS = 200


def fit_gpboost(train: Panel, intake: np.ndarray, jobs: int = 1) -> tuple[Any, Any]:
    """GPBoost's trees on time and intake, with a random level and a random slope on log time for each patient.

    Source: Sigrist 2022, J. Mach. Learn. Res. 23(232), 1-46.
    """
    import gpboost

    known = np.isfinite(train.outcome)
    when = _log_time(train.time[known], train)
    effects = gpboost.GPModel(
        group_data=train.patient_index[known],
        group_rand_coef_data=when,
        ind_effect_group_rand_coef=[1],
        matrix_inversion_method="cholesky",
        likelihood="gaussian",
    )
    design = np.column_stack([intake[train.patient_index[known]], when])
    data = gpboost.Dataset(design, train.outcome[known])
    booster = gpboost.train({**GPBOOST, "num_threads": jobs}, data, gp_model=effects, num_boost_round=GPBOOST_ROUNDS)
    return booster, effects


def gpboost_peer(train: Panel, query: Query) -> pd.DataFrame:
    """GPBoost, updated to the sessions so far by the conditional normal distribution of its random effects."""
    panel, targets, landmarks = query.landmarks.panel, query.targets, query.landmarks
    intake = query.intake()
    booster, effects = fit_gpboost(train, intake[panel.patient_ids.get_indexer(train.patient_ids)])
    noise, level, slope = np.ravel(np.asarray(effects.get_cov_pars(format_pandas=False)))[:3]
    variances = Variances(np.sqrt(level), np.sqrt(slope), 0.0, 1e-9, 1.0, np.sqrt(noise))

    def fixed(time: np.ndarray, patient: np.ndarray) -> np.ndarray:
        design = np.column_stack([intake[patient], _log_time(time, train)])
        nobody = np.full(len(time), -1)
        found = booster.predict(
            design, group_data_pred=nobody, group_rand_coef_data_pred=design[:, -1], pred_latent=True
        )
        return np.asarray(found["fixed_effect"])

    layout = Layout.of(panel.offsets)
    order, place = layout.order, np.argsort(layout.order)
    rest = np.nan_to_num(panel.outcome - fixed(panel.time, panel.patient_index))[None]
    trend = _log_time(panel.time, train)
    states = course_filter(
        rest[:, order], trend[order], panel.time[order], np.isfinite(panel.outcome)[order], layout, variances
    )

    def forecast(rows: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        landmark = targets.landmark[rows]
        at = place[landmarks.row[landmark]]
        shift, variance = ahead(
            states.mean[:, :, at], states.covariance[:, at], _log_time(time, train), np.ones(len(rows)), variances
        )
        return fixed(time, landmarks.patient[landmark]) + shift[0], variance

    mean, variance = np.empty(len(targets)), np.empty(len(targets))
    at, last = np.flatnonzero(~targets.last), np.flatnonzero(targets.last)
    mean[at], variance[at] = forecast(at, targets.time[at])
    left = remaining_intervals(train, query.clock)
    gaps = left[np.minimum(landmarks.seen[targets.landmark[last]], len(left) - 1)] * query.clock.interval
    now = landmarks.time[targets.landmark[last]]
    each = [forecast(last, now + gap) for gap in gaps.T]
    mean[last] = np.mean([m for m, _ in each], axis=0)
    variance[last] = np.mean([v for _, v in each], axis=0) + np.var([m for m, _ in each], axis=0)
    sd = np.sqrt(variance)
    columns = {"mean": mean, "lower": mean + sd * ndtri(0.05), "upper": mean + sd * ndtri(0.95)}
    columns |= {"band_lower": columns["lower"], "band_upper": columns["upper"]}
    columns |= {quantile_name(p): mean + sd * ndtri(p) for p in QUANTILES}
    known = panel.outcome_measure
    table = pd.DataFrame(columns)
    return table if known is None else table.clip(known.minimum, known.maximum)


def _log_time(time: np.ndarray, train: Panel) -> np.ndarray:
    return np.log1p(np.maximum(time - train.time.min(), 0.0))
