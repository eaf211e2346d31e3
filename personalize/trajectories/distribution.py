"""From weighted forecasts to what is reported: mean, interval, path band and quantiles inside the measure's range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import OptionError, listed
from features.panel import Panel
from personalize.trajectories.bands import Bands
from personalize.trajectories.query import Query
from personalize.trajectories.situation import situation
from personalize.trajectories.stack import Stack

Floats = NDArray[np.float64]
Limits = tuple[float, float]

QUANTILES = tuple(round(0.05 * i, 2) for i in range(1, 20))


@dataclass(frozen=True)
class Calibration:
    """Weights of some members and the distribution around their weighted forecast.

    Parameters
    ----------
    stack : Stack
    bands : Bands
    center, spread : float
        Mean and SD of the outcome in training.
    """

    stack: Stack
    bands: Bands
    center: float
    spread: float

    def mean(self, query: Query) -> Floats:
        """Weighted forecast of the targets, before it is held inside the measure's range."""
        return self.stack.combine(np.stack([query.forecasts[name] for name in self.stack.names]), query.placed)

    def distribution(self, query: Query, probability: Floats, limits: Limits) -> pd.DataFrame:
        """Report the targets.

        Parameters
        ----------
        query : Query
            With the members' forecasts.
        probability : array of shape (n_probabilities,)
            Of the quantiles, increasing.
        limits : (float, float)
            Range of the outcome.

        Returns
        -------
        DataFrame
            mean, lower, upper, band_lower, band_upper, then one column a quantile.
        """
        bands, placed, raw = self.bands, query.placed, self.mean(query)
        told = situation(query, self.stack.names, raw, self.center, self.spread)
        scale = bands.scale.at(told, query.targets.gap)
        low, high = bands.interval(placed, raw)
        wide = bands.path_factor(query.grid, query.seen)
        columns = {
            "mean": raw,
            "lower": raw + scale * low,
            "upper": raw + scale * high,
            "band_lower": raw + scale * low * wide,
            "band_upper": raw + scale * high * wide,
        }
        inner = raw[:, None] + scale[:, None] * bands.quantiles(probability, placed, raw)
        columns |= {quantile_name(p): inner[:, i] for i, p in enumerate(probability)}
        return pd.DataFrame({name: np.clip(values, *limits) for name, values in columns.items()})


def quantile_name(probability: float) -> str:
    """Column of a quantile: ``q0.05``.

    Examples
    --------
    >>> quantile_name(0.1), quantile_name(0.025)
    ('q0.10', 'q0.025')
    """
    text = f"{probability:.10f}".rstrip("0")
    return "q" + text + "0" * max(0, 4 - len(text))


def probabilities(quantiles: Sequence[float]) -> Floats:
    """Check wanted quantiles: between 0 and 1, increasing."""
    given = np.asarray(list(quantiles), dtype=float)
    outside = given[~((given > 0) & (given < 1))]
    if len(outside):
        raise OptionError(f"quantiles: probabilities between 0 and 1 are needed; {listed(outside)} came.")
    if (np.diff(given) <= 0).any():
        raise OptionError("quantiles: probabilities must increase, without repeats.")
    return given


def outcome_range(panel: Panel) -> Limits:
    """Smallest and largest possible outcome; infinite where no measure says."""
    measure = panel.outcome_measure
    return (
        -np.inf if measure is None or measure.minimum is None else measure.minimum,
        np.inf if measure is None or measure.maximum is None else measure.maximum,
    )
