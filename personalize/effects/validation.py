"""Does the ranking by baseline hold on patients who did not make it? Orthogonal scores, BLP, GATES, TOC, AUTOC, Qini.

Score of patient i, with τ̂_i from folds that did not hold the patient's therapist:

    Γ_i = τ̂_i + S_i (b_i − τ̂_i) / E[S | x_i]

S_i is how much that patient's sessions tell: how much the alliance moved, over the noise. Γ_i is an unbiased, noisy
measure of β_i whatever τ̂ is, provided that β_i does not go with S_i given x. Best linear predictor and sorted groups:
Chernozhukov, Demirer, Duflo & Fernández-Val (2018, arXiv:1712.04802); TOC, AUTOC and Qini: Yadlowsky et al. (2025, J.
Am. Stat. Assoc. 120, 38).

Ranking: learners shrink the less the better the patients they saw agree, and these agree best where a fold that
contradicts them is left out. Predictions for that very fold then spread most, its patients fill the first and the last
fifth, and a ranking of noise looks anti-predictive. Patients are therefore ranked by predictions of the same spread in
every fold (`comparable`).

Intervals: a bootstrap that takes the ranking as given has the right width where intake predicts the effect. Where it
predicts nothing, τ̂_i is a weighted sum of other patients' scores, Σ τ̂_i Γ_i a quadratic form Σ K_ij Γ_i Γ_j in which
every pair counts twice, and its variance is twice what that bootstrap sees (a degenerate U-statistic; cf. Wager 2024,
arXiv:2405.05534). The variance is therefore taken times 1 + min(1, `DOUBT` / z²), z the ratio of "first minus last
fifth" to its SE with the ranking given (`unseen`): doubled where the ranking shows nothing, hardly changed where it
shows much.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalize.effects.moderators import fit_ridge
from personalize.effects.transitions import Floats, Ints

BOOTSTRAPS = 500
TOC_AT = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
GROUPS = 5
DOUBT = 6.0  # makes 90 % intervals reject in .10 under a doubled variance; docs/effects.md has what was measured


def orthogonal_scores(b: Floats, spread: Floats, tau: Floats, x: Floats, fold: Ints) -> Floats:
    """Γ_i for patients with an own slope; E[S | x] by ridge on log S, cross-fitted over the same folds.

    Parameters
    ----------
    b, spread, tau : array of shape (n,)
        Own slopes, the inverse of their sampling variances, cross-fitted effects (not centred).
    x : array of shape (n, p)
    fold : int array of shape (n,)
    """
    expected = np.empty(len(b))
    log = np.log(np.maximum(spread, 1e-12 * spread.max()))
    for k in range(int(fold.max()) + 1):
        train = fold != k
        ridge = fit_ridge(x[train], log[train], np.full(train.sum(), 1.0 / max(log[train].var(), 1e-12)))
        level = spread[train].mean() / np.exp(ridge.predict(x[train])).mean()
        expected[~train] = level * np.exp(ridge.predict(x[~train]))
    return np.asarray(tau + spread * (b - tau) / expected)


def comparable(tau: Floats, fold: Ints) -> Floats:
    """Cross-fitted effects, centred over all patients, over their SD in the patient's fold; shape (n,)."""
    count = np.bincount(fold)
    away = tau - (np.bincount(fold, tau) / np.maximum(count, 1))[fold]
    spread = np.sqrt(np.bincount(fold, away**2) / np.maximum(count, 1))[fold]
    flat = spread < 1e-9 * max(float(np.abs(tau).max(initial=0.0)), 1e-300)  # nothing was predicted for this fold
    return np.asarray(np.where(flat, 0.0, (tau - tau.mean()) / np.where(flat, 1.0, spread)))


