"""The reported mean as a function of a plain table, so that groups of inputs can be replaced by background values.

The growth model and the mixed model enter by four exact addends each (`members.growth`, `members.mixed`): what time,
the patient's and the therapist's characteristics and the outcomes so far contribute. Replacing the addend of the
outcome history by its background means a patient on the course that the average training patient's history stands for;
likewise the others. What is asked (the landmark, how far ahead) is the group "time", except that a forecast of the last
session stays one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import OptionError
from personalize.trajectories.encoder import Encoder
from personalize.trajectories.grid import Placed
from personalize.trajectories.members.boosted import Boosted
from personalize.trajectories.members.direct import Direct
from personalize.trajectories.members.growth_member import ADDENDS as OF_GROWTH
from personalize.trajectories.members.growth_member import GrowthMember
from personalize.trajectories.members.last import Last
from personalize.trajectories.members.mixed import ADDENDS as OF_MIXED
from personalize.trajectories.members.mixed import Mixed
from personalize.trajectories.members.neighbours import SIMILAR, Neighbours
from personalize.trajectories.query import Query, part

Floats = NDArray[np.float64]

TIME_INPUTS = ("seen", "gap", "target_time", "landmark_time")
ADDENDS = {**OF_GROWTH, **OF_MIXED}


@dataclass(frozen=True)
class AttributionInputs:
    """Inputs of forecasts as one table, with the background to compare with.

    Parameters
    ----------
    values : array of shape (n_forecasts, n_inputs)
        NaN is unknown; ``gap`` and ``target_time`` are NaN where the last session is wanted.
    background : array of shape (n_forecasts, n_inputs)
        Average training target of the same kind (a session ahead, or the last session).
    names : tuple of str
    groups : tuple of str
        Group of each input (`features.feature.GROUPS`).
    """

    values: Floats
    background: Floats
    names: tuple[str, ...]
    groups: tuple[str, ...]


def input_names(encoder: Encoder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and groups of the table's columns."""
    names = (*encoder.names, *TIME_INPUTS, *ADDENDS)
    return names, (*encoder.groups, *("time",) * len(TIME_INPUTS), *ADDENDS.values())


def table_of(query: Query) -> Floats:
    """Inputs of every target, shape (n_targets, n_inputs); addends are 0 where their model does not take part."""
    targets, landmarks = query.targets, query.landmarks
    start, interval = query.clock.first_time, query.clock.interval
    nothing = np.zeros(len(targets))
    return np.column_stack(
        [
            query.rows.astype(float),
            query.seen,
            targets.gap,
            (targets.time - start) / interval,
            (landmarks.time[targets.landmark] - start) / interval,
            *(query.forecasts.get(name, nothing) for name in ADDENDS),
        ]
    )


def backgrounds(query: Query) -> Floats:
    """Average training target: of the sessions ahead, and of the last sessions, shape (2, n_inputs)."""
    last = query.targets.last
    rows = []
    for kind in (~last, last):
        chosen = np.flatnonzero(kind)
        chosen = chosen[:: max(len(chosen) // 50_000, 1)]
        table = table_of(part(query, chosen))
        known = ~np.isnan(table)
        count = known.sum(axis=0)
        rows.append(np.where(count > 0, np.where(known, table, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan))
    return np.stack(rows)


@dataclass(frozen=True)
class Table:
    """Rows of `AttributionInputs.values`, taken apart."""

    inputs: Floats
    time: Floats
    addends: Floats
    placed: Placed
    outcome: str
    encoder: Encoder

    def statistic(self, name: str) -> Floats:
        """One statistic of the outcome so far; NaN where it is unknown."""
        column = f"{self.outcome}_{name}"
        known = column in self.encoder.names
        return self.inputs[:, self.encoder.names.index(column)] if known else np.full(len(self.inputs), np.nan)


@singledispatch
def point(member: Any, table: Table, earlier: dict[str, Floats]) -> Floats:
    """Forecast of one member from a table, shape (n_rows,)."""
    raise OptionError(
        f"attributions: a forecaster with the member {type(member).__name__!r} cannot be taken apart; use the default "
        "members."
    )


@point.register
def _(member: Direct, table: Table, earlier: dict[str, Floats]) -> Floats:
    return member.predict(table.inputs, np.arange(len(table.inputs)), table.placed)


@point.register
def _(member: GrowthMember, table: Table, earlier: dict[str, Floats]) -> Floats:
    return np.asarray(table.addends[:, : len(OF_GROWTH)].sum(axis=1))


@point.register
def _(member: Mixed, table: Table, earlier: dict[str, Floats]) -> Floats:
    return np.asarray(table.addends[:, len(OF_GROWTH) :].sum(axis=1))


@point.register
def _(member: Neighbours, table: Table, earlier: dict[str, Floats]) -> Floats:
    return member.predict(np.column_stack([table.statistic(name) for name in SIMILAR]), table.placed)


@point.register
def _(member: Last, table: Table, earlier: dict[str, Floats]) -> Floats:
    last = table.statistic("last")
    return np.where(np.isnan(last), member.first, last)


@point.register
def _(member: Boosted, table: Table, earlier: dict[str, Floats]) -> Floats:
    base = [earlier[name] for name in member.base]
    offset = np.mean(base, axis=0) if base else np.full(len(table.inputs), member.start)
    if member.rounds == 0:
        return np.asarray(offset)
    last = np.isnan(table.time[:, 1])
    design = np.column_stack([table.inputs, table.time, last, *base]).astype(np.float32)
    return np.asarray(offset + member.correct(design))
