"""Quantiles in which every patient counts the same, made conservative for a finite number of patients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from personalize.trajectories.grid import Grid, Placed

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

WIDENINGS = (0.05, 0.15, 0.3, 0.5, 0.8, 1.3, 2.0, 4.0, 1e3)  # in logs of landmark and horizon
NEGLIGIBLE = 1e-3


def patient_quantiles(values: Floats, patient: Indices, mass: Floats, levels: Floats) -> Floats:
    """Quantiles of sorted values.

    Parameters
    ----------
    values : array of shape (n_rows,)
        Increasing.
    patient : int array of shape (n_rows,)
    mass : array of shape (n_rows,)
        How much each row belongs here. Within a patient it is shared out, so that a patient counts as much as the
        largest of the own rows.
    levels : array of shape (n_levels,)
        The level p of n patients is read off at p·(n + 1)/n, the rank that holds a new, exchangeable patient with
        probability p (Lei et al. 2018, JASA 113, 1094-1111).

    Returns
    -------
    array of shape (n_levels,)
        NaN where no row has mass.
    """
    use = mass > NEGLIGIBLE
    values, patient, mass = values[use], patient[use], mass[use]
    if len(values) == 0:
        return np.full(len(levels), np.nan)
    share = patient_share(patient, mass)
    n = share.sum() ** 2 / (np.bincount(patient, share) ** 2).sum()
    cumulative = (np.cumsum(share) - 0.5 * share) / share.sum()
    return np.asarray(np.interp(np.minimum(levels * (n + 1) / n, 1.0), cumulative, values))


def patient_share(patient: Indices, mass: Floats) -> Floats:
    """Share each patient's rows so that they add up to the largest of them, shape (n_rows,)."""
    total = np.bincount(patient, mass)
    largest = np.zeros(len(total))
    np.maximum.at(largest, patient, mass)
    return np.asarray(mass / np.maximum(total, 1e-300)[patient] * largest[patient])


def node_quantiles(
    size: Floats, patient: Indices, placed: Placed, reach: Floats, levels: Floats, weight: Floats
) -> Floats:
    """Quantiles of sizes at every node, from its own patients and as many neighbours' as are needed.

    Parameters
    ----------
    size : array of shape (n_rows,)
    placed : Placed
        The rows on the grid.
    reach : array of shape (n_nodes, n_nodes)
        From `neighbourhood`.
    weight : array of shape (n_rows,)

    Returns
    -------
    array of shape (n_nodes, n_levels)
    """
    order = np.argsort(size, kind="stable")
    size, patient, placed, weight = size[order], patient[order], placed.take(order), weight[order]
    out = np.empty((len(reach), len(levels)))
    for node in range(len(reach)):
        mass = np.einsum("ij,ij->i", reach[node][placed.node], placed.weight) * weight
        out[node] = patient_quantiles(size, patient, mass, levels)
    everywhere = patient_quantiles(size, patient, weight, levels)
    return np.where(np.isnan(out), everywhere, out)


def neighbourhood(placed: Placed, grid: Grid, patient: Indices, enough: float) -> Floats:
    """How much each node's rows count at each other node, shape (n_nodes, n_nodes); widened until enough patients."""
    landmark, gap = grid.coordinates()
    last = np.isnan(gap)
    far = np.where(last, 0.0, gap)
    apart = (landmark[:, None] - landmark) ** 2 + (far[:, None] - far) ** 2
    apart[last[:, None] != last] = np.inf
    patients = node_patients(placed, grid, patient)
    out, unmet = np.zeros_like(apart), np.ones(len(apart), dtype=bool)
    for width in WIDENINGS:
        near = np.exp(-0.5 * apart / width**2)
        near[near < NEGLIGIBLE] = 0.0
        # neighbouring nodes share patients, so their sum overstates and the largest understates who stands behind
        behind = np.maximum((near * patients).max(axis=1), 0.35 * near @ patients)
        met = unmet & ((behind >= enough) | (width == WIDENINGS[-1]))
        out[met] = near[met]
        unmet &= ~met
    return np.asarray(out)


def node_patients(placed: Placed, grid: Grid, patient: Indices) -> Floats:
    """Number of patients with rows at each node, shape (n_nodes,)."""
    used = placed.weight > NEGLIGIBLE
    width = int(patient.max(initial=0)) + 1
    pairs = np.unique(placed.node[used] * width + np.repeat(patient, used.sum(axis=1)))
    return np.asarray(np.bincount(pairs // width, minlength=grid.n_nodes), dtype=float)