def fifths(priority: Floats) -> Ints:
    """Fifth of each patient, 0 for those who come first; ties in the order of the patients; shape (n,)."""
    rank = np.empty(len(priority), dtype=np.intp)
    rank[np.argsort(-priority, kind="stable")] = np.arange(len(priority))
    return np.minimum(rank * GROUPS // len(priority), GROUPS - 1)


def unseen(scores: Floats, fifth: Ints, group: Ints) -> float:
    """Variance of a cross-fitted ranking's statistics that resampling patients does not see, in parts of what it sees.

    Parameters
    ----------
    scores : array of shape (n,)
    fifth : int array of shape (n,)
        Of `fifths`.
    group : int array of shape (n,)
        Resampling unit, from 0.

    Returns
    -------
    float
        min(1, `DOUBT` / z²), z of the mean score of the first less that of the last fifth.
    """
    counts = np.bincount(fifth, minlength=GROUPS)
    means = np.bincount(fifth, scores, GROUPS) / np.maximum(counts, 1)
    side = np.select([fifth == 0, fifth == GROUPS - 1], [1.0 / max(counts[0], 1), -1.0 / max(counts[-1], 1)], 0.0)
    total = np.bincount(group, side * (scores - means[fifth]))
    variance = float((total**2).sum()) * len(total) / max(len(total) - 1, 1)
    return min(1.0, DOUBT * variance / max(float(means[0] - means[-1]) ** 2, 1e-300))


def validation_table(
    scores: Floats,
    tau: Floats,
    cluster: NDArray[np.intp],
    *,
    fold: Ints,
    benefit_sign: float,
    level: float,
    seed: int,
) -> pd.DataFrame:
    """BLP slope, GATES, TOC, AUTOC and Qini with therapist (or patient) bootstrap intervals.

    Parameters
    ----------
    scores, tau : array of shape (n,)
        Orthogonal scores and cross-fitted effects.
    cluster, fold : int array of shape (n,)
    benefit_sign : float
        −1 where a lower outcome is better: benefit = sign · effect. TOC, AUTOC and Qini are in benefit, GATES in
        effect.
    level : float
        Of the intervals.
    seed : int

    Returns
    -------
    DataFrame with columns statistic, group, estimate, lower, upper, n
    """
    rng = np.random.default_rng(seed)
    names, group = np.unique(cluster, return_inverse=True)
    if len(names) < 10:
        names, group = np.arange(len(scores)), np.arange(len(scores))
    priority = benefit_sign * comparable(tau, fold)
    order = np.argsort(-priority, kind="stable")
    fifth = fifths(priority)
    point = _statistics(scores, tau, order, fifth, np.ones(len(tau)), benefit_sign)
    draws = np.array(
        [
            _statistics(
                scores,
                tau,
                order,
                fifth,
                np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))[group].astype(float),
                benefit_sign,
            )
            for _ in range(BOOTSTRAPS)
        ]
    )
    tail = (1 - level) / 2
    lower, upper = np.full(len(point), np.nan), np.full(len(point), np.nan)
    told = np.isfinite(draws).any(axis=0)  # no slope, say, where nothing was predicted
    lower[told] = np.nanquantile(draws[:, told], tail, axis=0)
    upper[told] = np.nanquantile(draws[:, told], 1 - tail, axis=0)
    widening = np.full(len(point), np.sqrt(1.0 + unseen(scores, fifth, group)))
    widening[1] = 1.0  # the average does not depend on the ranking
    lower, upper = point - widening * (point - lower), point + widening * (upper - point)
    sizes = np.bincount(fifth, minlength=GROUPS)
    labels = (
        [("blp_slope", "", len(tau)), ("average", "", len(tau))]
        + [("gates", f"fifth {k + 1} of {GROUPS} by predicted benefit", int(sizes[k])) for k in range(GROUPS)]
        + [("gates_difference", "first minus last fifth", int(sizes[0] + sizes[-1]))]
        + [("toc", f"top {q:.0%}", int(np.ceil(q * len(tau)))) for q in TOC_AT]
        + [("autoc", "", len(tau)), ("qini", "", len(tau))]
    )
    return pd.DataFrame(
        {
            "statistic": [a for a, _, _ in labels],
            "group": [g for _, g, _ in labels],
            "estimate": point,
            "lower": lower,
            "upper": upper,
            "n": [n for _, _, n in labels],
        }
    )


def _statistics(scores: Floats, tau: Floats, order: Ints, fifth: Ints, weight: Floats, sign: float) -> Floats:
    total = weight.sum()
    mean = weight @ scores / total
    away = tau - weight @ tau / total
    spread = weight @ away**2
    slope = weight @ (away * (scores - mean)) / spread if spread > 1e-12 * total else np.nan
    counts = np.bincount(fifth, weight, GROUPS)
    with np.errstate(divide="ignore", invalid="ignore"):
        gates = np.bincount(fifth, weight * scores, GROUPS) / counts
    sorted_weight = weight[order]
    share = np.cumsum(sorted_weight) / total
    gain = np.cumsum(sorted_weight * sign * (scores[order] - mean)) / total  # q · TOC(q)
    toc_all = gain / np.maximum(share, 1e-12)
    toc = np.interp(TOC_AT, share, toc_all)
    autoc = sorted_weight @ toc_all / total
    qini = sorted_weight @ gain / total
    return np.concatenate([[slope, mean], gates, [gates[0] - gates[-1]], toc, [autoc, qini]])
