"""Moderators out of bag, and shrinkage to what they predict."""

from __future__ import annotations

import numpy as np

from personalize.effects.moderators import fit_moderators, out_of_bag
from personalize.effects.posterior import mixture_quantile
from personalize.effects.shrinkage import Patients, shrink


def clinic(n: int, per: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 5))
    b = -1.5 * x[:, 0] + rng.normal(0, 2, n)
    return x, b, np.ones(n), np.arange(n) // per


def test_nobody_is_predicted_by_the_own_therapist() -> None:
    """Whatever one therapist's patients have for slopes, their own predictions only move together."""
    x, b, weight, cluster = clinic(200, 10, 0)
    mine = cluster == 4
    other = np.where(mine, 100.0 * np.random.default_rng(1).standard_normal(200), b)
    before, after = (out_of_bag(x, slopes, weight, cluster, seed=3) for slopes in (b, other))
    moved = after - before
    assert np.ptp(moved[mine], axis=0).max() < 1e-9
    assert np.ptp(moved[~mine], axis=0).min() > 1e-3


def test_few_therapists_leave_patients_out() -> None:
    x, b, weight, _ = clinic(120, 10, 0)
    cluster = np.arange(120) // 40
    other = b.copy()
    other[17] = 1000.0
    before, after = (out_of_bag(x, slopes, weight, cluster, seed=3) for slopes in (b, other))
    mates = (cluster == cluster[17]) & (np.arange(120) != 17)
    moved = after - before
    assert np.abs(moved[mates] - moved[17]).min(axis=0).max() > 1e-3, "mates learn of the patient"
    again, centred = out_of_bag(x[:, :0], b, weight, cluster, seed=3), out_of_bag(x, b, weight, cluster, seed=3)
    assert (again == 0).all() and np.abs(np.average(centred, axis=0, weights=weight)).max() < 1e-9


def test_predictions_come_near_what_intake_says() -> None:
    x, b, weight, cluster = clinic(600, 20, 2)
    fitted = fit_moderators(x, b, weight, cluster, seed=0)
    assert np.corrcoef(fitted.out_of_fold, -x[:, 0])[0, 1] > 0.9
    assert np.corrcoef(fitted.predict(x), fitted.out_of_fold)[0, 1] > 0.95
    noise = fit_moderators(x, np.random.default_rng(5).normal(0, 2, 600), weight, cluster, seed=0)
    assert noise.out_of_fold.std() < 0.25 * fitted.out_of_fold.std()


def test_estimates_spread_no_more_than_what_they_estimate() -> None:
    """300 patients of 15 therapists, noise of SD 4: the truth on the estimate has slope one, 90 % intervals cover.

    SD of one clinic's slope about .2, of the mean of 24 about .04; of coverage .02 and .005.
    """
    products, covered = np.zeros(2), []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        cluster, v = np.arange(300) // 20, rng.gamma(4.0, 4.0, 300)
        truth = rng.normal(0, 1.8, 300) + 0.5 * rng.standard_normal(15)[cluster]
        posterior = shrink(Patients(truth + rng.normal(0, np.sqrt(v)), v, np.zeros(300), cluster, np.zeros(300)))
        centred = posterior.mean - posterior.mean.mean()
        products += (centred @ truth, centred @ centred)
        low, high = (mixture_quantile(posterior.components, q) for q in (0.05, 0.95))
        covered.append(np.mean((low <= truth) & (truth <= high)))
    assert 0.8 < products[0] / products[1] < 1.1
    assert 0.85 < np.mean(covered) < 0.93
