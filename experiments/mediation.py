# ruff: noqa: E501
"""Paths from intake through trait alliance to the outcome's level, errors of the measured trait taken out.

    m = a0 + a·x + u          trait alliance
    L = c0 + c·x + b·m + w    level of the outcome

Observed are means of a few sessions, m̄ and L̄, with known error (co)variances (`mean_errors`). With û and l̂ the
residuals of m̄ and L̄ on x, b = (Σ û·l̂ − Σ e_mL) / (Σ û² − Σ e_mm): the corrected score of a regression with a covariate
measured with error (Fuller 1987, Measurement Error Models, section 3.1). a·b is the indirect effect, c the direct one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import lightgbm as lgb
import numpy as np

from experiments.dynamics import PanelDynamics
from experiments.levels import Levels, patient_levels
from experiments.mean_errors import autocovariance, mean_errors
from features.errors import NotEnoughData
from personalize.effects.adjusted import Errors
from personalize.effects.average import combine_dynamics
from personalize.effects.moderators import draw_folds, fit_ridge
from personalize.effects.own_slopes import moment_heterogeneity, own_slopes
from personalize.effects.transitions import Floats, Ints

LOWEST_RELIABILITY = 0.2
TREES = 60


@dataclass(frozen=True)
class Paths:
    """Paths of one sample.

    Attributes
    ----------
    trait : array of shape (p,)
        a, alliance points per unit of x.
    outcome : float
        b, outcome points per point of trait alliance.
    direct : array of shape (p,)
        c.
    residual_correlation : float
        Correlation of u and of what x leaves of L, both free of error.
    reliability : float
        Share of û that is trait.
    within_therapists : float
        b from differences between patients of the same therapist.
    """

    trait: Floats
    outcome: float
    direct: Floats
    residual_correlation: float
    reliability: float
    within_therapists: float

    @property
    def indirect(self) -> Floats:
        """a·b, shape (p,)."""
        return self.trait * self.outcome


@dataclass(frozen=True)
class Mediation:
    """Estimated paths and their bootstrap.

    Attributes
    ----------
    linear, learned : Paths
        By regression, and with cross-fitted machine learning in the place of linear adjustment.
    linear_draws, learned_draws : tuple of Paths
    levels : Levels
    residuals : array of shape (2, n)
        û and l̂ of the linear equations.
    scale : float
        Σ û² − Σ e_mm.
    """

    linear: Paths
    learned: Paths
    linear_draws: tuple[Paths, ...]
    learned_draws: tuple[Paths, ...]
    levels: Levels
    residuals: Floats
    scale: float


def mediate(
    found: PanelDynamics, errors: Errors, *, n_bootstrap: int, seed: int, targets: Ints | None = None
) -> Mediation:
    """Estimate all paths; bootstrap therapists.

    Every bootstrap sample learns the time trends, the levels and the paths anew, and moves the two equations that the
    error variances come from by the influence of the therapists drawn. The learned version keeps its nuisance
    functions, whose error is of second order in large samples (Chernozhukov et al. 2018, Econometrics Journal 21,
    C1-C68); in a few hundred patients that alone gave intervals a fifth too short, so each draw is moved by what learning
    anew did to the linear version of it.

    Parameters
    ----------
    found : PanelDynamics
    errors : Errors
    n_bootstrap, seed : int
    targets : int array, optional
        Columns of x whose paths the learned version estimates (the others stay zero); all by default.
    """
    rng = np.random.default_rng(seed)
    levels = patient_levels(found, seed)
    n_groups = int(levels.group.max()) + 1
    table = _ErrorTable(found, levels, errors)
    ones = np.ones(n_groups)
    both = levels.adjusted(ones)
    linear, residuals, scale = linear_paths(levels, both, table.at(found.theta), np.ones(len(levels.who)))
    chosen = np.arange(levels.x.shape[1]) if targets is None else targets
    scores, plain = learn_scores(levels, both, seed, chosen), linear_scores(levels, both, residuals, chosen)
    learned = scores.paths(np.ones(len(levels.who)), table.at(found.theta))
    draws: tuple[list[Paths], list[Paths]] = ([], [])
    to_group = _cluster_groups(found, levels)
    for _ in range(n_bootstrap):
        weight = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups)).astype(float)
        moved = found.theta + (weight[to_group] - 1.0) @ found.influence
        try:
            error = table.at(moved)
            own = weight[levels.group]
            one, _, _ = linear_paths(levels, levels.adjusted(weight), error, own)
            draws[0].append(one)
            draws[1].append(_relearned(scores.paths(own, error), one, plain.paths(own, error), chosen))
        except (NotEnoughData, np.linalg.LinAlgError):
            continue  # a resample without enough therapists of a kind; the share is checked below
    if len(draws[0]) < 0.8 * n_bootstrap:
        raise NotEnoughData(
            f"only {len(draws[0])} of {n_bootstrap} resamples of therapists allow an estimate: there are too few therapists "
            f"({n_groups}) for this many intake columns ({levels.x.shape[1]})."
        )
    return Mediation(linear, learned, tuple(draws[0]), tuple(draws[1]), levels, residuals, scale)


def linear_paths(levels: Levels, both: Floats, error: Floats, weight: Floats) -> tuple[Paths, Floats, float]:
    """Paths by least squares with corrected scores; also û, l̂ and Σ û² − Σ e_mm."""
    n = weight.sum()
    design = np.column_stack([np.ones(len(weight)), levels.x])
    gram = design.T @ (design * weight[:, None])
    solved = np.linalg.lstsq(gram, design.T @ (both.T * weight[:, None]), rcond=1e-10)[0]
    residuals = both - (design @ solved).T
    shrink = 1.0 - design.shape[1] / n
    b, scale, reliability, correlation = _outcome_path(residuals, error * shrink, weight)
    within = _within_path(levels.clusters, residuals, error * shrink, weight)
    trait = solved[1:, 1]
    return Paths(trait, b, solved[1:, 0] - b * trait, correlation, reliability, within), residuals, scale


def _outcome_path(residuals: Floats, error: Floats, weight: Floats) -> tuple[float, float, float, float]:
    cross = (residuals[1] * residuals[0]) @ weight - error[1] @ weight
    raw = residuals[1] ** 2 @ weight
    scale = raw - error[2] @ weight
    reliability = float(scale / raw)
    if reliability < LOWEST_RELIABILITY:
        raise NotEnoughData(
            f"only {max(reliability, 0):.0%} of the differences between patients' mean alliances are trait, the rest is "
            "what few sessions leave of the states: mediation by trait cannot be told. More sessions a patient are needed."
        )
    own = residuals[0] ** 2 @ weight - error[0] @ weight
    correlation = float(np.clip(cross / np.sqrt(scale * own), -1, 1)) if own > 0 else np.nan
    return float(cross / scale), float(scale), reliability, correlation


def _within_path(clusters: Ints, residuals: Floats, error: Floats, weight: Floats) -> float:
    """B from deviations from the therapist's mean; NaN where nobody shares a therapist."""
    _, of = np.unique(clusters, return_inverse=True)
    total = np.bincount(of, weight)
    safe = np.maximum(total, 1e-12)
    away = residuals - np.array([np.bincount(of, weight * r) / safe for r in residuals])[:, of]
    keep = weight * (1.0 - 1.0 / np.maximum(total, 1.0))[of]
    scale = away[1] ** 2 @ weight - error[2] @ keep
    return float(((away[1] * away[0]) @ weight - error[1] @ keep) / scale) if scale > 0 else np.nan


