"""What the session rows must be together: one row a session, in one order, with something to analyse in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.columns import Columns
from features.errors import counted, listed

FEW = 10  # patients below which an empty or constant score may be a short history to forecast from, not a mistake


def in_order(
    table: str,
    columns: Columns,
    frame: pd.DataFrame,
    who: NDArray[np.intp],
    ids: pd.Index[Any],
    numbered: bool,
    problems: list[str],
) -> None:
    """One row a patient and session, and times that run as the session numbers do; rows come sorted."""
    number = frame[columns.session].to_numpy()
    same = who[1:] == who[:-1]
    twice = np.flatnonzero(same & (number[1:] == number[:-1])) + 1
    if len(twice):
        copies = frame.iloc[np.union1d(twice, twice - 1)].duplicated().sum() == len(twice)
        problems.append(
            f"{table}: {counted(len(twice), 'row')} with a patient and session that stand there already, first "
            f"patient {listed([ids[who[twice[0]]]])}, session {number[twice[0]]:g} "
            f"(patient {listed(ids[pd.unique(who[twice])])}); "
            + ("they are exact copies: drop the copies" if copies else "keep one row a session")
            + ", number the sessions anew, or, where patients came back for another treatment, name the treatment "
            "with Columns(episode=...)."
        )
        return
    if columns.time is None:
        return
    step = np.diff(frame[columns.time].to_numpy())
    back, tied = same & (step < 0), same & (step == 0)
    if back.any():
        problems.append(
            f"{table}: session numbers and {columns.time!r} run in different orders for patient "
            f"{listed(ids[pd.unique(who[1:][back])])}; correct one of the two, or leave one out."
        )
    if tied.any() and not numbered:
        problems.append(
            f"{table}: {counted(tied.sum(), 'row')} with the same {columns.time!r} as another row of the patient "
            f"(patient {listed(ids[pd.unique(who[1:][tied])])}), so their order is not known; keep one row a "
            "session, or add a column of session numbers."
        )


def informative(table: str, columns: Columns, frame: pd.DataFrame, problems: list[str]) -> None:
    """Refuse a score that is empty or constant in what is plainly a study, not a short history to forecast from."""
    n_patients = frame[columns.patient].nunique()
    if n_patients < FEW or len(frame) < 2 * n_patients:
        return
    for role, column in (("outcome", columns.outcome), ("alliance", columns.alliance)):
        if column is None:
            continue
        known = frame[column].dropna()
        if len(known) == 0:
            text = f"is empty in all {len(frame)} rows: name another column."
        elif known.nunique() == 1:
            text = f"is {known.iloc[0]:g} in every row; a constant cannot be analysed: name another column."
        else:
            continue
        if role == "alliance":
            text += " To forecast without it, leave the alliance out of Columns."
        problems.append(f"{table}: column {column!r} (the {role}) {text}")


def count_empty(table: str, columns: Columns, sessions: pd.DataFrame, notes: list[str]) -> None:
    """Note how many sessions were held but not rated; they stay in the panel."""
    empty = int(sessions[list(columns.scores)].isna().all(axis=1).sum())
    if empty:
        notes.append(
            f"{table}: {counted(empty, 'session row')} without any score (all of "
            f"{listed(columns.scores)} missing) kept as sessions held but not rated."
        )
