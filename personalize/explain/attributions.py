"""What moved each forecast: Shapley values of the reported mean by group of inputs."""

from __future__ import annotations

from math import factorial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.feature import GROUPS
from features.panel import Panel
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.request import default_request

Floats = NDArray[np.float64]

ROWS = 200_000  # rows handed to the forecaster at a time


def attributions(forecaster: TrajectoryForecaster, panel: Panel, *, at: pd.DataFrame | None = None) -> pd.DataFrame:
    """Attribute each forecast mean to groups of inputs, against the average training target of its kind.

    Exact Shapley values over all coalitions of groups (2^6 = 64 where there are six): a group that is out of the
    coalition has its inputs replaced by the background's. They say what moved this forecast away from the background.
    They do not say what would happen if an input were changed. Intervals and bands are not attributed.

    Source: Shapley 1953; Lundberg & Lee 2017, Advances in Neural Information Processing Systems 30 (here over groups of
    inputs, enumerated, not sampled).

    Parameters
    ----------
    forecaster : TrajectoryForecaster
        Fitted, with members that can be taken apart (the default ones can).
    panel : Panel
        Histories so far.
    at : DataFrame, optional
        As in `TrajectoryForecaster.predict`.

    Returns
    -------
    DataFrame
        The rows of ``at`` (patient and session columns), ``forecast``, ``background``, and one column a group
        (`features.feature.GROUPS`) in outcome points; the groups add up to forecast minus background.

    Raises
    ------
    OptionError
        Where a member cannot be taken apart.
    """
    at = default_request(panel, forecaster._fitted().clock) if at is None else at
    inputs = forecaster.attribution_inputs(panel, at)
    present = [group for group in GROUPS if group in set(inputs.groups)]
    member = np.array([present.index(group) for group in inputs.groups])
    coalition = _coalitions(len(present))
    value = np.empty((len(coalition), len(inputs.values)))
    for number, inside in enumerate(coalition):
        mixed = np.where(inside[member], inputs.values, inputs.background)
        for start in range(0, len(mixed), ROWS):
            value[number, start : start + ROWS] = forecaster.mean_from(mixed[start : start + ROWS])
    shapley = shapley_values(value)
    out = at.reset_index(drop=True).copy()
    out["forecast"], out["background"] = value[-1], value[0]
    for place, group in enumerate(present):
        out[group] = shapley[place]
    return out


def average_attributions(table: pd.DataFrame) -> pd.DataFrame:
    """Average a table of `attributions` over its forecasts, every one counting the same.

    Returns
    -------
    DataFrame
        One row a group: ``group``, ``mean`` (signed), ``size`` (mean of absolute values), ``lower``, ``upper`` (95 %
        interval of ``size``, normal, over forecasts) and ``n``.
    """
    rows = []
    for group in (name for name in GROUPS if name in table.columns):
        values = table[group].to_numpy(dtype=float)
        size, n = np.abs(values), len(values)
        half = 1.96 * size.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
        rows.append((group, values.mean(), size.mean(), size.mean() - half, size.mean() + half, n))
    return pd.DataFrame(rows, columns=["group", "mean", "size", "lower", "upper", "n"])


def shapley_values(value: Floats) -> Floats:
    """Shapley values from the values of all coalitions.

    ``φ_g = Σ_S |S|! (G − |S| − 1)! / G! · (v(S ∪ g) − v(S))`` over the coalitions S without g.

    Parameters
    ----------
    value : array of shape (2^n_groups, n_rows)
        Row number in binary: bit g set means that group g is in the coalition.

    Returns
    -------
    array of shape (n_groups, n_rows)

    Examples
    --------
    Two groups that are worth 1 and 2 alone, and 5 together:

    >>> shapley_values(np.array([[0.0], [1.0], [2.0], [5.0]])).tolist()
    [[2.0], [3.0]]
    """
    n_groups = len(value).bit_length() - 1
    code = np.arange(len(value))
    size = _coalitions(n_groups).sum(axis=1)
    out = np.zeros((n_groups, value.shape[1]))
    weight = np.array([factorial(s) * factorial(n_groups - s - 1) for s in range(n_groups)]) / factorial(n_groups)
    for group in range(n_groups):
        without = code[(code >> group) & 1 == 0]
        out[group] = weight[size[without]] @ (value[without | (1 << group)] - value[without])
    return out


def _coalitions(n_groups: int) -> NDArray[np.bool_]:
    """All subsets, shape (2^n_groups, n_groups); the empty one first, the full one last."""
    return ((np.arange(2**n_groups)[:, None] >> np.arange(n_groups)) & 1).astype(bool)