class _ErrorTable:
    """Error (co)variances of the patients' means as a function of the two equations."""

    def __init__(self, found: PanelDynamics, levels: Levels, errors: Errors) -> None:
        dynamics = combine_dynamics(found.average)
        self.noise, self.alliance_noise = dynamics.noise, dynamics.alliance_noise
        slopes = own_slopes(found.average.kept.moments, dynamics, errors, corrected=found.average.corrected)
        self.effect_sd = float(np.sqrt(moment_heterogeneity(slopes)))
        self.counts, self.errors = levels.counts, errors
        self.n_lags = (levels.counts.weights.shape[2] - 1) // 2

    def at(self, theta: Floats) -> Floats:
        """Shape (3, n); the mean over patients whose effects lie one SD above and below the average."""
        away = np.array([0.0, self.effect_sd, 0.0, 0.0, 0.0])
        gammas = [autocovariance(theta + sign * away, self.noise, self.alliance_noise, self.n_lags) for sign in (-1, 1)]
        return mean_errors(self.counts, (gammas[0] + gammas[1]) / 2, self.errors)


def _cluster_groups(found: PanelDynamics, levels: Levels) -> Ints:
    """Resampling group of each cluster; of a group of patients the cluster's first."""
    out = np.zeros(len(found.influence), dtype=np.intp)
    out[levels.clusters[::-1]] = levels.group[::-1]
    return out


