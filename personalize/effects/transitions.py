"""From a panel to transitions: what was known at one session, and the outcome at the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import NotEnoughData, listed
from features.panel import Panel

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Transitions:
    """Usable steps from one session to the next, sorted by patient and position.

    Attributes
    ----------
    patient : int array of shape (n,)
        Row of ``panel.patients``.
    position : int array of shape (n,)
        Steps since the patient's first session; two transitions are neighbours where it differs by one.
    session : float array of shape (n,)
        Session number at the start of the step, counted so that the panel begins with 1.
    response : array of shape (n,)
        For the outcome equation the outcome at the end of the step; for the alliance equation the alliance at its end.
    regressors : array of shape (n, n_regressors)
        Outcome equation: outcome and alliance before the response. Alliance equation: previous alliance, the outcome
        that stands between the two ratings, and the outcome before that.
    covariates : array of shape (n, n_covariates)
        Further session columns, on the alliance's schedule.
    n_patients : int
        Patients of the panel, those without a transition included.
    """

    patient: Ints
    position: Ints
    session: Floats
    response: Floats
    regressors: Floats
    covariates: Floats
    n_patients: int

    @property
    def counts(self) -> Ints:
        """Transitions of each patient, shape (n_patients,)."""
        return np.bincount(self.patient, minlength=self.n_patients)

    def keep(self, rows: NDArray[np.bool_]) -> Transitions:
        """Keep the transitions marked True."""
        return Transitions(
            self.patient[rows],
            self.position[rows],
            self.session[rows],
            self.response[rows],
            self.regressors[rows],
            self.covariates[rows],
            self.n_patients,
        )

    def at_least(self, n: int) -> Transitions:
        """Keep patients with ``n`` transitions or more."""
        return self.keep(self.counts[self.patient] >= n)


@dataclass(frozen=True)
class Grid:
    """Sessions laid on a grid of equal steps; NaN where nothing was observed.

    Attributes
    ----------
    outcome, alliance : array of shape (n_patients, n_steps)
    covariates : array of shape (n_patients, n_steps, n_covariates)
    first : float array of shape (n_patients,)
        Session number of the first column.
    gap : int
        Session numbers between two columns: the panel's most common gap.
    off_grid : int
        Sessions that stand between two columns and could not be placed.
    """

    outcome: Floats
    alliance: Floats
    covariates: Floats
    first: Floats
    gap: int
    off_grid: int


def lay_grid(panel: Panel, *, max_steps: int = 400) -> Grid:
    """Lay a panel's sessions on a grid whose step is the most common gap between two sessions.

    A step over a missed session is not a transition of the same length, so the engine uses steps of one grid
    column only.

    Raises
    ------
    NotEnoughData
        When no patient has two sessions, or session numbers spread over more than ``max_steps`` steps.
    """
    who, session = panel.patient_index, panel.session
    follows = np.flatnonzero(who[1:] == who[:-1])
    if follows.size == 0:
        raise NotEnoughData(
            f"{panel.names['sessions']}: no patient has two sessions, so nothing can be said about change within "
            "patients; at least three sessions a patient are needed."
        )
    gaps = session[follows + 1] - session[follows]
    values, counts = np.unique(gaps, return_counts=True)
    gap = int(values[np.argmax(counts)])
    start = panel.offsets[:-1][who]
    offset = session - session[start]
    on = offset % gap == 0
    step = offset // gap
    n_steps = int(step[on].max()) + 1
    if n_steps > max_steps:
        longest = panel.patient_ids[who[on][np.argmax(step[on])]]
        raise NotEnoughData(
            f"{panel.names['sessions']}: column {panel.columns.session!r} spans {n_steps} steps of {gap} for patient "
            f"{listed([longest])}; the effect of alliance is estimated from up to {max_steps} consecutive sessions: "
            "number the sessions 1, 2, 3, ... within each patient, or split long treatments into episodes."
        )
    shape = (panel.n_patients, n_steps)
    names = list(panel.columns.covariates)
    outcome, alliance = np.full(shape, np.nan), np.full(shape, np.nan)
    covariates = np.full((*shape, len(names)), np.nan)
    at = (who[on], step[on])
    outcome[at], alliance[at] = panel.outcome[on], panel.alliance[on]
    if names:
        covariates[at] = panel.sessions[names].to_numpy(dtype=float)[on]
    first = np.full(panel.n_patients, np.nan)
    has = np.diff(panel.offsets) > 0
    first[has] = session[panel.offsets[:-1][has]]
    return Grid(outcome, alliance, covariates, first, gap, int((~on).sum()))


def outcome_steps(grid: Grid, timing: str, *, lag: int = 1) -> Transitions:
    """Transitions of the outcome: response at step t + 1 on the outcome at t and the alliance rated between them.

    ``lag`` 2 or 3 takes the alliance one or two steps earlier. A transition is usable where response, lagged outcome,
    alliance and covariates are all observed.
    """
    alliance = _shift(grid.alliance[:, :-1] if timing == "after" else grid.alliance[:, 1:], lag - 1)
    extra = grid.covariates[:, :-1] if timing == "after" else grid.covariates[:, 1:]
    return _collect(grid, grid.outcome[:, 1:], [grid.outcome[:, :-1], alliance], extra, shift=0)


def alliance_steps(grid: Grid, timing: str, *, memory: bool = True) -> Transitions:
    """Transitions of the alliance: rating at t on the rating before and on the outcomes since and before that.

    Without ``memory`` the rating before is not asked for and stands as zero: for alliances that are rated every second
    or third session only, where no two ratings are neighbours.
    """
    a, y = grid.alliance, grid.outcome
    before = a if memory else np.zeros_like(a)
    if timing == "after":  # y[t-1], a[t-1], y[t], a[t]
        return _collect(grid, a[:, 1:], [before[:, :-1], y[:, 1:], y[:, :-1]], grid.covariates[:, 1:], shift=1)
    # a[t-1], y[t-1], a[t] and before them y[t-2]
    return _collect(grid, a[:, 2:], [before[:, 1:-1], y[:, 1:-1], y[:, :-2]], grid.covariates[:, 2:], shift=1)


def _shift(values: Floats, by: int) -> Floats:
    if by == 0:
        return values
    out = np.full_like(values, np.nan)
    out[:, by:] = values[:, :-by]
    return out


def _collect(grid: Grid, response: Floats, regressors: list[Floats], extra: Floats, *, shift: int) -> Transitions:
    usable = np.isfinite(response)
    for values in regressors:
        usable &= np.isfinite(values)
    usable &= np.isfinite(extra).all(axis=2)
    patient, position = np.nonzero(usable)
    return Transitions(
        patient=patient,
        position=position,
        session=grid.first[patient] - np.nanmin(grid.first) + 1 + grid.gap * (position + shift),
        response=response[usable],
        regressors=np.column_stack([values[usable] for values in regressors]),
        covariates=extra[usable],
        n_patients=response.shape[0],
    )
