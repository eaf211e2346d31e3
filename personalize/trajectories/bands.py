"""How wide a forecast is: quantiles of its errors in every situation, and a band for a whole path.

All of it is calibrated on patients that the point forecast has not seen, and each patient counts once in every node of
the grid: calibration by rows would let patients with many sessions stand for many patients. The errors are scaled by
what the situation lets expect (`scale`); the quantiles of the scaled errors are symmetric ones by landmark and horizon,
plus a shift by landmark and horizon (a forecast that is biased there) and a departure that depends on the forecast's
level (measures with a floor or a ceiling), each as far as held-out folds show that it helps. Use of folds: Vovk 2015,
Ann. Math. Artif. Intell. 74, 9-28; largest score over a path: Diquigiovanni, Fontana & Vantini 2022, J. Multivar.
Anal. 189, 104879 (arXiv:2106.01792).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from personalize.trajectories.grid import Grid, Placed
from personalize.trajectories.paths import path_factors
from personalize.trajectories.quantiles import neighbourhood, node_quantiles, patient_quantiles, patient_share
from personalize.trajectories.scale import Scale, fit_scale

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

ENOUGH = 400.0  # patients behind a node's quantiles
LEVELS = np.array([0.005, 0.01, 0.025, *np.round(np.arange(0.05, 0.951, 0.05), 3), 0.975, 0.99, 0.995])
HEIGHTS = 5  # forecast levels between which departures are interpolated
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
WORTH = 1.001  # a shift or departure must gain a thousandth, or it is not worth its noise
MOST_ROWS = 25_000  # behind the choice of the departure
SMALLEST = 1e-3  # an interval's half, in scales


@dataclass(frozen=True)
class Bands:
    """Calibrated distribution around a point forecast.

    Parameters
    ----------
    scale : Scale
    levels : array of shape (n_levels,)
        Probabilities of the tables' columns.
    table : array of shape (n_nodes, n_levels)
        Quantiles of the scaled errors by landmark and horizon, symmetric around a shift.
    heights : array of shape (n_heights,)
        Forecast levels, increasing.
    departure : array of shape (n_heights, n_levels)
        What the level adds to the quantiles.
    factor : array of shape (2,)
        Calibrates the interval below and above the forecast.
    path : array of shape (n_nodes,)
        How much wider than the interval the band of a path is, by landmark and furthest horizon.
    level : float
    """

    scale: Scale
    levels: Floats
    table: Floats
    heights: Floats
    departure: Floats
    factor: Floats
    path: Floats
    level: float

    def quantiles(self, probability: Floats, placed: Placed, mean: Floats) -> Floats:
        """Quantiles of the scaled error, shape (n_rows, n_probabilities), not decreasing along each row."""
        low, part = self._between(probability)
        table = self.table[:, low] * (1 - part) + self.table[:, low + 1] * part
        shift = self.departure[:, low] * (1 - part) + self.departure[:, low + 1] * part
        found = np.maximum.accumulate(placed.mix(table) + self._by_height(mean) @ shift, axis=1)
        return np.asarray(np.where(found < 0, self.factor[0], self.factor[1]) * found)

    def interval(self, placed: Placed, mean: Floats) -> tuple[Floats, Floats]:
        """Ends of the interval in scales, below and above zero, each of shape (n_rows,)."""
        ends = self.quantiles(np.array([(1 - self.level) / 2, (1 + self.level) / 2]), placed, mean)
        return np.minimum(ends[:, 0], -SMALLEST), np.maximum(ends[:, 1], SMALLEST)

    def path_factor(self, furthest: Placed) -> Floats:
        """How much wider the path's band is for rows whose landmark and furthest horizon lie there."""
        return furthest.mix(self.path)

    def _between(self, probability: Floats) -> tuple[Indices, Floats]:
        """Columns around each probability; in normal scores, and beyond the outermost columns in their direction."""
        normal = ndtri(self.levels)
        wanted = np.clip(ndtri(np.clip(probability, 1e-6, 1 - 1e-6)), -5.0, 5.0)
        low = np.clip(np.searchsorted(normal, wanted, side="right") - 1, 0, len(normal) - 2)
        return low, (wanted - normal[low]) / (normal[low + 1] - normal[low])

    def _by_height(self, mean: Floats) -> Floats:
        """Hat functions of the forecast's level, shape (n_rows, n_heights)."""
        place = np.interp(mean, self.heights, np.arange(len(self.heights)))
        return np.maximum(1.0 - np.abs(place[:, None] - np.arange(len(self.heights))), 0.0)


