"""Boosted trees over all landmarks and horizons: what the linear members leave, or (plain) the outcome itself."""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray

from personalize.trajectories.members.member import Floats, Stored, Training
from personalize.trajectories.query import Query

MOST_ROWS = 400_000
PATIENCE = 1.3  # times the best number of trees, grown in vain before it stops
SMALL = 200_000  # rows that one thread is enough for
CHUNK = 200_000
SITUATION = ("seen", "gap", "target_time", "landmark_time", "wants_last")


@dataclass(frozen=True)
class Boosted:
    """Fitted trees.

    Parameters
    ----------
    name : {"boosted", "lightgbm"}
    base : tuple of str
        Members whose mean the trees correct; none: the trees forecast from the mean outcome.
    start : float
        Mean outcome of training.
    model : str
        LightGBM's own text format.
    rounds : int
        Trees used.
    threads : int
    """

    name: str
    base: tuple[str, ...]
    start: float
    model: str
    rounds: int
    threads: int

    def forecast(self, query: Query) -> dict[str, Floats]:
        """Forecast the targets."""
        offset = _offset(self.base, self.start, query.forecasts, len(query.targets))
        if self.rounds == 0:
            return {self.name: offset}
        return {self.name: offset + self.correct(design(query, self.base))}

    def correct(self, values: NDArray[np.float32]) -> Floats:
        """What the trees add, for rows of `design`."""
        booster = lightgbm.Booster(model_str=self.model)
        return np.asarray(booster.predict(values, num_iteration=self.rounds, num_threads=self.threads), dtype=float)

    def contributions(self, values: NDArray[np.float32]) -> Floats:
        """TreeSHAP of each column of `design`, and last the average output: shape (n_rows, n_inputs + 1)."""
        if self.rounds == 0:
            return np.zeros((len(values), values.shape[1] + 1))
        booster = lightgbm.Booster(model_str=self.model)
        found = booster.predict(values, num_iteration=self.rounds, num_threads=self.threads, pred_contrib=True)
        return np.asarray(found, dtype=float)

    def store(self) -> Stored:
        """Take apart for saving."""
        plain = {"name": self.name, "base": list(self.base), "start": self.start, "rounds": self.rounds}
        return Stored({**plain, "threads": self.threads}, texts={"model": self.model})

    @classmethod
    def restore(cls, stored: Stored) -> Boosted:
        """Rebuild."""
        plain = {**stored.plain, "base": tuple(stored.plain["base"])}
        return cls(model=stored.texts["model"], **plain)


def design(query: Query, base: tuple[str, ...]) -> NDArray[np.float32]:
    """Inputs, situation and forecasts of the members built upon, shape (n_targets, n_inputs + 5 + n_base)."""
    targets, landmarks = query.targets, query.landmarks
    columns = [
        query.seen,
        targets.gap,
        (targets.time - query.clock.first_time) / query.clock.interval,
        (landmarks.time[targets.landmark] - query.clock.first_time) / query.clock.interval,
        targets.last,
        *(query.forecasts[name] for name in base),
    ]
    out = np.empty((len(targets), query.inputs.shape[1] + len(columns)), dtype=np.float32)
    out[:, : query.inputs.shape[1]] = query.rows
    for i, column in enumerate(columns):
        out[:, query.inputs.shape[1] + i] = column
    return out


def learn_boosted(training: Training) -> tuple[dict[str, Floats], Boosted]:
    """Boost the residuals of the direct regression and the growth model."""
    return _learn(training, "boosted", ("direct", "growth"), Pace(0.05, 8, (8, 16, 32, 64, 128, 256, 512)))


def learn_lightgbm(training: Training) -> tuple[dict[str, Floats], Boosted]:
    """Boost the outcome itself: LightGBM on hand-made features, slow learning, as a baseline."""
    return _learn(training, "lightgbm", (), Pace(0.05, 15, (50, 100, 150, 200, 300, 400, 600)))


@dataclass(frozen=True)
class Pace:
    """How fast trees learn, how large they are, and the numbers of trees at which held-out patients are looked at."""

    rate: float
    leaves: int
    rounds: tuple[int, ...]


def _learn(training: Training, name: str, base: tuple[str, ...], pace: Pace) -> tuple[dict[str, Floats], Boosted]:
    """Grow trees without each fold, stop when the held-out patients gain no more, then fit that many trees to all."""
    query, outcome = training.query, training.outcome
    start = float(outcome.mean())
    offset = _offset(base, start, query.forecasts, len(query.targets))
    values = design(query, base)
    # every landmark of a patient weighs the same, however many sessions follow it
    weight = training.weight / np.bincount(query.targets.landmark)[query.targets.landmark]
    weight *= len(weight) / weight.sum()
    chosen = np.arange(len(outcome))
    if len(outcome) > MOST_ROWS:
        chosen = np.sort(training.rng.permutation(len(outcome))[:MOST_ROWS])
    settings = {
        "objective": "regression",
        "learning_rate": pace.rate,
        "num_leaves": pace.leaves,
        "min_data_in_leaf": max(20, len(chosen) // 200),
        "feature_fraction": 0.5,
        "lambda_l2": 20.0,
        "max_bin": 63,
        "deterministic": True,
        "force_row_wise": True,
        # threads wait for each other longer than they work on few rows
        "num_threads": training.threads if len(chosen) > SMALL else 1,
        "seed": int(training.rng.integers(2**31 - 1)),
        "verbosity": -1,
    }
    data = lightgbm.Dataset(
        values[chosen], outcome[chosen] - offset[chosen], weight=weight[chosen], params=settings, free_raw_data=True
    ).construct()
    folds = range(training.folds.count)
    held = [np.flatnonzero(training.fold == f) for f in folds]
    grown = [
        lightgbm.Booster(settings, data.subset(np.flatnonzero(training.fold[chosen] != f).tolist(), settings))
        for f in folds
    ]
    added, trees, now = np.zeros(len(outcome)), 0, 0
    best, sofar = float(np.average((outcome - offset) ** 2, weights=weight)), np.zeros(len(outcome))
    for end in pace.rounds:
        for booster, rows in zip(grown, held, strict=True):
            for _ in range(end - now):
                booster.update()
            part = booster.predict(
                values[rows], start_iteration=now, num_iteration=end - now, num_threads=training.threads
            )
            sofar[rows] += np.asarray(part, dtype=float)
        now = end
        error = float(np.average((outcome - offset - sofar) ** 2, weights=weight))
        if error < best:
            added, trees, best = sofar.copy(), end, error
        elif end >= PATIENCE * max(trees, 8):
            break
    model = lightgbm.train(settings, data, trees).model_to_string() if trees else ""
    return {name: offset + added}, Boosted(name, base, start, model, trees, training.threads)


def _offset(base: tuple[str, ...], start: float, forecasts: dict[str, Floats], n: int) -> Floats:
    return np.mean([forecasts[name] for name in base], axis=0) if base else np.full(n, start)
