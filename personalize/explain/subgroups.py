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
from personalize.explain.honest_tree import honest_tree

Floats = NDArray[np.float64]

BOOTSTRAPS = 300
FIFTHS = 5
FEWEST_SHOWN = 5  # patients behind a number of a table
AT = (0.1, 0.5, 0.9)
MOST_LEVELS = 8
MONOTONE = 0.5  # rank correlation from which a direction is named


@dataclass(frozen=True)
class Subgroups:
    """Group-level answers to "for whom".

    Attributes
    ----------
    moderators : DataFrame
        moderator, estimate (mean size of its contribution to the effect, outcome points per alliance point), lower,
        upper (bootstrap over therapists or patients, the fitted model held fixed), direction (in words), n; largest
        first.
    dependence : DataFrame
        moderator, value, estimate (mean predicted effect with this characteristic set to the value for everybody), n.
    tree : DataFrame
        subgroup (in words), estimate, lower, upper, n: split on one half of the clusters, estimated on the other.
    fifths : DataFrame
        characteristic, and one column a fifth of the predicted benefit (1 is the largest): mean of a number, share of a
        category.
    """

    moderators: pd.DataFrame
    dependence: pd.DataFrame
    tree: pd.DataFrame
    fifths: pd.DataFrame


def subgroups(effect: Any, panel: Panel, *, random_state: int = 0) -> Subgroups:
    """Describe who has a larger and who a smaller effect.

    Parameters
    ----------
    effect : AllianceEffect
        Fitted to ``panel`` in this session (a loaded one may lack what is needed).
    panel : Panel
        The panel of the fit.
    random_state : int
        Draws bootstrap samples and the halves of the honest tree.

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
    contributions = effect.moderator_contributions()
    sign = -1.0 if panel.better == "low" else 1.0
    ranked = _ranked(contributions, table, panel.clusters, sign, random_state)
    known = np.isfinite(effect.own_variance_)
    x = effect.encoding_.matrix(table)
    tau = effect.baseline_prediction_ + float(effect.average_["estimate"])
    scores = orthogonal_scores(
        effect.own_slope_[known], 1.0 / effect.own_variance_[known], tau[known], x[known], effect.moderators_.fold
    )
    level = float(effect.average_["level"])
    tree = honest_tree(scores, x[known], effect.encoding_, panel.clusters[known], level=level, seed=random_state)
    return Subgroups(ranked, _dependence(effect, table, ranked), tree, _fifths(table[known], sign * tau[known]))


def _ranked(
    contributions: pd.DataFrame, table: pd.DataFrame, clusters: NDArray[np.intp], sign: float, seed: int
) -> pd.DataFrame:
    size = contributions.abs().to_numpy(dtype=float)
    _, group = np.unique(clusters, return_inverse=True)
    total = np.zeros((int(group.max()) + 1, size.shape[1]))
    np.add.at(total, group, size)
    count = np.bincount(group).astype(float)
    rng = np.random.default_rng([seed, 2])
    drawn = rng.multinomial(len(count), np.full(len(count), 1 / len(count)), size=BOOTSTRAPS).astype(float)
    means = (drawn @ total) / (drawn @ count)[:, None]
    lower, upper = np.quantile(means, [0.05, 0.95], axis=0)
    out = pd.DataFrame(
        {
            "moderator": [str(c) for c in contributions.columns],
            "estimate": size.mean(axis=0),
            "lower": lower,
            "upper": upper,
            "direction": [_direction(table.get(c), sign * contributions[c]) for c in contributions.columns],
            "n": len(size),
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


def _dependence(effect: Any, table: pd.DataFrame, ranked: pd.DataFrame) -> pd.DataFrame:
    """Mean predicted effect with a characteristic set to a value for everybody (Friedman 2001, Ann. Stat. 29, 1189)."""
    gamma, centre = float(effect.posterior_.gamma[1]), float(effect.average_["estimate"])
    rows = []
    for name in ranked["moderator"]:
        if name not in table.columns:
            continue
        for said, value in _values(table[name]):
            changed = table.copy()
            changed[name] = pd.Series([value] * len(table), index=table.index, dtype=table[name].dtype)
            predicted = effect.moderators_.predict(effect.encoding_.matrix(changed))
            rows.append((name, said, centre + gamma * float(predicted.mean()), len(table)))
    return pd.DataFrame(rows, columns=["moderator", "value", "estimate", "n"])


def _values(column: pd.Series) -> list[tuple[str, Any]]:
    known = column.dropna()
    if pd.api.types.is_bool_dtype(known):
        return [("no", False), ("yes", True)]
    if pd.api.types.is_numeric_dtype(known):
        found = np.unique(known.quantile(AT, interpolation="nearest"))
        return [(f"{v:.4g}", v) for v in found]
    counts = known.astype(object).value_counts()
    return [(str(v), v) for v in counts.index[:MOST_LEVELS]]


def _fifths(table: pd.DataFrame, benefit: Floats) -> pd.DataFrame:
    """Means and shares of the intake columns in each fifth of the predicted benefit, cross-fitted."""
    rank = np.empty(len(benefit), dtype=np.intp)
    rank[np.argsort(-benefit, kind="stable")] = np.arange(len(benefit))
    fifth = rank * FIFTHS // max(len(benefit), 1)
    groups = [fifth == k for k in range(FIFTHS)]
    rows: list[list[Any]] = [["patients", *(float(g.sum()) for g in groups)]]
    for name in table.columns:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            values = column.astype(float).to_numpy()
            rows.append([str(name), *(_mean(values[g]) for g in groups)])
        elif not pd.api.types.is_datetime64_any_dtype(column):
            for level in column.dropna().astype(object).value_counts().index[:MOST_LEVELS]:
                values = (column.astype(object) == level).to_numpy(dtype=float)
                if values.sum() >= FEWEST_SHOWN:
                    rows.append([f"{name}: {level}", *(_share(values[g]) for g in groups)])
    return pd.DataFrame(rows, columns=["characteristic", *(f"fifth {k + 1}" for k in range(FIFTHS))])


def _share(values: Floats) -> float:
    """Share of a category; NaN where it would point at fewer than five patients."""
    return float("nan") if 0 < values.sum() < FEWEST_SHOWN else _mean(values)


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) >= FEWEST_SHOWN else float("nan")