@dataclass(frozen=True)
class LearnedScores:
    """Cross-fitted residuals: of both levels given all of x, and of each target and m given the other columns.

    Attributes
    ----------
    residuals : array of shape (2, n)
    predictor, trait : arrays of shape (n_targets, n)
    targets : int array of shape (n_targets,)
    total : array of shape (n_targets, n)
        Of L given the other columns.
    p : int
        Columns of x.
    """

    residuals: Floats
    predictor: Floats
    trait: Floats
    total: Floats
    targets: Ints
    p: int

    def paths(self, weight: Floats, error: Floats) -> Paths:
        """Partially linear paths: a by residual on residual, b likewise with the errors of the means taken out."""
        b, _, reliability, correlation = _outcome_path(self.residuals, error, weight)
        spread = np.maximum(self.predictor**2 @ weight, 1e-12)
        trait, direct = np.zeros(self.p), np.zeros(self.p)
        trait[self.targets] = (self.predictor * self.trait) @ weight / spread
        direct[self.targets] = (self.predictor * self.total) @ weight / spread - b * trait[self.targets]
        return Paths(trait, b, direct, correlation, reliability, np.nan)


def learn_scores(levels: Levels, both: Floats, seed: int, targets: Ints) -> LearnedScores:
    """Cross-fit ridge plus shallow LightGBM trees over folds of therapists."""
    fold = draw_folds(levels.clusters, np.random.default_rng(seed))
    x = levels.x
    residuals = np.array([values - cross_fit(x, values, fold, seed) for values in both])
    predictor, trait, total = (np.empty((len(targets), len(x))) for _ in range(3))
    for k, column in enumerate(targets):
        others = np.delete(x, column, axis=1)
        predictor[k] = x[:, column] - cross_fit(others, x[:, column], fold, seed)
        total[k], trait[k] = (values - cross_fit(others, values, fold, seed) for values in both)
    return LearnedScores(residuals, predictor, trait, total, targets, x.shape[1])


def linear_scores(levels: Levels, both: Floats, residuals: Floats, targets: Ints) -> LearnedScores:
    """The same residuals by least squares on all patients: the linear version with its coefficients held fixed."""
    n, p = levels.x.shape
    predictor, trait, total = (np.empty((len(targets), n)) for _ in range(3))
    for k, column in enumerate(targets):
        others = np.column_stack([np.ones(n), np.delete(levels.x, column, axis=1)])
        raw = np.column_stack([levels.x[:, column], both[1], both[0]])
        predictor[k], trait[k], total[k] = (raw - others @ np.linalg.lstsq(others, raw, rcond=1e-10)[0]).T
    return LearnedScores(residuals, predictor, trait, total, targets, p)


def _relearned(learned: Paths, anew: Paths, fixed: Paths, targets: Ints) -> Paths:
    """A draw of the learned version, moved by the difference of the linear draw learned anew and with fixed coefficients."""
    trait, direct = learned.trait.copy(), learned.direct.copy()
    trait[targets] += anew.trait[targets] - fixed.trait[targets]
    direct[targets] += anew.direct[targets] - fixed.direct[targets]
    outcome = learned.outcome + anew.outcome - fixed.outcome
    correlation = learned.residual_correlation + anew.residual_correlation - fixed.residual_correlation
    return replace(learned, trait=trait, direct=direct, outcome=outcome, residual_correlation=correlation)


def cross_fit(x: Floats, y: Floats, fold: Ints, seed: int) -> Floats:
    """Predictions of y from x by ridge, and trees on what ridge leaves, from folds without the row; shape (n,)."""
    out = np.empty(len(y))
    for k in range(int(fold.max()) + 1):
        held = fold == k
        train = ~held
        spread = max(float(y[train].var()), 1e-12)
        ridge = fit_ridge(x[train], y[train], np.full(int(train.sum()), 1.0 / spread))
        out[held] = ridge.predict(x[held])
        if x.shape[1] == 0:
            continue
        options = {
            "objective": "l2",
            "learning_rate": 0.05,
            "max_depth": 2,
            "num_leaves": 4,
            "min_data_in_leaf": 20,
            "feature_fraction": 0.7,
            "lambda_l2": 20.0,
            "verbose": -1,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "seed": seed,
        }
        data = lgb.Dataset(x[train], y[train] - ridge.predict(x[train]))
        out[held] += lgb.train(options, data, num_boost_round=TREES).predict(x[held], num_threads=1)
    return out
