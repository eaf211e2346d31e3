"""What single inputs move in each forecast, through its boosted trees."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.errors import OptionError
from features.panel import Panel
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.request import default_request


def tree_attributions(
    forecaster: TrajectoryForecaster, panel: Panel, *, at: pd.DataFrame | None = None, top: int | None = None
) -> pd.DataFrame:
    """Attribute the boosted member's part of each forecast to single inputs (TreeSHAP).

    `personalize.explain.attributions` divides the whole reported forecast among groups of inputs. This looks into one
    of its members: trees that correct the mean of regression and growth model (or, in a forecaster of trees alone,
    forecast by themselves). A contribution is TreeSHAP times the weight that the member has in this forecast, so it is
    in points of the reported forecast; contributions of all inputs add up to what the trees move the forecast by,
    away from their average in training. Where the outcome's range cuts a forecast off, it moves by less. Inputs that
    say nearly the same share the credit in a way that is partly chance. Contributions explain a forecast; they do not
    say what would happen if an input were changed.

    Source: Lundberg et al. 2020, Nature Machine Intelligence 2, 56-67.

    Parameters
    ----------
    forecaster : TrajectoryForecaster
        Fitted, with the member "boosted" or "lightgbm".
    panel : Panel
        Histories so far.
    at : DataFrame, optional
        As in `TrajectoryForecaster.predict`.
    top : int, optional
        Keep this many inputs a forecast, those that move it most; all by default.

    Returns
    -------
    DataFrame
        One row a forecast and input, largest size first: the columns of ``at``, ``input`` (a feature, or the forecast
        of a member that the trees correct), ``group`` (`features.feature.GROUPS`, or "other members"), ``value`` (NaN:
        unknown) and ``contribution`` (outcome points). All contributions are 0 where the trees were not used.

    Raises
    ------
    OptionError
        Where there are no trees, or ``top`` is not a whole number from 1.
    """
    if top is not None and (isinstance(top, bool) or not isinstance(top, (int, np.integer)) or top < 1):
        raise OptionError(f"top={top!r} is not allowed; give a number of inputs from 1, or None for all.")
    asked = default_request(panel, forecaster._fitted().clock) if at is None else at
    found = forecaster.tree_contributions(panel, asked)
    points = found.weight[:, None] * found.contributions
    order = np.argsort(-np.abs(points), axis=1, kind="stable")[:, :top]
    rows = np.repeat(np.arange(len(asked)), order.shape[1])
    column = order.ravel()
    out = asked.iloc[rows].reset_index(drop=True)
    out["input"] = np.asarray(found.names, dtype=object)[column]
    out["group"] = np.asarray(found.groups, dtype=object)[column]
    out["value"] = found.values[rows, column]
    out["contribution"] = points[rows, column]
    return out


def average_tree_attributions(table: pd.DataFrame, *, patient: str) -> pd.DataFrame:
    """Average a table of `tree_attributions` (of all inputs) over patients, every one counting the same.

    Parameters
    ----------
    table : DataFrame
    patient : str
        Column with the patient's identifier.

    Returns
    -------
    DataFrame
        One row an input, largest first: ``input``, ``group``, ``mean`` (signed), ``size`` (mean of absolute values),
        ``lower``, ``upper`` (95 % interval of ``size``, normal, over patients) and ``n`` (patients).
    """
    each = table.assign(size=table["contribution"].abs())
    each = each.groupby(["input", "group", patient], sort=False)[["contribution", "size"]].mean()
    by = each.groupby(["input", "group"], sort=False)
    out = by.agg(mean=("contribution", "mean"), size=("size", "mean"), se=("size", "sem"), n=("size", "count"))
    half = 1.96 * out.pop("se")
    out.insert(2, "lower", out["size"] - half)
    out.insert(3, "upper", out["size"] + half)
    return out.reset_index().sort_values("size", ascending=False, kind="stable", ignore_index=True)
