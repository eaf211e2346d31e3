"""One pass over the folds that serves everything: members' forecasts of patients they did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from features.errors import NotEnoughData
from features.panel import Panel
from personalize.trajectories.bands import Errors, fit_bands
from personalize.trajectories.clock import Clock
from personalize.trajectories.distribution import Calibration, floor_slack
from personalize.trajectories.dropout import staying_weights
from personalize.trajectories.encoder import Encoder, feature_rows
from personalize.trajectories.grid import Grid
from personalize.trajectories.landmarks import all_landmarks, observed_targets, thinned
from personalize.trajectories.members.member import Member, Training
from personalize.trajectories.query import Folds, Query, part
from personalize.trajectories.registry import LEARNERS
from personalize.trajectories.situation import situation
from personalize.trajectories.stack import fit_stack

Floats = NDArray[np.float64]

FEWEST_PATIENTS = 10
FEWEST_THERAPISTS = 10  # with fewer, folds hold patients, not therapists
MOST_TARGETS = 1_500_000
Dropout = Literal["ignore", "weights"]


@dataclass(frozen=True)
class Crossfit:
    """Members fitted to a panel, with their out-of-fold forecasts.

    Parameters
    ----------
    query : Query
        All training targets; ``query.forecasts`` are out-of-fold.
    folds : Folds
    weight : array of shape (n_targets,)
    members : dict of str to Member
        Fitted to all patients.
    center, spread : float
        Mean and SD of the outcome.
    """

    query: Query
    folds: Folds
    weight: Floats
    members: dict[str, Member]
    center: float
    spread: float

    @property
    def fold(self) -> NDArray[np.intp]:
        """Fold of each target's patient."""
        return self.folds.of_patient[self.query.patient]


def crossfit(
    panel: Panel,
    names: Sequence[str],
    *,
    n_folds: int,
    random_state: int,
    threads: int = 1,
    dropout: Dropout = "ignore",
) -> Crossfit:
    """Fit members to a panel, and without each fold of its patients.

    Raises
    ------
    NotEnoughData
        When fewer than ten patients have a later outcome to learn from, or the outcome is constant.
    """
    rng = np.random.default_rng(random_state)
    clock = Clock.of(panel)
    landmarks = all_landmarks(panel, clock)
    targets = observed_targets(landmarks, clock)
    _enough(panel, landmarks.patient[targets.landmark[landmarks.seen[targets.landmark] > 0]])
    targets = thinned(targets, MOST_TARGETS, rng)
    table = feature_rows(landmarks)
    encoder = Encoder.of(panel, table)
    patient, seen = landmarks.patient[targets.landmark], landmarks.seen[targets.landmark]
    at_least = int(np.clip(panel.n_patients // 8, 5, 40))
    grid = Grid.reached(seen, targets.gap, patient, at_least=at_least)
    query = Query(landmarks, targets, encoder.read(table), encoder, clock, grid, grid.place(seen, targets.gap))
    del table
    by_therapist = panel.n_therapists >= FEWEST_THERAPISTS
    folds = Folds.by_cluster(panel.clusters if by_therapist else np.arange(panel.n_patients), n_folds, rng)
    _varies(panel, folds)
    weight = staying_weights(landmarks, targets, query.inputs) if dropout == "weights" else np.ones(len(targets))
    known = panel.outcome[np.isfinite(panel.outcome)]
    empty = Crossfit(query, folds, weight, {}, float(known.mean()), float(known.std()))
    return extend(empty, names, random_state=random_state, threads=threads)


def extend(cross: Crossfit, names: Sequence[str], *, random_state: int, threads: int = 1) -> Crossfit:
    """Add members on the same folds; those already there stay as they are."""
    query, members = cross.query, dict(cross.members)
    for name in names:
        if name in members:
            continue
        # a stream of its own, so that a member does not depend on who else takes part
        rng = np.random.default_rng([random_state, *name.encode()])
        # sums over rows come out alike whatever the machine, and small matrices gain nothing from more threads
        with threadpool_limits(limits=1, user_api="blas"):
            found, members[name] = LEARNERS[name](Training(query, cross.folds, cross.weight, rng, threads))
        query = replace(query, forecasts={**query.forecasts, **found})
    return replace(cross, query=query, members=members)


def calibrate(
    cross: Crossfit, names: Sequence[str], *, level: float, rows: NDArray[np.bool_] | None = None
) -> Calibration:
    """Weigh some members and calibrate the result, on all out-of-fold forecasts or those of some rows."""
    use = np.arange(len(cross.query.targets)) if rows is None else np.flatnonzero(rows)
    query = part(cross.query, use)
    outcome, weight = query.targets.outcome, cross.weight[use]
    forecasts = np.stack([query.forecasts[name] for name in names])
    stack = fit_stack(tuple(names), forecasts, outcome, query.placed, query.grid, weight)
    mean = stack.combine(forecasts, query.placed)
    errors = Errors(
        outcome - mean,
        mean,
        query.targets.gap,
        query.targets.landmark,
        query.patient,
        cross.folds.of_patient[query.patient],
        weight,
        query.placed,
    )
    told = situation(query, stack.names, mean, cross.center, cross.spread)
    bands = fit_bands(errors, told, query.grid, level=level)
    return Calibration(stack, bands, cross.center, cross.spread, floor_slack(query.landmarks.panel))


def _varies(panel: Panel, folds: Folds) -> None:
    """Refuse an outcome that is constant without one of the folds: what it does elsewhere nobody could learn."""
    for fold in range(folds.count):
        rest = panel.outcome[(folds.of_patient != fold)[panel.patient_index]]
        rest = rest[np.isfinite(rest)]
        if len(rest) == 0 or rest.min() == rest.max():
            raise NotEnoughData(
                f"The outcome {panel.columns.outcome!r} {f'is {rest[0]:g}' if len(rest) else 'is missing'} for all "
                f"patients but those of one fold of {folds.count}; there is no course to learn: add patients."
            )


def _enough(panel: Panel, followed: NDArray[np.intp]) -> None:
    n = len(np.unique(followed))
    if n < FEWEST_PATIENTS:
        raise NotEnoughData(
            f"A forecast learns from patients with an outcome after their first session; {n} of {panel.n_patients} "
            f"have one, {FEWEST_PATIENTS} are needed: add patients, or check the outcome {panel.columns.outcome!r}."
        )
    scores = pd.Series(panel.outcome).groupby(panel.patient_index)
    low, high = scores.min(), scores.max()
    if (high == low).sum() == high.notna().sum():
        how = f"is {high.max():g} in every session" if high.max() == low.min() else "never changes within a patient"
        raise NotEnoughData(
            f"The outcome {panel.columns.outcome!r} {how}; there is no course to forecast: name another column."
        )
