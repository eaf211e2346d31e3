"""Ridge regression of the outcome at each horizon on what is known at each landmark.

One set of coefficients a node of the grid (landmark x horizon), drawn in two steps: first toward coefficients that are
smooth in landmark and horizon (pooled over the whole grid), then toward the node's own data. How far, is chosen by
cross-validation over patients. Among predictors of outcome from the first weeks such plain regressions held their own
against machine learning: Hentati Isacsson et al. 2024, Internet Interventions (PMC11416613).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from personalize.trajectories.encoder import Encoder
from personalize.trajectories.grid import Grid, Placed
from personalize.trajectories.members.member import Stored, Training
from personalize.trajectories.members.standard import center_and_scale, standardised
from personalize.trajectories.query import Query

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

POOLED = (3.0, 30.0, 300.0)  # ridge penalties, in patients' worth of data
LOCAL = (10.0, 50.0, 250.0, 1e9)
INPUTS = (3.0, 30.0, 300.0, 3000.0)  # times the penalty of the history's core, for all other inputs
INTERCEPT = 0.01
REGIONS = (0.5,)  # landmarks: intake, where there is nothing but intake, and all others
CHUNK = 100_000
REDUNDANT = ("_deviation", "_change_since_first", "_below_highest", "_previous")  # differences of other inputs


@dataclass(frozen=True)
class Sums:
    """Weighted cross-products by fold and node, from which every fit and every test error follows.

    Parameters
    ----------
    xx : array of shape (n_folds, n_nodes, p, p)
    xy : array of shape (n_folds, n_nodes, p)
    yy, n : arrays of shape (n_folds, n_nodes)
    """

    xx: Floats
    xy: Floats
    yy: Floats
    n: Floats


@dataclass(frozen=True)
class Direct:
    """Fitted coefficients.

    Parameters
    ----------
    name : {"direct", "regression"}
    columns : array of shape (p,)
        Inputs used.
    table : array of shape (n_nodes, p + 1)
        Intercept, then the coefficient of each standardised input.
    center, scale : arrays of shape (p,)
        A missing input counts as its centre.
    """

    name: str
    columns: Indices
    table: Floats
    center: Floats
    scale: Floats

    def forecast(self, query: Query) -> dict[str, Floats]:
        """Forecast the targets."""
        return {self.name: self.predict(query.inputs, query.targets.landmark, query.placed)}

    def predict(self, inputs: NDArray[np.floating], landmark: Indices, placed: Placed) -> Floats:
        """Forecast from inputs of shape (n_landmarks, n_inputs), in slices that fit the memory."""
        out = np.empty(len(landmark))
        for start in range(0, len(landmark), CHUNK):
            part = slice(start, start + CHUNK)
            design = standardised(inputs[landmark[part]][:, self.columns], self.center, self.scale)
            out[part] = np.einsum("ij,ij->i", design, placed.take(part).mix(self.table))
        return out

    def store(self) -> Stored:
        """Take apart for saving."""
        arrays = {key: getattr(self, key) for key in ("columns", "table", "center", "scale")}
        return Stored({"name": self.name}, arrays)

    @classmethod
    def restore(cls, stored: Stored) -> Direct:
        """Rebuild."""
        arrays = stored.arrays
        return cls(stored.plain["name"], arrays["columns"], arrays["table"], arrays["center"], arrays["scale"])


def learn_direct(training: Training) -> tuple[dict[str, Floats], Direct]:
    """Fit on everything known: core of the outcome history, trends and spreads, alliance, covariates, intake."""
    encoder = training.query.encoder
    columns = [i for i, name in enumerate(encoder.names) if not name.endswith(REDUNDANT)]
    return _learn(training, "direct", columns)


def learn_regression(training: Training) -> tuple[dict[str, Floats], Direct]:
    """Fit on the last, mean and first score alone: four coefficients a target."""
    encoder = training.query.encoder
    return _learn(
        training, "regression", list(np.flatnonzero(_core(encoder, training.query.landmarks.panel.columns.outcome)))
    )


def _core(encoder: Encoder, outcome: str) -> NDArray[np.bool_]:
    """Inputs that are nearly always needed and so are drawn less."""
    return np.array(
        [name in {f"{outcome}_{what}" for what in ("last", "mean", "first")} for name in encoder.names], bool
    )


def _learn(training: Training, name: str, columns: list[int]) -> tuple[dict[str, Floats], Direct]:
    """Choose penalties by error over folds; fit without each fold in turn, from one pass over the rows, and to all."""
    query, use = training.query, np.asarray(columns, dtype=np.intp)
    core = _core(query.encoder, query.landmarks.panel.columns.outcome)[use]
    values = query.inputs[:, use]
    center, scale = center_and_scale(values)
    # the intercept's small penalty must not depend on where the scale has its zero
    middle = float(training.outcome.mean())
    sums = cross_products(query, values, training.fold, training.folds.count, center, scale, training.weight, middle)
    basis = smooth_basis(query.grid)
    total = Sums(sums.xx.sum(0), sums.xy.sum(0), sums.yy.sum(0), sums.n.sum(0))
    chosen = _penalties(sums, total, basis, core, query.grid)

    def solve(xx: Floats, xy: Floats) -> Direct:
        theta = np.empty_like(xy)
        for penalties in sorted(set(chosen)):
            nodes = [penalties == own for own in chosen]
            theta[nodes] = _solved(xx, xy, basis, core, penalties)[nodes]
        theta[:, 0] += middle
        return Direct(name, use, theta, center, scale)

    out = np.empty(len(query.targets))
    for f in range(training.folds.count):
        held = np.flatnonzero(training.fold == f)
        fitted = solve(total.xx - sums.xx[f], total.xy - sums.xy[f])
        out[held] = fitted.predict(query.inputs, query.targets.landmark[held], query.placed.take(held))
    return {name: out}, solve(total.xx, total.xy)


def _penalties(
    sums: Sums, total: Sums, basis: Floats, core: NDArray[np.bool_], grid: Grid
) -> list[tuple[float, float, float]]:
    """Penalties (pooled, local, of inputs beyond the core) with the smallest error over the folds, for each node.

    They are chosen for regions of the grid: what helps at intake, where there is nothing but intake, is noise later on.
    """
    # a node counts by its patients up to a point, so that the many early ones do not decide alone
    known = np.maximum(total.n, 1e-9)
    variance = np.maximum(total.yy / known - (total.xy[:, 0] / known) ** 2, 1e-9)
    node_weight = np.minimum(total.n, 300.0) / np.maximum(total.n, 1.0) / variance
    combinations = list(product(POOLED, LOCAL, INPUTS))
    errors = np.zeros((len(combinations), len(total.n)))
    for f in range(len(sums.n)):
        xx, xy = total.xx - sums.xx[f], total.xy - sums.xy[f]
        for pooled, inputs in product(POOLED, INPUTS):
            penalty = _penalty(core, inputs)
            smooth = _pooled(xx, xy, basis, pooled * penalty)
            for local in LOCAL:
                theta = _localised(xx, xy, smooth, local * penalty)
                errors[combinations.index((pooled, local, inputs))] += _error(sums, f, theta) * node_weight
    landmark, gap = grid.coordinates()
    region = np.digitize(np.expm1(landmark), REGIONS) + 10 * np.isnan(gap)
    best = {r: combinations[int(errors[:, region == r].sum(axis=1).argmin())] for r in np.unique(region)}
    return [best[r] for r in region]


def _penalty(core: NDArray[np.bool_], inputs: float) -> Floats:
    return np.concatenate([[INTERCEPT], np.where(core, 1.0, inputs)])


def _solved(
    xx: Floats, xy: Floats, basis: Floats, core: NDArray[np.bool_], penalties: tuple[float, float, float]
) -> Floats:
    pooled, local, inputs = penalties
    penalty = _penalty(core, inputs)
    return _localised(xx, xy, _pooled(xx, xy, basis, pooled * penalty), local * penalty)


def smooth_basis(grid: Grid) -> Floats:
    """Functions of landmark and horizon along which coefficients may change smoothly, shape (n_nodes, 7)."""
    landmark, gap = grid.coordinates()
    last = np.isnan(gap)
    intake = (landmark == 0).astype(float)
    at = ~last
    far = np.where(last, 0.0, gap)
    return np.column_stack([at, far, at * landmark, at * intake, last, last * landmark, last * intake]).astype(float)


def cross_products(
    query: Query,
    values: NDArray[np.floating],
    fold: Indices,
    n_folds: int,
    center: Floats,
    scale: Floats,
    weight: Floats,
    middle: float,
) -> Sums:
    """Accumulate the sums node by node, so that no design larger than a node's rows is held; outcomes from a middle."""
    n_nodes, width = query.grid.n_nodes, values.shape[1] + 1
    xx = np.zeros((n_folds, n_nodes, width, width))
    xy, yy, n = np.zeros((n_folds, n_nodes, width)), np.zeros((n_folds, n_nodes)), np.zeros((n_folds, n_nodes))
    key = (query.placed.node * n_folds + fold[:, None]).ravel()
    mass = (query.placed.weight * weight[:, None]).ravel()
    used = np.flatnonzero(mass > 1e-9)
    used = used[np.argsort(key[used], kind="stable")]
    cell, begins = np.unique(key[used], return_index=True)
    for at, rows in zip(cell, np.split(used, begins[1:]), strict=True):
        node, f = divmod(int(at), n_folds)
        row, w = rows // 4, mass[rows]
        x = standardised(values[query.targets.landmark[row]], center, scale)
        y = query.targets.outcome[row] - middle
        xw = x * w[:, None]
        xx[f, node], xy[f, node], yy[f, node], n[f, node] = xw.T @ x, xw.T @ y, float(w @ y**2), float(w.sum())
    return Sums(xx, xy, yy, n)


