# ruff: noqa: E501
"""A small tree of who benefits, whose leaves are estimated on patients who did not grow it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student
from sklearn.tree import DecisionTreeRegressor

from personalize.effects.encode import Encoding
from personalize.effects.transitions import Floats, Ints

LEAVES = 4
FEWEST_IN_LEAF = 30


@dataclass(frozen=True)
class HonestTree:
    """Leaves in words, with effects from held-out therapists.

    Attributes
    ----------
    leaves : DataFrame
        One row a leaf: leaf (the conditions), estimate, lower, upper, n (held-out patients).
    leaf_of : int array of shape (n,)
        Leaf of each patient, in the order of ``leaves``.
    held : bool array of shape (n,)
        Patients the leaves were estimated on.
    """

    leaves: pd.DataFrame
    leaf_of: Ints
    held: Ints


def honest_tree(
    x: Floats, encoding: Encoding, score: Floats, weight: Floats, clusters: Ints, *, level: float, seed: int
) -> HonestTree:
    """Grow a tree on half of the therapists and estimate its leaves on the other half.

    Parameters
    ----------
    x : array of shape (n, p)
        Encoded intake.
    encoding : Encoding
    score : array of shape (n,)
        A noisy, unbiased measure of each patient's effect.
    weight : array of shape (n,)
        Precision of ``score``, used to grow only.
    clusters : int array of shape (n,)
    level : float
    seed : int

    Notes
    -----
    Honest estimation as in Athey & Imbens (2016), PNAS 113, 7353-7360. Halves are of therapists (of patients where there
    are fewer than ten), so that intervals hold for patients of other therapists.
    """
    names, group = np.unique(clusters, return_inverse=True)
    if len(names) < 10:
        names, group = np.arange(len(score)), np.arange(len(score))
    drawn = np.random.default_rng(seed).permutation(len(names)) < len(names) // 2
    held = ~drawn[group]
    tree = DecisionTreeRegressor(
        max_leaf_nodes=LEAVES, min_samples_leaf=min(FEWEST_IN_LEAF, max(len(score) // 8, 1)), random_state=seed
    )
    tree.fit(x[~held], score[~held], sample_weight=weight[~held])
    node = tree.apply(x)
    words = _conditions(tree, encoding)
    rows = []
    order = sorted(words, key=lambda k: tree.tree_.value[k, 0, 0])
    leaf_of = np.array([order.index(k) for k in node], dtype=np.intp)
    for k, leaf in enumerate(order):
        rows.append({"leaf": words[leaf], **_mean(score[held & (leaf_of == k)], group[held & (leaf_of == k)], level)})
    return HonestTree(pd.DataFrame(rows), leaf_of, held)


def _mean(score: Floats, group: Ints, level: float) -> dict[str, float]:
    if len(score) < 2:
        return {"estimate": np.nan, "lower": np.nan, "upper": np.nan, "n": len(score)}
    mean = float(score.mean())
    _, of = np.unique(group, return_inverse=True)
    total = np.bincount(of, score - mean)
    k = len(total)
    se = float(np.sqrt((total**2).sum() * k / max(k - 1, 1))) / len(score)
    half = float(student.ppf(0.5 + level / 2, max(k - 1, 1))) * se
    return {"estimate": mean, "lower": mean - half, "upper": mean + half, "n": len(score)}


def _conditions(tree: DecisionTreeRegressor, encoding: Encoding) -> dict[int, str]:
    """Path to each leaf in the units of the intake table."""
    inner, names = tree.tree_, encoding.names
    number = {c.name: c for c in encoding.columns if not c.levels}
    out: dict[int, str] = {}

    def walk(node: int, path: list[str]) -> None:
        if inner.children_left[node] < 0:
            out[node] = " and ".join(_tightest(path)) or "everybody"
            return
        name, cut = names[inner.feature[node]], float(inner.threshold[node])
        if name in number:
            cut = number[name].centre + number[name].scale * cut
            below, above = f"{name} ≤ {cut:.3g}", f"{name} > {cut:.3g}"
        else:
            below, above = f"not {name}", name
        walk(int(inner.children_left[node]), [*path, below])
        walk(int(inner.children_right[node]), [*path, above])

    walk(0, [])
    return out


def _tightest(path: list[str]) -> list[str]:
    """Drop a condition that a later one on the same side of the same column makes needless."""
    last: dict[str, int] = {}
    for k, condition in enumerate(path):
        side = next((condition.split(sign)[0] + sign for sign in (" ≤ ", " > ") if sign in condition), condition)
        last[side] = k
    return [path[k] for k in sorted(last.values())]
