"""Which alliances were seen in patients at about the same level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.alliance import patient_means
from features.panel import Panel

Floats = NDArray[np.float64]

BINS = 10
EDGES = (0.01, 0.99)


@dataclass(frozen=True)
class SeenRange:
    """Range of ratings around each patient's level.

    Attributes
    ----------
    level : array of shape (n_patients,)
        Mean rating of the patient; the mean over patients where there is none.
    lower, upper : array of shape (n_patients,)
        1st and 99th percentile of the ratings of patients in the same tenth of levels, and never beyond the measure.
    """

    level: Floats
    lower: Floats
    upper: Floats

    def outside(self, shift: Floats | float) -> NDArray[np.bool_]:
        """Whether the level, moved by ``shift`` alliance points, leaves the range; shape (n_patients,)."""
        moved = self.level + shift
        return np.asarray((moved > self.upper) | (moved < self.lower))


def seen_range(panel: Panel) -> SeenRange:
    """Range of alliance ratings of patients who are about as strong as each patient.

    Patients are put into tenths by their mean rating (fewer where there are few patients); those without a rating are
    compared with everybody.
    """
    rating, who = panel.alliance, panel.patient_index
    known = np.isfinite(rating)
    level, _ = patient_means(panel, rating)
    has = np.isfinite(level)
    n_bins = int(np.clip(has.sum() // 20, 1, BINS))
    cuts = np.quantile(level[has], np.arange(1, n_bins) / n_bins) if has.any() else np.zeros(0)
    tenth = np.searchsorted(cuts, np.where(has, level, 0.0), side="right")
    lower, upper = np.full(panel.n_patients, np.nan), np.full(panel.n_patients, np.nan)
    for number in range(n_bins):
        rows = known & has[who] & (tenth[who] == number)
        if rows.any():
            mine = has & (tenth == number)
            lower[mine], upper[mine] = np.quantile(rating[rows], EDGES)
    if known.any():
        lower[~has], upper[~has] = np.quantile(rating[known], EDGES)
        level = np.where(has, level, level[has].mean())
    measure = panel.alliance_measure
    if measure is not None:
        lower = lower if measure.minimum is None else np.maximum(lower, measure.minimum)
        upper = upper if measure.maximum is None else np.minimum(upper, measure.maximum)
    return SeenRange(level, lower, upper)
