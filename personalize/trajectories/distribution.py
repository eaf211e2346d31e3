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
from personalize.trajectories.paths import furthest_asked
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
    slack : float
        How near the end of the measure's range a quantile counts as the end itself (`floor_slack`).
    """

    stack: Stack
    bands: Bands
    center: float
    spread: float
    slack: float = 0.0

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
            mean, lower, upper, band_lower, band_upper (path up to the furthest target of the same landmark), then one
            column a quantile.
        """
        bands, placed, raw = self.bands, query.placed, self.mean(query)
        told = situation(query, self.stack.names, raw, self.center, self.spread)
        scale = bands.scale.at(told, query.targets.gap)
        low, high = bands.interval(placed, raw)
        furthest = furthest_asked(query.targets.landmark, query.targets.gap)
        wide = bands.path_factor(query.grid.place(query.seen, furthest))
        columns = {
            "mean": raw,
            "lower": raw + scale * low,
            "upper": raw + scale * high,
            "band_lower": raw + scale * low * wide,
            "band_upper": raw + scale * high * wide,
        }
        inner = raw[:, None] + scale[:, None] * bands.quantiles(probability, placed, raw)
        columns |= {quantile_name(p): inner[:, i] for i, p in enumerate(probability)}
        table = {name: self._held(values, limits) for name, values in columns.items() if name != "mean"}
        return pd.DataFrame({"mean": np.clip(raw, *limits), **table})

    def _held(self, values: Floats, limits: Limits) -> Floats:
        """Cut to the range; nearer to an end than the slack is the end."""
        low, high = limits
        return np.asarray(np.where(values < low + self.slack, low, np.where(values > high - self.slack, high, values)))


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


def floor_slack(panel: Panel) -> float:
    """Half the step between scores, where the measure has an end; 0 where there is none or scores are continuous.

    Scores pile up at the ends of a scale. An interval that ends a fraction of a step above the floor would miss all of
    them, though no score lies in between. The step is the median distance of values that make up at least a
    five-hundredth of the outcomes (and occur twice): a few imputed fractions do not count.
    """
    low, high = outcome_range(panel)
    values, counts = np.unique(panel.outcome[np.isfinite(panel.outcome)], return_counts=True)
    usual = values[counts >= max(2, counts.sum() / 500)]
    if len(usual) < 3 or not np.isfinite(low + high):
        return 0.0
    return float(min(np.median(np.diff(usual)), (high - low) / 2) / 2)


def outcome_range(panel: Panel) -> Limits:
    """Smallest and largest possible outcome; infinite where no measure says."""
    measure = panel.outcome_measure
    return (
        -np.inf if measure is None or measure.minimum is None else measure.minimum,
        np.inf if measure is None or measure.maximum is None else measure.maximum,
    )
