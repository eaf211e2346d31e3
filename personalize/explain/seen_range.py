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


def seen_range(panel: Panel, reference: Panel | None = None) -> SeenRange:
    """Range of alliance ratings of patients who are about as strong as each patient.

    Patients of the reference are put into tenths by their mean rating (fewer where there are few patients); those
    without a rating are compared with everybody.

    Parameters
    ----------
    panel : Panel
        Patients to judge.
    reference : Panel, optional
        Patients to compare with; the panel itself by default. For a few new patients: the panel of the fit.
    """
    among = panel if reference is None else reference
    theirs, _ = patient_means(among, among.alliance)
    level, _ = patient_means(panel, panel.alliance)
    cuts = _cuts(theirs)
    tenth_of = np.searchsorted(cuts, theirs, side="right")
    known = np.isfinite(among.alliance)
    ratings, bins = among.alliance[known], tenth_of[among.patient_index[known]]
    lower, upper = np.full(panel.n_patients, np.nan), np.full(panel.n_patients, np.nan)
    has = np.isfinite(level)
    mine = np.searchsorted(cuts, level, side="right")
    for number in range(len(cuts) + 1):
        own = ratings[bins == number]
        if len(own):
            lower[has & (mine == number)], upper[has & (mine == number)] = np.quantile(own, EDGES)
    if len(ratings):
        lower[~has], upper[~has] = np.quantile(ratings, EDGES)
        level = np.where(has, level, np.nanmean(theirs))
    measure = panel.alliance_measure
    if measure is not None:
        lower = lower if measure.minimum is None else np.maximum(lower, measure.minimum)
        upper = upper if measure.maximum is None else np.minimum(upper, measure.maximum)
    return SeenRange(level, lower, upper)


def _cuts(level: Floats) -> Floats:
    """Where one tenth of the patients' levels ends and the next begins."""
    known = level[np.isfinite(level)]
    n_bins = int(np.clip(len(known) // 20, 1, BINS))
    return np.asarray(np.quantile(known, np.arange(1, n_bins) / n_bins)) if len(known) else np.zeros(0)
