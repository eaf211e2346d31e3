"""Nearest neighbours: the change that the most similar training patients went through from the same landmark.

Similar in first, last and mean score and slope so far. Source: Lutz et al. 2005, J. Consult. Clin. Psychol. 73,
904-913. A saved fit holds the training patients' scores (without identifiers).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from personalize.trajectories.grid import Placed
from personalize.trajectories.members.member import Stored, Training
from personalize.trajectories.query import Query, part

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

NEIGHBOURS = 30
SIMILAR = ("last", "first", "mean", "slope")


@dataclass(frozen=True)
class Neighbours:
    """Training rows, sorted by node of the grid.

    Parameters
    ----------
    node : array of shape (n_rows,)
        Nearest node of each row, increasing.
    traits : array of shape (n_rows, 4)
        `SIMILAR`, standardised.
    change : array of shape (n_rows,)
        Outcome minus the last score (minus ``center`` where there is no score yet).
    center, scale : arrays of shape (4,)
    """

    node: Indices
    traits: Floats
    change: Floats
    center: Floats
    scale: Floats

    def forecast(self, query: Query) -> dict[str, Floats]:
        """Add the neighbours' mean change to the last score."""
        return {"neighbours": self.predict(_raw(query), query.placed)}

    def predict(self, raw: Floats, placed: Placed) -> Floats:
        """Forecast from `SIMILAR`, shape (n_rows, 4), NaN unknown, at the rows' places on the grid."""
        traits, last = _traits(raw, self.center, self.scale)
        node = _nearest(placed)
        out = last.copy()
        for at in np.unique(node):
            begin, end = np.searchsorted(self.node, [at, at + 1])
            if begin == end:
                continue
            rows = np.flatnonzero(node == at)
            k = min(NEIGHBOURS, max((end - begin) // 3, 1))
            near = cKDTree(self.traits[begin:end]).query(traits[rows], k=k)[1].reshape(len(rows), -1)
            out[rows] += self.change[begin:end][near].mean(axis=1)
        return out

    def store(self) -> Stored:
        """Take apart for saving."""
        return Stored(arrays={key: getattr(self, key) for key in ("node", "traits", "change", "center", "scale")})

    @classmethod
    def restore(cls, stored: Stored) -> Neighbours:
        """Rebuild."""
        arrays = stored.arrays
        return cls(arrays["node"], arrays["traits"], arrays["change"], arrays["center"], arrays["scale"])


def learn_neighbours(training: Training) -> tuple[dict[str, Floats], Neighbours]:
    """Keep the training rows; out of fold, neighbours come from the other folds."""
    query = training.query
    out = np.empty(len(query.targets))
    for f in range(training.folds.count):
        held = np.flatnonzero(training.fold == f)
        fitted = _keep(part(query, np.flatnonzero(training.fold != f)))
        out[held] = fitted.forecast(part(query, held))["neighbours"]
    return {"neighbours": out}, _keep(query)


def _keep(query: Query) -> Neighbours:
    raw = _raw(query)
    known = np.isfinite(raw)
    center = np.where(known, raw, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    scale = np.sqrt((np.where(known, raw - center, 0.0) ** 2).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    scale = np.where(scale > 1e-9, scale, 1.0)
    traits, last = _traits(raw, center, scale)
    node = _nearest(query.placed)
    order = np.argsort(node, kind="stable")
    return Neighbours(node[order], traits[order], (query.targets.outcome - last)[order], center, scale)


def _raw(query: Query) -> Floats:
    return np.column_stack([query.outcome_input(name) for name in SIMILAR])


def _traits(raw: Floats, center: Floats, scale: Floats) -> tuple[Floats, Floats]:
    traits = np.nan_to_num((raw - center) / scale, nan=0.0)
    return traits, np.where(np.isnan(raw[:, 0]), center[0], raw[:, 0])


def _nearest(placed: Placed) -> Indices:
    best = placed.weight.argmax(axis=1)
    return np.asarray(placed.node[np.arange(len(best)), best])