def _pooled(xx: Floats, xy: Floats, basis: Floats, penalty: Floats) -> Floats:
    """Smooth coefficients at every node, shape (n_nodes, p)."""
    n_basis, width = basis.shape[1], xx.shape[-1]
    left = np.einsum("na,nb,nij->aibj", basis, basis, xx, optimize=True).reshape(n_basis * width, -1)
    right = np.einsum("na,ni->ai", basis, xy).ravel()
    left[np.diag_indices_from(left)] += np.tile(penalty, n_basis) + 1e-9
    return np.asarray(basis @ np.linalg.solve(left, right).reshape(n_basis, width))


def _localised(xx: Floats, xy: Floats, smooth: Floats, penalty: Floats) -> Floats:
    """Coefficients between the smooth ones and those of the node's own rows, shape (n_nodes, p)."""
    left = xx + np.diag(penalty)
    right = xy - np.einsum("nij,nj->ni", xx, smooth)
    return smooth + np.linalg.solve(left, right[..., None])[..., 0]


def _error(sums: Sums, f: int, theta: Floats) -> Floats:
    """Squared error of a fold at each node, shape (n_nodes,)."""
    fitted = np.einsum("ni,nij,nj->n", theta, sums.xx[f], theta, optimize=True)
    return np.asarray(sums.yy[f] - 2 * np.einsum("ni,ni->n", theta, sums.xy[f]) + fitted)
