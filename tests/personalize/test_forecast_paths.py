"""The band of a path reaches as far as is asked, holds paths of every length, and never sees half a path."""

from __future__ import annotations

import numpy as np
import pandas as pd

from personalize.trajectories.clock import Clock
from personalize.trajectories.landmarks import all_landmarks, observed_targets, thinned
from personalize.trajectories.paths import furthest_asked, largest_so_far
from tests.personalize.forecasting import clinic, fitted


def test_largest_score_so_far_against_a_loop():
    rng = np.random.default_rng(0)
    landmark, score = rng.integers(0, 12, 150), rng.normal(size=150)
    gap = rng.permutation(150) / 10 + 0.1  # uneven times, in no order
    gap[rng.random(150) < 0.2] = np.nan
    slow = np.empty(150)
    for i in range(150):
        same = (landmark == landmark[i]) & ~np.isnan(gap)
        before = same if np.isnan(gap[i]) else same & (gap <= gap[i])
        slow[i] = score[before].max(initial=-np.inf)
    np.testing.assert_array_equal(largest_so_far(score, landmark, gap), slow)
    furthest = furthest_asked(landmark, gap)
    for i in range(150):
        same = (landmark == landmark[i]) & ~np.isnan(gap)
        assert np.isnan(furthest[i]) if np.isnan(gap[i]) else furthest[i] == gap[same].max()


def test_the_band_widens_with_how_far_is_asked_and_for_that_patient_only():
    history = clinic().first(3)
    end = history.sessions.groupby("patient_id")["session"].max()
    one, other = end.index[:2]
    near = pd.DataFrame({"patient_id": [one, other], "session": end[[one, other]].to_numpy() + 1})
    further = pd.DataFrame({"patient_id": [one], "session": [end[one] + 9]})
    alone, longer = fitted().predict(history, near), fitted().predict(history, pd.concat([near, further]))
    width = [(out["band_upper"] - out["band_lower"]).to_numpy() for out in (alone, longer)]
    interval = (alone["upper"] - alone["lower"]).to_numpy()
    assert (width[0] <= 1.12 * interval).all(), "a path of one session is hardly more than its interval"
    assert width[1][0] > 1.2 * width[0][0]
    assert width[1][1] == width[0][1]


def test_thinning_keeps_whole_landmarks():
    clock = Clock.of(clinic(40, 1))
    targets = observed_targets(all_landmarks(clinic(40, 1), clock), clock)
    some = thinned(targets, 500, np.random.default_rng(0))
    assert 400 < len(some) <= 500
    whole, kept = np.bincount(targets.landmark), np.bincount(some.landmark)
    np.testing.assert_array_equal(kept[kept > 0], whole[: len(kept)][kept > 0])
    np.testing.assert_array_equal(thinned(targets, len(targets), np.random.default_rng(0)).row, targets.row)
