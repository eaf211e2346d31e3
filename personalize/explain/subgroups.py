"""For whom, at group level: moderators ranked, partial dependence, an honest shallow tree, who is in each fifth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import NotEnoughData
from features.panel import Panel
from personalize.effects.intake import baseline_table
from personalize.effects.validation import orthogonal_scores
from personalize.explain.dependence import MOST_LEVELS, dependence
from personalize.explain.honest_tree import honest_tree
from personalize.explain.jackknife import Spread, contribution_sizes, refitted

Floats = NDArray[np.float64]

FIFTHS = 5
FEWEST_SHOWN = 5  # patients behind a number of a table
MONOTONE = 0.5  # rank correlation from which a direction is named


@dataclass(frozen=True)
class Subgroups:
    """Group-level answers to "for whom".

    Attributes
    ----------
    moderators : DataFrame
        moderator, estimate (mean size of its contribution to the effect, outcome points per alliance point), lower,
        upper, direction (in words), rank_lower, rank_upper (ranks that are plausible at the level), n; largest first.
    dependence : DataFrame
        moderator, value, estimate (mean predicted effect with this characteristic set to the value for everybody),
        lower, upper, n.
    tree : DataFrame
        subgroup (in words), estimate, lower, upper, n: split on one half of the clusters, estimated on the other.
    fifths : DataFrame
        characteristic, unit ("patients", "mean" of a number or "share" of a category), and one column a fifth of the
        predicted benefit (1 is the largest).
    """

    moderators: pd.DataFrame
    dependence: pd.DataFrame
    tree: pd.DataFrame
    fifths: pd.DataFrame


def subgroups(effect: Any, panel: Panel, *, groups: int = 10, random_state: int = 0) -> Subgroups:
    """Describe who has a larger and who a smaller effect.

    Intervals of moderators and of partial dependence come from a delete-a-group jackknife: the whole effect is fitted
    again without each group of therapists (`personalize.explain.jackknife`). They hold what choosing other therapists
    would change; they do not hold that both learners draw small differences toward zero.

    Parameters
    ----------
    effect : AllianceEffect
        Fitted to ``panel`` in this session (a loaded one may lack what is needed).
    panel : Panel
        The panel of the fit.
    groups : int
        Groups of therapists (patients where there are fewer than ten), one refit each; 0 leaves the intervals of
        moderators and of partial dependence empty.
    random_state : int
        Draws the groups and the halves of the honest tree.

    Raises
    ------
    NotEnoughData
        When no moderators were estimated.
    """
    if effect.moderators_ is None:
        raise NotEnoughData(
            "subgroups: no moderators were estimated (too few patients, or no intake columns that vary)."
        )
    table = baseline_table(panel)
    sign = -1.0 if panel.better == "low" else 1.0
    level = float(effect.average_["level"])
    refits = refitted(effect, panel, groups=groups, random_state=random_state) if groups else []
    ranked = _ranked(effect, table, refits, sign, level, random_state)
    known = np.isfinite(effect.own_variance_)
    x = effect.encoding_.matrix(table)
    tau = effect.baseline_prediction_ + float(effect.average_["estimate"])
    scores = orthogonal_scores(
        effect.own_slope_[known], 1.0 / effect.own_variance_[known], tau[known], x[known], effect.moderators_.fold
    )
    truths = [str(name) for name in table.columns if _truth(table[name])]
    tree = honest_tree(
        scores, x[known], effect.encoding_, panel.clusters[known], truths=truths, level=level, seed=random_state
    )
    moved = dependence(effect, table, ranked["moderator"].tolist(), refits, level)
    return Subgroups(ranked, moved, tree.leaves, _fifths(table[known], sign * tau[known]))


def _ranked(effect: Any, table: pd.DataFrame, refits: list[Any], sign: float, level: float, seed: int) -> pd.DataFrame:
    contributions = effect.moderator_contributions()
    names = [str(c) for c in contributions.columns]
    without = np.array([contribution_sizes(again, table, names) for again in refits]).reshape(-1, len(names))
    spread = Spread(contributions.abs().to_numpy(dtype=float).mean(axis=0), without)
    lower, upper = spread.interval(level)
    first, last = spread.ranks(level, seed=seed)
    out = pd.DataFrame(
        {
            "moderator": names,
            "estimate": spread.estimate,
            "lower": np.maximum(lower, 0.0),
            "upper": upper,
            "direction": [_direction(table.get(c), sign * contributions[c]) for c in contributions.columns],
            "rank_lower": first,
            "rank_upper": last,
            "n": len(table),
        }
    )
    return out.sort_values("estimate", ascending=False, kind="stable", ignore_index=True)


def _direction(values: pd.Series | None, benefit: pd.Series) -> str:
    """Which values go with more benefit."""
    if values is None or benefit.abs().max() == 0:
        return "none"
    if not pd.api.types.is_numeric_dtype(values):
        means = benefit.groupby(values.astype(object)).mean()
        return f"most benefit: {means.idxmax()}" if len(means) else "none"
    number = values.astype(float)
    known = number.notna() & (benefit != 0)
    if known.sum() < 3 or number[known].nunique() < 2 or benefit[known].nunique() < 2:
        return "none"
    r = float(number[known].rank().corr(benefit[known].rank()))
    if abs(r) < MONOTONE:
        return "not in one direction"
    return "higher: more benefit" if r > 0 else "higher: less benefit"


def _fifths(table: pd.DataFrame, benefit: Floats) -> pd.DataFrame:
    """Means and shares of the intake columns in each fifth of the predicted benefit, cross-fitted."""
    rank = np.empty(len(benefit), dtype=np.intp)
    rank[np.argsort(-benefit, kind="stable")] = np.arange(len(benefit))
    fifth = rank * FIFTHS // max(len(benefit), 1)
    groups = [fifth == k for k in range(FIFTHS)]
    rows: list[list[Any]] = [["patients", "patients", *(float(g.sum()) for g in groups)]]
    for name in table.columns:
        column = table[name]
        if _truth(column):
            values = column.astype(float).to_numpy()
            rows.append([f"{name}: yes", "share", *(_share(values[g]) for g in groups)])
        elif pd.api.types.is_numeric_dtype(column):
            values = column.astype(float).to_numpy()
            rows.append([str(name), "mean", *(_mean(values[g]) for g in groups)])
        elif not pd.api.types.is_datetime64_any_dtype(column):
            for level in column.dropna().astype(object).value_counts().index[:MOST_LEVELS]:
                values = (column.astype(object) == level).to_numpy(dtype=float)
                if values.sum() >= FEWEST_SHOWN:
                    rows.append([f"{name}: {level}", "share", *(_share(values[g]) for g in groups)])
    return pd.DataFrame(rows, columns=["characteristic", "unit", *(f"fifth {k + 1}" for k in range(FIFTHS))])


def _truth(column: pd.Series) -> bool:
    """Whether a column holds yes and no."""
    return bool(pd.api.types.is_bool_dtype(column.dropna()))


def _share(values: Floats) -> float:
    """Share of a category among the known; NaN where it would point at fewer than five patients."""
    return float("nan") if 0 < np.nansum(values) < FEWEST_SHOWN else _mean(values)


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) >= FEWEST_SHOWN else float("nan")
