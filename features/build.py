"""The feature table for a landmark session; every column declares what it has seen."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import congruence, history, therapists, whole
from features.baseline import intake
from features.errors import OptionError, check_option
from features.feature import Feature, Seen
from features.panel import Panel
from features.windows import Floats, Layout

BLOCK_ROWS = 1 << 16  # sessions computed at a time, so that intermediate arrays stay in the processor's cache
Landmark = int | Literal["last"] | None


def build_features(
    panel: Panel,
    landmark: Landmark = None,
    *,
    seen: Seen = "past",
    reference: Panel | None = None,
    partner: str | None = None,
) -> pd.DataFrame:
    """Build the feature table: what is known of each patient once the landmark session has been observed.

    Parameters
    ----------
    panel : Panel
    landmark : int, "last" or None
        k: one row for each patient with at least k observed sessions, at the k-th. 0: intake only, one row a patient,
        session columns missing. "last": each patient's latest session. ``None``: one row for every session.
    seen : {"past", "whole"}
        "past": intake and sessions up to the landmark. "whole" adds columns that have seen the whole treatment; their
        names end in ``__whole``, and a forecast refuses them.
    reference : Panel, optional
        Where a therapist's other patients are looked up; the panel itself by default. For new patients: the panel the
        model was trained on.
    partner : str, optional
        Covariate with the other person's rating of the alliance (the therapist's, say); adds their congruence.

    Returns
    -------
    DataFrame
        Index patient id; with ``landmark=None`` patient id and session number. Floats, and categories for text columns
        of the intake tables. Missing values stay NaN. Columns as listed by `dictionary`.

    Raises
    ------
    OptionError
        When an option has a value that is not allowed.
    """
    check_option("seen", seen, ("past", "whole"))
    if landmark is not None and landmark != "last" and not _whole_number(landmark):
        raise OptionError(f"landmark={landmark!r} is not allowed; give a number of sessions from 0, 'last' or None.")
    if landmark == 0:
        table = _intake_only(panel, seen, partner)
        table.index = panel.patient_ids
        return table
    rows, index = _landmark_rows(panel, landmark)
    table = past_features(panel, reference=reference, partner=partner)
    if seen == "whole":
        added = whole.whole_features(panel)
        table = pd.concat([table, pd.DataFrame(added, index=table.index, copy=False)], axis=1)
    table = table if landmark is None else table.iloc[rows]
    table.index = index
    return table


def past_features(panel: Panel, *, reference: Panel | None = None, partner: str | None = None) -> pd.DataFrame:
    """Compute every past feature for all session rows at once.

    Row t holds what is known once session t is complete: its own outcome and alliance are both in, whichever was rated
    first (`Panel.timing`).

    Parameters
    ----------
    panel, reference, partner
        As in `build_features`.

    Returns
    -------
    DataFrame of n_sessions rows
        Aligned with ``panel.sessions`` (same row order and index).
    """
    names = [feature.name for feature in _session_declared(panel, partner)]
    computed = _session_values(panel, partner, len(names))
    session = dict(zip(names, computed, strict=True))
    session = {**therapists.therapist_history(panel, reference), **session}
    columns: dict[str, Any] = {**intake(panel, session).over(panel.patient_index), **session}
    return pd.DataFrame(columns, index=pd.RangeIndex(panel.n_sessions), copy=False)


def dictionary(panel: Panel, *, seen: Seen = "past", partner: str | None = None) -> pd.DataFrame:
    """Describe every column of the panel's feature table.

    Returns
    -------
    DataFrame
        Columns name, group, seen, unit, description; one row a column, in the table's order.
    """
    check_option("seen", seen, ("past", "whole"))
    rows = [(f.name, f.group, f.seen, f.unit, f.description) for f in _declared(panel, seen, partner)]
    return pd.DataFrame(rows, columns=["name", "group", "seen", "unit", "description"])


def _declared(panel: Panel, seen: Seen, partner: str | None) -> list[Feature]:
    session = [*therapists.declared(panel), *_session_declared(panel, partner)]
    given = intake(panel, [feature.name for feature in session]).features
    return [*given, *session, *(whole.declared(panel) if seen == "whole" else [])]


def _session_declared(panel: Panel, partner: str | None) -> list[Feature]:
    unit = _time_unit(panel)
    session: list[Feature] = []
    for column, role in _session_columns(panel):
        session += history.declared(column, role, unit, dated=panel.calendar is not None)
    if panel.has_alliance:
        session += congruence.coupling_declared(panel)
    if partner is not None:
        session += congruence.declared(panel, partner)
    return session + history.time_declared(unit)


def _session_values(panel: Panel, partner: str | None, n_features: int) -> Floats:
    """Compute the declared session features, shape (n_features, n_sessions), some patients at a time."""
    values = np.empty((n_features, panel.n_sessions))
    columns = {name: _column(panel, name) for name, _ in _session_columns(panel)}
    dated = panel.calendar is not None
    for who in _blocks(panel.offsets):
        rows = slice(int(panel.offsets[who.start]), int(panel.offsets[who.stop]))
        layout = Layout.of(panel.offsets[who.start : who.stop + 1] - rows.start)
        time = layout.pack(panel.time[rows])
        packed = {name: layout.pack(x[rows]) for name, x in columns.items()}
        computed = [a for x in packed.values() for a in history.history(x, layout, time, dated=dated).values()]
        if panel.columns.alliance is not None:
            a, y = packed[panel.columns.alliance], packed[panel.columns.outcome]
            computed += congruence.coupling(a, layout, y, panel.timing).values()
            if partner is not None:
                computed += congruence.congruence(a, layout, packed[partner], congruence.centre(panel)).values()
        computed += history.time_history(layout.pack(panel.session[rows]), layout, time).values()
        for place, array in enumerate(computed):
            layout.unpack(array, values[place, rows])
    return values


def _session_columns(panel: Panel) -> list[tuple[str, str]]:
    """Session columns with a history, and the role each plays."""
    roles = panel.columns
    alliance = [(roles.alliance, "alliance")] if roles.alliance is not None else []
    return [*alliance, (roles.outcome, "outcome"), *((name, "covariate") for name in roles.covariates)]


def _column(panel: Panel, column: str) -> Floats:
    return panel.sessions[column].to_numpy(dtype=float)


def _time_unit(panel: Panel) -> str:
    if panel.columns.time is None:
        return "session"
    return "day" if panel.calendar is not None else f"unit of {panel.columns.time}"


def _landmark_rows(panel: Panel, landmark: Landmark) -> tuple[NDArray[np.intp], pd.Index[Any]]:
    """Session rows of a landmark, and their index."""
    if landmark is None:
        arrays: list[Any] = [panel.patient_ids[panel.patient_index], panel.session]
        index = pd.MultiIndex.from_arrays(arrays, names=[panel.columns.patient, panel.columns.session])
        return np.arange(panel.n_sessions), index
    sought = 1 if landmark == "last" else int(landmark)
    reached = panel.sessions_per_patient >= sought
    rows = panel.offsets[1:] - 1 if landmark == "last" else panel.offsets[:-1] + sought - 1
    return rows[reached], panel.patient_ids[reached]


def _intake_only(panel: Panel, seen: Seen, partner: str | None) -> pd.DataFrame:
    """One row a patient before any session: intake, no session yet."""
    given = intake(panel, [f.name for f in [*therapists.declared(panel), *_session_declared(panel, partner)]])
    known = given.over(np.arange(panel.n_patients))
    known["sessions_held"] = pd.Series(np.zeros(panel.n_patients))
    nothing = pd.Series(np.full(panel.n_patients, np.nan))
    names = [feature.name for feature in _declared(panel, seen, partner)]
    return pd.DataFrame({name: known.get(name, nothing) for name in names}, index=pd.RangeIndex(panel.n_patients))


def _blocks(offsets: NDArray[np.intp]) -> list[slice]:
    """Cut the patients into runs of about `BLOCK_ROWS` sessions."""
    cuts, n = [0], len(offsets) - 1
    while cuts[-1] < n:
        reach = int(np.searchsorted(offsets, offsets[cuts[-1]] + BLOCK_ROWS, side="right")) - 1
        cuts.append(min(max(reach, cuts[-1] + 1), n))
    return [slice(a, b) for a, b in pairwise(cuts)]


def _whole_number(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 0
