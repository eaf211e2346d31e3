"""Validation of a ranking: predictions comparable over folds, fifths, the variance a bootstrap does not see."""

import numpy as np
import pytest

from personalize.effects import validation
from personalize.effects.moderators import fit_ridge
from personalize.effects.validation import comparable, fifths, unseen


def test_folds_get_the_same_spread_and_keep_their_level():
    tau, fold = np.array([1.0, 3.0, 10.0, 30.0]), np.array([0, 0, 1, 1])
    np.testing.assert_allclose(comparable(tau, fold), [-10.0, -8.0, -0.1, 1.9])
    np.testing.assert_array_equal(comparable(np.array([2.0, 2.0, 0.0, 4.0]), fold), [0.0, 0.0, -1.0, 1.0])
    np.testing.assert_array_equal(comparable(np.zeros(4), fold), np.zeros(4))


def test_fifths_by_hand():
    assert fifths(np.array([0.0, 5.0, 1.0, 1.0, 9.0])).tolist() == [4, 1, 2, 3, 0]
    assert np.bincount(fifths(np.arange(12.0))).tolist() == [3, 2, 3, 2, 2]


def test_the_unseen_variance_by_hand():
    scores = np.array([4.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, -1.0])
    fifth, single = np.arange(10) // 2, np.arange(10)
    variance = (4 * 0.5**2) * 10 / 9  # deviations ±1, each half of its fifth
    assert unseen(10 * scores, fifth, single) == pytest.approx(validation.DOUBT * variance / 9.0)
    assert unseen(scores - 3.0 * (fifth == 0), fifth, single) == 1.0
    # a fifth that is one therapist's: the deviations cancel
    assert unseen(scores, fifth, np.array([0, 0, 1, 1, 1, 1, 1, 1, 2, 2])) == 0.0


def test_a_cross_fitted_ranking_of_noise_is_not_anti_predictive():
    """Ridge in ten folds, effects without cause: unscaled, the fifths point the wrong way by half a standard error."""
    rng = np.random.default_rng(0)
    fold, weight = np.arange(200) % 10, np.ones(200)
    found = []
    for _ in range(150):
        x, b, tau = rng.standard_normal((200, 5)), rng.standard_normal(200), np.empty(200)
        for k in range(10):
            held = fold == k
            ridge = fit_ridge(x[~held], b[~held], weight[~held])
            tau[held] = ridge.predict(x[held]) - ridge.intercept
        means = [np.bincount(fifths(p), b) / 40 for p in (tau, comparable(tau, fold))]
        found.append([mean[0] - mean[-1] for mean in means])
    raw, scaled = np.mean(found, axis=0)
    se_given_ranking = np.sqrt(2 / 40)
    assert raw < -0.3 * se_given_ranking
    assert abs(scaled) < 3 * np.std(found, axis=0)[1] / np.sqrt(150)
    # every pair counts twice
    assert np.std(found, axis=0)[1] == pytest.approx(np.sqrt(2) * se_given_ranking, rel=0.15)
