"""A shallow tree of subgroups, honest: the clusters that choose the splits do not estimate the effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student
from sklearn.tree import DecisionTreeRegressor

from personalize.effects.encode import Encoding

Floats = NDArray[np.float64]

LEAVES = 4
FEWEST_IN_LEAF = 30
FEWEST_CLUSTERS = 10  # below this, halves are drawn over patients
COLUMNS = ["subgroup", "estimate", "lower", "upper", "n"]


@dataclass(frozen=True)
class HonestTree:
    """Leaves in words, with effects of patients who did not grow the tree.

    Attributes
    ----------
    leaves : DataFrame
        One row a leaf, smallest effect of the growing half first: subgroup (the conditions in words), estimate, lower,
        upper (cluster-robust), n (patients of the estimating half). Empty where a half is too small to be split.
    leaf_of : int array of shape (n,)
        Leaf of each patient, in the order of ``leaves``.
    held : bool array of shape (n,)
        Patients the leaves were estimated on.
    """

    leaves: pd.DataFrame
    leaf_of: NDArray[np.intp]
    held: NDArray[np.bool_]


def honest_tree(
    scores: Floats,
    x: Floats,
    encoding: Encoding,
    clusters: NDArray[np.intp],
    *,
    weight: Floats | None = None,
    truths: Sequence[str] = (),
    level: float,
    seed: int,
) -> HonestTree:
    """Split on one half of the therapists (or patients), estimate on the other.

    Source: Athey & Imbens 2016, Proc. Natl. Acad. Sci. 113, 7353-7360. Halves are of therapists (of patients where
    there are fewer than ten), so that intervals hold for patients of other therapists.

    Parameters
    ----------
    scores : array of shape (n,)
        Unbiased, noisy effects (`personalize.effects.validation.orthogonal_scores`).
    x : array of shape (n, p)
        Encoded intake.
    encoding : Encoding
        What the columns of x are; turns thresholds back into the user's units.
    clusters : int array of shape (n,)
    weight : array of shape (n,), optional
        Precision of ``scores``, used to grow only; equal by default.
    truths : sequence of str
        Intake columns that hold yes and no; a split of theirs is put in these words.
    level : float
        Of the intervals.
    seed : int
    """
    names, group = np.unique(clusters, return_inverse=True)
    if len(names) < FEWEST_CLUSTERS:
        names, group = np.arange(len(scores)), np.arange(len(scores))
    grows = np.random.default_rng(seed).permutation(len(names)) < len(names) // 2
    held = ~grows[group]
    fewest = min(FEWEST_IN_LEAF, max(len(scores) // 8, 1))
    if min(held.sum(), (~held).sum()) < 2 * fewest or x.shape[1] == 0:
        return HonestTree(pd.DataFrame(columns=COLUMNS), np.zeros(len(scores), dtype=np.intp), held)
    tree = DecisionTreeRegressor(max_leaf_nodes=LEAVES, min_samples_leaf=fewest, random_state=seed)
    tree.fit(x[~held], scores[~held], sample_weight=None if weight is None else weight[~held])
    words = _leaves(tree, encoding, truths)
    order = sorted(words, key=lambda node: tree.tree_.value[node, 0, 0])
    leaf_of = np.array([order.index(node) for node in tree.apply(x)], dtype=np.intp)
    rows = []
    for place, node in enumerate(order):
        own = held & (leaf_of == place)
        rows.append((words[node], *cluster_mean(scores[own], group[own], level), int(own.sum())))
    return HonestTree(pd.DataFrame(rows, columns=COLUMNS), leaf_of, held)


def cluster_mean(values: Floats, group: NDArray[np.intp], level: float) -> tuple[float, float, float]:
    """Mean with a cluster-robust interval: estimate, lower, upper; no interval from a single cluster."""
    if not len(values):
        return np.nan, np.nan, np.nan
    mean = float(values.mean())
    _, of = np.unique(group, return_inverse=True)
    total = np.bincount(of, values - mean)
    freedom = len(total) - 1
    if not freedom:
        return mean, np.nan, np.nan
    se = float(np.sqrt((total**2).sum() * len(total) / freedom)) / len(values)
    half = float(student.ppf(0.5 + level / 2, freedom)) * se
    return mean, mean - half, mean + half


def _leaves(tree: DecisionTreeRegressor, encoding: Encoding, truths: Sequence[str]) -> dict[int, str]:
    """Conditions of each leaf in the user's units."""
    shape = tree.tree_
    out: dict[int, str] = {}

    def walk(node: int, said: tuple[tuple[str, str], ...]) -> None:
        if shape.children_left[node] < 0:
            # a later condition on the same side of the same column makes an earlier one needless
            out[node] = " and ".join(dict(said).values()) or "everybody"
            return
        low, high = _conditions(encoding, int(shape.feature[node]), float(shape.threshold[node]), truths)
        column = encoding.names[shape.feature[node]]
        walk(int(shape.children_left[node]), (*said, (f"{column} low", low)))
        walk(int(shape.children_right[node]), (*said, (f"{column} high", high)))

    walk(0, ())
    return out


def _conditions(encoding: Encoding, column: int, threshold: float, truths: Sequence[str]) -> tuple[str, str]:
    name = encoding.names[column]
    source = next(c for c in encoding.columns if c.name == encoding.sources[column])
    if name in truths:
        return f"{name}: no", f"{name}: yes"
    if name == source.name and not source.levels:
        value = source.centre + source.scale * threshold
        return f"{name} ≤ {value:.3g}", f"{name} > {value:.3g}"
    return f"not {name}", name
