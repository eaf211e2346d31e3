"""How much wider than single intervals a band must be that holds a whole path, up to the furthest session asked for.

A band up to the next session is an interval; one over ten sessions has to hold ten outcomes at once. Calibrating one
width for all lengths makes short paths too wide and leaves long ones out of the band too often, so the width is
calibrated by landmark *and* by how far the path reaches, on patients whose treatment reached that far. Largest score
over a path: Diquigiovanni, Fontana & Vantini 2022, J. Multivar. Anal. 189, 104879 (arXiv:2106.01792).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from personalize.trajectories.grid import Grid, Placed
from personalize.trajectories.quantiles import neighbourhood, node_quantiles

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

ENOUGH_PATHS = 120.0  # patients behind a node's factor
SHARE_PATHS = 1 / 3  # of the patients where there are few: drawing in all would make paths of all lengths alike


def furthest_asked(landmark: Indices, gap: Floats) -> Floats:
    """Longest horizon among the rows of each row's landmark; NaN (the whole path) for last sessions; shape (n_rows,).

    Examples
    --------
    >>> furthest_asked(np.array([0, 0, 1, 0]), np.array([1.0, 4.0, 2.0, np.nan]))
    array([ 4.,  4.,  2., nan])
    """
    longest = np.zeros(int(landmark.max(initial=-1)) + 1)
    at = ~np.isnan(gap)
    np.maximum.at(longest, landmark[at], gap[at])
    return np.where(at, longest[landmark], np.nan)


def largest_so_far(score: Floats, landmark: Indices, gap: Floats) -> Floats:
    """Largest score of each row's path up to the row's horizon; for a last session that of the whole path.

    Parameters
    ----------
    score : array of shape (n_rows,)
    landmark : int array of shape (n_rows,)
        Whose path, and from where.
    gap : array of shape (n_rows,)
        Horizon; NaN for the last session.

    Returns
    -------
    array of shape (n_rows,)
        -inf for a last session without any session on the way to it.

    Examples
    --------
    >>> largest_so_far(np.array([2.0, 1.0, 3.0, 9.0]), np.zeros(4, dtype=int), np.array([1.0, 2.0, 3.0, np.nan]))
    array([2., 2., 3., 3.])
    """
    out = np.full(len(score), -np.inf)
    whole = np.full(int(landmark.max(initial=-1)) + 1, -np.inf)
    at = np.flatnonzero(~np.isnan(gap))
    order = at[np.lexsort((gap[at], landmark[at]))]
    own = landmark[order]
    place = np.arange(len(order)) - np.searchsorted(own, own)
    # step by step along all paths at once
    for step in range(int(place.max(initial=-1)) + 1):
        now = order[place == step]
        whole[landmark[now]] = np.maximum(whole[landmark[now]], score[now])
        out[now] = whole[landmark[now]]
    last = np.isnan(gap)
    out[last] = whole[landmark[last]]
    return out


def path_factors(
    score: Floats, landmark: Indices, gap: Floats, patient: Indices, placed: Placed, grid: Grid, weight: Floats,
    *, level: float,
) -> Floats:  # fmt: skip
    """Factor that the largest score stays under for ``level`` of the patients, by landmark and furthest horizon.

    Parameters
    ----------
    score : array of shape (n_rows,)
        How far towards (1: onto) the end of its interval an outcome lies.
    landmark, gap
        As in `largest_so_far`.
    patient : int array of shape (n_rows,)
    placed : Placed
        The rows on the grid.
    grid : Grid
    weight : array of shape (n_rows,)

    Returns
    -------
    array of shape (n_nodes,)
        At least 1; the node of a last session holds that of the whole path.
    """
    largest = largest_so_far(score, landmark, gap)
    use = np.isfinite(largest)
    placed, patient = placed.take(use), patient[use]
    enough = min(ENOUGH_PATHS, SHARE_PATHS * len(np.unique(patient)))
    reach = neighbourhood(placed, grid, patient, enough)
    found = node_quantiles(largest[use], patient, placed, reach, np.array([level]), weight[use])[:, 0]
    return np.maximum(found, 1.0)
