"""What each single input adds to the forecast through the boosted trees: TreeSHAP."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import OptionError
from personalize.trajectories.members.boosted import SITUATION, Boosted, design
from personalize.trajectories.model import ForecastModel
from personalize.trajectories.query import Query

Floats = NDArray[np.float64]

MEMBERS = {"direct": "regression's forecast", "growth": "growth model's forecast"}
OTHERS = "other members"


@dataclass(frozen=True)
class TreeContributions:
    """Contributions of single inputs to the boosted member, of every forecast.

    Attributes
    ----------
    values : array of shape (n_forecasts, n_inputs)
        Inputs of the trees; NaN is unknown.
    contributions : array of shape (n_forecasts, n_inputs)
        Outcome points of the boosted member; they and ``start`` add up to what the trees say.
    start : array of shape (n_forecasts,)
        Average output of the trees in training.
    weight : array of shape (n_forecasts,)
        Weight of the boosted member in the reported forecast.
    names, groups : tuple of str
        Of each input; the forecasts that the trees build upon are of the group "other members".
    """

    values: Floats
    contributions: Floats
    start: Floats
    weight: Floats
    names: tuple[str, ...]
    groups: tuple[str, ...]


def tree_contributions(model: ForecastModel, query: Query) -> TreeContributions:
    """TreeSHAP of the boosted member for each target of a query.

    Source: Lundberg et al. 2020, Nat. Mach. Intell. 2, 56-67 (path-dependent, as LightGBM computes it).

    Raises
    ------
    OptionError
        Where the forecaster has no boosted member.
    """
    found = [member for member in model.members.values() if isinstance(member, Boosted)]
    if not found:
        raise OptionError(
            f"tree attributions: this forecaster has the members {', '.join(model.members)}; none of them is 'boosted' "
            "or 'lightgbm', so there are no trees to take apart."
        )
    member = found[-1]
    values = design(query, member.base)
    stack = model.calibration.stack
    names = (*query.encoder.names, *SITUATION, *(MEMBERS.get(name, name) for name in member.base))
    groups = (*query.encoder.groups, *("time",) * len(SITUATION), *(OTHERS,) * len(member.base))
    parts = member.contributions(values)
    return TreeContributions(
        values=values.astype(float),
        contributions=parts[:, :-1],
        start=parts[:, -1],
        weight=query.placed.mix(stack.table)[:, stack.names.index(member.name)],
        names=names,
        groups=groups,
    )
