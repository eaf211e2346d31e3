"""What a user asks of a forecaster, turned into targets: patient, session and time, or the last session."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import checks
from features.errors import OptionError, PanelError, listed
from features.panel import Panel
from personalize.trajectories.clock import Clock
from personalize.trajectories.landmarks import Landmarks, Targets, ends

Floats = NDArray[np.float64]

STEPS = (1, 4)  # sessions ahead that are forecast where nothing is asked for


def default_request(panel: Panel, clock: Clock) -> pd.DataFrame:
    """Ask for the next session, four ahead and the last one, for every patient."""
    columns, end = panel.columns, ends(panel, clock)
    repeat = len(STEPS) + 1
    step = np.tile([*STEPS, np.nan], panel.n_patients)
    session = np.repeat(end.session, repeat) + step * clock.session_step
    out = pd.DataFrame({columns.patient: np.repeat(panel.patient_ids.to_numpy(), repeat)})
    out[columns.session] = pd.array(np.round(session), dtype="Int64")
    if columns.time is not None:
        time = np.repeat(end.time, repeat) + step * clock.interval
        if panel.calendar is None:
            out[columns.time] = time
        else:
            days = time + np.repeat(_origins(panel), repeat)
            out[columns.time] = pd.to_datetime(pd.Series(days), unit="D").dt.round("s")
    return out


def requested_targets(at: pd.DataFrame, panel: Panel, clock: Clock) -> tuple[Landmarks, Targets]:
    """Turn a request into targets at the end of each patient's history.

    Parameters
    ----------
    at : DataFrame
        The panel's own columns for patient, session and, where it has one, time. A row whose session and time are
        missing asks for the last session, whenever treatment will end.

    Raises
    ------
    PanelError
        Columns or patients that are not there, sessions that are no whole numbers, times already observed.
    """
    if not isinstance(at, pd.DataFrame):
        raise OptionError(f"at: a DataFrame with one row a wanted forecast is needed, {type(at).__name__} came.")
    columns = panel.columns
    problems: list[str] = []
    checks.missing_columns("at", at, {"patient": columns.patient}, problems)
    if problems:
        raise PanelError(problems)
    raw = at.reset_index(drop=True)
    ids = checks.ids("at", raw, columns.patient, problems)
    who = panel.patient_ids.get_indexer(pd.Index(ids.tolist(), dtype=object))
    if (who < 0).any() and not problems:
        problems.append(f"at: there is no patient {listed(pd.unique(ids[who < 0]))} in the histories.")
    nothing = pd.Series(np.nan, index=raw.index)
    session = checks.numbers("at", raw, columns.session, ids, problems) if columns.session in raw else nothing
    fraction = session.notna() & (session != np.floor(session))
    if fraction.any():
        problems.append(
            f"at: column {columns.session!r} must hold whole numbers; {session[fraction].iloc[0]:g} came (patient "
            f"{listed(pd.unique(ids[fraction]))})."
        )
    time = nothing
    if columns.time is not None and columns.time in raw:
        time = _times(raw[columns.time], columns.time, ids, problems)
    if problems:
        raise PanelError(problems)
    end = ends(panel, clock)
    then: Floats = np.array(time, dtype=float)
    if panel.calendar is not None:
        then = _since_first(then, who, panel, ids)
    number: Floats = np.array(session, dtype=float)
    _not_observed(number, then, who, end, panel, ids)
    steps = (number - end.session[who]) / clock.session_step
    guess = end.time[who] + steps * clock.interval if columns.time is not None else number
    target_time = np.where(np.isnan(then), guess, then)
    gap = clock.gap(end.time[who], target_time)
    unknown = np.full(len(who), np.nan)
    return end, Targets(who.astype(np.intp), gap, target_time, unknown, np.full(len(who), -1, dtype=np.intp))


def _times(raw: pd.Series, name: str, ids: pd.Series, problems: list[str]) -> pd.Series:
    if raw.isna().all():
        return pd.Series(np.nan, index=raw.index)
    return checks.dates("at", raw, name, ids, problems)[0]


def _origins(panel: Panel) -> Floats:
    """Day of each patient's first session; NaN without one."""
    out = np.full(panel.n_patients, np.nan)
    some = panel.sessions_per_patient > 0
    if panel.calendar is not None:
        out[some] = panel.calendar[panel.offsets[:-1][some]]
    return out


def _since_first(days: Floats, who: NDArray[np.intp], panel: Panel, ids: pd.Series) -> Floats:
    origin = _origins(panel)[who]
    lost = np.isnan(origin) & ~np.isnan(days)
    if lost.any():
        raise PanelError(
            f"at: patient {listed(pd.unique(ids[lost]))} has no session yet, so a date says nothing of how far "
            "treatment will be; give the session number instead."
        )
    return np.asarray(days - origin)


def _not_observed(
    number: Floats, then: Floats, who: NDArray[np.intp], end: Landmarks, panel: Panel, ids: pd.Series
) -> None:
    """Refuse targets that lie in the history."""
    has = end.row[who] >= 0
    early = has & (number <= end.session[who])
    before = has & ((then < end.time[who]) | ((then == end.time[who]) & np.isnan(number)))
    for bad, what, values, edge in (
        (early, "session", number, end.session[who]),
        (before, str(panel.columns.time), then, end.time[who]),
    ):
        if bad.any():
            first: Any = np.flatnonzero(bad)[0]
            raise PanelError(
                f"at: {int(bad.sum())} forecasts are asked for what has been observed already, first patient "
                f"{listed([ids.iloc[first]])}, {what} {values[first]:g}, whose history ends at {edge[first]:g}; cut "
                "the history with panel.first(k), or ask for a later one."
            )
