"""Grid of landmarks and horizons on which coefficients, weights and quantiles live, with interpolation in between.

A forecast from landmark k over gap g belongs to the (at most four) nodes around (log(1 + k), log g) with weights that
add up to one. The last session, whose gap is unknown, has nodes of its own: one a landmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

LANDMARKS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 28, 36, 46, 60)
GAPS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 15.0, 20.0, 27.0, 36.0, 48.0, 64.0)


@dataclass(frozen=True)
class Placed:
    """Nodes of each row.

    Parameters
    ----------
    node : array of shape (n_rows, 4)
    weight : array of shape (n_rows, 4)
        Adds up to one in each row.
    """

    node: Indices
    weight: Floats

    def mix(self, table: Floats) -> Floats:
        """Interpolate a table of shape (n_nodes,) or (n_nodes, n_columns) at every row."""
        shape = (-1,) + (1,) * (table.ndim - 1)
        out = np.zeros((len(self.node), *table.shape[1:]))
        for node, weight in zip(self.node.T, self.weight.T, strict=True):
            out += weight.reshape(shape) * table[node]
        return out

    def take(self, rows: Any) -> Placed:
        """Keep some rows."""
        return Placed(self.node[rows], self.weight[rows])


@dataclass(frozen=True)
class Grid:
    """Nodes; node of landmark i and gap j is ``i * (len(gaps) + 1) + j``, and j = len(gaps) is the last session.

    Parameters
    ----------
    landmarks, gaps : tuple of float
        Increasing.
    """

    landmarks: tuple[float, ...]
    gaps: tuple[float, ...]

    @classmethod
    def reached(cls, seen: Indices, gap: Floats, patient: Indices, *, at_least: int) -> Grid:
        """Lay the grid where at least ``at_least`` patients stand behind a landmark or a gap (the first always)."""
        return cls(
            tuple(float(k) for k in _reached(LANDMARKS, seen.astype(float), patient, at_least)),
            tuple(_reached(GAPS, gap, patient, at_least)),
        )

    @property
    def n_nodes(self) -> int:
        """Number of nodes, those of the last session included."""
        return len(self.landmarks) * (len(self.gaps) + 1)

    def coordinates(self) -> tuple[Floats, Floats]:
        """log(1 + landmark) and log(gap) of every node; NaN gap for the last session."""
        gaps = np.append(np.log(self.gaps), np.nan)
        return np.repeat(np.log1p(self.landmarks), len(gaps)), np.tile(gaps, len(self.landmarks))

    def place(self, seen: NDArray[Any], gap: Floats) -> Placed:
        """Find the nodes of rows; outside the grid the nearest edge holds."""
        low, share = _between(np.log1p(np.asarray(self.landmarks)), np.log1p(seen.astype(float)))
        last = np.isnan(gap)
        left, part = _between(np.log(np.asarray(self.gaps)), np.log(np.where(last, 1.0, gap)))
        left = np.where(last, len(self.gaps), left)
        part = np.where(last, 0.0, part)
        width = len(self.gaps) + 1
        high = np.minimum(low + 1, len(self.landmarks) - 1)
        right = np.where(last, left, np.minimum(left + 1, len(self.gaps) - 1))
        node = np.stack([low * width + left, low * width + right, high * width + left, high * width + right], axis=1)
        weight = np.stack(
            [(1 - share) * (1 - part), (1 - share) * part, share * (1 - part), share * part],
            axis=1,
        )
        return Placed(node.astype(np.intp), weight)

    def to_dict(self) -> dict[str, list[float]]:
        """Return the nodes as plain values."""
        return {"landmarks": list(self.landmarks), "gaps": list(self.gaps)}

    @classmethod
    def from_dict(cls, given: dict[str, Sequence[float]]) -> Grid:
        """Rebuild from `to_dict`."""
        return cls(tuple(given["landmarks"]), tuple(given["gaps"]))


def _reached(nodes: Sequence[float], values: Floats, patient: Indices, at_least: int) -> list[float]:
    """Nodes that at least ``at_least`` patients reach (within 10 %), the first one always."""
    furthest = np.full(int(patient.max(initial=-1)) + 1, -np.inf)
    known = ~np.isnan(values)
    np.maximum.at(furthest, patient[known], values[known])
    return [node for i, node in enumerate(nodes) if i == 0 or int((furthest >= 0.9 * node).sum()) >= at_least]


def _between(nodes: Floats, values: Floats) -> tuple[Indices, Floats]:
    """Index of the node at or below each value, and how far (0 to 1) the value is on the way to the next."""
    if len(nodes) == 1:
        return np.zeros(len(values), dtype=np.intp), np.zeros(len(values))
    low = np.clip(np.searchsorted(nodes, values, side="right") - 1, 0, len(nodes) - 2)
    share = np.clip((values - nodes[low]) / (nodes[low + 1] - nodes[low]), 0.0, 1.0)
    return low.astype(np.intp), share
