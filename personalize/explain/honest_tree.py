"""A shallow tree of subgroups, honest: the clusters that choose the splits do not estimate the effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.tree import DecisionTreeRegressor

from personalize.effects.encode import Encoding

Floats = NDArray[np.float64]

DEPTH = 2
FEWEST_IN_LEAF = 20
COLUMNS = ["subgroup", "estimate", "lower", "upper", "n"]


def honest_tree(
    scores: Floats, x: Floats, encoding: Encoding, clusters: NDArray[np.intp], *, level: float, seed: int
) -> pd.DataFrame:
    """Split on one half of the therapists (or patients), estimate on the other.

    Source: Athey & Imbens 2016, Proc. Natl. Acad. Sci. 113, 7353.

    Parameters
    ----------
    scores : array of shape (n,)
        Unbiased, noisy effects (`personalize.effects.validation.orthogonal_scores`).
    x : array of shape (n, p)
        Encoded intake.
    encoding : Encoding
        What the columns of x are; turns thresholds back into the user's units.
    clusters : int array of shape (n,)
    level : float
    seed : int

    Returns
    -------
    DataFrame
        One row a leaf: subgroup (in words), estimate, lower, upper (cluster-robust), n (patients of the estimating
        half). Empty where a half is too small to be split.
    """
    rng = np.random.default_rng([seed, 3])
    names, group = np.unique(clusters, return_inverse=True)
    if len(names) < 10:
        names, group = np.arange(len(scores)), np.arange(len(scores))
    side = np.zeros(len(names), dtype=bool)
    side[rng.permutation(len(names))[: len(names) // 2]] = True
    grow = side[group]
    if min(grow.sum(), (~grow).sum()) < 2 * FEWEST_IN_LEAF or x.shape[1] == 0:
        return pd.DataFrame(columns=COLUMNS)
    tree = DecisionTreeRegressor(
        max_depth=DEPTH, min_samples_leaf=max(FEWEST_IN_LEAF, int(grow.sum()) // 10), random_state=seed
    )
    tree.fit(x[grow], scores[grow])
    leaf = tree.apply(x[~grow])
    z = float(norm.ppf(0.5 + level / 2))
    rows = []
    for node, words in _leaves(tree, encoding):
        own = leaf == node
        n = int(own.sum())
        if n == 0:
            continue
        values, who = scores[~grow][own], group[~grow][own]
        mean = float(values.mean())
        per = np.bincount(who, values - mean)
        used = len(np.unique(who))
        se = float(np.sqrt((per**2).sum() * used / max(used - 1, 1))) / n if used > 1 else np.nan
        rows.append((words, mean, mean - z * se, mean + z * se, n))
    return pd.DataFrame(rows, columns=COLUMNS)


def _leaves(tree: DecisionTreeRegressor, encoding: Encoding) -> list[tuple[int, str]]:
    """Leaves with their conditions in the user's units, from the left."""
    shape, out = tree.tree_, []

    def walk(node: int, said: tuple[str, ...]) -> None:
        if shape.children_left[node] < 0:
            out.append((node, " and ".join(said) or "everybody"))
            return
        low, high = _conditions(encoding, int(shape.feature[node]), float(shape.threshold[node]))
        walk(int(shape.children_left[node]), (*said, low))
        walk(int(shape.children_right[node]), (*said, high))

    walk(0, ())
    return out


def _conditions(encoding: Encoding, column: int, threshold: float) -> tuple[str, str]:
    name = encoding.names[column]
    source = next(c for c in encoding.columns if c.name == encoding.sources[column])
    if name == source.name and not source.levels:
        value = source.centre + source.scale * threshold
        return f"{name} ≤ {value:.3g}", f"{name} > {value:.3g}"
    return f"not {name}", name
