"""Drop-out: weights that undo it where it depends on what was observed, and leave things alone where it does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel
from personalize.trajectories.clock import Clock
from personalize.trajectories.dropout import LARGEST, SMALLEST, staying_weights
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.landmarks import all_landmarks, observed_targets

SESSIONS = 6


def leaving(n: int = 4000, *, informative: bool, seed: int = 0) -> tuple[Panel, np.ndarray]:
    """Courses with a stable level; patients who do badly leave sooner. Also everybody's outcome had they stayed."""
    rng = np.random.default_rng(seed)
    outcome = rng.normal(20, 4, (n, 1)) + rng.normal(0, 2, (n, SESSIONS))
    logit = 2.0 - 0.35 * (outcome - 20) * informative
    stays = rng.random((n, SESSIONS)) < 1 / (1 + np.exp(-logit))
    there = np.column_stack([np.ones(n, bool), np.cumprod(stays[:, :-1], axis=1).astype(bool)])
    who, step = np.nonzero(there)
    table = pd.DataFrame({"patient_id": who, "session": step + 1, "outcome": outcome[who, step]})
    return Panel(table, columns=Columns(), better="low"), outcome


def weights(panel: Panel):
    landmarks = all_landmarks(panel, Clock.of(panel))
    targets = observed_targets(landmarks, Clock.of(panel))
    last = np.where(landmarks.row >= 0, panel.outcome[landmarks.row], np.nan)[:, None]
    return landmarks, targets, staying_weights(landmarks, targets, last)


def test_weighted_means_are_those_of_everybody():
    panel, outcome = leaving(informative=True)
    landmarks, targets, weight = weights(panel)
    at_end = (landmarks.seen[targets.landmark] == 1) & ~targets.last & (panel.session[targets.row] == SESSIONS)
    seen = targets.outcome[at_end]
    truth = outcome[:, -1].mean()
    assert abs(seen.mean() - truth) > 0.8, "without weights the survivors look better than everybody would"
    assert np.average(seen, weights=weight[at_end]) == pytest.approx(truth, abs=0.35)


def test_leaving_at_random_needs_no_weights():
    panel, _ = leaving(informative=False)
    _, _, weight = weights(panel)
    assert weight.std() < 0.05 and weight.mean() == pytest.approx(1, abs=0.02)


def test_weights_are_bounded_and_the_last_session_has_none():
    panel, _ = leaving(500, informative=True)
    _, targets, weight = weights(panel)
    assert weight.min() >= SMALLEST and weight.max() <= LARGEST
    assert (weight[targets.last] == 1).all()


def test_forecasts_as_if_everybody_stayed_are_less_hopeful():
    """Where those who do badly leave, a weighted forecast from intake of a late session is worse, as it should be."""
    panel, outcome = leaving(1500, informative=True)
    idle = Panel(panel.sessions.iloc[:0], pd.DataFrame({"patient_id": ["new"]}), columns=Columns(), better="low")
    at = pd.DataFrame({"patient_id": ["new"], "session": [SESSIONS]})
    means = {
        option: TrajectoryForecaster(members=("direct",), dropout=option).fit(panel).predict(idle, at)["mean"].item()
        for option in ("ignore", "weights")
    }
    truth = outcome[:, -1].mean()
    assert means["ignore"] < means["weights"]
    assert abs(means["weights"] - truth) < abs(means["ignore"] - truth)
