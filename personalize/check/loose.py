"""Session data as far as it can be read: what a check counts on, even where a panel would refuse the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import Columns, Panel
from features.checks import Codes, codes_of, dates, ids, nested, numbers
from features.intake import clean_intake
from features.measures import Measure, measure

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Loose:
    """What could be read of the tables; parts that could not be read are empty.

    Attributes
    ----------
    columns : Columns
    timing : {"after", "before"}
    measures : mapping of column to Measure
    ids : object array of shape (n_patients,)
        Patients' identifiers.
    n_rows, n_patients : int
        Session rows with a patient; patients in either table.
    who : int array of shape (n_rows,)
        Patient of each row; rows are sorted by patient and session.
    occasion : int array of shape (n_rows,)
        0 for a patient's first row, 1 for the second, ...
    session : float array of shape (n_rows,)
        Session number; the order of the rows where there is none.
    time : float array of shape (n_rows,) or None
        Days for dates, else the numbers given.
    is_date : bool
    scores : mapping of column to float array of shape (n_rows,)
        Missing codes already are NaN; values outside a measure's range are kept.
    therapist : object array of shape (n_patients,)
        First therapist named for each patient, None where there is none.
    intake : DataFrame of n_patients rows
    items : mapping of scale to float array of shape (n_rows, n_items)
    """

    columns: Columns
    timing: str
    measures: Mapping[str, Measure]
    ids: NDArray[np.object_]
    n_patients: int
    who: Ints
    occasion: Ints
    session: Floats
    time: Floats | None
    is_date: bool
    scores: Mapping[str, Floats]
    therapist: NDArray[np.object_]
    intake: pd.DataFrame
    items: Mapping[str, Floats]

    @property
    def n_rows(self) -> int:
        """Session rows that name a patient."""
        return len(self.who)

    @property
    def rows_each(self) -> Ints:
        """Session rows of each patient, shape (n_patients,)."""
        return np.bincount(self.who, minlength=self.n_patients).astype(np.intp)


def loosely(
    sessions: pd.DataFrame,
    patients: pd.DataFrame | None,
    columns: Columns,
    *,
    timing: str,
    missing_codes: Codes | Mapping[str, Codes],
    measures: Mapping[str, str | Measure],
    items: Mapping[str, Sequence[str]],
) -> Loose:
    """Read what can be read of tables that may break any rule; what cannot be read is left out or missing."""
    lost: list[str] = []
    if isinstance(sessions.columns, pd.MultiIndex):
        sessions = pd.DataFrame(index=sessions.index)
    raw = sessions.loc[:, ~sessions.columns.duplicated()].reset_index(drop=columns.patient not in sessions.index.names)
    patient = _ids(raw, columns.patient)
    if columns.episode is not None and columns.episode in raw.columns:
        part = _ids(raw, columns.episode)
        patient = (patient.map(str) + " / " + part.map(str)).where(patient.notna() & part.notna(), None)
    therapist = _ids(raw, columns.therapist)
    table, own = _patients(patients, columns)
    known = pd.Index(pd.unique(pd.Series([*patient.dropna(), *table], dtype=object)))
    who = known.get_indexer(pd.Index(patient.tolist(), dtype=object)) if len(known) else np.full(len(raw), -1)
    who[patient.isna().to_numpy()] = -1
    time, is_date = None, False
    if columns.time is not None and columns.time in raw.columns:
        stamps, is_date = dates("", raw[columns.time], columns.time, patient, lost)
        time = _finite(stamps)
    if columns.session in raw.columns:
        session = _finite(numbers("", raw, columns.session, patient, lost))
    else:
        session = np.full(len(raw), np.nan) if time is None else time.copy()
    order = np.lexsort((np.arange(len(raw)), np.where(np.isnan(session), np.inf, session), who))
    order = order[who[order] >= 0]
    who = who[order].astype(np.intp)
    start = np.flatnonzero(np.r_[True, who[1:] != who[:-1]]) if len(who) else np.zeros(0, dtype=np.intp)
    occasion = np.arange(len(who)) - np.repeat(start, np.diff(np.r_[start, len(who)]))
    numbered = columns.session in raw.columns

    scores = {
        name: numbers("", raw, name, patient, lost, codes_of(missing_codes, name)).to_numpy()[order]
        for name in columns.scores
        if name in raw.columns
    }
    grids = {
        scale: np.column_stack(
            [numbers("", raw, c, patient, lost, codes_of(missing_codes, c)).to_numpy()[order] for c in there]
        )
        for scale, names in items.items()
        if len(there := [c for c in names if c in raw.columns]) > 1
    }
    treated = np.full(len(known), None, dtype=object)
    named = therapist.notna().to_numpy()[order]
    treated[who[named][::-1]] = therapist.to_numpy(dtype=object)[order][named][::-1]
    for key, value in own.items():
        place = known.get_loc(key)
        treated[place] = value if treated[place] is None else treated[place]
    return Loose(
        columns=columns,
        timing=timing,
        measures={c: measure(m) if isinstance(m, str) else m for c, m in measures.items()},
        ids=known.to_numpy(dtype=object),
        n_patients=len(known),
        who=who,
        occasion=occasion.astype(np.intp),
        session=session[order] if numbered else (occasion + 1).astype(float),
        time=None if time is None else time[order],
        is_date=is_date,
        scores=scores,
        therapist=treated,
        intake=_intake(patients, columns, missing_codes),
        items=grids,
    )


def from_panel(panel: Panel) -> Loose:
    """The same view of a panel that is already built; it holds no single items."""
    names = panel.therapist_ids.to_numpy(dtype=object)
    has = panel.therapist_index >= 0
    therapist = np.full(panel.n_patients, None, dtype=object)
    therapist[has] = names[panel.therapist_index[has]]
    return Loose(
        columns=panel.columns,
        timing=panel.timing,
        measures=panel.measures,
        ids=panel.patient_ids.to_numpy(dtype=object),
        n_patients=panel.n_patients,
        who=panel.patient_index,
        occasion=panel.occasion,
        session=panel.session.astype(float),
        time=None if panel.columns.time is None else panel.calendar if panel.calendar is not None else panel.time,
        is_date=panel.calendar is not None,
        scores={name: panel.sessions[name].to_numpy(dtype=float) for name in panel.columns.scores},
        therapist=therapist,
        intake=panel.patients,
        items={},
    )


def _finite(values: pd.Series) -> Floats:
    out = values.to_numpy(dtype=float, copy=True)
    out[~np.isfinite(out)] = np.nan
    return out


def _ids(raw: pd.DataFrame, column: str | None) -> pd.Series:
    if column is None or column not in raw.columns:
        return pd.Series([None] * len(raw), index=raw.index, dtype=object)
    return ids("", raw, column, [], required=False)


def _patients(patients: pd.DataFrame | None, columns: Columns) -> tuple[list[object], dict[object, object]]:
    """Identifiers of the patients table and the therapist it names for each, where both can be read."""
    if patients is None or columns.patient not in patients.columns or columns.episode is not None:
        return [], {}
    raw = patients.loc[:, ~patients.columns.duplicated()].reset_index(drop=True)
    keys, therapist = _ids(raw, columns.patient), _ids(raw, columns.therapist)
    pairs = {k: t for k, t in zip(keys, therapist, strict=True) if k is not None and t is not None}
    return list(dict.fromkeys(keys.dropna())), pairs


def _intake(
    patients: pd.DataFrame | None, columns: Columns, missing_codes: Codes | Mapping[str, Codes]
) -> pd.DataFrame:
    if patients is None or isinstance(patients.columns, pd.MultiIndex):
        return pd.DataFrame()
    keys = (columns.patient, columns.therapist, columns.episode)
    first = patients.loc[:, ~patients.columns.duplicated()].reset_index(drop=True)
    by_column = missing_codes if isinstance(missing_codes, Mapping) else {}
    readable = [c for c in first.columns if c not in keys and not nested(first[c])]
    clean = clean_intake("", first[readable], by_column, [], [])
    return clean[[c for c in clean.columns if not pd.api.types.is_complex_dtype(clean[c])]]
