"""What the width of a forecast may depend on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from personalize.trajectories.query import Query

Floats = NDArray[np.float64]


def situation(query: Query, members: tuple[str, ...], mean: Floats, center: float, spread: float) -> Floats:
    """Describe each target for the scale of its error.

    Parameters
    ----------
    query : Query
    members : tuple of str
        Members behind the forecast; by-products of others are not looked at.
    mean : array of shape (n_targets,)
        Point forecast.
    center, spread : float
        Mean and SD of the outcome in training.

    Returns
    -------
    array of shape (n_targets, 10)
        Constant, horizon, whether the last session is wanted, landmark, intake, forecast level and its square, the
        growth model's log SD, spread and instability of the outcomes so far.
    """
    targets, seen = query.targets, query.seen
    last = targets.last
    level = np.clip((mean - center) / spread, -3.0, 3.0)
    model_sd = query.forecasts["growth_sd"] if "growth" in members else None
    return np.column_stack(
        [
            np.ones(len(targets)),
            np.log(np.where(last, 1.0, targets.gap)),
            last,
            np.log1p(seen),
            seen == 0,
            level,
            level**2,
            np.zeros(len(targets)) if model_sd is None else np.log(model_sd / spread),
            _log_ratio(query.outcome_input("spread"), spread),
            _log_ratio(np.sqrt(query.outcome_input("instability")), spread),
        ]
    )


def _log_ratio(values: Floats, spread: float) -> Floats:
    return np.log1p(np.nan_to_num(np.maximum(values, 0.0) / spread, nan=0.5))
