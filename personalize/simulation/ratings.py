"""From true courses to what a clinic would have on file: ratings, gaps, drop-out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personalize.simulation.course import Course
from personalize.simulation.options import ClinicOptions

Array = NDArray[np.float64]
ALLIANCE_RANGE = (1.0, 7.0)
ALLIANCE_ITEMS = 12
OUTCOME_RANGE = (0.0, 180.0)
FIRST_DROPOUT = 3  # nobody leaves before the third session
SHORTEST = 4  # planned treatments are no shorter, unless the average itself is


@dataclass(frozen=True)
class Ratings:
    """Observed scores, NaN where missing, and which sessions are on file; shapes (n_sessions, n_patients)."""

    alliance: Array
    outcome: Array
    on_file: NDArray[np.bool_]
    planned: NDArray[np.intp]  # shape (n_patients,), as the next
    attended: NDArray[np.intp]


def planned_lengths(n: int, usual: int, spread: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw treatment lengths with this mean: gamma, from 4 sessions (or fewer, if usual is) to twice the mean."""
    if spread == 0:
        return np.full(n, usual, dtype=np.intp)
    shape = 1 / spread**2
    drawn = rng.gamma(shape, usual / shape, n).round()
    return np.clip(drawn, min(SHORTEST, usual), 2 * usual).astype(np.intp)


def attended_sessions(
    options: ClinicOptions, course: Course, planned: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Sessions each patient came to, shape (n_patients,): the planned ones, or those up to a drop-out.

    After session t >= 3 a patient leaves with log odds ``logit(dropout) + dropout_course * ((y[t] - y[1]) / 10 -
    state[t] / state_sd)``.
    """
    if options.dropout == 0:
        return planned
    n_sessions, n = course.outcome.shape
    worse = (course.outcome - course.outcome[0]) / 10
    low = -course.state / options.state_sd if options.state_sd else np.zeros_like(course.state)
    log_odds = np.log(options.dropout / (1 - options.dropout)) + options.dropout_course * (worse + low)
    leaves = rng.random((n_sessions, n)) < 1 / (1 + np.exp(-log_odds))
    leaves[: FIRST_DROPOUT - 1] = False
    stayed = np.where(leaves.any(axis=0), leaves.argmax(axis=0) + 1, n_sessions)
    return np.asarray(np.minimum(stayed, planned), dtype=np.intp)


def rate(
    options: ClinicOptions,
    course: Course,
    planned: NDArray[np.intp],
    *,
    dropout: np.random.Generator,
    errors: np.random.Generator,
    gaps: np.random.Generator,
) -> Ratings:
    """End treatments, rate the true courses with error, on the instruments' scales, and lose some of the ratings."""
    o = options
    attended = attended_sessions(o, course, planned, dropout)
    n_sessions, n = course.outcome.shape
    alliance, outcome = course.alliance, course.outcome
    if o.alliance_sem:
        alliance = alliance + o.alliance_sem * errors.standard_normal((n_sessions, n))
    if o.outcome_sem:
        outcome = outcome + o.outcome_sem * errors.standard_normal((n_sessions, n))
    if o.discrete:
        alliance = np.round(alliance * ALLIANCE_ITEMS) / ALLIANCE_ITEMS
        outcome = np.clip(np.round(outcome), *OUTCOME_RANGE)
    if o.ceiling or o.discrete:
        alliance = np.clip(alliance, *ALLIANCE_RANGE)
    on_file = np.arange(1, n_sessions + 1)[:, None] <= attended
    lost = gaps.random((3, n_sessions, n))
    on_file[1:] &= lost[0, 1:] >= o.missing_sessions
    alliance = np.where(lost[1] < o.missing_alliance, np.nan, alliance)
    outcome = np.where(lost[2] < o.missing_outcome, np.nan, outcome)
    return Ratings(alliance, outcome, on_file, planned, attended)