@dataclass(frozen=True)
class Errors:
    """Out-of-fold errors to calibrate on, each array of shape (n_rows,).

    Parameters
    ----------
    error : outcome minus forecast
    mean : forecast
    gap : horizon; NaN for the last session
    landmark, patient, fold : ints
    weight : weights of the rows
    placed : the rows on the grid
    """

    error: Floats
    mean: Floats
    gap: Floats
    landmark: Indices
    patient: Indices
    fold: Indices
    weight: Floats
    placed: Placed

    def take(self, rows: Indices | NDArray[np.bool_]) -> Errors:
        """Keep some rows."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS}, placed=self.placed.take(rows))


_ARRAYS = ("error", "mean", "gap", "landmark", "patient", "fold", "weight")


def fit_bands(errors: Errors, situation: Floats, grid: Grid, *, level: float) -> Bands:
    """Calibrate on out-of-fold errors.

    Parameters
    ----------
    errors : Errors
    situation : array of shape (n_rows, n_situation)
        What the scale may depend on; the first column is constant.
    grid : Grid
    level : float
        Probability of the interval and of the path's band.
    """
    scale = fit_scale(errors.error, situation, errors.gap, errors.weight)
    scaled = errors.error / scale.at(situation, errors.gap)
    levels = np.unique(np.round(np.append(LEVELS, [(1 - level) / 2, (1 + level) / 2]), 6))
    reach = neighbourhood(errors.placed, grid, errors.patient, ENOUGH)
    shift = _shift(scaled, errors, reach)
    half = node_quantiles(
        np.abs(scaled - errors.placed.mix(shift)),
        errors.patient,
        errors.placed,
        reach,
        np.abs(2 * levels - 1),
        errors.weight,
    )
    table = shift[:, None] + np.sign(levels - 0.5) * half
    heights = np.unique(np.quantile(errors.mean, (np.arange(HEIGHTS) + 0.5) / HEIGHTS))
    bands = Bands(
        scale,
        levels,
        table,
        heights,
        np.zeros((len(heights), len(levels))),
        np.ones(2),
        np.ones(grid.n_nodes),
        level,
    )
    bands = _with_departure(bands, errors, scaled)
    low, high = bands.interval(errors.placed, errors.mean)
    # one factor a side for all, so that departures do not cost coverage, and so that the scores that pile up at the
    # floor of a measure are not paid for on the other side
    factor = np.array([_side_factor(scaled / end, errors, level) for end in (low, high)])
    bands = replace(bands, factor=factor)
    score = path_score(scaled, *bands.interval(errors.placed, errors.mean))
    path = path_factors(
        score, errors.landmark, errors.gap, errors.patient, errors.placed, grid, errors.weight, level=level
    )
    return replace(bands, path=path)


def _side_factor(score: Floats, errors: Errors, level: float) -> float:
    """Factor that all but half of 1 - level of the scores stay under, patients counting once."""
    n = len(np.unique(errors.patient))
    # the rank that `patient_quantiles` moves outwards for the two sides together, shared between them
    side = (1 + min(level * (n + 1) / n, 1.0)) / 2 * n / (n + 1)
    order = np.argsort(score, kind="stable")
    found = patient_quantiles(score[order], errors.patient[order], errors.weight[order], np.array([side]))[0]
    return max(float(found), SMALLEST)


def path_score(scaled: Floats, low: Floats, high: Floats) -> Floats:
    """How far towards (1: onto) the end of its interval each scaled error lies, shape (n_rows,)."""
    return np.asarray(np.maximum(scaled / high, scaled / low))


def _shift(scaled: Floats, errors: Errors, reach: Floats) -> Floats:
    """Mean scaled error at each node, as far as it holds up on other patients, shape (n_nodes,)."""
    n_nodes, folds = len(reach), np.unique(errors.fold)
    mass = errors.placed.weight * errors.weight[:, None]
    key = (np.searchsorted(folds, errors.fold)[:, None] * n_nodes + errors.placed.node).ravel()
    shape = (len(folds), n_nodes)
    total = np.bincount(key, mass.ravel(), minlength=len(folds) * n_nodes).reshape(shape)
    sums = np.bincount(key, (mass * scaled[:, None]).ravel(), minlength=len(folds) * n_nodes).reshape(shape)
    losses = np.zeros(len(SHARES))
    for i, f in enumerate(folds):
        test = errors.fold == f
        there = errors.placed.take(test).mix(_smooth_mean(reach, sums.sum(0) - sums[i], total.sum(0) - total[i]))
        for j, share in enumerate(SHARES):
            losses[j] += errors.weight[test] @ np.abs(scaled[test] - share * there)
    losses[1:] *= WORTH
    return SHARES[int(losses.argmin())] * _smooth_mean(reach, sums.sum(0), total.sum(0))


def _smooth_mean(reach: Floats, sums: Floats, total: Floats) -> Floats:
    return np.asarray(reach @ sums / np.maximum(reach @ total, 1e-12))


def _with_departure(bands: Bands, errors: Errors, scaled: Floats) -> Bands:
    """Learn what the forecast's level adds to the quantiles, and how much of it holds up on other patients."""
    if len(bands.heights) < 2:
        return bands
    chosen = np.arange(len(scaled))[:: max(len(scaled) // MOST_ROWS, 1)]
    some, values = errors.take(chosen), scaled[chosen]
    mass = some.weight * patient_share(some.patient, np.ones(len(chosen)))
    hats, plain = bands._by_height(some.mean), some.placed.mix(bands.table)
    losses = np.zeros(len(SHARES))
    for f in np.unique(some.fold):
        train, test = some.fold != f, some.fold == f
        added = hats[test] @ _departure(bands, values[train], plain[train], hats[train], mass[train])
        for i, share in enumerate(SHARES):
            error = values[test][:, None] - np.sort(plain[test] + share * added, axis=1)
            losses[i] += mass[test] @ np.maximum(bands.levels * error, (bands.levels - 1) * error).mean(axis=1)
    losses[1:] *= WORTH
    share = SHARES[int(losses.argmin())]
    return replace(bands, departure=share * _departure(bands, values, plain, hats, mass))


def _departure(bands: Bands, scaled: Floats, plain: Floats, hats: Floats, mass: Floats) -> Floats:
    """Quantiles at each height minus the symmetric ones there, shape (n_heights, n_levels)."""
    order = np.argsort(scaled, kind="stable")
    out = np.zeros((hats.shape[1], len(bands.levels)))
    for i in range(hats.shape[1]):
        own = mass * hats[:, i]
        if own.sum() <= 0:
            continue
        cumulative = (np.cumsum(own[order]) - 0.5 * own[order]) / own.sum()
        out[i] = np.interp(bands.levels, cumulative, scaled[order]) - own @ plain / own.sum()
    return out
