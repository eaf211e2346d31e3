"""What a sceptic would use instead, each with the interface of the forecaster.

=====================  ===============================================================================================
last_observation       the last score carried forward
regression             at each landmark and horizon, on last, mean and first score (Hentati Isacsson et al. 2024)
expected_response      the average course of patients with the same first score (Lueger et al. 2001)
mixed_model            linear mixed model of growth, updated to the sessions so far (BLUP; Lutz et al. 1999)
nearest_neighbours     what the most similar patients went through (Lutz et al. 2005)
boosted_trees          LightGBM on the feature table, slow learning
=====================  ===============================================================================================

Their intervals are calibrated like the forecaster's own, so that only the forecasts differ.
"""

from __future__ import annotations

from personalize.trajectories.forecast import TrajectoryForecaster

BASELINES: dict[str, tuple[str, ...]] = {
    "last observation": ("last",),
    "regression": ("regression",),
    "expected response": ("expected",),
    "mixed model": ("mixed",),
    "nearest neighbours": ("neighbours",),
    "boosted trees": ("lightgbm",),
}


def last_observation(*, random_state: int = 0, level: float = 0.90) -> TrajectoryForecaster:
    """Carry the last score forward; the average first score where there is none."""
    return TrajectoryForecaster(members=("last",), random_state=random_state, level=level)


def regression(*, random_state: int = 0, level: float = 0.90) -> TrajectoryForecaster:
    """Regress each horizon on last, mean and first score: four coefficients a target."""
    return TrajectoryForecaster(members=("regression",), random_state=random_state, level=level)


def expected_response(*, random_state: int = 0, level: float = 0.90) -> TrajectoryForecaster:
    """Expect the average course of patients with the same first score."""
    return TrajectoryForecaster(members=("expected",), random_state=random_state, level=level)


def mixed_model(*, random_state: int = 0, level: float = 0.90) -> TrajectoryForecaster:
    """Update a linear mixed model of growth over log time, by intake, to the sessions so far."""
    return TrajectoryForecaster(members=("mixed",), random_state=random_state, level=level)


def nearest_neighbours(*, random_state: int = 0, level: float = 0.90) -> TrajectoryForecaster:
    """Add the mean change of the 30 most similar training patients."""
    return TrajectoryForecaster(members=("neighbours",), random_state=random_state, level=level)


def boosted_trees(*, random_state: int = 0, level: float = 0.90) -> TrajectoryForecaster:
    """Boost trees on the feature table, stopped on held-out patients."""
    return TrajectoryForecaster(members=("lightgbm",), random_state=random_state, level=level)
