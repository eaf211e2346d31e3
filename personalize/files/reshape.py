"""Turn a wide table into a long one and back: one row a patient, or one row a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.checks import as_numbers
from features.errors import PanelError, check_option, listed
from personalize.files.wide import PLACE, WideColumns


@dataclass(frozen=True)
class LongTable:
    """Sessions taken out of a wide table.

    Attributes
    ----------
    sessions : DataFrame
        One row a session: patient, session number, a column a measure; sorted as the patients came, then by session.
    ended : int
        Sessions left out because nothing was scored in them or after them: the treatment had ended.
    inner : int
        Sessions kept although nothing was scored in them, since later ones were.
    """

    sessions: pd.DataFrame
    ended: int
    inner: int


def wide_to_long(
    frame: pd.DataFrame,
    groups: Sequence[WideColumns],
    *,
    patient: str,
    session: str = "session",
    scores: Sequence[str] | None = None,
    trailing: str = "ended",
) -> LongTable:
    """Turn one row a patient into one row a session.

    Sessions without any score at the end of a patient's row were never held: the treatment had ended, and they become
    no rows. Sessions without any score before the last scored one were held or skipped, which a wide table cannot
    say: they become rows with missing scores.

    Parameters
    ----------
    frame : DataFrame
        One row a patient. It is not altered.
    groups : sequence of WideColumns
        The repeated measures, from `guess_wide` or `find_wide`.
    patient : str
        Column of the identifier.
    session : str
        Name of the session number in the long table.
    scores : sequence of str, optional
        Which of the measures show that a session was held (a planned date does not); all by default.
    trailing : {"ended", "missing"}
        What sessions without a score at the end are: no rows, or rows with missing scores.

    Raises
    ------
    PanelError
        When the identifier is missing or stands in several rows.
    """
    check_option("trailing", trailing, ("ended", "missing"))
    if patient not in frame.columns:
        raise PanelError(
            f"wide table: column {patient!r} (the patient) is not there; it has {listed(frame.columns, 30)}."
        )
    if frame[patient].duplicated().any():
        twice = frame[patient][frame[patient].duplicated()].unique()
        raise PanelError(f"wide table: patient {listed(twice)} stands in more than one row; a wide table has one each.")
    numbers = np.unique([number for group in groups for number in group.columns])
    n, k = len(frame), len(numbers)
    long = {patient: frame[patient].repeat(k).reset_index(drop=True), session: np.tile(numbers, n)}
    held = np.zeros((n, k), dtype=bool)
    for group in groups:
        parts = [
            frame[group.columns[number]]
            if number in group.columns
            else pd.Series([None] * n, index=frame.index, dtype=object)
            for number in numbers
        ]
        given = [part for number, part in zip(numbers, parts, strict=True) if number in group.columns]
        kind = given[0].dtype if all(part.dtype == given[0].dtype for part in given) else None
        if scores is None or group.name in scores:
            held |= np.column_stack([part.notna().to_numpy() & _filled(part) for part in parts])
        long[group.name] = _interleave(parts, n, kind)
    table = pd.DataFrame(long)
    last = np.where(held.any(axis=1), k - 1 - np.argmax(held[:, ::-1], axis=1), -1)
    before = np.arange(k) <= last[:, None]
    inner = int((before & ~held).sum())
    if trailing == "missing":
        return LongTable(table, 0, int((~held).sum()))
    return LongTable(table[before.ravel()].reset_index(drop=True), int((~before).sum()), inner)


def _filled(part: pd.Series) -> NDArray[np.bool_]:
    if pd.api.types.is_numeric_dtype(part):
        return np.ones(len(part), dtype=bool)
    return np.asarray([not (isinstance(value, str) and not value.strip()) for value in part], dtype=bool)


def _interleave(parts: list[pd.Series], n: int, kind: object) -> pd.Series:
    """Row-wise order of columns: patient 1 session 1, session 2, ..., patient 2 session 1, ..."""
    if all(pd.api.types.is_numeric_dtype(part) or part.isna().all() for part in parts):
        values = np.column_stack([as_numbers(part).to_numpy() for part in parts])
        return pd.Series(values.ravel())
    stacked = np.column_stack([part.astype(object).to_numpy() for part in parts]).ravel()
    out = pd.Series(stacked, dtype=object)
    if isinstance(kind, np.dtype) and kind.kind == "M":
        return pd.Series(pd.to_datetime(out.where(out.notna(), None)))
    return out.where(out.notna(), None)


def long_to_wide(
    sessions: pd.DataFrame,
    values: Sequence[str],
    *,
    patient: str,
    session: str = "session",
    pattern: str = "{name}_s{session}",
) -> pd.DataFrame:
    """Turn one row a session into one row a patient.

    Parameters
    ----------
    sessions : DataFrame
        One row a session. It is not altered.
    values : sequence of str
        Columns to spread over the sessions.
    patient, session : str
        Columns of the identifier and the session number.
    pattern : str
        How the columns are named: ``{name}`` and ``{session}`` (also ``{session:02d}``) are filled in.

    Returns
    -------
    DataFrame
        One row a patient in order of first appearance: the identifier, then for each of ``values`` a column a session.

    Raises
    ------
    PanelError
        When a patient has a session twice, or a session number is not whole.
    """
    absent = [name for name in (patient, session, *values) if name not in sessions.columns]
    if absent:
        raise PanelError(f"sessions: column {listed(absent)} is not there; it has {listed(sessions.columns, 30)}.")
    if "{name}" not in pattern or PLACE[:-1] not in pattern:
        raise PanelError(f"pattern {pattern!r} must hold {{name}} and {{session}}.")
    twice = sessions.duplicated([patient, session])
    if twice.any():
        raise PanelError(
            f"sessions: patient {listed(sessions[patient][twice].unique())} has the same session twice; number the "
            "sessions anew."
        )
    number = pd.to_numeric(sessions[session], errors="coerce")
    if number.isna().any() or (number % 1 != 0).any():
        raise PanelError(f"sessions: column {session!r} must hold whole numbers.")
    who, ids = pd.factorize(sessions[patient])
    numbers, place = np.unique(number.to_numpy(dtype=np.int64), return_inverse=True)
    out = {patient: pd.Series(ids)}
    for name in values:
        column = sessions[name]
        for j, k in enumerate(numbers):
            at = place == j
            part = column[at].set_axis(who[at])
            out[pattern.format(name=name, session=int(k))] = part.reindex(range(len(ids)))
    return pd.DataFrame(out)
