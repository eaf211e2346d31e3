"""Weights of the members: how much each is trusted at each landmark and horizon, from patients none of them saw."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from personalize.trajectories.grid import Grid, Placed

Floats = NDArray[np.float64]

BORROWED = 300.0  # patients' worth of the weights that hold over the whole grid, added to each node
EVEN = 30.0  # patients' worth of pull to equal weights
SMALLEST_ERROR = 0.5  # typical errors of a node: smaller errors count as this large


@dataclass(frozen=True)
class Stack:
    """Convex weights of the members.

    Parameters
    ----------
    names : tuple of str
    table : array of shape (n_nodes, n_members)
        Each row adds up to one.
    """

    names: tuple[str, ...]
    table: Floats

    def combine(self, forecasts: Floats, placed: Placed) -> Floats:
        """Weigh forecasts of shape (n_members, n_rows); shape (n_rows,)."""
        return np.asarray(np.einsum("mr,rm->r", forecasts, placed.mix(self.table)))


def fit_stack(
    names: tuple[str, ...],
    forecasts: Floats,
    outcome: Floats,
    placed: Placed,
    grid: Grid,
    weight: Floats | None = None,
) -> Stack:
    """Choose weights with the smallest error, non-negative and adding up to one, node by node.

    Each node's problem borrows from all nodes of its kind (sessions, or the last session) and is drawn to equal
    weights, so that few patients do not decide alone: estimated weights often lose to the plain mean of good members.
    Squared errors are divided by the size of the equally weighted error, so that what counts grows like the absolute
    error, by which forecasts are judged, and a few patients with extreme courses do not choose for all. Stacking:
    Breiman 1996, Machine Learning 24, 49-64; pull to equal weights: Diebold & Shin 2019, Int. J. Forecast. 35,
    1679-1691.

    Parameters
    ----------
    forecasts : array of shape (n_members, n_rows)
        Out-of-fold forecasts.
    outcome : array of shape (n_rows,)
    placed : Placed
    grid : Grid
    weight : array of shape (n_rows,), optional
    """
    errors = outcome - forecasts
    n_members = len(names)
    flat_node, corners = placed.node.ravel(), placed.node.shape[1]
    flat_weight = placed.weight.ravel() * (1.0 if weight is None else np.repeat(weight, corners))

    def total(values: Floats) -> Floats:
        """Sum of the rows' values at each node."""
        each = np.repeat(values, corners) * flat_weight
        return np.bincount(flat_node, each, minlength=grid.n_nodes).astype(float)

    count = total(np.ones(len(outcome)))
    size = np.abs(errors.mean(axis=0))
    typical = placed.mix(total(size) / np.maximum(count, 1e-12))
    steady = typical / np.maximum(np.maximum(size, SMALLEST_ERROR * typical), 1e-12)
    products = np.empty((grid.n_nodes, n_members, n_members))
    for a in range(n_members):
        for b in range(a, n_members):
            products[:, a, b] = products[:, b, a] = total(errors[a] * errors[b] * steady)
    last = np.isnan(grid.coordinates()[1])
    table = np.empty((grid.n_nodes, n_members))
    for kind in (last, ~last):
        # per node mean errors, so that long horizons with their large errors do not decide for the short ones
        level = products[kind] / np.maximum(np.einsum("nii->n", products[kind]) / n_members, 1e-12)[:, None, None]
        share = np.minimum(count[kind], BORROWED)
        common = np.einsum("n,nij->ij", share, level) / max(share.sum(), 1e-12)
        table[kind] = simplex(level * count[kind][:, None, None] + BORROWED * common + EVEN * np.eye(n_members))
    return Stack(names, table)


def simplex(products: Floats) -> Floats:
    """Minimise w'Pw over w >= 0, sum(w) = 1 for each P; exact, by going through the sets of members in use.

    Parameters
    ----------
    products : array of shape (n, m, m)
        Positive semi-definite, m small.

    Returns
    -------
    array of shape (n, m)
    """
    n, m = products.shape[:2]
    ridge = 1e-9 * np.maximum(np.einsum("nii->n", products) / m, 1e-12)
    best, chosen = np.full(n, np.inf), np.zeros((n, m))
    for size in range(1, m + 1):
        for used in combinations(range(m), size):
            at = np.ix_(range(n), used, used)
            part = products[at] + ridge[:, None, None] * np.eye(size)
            w = np.linalg.solve(part, np.ones((n, size, 1)))[..., 0]
            w /= w.sum(axis=1, keepdims=True)
            value = np.where((w >= 0).all(axis=1), np.einsum("ni,nij,nj->n", w, part, w), np.inf)
            better = value < best
            best[better] = value[better]
            full = np.zeros((n, m))
            full[:, list(used)] = w
            chosen[better] = full[better]
    return chosen
