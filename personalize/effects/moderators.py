"""What intake says about the effect: ridge and bagged small LightGBM trees, weighed by what they predict.

One row a patient: the own slope b_i, weighted by 1 / (v_i + ω²). Ridge is the better learner where moderators act
linearly, trees where they act by thresholds and in combination. Both are learned many times, each time without another
fifth of the therapists; what a patient is predicted is the mean over the times that left the own therapist out (Breiman
1996, "Out-of-bag estimation"). Single folds would do with less of the data, and the estimate would hang on how they
fell. These predictions decide between the learners (stacking: Wolpert 1992; van der Laan, Polley & Hubbard 2007), with
weights that are drawn to ones set beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from features.errors import NotEnoughData
from personalize.effects.transitions import Floats, Ints

Boosters = tuple[lgb.Booster, ...]

FEWEST_CLUSTERS = 10  # below this, patients are left out, not therapists
FEWEST_PATIENTS = 40
MIX_MEAN, MIX_SD = (0.3, 0.8), 0.35  # prior of the weights of ridge and boosters; chosen on tuning clinics
ROUNDS, LARGE_ROUNDS, LARGE = 60, 30, 20_000  # times both are learned; fewer from so many patients on
LEFT_OUT = 0.2  # share of therapists left out each time
BAGS = 6  # of trees, for new patients
BOOSTERS = ({"max_depth": 2, "trees": 150}, {"max_depth": 3, "trees": 100})
SMALLEST_SHARE = 1e-3
PENALTIES = np.exp(np.arange(-120, 121) / 3.0)  # prior variances of a ridge coefficient; wide enough for any units


@dataclass(frozen=True)
class Ridge:
    """Linear moderators: prediction = intercept + (x − centre) · coefficients."""

    intercept: float
    centre: Floats
    coefficients: Floats

    def predict(self, x: Floats) -> Floats:
        """Predict effects, shape (n,)."""
        return np.asarray(self.intercept + (x - self.centre) @ self.coefficients)


def fit_ridge(x: Floats, b: Floats, weight: Floats, *, ease: float = 1.0) -> Ridge:
    """Ridge regression whose penalty maximises the marginal likelihood (weights are inverse variances).

    The prior variance of the coefficients is ``ease`` times that.
    """
    centre = np.average(x, axis=0, weights=weight) if x.shape[1] else np.zeros(0)
    intercept = float(np.average(b, weights=weight))
    if x.shape[1] == 0:
        return Ridge(intercept, centre, np.zeros(0))
    root = np.sqrt(weight)
    u, s, vt = np.linalg.svd((x - centre) * root[:, None], full_matrices=False)
    z = u.T @ ((b - intercept) * root)
    # below this share of what the data tell, a prior variance makes no difference but to the digits
    priors = PENALTIES[PENALTIES * s.max(initial=0.0) ** 2 >= SMALLEST_SHARE]
    if not len(priors):
        return Ridge(intercept, centre, np.zeros(x.shape[1]))
    shape = 1.0 + priors[:, None] * s[None] ** 2
    likelihood = -0.5 * (np.log(shape) + z**2 / shape).sum(axis=1)
    prior = ease * float(priors[np.argmax(likelihood)])
    return Ridge(intercept, centre, vt.T @ (z * prior * s / (1.0 + prior * s**2)))


def fit_boosters(x: Floats, b: Floats, weight: Floats, seed: int, bags: Sequence[int] = range(BAGS)) -> Boosters:
    """Fit shallow, slowly learned trees on halves of the patients, one booster a bag."""
    if x.shape[1] == 0:
        return ()
    out = []
    data = lgb.Dataset(x, b, weight=weight / weight.mean(), free_raw_data=False)
    for bag in bags:
        shape = BOOSTERS[bag % len(BOOSTERS)]
        parameters = {
            "objective": "l2",
            "learning_rate": 0.03,
            "max_depth": shape["max_depth"],
            "num_leaves": 2 ** shape["max_depth"],
            "min_data_in_leaf": int(np.clip(len(b) // 15, 5, 30)),
            "bagging_fraction": 0.5,
            "bagging_freq": 1,
            "lambda_l2": 50.0,
            "verbose": -1,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1 if len(b) < LARGE else 0,
            "seed": seed + bag,
        }
        out.append(lgb.train(parameters, data, num_boost_round=shape["trees"]))
    return tuple(out)


def predict_boosters(boosters: Boosters, x: Floats) -> Floats:
    """Mean of the bags, shape (n,)."""
    if not boosters:
        return np.zeros(len(x))
    threads = 1 if len(x) < LARGE else 0
    each = [np.asarray(booster.predict(x, num_threads=threads), dtype=float) for booster in boosters]
    return np.asarray(np.mean(each, axis=0))


@dataclass(frozen=True)
class Moderators:
    """Fitted moderator model.

    Attributes
    ----------
    ridge : Ridge
    boosters : tuple of Booster
    mix : array of shape (2,)
        Weights of ridge and boosters.
    centre : array of shape (2,)
        What each member predicts on average over the training patients.
    out_of_fold : array of shape (n,)
        Centred mix for the training patients, learned without their therapists.
    held_out : array of shape (n,)
        The same with the mix, too, learned without the patient's fold: for validation, where a mix that has seen the
        patient finds a ranking in noise.
    fold : int array of shape (n,)
        Folds of whole therapists.
    """

    ridge: Ridge
    boosters: Boosters
    mix: Floats
    centre: Floats
    out_of_fold: Floats
    held_out: Floats
    fold: Ints

    def predict(self, x: Floats) -> Floats:
        """Baseline part of the effect for new patients, centred at the training patients; shape (n,)."""
        if not self.mix.any():
            return np.zeros(len(x))
        both = np.column_stack([self.ridge.predict(x), predict_boosters(self.boosters, x)])
        return np.asarray((both - self.centre) @ self.mix)

    def contributions(self, x: Floats) -> Floats:
        """Shapley contributions of each column of x to `predict`; shape (n, n_columns).

        Linear terms for ridge, TreeSHAP (Lundberg et al. 2020) for the trees; they add up to the prediction up to the
        mean of the training patients.
        """
        out = self.mix[0] * (x - self.ridge.centre) * self.ridge.coefficients
        if self.boosters and self.mix[1]:
            each = [np.asarray(booster.predict(x, pred_contrib=True), dtype=float)[:, :-1] for booster in self.boosters]
            out = out + self.mix[1] * np.mean(each, axis=0)
        return np.asarray(out)


def units(cluster: Ints) -> tuple[Ints, Ints]:
    """What is left out together, and which each patient belongs to: clusters, or patients where clusters are few."""
    names, group = np.unique(cluster, return_inverse=True)
    if len(names) < FEWEST_CLUSTERS:
        names, group = np.arange(len(cluster)), np.arange(len(cluster))
    return names, np.asarray(group)


def draw_folds(cluster: Ints, rng: np.random.Generator) -> Ints:
    """Folds by cluster, balanced in patients; by patient where there are fewer than `FEWEST_CLUSTERS` clusters."""
    names, group = units(cluster)
    n_folds = 10 if len(cluster) <= LARGE else 5
    size = np.bincount(group)
    order = rng.permutation(len(names))
    order = order[np.argsort(-size[order], kind="stable")]
    of = np.empty(len(names), dtype=np.intp)
    load = np.zeros(n_folds)
    for g in order:  # largest first, each to the emptiest fold
        fold = int(np.argmin(load))
        of[g] = fold
        load[fold] += size[g]
    return np.asarray(of[group])


def fit_moderators(x: Floats, b: Floats, weight: Floats, cluster: NDArray[np.intp], *, seed: int) -> Moderators:
    """Learn both out of bag, weigh them, and fit them on everybody for new patients.

    Parameters
    ----------
    x : array of shape (n, p)
        Encoded intake of patients with an own slope.
    b, weight : array of shape (n,)
        Own slopes and 1 / (v_i + ω²).
    cluster : int array of shape (n,)
    seed : int

    Raises
    ------
    NotEnoughData
        With fewer than `FEWEST_PATIENTS` patients.
    """
    n = len(b)
    if n < FEWEST_PATIENTS:
        raise NotEnoughData(
            f"moderators need at least {FEWEST_PATIENTS} patients with an own slope; there are {n}. The average effect "
            "can still be estimated."
        )
    centred = b - np.average(b, weights=weight)
    members = out_of_bag(x, centred, weight, cluster, seed)
    fold = draw_folds(cluster, np.random.default_rng(seed))
    mix = _mix(members, centred, weight)
    held_out = np.empty(n)
    for k in range(int(fold.max()) + 1):
        held = fold == k
        held_out[held] = members[held] @ _mix(members[~held], centred[~held], weight[~held])
    ridge = fit_ridge(x, centred, weight)
    boosters = fit_boosters(x, centred, weight, seed)
    centre = np.array(
        [np.average(ridge.predict(x), weights=weight), np.average(predict_boosters(boosters, x), weights=weight)]
    )
    return Moderators(ridge, boosters, mix, centre, members @ mix, held_out, fold)


def out_of_bag(x: Floats, b: Floats, weight: Floats, cluster: NDArray[np.intp], seed: int) -> Floats:
    """Predict each patient by ridge and by trees that were learned without the patient's cluster, shape (n, 2).

    Centred; each cluster is left out in about `LEFT_OUT` of the rounds, none much more often than another.
    """
    names, group = units(cluster)
    rng, size = np.random.default_rng(seed), max(1, round(LEFT_OUT * len(names)))
    total, times = np.zeros((len(b), 2)), np.zeros(len(b))
    queue: list[int] = []
    for k in range(ROUNDS if len(b) <= LARGE else LARGE_ROUNDS):
        if len(queue) < size:
            queue += rng.permutation(len(names)).tolist()
        held = np.isin(group, queue[:size])
        del queue[:size]
        train = ~held
        base = np.average(b[train], weights=weight[train])
        ridge = fit_ridge(x[train], b[train], weight[train])
        trees = fit_boosters(x[train], b[train], weight[train], seed, bags=[k])
        both = np.column_stack([ridge.predict(x[held]), predict_boosters(trees, x[held])])
        total[held] += both - np.array([base, base if trees else 0.0])
        times[held] += 1
    members = total / np.maximum(times, 1)[:, None]
    return np.asarray(members - np.average(members, axis=0, weights=weight))


def _mix(members: Floats, b: Floats, weight: Floats) -> Floats:
    """Weigh the members by what their out-of-bag predictions say of the own slopes, drawn to weights set beforehand.

    Non-negative, and most probable where weights are normal around `MIX_MEAN` with SD `MIX_SD`: with a few hundred
    patients unpenalised weights (Wolpert 1992) follow the noise of the slopes.
    """
    root = np.sqrt(weight)
    prior = np.eye(2) / MIX_SD
    mix, _ = nnls(np.vstack([members * root[:, None], prior]), np.concatenate([b * root, prior @ np.array(MIX_MEAN)]))
    total = mix.sum()
    if total > 1.5:  # an out-of-bag prediction may be too timid, never by much
        mix *= 1.5 / total
    return np.asarray(mix)
