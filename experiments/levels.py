"""Each patient's level of alliance and outcome at the start of treatment, free of how time and intake change it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.dynamics import PanelDynamics
from experiments.mean_errors import PairCounts, pair_counts
from features.errors import NotEnoughData
from personalize.effects.transitions import Floats, Ints

FEWEST_RATINGS = 3
FEWEST_PATIENTS = 60
MOST_GROUPS = 200
FEWEST_CLUSTERS = 10


@dataclass(frozen=True)
class Levels:
    """What the level equations are made of; n patients with at least three ratings of each kind.

    Attributes
    ----------
    who : int array of shape (n,)
        Rows in the panel.
    x : array of shape (n, p)
        Encoded intake.
    mean : array of shape (2, n)
        Mean observed outcome and alliance.
    basis : array of shape (2, n, q)
        Mean of the time basis over the sessions of that mean.
    gram, right : arrays of shape (2, n_groups, q, q), (2, n_groups, q)
        Within-patient cross products of the time basis, and of it with the ratings, summed in groups.
    counts : PairCounts
        Of these patients.
    group : int array of shape (n,)
        Resampling unit: therapist, or a random group of therapists or patients where there are very many or few.
    clusters : int array of shape (n,)
        Therapist.
    """

    who: Ints
    x: Floats
    mean: Floats
    basis: Floats
    gram: Floats
    right: Floats
    counts: PairCounts
    group: Ints
    clusters: Ints

    def adjusted(self, weight: Floats) -> Floats:
        """Levels at the first session with time × intake taken out, groups weighted; shape (2, n)."""
        out = np.empty_like(self.mean)
        for k in range(2):
            gram = np.tensordot(weight, self.gram[k], 1)
            scale = np.diag(gram).copy()
            scale[scale <= 0] = 1.0
            trend = np.linalg.solve(gram + np.diag(1e-8 * scale), weight @ self.right[k])
            out[k] = self.mean[k] - self.basis[k] @ trend
        return out


def patient_levels(found: PanelDynamics, seed: int) -> Levels:
    """Prepare the levels of a panel's patients.

    The time basis (an indicator a session that enough patients reach, log session × intake) is zero at a patient's
    first session and learned within patients, so treatment length and who stays do not enter the levels.

    Raises
    ------
    NotEnoughData
        With fewer than 60 patients who have three ratings of both.
    """
    grid, panel = found.grid, found.panel
    known = [np.isfinite(grid.outcome), np.isfinite(grid.alliance)]
    enough = (known[0].sum(axis=1) >= FEWEST_RATINGS) & (known[1].sum(axis=1) >= FEWEST_RATINGS)
    who = np.flatnonzero(enough)
    if len(who) < FEWEST_PATIENTS:
        raise NotEnoughData(
            f"{panel.names['sessions']}: {len(who)} patients have {FEWEST_RATINGS} ratings of both "
            f"{panel.columns.alliance!r} and {panel.columns.outcome!r}; differences between patients need at least "
            f"{FEWEST_PATIENTS}."
        )
    x = found.x[who]
    group = resampling_groups(found.clusters[who], seed)
    reached = _reached(grid.outcome[who], grid.alliance[who])
    parts = [_time_parts(values[who], x, group, reached) for values in (grid.outcome, grid.alliance)]
    mean, basis, gram, right = (np.stack([part[k] for part in parts]) for k in range(4))
    whole = pair_counts(grid, panel.timing)
    counts = PairCounts(whole.weights[:, who], whole.single[:, who])
    return Levels(who, x, mean, basis, gram, right, counts, group, found.clusters[who])


def resampling_groups(clusters: Ints, seed: int) -> Ints:
    """Therapists as resampling units; patients where there are fewer than ten; at most 200 groups."""
    names, group = np.unique(clusters, return_inverse=True)
    if len(names) < FEWEST_CLUSTERS:
        names, group = np.arange(len(clusters)), np.arange(len(clusters))
    if len(names) <= MOST_GROUPS:
        return np.asarray(group)
    merged = np.random.default_rng(seed).permutation(np.arange(len(names)) % MOST_GROUPS)
    return np.asarray(merged[group])


def _reached(*scores: Floats) -> Ints:
    """Sessions after the first with enough ratings of every score for an indicator of their own."""
    enough = [known.sum(axis=0) >= max(20, 0.02 * known.sum()) for known in map(np.isfinite, scores)]
    return np.flatnonzero(np.all(enough, axis=0)[1:]) + 1


def _time_parts(values: Floats, x: Floats, group: Ints, reached: Ints) -> tuple[Floats, Floats, Floats, Floats]:
    who, at = np.nonzero(np.isfinite(values))
    n = len(values)
    log = np.log1p(at)[:, None]
    basis = np.hstack([(at[:, None] == reached).astype(float), log, log * x[who]])
    count = np.bincount(who, minlength=n).astype(float)
    starts = np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.intp)
    basis_mean = np.add.reduceat(basis, starts, axis=0) / count[:, None]
    response = values[who, at]
    mean = np.bincount(who, response, n) / count
    moved, away = basis - basis_mean[who], response - mean[who]
    n_groups = int(group.max()) + 1
    gram, right = np.zeros((n_groups, basis.shape[1], basis.shape[1])), np.zeros((n_groups, basis.shape[1]))
    of = group[who]
    order = np.argsort(of, kind="stable")
    cuts = np.searchsorted(of[order], np.arange(n_groups + 1))
    for g in range(n_groups):
        rows = order[cuts[g] : cuts[g + 1]]
        gram[g], right[g] = moved[rows].T @ moved[rows], moved[rows].T @ away[rows]
    return mean, basis_mean, gram, right
