"""How much a statistic of a fitted effect depends on whose therapists were in the study: delete-a-group jackknife.

Everything is fitted again without one group of therapists (of patients, where there are fewer than ten) at a time:
average, own slopes, moderators, how the learners are weighed, and how far their prediction is trusted. A bootstrap of
the fitted model alone would hold all of that for known.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student
from sklearn.base import clone

from features.errors import NotEnoughData, NotFitted
from features.panel import Panel

Floats = NDArray[np.float64]

FEWEST_CLUSTERS = 10  # below this, groups are drawn over patients
FEWEST_REFITS = 5
DRAWS = 2000


def refitted(effect: Any, panel: Panel, *, groups: int = 10, random_state: int = 0) -> list[Any]:
    """Fit an ``AllianceEffect`` again without each group of therapists in turn.

    Parameters
    ----------
    effect : AllianceEffect
        Fitted to ``panel``; its options are used.
    panel : Panel
    groups : int
        Groups of therapists (of patients, where there are fewer than ten therapists), of about equal size.
    random_state : int

    Returns
    -------
    list of AllianceEffect
        Refits that estimated moderators; a group without which too few patients are left is missing.
    """
    rng = np.random.default_rng([random_state, 4])
    names, cluster = np.unique(panel.clusters, return_inverse=True)
    if len(names) < FEWEST_CLUSTERS:
        names, cluster = np.arange(panel.n_patients), np.arange(panel.n_patients)
    of = np.empty(len(names), dtype=np.intp)
    # in order of size, dealt out in rounds, so that no group holds all the large caseloads
    order = rng.permutation(len(names))
    order = order[np.argsort(-np.bincount(cluster)[order], kind="stable")]
    of[order] = np.arange(len(names)) % groups
    out = []
    for k in range(min(groups, len(names))):
        try:
            again = clone(effect).fit(panel.subset(of[cluster] != k))
        except NotEnoughData as reason:
            logging.getLogger(__name__).info("refit without group %d left out: %s", k, reason)
            continue
        if again.moderators_ is not None:
            out.append(again)
    return out


@dataclass(frozen=True)
class Spread:
    """Statistics of the refits, around what was estimated from everybody.

    Attributes
    ----------
    estimate : array of shape (n,)
    without : array of shape (n_refits, n)
    """

    estimate: Floats
    without: Floats

    @property
    def enough(self) -> bool:
        """Whether there are enough refits for an interval."""
        return len(self.without) >= FEWEST_REFITS

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """Estimate ± t(G − 1) · se, ``se² = (G − 1) / G · Σ (θ_g − θ̄)²``; NaN with fewer than five refits.

        Source: Kott 2001, J. Off. Stat. 17, 521-526 (delete-a-group jackknife).
        """
        if not self.enough:
            nothing = np.full(len(self.estimate), np.nan)
            return nothing, nothing
        half = student.ppf(0.5 + level / 2, len(self.without) - 1) * np.sqrt((self._scaled() ** 2).sum(axis=0))
        return self.estimate - half, self.estimate + half

    def ranks(self, level: float, *, seed: int) -> tuple[Floats, Floats]:
        """Range of each statistic's rank (1 is the largest) over draws with the jackknife's covariance."""
        if not self.enough:
            nothing = np.full(len(self.estimate), np.nan)
            return nothing, nothing
        scaled = self._scaled()
        drawn = self.estimate + np.random.default_rng([seed, 5]).standard_normal((DRAWS, len(scaled))) @ scaled
        rank = 1 + np.argsort(np.argsort(-drawn, axis=1, kind="stable"), axis=1)
        low, high = np.quantile(rank, [0.5 - level / 2, 0.5 + level / 2], axis=0, method="nearest")
        return np.asarray(low, dtype=float), np.asarray(high, dtype=float)

    def _scaled(self) -> Floats:
        """Rows whose cross-product is the jackknife covariance, shape (n_refits, n)."""
        g = len(self.without)
        return np.asarray(np.sqrt((g - 1) / g) * (self.without - self.without.mean(axis=0)))


def contribution_sizes(effect: Any, table: pd.DataFrame, moderators: list[str]) -> Floats:
    """Mean size of each intake column's contribution to the effect, shape (n_moderators,); 0 where it has none.

    Raises
    ------
    NotFitted
        Where the effect has no moderators.
    """
    if effect.moderators_ is None:
        raise NotFitted("contribution_sizes: this effect has no moderators.")
    found = effect.moderator_contributions(table).abs().mean()
    return np.asarray(found.reindex(moderators).fillna(0.0), dtype=float)
